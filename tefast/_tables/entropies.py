"""Measures: small functions of counts.

Each unit's sum runs over its own cells in a fixed order, so a result depends on nothing but the
counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt

from tefast._tables.counts import CountTable
from tefast._tables.types import Axes
from tefast.typing import Bias

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


# What follows works on tables of any axes (`counts.Dense` and `counts.Sparse`), and is made of sums
# of n ln n alone: every information measure is a difference of such sums, and its bias is a
# difference of the numbers of their cells.

UNIT = 2.0**-44
"""What sums are whole multiples of, in nats: their order cannot matter then."""
LIMB_BITS = 32
"""Sums of that many bits fit in 64 for 2**31 cells."""
_LIMB = 2.0**LIMB_BITS

BIASES = (None, *get_args(Bias))


@dataclass(frozen=True)
class Sums:
    """Sums over the cells of each unit; they are added and subtracted like numbers.

    Attributes
    ----------
    limbs : ndarray of int64, shape (3, U)
        Sum of ``n ln n``, in units of 2**-44 nats, as whole multiples of 2**64, 2**32 and 1, of
        any signs.
    cells : ndarray of int64, shape (U,)
        Number of cells that are not empty.
    """

    limbs: Counts
    cells: Counts

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.limbs + other.limbs, self.cells + other.cells)

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.limbs - other.limbs, self.cells - other.cells)

    @property
    def nats(self) -> Scores:
        """The sum of ``n ln n``."""
        high, middle, low = self.limbs
        # Carried over, since the sum of a limb may be beyond the 53 bits of a float.
        middle = middle + (low >> LIMB_BITS)
        high = high + (middle >> LIMB_BITS)
        middle, low = (limb & (2**LIMB_BITS - 1) for limb in (middle, low))
        return np.asarray(((high * _LIMB + middle) * _LIMB + low) * UNIT)


def sums_of(n: Counts, grassberger: bool = False) -> Sums:
    """Sums over cells n (U, cells), with ``n G(n)`` in place of ``n ln n`` if asked."""
    units, cells = n.shape
    limbs = np.zeros((3, units), np.int64)
    size = max(1, BLOCK_CELLS // max(1, cells))
    for u in range(0, units, size):
        for start in range(0, cells, BLOCK_CELLS):
            part = n[u : u + size, start : start + BLOCK_CELLS]
            limbs[:, u : u + size] += _limbs(part, grassberger)
    return Sums(limbs, np.count_nonzero(n, axis=1))


def _limbs(n: Counts, grassberger: bool) -> Counts:
    """`Sums.limbs` of a block."""
    return np.asarray(terms(n, grassberger).sum(axis=2))


def terms(n: Counts, grassberger: bool) -> Counts:
    """What each of any numbers n adds to `Sums.limbs`, in an axis more before all others."""
    count = n.astype(np.float64)
    logs = grassberger_log(n) if grassberger else _logs(n)
    terms = np.where(n > 0, np.rint(count * logs / UNIT), 0.0)
    # Towards 0, which is exact: G(1) is negative, and what is left of a small negative number above
    # a multiple of 2**64 has more bits than a float.
    high = np.trunc(terms / _LIMB**2)
    terms -= high * _LIMB**2
    middle = np.trunc(terms / _LIMB)
    parts = (high, middle, terms - middle * _LIMB)
    return np.stack([part.astype(np.int64) for part in parts])


def _logs(n: Counts) -> Scores:
    """``ln n``, 0 for 0, by the C library, as the compiled kernels have it.

    NumPy's own may differ from it in the last bit, and so would scores.
    """
    known = _first_logs()
    logs = known[np.minimum(n, len(known) - 1)]
    large = n >= len(known)
    if large.any():
        distinct, place = np.unique(n[large], return_inverse=True)
        logs[large] = np.array([math.log(each) for each in distinct.astype(np.float64)])[place]
    return logs


@cache
def _first_logs() -> Scores:
    """``ln n`` of 0, for which it is 0 here, and of the counts that follow."""
    return np.array([0.0, *map(math.log, range(1, 2**16))])


def grassberger_log(n: Counts) -> Scores:
    """G(n), which in place of ``ln n`` makes an estimate of entropy less biased.

    ``G(n) = ln 2 + psi(floor(n / 2) + 1/2)`` for n >= 1, with psi the digamma function
    (P. Grassberger, "Entropy estimates from insufficient samplings", arXiv:physics/0307138).
    """
    half = n // 2
    # psi(m + 1/2) = -gamma - 2 ln 2 + 2 sum of 1 / (2 j - 1), j = 1 .. m; from 32 on, a series
    # whose error is below 1e-16.
    small = np.concatenate([[0.0], np.cumsum(2.0 / (2.0 * np.arange(1, 32) - 1.0))])
    few = small[np.minimum(half, 31)] - np.euler_gamma - 2 * math.log(2)
    x = np.maximum(half, 32).astype(np.float64)
    squared = x**-2
    rest = 31 / 8064 - squared * (127 / 30720)
    many = np.log(x) + squared * (1 / 24 - squared * (7 / 960 - squared * rest))
    return np.asarray(np.where(half < 32, few, many) + math.log(2))


def sums(table: CountTable, *axes: str, grassberger: bool = False) -> Sums:
    """Sums over the cells of these axes of a table, counts added up over the others.

    Of no axes that is ``N ln N`` in any case: only entropies are corrected, and this is none.
    """
    grassberger = grassberger and bool(axes)
    parts = [sums_of(cells, grassberger) for cells in table.marginals(axes)]
    return Sums(
        np.concatenate([part.limbs for part in parts], axis=1),
        np.concatenate([part.cells for part in parts]),
    )


def mean(summed: Sums, total: Counts, base: float, bias: str | None = None) -> Scores:
    """Sums divided by N, in units of ``log(base)``; NaN where N is 0.

    Parameters
    ----------
    summed : Sums
        N times a measure in nats.
    total : ndarray of int64, shape (U,)
        N.
    bias : {None, "miller_madow", "grassberger"}
        Without one the result is not negative. "miller_madow" subtracts ``K / (2 N)`` nats, with K
        the same difference of numbers of cells that the measure is of sums: each entropy in it
        is short of ``(cells - 1) / (2 N)`` nats to first order (G. Miller, 1955).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        nats = summed.nats / total
        if bias is None:
            nats = np.maximum(nats, 0.0)
        elif bias == "miller_madow":
            nats = nats - summed.cells / (2 * total)
    return np.asarray(nats / math.log(base))


