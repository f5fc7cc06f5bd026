"""Processes whose transfer entropy is known, and their exact joint law by enumeration.

x is the target, y the source, independent and uniform over the alphabet. A rule gives the law of
the next x, as exact fractions, for every present (x, y).
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Law = dict[int, Fraction]


@dataclass(frozen=True)
class Process:
    name: str
    alphabet: int
    rule: Callable[[int, int, int], Law]
    bits: float
    source_is_target: bool = False

    def joint(self) -> dict[tuple[int, int, int], Fraction]:
        """p(next, past, source) in the stationary state."""
        symbols = range(self.alphabet)
        if self.source_is_target:
            pairs = {(x, x): Fraction(1, self.alphabet) for x in symbols}
        else:
            share = Fraction(1, self.alphabet)
            pairs = {(x, y): p * share for x, p in enumerate(self._stationary()) for y in symbols}
        law: dict[tuple[int, int, int], Fraction] = {}
        for (x, y), p in pairs.items():
            for following, q in self.rule(x, y, self.alphabet).items():
                law[following, x, y] = law.get((following, x, y), Fraction(0)) + p * q
        return law

    def _stationary(self) -> list[Fraction]:
        """These rules treat all symbols alike, so the uniform law is stationary; it is checked."""
        size = self.alphabet
        uniform = [Fraction(1, size)] * size
        after = [Fraction(0)] * size
        for x in range(size):
            for y in range(size):
                for following, q in self.rule(x, y, size).items():
                    after[following] += q / size**2
        assert after == uniform
        return uniform

    def transitions(self) -> tuple[np.ndarray, np.ndarray]:
        """Sequences of two steps that hold every transition in exact proportion to its law."""
        law = self.joint()
        scale = np.lcm.reduce([p.denominator for p in law.values()])
        h, y = [], []
        for (following, past, source), p in law.items():
            for _ in range(int(p * int(scale))):
                h.append([past, following])
                y.append([source, 0])
        return np.array(h), np.array(y)

    def simulate(self, sequences: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Trajectories from a uniform start."""
        rng = np.random.default_rng(seed)
        size = self.alphabet
        table = np.zeros((size, size, size))
        for x in range(size):
            for y in range(size):
                for following, q in self.rule(x, y, size).items():
                    table[x, y, following] = q
        limits = table.cumsum(axis=2)
        h = np.empty((sequences, steps), np.int64)
        h[:, 0] = rng.integers(0, size, sequences)
        y = rng.integers(0, size, (sequences, steps))
        for t in range(steps - 1):
            source = h[:, t] if self.source_is_target else y[:, t]
            draw = rng.random(sequences)[:, np.newaxis]
            h[:, t + 1] = (draw >= limits[h[:, t], source]).sum(axis=1).clip(0, size - 1)
        return h, h.copy() if self.source_is_target else y


def _mix(*parts: tuple[Fraction, Law]) -> Law:
    law: Law = {}
    for weight, other in parts:
        for symbol, p in other.items():
            law[symbol] = law.get(symbol, Fraction(0)) + weight * p
    return law


HALF, TENTH, ONE = Fraction(1, 2), Fraction(1, 10), Fraction(1)


def _uniform(size: int) -> Law:
    return {symbol: Fraction(1, size) for symbol in range(size)}


def copy(x, y, size):
    return {y: ONE}


def xor(x, y, size):
    return {x ^ y: ONE}


def noisy_copy(x, y, size):
    return {y: ONE - TENTH, 1 - y: TENTH}


def lazy_copy(x, y, size):
    return _mix((HALF, {y: ONE}), (HALF, {x: ONE}))


def channel(x, y, size):
    return _mix((HALF, {y: ONE}), (HALF, _uniform(size)))


def walk(x, y, size):
    return _mix((HALF, {x: ONE}), (HALF, {(x + 1) % size: ONE}))


PROCESSES = [
    Process("copy", 2, copy, 1.0),
    Process("copy", 4, copy, 2.0),
    Process("xor", 2, xor, 1.0),
    Process("noisy copy", 2, noisy_copy, 0.531004406411),
    Process("lazy copy", 2, lazy_copy, 0.311278124459),
    Process("lazy copy", 4, lazy_copy, 0.798794940695),
    Process("symmetric channel", 4, channel, 0.451205059305),
    Process("self", 5, walk, 0.0, source_is_target=True),
]
