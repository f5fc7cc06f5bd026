"""What a file holds: arrays that are read as far as they are asked for, and tables of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Names = tuple[str, ...]
Index = tuple[int, ...]


@dataclass(frozen=True)
class Recording:
    """An array of an open file: slices of it are arrays.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : numpy.dtype, or str where NumPy has no such type
    read : callable
        From a slice, or a tuple of slices, to an array.
    at_hand : bool
        Whether all of it can be had without more memory: it is a view of the file, or was read.
    chunks : tuple of int, or None
    names : tuple of str, or None
        Of the columns along the last axis.
    problem : str or None
        Why it cannot be used, and what helps.
    note : str or None
        What to know before it is used.
    where : callable, or None
        From the index of a value to what messages call its place in the file, where that is not
        the index in the array of this name.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    read: Callable[[Any], Array]
    at_hand: bool = False
    chunks: tuple[int, ...] | None = None
    names: Names | None = None
    problem: str | None = None
    note: str | None = None
    where: Callable[[Index], str] | None = None

    def __getitem__(self, key: Any) -> Array:
        return self.read(key)

    def whole(self) -> Array:
        """All of it."""
        return self.read(())

    def place(self, index: Index) -> str:
        """What messages call the place of a value in the file."""
        if self.where is not None:
            return self.where(index)
        if self.names is not None and len(index) == 2:
            return f"{row_of(index[0], f'column {self.names[index[1]]!r}')} of {self.name}"
        return f"{self.name}[{', '.join(map(str, index))}]"

    def as_floats(self) -> Recording:
        """The same, integers as floats that hold them exactly, up to 2**53."""
        if isinstance(self.dtype, str) or self.dtype.kind not in "iu":
            return self
        kind = np.dtype(np.float32 if self.dtype.itemsize <= 2 else np.float64)
        read = self.read
        return replace(self, dtype=kind, at_hand=False, read=lambda key: read(key).astype(kind))

    def columns(self, places: Sequence[int], axis: int = -1) -> Recording:
        """Some columns, in that order; they lie along the last axis, or another."""
        low, high = min(places), max(places) + 1
        steps = set(np.diff(places).tolist())
        regular = len(steps) <= 1 and steps <= set(range(1, high))
        some: Any = slice(0, None, max(steps, default=1)) if regular else np.subtract(places, low)
        names = None if self.names is None else tuple(self.names[place] for place in places)
        axis %= len(self.shape)
        chunks = None if self.chunks is None else _replaced(self.chunks, axis, len(places))
        return replace(
            self,
            shape=_replaced(self.shape, axis, len(places)),
            read=lambda key: self.read(self._key(key, axis, slice(low, high)))[
                (slice(None),) * axis + (some,)
            ],
            at_hand=self.at_hand and regular,
            chunks=chunks,
            names=names if axis == len(self.shape) - 1 else self.names,
            where=lambda index: self.place(_replaced(index, axis, places[index[axis]])),
        )

    def column(self, place: int, axis: int = -1) -> Recording:
        """One column, without an axis for it."""
        axis %= len(self.shape)
        names = self.names if axis == len(self.shape) - 1 else None
        name = str(place) if names is None else names[place]
        one = self.columns([place], axis)
        return replace(
            one,
            name=f"{self.name}[{name}]",
            shape=_without(one.shape, axis),
            read=lambda key: one.read(_with_axis(key, axis)).squeeze(axis),
            chunks=None if one.chunks is None else _without(one.chunks, axis),
            names=None,
            where=lambda index: one.place((*index[:axis], 0, *index[axis:])),
        )

    def _key(self, key: Any, axis: int, part: slice) -> tuple[Any, ...]:
        """A key with `part` for one axis, of which it takes all."""
        given = key if isinstance(key, tuple) else (key,)
        full = (*given, *[slice(None)] * (len(self.shape) - len(given)))
        return _replaced(full, axis, part)


def row_of(row: int, column: str) -> str:
    """What messages call the place of a value in a column."""
    return f"row {row} (counted from 0) of {column}"


