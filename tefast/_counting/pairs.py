"""Pairs: each of some series as a source beside all of them as targets.

What is counted of a pair is what `tefast.transfer_entropy` counts of it. Of few states that is done
by products of rows of bits, hundreds of steps at a time; of many by the kernels of one source. The
way is chosen here, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt

from tefast._backends.inputs import PairStates, StepWindows
from tefast._counting import evaluation
from tefast._counting.at_once import MOST_AT_ONCE
from tefast._counting.inputs import Inputs
from tefast._counting.windows import MOST_STATES, Windows
from tefast._inputs.kinds import concatenated, to_numpy
from tefast._tables import entropies
from tefast._tables.counts import CountTable, Dense
from tefast._tables.states import Embedding, JointState, history
from tefast._tables.types import Booleans
from tefast.binning import MAX_BINS
from tefast.measures import TRANSFER_ENTROPY

Floats = npt.NDArray[np.float64]

ROW_BYTES = 2**27
"""Of the rows of bits of the targets, and of the sources, that are in memory together."""
CODE_BYTES = 2**28
"""Of codes that are made into rows at a time."""
STRIP = 16
"""Series that become codes together."""
TILE_BITS = 2**39
"""Bits that are multiplied in a tile: a second or two."""
MOVED_BYTES = 2**28
"""Of the rows of sources at some delays, which are in memory together."""
DELAYS_AT_ONCE = 32
"""Delays at which rows are multiplied together, so that the targets' rows are read once for all."""
TILE_STEPS = 2**28
"""Steps that are counted in a tile one by one."""
LEAST_TIMES, LEAST_TARGETS = 16, 64
"""Sources, with delays and surrogates, and targets that a tile has where it can."""
TILE_PAIRS = 2**18
"""Pairs and delays of a tile, whose values then stay in the cache until they are in their place."""
MOST_CELLS = 2**16
"""Cells of a pair's table above which its steps are counted one by one."""
TILE_CELLS = 2**22
"""Counts of a tile that are in memory together."""
# What a pair takes, in units of the time in which the kernel of single steps counts a transition:
# measured at 2 to 16 symbols, 20 to 20,000 transitions.
BITS_AT_ONCE = {"avx512_popcnt": 260.0, "avx512": 105.0, "avx2": 105.0, "baseline": 40.0}
"""Bits that products count in it; an unknown instruction set is taken for the slowest."""
BITS_CELL, FEW_BITS_CELL = 8.0, 6.0
"""What a cell of a table takes to be measured by products, and with up to four symbols."""
STEPS_CELL, STEPS_PAIR, WINDOWS_CELL = 0.4, 130.0, 60.0
"""What a cell takes by single steps, what they take however short a pair is, and by windows."""
WINDOWS_STEP = 12.0
"""What a transition takes among windows."""


@dataclass(frozen=True)
class Tile:
    """Some sources beside some targets."""

    sources: slice
    targets: slice


