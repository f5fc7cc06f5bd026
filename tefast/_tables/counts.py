"""Counts: the sufficient statistic.

Integers, so they add up exactly over batches, files, threads and machines, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tefast._support.memory import memory_limit
from tefast._tables.states import JointState, together
from tefast._tables.types import Counts

Floats = npt.NDArray[np.float64]
BLOCK_BYTES = 64 * 2**20
"""What the counts of units that are worked on together may take."""


def allocate(shape: tuple[int, ...]) -> Counts:
    """Zeros of `shape`, or a ValueError that says how large they would have been."""
    check_room(shape, memory_limit(), "of memory here")
    return np.zeros(shape, np.int64)


def check_room(shape: tuple[int, ...], available: int, where: str) -> None:
    """Raise a ValueError if counts of `shape` are larger than `available` bytes."""
    size = 8 * math.prod(shape)  # Python's integers: the product may be beyond 64 bits
    if size > available:
        raise ValueError(
            f"joint counts of shape {shape} take {size / 2**30:.1f} GiB, more than the "
            f"{available / 2**30:.1f} GiB {where}; use fewer bins or fewer units at a time"
        )


def blocks(units: int, each: int) -> Iterator[slice]:
    """Ranges of units that take `BLOCK_BYTES` together, where one takes `each` bytes."""
    size = max(1, BLOCK_BYTES // max(1, each))
    for start in range(0, units, size):
        yield slice(start, min(start + size, units))


def kept(axes: tuple[str, ...]) -> tuple[str, ...]:
    """Axes in the order in which counts are kept: the next value before the past."""
    return ("next", "past", *axes[2:]) if axes[:2] == ("past", "next") else axes


@dataclass(frozen=True)
class Dense:
    """Counts of every cell there can be.

    Attributes
    ----------
    counts : ndarray of int64, shape (U, ...)
    axes : tuple of str
        The names of the axes after the first.
    """

    counts: Counts
    axes: tuple[str, ...]

    @property
    def total(self) -> Counts:
        """How many were counted of each unit, shape (U,)."""
        return np.asarray(self.counts.reshape(len(self.counts), -1).sum(axis=1))

    def marginals(self, axes: tuple[str, ...]) -> Iterator[Counts]:
        """Counts (some units, cells) of these axes alone, added up over the others."""
        others = tuple(i + 1 for i, axis in enumerate(self.axes) if axis not in axes)
        # Without other axes a sum would be a copy of the largest array there is.
        added = self.counts.sum(axis=others) if others else self.counts
        yield added.reshape(len(self.counts), -1)

    def occurring(self) -> Iterator[tuple[Counts, Counts]]:
        """Of each unit the cells (axes, cells) that are not empty, rising, and their counts."""
        for unit in self.counts:
            cells = np.nonzero(unit)
            yield np.stack(cells), unit[cells]

    def folded(
        self, axes: tuple[str, ...], given: tuple[str, ...], of: Callable[[Counts], Floats]
    ) -> Iterator[Floats]:
        """Sums of a function of n over the cells of `axes` that are not empty: (units, given)."""
        kept = (*axes, *given)
        others = tuple(i + 1 for i, axis in enumerate(self.axes) if axis not in kept)
        n = self.counts.sum(axis=others)
        named = [axis for axis in self.axes if axis in kept]
        part = np.where(n > 0, of(np.maximum(n, 1)), 0.0)
        summed = part.sum(axis=tuple(i + 1 for i, axis in enumerate(named) if axis in axes))
        yield summed.reshape(len(self.counts), -1)

    def beside(self, *sets: tuple[str, ...]) -> Iterator[tuple[Counts, list[Counts]]]:
        """All counts (some units, cells), and beside each those of some axes alone."""
        found = []
        for axes in sets:
            others = tuple(i + 1 for i, axis in enumerate(self.axes) if axis not in axes)
            part = self.counts.sum(axis=others, keepdims=True)
            found.append(np.broadcast_to(part, self.counts.shape).reshape(len(self.counts), -1))
        yield self.counts.reshape(len(self.counts), -1), found


@dataclass(frozen=True)
class Sparse:
    """Counts of the cells that are not empty.

    Attributes
    ----------
    cells : list of ndarray of int64, shape (axes, cells), one for every unit
        The states along each axis that make a cell; cells rise, the last axis the least
        significant.
    counts : list of ndarray of int64, shape (cells,), one for every unit
        How often each was.
    axes : tuple of str
        The names of the axes.
    """

    cells: list[Counts]
    counts: list[Counts]
    axes: tuple[str, ...]

    @property
    def total(self) -> Counts:
        """How many were counted of each unit, shape (U,)."""
        return np.array([n.sum() for n in self.counts], dtype=np.int64)

    def marginals(self, axes: tuple[str, ...]) -> Iterator[Counts]:
        """Counts (1, cells) of these axes alone, unit by unit; empty cells are not among them."""
        for cells, counts in zip(self.cells, self.counts, strict=True):
            yield self._added(cells, counts, axes)[np.newaxis]

    def occurring(self) -> Iterator[tuple[Counts, Counts]]:
        """Of each unit the cells (axes, cells) that are not empty, rising, and their counts."""
        yield from zip(self.cells, self.counts, strict=True)

    def folded(
        self, axes: tuple[str, ...], given: tuple[str, ...], of: Callable[[Counts], Floats]
    ) -> Iterator[Floats]:
        """The same of one unit after the other: (1, given)."""
        for cells, counts in zip(self.cells, self.counts, strict=True):
            kept = self._kept(cells, (*axes, *given))
            _, first, place = np.unique(kept, return_index=True, return_inverse=True)
            n = np.zeros(len(first), np.int64)
            np.add.at(n, place, counts)
            _, where = np.unique(self._kept(cells[:, first], given), return_inverse=True)
            yield np.asarray(np.bincount(where, of(n)), dtype=np.float64)[np.newaxis]

    def beside(self, *sets: tuple[str, ...]) -> Iterator[tuple[Counts, list[Counts]]]:
        """All counts (1, cells) of each unit, and beside each those of some axes alone."""
        for cells, counts in zip(self.cells, self.counts, strict=True):
            found = []
            for axes in sets:
                _, place = np.unique(self._kept(cells, axes), return_inverse=True)
                added = np.zeros(len(counts), np.int64)
                np.add.at(added, place, counts)
                found.append(added[place][np.newaxis])
            yield counts[np.newaxis], found

    def _added(self, cells: Counts, counts: Counts, axes: tuple[str, ...]) -> Counts:
        kept = self._kept(cells, axes)
        order = np.argsort(kept, kind="stable")
        kept = kept[order]
        first = np.flatnonzero(np.concatenate([[True], kept[1:] != kept[:-1]]))
        return np.add.reduceat(counts[order], first) if kept.size else counts

    def _kept(self, cells: Counts, axes: tuple[str, ...]) -> Counts:
        """The cells with some axes alone, as one integer each."""
        chosen = [row for row, name in zip(cells, self.axes, strict=True) if name in axes]
        if not cells.shape[1] or not chosen:
            return np.zeros(cells.shape[1], np.int64)
        return together(JointState(row, int(row.max()) + 1) for row in chosen).codes


CountTable = Dense | Sparse
