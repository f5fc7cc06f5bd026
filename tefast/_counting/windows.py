"""Windows: codes of several steps of a unit, counted beside states that all units share.

Whatever is not a single step's transition is counted here: longer histories, measures without a
source, the way from each unit to the source. Tables are dense where all cells there can be are few,
else sparse; what is measured of them is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._backends import Backend
from tefast._backends.inputs import BinnedValues, CodeWindows
from tefast._inputs.values import to_numpy
from tefast._tables.counts import CountTable, Dense, Sparse, allocate, blocks, kept
from tefast._tables.states import JointState, history, moved, together
from tefast._tables.types import MISSING, Axes, Codes, Counts, Steps
from tefast.binning import MAX_BINS

MOST_STATES = 2**15 - 1
"""The largest number of shared states that the kernels of single steps take."""
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

    def moves(self, codes: npt.NDArray[np.int16], axes: Axes) -> JointState:
        """Some of the axes `own` in one state, the last the least significant.

        Of codes (N, T) or (N, T, U).
        """
        units = JointState(codes.astype(np.int64), self.bins)
        return together(history(units, self.own[axis]) for axis in axes)

    def states(self, codes: npt.NDArray[np.int16]) -> dict[str, JointState]:
        """The state (N, T) along each axis, for one unit of codes (N, T)."""
        unit = JointState(codes.astype(np.int64), self.bins)
        return {axis: history(unit, back) for axis, back in self.own.items()} | dict(self.beside)


@dataclass(frozen=True)
class Binned(BinnedValues):
    """An input and its bins, where a backend reads it: all that counting takes.

    Attributes
    ----------
    backend : Backend
    threads : int or None
    """

    backend: Backend
    threads: int | None

    def steps(self, start: int, stop: int) -> Binned:
        """Some of the steps."""
        lengths = self.lengths
        if lengths is not None:
            lengths = np.clip(lengths - start, 0, stop - start)
        return replace(self, values=self.values.steps(start, stop), lengths=lengths)

    def encoded(self) -> Any:
        """Codes (N, T, U) where the backend keeps them, or in the host's memory."""
        if self.binning.bins <= MAX_BINS:
            return self.backend.encode(self, self.threads)
        codes = to_numpy(self.values.array)  # symbols that are codes, or -1, already
        if self.lengths is None:
            return codes
        within = np.arange(codes.shape[1]) < self.lengths[:, np.newaxis]
        return np.where(within[..., np.newaxis], codes, np.int16(MISSING))

    def codes(self) -> Codes:
        """Codes (N, T, U) in the host's memory."""
        return to_numpy(self.encoded())

    def value_counts(self) -> Counts:
        """Counts (U, bins) of every bin of every unit."""
        units, bins = self.values.array.shape[2], self.binning.bins
        counts = allocate((units, bins))
        if bins > MAX_BINS:
            codes = self.encoded()
            for u in range(units):
                unit = codes[:, :, u]
                counts[u] = np.bincount(unit[unit != MISSING], minlength=bins)
            return counts
        table = self.backend.table(counts, self.values)
        self.backend.count_values(self, table, self.threads)
        return to_numpy(table)

    def tables(self, windows: Windows) -> Iterator[tuple[slice, CountTable]]:
        """Counts of all units, some at a time, so that they never lie in memory together."""
        sequences, steps, units = self.values.array.shape
        rows = sequences * steps
        # A dense table is cleared and read whole; a sparse one costs the sorting of all rows.
        dense = windows.cells <= DENSE_CELLS and windows.cells <= 2**16 + 16 * rows
        each = 8 * (windows.cells if dense else rows * (len(windows.axes) + 1))
        for some in blocks(units, max(each, 2 * rows)):
            part = self.units(some)
            if dense and windows.are_steps:
                yield some, part.count_steps(windows)
            elif dense:
                yield some, count_dense(self.backend, part.codes(), windows, self.threads)
            else:
                yield some, count_sparse(part.codes(), windows)

    def add(self, windows: Windows, counts: Counts) -> None:
        """Add all windows to counts (U, ...), their axes in the order of `kept`.

        The counts lie where the backend has them.
        """
        sequences, steps, units = self.values.array.shape
        if windows.are_steps and kept(windows.axes) != windows.axes:
            self._add_steps(windows, counts.reshape(*counts.shape[:3], -1))
            return
        for some in blocks(units, max(8 * windows.cells, 2 * sequences * steps)):
            codes = self.units(some).codes()
            found = count_dense(self.backend, codes, windows, self.threads).counts
            if kept(windows.axes) != windows.axes:
                found = np.ascontiguousarray(found.swapaxes(1, 2))
            counts[some] += self.backend.table(found, self.values)

    def count_steps(self, windows: Windows) -> Dense:
        """Counts of all cells of windows of two steps, by the kernel that counts these."""
        units, states = self.values.array.shape[2], windows.cells // windows.bins**2
        table = allocate((units, windows.bins, windows.bins, states))
        counts = self.backend.table(table, self.values)
        self._add_steps(windows, counts)
        past_next = to_numpy(counts).swapaxes(1, 2)
        return Dense(past_next.reshape(units, *windows.shape), windows.axes)

    def _add_steps(self, windows: Windows, counts: Counts) -> None:
        """Add to counts (U, next, past, state) where the backend has them."""
        sequences, steps, _ = self.values.array.shape
        # The kernel wants the shared state at the first of two steps.
        shared = moved(windows.shared(sequences, steps).codes, -1)
        states = self.backend.table(np.ascontiguousarray(shared, dtype=np.int16), self.values)
        self.backend.count_transitions(self, states, counts, self.threads)


def count_dense(backend: Backend, codes: Codes, windows: Windows, threads: int | None) -> Dense:
    """Counts of all cells of the units of codes (N, T, U)."""
    sequences, steps, units = codes.shape
    counts: Counts = allocate((units, windows.cells))
    given = CodeWindows(codes, windows.bins, windows.back, windows.shared(sequences, steps))
    backend.count_windows(given, counts, threads)
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
