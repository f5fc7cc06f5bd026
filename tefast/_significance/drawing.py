"""Surrogates of the source: what each method changes, drawn from a seed and a number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import get_args

import numpy as np
import numpy.typing as npt

from tefast._counting import evaluation
from tefast._counting.at_once import AtOnce
from tefast._counting.inputs import Inputs
from tefast._counting.windows import Windows
from tefast._inputs import values
from tefast._inputs.values import Values
from tefast._support.warn import warn
from tefast._tables.counts import blocks
from tefast._tables.states import Embedding, JointState, States, history, moved
from tefast._tables.types import MISSING, Codes, Lengths
from tefast.measures import TRANSFER_ENTROPY, Measure
from tefast.typing import Method

METHODS: tuple[str, ...] = get_args(Method)
ALIKE = 10
"""Of how many sequences an exchange may leave one with a source like its own, for "auto" to mean
"trials".

A random order leaves one sequence of a group where it is on the average, however many there are,
and all of them if their sources are equal.
"""
FEW_WAYS = 2**20
"""Of so few different surrogates none is drawn twice, nor is the source itself."""
BATCH_BYTES = 64 * 2**20
"""Of surrogates that are in memory together."""

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]


class Source:
    """The source of a test, and how surrogates of it are made.

    Parameters
    ----------
    inputs : Inputs
    embedding : Embedding
    method : str
        One of `METHODS`; afterwards the attribute `method` says what "auto" means here.
    measure : Measure
        One that `check_tested` lets pass.
    apart : int, default 1
        Of "circular" with one sequence, the steps that lie between one turn and the next, or more.
    stream : tuple of int, default ()
        What the random numbers of "conditional" depend on besides seed and surrogate.
    """

    def __init__(
        self,
        inputs: Inputs,
        embedding: Embedding,
        method: str,
        measure: Measure = TRANSFER_ENTROPY,
        apart: int = 1,
        stream: tuple[int, ...] = (),
    ) -> None:
        self._apart, self._stream = apart, stream
        self.inputs, self.embedding, self.measure = inputs, embedding, measure
        (self._axis,) = measure.y
        self._back = measure.axes[self._axis].steps(embedding)
        # States are kept where a transition starts, a step before the window's own, unless they
        # have what the source is at that step.
        self._ahead = min(1, *self._back)
        self.series = inputs.series("y")
        self.states = self._at_start(self.series)
        self.counted: Windows = self._windows(self.states)
        self._shuffled: dict[int, Positions] = {}
        self.method = self._automatic() if method == "auto" else method
        if self._starts.any():
            self._check_ways()

    def _check_ways(self) -> None:
        """Raise where there is no surrogate, and warn where all are the source itself."""
        if self.method == "trials" and not self._alike:
            raise ValueError(
                "method='trials' exchanges the sources of sequences of the same length and gaps, "
                "and no two are so; use 'circular' or 'shuffle'"
            )
        if self.method == "trials" and self._kept > sum(map(len, self._groups)) - 0.5:
            warn(
                "method='trials' exchanges the sources of sequences, and these are equal, so that "
                "every surrogate is like the data; use 'circular'"
            )
        if self.ways < 2 and self._apart > 1:
            raise ValueError(
                f"method={self.method!r} turns the source by the span of the delays, "
                f"{self._apart} steps, or more, and it has no more than "
                f"{int(self._lengths.max())} values; use fewer delays"
            )
        if self.ways < 2:
            raise ValueError(
                f"method={self.method!r} turns the source of every sequence, and none has two "
                "values; use 'shuffle' or 'conditional'"
            )

    @property
    def transitions(self) -> int:
        """Those that have a state of the source."""
        return int(np.count_nonzero(self.shared != MISSING))

    @property
    def shared(self) -> States:
        """The source's state (N, T) for the transitions that lead to each step."""
        return self.counted.beside[self._axis].codes

    def own(self, codes: Codes) -> States:
        """What a measure has of units in one integer, X the least significant of its digits.

        Of codes (N, T) or (N, T, U).
        """
        return self.counted.moves(codes, (*self.measure.given, *self.measure.x)).codes

    @cached_property
    def ways(self) -> float:
        """How many different surrogates there can be, the source among them; inf: very many."""
        if self.method not in ("trials", "circular"):
            return math.inf
        ways = 1
        for size in self._sizes:
            ways *= size
            if ways > FEW_WAYS:
                return math.inf
        return ways

    def surrogates(self, count: int, seed: int, at_once: int) -> Iterator[Floats]:
        """Transfer entropies in nats of `count` surrogates, (at most `at_once`, U) at a time.

        There are no more than ``ways - 1``. Surrogate i depends on seed and i alone.
        """
        if self.method == "conditional":
            score, each = self.exchanged, 4 * self.transitions
        elif self._way is not None:
            score, each = self._at_once, 2 * self.states.codes.size
        else:
            score, each = self._of_windows, 8 * self.states.codes.size
        batch = max(1, min(at_once, BATCH_BYTES // max(1, each)))
        for first in range(0, count, batch):
            yield score(seed, range(first, min(first + batch, count)))

    def beside(self, seed: int, i: int) -> JointState:
        """The source's states (N, T) of surrogate i, for transitions that lead to each step."""
        return self.draw(seed, i).moved(self._ahead)

    def draw(self, seed: int, i: int) -> JointState:
        """The source's states (N, T) of surrogate i, for transitions that start at each step."""
        if self.method == "circular":
            return self._at_start(JointState(self.turned(seed, i), self.series.size))
        rng = np.random.default_rng([seed, i])
        codes = self.states.codes
        if self.method == "shuffle":
            places = self._starts
            return self._with(_replaced(codes, places, rng.permutation(codes[places])))
        digits = None
        if self.ways <= FEW_WAYS:
            digits = _digits(int(self._numbers(seed)[i]), self._sizes)
        return self._with(_given_others(codes, self._alike, digits, rng))

    def turned(self, seed: int, i: int) -> States:
        """The source's codes (N, T) of surrogate i of "circular"."""
        if self.ways <= FEW_WAYS:
            number = np.array(_digits(int(self._numbers(seed)[i]), self._sizes))
        else:
            number = np.random.default_rng([seed, i]).integers(0, self._turns)
        by = number * self._lengths // self._turns
        return _turned(self.series.codes, self._order, self._lengths, by)

    def _at_start(self, series: JointState) -> JointState:
        """The state of a series (N, T) for the transitions that start at each step."""
        return history(series, [back - self._ahead for back in self._back])

    def _windows(self, states: JointState) -> Windows:
        """What is counted beside such states; a window belongs to the step it leads to."""
        given = {self._axis: states.moved(self._ahead)}
        return self.inputs.windows(self.measure, self.embedding, **given)

    def _with(self, codes: States) -> JointState:
        return JointState(codes, self.states.size)

    @cached_property
    def at_source(self) -> Booleans:
        """(N, T): the last of the source's own steps that a transition has a state of."""
        return self._from_starts(self._ahead - min(self._back))

    @cached_property
    def own_states(self) -> JointState:
        """The source's state (N, T) at the last of its own steps."""
        return history(self.series, [back - min(self._back) for back in self._back])

    def reached_by(self, states: JointState) -> JointState:
        """Such states (N, T), for the transitions that lead to each step."""
        reached = states.moved(min(self._back)).codes
        return JointState(np.where(self._from_starts(self._ahead), reached, MISSING), states.size)

    def _from_starts(self, steps: int) -> Booleans:
        """(N, T): where transitions start, so many steps later."""
        return np.asarray(moved(np.where(self._starts, 0, MISSING), steps) != MISSING)

    @property
    def rate(self) -> str:
        """The way in which surrogates are counted."""
        if self.method == "conditional":
            return "conditional"
        return "windows" if self._way is None else "steps"

    def _automatic(self) -> str:
        """Return "trials" if most sequences get another source than their own, else "circular"."""
        several = sum(len(group) for group in self._groups)
        return "trials" if several and several >= ALIKE * self._kept else "circular"

    @cached_property
    def _kept(self) -> float:
        """How many sequences a random exchange leaves with a source like their own, on average."""
        rows = [row.tobytes() for row in self.states.codes]
        kept = 0.0
        for group in self._groups:
            equal = Counter(rows[n] for n in group)
            kept += sum(many**2 for many in equal.values()) / len(group)
        return kept

    def _at_once(self, seed: int, numbers: range) -> Floats:
        assert self._way is not None
        drawn = (self._windows(self.draw(seed, i)) for i in numbers)
        return values.to_numpy(evaluation.scored_at_once(self.inputs, self._way, drawn))

    def _of_windows(self, seed: int, numbers: range) -> Floats:
        found = []
        for i in numbers:
            counted = self._windows(self.draw(seed, i))
            scores = evaluation.of_windows(self.inputs, counted, [self.measure], None)
            found.append(scores[0] * math.log(self.inputs.options.base))
        return np.stack(found)

    def exchanged(self, seed: int, numbers: range) -> Floats:
        """Transfer entropies in nats (surrogates, U) of "conditional".

        States are exchanged among the transitions with the same past of a unit.
        """
        inputs = self.inputs
        options, target = inputs.options, inputs.target
        places = np.flatnonzero(self.shared != MISSING)
        positions = np.arange(len(places), dtype=np.uint32)
        orders = np.stack(
            [
                np.random.default_rng([seed, i, *self._stream]).permutation(positions)
                for i in numbers
            ]
        )
        source = self.shared.ravel()[places]
        sequences, steps, units = target.array.shape
        nats = np.empty((len(orders), units))
        for some in blocks(units, 32 * sequences * steps):
            codes = inputs.binned().units(some).codes()
            own = self.own(codes).reshape(sequences * steps, -1)
            nats[:, some] = options.backend.conditional_surrogates(
                own[places], inputs.bins, source, orders, options.threads
            )
        return nats

    @cached_property
    def _way(self) -> AtOnce | None:
        """How the kernel of many sources for single steps takes them, if it does."""
        return evaluation.at_once(self.inputs, self.measure, self.counted)

    @cached_property
    def _valid(self) -> Booleans:
        return _within(self.inputs.target, self.inputs.lengths)

    @cached_property
    def _starts(self) -> Booleans:
        """Where a transition can start: its next step is there, and so are both histories."""
        sequences, steps = self.states.codes.shape
        starts = np.zeros((sequences, steps), bool)
        reach = self.measure.reach(self.embedding)
        starts[:, reach - self._ahead : steps - self._ahead] = self._valid[:, reach:]
        return np.asarray(starts & (self.states.codes != MISSING))

    @cached_property
    def _there(self) -> Booleans:
        return np.asarray(self._valid & (self.series.codes != MISSING))

    @cached_property
    def _order(self) -> Positions:
        """(N, T): the steps that have a code before those that have none."""
        return np.argsort(~self._there, axis=1, kind="stable")

    @cached_property
    def _lengths(self) -> Positions:
        """(N,): how many codes each sequence has."""
        return np.asarray(np.maximum(self._there.sum(axis=1), 1))

    @cached_property
    def _turns(self) -> Positions:
        """(N,): in how many ways each sequence can be turned, which are evenly spaced."""
        if len(self._lengths) > 1:
            return self._lengths
        return np.maximum(self._lengths // self._apart, 1)

    @cached_property
    def _sizes(self) -> list[int]:
        """Numbers of choices whose product is that of all surrogates."""
        if self.method == "circular":
            return [int(turns) for turns in self._turns]
        return [size for group in self._alike for size in range(len(group), 0, -1)]

    @cached_property
    def _alike(self) -> list[Positions]:
        return [group for group in self._groups if len(group) > 1]

    def _numbers(self, seed: int) -> Positions:
        """The numbers of all surrogates but the source itself, which is 0, in a random order."""
        if seed not in self._shuffled:
            order = np.random.default_rng(seed).permutation(int(self.ways) - 1)
            self._shuffled[seed] = order + 1
        return self._shuffled[seed]

    @cached_property
    def _groups(self) -> list[Positions]:
        """Sequences whose states are there at the same steps: these can be exchanged."""
        there = self.states.codes != MISSING
        _, kinds = np.unique(there, axis=0, return_inverse=True)
        kinds = kinds.ravel()
        order = np.argsort(kinds, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)
        return [group for group in groups if there[group[0]].any()]


def shuffled(sources: Sequence[Source], seed: int, i: int) -> list[JointState]:
    """The states (N, T) of surrogate i of "shuffle", for transitions that lead to each step.

    sources: one source at several delays. Its states are permuted once for all of them, as a series
    without memory is the same at every delay. Permutations of nearly as many states, one for each
    delay, would be nearly the same one if they came from the same random numbers: the best of them
    would be too low.
    """
    places = np.logical_or.reduce([source.at_source for source in sources])
    codes = sources[0].own_states.codes
    order = np.random.default_rng([seed, i]).permutation(codes[places])
    drawn = JointState(_replaced(codes, places, order), sources[0].own_states.size)
    return [source.reached_by(drawn) for source in sources]


def check_tested(measure: Measure, embedding: Embedding) -> None:
    """Raise a ValueError for a measure that surrogates of the source say nothing of."""
    step = len(measure.x) == 1 and len(measure.axes[measure.x[0]].steps(embedding)) == 1
    own, source = (
        {name for name, axis in measure.axes.items() if axis.role == role} for role in ("h", "y")
    )
    alone = len(source) == 1 and source == {*measure.y} and "z" not in measure.roles
    if not (step and alone and own == {*measure.x, *measure.given}):
        raise ValueError(
            "significance tests I(X; Y | Z) with X a step of the units, Y steps of the series and "
            f"Z all other steps of the units, got {measure.name} = {measure.formula(embedding)}. "
            "What a tefast.Streaming has counted is tested by its method significance"
        )


def _within(target: Values, lengths: Lengths) -> Booleans:
    sequences, steps, _ = target.array.shape
    if lengths is None:
        return np.ones((sequences, steps), bool)
    return np.asarray(np.arange(steps) < lengths[:, np.newaxis])


def _replaced(states: States, places: Booleans, by: States) -> States:
    out = np.full_like(states, MISSING)
    out[places] = by
    return out


def _digits(number: int, sizes: list[int]) -> list[int]:
    """The choices that make up surrogate `number`: all are 0 in the source itself."""
    digits = []
    for size in sizes:
        number, digit = divmod(number, size)
        digits.append(digit)
    return digits


def _given_others(
    states: States, groups: list[Positions], digits: list[int] | None, rng: np.random.Generator
) -> States:
    """Sequences with the states of others of their group, at random or as the digits say.

    A group of n has n digits: which of those that are left is next.
    """
    out, rest = states.copy(), iter(digits or ())
    for group in groups:
        left = group.tolist()
        order = rng.permutation(group) if digits is None else [left.pop(next(rest)) for _ in group]
        out[group] = states[order]
    return out


def _turned(codes: States, order: Positions, many: Positions, by: Positions) -> States:
    """Every sequence's codes, those that are there, turned by some of them.

    order: (N, T), the steps that have a code before those that have none; many: (N,), how many
    have one; by: (N,), each below that. Gaps stay where they are.
    """
    if codes.shape == (1, many[0]):
        return np.roll(codes, by[0], axis=1)
    length, by = many[:, np.newaxis], by[:, np.newaxis]
    rank = np.arange(codes.shape[1])
    if length.min() == len(rank):
        return np.take_along_axis(codes, (rank - by) % length, axis=1)
    source = np.where(rank < length, (rank - by) % length, rank)
    turned = np.take_along_axis(codes, np.take_along_axis(order, source, axis=1), axis=1)
    out = np.empty_like(codes)
    np.put_along_axis(out, order, turned, axis=1)
    return out
