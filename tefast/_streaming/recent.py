"""Counts of the last batches, which are not yet among those that users see."""

from __future__ import annotations

from tefast import _backends
from tefast._counting.inputs import Inputs
from tefast._counting.windows import Windows
from tefast._tables.counts import kept
from tefast._tables.states import moved
from tefast._tables.types import Counts, Recent

MOST_BYTES = 2**28
"""That the counters take at most."""
MOST_VALUES = 2**23
"""Of a batch, which is taken back whole where a signal comes meanwhile."""


class RecentCounts:
    """Counters of 16 bits for short batches, on a backend that has them.

    Counts are 64-bit integers. Adding to all of them takes longer than a short batch takes to
    count, so that these counters are added to them once for many batches.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self._tables: Recent | None = None
        self._rows = 0

    def takes(self, inputs: Inputs) -> bool:
        """Whether a batch is short enough, and the backend has such counters."""
        sequences, steps, units = inputs.target.array.shape
        rows: int = sequences * steps
        return rows <= inputs.options.backend.RECENT_ROWS and rows * units <= MOST_VALUES

    def add(self, inputs: Inputs, windows: Windows, counts: Counts) -> bool:
        """Count a batch whole, or raise; False if it is none for these counters.

        counts : ndarray of int64
            With the axes as they are kept: where the counters go before they overflow.
        """
        if not windows.are_steps or kept(windows.axes) == windows.axes:
            return False
        options, data = inputs.options, inputs.target
        backend, states = options.backend, counts[0, 0, 0].size
        rows = data.array.shape[0] * data.array.shape[1]
        if self._rows + rows > backend.RECENT_ROWS:
            self.move_to(counts)
        if self._tables is None:
            self._tables = backend.recent(len(counts), inputs.bins, states, MOST_BYTES)
        if self._tables is None:
            return False
        shared = moved(windows.shared(*data.array.shape[:2]).codes, -1)
        given = inputs.unscanned(data), shared.astype("int16"), states
        # Before anything is counted: a signal may come as soon as it was, and rows that are counted
        # twice here only make the counters move earlier.
        self._rows += rows
        if not backend.count_recent(*given, False, self._tables, options.threads):
            inputs.scan(data)  # raises, unless it was a NaN that is to be left out
            backend.count_recent(*given, True, self._tables, options.threads)
        return True

    def move_to(self, counts: Counts) -> None:
        """Add all of it to counts."""
        if self._tables is not None and self._rows:
            size = counts.shape[1]
            flat = counts.reshape(len(counts), size, size, -1)
            _backends.load("cpu").move_recent(self._tables, flat, None)
        self._rows = 0
