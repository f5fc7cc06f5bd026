"""Windows: codes of several successive steps of a unit, counted beside a state shared by all units.

Whatever is not a single step's transition is counted here: longer histories, measures without a
source, the way from each unit to the source. Tables are dense where all cells there can be are few,
else sparse; what is measured of them is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tefast.backends import MISSING, Backend, Codes, Counts, Lengths
from tefast.binning import MAX_BINS, Binning
from tefast.counts import BLOCK_BYTES, Dense, Sparse, Table, allocate, encoded
from tefast.states import States, history, moved, together
from tefast.values import Values, to_numpy

MOST_CELLS = 2**62
"""Cells are numbered in 64 bits."""
MOST_STATES = 2**15 - 1
"""Of those who share a step that the kernels of single steps take."""
DENSE_CELLS = 2**22
"""A unit's table of more cells than these is sparse."""


@dataclass(frozen=True)
class Windows:
    """What is counted of each unit.

    Attributes
    ----------
    length : int
        Steps of a window.
    own : tuple of int
        Sizes of the axes that a window's code is split into, the latest step in the last.
    shared : ndarray of int64, shape (N, T)
        A state for the windows that end at each step, `MISSING` where none is to be counted.
    beside : tuple of int
        Sizes of the axes that `shared` is split into.
    axes : tuple of str
        The names of all axes.
    """

    length: int
    own: tuple[int, ...]
    shared: States
    beside: tuple[int, ...]
    axes: tuple[str, ...]

    @classmethod
    def joined(
        cls,
        length: int,
        own: tuple[int, ...],
        parts: list[States],
        beside: tuple[int, ...],
        axes: tuple[str, ...],
    ) -> Windows:
        """Windows beside several states at once, one for each axis of `beside`."""
        check_cells(own + beside, axes)  # beyond it their product would be no state either
        return cls(length, own, together(parts, list(beside)), beside, axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all axes."""
        return self.own + self.beside

    @property
    def are_steps(self) -> bool:
        """Whether they are what the kernels of single steps count."""
        return self.length == 2 and math.prod(self.beside) <= MOST_STATES

    @property
    def at_start(self) -> npt.NDArray[np.int16]:
        """`shared` at the first of two steps, where the kernels of single steps want it."""
        return np.ascontiguousarray(moved(self.shared, -1), dtype=np.int16)

    def check(self) -> None:
        """Raise a ValueError if its cells cannot be numbered."""
        check_cells(self.shape, self.axes)


def check_cells(shape: tuple[int, ...], axes: tuple[str, ...]) -> None:
    """Raise a ValueError if the cells of a table of these axes cannot be numbered."""
    if math.prod(shape) > MOST_CELLS:
        named = zip(shape, axes, strict=True)
        sizes = " x ".join(f"{_readable(size)} ({axis})" for size, axis in named)
        raise ValueError(
            f"{sizes} joint states are more than 2**62; use fewer bins or shorter histories"
        )


def _readable(size: int) -> str:
    """A number that may have more digits than Python prints."""
    return str(size) if size <= MOST_CELLS else f"2**{math.log2(size):.0f}"


def tables(
    backend: Backend,
    target: Values,
    binning: Binning,
    lengths: Lengths,
    windows: Windows,
    threads: int | None,
) -> Iterator[tuple[slice, Table]]:
    """Counts of all units, some at a time, so that they never lie in memory together."""
    windows.check()
    sequences, steps, units = target.array.shape
    cells, rows = math.prod(windows.shape), sequences * steps
    # A dense table is cleared and read whole; a sparse one costs the sorting of all rows.
    dense = cells <= DENSE_CELLS and cells <= 2**16 + 16 * rows
    each = 8 * cells if dense else 0
    size = max(1, BLOCK_BYTES // max(each, 2 * rows))
    for start in range(0, units, size):
        some = slice(start, min(start + size, units))
        if dense and windows.are_steps and binning.bins <= MAX_BINS:
            yield some, count_steps(backend, target, binning, lengths, some, windows, threads)
            continue
        codes = codes_of(backend, target, binning, lengths, some, threads)
        if dense:
            yield some, count_dense(backend, codes, windows, binning.bins, threads)
        else:
            yield some, count_sparse(codes, windows, binning.bins)


def add(
    backend: Backend,
    target: Values,
    binning: Binning,
    lengths: Lengths,
    windows: Windows,
    counts: Counts,
    threads: int | None,
) -> None:
    """Add to counts (U, next, past, state) windows (past, next), where the backend has them."""
    windows.check()
    if windows.are_steps and binning.bins <= MAX_BINS:
        states = backend.table(windows.at_start, target)
        backend.count_transitions(target, binning, lengths, states, counts, threads)
        return
    sequences, steps, units = target.array.shape
    size = max(1, BLOCK_BYTES // max(8 * math.prod(windows.shape), 2 * sequences * steps))
    for start in range(0, units, size):
        some = slice(start, min(start + size, units))
        codes = codes_of(backend, target, binning, lengths, some, threads)
        found = count_dense(backend, codes, windows, binning.bins, threads).counts
        part, past, following = len(found), *windows.own
        added = found.reshape(part, past, following, -1).swapaxes(1, 2)
        counts[some] += backend.table(np.ascontiguousarray(added), target)


def count_steps(
    backend: Backend,
    target: Values,
    binning: Binning,
    lengths: Lengths,
    some: slice,
    windows: Windows,
    threads: int | None,
) -> Dense:
    """Counts of all cells of windows of two steps, by the kernel that counts these."""
    part, cuts = target.units(some.start, some.stop), binning.units(some.start, some.stop)
    bins, states = binning.bins, math.prod(windows.beside)
    counts = backend.table(allocate((some.stop - some.start, bins, bins, states)), part)
    beside = backend.table(windows.at_start, part)
    backend.count_transitions(part, cuts, lengths, beside, counts, threads)
    past_next = to_numpy(counts).swapaxes(1, 2)
    return Dense(past_next.reshape(len(counts), *windows.shape), windows.axes)


def codes_of(
    backend: Backend,
    target: Values,
    binning: Binning,
    lengths: Lengths,
    some: slice,
    threads: int | None,
) -> Codes:
    """Codes (N, T, units) of some units, in the host's memory."""
    part, cuts = target.units(some.start, some.stop), binning.units(some.start, some.stop)
    return to_numpy(encoded(backend, part, cuts, lengths, threads))


def keys(codes: npt.NDArray[np.int16], windows: Windows, bins: int) -> States:
    """The cell of every window of one unit, codes (N, T); `MISSING` where none is counted."""
    sizes = [math.prod(windows.own), math.prod(windows.beside)]
    return together([own_keys(codes, windows, bins), windows.shared], sizes)


def own_keys(codes: npt.NDArray[np.int16], windows: Windows, bins: int) -> States:
    """The axes `own` in one integer, of codes (N, T) or (N, T, U); `MISSING` where one is."""
    return history(codes, bins, windows.length)


def count_dense(
    backend: Backend, codes: Codes, windows: Windows, bins: int, threads: int | None
) -> Dense:
    """Counts of all cells of the units of codes (N, T, U)."""
    counts: Counts = allocate((codes.shape[2], math.prod(windows.shape)))
    states = math.prod(windows.beside)
    backend.count_windows(codes, bins, windows.length, windows.shared, states, counts, threads)
    return Dense(counts.reshape(-1, *windows.shape), windows.axes)


def count_sparse(codes: Codes, windows: Windows, bins: int) -> Sparse:
    """Counts of the cells that are not empty."""
    found = []
    for u in range(codes.shape[2]):
        cell = keys(codes[:, :, u], windows, bins)
        found.append(np.unique(cell[cell != MISSING], return_counts=True))
    cells, counts = ([pair[i].astype(np.int64) for pair in found] for i in (0, 1))
    return Sparse(cells, counts, windows.shape, windows.axes)
