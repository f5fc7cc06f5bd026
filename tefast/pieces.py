"""Pieces: data that need not fit into memory, in parts whose counts add up to the whole's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tefast import values
from tefast.states import check_positive

PIECE_BYTES = 64 * 2**20
"""Of the target that are read at once, unless the caller says how many rows."""


@dataclass(frozen=True)
class Piece:
    """What is counted at once.

    Attributes
    ----------
    batch : tuple
        What `update` takes.
    where : str
        The part of the data that it is, for messages; empty where it is all.
    """

    batch: tuple[Any, ...]
    where: str


@contextmanager
def located(piece: Piece) -> Iterator[None]:
    """Say in which piece it was that something raised: indices in messages count from its start."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not piece.where:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"in {piece.where}: {error}") from None


class Batches:
    """What an iterable gives, one batch after the other.

    Parameters
    ----------
    batches : iterable of tuple
        A list, a ``DataLoader``, a generator: whatever gives what `update` takes.

    Attributes
    ----------
    again : bool
        Whether they can be gone through a second time.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        iterator = iter(batches)
        self.again = iterator is not batches
        self._batches = batches if self.again else iterator

    def __iter__(self) -> Iterator[Piece]:
        for i, batch in enumerate(self._batches):
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                many = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
                raise TypeError(
                    f"batch {i} must be (h, y) or (h, y, lengths), got {type(batch).__name__}{many}"
                )
            yield Piece(tuple(batch), f"batch {i}")

    def __len__(self) -> int:
        """How many there are, 0 where that cannot be known."""
        return len(self._batches) if isinstance(self._batches, Sized) else 0


class Arrays:
    """Slices of arrays: of sequences, or of steps where one sequence alone is too large.

    Slices of steps overlap by as many as a transition takes, so that each transition is in one of
    them and in one only.

    Parameters
    ----------
    h : array, shape (N, T, U), (T, U) or (T,)
        Anything with a shape that slices can be taken of: an ndarray, a memory map, a tensor, a
        dataset of HDF5 or Zarr, an array of Dask.
    y : array, shape (N, T) or (T,), or with `joint` an axis more, or None
    lengths : array_like of int, shape (N,), or None
    rows : int or None
        Sequences in a slice, or steps where `h` has no axis of sequences. None: as many as take
        `PIECE_BYTES`, and whole chunks of a chunked file where these are smaller.
    overlap : int
        Steps before the first that a transition can lead to.
    joint : bool
        Whether `y` holds several sources.

    Attributes
    ----------
    units, sources : int
        How many there are.
    """

    again = True

    def __init__(
        self, h: Any, y: Any, lengths: Any, rows: int | None, overlap: int, joint: bool = False
    ) -> None:
        self._h = _sliceable(h)
        self._y = None if y is None else _sliceable(y)
        target = values.target(_stand_in(self._h))
        self.sources = 0
        if self._y is not None:
            source = values.source(_stand_in(self._y), target, joint)
            self.sources = source.array.shape[2]
        self._lengths = values.sequence_lengths(lengths, target)
        self._whole: tuple[int, int, int] = target.array.shape
        self.units = self._whole[2]
        self._flat = len(target.shape) < 3
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
            return _aligned(min(sequences, count), self._h, 0), steps
        wanted = min(max(1, PIECE_BYTES // step), steps)
        return 1, _aligned(wanted, self._h, 0 if self._flat else 1)

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
        at: Any = when if self._flat else (some if whole else (some, when))
        lengths = self._lengths
        if lengths is not None:
            lengths = np.clip(lengths[some] - when.start, 0, when.stop - when.start)
        series = () if self._y is None else (self._y[at],)
        parts = [] if self._flat else [f"sequences {some.start} to {some.stop - 1}"]
        if self._flat or not whole:
            parts.append(f"steps {when.start} to {when.stop - 1}")
        return Piece(
            (self._h[at], *series, lengths), " in ".join(reversed(parts)) if len(self) > 1 else ""
        )


def _sliceable(x: Any) -> Any:
    return x if hasattr(x, "shape") and hasattr(x, "__getitem__") else np.asarray(x)


def _stand_in(x: Any) -> Any:
    """An array of the shape of `x` that takes no memory, to have shapes checked before reading."""
    return np.broadcast_to(np.float32(0), tuple(x.shape))


def _aligned(rows: int, x: Any, axis: int) -> int:
    """`rows`, or a little less: whole chunks of a chunked array, so that none is read twice."""
    chunks = getattr(x, "chunks", None)
    if not chunks:
        return rows
    size: int = (
        chunks[axis] if isinstance(chunks[axis], int) else max(chunks[axis])
    )  # Dask has several
    return rows // size * size or rows
