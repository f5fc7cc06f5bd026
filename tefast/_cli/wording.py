"""What the library says in the words of the command line: its options, and places in its files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tefast._cli.arguments import DEFAULTS
from tefast._cli.inputs import FileInputs
from tefast._inputs.values import ROLES
from tefast._significance.significance import METHODS
from tefast._support.mistakes import MistakeError, SymbolError
from tefast.binning import BINNINGS

FLAGS = {
    name: f"--{name.replace('_', '-')}"
    for name in DEFAULTS
    if name not in ("h", "y", "mask", "measure")
}
FLAGS |= {"h_range": "--target-range", "y_range": "--source-range", "method": "--significance"}
"""The options that arguments of the library are."""
SYMBOLS = (
    "--bin-integers bins integers as numbers, such as the samples of a converter, and "
    "--binning symbols takes any labels"
)

CHOICES = dict.fromkeys(METHODS, "method") | dict.fromkeys(BINNINGS, "binning")
"""The arguments of values that messages name alone."""

_NAMES = "|".join(FLAGS)
_VALUE = r"'[^']*'|\.\.\.|[\w+-]+(?:\.\w+)*"
_WITH_VALUE = re.compile(rf"\b({_NAMES})(?:=({_VALUE})| ('[^']*'))")
_ALONE = re.compile(rf"^({_NAMES})(?= )|\b({'|'.join(name for name in FLAGS if '_' in name)})\b")
_CHOICE = re.compile(rf"'({'|'.join(CHOICES)})'")
_INDEX = re.compile(r"\b([hy])\[(\d+(?:, \d+)*)\](?: = ('[^']*'|[^\s;]+))?")
_LENGTH = re.compile(r"\blengths\[(\d+)\] = (-?\d+)")
_UNIT = re.compile(r"\bunit (\d+)\b")
_PYTHON = re.compile(r"\b[hy][.\[]|\bnp\.")


class Wording:
    """Messages of the library about some inputs, in the words of the command line."""

    def __init__(self, given: FileInputs) -> None:
        self._inputs = {"h": given.h, "y": given.y}
        self._names = given.names

    def error(self, error: Exception) -> str:
        """What an error says, with the advice that makes sense on a command line."""
        if isinstance(error, SymbolError):
            return f"{self.text(error.problem, error.start)}; {SYMBOLS}"
        if isinstance(error, MistakeError):
            told = [each for each in error.advice.split("; ") if not _PYTHON.search(each)]
            return self.text(error.problem, error.start) + self.text("; ".join(told))
        return self.text(str(error))

    def text(self, text: str, start: tuple[int, ...] = ()) -> str:
        """The same text; indices in it count from `start`."""
        text = _LENGTH.sub(r"\2 for sequence \1", text)
        text = _WITH_VALUE.sub(lambda m: _option(m[1], m[2] or m[3]), text)
        text = _ALONE.sub(lambda m: FLAGS[m[0]], text)
        text = _CHOICE.sub(lambda m: _option(CHOICES[m[1]], m[1]), text)
        for role, what in (("h", "the target"), ("y", "the source")):
            text = text.replace(ROLES[role], what).replace(f" of {role} ", f" of {what} ")
        text = _UNIT.sub(self._unit, text)
        return _INDEX.sub(lambda m: self._place(m, start), text)

    def _place(self, found: re.Match[str], start: tuple[int, ...]) -> str:
        """The place of a value in its file, behind the value where that is told."""
        at = [int(part) for part in found[2].split(",")]
        moved = [i + (start[axis] if axis < len(start) else 0) for axis, i in enumerate(at)]
        place = self._inputs[found[1]].place(tuple(moved))
        return f"{found[3]} at {place}" if found[3] else place

    def _unit(self, found: re.Match[str]) -> str:
        place = int(found[1])
        known = self._names is not None and place < len(self._names)
        return f"{found[0]} ({self._names[place]})" if self._names and known else found[0]


def _option(name: str, value: str) -> str:
    """An option with its value, as it is written on the command line."""
    return FLAGS[name] if value in ("True", "...") else f"{FLAGS[name]} {value.strip(chr(39))}"


@contextmanager
def worded(given: FileInputs) -> Iterator[None]:
    """Raise and warn in the words of the command line."""
    wording, show = Wording(given), warnings.showwarning

    def reworded(message: Warning | str, *more: Any, **options: Any) -> None:
        show(wording.text(str(message)), *more, **options)

    with warnings.catch_warnings():
        warnings.showwarning = reworded
        try:
            yield
        except (ValueError, TypeError) as error:
            raise ValueError(wording.error(error)) from error