@dataclass(frozen=True)
class Pairs:
    """What is asked of all pairs.

    Attributes
    ----------
    inputs : Inputs
        With all series as the target.
    embedding : Embedding
        Its delay stands for none.
    delays : tuple of int
    sources : ndarray of int64, shape (S,)
        Which of the series are sources.
    level : str
        The instruction set in use, for what the ways cost.
    """

    inputs: Inputs
    embedding: Embedding
    delays: tuple[int, ...]
    sources: npt.NDArray[np.int64]
    level: str

    @property
    def steps(self) -> int:
        """Steps of all sequences."""
        sequences, steps, _ = self.inputs.target.array.shape
        return int(sequences * steps)

    @property
    def units(self) -> int:
        """How many targets there are."""
        return int(self.inputs.target.array.shape[2])

    @property
    def moves(self) -> int:
        """States that a target can have: of its past and its next step."""
        return int(self.inputs.bins ** (self.embedding.target_history + 1))

    @property
    def states(self) -> int:
        """States that a source can have."""
        return int(self.inputs.bins**self.embedding.source_history)

    @cached_property
    def by_bits(self) -> bool:
        """Whether products of rows of bits take the least time.

        A transition of a pair is a bit of ``(moves - 1) (states - 1)`` products. A row takes no
        less than a whole cache line does.
        """
        cells = self.moves * self.states
        if self.inputs.bins > MAX_BINS or cells > MOST_CELLS:
            return False
        at_once = BITS_AT_ONCE.get(self.level, min(BITS_AT_ONCE.values()))
        products = (self.moves - 1) * (self.states - 1)
        few = self.moves * self.states == self.inputs.bins**3 <= 64
        bits = products * max(512, self.steps) / at_once
        bits += (FEW_BITS_CELL if few else BITS_CELL) * cells
        if self.has_kernel:
            return bits < self.steps + STEPS_PAIR + STEPS_CELL * cells
        return bits < WINDOWS_STEP * self.steps + WINDOWS_CELL * cells

    @property
    def has_kernel(self) -> bool:
        """Whether the kernels of single steps score one source at a time."""
        small = self.moves * self.states <= MOST_AT_ONCE
        past = evaluation.takes_past(self.inputs, self.embedding)
        return past and small and self.states <= MOST_STATES

    def at(self, delay: int) -> Embedding:
        """The embedding with a delay."""
        own = self.embedding
        return Embedding(
            own.target_history, own.source_history, delay, own.target_step, own.source_step
        )

    def kept(self, delay: int) -> Booleans:
        """(N * T,): the steps that a transition with this delay can lead to."""
        sequences, steps, _ = self.inputs.target.array.shape
        found = np.zeros((sequences, steps), bool)
        found[:, self.at(delay).first + 1 :] = True
        if self.inputs.lengths is not None:
            found &= np.arange(steps) < self.inputs.lengths[:, np.newaxis]
        return found.ravel()

    def tiles(self, drawn: int = 0) -> list[Tile]:
        """All tiles, those of the same targets after one another.

        drawn: surrogates of each source, which are counted beside it.
        """
        times = len(self.delays) * (1 + drawn)
        across, down = self._tile_of_bits(times) if self.by_bits else self._tile_of_steps(times)
        down = max(1, min(down, TILE_PAIRS // (across * len(self.delays)), len(self.sources)))
        return [
            Tile(slice(s, min(s + down, len(self.sources))), slice(u, min(u + across, self.units)))
            for u in range(0, self.units, across)
            for s in range(0, len(self.sources), down)
        ]

    @property
    def sources_together(self) -> int:
        """Sources whose rows have room."""
        words = (self.steps + 511) // 512 * 8
        return max(1, ROW_BYTES // (8 * words * self.states))

    @property
    def moved_bytes(self) -> int:
        """What the rows of a source take at delays that are multiplied together."""
        words = (self.steps + 511) // 512 * 8
        return 8 * words * max(1, self.states - 1) * min(len(self.delays), DELAYS_AT_ONCE)

    def _tile_of_bits(self, times: int) -> tuple[int, int]:
        """How many targets, and how many sources beside them, `times` over, make a tile."""
        words = (self.steps + 511) // 512 * 8
        across = min(self.units, max(1, ROW_BYTES // (8 * words * self.moves)))
        products = max(1, self.moves - 1) * max(1, self.states - 1)
        down = TILE_BITS // (across * products * 64 * words * times)
        down = max(1, min(down, MOVED_BYTES // self.moved_bytes, self.sources_together))
        return across, down if down < 4 else down // 4 * 4  # products take four rows at a time

    def _tile_of_steps(self, times: int) -> tuple[int, int]:
        """The same of steps that are counted one by one."""
        # The targets of a tile become codes first, which pays for some sources.
        across = TILE_STEPS // (self.steps * max(times, LEAST_TIMES))
        across = min(self.units, max(LEAST_TARGETS, across))
        down = TILE_STEPS // (self.steps * across * times)
        return across, max(1, min(down, ROW_BYTES // (2 * self.steps)))


class PairCounter:
    """Counts tiles, and keeps what neighbouring ones have in common."""

    def __init__(self, work: Pairs) -> None:
        self.work = work
        self._targets: tuple[slice, PairStates] | None = None
        self._sources: tuple[slice, PairStates] | None = None

    def scores(self, tile: Tile, bias: str | None) -> Iterator[Floats]:
        """Transfer entropy (S, U) of a tile in nats, delay by delay."""
        if self.work.by_bits:
            rows = self._rows_of(tile.sources, self.work.sources_together)
            yield from self._by_delay(rows, tile.targets, bias)
            return
        states = self._source_states(tile.sources)
        for delay in self.work.delays:
            ends = [state.moved(delay) for state in states]
            yield self._one_by_one(ends, tile.targets, bias)

    def of_drawn(self, states: Sequence[JointState], targets: slice) -> Floats:
        """The same of states (N, T) that sources have where transitions lead to."""
        if not self.work.by_bits:
            return self._one_by_one(states, targets, None)
        codes = np.stack([state.codes.astype(np.int16) for state in states], axis=2)
        options = self.work.inputs.options
        rows = options.backend.pair_states(codes, self.work.states, [0], options.threads)
        (found,) = self._of_rows([rows], targets)
        return cast("Floats", found)

    def of_series(self, codes: npt.NDArray[np.int16], targets: slice) -> Iterator[Floats]:
        """The same of sources with such codes (N, T, S), delay by delay."""
        if self.work.by_bits:
            options = self.work.inputs.options
            bins, back = self.work.inputs.bins, self._back
            rows = options.backend.pair_states(codes, bins, back, options.threads)
            yield from self._by_delay(rows, targets, None)
            return
        states = [self._state(codes[:, :, i]) for i in range(codes.shape[2])]
        for delay in self.work.delays:
            yield self._one_by_one([state.moved(delay) for state in states], targets, None)

    def tables_of(
        self, number: int, delay: int, targets: slice
    ) -> Iterator[tuple[slice, CountTable]]:
        """Counts of the source of this number beside some targets, some of these at a time."""
        if self.work.by_bits:
            rows = self._moved(self._rows_of(slice(number, number + 1), 1), delay)
            yield from ((units, table) for _, units, table in self.tables(rows, targets))
            return
        (state,) = self._source_states(slice(number, number + 1))
        part = self.work.inputs.binned().units(targets)
        yield from part.tables(self._windows(state.moved(delay)))

    def _moved(self, sources: PairStates, delay: int) -> PairStates:
        options, kept = self.work.inputs.options, self.work.kept(delay)
        return options.backend.moved_states(sources, delay, kept, options.threads)

    def _by_delay(self, sources: PairStates, targets: slice, bias: str | None) -> Iterator[Floats]:
        """Scores (S, U) of rows that lie where the sources are, delay by delay."""
        delays = self.work.delays
        if bias is not None:
            for delay in delays:
                yield self._corrected(self._moved(sources, delay), targets, bias)
            return
        for first in range(0, len(delays), DELAYS_AT_ONCE):
            some = delays[first : first + DELAYS_AT_ONCE]
            yield from self._of_rows([self._moved(sources, delay) for delay in some], targets)

    def _of_rows(self, sources: Sequence[PairStates], targets: slice) -> Floats:
        """Scores (sets, S, U) of sets of rows that lie where the transitions lead to."""
        options, rows = self.work.inputs.options, self.target_states(targets)
        nexts = self.work.inputs.bins
        found = options.backend.score_pairs(rows, sources, nexts, options.threads)
        return cast("Floats", to_numpy(found))

    def _corrected(self, sources: PairStates, targets: slice, bias: str) -> Floats:
        """The same (S, U) of one set, with a correction of the bias."""
        found = np.empty((len(sources.rows), targets.stop - targets.start))
        for s, u, table in self.tables(sources, targets):
            scores = self._measured(table, bias)
            found[s, u] = scores.reshape(s.stop - s.start, -1)
        return found

    def _measured(self, table: CountTable, bias: str | None) -> Floats:
        sums = TRANSFER_ENTROPY.sums(table, bias == "grassberger")
        return entropies.mean(sums, table.total, math.e, bias)

    def tables(
        self, sources: PairStates, targets: slice
    ) -> Iterator[tuple[slice, slice, CountTable]]:
        """Counts of all pairs, those of some sources and targets at a time."""
        options, nexts = self.work.inputs.options, self.work.inputs.bins
        rows = self.target_states(targets)
        many, units = len(sources.rows), targets.stop - targets.start
        cells = max(1, TILE_CELLS // (self.work.moves * self.work.states))
        across = min(units, cells)
        down = min(many, max(1, cells // across))
        for s in range(0, many, down):
            for u in range(0, units, across):
                of_s, of_u = slice(s, min(s + down, many)), slice(u, min(u + across, units))
                counts = options.backend.count_pairs(
                    rows.series(of_u), sources.series(of_s), nexts, options.threads
                )
                shape = (-1, self.work.moves // nexts, nexts, self.work.states)
                counts = to_numpy(counts).reshape(shape)
                yield of_s, of_u, Dense(counts, ("past", "next", "source"))

    def target_states(self, targets: slice) -> PairStates:
        """The rows of some targets."""
        if self._targets is None or self._targets[0] != targets:
            back = [*self.work.embedding.past, 0]
            self._targets = targets, self._packed(np.arange(targets.start, targets.stop), back)
        return self._targets[1]

    def _source_states(self, sources: slice) -> Sequence[JointState]:
        """The state (N, T) of each source at the last of its own steps."""
        numbers = self.work.sources[sources].tolist()
        return [self._state(self._codes(slice(i, i + 1))[:, :, 0]) for i in numbers]

    def _state(self, codes: npt.NDArray[np.int16]) -> JointState:
        series = JointState(codes.astype(np.int64), self.work.inputs.bins)
        return history(series, self._back)

    @property
    def _back(self) -> list[int]:
        """How far the steps of a source's state lie before the last of them."""
        return [each - self.work.embedding.delay for each in self.work.embedding.source]

    def _rows_of(self, sources: slice, together: int) -> PairStates:
        """The rows of some sources, where these are.

        If they are not known yet, those of so many sources from them on are made and kept: series
        lie side by side, and reading one takes as long as reading its neighbours too.
        """
        known = self._sources
        if known is None or not known[0].start <= sources.start < sources.stop <= known[0].stop:
            stop = max(sources.stop, min(sources.start + together, len(self.work.sources)))
            some = slice(sources.start, stop)
            known = self._sources = some, self._packed(self.work.sources[some], self._back)
        start = known[0].start
        return known[1].series(slice(sources.start - start, sources.stop - start))

    def _packed(self, series: npt.NDArray[np.int64], back: Sequence[int]) -> PairStates:
        """The rows of some series, whose codes are in memory a few at a time."""
        inputs, options = self.work.inputs, self.work.inputs.options
        parts = []
        most = max(1, CODE_BYTES // (2 * self.work.steps))
        for some in runs(series, most if most < STRIP else most // STRIP * STRIP):
            codes = self._codes(some)
            parts.append(options.backend.pair_states(codes, inputs.bins, back, options.threads))
        return joined(parts)

    def _codes(self, some: slice) -> npt.NDArray[np.int16]:
        return np.ascontiguousarray(self.work.inputs.binned().units(some).codes())

    def _one_by_one(self, states: Sequence[JointState], targets: slice, bias: str | None) -> Floats:
        """Scores (S, U) of states where the transitions lead to, one source at a time."""
        work = self.work
        if bias is None and work.has_kernel:
            part = replace(
                work.inputs, target=work.inputs.target.units(targets.start, targets.stop)
            )
            binning = work.inputs.learned(work.inputs.target)
            known = {part.target.role: binning.units(targets.start, targets.stop)}
            # The kernel wants the state a step before the transition's end.
            starts = np.stack([each.moved(-1).codes for each in states])
            given = replace(part, _binnings=known)
            windows = StepWindows.of_past(work.embedding.past)
            scores = evaluation.of_states(given, starts, work.states, windows)
            return np.asarray(to_numpy(scores))
        return np.stack([self._of_windows(each, targets, bias) for each in states])

    def _of_windows(self, state: JointState, targets: slice, bias: str | None) -> Floats:
        found = np.full(targets.stop - targets.start, np.nan)
        part = self.work.inputs.binned().units(targets)
        for some, table in part.tables(self._windows(state)):
            found[some] = self._measured(table, bias)
        return found

    def _windows(self, state: JointState) -> Windows:
        """What is counted beside a source's state where the transitions lead to."""
        return self.work.inputs.windows(TRANSFER_ENTROPY, self.work.embedding, source=state)


def runs(series: npt.NDArray[np.int64], most: int) -> Iterator[slice]:
    """Ranges of neighbouring series, no longer than `most`, that make up all of them in order."""
    start = 0
    for end in range(1, len(series) + 1):
        goes_on = end < len(series) and series[end] == series[end - 1] + 1
        if not goes_on or end - start == most:
            yield slice(int(series[start]), int(series[end - 1]) + 1)
            start = end


def joined(parts: Sequence[PairStates]) -> PairStates:
    """The rows of several sets of series, one after the other."""
    if len(parts) == 1:
        return parts[0]
    rows = concatenated([part.rows for part in parts])
    first = parts[0].any
    if all(len(part.any) == 1 and bool((part.any == first).all()) for part in parts):
        return PairStates(rows, first)
    everyone = [
        part.any if len(part.any) == len(part.rows) else concatenated([part.any] * len(part.rows))
        for part in parts
    ]
    return PairStates(rows, concatenated(everyone))