def standard_error(table: CountTable, x: Axes, y: Axes, given: Axes = ()) -> Scores:
    """Of the plug-in estimate of ``I(X; Y | Z)``, in nats.

    ``sqrt((mean of squares - squared mean) / N)`` of the local values
    ``ln(n(x, y, z) n(z) / (n(x, z) n(y, z)))`` over everything counted, as if all were independent;
    NaN where nothing was counted.
    """
    found = []
    for n, (both, one, other) in table.beside(given, (*x, *given), (*y, *given)):
        count, total = n.astype(np.float64), n.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            local = np.where(n > 0, np.log((count / one) / (other / both)), 0.0)
            mean_local = (count * local).sum(axis=1) / total
            squares = (count * local**2).sum(axis=1) / total
            found.append(np.sqrt(np.maximum(squares - mean_local**2, 0.0) / total))
    return np.concatenate(found)


def law_of_g(
    table: CountTable, x: Axes, y: Axes, given: Axes = ()
) -> tuple[Scores, Scores, Scores]:
    """The chi-square law of ``G = 2 N I(X; Y | Z)`` (nats) where X and Y are independent given Z.

    Returns
    -------
    freedom : ndarray, shape (U,)
        Degrees of freedom: the sum over z of (values of x beside z - 1) (values of y beside z - 1).
        From what x and y do alone: a coupling empties joint cells, which says nothing of chance.
    excess : ndarray, shape (U,)
        By how much the mean of G exceeds that, to the first order in 1 / n: the sum over z of
        ``(n(z) sum of 1/n(x, z) - 1) (n(z) sum of 1/n(y, z) - 1) / (6 n(z))`` (D. A. Williams,
        Biometrika 63, 33, 1976).
    cells : ndarray, shape (U,)
        Cells of (x, y, z) that can occur: the sum over z of (values of x beside z) (values of y
        beside z).
    """
    freedom, excess, cells = [], [], []
    reciprocal, one = (lambda n: 1.0 / n), (lambda n: np.ones(n.shape))
    folds = [table.folded(axes, given, of) for of in (reciprocal, one) for axes in (x, y)]
    for n, of_x, of_y, many_x, many_y in zip(table.marginals(given), *folds, strict=True):
        parts = (n * of_x - 1.0) * (n * of_y - 1.0)
        excess.append(np.divide(parts, 6.0 * n, out=np.zeros(n.shape), where=n > 0).sum(axis=1))
        free = (many_x - 1.0) * (many_y - 1.0)
        freedom.append(np.where(n > 0, free, 0.0).sum(axis=1))
        cells.append((many_x * many_y).sum(axis=1))
    return np.concatenate(freedom), np.concatenate(excess), np.concatenate(cells)


def check_bias(bias: Any) -> Bias | None:
    """Raise ValueError for a correction there is not."""
    if bias not in BIASES:
        known = ", ".join(map(repr, BIASES))
        raise ValueError(f"unknown bias {bias!r}; known are {known}")
    return cast("Bias | None", bias)
