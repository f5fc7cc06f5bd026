"""Pieces: data that need not fit into memory, in parts whose counts add up to the whole's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tefast._counting.masks import layout_of
from tefast._inputs import values
from tefast._inputs.layouts import check_layout, of_series
from tefast._inputs.sequences import is_unequal
from tefast._support.mistakes import MistakeError
from tefast._tables.states import check_positive

PIECE_BYTES = 64 * 2**20
"""Of the target that are read at once, unless the caller says how many rows."""


@dataclass(frozen=True)
class Piece:
    """What is counted at once.

    Attributes
    ----------
    series : tuple
        The target, and what is beside it.
    where : str
        The part of the data that it is, for messages; empty where it is all.
    layout : str or None
        What the axes of the target in it hold.
    start : tuple of int
        Where in the data it starts, by the target's axes.
    lengths, mask
        Those of what is in it, or None.
    """

    series: tuple[Any, ...]
    where: str
    layout: str | None = None
    start: tuple[int, ...] = ()
    lengths: Any = None
    mask: Any = None


@contextmanager
def located(piece: Piece) -> Iterator[None]:
    """Say in which piece it was that something raised: indices in messages count from its start."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not piece.where:
            raise
        if isinstance(error, MistakeError):
            raise error.inside(piece.where, piece.start) from None
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"in {piece.where}: {error}") from None


class Batches:
    """What an iterable gives, one batch after the other.

    Parameters
    ----------
    batches : iterable of tuple
        A list, a ``DataLoader``, a generator: whatever gives ``(h, y)``, ``(h, y, lengths)`` or
        ``(h, y, lengths, mask)``.
    layout : str or None
        What the axes of every target hold.

    Attributes
    ----------
    again : bool
        Whether they can be gone through a second time.
    """

    units = sources = None
    """How many there are is told by the first batch."""

    def __init__(self, batches: Iterable[Any], layout: str | None = None) -> None:
        iterator = iter(batches)
        self.again = iterator is not batches
        self._batches, self._layout = (batches if self.again else iterator), layout

    def __iter__(self) -> Iterator[Piece]:
        for i, batch in enumerate(self._batches):
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3, 4):
                many = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
                raise TypeError(
                    f"batch {i} must be (h, y), (h, y, lengths) or (h, y, lengths, mask), got "
                    f"{type(batch).__name__}{many}"
                )
            lengths, mask = [*batch[2:], None, None][:2]
            yield Piece(tuple(batch[:2]), f"batch {i}", self._layout, (), lengths, mask)

    def __len__(self) -> int:
        """How many there are, 0 where that cannot be known."""
        return len(self._batches) if isinstance(self._batches, Sized) else 0


class Lists:
    """A list of sequences of unequal lengths, some at a time.

    Parameters
    ----------
    h : sequence of array_like, shape (T, U) or (T,), or as `layout` says
    y : sequence of array_like, shape (T,), or None
    rows : int or None
        Sequences in a piece; None: as many as take `PIECE_BYTES`.
    overlap : int
        Steps before the first that a transition can lead to.
    layout : str or None
    joint : bool
        Whether `y` holds several sources.
    mask : sequence of array_like of bool, or None
    z : sequence of array_like, shape (T,) or (T, Z), or None
    """

    again = True

    def __init__(
        self,
        h: Any,
        y: Any,
        rows: int | None,
        overlap: int,
        layout: str | None = None,
        joint: bool = False,
        mask: Any = None,
        z: Any = None,
    ) -> None:
        beside = {values.ROLES["y"]: y, values.ROLES["z"]: z, "mask": mask}
        for name, one in beside.items():
            if one is not None and not is_unequal(one):
                raise ValueError(
                    f"{values.ROLES['h']} is a list of sequences of unequal lengths, and {name} is "
                    "not; pass both as such lists"
                )
            if one is not None and len(one) != len(h):
                raise ValueError(
                    f"{name} is a list of {len(one)} sequences, and {values.ROLES['h']} is one of "
                    f"{len(h)}"
                )
        self._h, self._mask = h, mask
        self._beside = [one for one in (y, z) if one is not None]
        shapes = [np.shape(each) for each in h]
        default = "NTU" if len(shapes[0]) > 1 else "NT"
        self._layout = check_layout(
            default if layout is None else layout,
            1 + len(shapes[0]),
            values.ROLES["h"],
            (len(shapes), *shapes[0]),
        )
        time = self._layout.index("T") - 1
        longest = max(range(len(shapes)), key=lambda i: shapes[i][time])
        one = values.target(h[longest : longest + 1], self._layout)
        self.units: int | None = one.array.shape[2]
        self.sources: int | None = np.shape(y[longest])[-1] if joint and y is not None else 1
        sizes = [8 * math.prod(shape) for shape in shapes]
        rows = None if rows is None else check_positive(rows, "rows")
        # Where no transition fits, a piece would be refused.
        long = [shape[time] > overlap for shape in shapes]
        self._parts = [some for some in _groups(sizes, rows) if any(long[some])]
        self._parts = self._parts or [slice(0, len(shapes))]

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Piece]:
        for some in self._parts:
            series = [one[some] for one in (self._h, *self._beside)]
            where = f"sequences {some.start} to {some.stop - 1}" if len(self) > 1 else ""
            mask = None if self._mask is None else self._mask[some]
            yield Piece(tuple(series), where, self._layout, (), None, mask)


