"""Measures: small functions of counts.

Sums run over the occupied cells in index order, one unit after the other, so a result depends on
nothing but the counts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def check_base(base: Any) -> float:
    """`base` of the logarithm as a float above 1: 2 for bits, ``math.e`` for nats."""
    try:
        number = float(base)
    except (TypeError, ValueError):
        raise TypeError(f"base must be a number above 1, got {base!r}") from None
    if not (1.0 < number < math.inf):
        raise ValueError(f"base must be a finite number above 1 (2: bits, e: nats), got {base!r}")
    return number


def transfer_entropy(counts: Counts, base: float) -> Scores:
    """Plug-in transfer entropy from joint counts.

    ``T = sum over (x', x, y) of p(x', x, y) log( p(x' | x, y) / p(x' | x) )``
    (Schreiber, Phys. Rev. Lett. 85, 461, 2000), with p the relative frequencies.

    Parameters
    ----------
    counts : ndarray of int64, shape (U, next, past, state)
        Transitions of each unit from a past state to its next value, beside a source state.

    Returns
    -------
    ndarray of float64, shape (U,)
        In units of ``log(base)``; never negative; NaN for a unit without transitions.
    """
    step, together, past = counts.sum(axis=3), counts.sum(axis=1), counts.sum(axis=(1, 3))
    u, following, x, y = np.nonzero(counts)
    n = counts[u, following, x, y].astype(np.float64)
    # Ratios of counts, not differences of entropies: where next is independent of the source,
    # both products are the same number and the logarithm is exactly 0.
    ratio = (n * past[u, x]) / (step[u, following, x].astype(np.float64) * together[u, x, y])
    return _mean(n * np.log(ratio), u, past.sum(axis=1), base)


def entropy(counts: Counts, base: float) -> Scores:
    """Plug-in Shannon entropy from the counts of each bin.

    Parameters
    ----------
    counts : ndarray of int64, shape (U, bins)

    Returns
    -------
    ndarray of float64, shape (U,)
        In units of ``log(base)``; never negative; NaN for a unit without values.
    """
    total = counts.sum(axis=1)
    u, x = np.nonzero(counts)
    n = counts[u, x].astype(np.float64)
    return _mean(n * np.log(total[u] / n), u, total, base)


def _mean(terms: Scores, u: npt.NDArray[np.intp], total: Counts, base: float) -> Scores:
    """Sum the terms of each unit in order and divide by its total."""
    sums = np.bincount(u, weights=terms, minlength=total.size)
    with np.errstate(invalid="ignore"):  # 0 / 0: a unit that was never observed
        return np.asarray(np.maximum(sums / total, 0.0) / math.log(base))
