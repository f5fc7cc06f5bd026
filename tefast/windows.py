"""Windows: codes of several steps of a unit, counted beside states that all units share.

Whatever is not a single step's transition is counted here: longer histories, measures without a
source, the way from each unit to the source. Tables are dense where all cells there can be are few,
else sparse; what is measured of them is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tefast.backends import MISSING, Backend, Codes, Counts, Lengths, Steps
from tefast.binning import MAX_BINS, Binning
from tefast.counts import BLOCK_BYTES, Dense, Sparse, Table, allocate, encoded
from tefast.states import JointState, history, moved, together
from tefast.values import Values, to_numpy

MOST_STATES = 2**15 - 1
"""Of those who share a step that the kernels of single steps take."""
DENSE_CELLS = 2**22
"""A unit's table of more cells than these is sparse."""


@dataclass(frozen=True)
class Windows:
    """What is counted of each unit: one cell for every step at which all of it is there.

    Attributes
    ----------
    bins : int
        Of the units' codes.
    own : mapping of str to Steps
        The axes that a unit's own codes make: the steps of each, back from the window's step.
    beside : mapping of str to JointState
        The axes that all units share: the state of each at the window's step.
    """

    bins: int
    own: Mapping[str, Steps]
    beside: Mapping[str, JointState]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of all axes."""
        return (*self.own, *self.beside)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all axes."""
        own = [self.bins ** len(back) for back in self.own.values()]
        return (*own, *(state.size for state in self.beside.values()))

    @property
    def cells(self) -> int:
        """How many cells there can be; of long histories more than 64 bits can number."""
        return math.prod(self.shape)

    @property
    def back(self) -> tuple[int, ...]:
        """Steps of a unit's own codes, back from the window's step, the most significant first."""
        return tuple(steps for back in self.own.values() for steps in back)

    @property
    def are_steps(self) -> bool:
        """Whether they are what the kernels of single steps count."""
        states = math.prod(state.size for state in self.beside.values())
        steps = [*map(tuple, self.own.values())] == [(1,), (0,)]
        return steps and states <= MOST_STATES and self.bins <= MAX_BINS

    def shared(self, sequences: int, steps: int) -> JointState:
        """All that units share in one state; where they share nothing there is one alone."""
        nothing = JointState(np.zeros((sequences, steps), np.int64), 1)
        return together(self.beside.values()) if self.beside else nothing

    def moves(self, codes: npt.NDArray[np.int16]) -> JointState:
        """The axes `own` in one state, the last the least significant, of codes (N, T[, U])."""
        units = JointState(codes.astype(np.int64), self.bins)
        return together(history(units, back) for back in self.own.values())

    def states(self, codes: npt.NDArray[np.int16]) -> dict[str, JointState]:
        """The state (N, T) along each axis, for one unit of codes (N, T)."""
        unit = JointState(codes.astype(np.int64), self.bins)
        return {axis: history(unit, back) for axis, back in self.own.items()} | dict(self.beside)


def tables(
    backend: Backend,
    target: Values,
    binning: Binning,
    lengths: Lengths,
    windows: Windows,
    threads: int | None,
) -> Iterator[tuple[slice, Table]]:
    """Counts of all units, some at a time, so that they never lie in memory together."""
    sequences, steps, units = target.array.shape
    rows = sequences * steps
    # A dense table is cleared and read whole; a sparse one costs the sorting of all rows.
    dense = windows.cells <= DENSE_CELLS and windows.cells <= 2**16 + 16 * rows
    each = 8 * (windows.cells if dense else rows * (len(windows.axes) + 1))
    size = max(1, BLOCK_BYTES // max(each, 2 * rows))
    for start in range(0, units, size):
        some = slice(start, min(start + size, units))
        if dense and windows.are_steps:
            yield some, count_steps(backend, target, binning, lengths, some, windows, threads)
            continue
        codes = codes_of(backend, target, binning, lengths, some, threads)
        if dense:
            yield some, count_dense(backend, codes, windows, threads)
        else:
            yield some, count_sparse(codes, windows)


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
    sequences, steps, units = target.array.shape
    if windows.are_steps:
        states = backend.table(_at_start(windows, sequences, steps), target)
        backend.count_transitions(target, binning, lengths, states, counts, threads)
        return
    size = max(1, BLOCK_BYTES // max(8 * windows.cells, 2 * sequences * steps))
    for start in range(0, units, size):
        some = slice(start, min(start + size, units))
        codes = codes_of(backend, target, binning, lengths, some, threads)
        found = count_dense(backend, codes, windows, threads).counts
        part, past, following = len(found), *windows.shape[:2]
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
    sequences, steps, units = part.array.shape
    states = windows.cells // windows.bins**2
    counts = backend.table(allocate((units, windows.bins, windows.bins, states)), part)
    beside = backend.table(_at_start(windows, sequences, steps), part)
    backend.count_transitions(part, cuts, lengths, beside, counts, threads)
    past_next = to_numpy(counts).swapaxes(1, 2)
    return Dense(past_next.reshape(len(counts), *windows.shape), windows.axes)


def _at_start(windows: Windows, sequences: int, steps: int) -> npt.NDArray[np.int16]:
    """The shared state at the first of two steps, where the kernels of single steps want it."""
    shared = windows.shared(sequences, steps)
    return np.ascontiguousarray(moved(shared.codes, -1), dtype=np.int16)


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


def count_dense(backend: Backend, codes: Codes, windows: Windows, threads: int | None) -> Dense:
    """Counts of all cells of the units of codes (N, T, U)."""
    sequences, steps, units = codes.shape
    counts: Counts = allocate((units, windows.cells))
    shared = windows.shared(sequences, steps)
    backend.count_windows(
        codes, windows.bins, windows.back, shared.codes, shared.size, counts, threads
    )
    return Dense(counts.reshape(-1, *windows.shape), windows.axes)


def count_sparse(codes: Codes, windows: Windows) -> Sparse:
    """Counts of the cells that are not empty."""
    found = [_occurring([*windows.states(codes[:, :, u]).values()]) for u in range(codes.shape[2])]
    return Sparse([cells for cells, _ in found], [counts for _, counts in found], windows.axes)


def _occurring(states: list[JointState]) -> tuple[Counts, Counts]:
    """The cells (axes, cells) that states (N, T) make, in their order, and how often each is."""
    cell, sizes = together(states), [state.size for state in states]
    seen = cell.codes != MISSING
    if cell.size == math.prod(sizes):
        keys, counts = np.unique(cell.codes[seen], return_counts=True)
        columns = np.unravel_index(keys, sizes)
    else:  # some states were numbered anew, so that the number of a cell does not say where it is
        _, first, counts = np.unique(cell.codes[seen], return_index=True, return_counts=True)
        columns = tuple(state.codes[seen][first] for state in states)
    return np.stack(columns).astype(np.int64), counts.astype(np.int64)