def _groups(sizes: list[int], rows: int | None) -> list[slice]:
    """Neighbours that take no more than a piece may, or `rows` of them."""
    groups, start, taken = [], 0, 0
    for i, size in enumerate(sizes):
        full = i - start >= rows if rows is not None else taken + size > PIECE_BYTES
        if full and i > start:
            groups.append(slice(start, i))
            start, taken = i, 0
        taken += size
    return [*groups, slice(start, len(sizes))]


def slices(
    h: Any,
    y: Any,
    lengths: Any,
    rows: int | None,
    overlap: int,
    layout: str | None = None,
    joint: bool = False,
    mask: Any = None,
    z: Any = None,
) -> Arrays | Lists:
    """Pieces of arrays, or of lists of sequences of unequal lengths."""
    if not is_unequal(h):
        return Arrays(h, y, lengths, rows, overlap, layout, joint, mask, z)
    if lengths is not None:
        raise ValueError("lengths goes with arrays; sequences in a list have lengths of their own")
    return Lists(h, y, rows, overlap, layout, joint, mask, z)


class Arrays:
    """Slices of arrays: of sequences, or of steps where one sequence alone is too large.

    Slices of steps overlap by as many as a transition takes, so that each transition is in one of
    them and in one only.

    Parameters
    ----------
    h : array, shape (N, T, U), (T, U) or (T,), or as `layout` says
        Anything with a shape that slices can be taken of: an ndarray, a memory map, a tensor, a
        dataset of HDF5 or Zarr, an array of Dask.
    y : array, shape (N, T) or (T,), or None
    lengths : array_like of int, shape (N,), or None
    rows : int or None
        Sequences in a slice, or steps where `h` has no axis of sequences. None: as many as take
        `PIECE_BYTES`, and whole chunks of a chunked file where these are smaller.
    overlap : int
        Steps before the first that a transition can lead to.
    layout : str or None
    joint : bool
        Whether `y` holds several sources, in an axis more at the end.
    mask : array of bool, of the shape of one series or that of `h`, or None
    z : array, of the shape of one series, or with an axis more at the end; or None
    """

    again = True

    def __init__(
        self,
        h: Any,
        y: Any,
        lengths: Any,
        rows: int | None,
        overlap: int,
        layout: str | None = None,
        joint: bool = False,
        mask: Any = None,
        z: Any = None,
    ) -> None:
        given = {"h": h, "y": y, "z": z}
        series = {role: _sliceable(x) for role, x in given.items() if x is not None}
        self._h, *self._beside = series.values()
        stand_ins = {role: _stand_in(x) for role, x in series.items()}
        target, others = values.take_all(stand_ins, layout, joint)
        self.sources: int | None = next((x.array.shape[2] for x in others if x.role == "y"), 1)
        self._lengths = values.sequence_lengths(lengths, target)
        self._mask: Any = None
        if mask is not None:
            self._mask = _sliceable(mask)
            self._mask_layout = layout_of(tuple(self._mask.shape), target)
        self._whole: tuple[int, int, int] = target.array.shape
        self.units: int | None = self._whole[2]
        self._layout = target.layout
        self._flat = "N" not in target.layout
        self._overlap = overlap
        self._sequences, self._steps = self._sizes(rows)

    def _sizes(self, rows: int | None) -> tuple[int, int]:
        """How many sequences, and how many steps beyond the overlap, are in a piece."""
        count, steps, units = self._whole
        if rows is not None:
            rows = check_positive(rows, "rows")
            return (1, rows) if self._flat else (min(rows, count), steps)
        step = units * getattr(getattr(self._h, "dtype", None), "itemsize", 8)
        sequences = PIECE_BYTES // (step * steps)
        if sequences and not self._flat:
            return aligned(min(sequences, count), self._h, self._layout.index("N")), steps
        wanted = min(max(1, PIECE_BYTES // step), steps)
        return 1, aligned(wanted, self._h, self._layout.index("T"))

    def __len__(self) -> int:
        count, steps, _ = self._whole
        parts = math.ceil(max(1, steps - self._overlap) / self._steps)
        return math.ceil(count / self._sequences) * parts

    def __iter__(self) -> Iterator[Piece]:
        count, steps, _ = self._whole
        for n in range(0, count, self._sequences):
            for t in range(0, max(1, steps - self._overlap), self._steps):
                some = slice(n, min(n + self._sequences, count))
                yield self._piece(some, slice(t, min(t + self._steps + self._overlap, steps)))

    def _piece(self, some: slice, when: slice) -> Piece:
        whole = when == slice(0, self._whole[1])
        places = {"N": some, "T": slice(None) if whole and not self._flat else when}
        lengths = self._lengths
        if lengths is not None:
            lengths = np.clip(lengths[some] - when.start, 0, when.stop - when.start)
        beside = _key(of_series(self._layout), places)
        series = (self._h[_key(self._layout, places)], *(one[beside] for one in self._beside))
        mask = self._mask
        if mask is not None:
            mask = mask[_key(self._mask_layout, places)]
        parts = [] if self._flat else [f"sequences {some.start} to {some.stop - 1}"]
        if self._flat or not whole:
            parts.append(f"steps {when.start} to {when.stop - 1}")
        where = " in ".join(reversed(parts)) if len(self) > 1 else ""
        first = {"N": some.start, "T": when.start}
        start = tuple(first.get(letter, 0) for letter in self._layout)
        return Piece(series, where, self._layout, start, lengths, mask)


def _key(layout: str, places: dict[str, slice]) -> Any:
    """What to slice an array of this layout by: one slice where the first axis is cut alone."""
    key = [places.get(letter, slice(None)) for letter in layout]
    while len(key) > 1 and key[-1] == slice(None):
        key.pop()
    return key[0] if len(key) == 1 else tuple(key)


class _Rows:
    """A table of pandas, sliced by position."""

    def __init__(self, table: Any) -> None:
        self._table, self.shape = table, table.shape

    def __getitem__(self, key: Any) -> Any:
        return self._table.iloc[key]


def _sliceable(x: Any) -> Any:
    if hasattr(x, "iloc"):
        return _Rows(x)
    if hasattr(x, "tocsr") and len(x.shape) == 2:  # SciPy: not all that is sparse can be sliced
        return x.tocsr()
    return x if hasattr(x, "shape") and hasattr(x, "__getitem__") else np.asarray(x)


def _stand_in(x: Any) -> Any:
    """An array of the shape of `x` that takes no memory, to have shapes checked before reading."""
    return np.broadcast_to(np.float32(0), tuple(x.shape))


def aligned(rows: int, x: Any, axis: int) -> int:
    """`rows`, or a little less: whole chunks of a chunked array, so that none is read twice."""
    chunks = getattr(x, "chunks", None)
    if not chunks:
        return rows
    size: int = (
        chunks[axis] if isinstance(chunks[axis], int) else max(chunks[axis])
    )  # Dask has several
    return rows // size * size or rows
