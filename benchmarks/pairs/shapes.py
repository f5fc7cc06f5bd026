"""Made data in the shapes of jobs that people have: series, steps, symbols and density.

The same data come out of every call: the seed is fixed.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Shape:
    """A job, or a part of one.

    The first `sources` of the series are the sources; all of them are targets.
    """

    name: str
    series: int
    steps: int
    symbols: int
    kind: str = "uniform"
    delays: tuple[int, ...] = (1,)
    target_history: int = 1
    source_history: int = 1
    sources: int = 0  # all

    @property
    def many(self):
        """How many sources there are."""
        return self.sources or self.series

    @property
    def moves(self):
        """States of a target: of its past and its next step."""
        return self.symbols ** (self.target_history + 1)

    @property
    def states(self):
        """States of a source."""
        return self.symbols**self.source_history

    @property
    def cells(self):
        """Counts of a pair."""
        return self.moves * self.states

    @property
    def products(self):
        """Products of rows of bits that give all counts of a pair."""
        return (self.moves - 1) * (self.states - 1)

    @property
    def pairs(self):
        """Pairs of different series."""
        return self.many * (self.series - 1)

    def first(self, delay):
        """The first step that a transition leads to."""
        return max(self.target_history, self.source_history - 1 + delay)

    @property
    def counted(self):
        """Transitions of a pair, those of all delays added up."""
        return sum(self.steps - self.first(delay) for delay in self.delays)

    @property
    def transitions(self):
        """Transitions of all pairs at all delays."""
        return self.pairs * self.counted

    @cached_property
    def codes(self):
        """uint8 of shape (series, steps), each series contiguous."""
        rng = np.random.default_rng(0)
        made = np.empty((self.series, self.steps), np.uint8)
        for u in range(self.series):
            made[u] = KINDS[self.kind](self, u, made, rng)
        return made

    def forget(self):
        """Let go of the codes; they are made again where they are wanted again."""
        self.__dict__.pop("codes", None)

    def part(self, most):
        """As much of the job as has at most so many transitions, but one pair at least.

        First there are fewer delays, then fewer series, of which all are sources, then fewer steps.
        """
        found = self
        if found.transitions > most:
            each = found.transitions // len(found.delays)
            found = replace(found, delays=found.delays[: max(1, int(most / each))])
        if found.transitions > most:
            side = int(np.sqrt(most / found.counted))
            found = replace(found, series=max(2, side), sources=0 if side > 1 else 1)
        if found.transitions > most:
            found = replace(found, steps=max(found.first(found.delays[0]) + 1, int(most)))
        return found

    def small(self):
        """The same kind of job with a few series, for checks."""
        return replace(self, series=5, steps=min(self.steps, 1500), delays=self.delays[:3])


def uniform(shape, u, made, rng):
    """Every symbol is as likely; a third of the series copy the one before where they can."""
    own = rng.integers(0, shape.symbols, shape.steps, dtype=np.uint8)
    if u % 3 == 2:
        copied = rng.random(shape.steps) < 0.2
        copied[0] = False
        own[copied] = made[u - 1, np.flatnonzero(copied) - 1]
    return own


def spikes(shape, u, made, rng):
    """Steps of 1 ms: log-normal rates around 2 Hz; every third cell is driven by the one before."""
    rate = min(0.05, 0.002 * np.exp(0.8 * rng.standard_normal()))
    own = np.zeros(shape.steps, np.uint8)
    own[rng.integers(0, shape.steps, rng.binomial(shape.steps, rate))] = 1
    if u % 3 == 2:
        fired = np.flatnonzero(made[u - 1]) + 1 + u % 10
        fired = fired[fired < shape.steps]
        own[fired[rng.random(len(fired)) < 0.3]] = 1
    return own


def calcium(shape, u, made, rng):
    """Changes of fluorescence: noise, and rises that last for three samples; three levels."""
    fired = (rng.random(shape.steps + 2) < 0.02).astype(np.float32)
    signal = rng.standard_normal(shape.steps, dtype=np.float32)
    signal += 4 * fired[2:] + 3 * fired[1:-1] + 2 * fired[:-2]
    return np.digitize(signal, np.linspace(-1.0, 2.5, shape.symbols - 1)).astype(np.uint8)


def genes(shape, u, made, rng):
    """Counts along pseudotime, most of them low: slow waves, each gene with symbols of its own."""
    time = np.linspace(0, 2 * np.pi, shape.steps)
    wave = 1 + np.sin(time * rng.integers(1, 4) + 2 * np.pi * rng.random())
    most = int(rng.integers(1, shape.symbols))
    level = most / 4 * wave * np.exp(0.5 * rng.standard_normal())
    return np.minimum(rng.poisson(level), most).astype(np.uint8)


KINDS = {"uniform": uniform, "spikes": spikes, "calcium": calcium, "genes": genes}

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("Ito", 200, 3_600_000, 2, "spikes", delays=tuple(range(1, 31))),
        Shape(
            "ChaLearn", 1000, 179_500, 3, "calcium", delays=(0,), target_history=2,
            source_history=2,
        ),
        Shape("mESC, 11 symbols", 3281, 459, 11, "genes"),
        Shape("mESC, 2 symbols", 3281, 459, 2, "genes"),
        Shape("Skin, 23 symbols", 1960, 7490, 23, "genes"),
        *(
            Shape(f"{series} series, {symbols} symbols", series, 10_000, symbols)
            for series in (200, 1000, 4000)
            for symbols in (2, 3, 4, 8, 16)
        ),
    )
}  # fmt: skip
