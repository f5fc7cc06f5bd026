"""Surrogates of the source: what each method changes, drawn from a seed and a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tefast import evaluation, values, windows
from tefast.backends import MISSING, Lengths
from tefast.evaluation import Inputs
from tefast.states import Embedding, States
from tefast.values import Values
from tefast.windows import MOST_STATES, Windows

METHODS = ("auto", "trials", "circular", "shuffle", "conditional", "chi2")
ALIKE = 10
"""Sequences that can be exchanged with each other, from which on "auto" means "trials".

A random order leaves one of them where it is on the average, however many there are.
"""
BATCH_BYTES = 64 * 2**20
"""Of surrogates that are in memory together."""

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Draw = Callable[[np.random.Generator], States]


class Source:
    """The source of a test, and how surrogates of it are made.

    Parameters
    ----------
    inputs : Inputs
    embedding : Embedding
    method : str
        One of `METHODS`; afterwards the attribute `method` says what "auto" means here.
    """

    def __init__(self, inputs: Inputs, embedding: Embedding, method: str) -> None:
        self.inputs, self.embedding = inputs, embedding
        self.codes = inputs.codes()[:, :, 0]
        self.states = evaluation.source_states(self.codes, inputs.bins, embedding)
        self.counted: Windows = evaluation.transitions(inputs, embedding, self.states)
        self.method = self._automatic() if method == "auto" else method
        if self.method == "trials" and not any(len(group) > 1 for group in self._groups):
            raise ValueError(
                "method='trials' exchanges the sources of sequences of the same length and gaps, "
                "and no two are so; use 'circular' or 'shuffle'"
            )

    @property
    def transitions(self) -> int:
        """Those that have a state of the source."""
        return int(np.count_nonzero(self.counted.shared != MISSING))

    @property
    def ways(self) -> float:
        """How many different surrogates there can be; inf where they are very many."""
        if self.method == "trials":
            logs = [math.lgamma(len(group) + 1) for group in self._groups]
        elif self.method == "circular":
            logs = np.log(np.maximum(self._there.sum(axis=1), 1)).tolist()
        else:
            return math.inf
        return round(math.exp(sum(logs))) if sum(logs) < 30 else math.inf

    def surrogates(self, count: int, seed: int, at_once: int) -> Iterator[Floats]:
        """Transfer entropies in nats of `count` surrogates, (at most `at_once`, U) at a time.

        Surrogate i is drawn from (seed, i).
        """
        size = self.inputs.bins**self.embedding.source_history
        if self.method == "conditional":
            score, each = self._exchanged, 4 * self.transitions
        elif self.embedding.target_history == 1 and size <= MOST_STATES:
            score, each = self._of_steps, 2 * self.states.size
        else:
            score, each = self._of_windows, 8 * self.states.size
        batch = max(1, min(at_once, BATCH_BYTES // max(1, each)))
        for first in range(0, count, batch):
            numbers = range(first, min(first + batch, count))
            yield score([np.random.default_rng([seed, i]) for i in numbers])

    def _automatic(self) -> str:
        """ "trials" where most sequences get the source of another, else "circular"."""
        several = sum(len(group) for group in self._groups)
        return "trials" if several and several >= ALIKE * len(self._groups) else "circular"

    def _of_steps(self, generators: list[np.random.Generator]) -> Floats:
        size = self.inputs.bins**self.embedding.source_history
        states = np.stack([self.draw(rng).astype(np.int16) for rng in generators])
        return values.to_numpy(evaluation.of_states(self.inputs, states, size))

    def _of_windows(self, generators: list[np.random.Generator]) -> Floats:
        found = []
        for rng in generators:
            counted = evaluation.transitions(self.inputs, self.embedding, self.draw(rng))
            scores = evaluation.of_windows(self.inputs, counted, evaluation.transferred, None)
            found.append(scores * math.log(self.inputs.options.base))
        return np.stack(found)

    def _exchanged(self, generators: list[np.random.Generator]) -> Floats:
        """Of surrogates that exchange states among transitions with the same past of a unit."""
        inputs, counted = self.inputs, self.counted
        options, target = inputs.options, inputs.target
        places = np.flatnonzero(counted.shared != MISSING)
        positions = np.arange(len(places), dtype=np.uint32)
        orders = np.stack([rng.permutation(positions) for rng in generators])
        source = counted.shared.ravel()[places]
        sequences, steps, units = target.array.shape
        size = max(1, BATCH_BYTES // (32 * sequences * steps))
        nats = np.empty((len(orders), units))
        for start in range(0, units, size):
            some = slice(start, min(start + size, units))
            codes = windows.codes_of(
                options.backend,
                target,
                inputs.learned(target),
                inputs.lengths,
                some,
                options.threads,
            )
            own = windows.own_keys(codes, counted, inputs.bins).reshape(sequences * steps, -1)
            nats[:, some] = options.backend.conditional_surrogates(
                own[places], counted.own[-1], source, orders, options.threads
            )
        return nats

    @cached_property
    def draw(self) -> Draw:
        """A function that draws the source's states (N, T) anew, for transitions from each step."""
        states = self.states
        if self.method == "shuffle":
            # Where a transition can start: its next step is there, and so are both histories.
            starts = np.zeros(states.shape, bool)
            starts[:, self.embedding.first : -1] = self._valid[:, self.embedding.first + 1 :]
            places = starts & (states != MISSING)
            return lambda rng: _replaced(states, places, rng.permutation(states[places]))
        if self.method == "trials":
            groups = [group for group in self._groups if len(group) > 1]
            return lambda rng: _given_others(states, groups, rng)
        there, many = self._there, self._there.sum(axis=1)
        order = np.argsort(~there, axis=1, kind="stable")
        return lambda rng: evaluation.source_states(
            _turned(self.codes, order, many, rng), self.inputs.bins, self.embedding
        )

    @cached_property
    def _valid(self) -> Booleans:
        return _within(self.inputs.target, self.inputs.lengths)

    @cached_property
    def _there(self) -> Booleans:
        return np.asarray(self._valid & (self.codes != MISSING))

    @cached_property
    def _groups(self) -> list[Places]:
        """Sequences whose states are there at the same steps: these can be exchanged."""
        there = self.states != MISSING
        _, kinds = np.unique(there, axis=0, return_inverse=True)
        kinds = kinds.ravel()
        order = np.argsort(kinds, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)
        return [group for group in groups if there[group[0]].any()]


