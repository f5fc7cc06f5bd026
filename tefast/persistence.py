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
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tefast import windows
from tefast.backends import MISSING
from tefast.drawing import Source
from tefast.states import States
from tefast.warn import warn

UNITS, STEPS = 64, 4096
"""What is looked at: so many units, evenly spaced, and so many steps of each."""
LAGS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
"""Between these k(lag) s(lag) is interpolated."""
WORST = 0.075
"""Of independent units, what share may be called significant at 5 %."""
SURE = 5.0
"""Standard errors by which F exceeds 1 where memory is certain."""

Floats = npt.NDArray[np.float64]


def warn_of_memory(source: Source) -> None:
    """Say that a test without memory is asked of a source and units that have memory."""
    units = source.inputs.target.array.shape[2]
    looked_at = range(0, units, max(1, -(-units // UNITS)))
    rates = {u: rate for u in looked_at if (rate := _rate(source, u)) > WORST}
    if rates:
        worst = max(rates, key=lambda u: rates[u])
        warn(
            f"method={source.method!r} takes steps for independent, but the source and "
            f"{len(rates)} of {len(looked_at)} units looked at have memory beyond the histories: "
            f"of units like unit {worst} that the source does not act on, some "
            f"{100 * rates[worst]:.0f} % have p below 0.05. Use 'trials' or 'circular', which keep "
            "the source's memory"
        )


def _rate(source: Source, u: int) -> float:
    """What share of independent units like u would be called significant at 5 %."""
    own, shared = _some_steps(source, u)
    factor, error, freedom = inflation(own, own // source.counted.own[-1], shared)
    if freedom < 1 or factor - 1 < SURE * error:
        return 0.0
    return rejected(factor, freedom)


def _some_steps(source: Source, u: int) -> tuple[States, States]:
    """Keys of (past, next) and states (N, T) of the middle of some sequences."""
    inputs, counted = source.inputs, source.counted
    target, lengths = inputs.target, inputs.lengths
    sequences, steps, _ = target.array.shape
    length = min(steps, STEPS)
    start = (steps - length) // 2
    rows = slice(0, sequences, max(1, -(-sequences * length // STEPS)))
    part = replace(target, array=target.array[rows, start : start + length])
    if lengths is not None:
        lengths = np.clip(lengths[rows] - start, 0, length)
    options, one = inputs.options, slice(u, u + 1)
    codes = windows.codes_of(
        options.backend, part, inputs.learned(target), lengths, one, options.threads
    )
    own = windows.own_keys(codes[:, :, 0], counted, inputs.bins)
    return own, counted.shared[rows, start : start + length]


def inflation(own: States, past: States, shared: States) -> tuple[float, float, int]:
    """F, its standard error where there is no memory in one of the two, and degrees of freedom.

    Parameters
    ----------
    own, past, shared : ndarray of int64, shape (N, T)
        (past, next) of a unit, its past, and the state of the source, for what ends at each step;
        below 0 where one is missing.
    """
    there = (own >= 0) & (shared >= 0)
    number = int(there.sum())
    keys, sizes = zip(*(_numbered(part, there) for part in (own, past, shared)), strict=True)
    q, p, s = (len(size) for size in sizes)
    freedom = (q - p) * (s - 1)
    lags = LAGS[own.shape[1] > LAGS]
    if freedom < 1 or number < 2 or not lags.size:
        return 1.0, math.inf, 0
    weights = _weights(lags)
    factor, variance = 1.0, 0.0
    for lag, weight in zip(lags.tolist(), weights, strict=True):
        pairs = there[:, lag:] & there[:, :-lag]
        many = int(pairs.sum())
        if not many:
            continue
        (of_q, of_p, of_s) = (
            _returns(key, size, lag, pairs) * number / many
            # What values in a random order give: less than 1 where they are met a few times each.
            - (number - len(size)) / (number - 1)
            for key, size in zip(keys, sizes, strict=True)
        )
        of_unit, of_source = (of_q - of_p) / (q - p), of_s / (s - 1)
        share = 2 * weight * many / number
        factor += share * of_unit * of_source
        spread = of_source**2 / (q - p) + of_unit**2 / (s - 1) + 1 / (freedom * many)
        variance += share**2 * spread / many
    return factor, math.sqrt(variance), freedom


def rejected(factor: float, freedom: int) -> float:
    """Chance that a chi-square variable, times a factor, exceeds what 5 % of such variables do.

    By the normal law of its cube root (E. B. Wilson and M. M. Hilferty, PNAS 17, 684, 1931).
    """
    spread = 2 / (9 * freedom)
    limit = (1 - spread + NormalDist().inv_cdf(0.95) * math.sqrt(spread)) / factor ** (1 / 3)
    return 1 - NormalDist().cdf((limit - 1 + spread) / math.sqrt(spread))


def _numbered(keys: States, there: npt.NDArray[np.bool_]) -> tuple[States, Floats]:
    """Keys as 0, 1, ..., `MISSING` where they are not there, and how often each is."""
    _, number, many = np.unique(keys[there], return_inverse=True, return_counts=True)
    out = np.full(keys.shape, MISSING, np.int64)
    out[there] = number.ravel()
    return out, many.astype(np.float64)


def _returns(keys: States, many: Floats, lag: int, pairs: npt.NDArray[np.bool_]) -> float:
    """Sum over pairs of steps with the same key, each with the weight 1 / how often the key is."""
    now = keys[:, :-lag]
    return float((1 / many[now[pairs & (now == keys[:, lag:])]]).sum())


def _weights(lags: npt.NDArray[np.int64]) -> Floats:
    """What the value at each lag counts in a sum over all lags up to the last, interpolated."""
    every = np.arange(1, lags[-1] + 1)
    return np.array([np.interp(every, lags, row).sum() for row in np.eye(len(lags))])
