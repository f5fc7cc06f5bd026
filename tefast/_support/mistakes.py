"""Errors in two parts: what is wrong, and what helps in Python, which a command line leaves out."""

from __future__ import annotations


class MistakeError(ValueError):
    """A ValueError that knows its parts.

    Parameters
    ----------
    problem : str
        What was expected and what came.
    advice : str
        What helps, in Python; it follows the problem in the message.

    Attributes
    ----------
    problem, advice : str
    start : tuple of int
        Where the part of the data starts that indices in the message count from; empty for all.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(f"{problem}{advice}")
        self.problem, self.advice = problem, advice
        self.start: tuple[int, ...] = ()

    def inside(self, where: str, start: tuple[int, ...]) -> MistakeError:
        """The same error with the part of the data that it was met in."""
        found = type(self)(f"in {where}: {self.problem}", self.advice)
        found.problem, found.start = self.problem, start
        return found


class SymbolError(MistakeError):
    """Integers that are no symbols ``0 .. bins - 1``, or options that symbols do not go with."""