def _within(target: Values, lengths: Lengths) -> Booleans:
    sequences, steps, _ = target.array.shape
    if lengths is None:
        return np.ones((sequences, steps), bool)
    return np.asarray(np.arange(steps) < lengths[:, np.newaxis])


def _replaced(states: States, places: Booleans, by: States) -> States:
    out = np.full_like(states, MISSING)
    out[places] = by
    return out


def _given_others(states: States, groups: list[Places], rng: np.random.Generator) -> States:
    out = states.copy()
    for group in groups:
        out[group] = states[rng.permutation(group)]
    return out


def _turned(
    codes: npt.NDArray[np.int16], order: Places, many: Places, rng: np.random.Generator
) -> npt.NDArray[np.int16]:
    """Every sequence's codes, those that are there, turned by a random number of them.

    order: (N, T), the steps that have a code before those that have none; many: (N,), how many
    have one. Gaps stay where they are.
    """
    length = np.maximum(many, 1)[:, np.newaxis]
    by = rng.integers(0, length)
    rank = np.arange(codes.shape[1])
    source = np.where(rank < length, (rank - by) % length, rank)
    turned = np.take_along_axis(codes, np.take_along_axis(order, source, axis=1), axis=1)
    out = np.empty_like(codes)
    np.put_along_axis(out, order, turned, axis=1)
    return out
