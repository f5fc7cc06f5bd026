"""What the library says in the words of the command line: its options, and places in its files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tefast._cli import network_arguments
from tefast._cli.arguments import DEFAULTS
from tefast._cli.recordings import Recording
from tefast._inputs.kinds import PAIRED
from tefast._inputs.values import ROLES
from tefast._significance import pairs
from tefast._significance.significance import METHODS
from tefast._support.mistakes import MistakeError, SymbolError
from tefast.binning import BINNINGS

SYMBOLS = (
    "--bin-integers bins integers as numbers, such as the samples of a converter, and "
    "--binning symbols takes any labels"
)
_VALUE = r"'[^']*'|\.\.\.|[\w+-]+(?:\.\w+)*"
_CHOICES = dict.fromkeys(BINNINGS, "binning")


@dataclass(frozen=True)
class Vocabulary:
    """What the library and a command call the same things.

    Attributes
    ----------
    flags : mapping
        The options that arguments of the library are.
    choices : mapping
        The arguments of values that messages name alone.
    roles : mapping
        From the inputs to what the library calls them and what the command does.
    numbered : tuple of str
        What messages number that has names in the files.
    """

    flags: Mapping[str, str]
    choices: Mapping[str, str]
    roles: Mapping[str, tuple[str, str]]
    numbered: tuple[str, ...]

    def option(self, name: str, value: str) -> str:
        """An option with its value, as it is written on the command line."""
        flag = self.flags[name]
        return flag if value in ("True", "...") else f"{flag} {value.strip(chr(39))}"


def _flags(names: Mapping[str, Any], *without: str) -> dict[str, str]:
    return {name: f"--{name.replace('_', '-')}" for name in names if name not in without}


SCORE = Vocabulary(
    _flags(DEFAULTS, "h", "y", "mask", "measure")
    | {"h_range": "--target-range", "y_range": "--source-range", "method": "--significance"},
    _CHOICES | dict.fromkeys(METHODS, "method"),
    {"h": (ROLES["h"], "the target"), "y": (ROLES["y"], "the source")},
    ("unit",),
)
"""Of ``score``."""
NETWORK = Vocabulary(
    _flags(network_arguments.DEFAULTS, "x", "mask")
    | {"x_range": "--range", "delay": "--delays", "width": "--spikes"}
    | {"start": "--start", "stop": "--stop"},
    _CHOICES | dict.fromkeys(pairs.METHODS, "significance"),
    {PAIRED: (PAIRED, "the data")},
    ("unit", "source"),
)
"""Of ``network``."""


class Wording:
    """Messages of the library about some inputs, in the words of a command.

    Parameters
    ----------
    vocabulary : Vocabulary
    inputs : mapping
        The recordings by their roles.
    names : sequence of str, optional
        Of the units, or of the series.
    """

    def __init__(
        self, vocabulary: Vocabulary, inputs: Mapping[str, Recording], names: Sequence[str] | None
    ) -> None:
        self._words, self._inputs, self._names = vocabulary, inputs, names
        flags, roles = vocabulary.flags, "".join(vocabulary.roles)
        known = "|".join(flags)
        several = "|".join(name for name in flags if "_" in name)
        self._with_value = re.compile(rf"\b({known})(?:=({_VALUE})| ('[^']*'))")
        self._bare = re.compile(rf"\b({known})=(?=[,; ]|$)")
        self._first = re.compile(rf"^(?:{known})(?:, (?:{known}))*(?=[ :])")
        self._alone = re.compile(rf"\b({several})\b")
        self._choice = re.compile(rf"'({'|'.join(vocabulary.choices)})'")
        self._index = re.compile(rf"\b([{roles}])\[(\d+(?:, \d+)*)\](?: = ('[^']*'|[^\s;]+))?")
        self._python = re.compile(rf"\b[{roles}][.\[]|\bnp\.")

    def error(self, error: Exception) -> str:
        """What an error says, with the advice that makes sense on a command line."""
        if isinstance(error, SymbolError):
            return f"{self.text(error.problem, error.start)}; {SYMBOLS}"
        if isinstance(error, MistakeError):
            told = [each for each in error.advice.split("; ") if not self._python.search(each)]
            return self.text(error.problem, error.start) + self.text("; ".join(told))
        return self.text(str(error))

    def text(self, text: str, start: tuple[int, ...] = ()) -> str:
        """The same text; indices in it count from `start`."""
        words, option = self._words, self._words.option
        text = re.sub(r"\blengths\[(\d+)\] = (-?\d+)", r"\2 for sequence \1", text)
        text = self._with_value.sub(lambda m: option(m[1], m[2] or m[3]), text)
        text = self._bare.sub(lambda m: words.flags[m[1]], text)
        text = self._first.sub(
            lambda m: ", ".join(words.flags[name] for name in m[0].split(", ")), text
        )
        text = self._alone.sub(lambda m: words.flags[m[1]], text)
        text = self._choice.sub(lambda m: option(words.choices[m[1]], m[1]), text)
        for role, (said, what) in words.roles.items():
            # A role of one letter is told from others by what stands around it.
            text = re.sub(rf"(?<![\w-]){re.escape(said)}(?![\w\[])", what, text)
            text = text.replace(f" of {role} ", f" of {what} ")
        text = re.sub(rf"\b(?:{'|'.join(words.numbered)}) (\d+)\b", self._unit, text)
        text = re.sub(r"\b(\d+) -> (\d+)\b", self._pair, text)
        return self._index.sub(lambda m: self._place(m, start), text)

    def _place(self, found: re.Match[str], start: tuple[int, ...]) -> str:
        """The place of a value in its file, behind the value where that is told."""
        at = [int(part) for part in found[2].split(",")]
        moved = [i + (start[axis] if axis < len(start) else 0) for axis, i in enumerate(at)]
        place = self._inputs[found[1]].place(tuple(moved))
        return f"{found[3]} at {place}" if found[3] else place

    def _unit(self, found: re.Match[str]) -> str:
        name = self._name(found[1])
        return found[0] if name is None else f"{found[0]} ({name})"

    def _pair(self, found: re.Match[str]) -> str:
        names = [(each, self._name(each)) for each in found.groups()]
        return " -> ".join(each if name is None else name for each, name in names)

    def _name(self, place: str) -> str | None:
        known = self._names is not None and int(place) < len(self._names)
        return self._names[int(place)] if self._names and known else None


@contextmanager
def worded(wording: Wording) -> Iterator[None]:
    """Raise and warn in the words of the command line."""
    show = warnings.showwarning

    def reworded(message: Warning | str, *more: Any, **options: Any) -> None:
        show(wording.text(str(message)), *more, **options)

    with warnings.catch_warnings():
        warnings.showwarning = reworded
        try:
            yield
        except (ValueError, TypeError) as error:
            raise ValueError(wording.error(error)) from error
