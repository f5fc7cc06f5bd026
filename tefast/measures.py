"""Measures: small functions of counts.

Each unit's sum runs over its own cells in a fixed order, so a result depends on nothing but the
counts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

BLOCK_CELLS = 2**16
"""Cells worked on at a time, few enough to stay in a processor's cache."""


def check_base(base: Any) -> float:
    """`base` of the logarithm as a float above 1: 2 for bits, ``math.e`` for nats."""
    try:
        if isinstance(base, (str, bytes)):
            raise TypeError
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
    scores = np.empty(len(counts))
    size = max(1, BLOCK_CELLS // max(1, counts[0, 0].size))
    for start in range(0, len(counts), size):
        part = counts[start : start + size]
        scores[start : start + size] = _transfer_entropy(part)
    return np.asarray(scores / math.log(base))


def _transfer_entropy(counts: Counts) -> Scores:
    """Of a block of units, in nats."""
    together = counts.sum(axis=1)  # (U, past, state)
    past = together.sum(axis=2, keepdims=True)  # (U, past, 1)
    sums = np.zeros(len(counts))
    for following in range(counts.shape[1]):
        n = counts[:, following].astype(np.float64)
        step = counts[:, following].sum(axis=2, keepdims=True).astype(np.float64)
        # Ratios of counts, not differences of entropies: where next is independent of the source,
        # both products are the same number and the logarithm is exactly 0.
        ratio = np.divide(n * past, step * together, out=np.ones_like(n), where=n > 0)
        sums += (n * np.log(ratio)).reshape(len(n), -1).sum(axis=1)
    return _mean(sums, past.sum(axis=(1, 2)))


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
    scores = np.empty(len(counts))
    size = max(1, BLOCK_CELLS // counts.shape[1])
    for start in range(0, len(counts), size):
        part = counts[start : start + size]
        total = part.sum(axis=1)
        n = part.astype(np.float64)
        ratio = np.divide(total[:, np.newaxis], n, out=np.ones_like(n), where=n > 0)
        scores[start : start + size] = _mean((n * np.log(ratio)).sum(axis=1), total)
    return np.asarray(scores / math.log(base))


def _mean(sums: Scores, total: Counts) -> Scores:
    """Sums over cells divided by the total of each unit; rounding must not make one negative."""
    with np.errstate(invalid="ignore"):  # 0 / 0: a unit that was never observed
        return np.asarray(np.maximum(sums / total, 0.0))
