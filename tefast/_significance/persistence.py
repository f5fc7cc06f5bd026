"""Memory beyond the histories, for which tests that break it up take chance to be less than it is.

Take a source that is independent of a unit. Let q be the pairs (past, next) of the unit, p its
pasts and s the states of the source. ``G = 2 N T`` is a sum of squares, one for each cell, of sums
over time. If the unit's past says all that the unit tells of what comes later, or if the source
forgets at once, then the terms of these sums are uncorrelated, and the mean of G is that of the
chi-square law, its degrees of freedom. Else it is that times

    F = 1 + 2 * sum over lags of k(lag) * s(lag),
    k = (R[q] - R[p]) / (Q - P),   s = (R[s] - 1) / (S - 1),
    R[a] = sum over the values of a of Prob(a now and a after the lag) / Prob(a),

with P, Q and S the numbers of values that p, q and s have. R is 1 where values are independent of
each other, and R[q] equals R[p] where the past says all, as in a Markov chain. Permutations of all
states, or of those within each past, are not correlated, so that G seems high beside them. The
share of independent units that such a test calls significant at 5 % is that of a chi-square
variable, multiplied by F, beyond the limit for 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tefast._significance.drawing import Source
from tefast._support.warn import warn
from tefast._tables.states import States
from tefast._tables.types import MISSING

UNITS, STEPS = 64, 4096
"""What is looked at: so many units, evenly spaced, and so many steps of each."""
LAGS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
"""Between these k(lag) s(lag) is interpolated."""
WORST = 0.075
"""Of independent units, what share may be called significant at 5 %."""
SURE = 5.0
"""Standard errors by which F exceeds 1 where memory is certain."""

Floats = npt.NDArray[np.float64]


def looked_at(many: int, most: int) -> range:
    """No more than `most` of many numbers, evenly spaced."""
    return range(0, many, max(1, -(-many // most)))


def rates_of_false(source: Source, units: Sequence[int]) -> dict[int, float]:
    """Of some units those that have memory beyond the histories, as the source has.

    Returns
    -------
    dict of int to float
        For each such unit the share of units like it, not acted on by the source, that have p below
        0.05 by a test without memory, where that is more than `WORST`.
    """
    rows, steps = _part(source)
    shared = source.shared[rows, steps]
    if Recurrence(shared, shared >= 0).is_fresh:
        return {}
    rates = {}
    for u in units:
        own = _own_keys(source, u, rows, steps)
        factor, error, freedom = inflation(own, own // source.inputs.bins, shared)
        if freedom and factor - 1 > SURE * error:
            rates[u] = rejected(factor, freedom)
    return {u: rate for u, rate in rates.items() if rate > WORST}


def warn_of_memory(source: Source) -> None:
    """Say that a test without memory is asked of a source and units that have memory."""
    units = looked_at(source.inputs.target.array.shape[2], UNITS)
    rates = rates_of_false(source, units)
    if rates:
        worst = max(rates, key=lambda u: rates[u])
        warn(
            f"method={source.method!r} takes steps for independent, but the source and "
            f"{len(rates)} of {len(units)} units looked at have memory beyond the histories: "
            f"of units like unit {worst} that the source does not act on, some "
            f"{100 * rates[worst]:.0f} % have p below 0.05. Use 'trials' or 'circular', which keep "
            "the source's memory"
        )


def _part(source: Source) -> tuple[slice, slice]:
    """Some sequences, evenly spaced, and the steps in their middle."""
    sequences, steps = source.shared.shape
    length = min(steps, STEPS)
    start = (steps - length) // 2
    every = max(1, -(-sequences * length // STEPS))
    return slice(0, sequences, every), slice(start, start + length)


def _own_keys(source: Source, u: int, rows: slice, steps: slice) -> States:
    """(past, next) of unit u in one integer, (N, T) of what is looked at."""
    inputs = source.inputs
    lengths = inputs.lengths
    if lengths is not None:
        lengths = np.clip(lengths[rows] - steps.start, 0, steps.stop - steps.start)
    part = replace(inputs.target, array=inputs.target.array[rows, steps])
    found = replace(inputs.binned(), values=part, lengths=lengths).units(slice(u, u + 1))
    codes = found.codes()
    return source.own(codes[:, :, 0])


class Recurrence:
    """How often values come back after a lag, less what a random order gives.

    Parameters
    ----------
    keys : ndarray of int64, shape (N, T)
    there : ndarray of bool, shape (N, T)
        Which of them count.
    """

    def __init__(self, keys: States, there: npt.NDArray[np.bool_]) -> None:
        _, number, many = np.unique(keys[there], return_inverse=True, return_counts=True)
        self.number, self.values = int(many.sum()), len(many)
        self._keys: States = np.full(keys.shape, MISSING, np.int64)
        self._keys[there] = number.ravel()
        self._weights = np.zeros(keys.shape)
        self._weights[there] = 1 / many[number.ravel()]
        self._there = there

    def pairs(self, lag: int) -> int:
        """Of steps with a value, one `lag` after the other."""
        return int(np.count_nonzero(self._there[:, lag:] & self._there[:, :-lag]))

    def __call__(self, lag: int, pairs: int) -> float:
        """R of so many pairs, less its mean in a random order.

        That is below 1 where values are met a few times each.
        """
        again = self._keys[:, lag:] == self._keys[:, :-lag]  # also where both are missing: 0
        returns = float(np.einsum("nt,nt->", self._weights[:, :-lag], again))
        return returns * self.number / pairs - (self.number - self.values) / (self.number - 1)

    @property
    def is_fresh(self) -> bool:
        """Whether none of the lags shows that a value says anything of later ones."""
        if self.values < 2:
            return True
        pairs = [(int(lag), self.pairs(int(lag))) for lag in LAGS if lag < self._keys.shape[1]]
        limit = SURE * math.sqrt(self.values - 1)
        return all(
            not many or abs(self(lag, many)) < limit / math.sqrt(many) for lag, many in pairs
        )


def inflation(own: States, past: States, shared: States) -> tuple[float, float, int]:
    """F, its standard error where there is no memory in one of the two, and degrees of freedom.

    Parameters
    ----------
    own, past, shared : ndarray of int64, shape (N, T)
        (past, next) of a unit, its past, and the state of the source, for what ends at each step;
        below 0 where one is missing.
    """
    there = (own >= 0) & (shared >= 0)
    q, p, s = (Recurrence(keys, there) for keys in (own, past, shared))
    steps, states = q.values - p.values, s.values - 1
    lags = LAGS[own.shape[1] > LAGS]
    if steps < 1 or states < 1 or not lags.size:
        return 1.0, math.inf, 0
    factor, variance = 1.0, 0.0
    for lag, weight in zip(lags.tolist(), _weights(lags), strict=True):
        many = q.pairs(lag)
        if not many:
            continue
        of_unit, of_source = (q(lag, many) - p(lag, many)) / steps, s(lag, many) / states
        share = 2 * weight * many / q.number
        factor += share * of_unit * of_source
        spread = of_source**2 / steps + of_unit**2 / states + 1 / (steps * states * many)
        variance += share**2 * spread / many
    return factor, math.sqrt(variance), steps * states


def rejected(factor: float, freedom: int) -> float:
    """Chance that a chi-square variable, times a factor, exceeds what 5 % of such variables do.

    By the normal law of its cube root (E. B. Wilson and M. M. Hilferty, PNAS 17, 684, 1931).
    """
    spread = 2 / (9 * freedom)
    limit = (1 - spread + NormalDist().inv_cdf(0.95) * math.sqrt(spread)) / factor ** (1 / 3)
    return 1 - NormalDist().cdf((limit - 1 + spread) / math.sqrt(spread))


def _weights(lags: npt.NDArray[np.int64]) -> Floats:
    """What the value at each lag counts in a sum over all lags up to the last, interpolated."""
    every = np.arange(1, lags[-1] + 1)
    return np.array([np.interp(every, lags, row).sum() for row in np.eye(len(lags))])
