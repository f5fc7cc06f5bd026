"""What is meant by a name on the command line: an array, some columns of one, or columns alone.

``h`` is an array or a table, ``h[price]`` or ``h[1:5]`` some of its columns, and ``price,volume``
or ``1:`` those of the file's main array. Names go before places.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tefast._cli.recordings.recording import Names, Recording, Recordings, TextTable

SHOWN = 12
"""So many arrays or columns are listed in a message."""
Holder = Recording | TextTable


@dataclass(frozen=True)
class ColumnChoice:
    """Columns of an array or a table.

    Attributes
    ----------
    of : Recording or Table
    places : tuple of int, or None
        Which columns, in order; None: all there are.
    named : bool
        Whether these columns were asked for, rather than all that there are.
    axis : int
        Along which they lie.
    """

    of: Holder
    places: tuple[int, ...] | None = None
    named: bool = False
    axis: int = -1

    def others(self) -> ColumnChoice:
        """All columns but these."""
        assert self.places is not None
        left = [i for i in range(self.of.shape[self.axis]) if i not in self.places]
        if not left:
            raise ValueError(f"{self.of.name} has no column beside the source")
        return ColumnChoice(self.of, tuple(left), axis=self.axis)


def choose(
    found: Recordings, text: str | None, path: Path, option: str, axis: int = -1
) -> ColumnChoice:
    """What `text`, the value of `option`, means in a file, where columns lie along `axis`.

    Raises
    ------
    ValueError
        If it means nothing, or may mean several things; the message lists what there is.
    """
    if text is None:
        if found.main is not None:
            return ColumnChoice(_usable(found[found.main], path))
        what = "several arrays, choose by " + option if found else "no array"
        raise ValueError(f"{path} holds {what}{_listed(found)}")
    holder = _named(found, text)
    if holder is not None:
        return ColumnChoice(_usable(holder, path))
    inside = re.fullmatch(r"(.*)\[(.*)\]", text, re.DOTALL)
    holder = None if inside is None else _named(found, inside[1])
    if inside is not None and holder is not None:
        try:
            return columns(_usable(holder, path), inside[2], axis)
        except LookupError as error:
            raise ValueError(f"{path} holds {error.args[0]}") from None
    parts = series(found, text)
    if len(parts) > 1:
        return together([choose(found, part, path, option, axis) for part in parts], parts, option)
    missing = f"no array {text!r}"
    if found.main is not None:
        _usable(found[found.main], path)
    if found.main is not None and len(found[found.main].shape) > 1:
        try:
            return columns(found[found.main], text, axis)
        except LookupError as error:
            missing = f"{missing}, and {error.args[0]}" if len(found) > 1 else error.args[0]
    ends = [each for each in found if f"/{each}".endswith((f"/{text}", f"/{text}/data"))]
    if len(ends) == 1:
        return ColumnChoice(_usable(found[ends[0]], path))
    raise ValueError(f"{path} holds {missing}" + ("" if " it has " in missing else _listed(found)))


def series(found: Recordings, text: str) -> list[str]:
    """The arrays that a list with commas names; the text itself where it is no such list."""
    parts = [part.strip() for part in text.split(",")]
    is_list = _named(found, text) is None and all(
        isinstance(_named(found, part), Recording) for part in parts
    )
    return parts if is_list else [text]


def together(chosen: Sequence[ColumnChoice], words: Sequence[str], option: str) -> ColumnChoice:
    """What several words mean: columns of one array or table, or several arrays side by side."""
    first = chosen[0]
    if len(chosen) == 1:
        return first
    arrays = [each.of for each in chosen if each.places is None and isinstance(each.of, Recording)]
    if len(arrays) == len(chosen):
        return ColumnChoice(_together(arrays))
    places = [place for each in chosen for place in each.places or ()]
    if any(each.places is None or each.of is not first.of for each in chosen):
        raise ValueError(
            f"{option} {' '.join(words)}: several words must name columns of one array or table, "
            "or arrays of one shape"
        )
    if len(set(places)) < len(places):
        raise ValueError(f"{option} {' '.join(words)} names a column of {first.of.name} twice")
    return replace(first, places=tuple(places), named=True)


def columns(holder: Holder, text: str, axis: int = -1) -> ColumnChoice:
    """Columns by names, places, and ranges of places, with commas between them.

    Raises
    ------
    LookupError, ValueError
        If there is no such column.
    """
    if len(holder.shape) < 2:
        raise ValueError(f"{holder.name} has the shape {holder.shape} and no columns to choose")
    if isinstance(holder, Recording) and axis >= len(holder.shape):
        raise ValueError(f"{holder.name} has the shape {holder.shape}, and no axis {axis}")
    is_last = isinstance(holder, TextTable) or axis % len(holder.shape) == len(holder.shape) - 1
    one = Columns(holder.name, holder.names if is_last else None,
                  holder.shape[-1 if is_last else axis])  # fmt: skip
    axis = -1 if is_last else axis
    return ColumnChoice(holder, one.places(text), named=True, axis=axis)


@dataclass(frozen=True)
class Columns:
    """The columns that texts are looked up among.

    Attributes
    ----------
    of : str
        What messages call the array or table.
    names : tuple of str, or None
    count : int
    """

    of: str
    names: Names | None
    count: int

    def places(self, text: str) -> tuple[int, ...]:
        """The places that names, numbers, and ranges of these mean, with commas between them.

        Raises
        ------
        LookupError, ValueError
            If there is no such column, or one is named twice.
        """
        if self.names is not None and text in self.names:  # a name may hold commas and colons
            return (self.place(text),)
        found: list[int] = []
        for part in map(str.strip, text.split(",")):
            is_range = ":" in part and part not in (self.names or ())
            found += self.range(part) if is_range else [self.place(part)]
        if len(set(found)) < len(found):
            raise ValueError(f"{text!r} names a column of {self.of} twice")
        if not found:
            raise ValueError(f"{text!r} takes none of the {self.count} columns of {self.of}")
        return tuple(found)

    def place(self, part: str) -> int:
        """The place of a column by its name, or else by its number."""
        if self.names is not None and part in self.names:
            if self.names.count(part) > 1:
                raise ValueError(f"{self.of} has several columns {part!r}: choose by place")
            return self.names.index(part)
        if re.fullmatch(r"-?\d+", part) and -self.count <= int(part) < self.count:
            self._refuse_other_numbers(part)
            return int(part) % self.count
        known = [str(i) for i in range(self.count)] if self.names is None else list(self.names)
        near = difflib.get_close_matches(part, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it has {_short(known)}"
        raise LookupError(f"no column {part!r} in {self.of}{hint}")

    def range(self, part: str) -> list[int]:
        """Places from START to STOP in steps, as slices of Python have them."""
        numbers = part.split(":")
        if len(numbers) > 3 or not all(re.fullmatch(r"-?\d*", n.strip()) for n in numbers):
            raise LookupError(
                f"no column {part!r} in {self.of}; a range is START:STOP or START:STOP:STEP, the "
                "first column is 0, and STOP is left out"
            )
        self._refuse_other_numbers(part)
        given = [int(n) if n.strip() else None for n in numbers]
        return list(range(self.count))[slice(*given)]

    def _refuse_other_numbers(self, part: str) -> None:
        """Raise where columns are named by numbers that are not their places."""
        for place, name in enumerate(self.names or ()):
            if name.isdecimal() and int(name) != place:
                raise ValueError(
                    f"{part!r} may mean places or names in {self.of}, whose column {place} is "
                    f"named {name!r}: list the columns by their names"
                )


def _named(found: Recordings, text: str) -> Holder | None:
    """An array by its name; those of HDF5 also with a slash before, and without ``/data``."""
    for name in (text, text.strip("/"), f"{text.strip('/')}/data"):
        if name in found:
            return found[name]
    return None


def _usable(holder: Holder, path: Path) -> Holder:
    if holder.problem is not None:
        raise ValueError(f"{path}: {holder.name} {holder.problem}")
    return holder


def _together(arrays: Sequence[Recording]) -> Recording:
    """Several arrays of one shape as the columns of one."""
    shapes = {each.shape for each in arrays}
    kinds = {each.dtype for each in arrays}
    if len(shapes) > 1 or len(kinds) > 1:
        shown = ", ".join(f"{each.name} {each.shape} {each.dtype}" for each in arrays)
        raise ValueError(f"arrays that go together must have one shape and type, got {shown}")
    first = arrays[0]
    return replace(
        first,
        name=",".join(each.name for each in arrays),
        shape=(*first.shape, len(arrays)),
        read=lambda key: np.stack([each.read(key) for each in arrays], axis=-1),
        at_hand=False,
        chunks=None,
        names=tuple(each.name for each in arrays),
        where=lambda index: arrays[index[-1]].place(index[:-1]),
    )


def _listed(found: Recordings) -> str:
    if not found:
        return ""
    return "; it has " + _short([f"{name} {each.shape}" for name, each in found.items()])


def _short(known: Sequence[str]) -> str:
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return ", ".join(known[:SHOWN]) + more