def _replaced(parts: tuple[Any, ...], place: int, new: Any) -> tuple[Any, ...]:
    return (*parts[:place], new, *parts[place + 1 :])


def _without(parts: tuple[Any, ...], place: int) -> tuple[Any, ...]:
    return parts[:place] + parts[place + 1 :]


def _with_axis(key: Any, axis: int) -> tuple[Any, ...]:
    """A key of an array without an axis as one of the array with it."""
    given = key if isinstance(key, tuple) else (key,)
    return (*given[:axis], slice(None), *given[axis:]) if len(given) > axis else given


@dataclass(frozen=True)
class TextTable:
    """Columns of types of their own, which are read when they are chosen.

    Attributes
    ----------
    name : str
    rows : int
    types : tuple of str
        Of each column.
    read : callable
        From places of columns to an array of each, (rows,) or, of a structured array, (rows, k).
        Integers and booleans with missing values come as masked arrays.
    names : tuple of str, or None
        None where the file has no names for its columns.
    labels : str or None
        What a first column without a name holds that labels the rows and is none of the columns.
    """

    name: str
    rows: int
    types: tuple[str, ...]
    read: Callable[[Sequence[int]], list[Array]]
    names: Names | None
    labels: str | None = None
    problem: str | None = None
    note: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, len(self.types)

    def label(self, place: int) -> str:
        """A column as messages call it."""
        return f"column {place}" if self.names is None else f"column {self.names[place]!r}"


class Recordings(dict[str, Recording | TextTable]):
    """All arrays and tables of a file by their names.

    Attributes
    ----------
    main : str or None
        The one that is meant where none is named.
    """

    def __init__(self, found: dict[str, Any], main: str | None = None) -> None:
        super().__init__(found)
        self.main = next(iter(found)) if main is None and len(found) == 1 else main


def of_array(name: str, array: Array, **more: Any) -> Recording:
    """An array that was read."""
    return Recording(name, array.shape, array.dtype, array.__getitem__, at_hand=True, **more)


RAGGED = (
    "is an object array: its elements are sequences of unequal length, or Python objects. Fill the "
    "sequences up to one array (sequences, steps, units) and keep how long each was, for "
    "--lengths: python -c \"import numpy as np; a = np.load('FILE.npy', allow_pickle=True); "
    "n = [len(s) for s in a]; h = np.zeros((len(a), max(n), *np.shape(a[0])[1:])); "
    "[h[i].__setitem__(slice(n[i]), s) for i, s in enumerate(a)]; "
    "np.savez('filled.npz', h=h, lengths=n)\""
)


def of_objects(
    name: str, shape: tuple[int, ...], what: str = "Python objects", problem: str = RAGGED
) -> Recording:
    """An array that cannot be used: of sequences of unequal length, or of objects of any kind."""

    def refuse(_: Any) -> Array:
        raise ValueError(f"{name} {problem}")

    return Recording(name, shape, f"object ({what})", refuse, problem=problem)


def structured(recording: Recording) -> Recording | TextTable:
    """A structured array as a table of its fields; any other array as it is."""
    fields = getattr(recording.dtype, "names", None)
    if fields is None or len(recording.shape) != 1:
        return recording
    kinds = [recording.dtype[field] for field in fields]
    read: list[Array] = []

    def columns(places: Sequence[int]) -> list[Array]:
        if not read:
            read.append(recording.whole())
        return [read[0][fields[place]] for place in places]

    types = tuple(str(kind.base) + (f" {kind.shape}" if kind.shape else "") for kind in kinds)
    return TextTable(recording.name, recording.shape[0], types, columns, tuple(fields))


@contextmanager
def needed(package: str, install: str = '"tefast[files]"') -> Iterator[None]:
    """Turn the absence of a package into one line with the command that installs it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"this file needs {package}: pip install {install}") from error


@contextmanager
def readable(path: Path, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what a reader raises for a damaged file into one line."""
    try:
        yield
    except PermissionError:
        raise
    except errors as error:
        raise ValueError(f"{path} cannot be read as a {what}: {error}") from None
