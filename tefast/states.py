"""States: what a transition starts from, several codes in one integer.

Everything here is a row of the source's kind, (N, T), the same for every unit. A state is missing
where one of its codes is, or lies before the beginning of its sequence.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs import layouts
from tefast.backends import MISSING
from tefast.values import Values

States = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Embedding:
    """Which steps of target and source a transition to step t + 1 is held against.

    Attributes
    ----------
    target_history : int
        k: the target's steps ``t - k + 1 .. t``.
    source_history : int
        l: the source's steps ``t + 1 - delay - l + 1 .. t + 1 - delay``.
    delay : int
        Steps from the source's last one to the target's next.
    """

    target_history: int = 1
    source_history: int = 1
    delay: int = 1

    @classmethod
    def check(cls, target_history: Any, source_history: Any, delay: Any) -> Embedding:
        """Raise TypeError or ValueError for what is no positive integer."""
        given = {
            "target_history": target_history,
            "source_history": source_history,
            "delay": delay,
        }
        return cls(**{name: check_positive(number, name) for name, number in given.items()})

    @property
    def first(self) -> int:
        """The first step t from which a transition can start."""
        return max(self.target_history - 1, self.source_history + self.delay - 2)

    def check_steps(self, target: Values) -> None:
        """Raise unless the sequences have the steps that a transition takes."""
        what = "a transition"
        if self != Embedding():
            what += (
                f" with target_history={self.target_history}, "
                f"source_history={self.source_history} and delay={self.delay}"
            )
        check_steps(target, self.first + 2, what)


def check_steps(target: Values, needed: int, what: str) -> None:
    """Raise a ValueError if the sequences are shorter than `needed` for `what`."""
    steps = target.array.shape[1]
    if steps < needed:
        meant = layouts.fitting(target.shape, target.layout, steps=needed)
        raise ValueError(
            f"{what} takes at least {needed} steps, {target.name} of shape {target.shape} has "
            f"{steps}; it was read as {layouts.reading(target.shape, target.layout)}"
            f"{layouts.advice(target.shape, meant)}"
        )


def check_positive(number: Any, name: str) -> int:
    """`number` as a positive int."""
    return _at_least(1, number, f"{name} must be a positive integer")


def check_not_negative(number: Any, name: str) -> int:
    """`number` as an int that is not negative."""
    return _at_least(0, number, f"{name} must be an integer, 0 or more")


def _at_least(least: int, number: Any, expected: str) -> int:
    try:
        if isinstance(number, (bool, np.bool_)):
            raise TypeError
        integer = operator.index(number)
    except TypeError:
        raise TypeError(f"{expected}, got {number!r}") from None
    if integer < least:
        raise ValueError(f"{expected}, got {integer}")
    return integer


def history(codes: npt.NDArray[Any], bins: int, length: int, shift: int = 0) -> States:
    """The codes of `length` steps up to step ``t - shift``, in one integer for every t.

    Parameters
    ----------
    codes : ndarray of int, shape (N, T) or (N, T, U)
        `MISSING` where there is none.
    bins : int
    length, shift : int
        A negative shift looks ahead.

    Returns
    -------
    ndarray of int64, the shape of `codes`
        ``0 .. bins**length - 1``, the latest step the least significant; or `MISSING`.
    """
    state = np.zeros(codes.shape, np.int64)
    seen = np.ones(codes.shape, bool)
    for back in reversed(range(length)):
        step = moved(codes, back + shift)
        state = state * bins + step
        seen &= step != MISSING
    return np.where(seen, state, MISSING)


def moved(codes: npt.NDArray[Any], steps: int) -> npt.NDArray[Any]:
    """What was `steps` earlier, at every step; `MISSING` where nothing was."""
    out = np.full_like(codes, MISSING)
    length = codes.shape[1]
    if 0 <= steps < length:
        out[:, steps:] = codes[:, : length - steps]
    elif -length < steps < 0:
        out[:, :steps] = codes[:, -steps:]
    return out


def together(parts: list[States], sizes: list[int]) -> States:
    """Several states in one, the last part the least significant; sizes: the states of each."""
    state = np.zeros(parts[0].shape, np.int64)
    seen = np.ones(parts[0].shape, bool)
    for part, size in zip(parts, sizes, strict=True):
        state = state * size + part
        seen &= part != MISSING
    return np.where(seen, state, MISSING)
