"""Quantile bins: inner edges that fill the bins of one unit as equally as its ties permit.

Without ties at the quantiles, the edges are those of `numpy.quantile`. Where equal values lie on
both sides of a quantile, no edge there can separate them. The edges are then put between distinct
values, so that as many bins are filled as distinct values allow and the sum of squared fills is
least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs.numbers import as_floats
from tefast._inputs.values import Values

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

COARSE = 48
"""Places in each of two grids to which cuts are confined at first, where there are more."""
FINE = 17
"""Places around a cut that are tried next."""
ROUNDS = 12
"""Times that cuts are refined; each makes a grid finer about eight times."""
LINE = 16
"""Units whose values are copied together: a cache line of float32."""
AT_ONCE = 1 << 23
"""Values that are copied together at most, unless one unit has more."""
MOST_SORTED = 1 << 16
"""Values of a unit up to which sorting all of them takes less time than finding a few by rank."""


@dataclass(frozen=True)
class Places:
    """Where the quantiles ``i / bins`` lie among sorted values, as `numpy.quantile` has it.

    Attributes
    ----------
    before, below, above : ndarray of int64, shape (U, bins - 1)
        Ranks of the two values that a quantile lies between, and of the one before these; 0 for a
        unit without values.
    weight : ndarray of float64, shape (U, bins - 1)
        How far the quantile lies from the value below towards the one above.
    """

    before: Integers
    below: Integers
    above: Integers
    weight: Floats

    @classmethod
    def of(cls, sizes: Integers, bins: int) -> Places:
        """The places in units of `sizes` (U,) values."""
        last = np.maximum(sizes - 1, 0)[:, np.newaxis]
        place = last * (np.arange(1, bins) / bins)
        below = np.minimum(np.floor(place).astype(np.int64), last)
        above = np.minimum(below + 1, last)
        return cls(np.maximum(below - 1, 0), below, above, place - below)

    @property
    def ranks(self) -> Integers:
        """All ranks beside each other, (U, 3 (bins - 1)), for one gathering of values."""
        return np.hstack([self.before, self.below, self.above])

    def edges(self, gathered: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Quantiles (U, bins - 1) from the values at `ranks`, and which units (U,) need others.

        A unit needs others unless each quantile parts the sorted values at its own place.
        """
        before, low, high = np.hsplit(gathered, 3)
        edges = _between(low, high, self.weight)
        parts_here = (low < edges) & (edges <= high)
        parts_before = (self.weight == 0) & (edges == low) & (before < low)
        rising = (edges[:, 1:] > edges[:, :-1]).all(axis=1)
        return edges, ~((parts_here | parts_before).all(axis=1) & rising)


def _between(low: Floats, high: Floats, weight: Floats) -> Floats:
    """From `low` towards `high` by `weight`, with the rounding of `numpy.quantile`."""
    with np.errstate(over="ignore", invalid="ignore"):
        width = high - low
        edges = np.where(weight < 0.5, low + width * weight, high - width * (1 - weight))
    return np.where(np.isfinite(edges), edges, _halfway(low, high))


def _halfway(low: Floats, high: Floats) -> Floats:
    """An edge above `low` and not above `high`, in the middle where rounding leaves one."""
    middle = low / 2 + high / 2
    return np.where((low < middle) & (middle <= high), middle, high)


def quantile_edges(values: Values, bins: int, lengths: Integers | None) -> Floats:
    """Inner edges at the quantiles ``i / bins`` of each unit's own values, NaN left out.

    Quantiles are interpolated linearly (`numpy.quantile`'s default) where no ties are in the way;
    see `tied_edges` for the others.

    Returns
    -------
    ndarray of float64, shape (U, bins - 1)
        Rising. Edges repeat where a unit has fewer distinct values than bins.
    """
    edges = np.zeros((values.array.shape[2], bins - 1))
    for units, rows in _rows(values, lengths):
        if not rows.shape[1]:
            continue
        sizes = rows.shape[1] - np.isnan(rows).sum(axis=1)
        ranks = Places.of(sizes, bins).ranks
        if rows.shape[1] <= MOST_SORTED:
            rows.sort(axis=1)  # NaN goes to the end
        else:
            for row, its, size in zip(rows, ranks, sizes, strict=True):
                row.partition(np.unique(np.append(its, max(size - 1, 0))))
        gathered = np.take_along_axis(rows, ranks, axis=1).astype(np.float64)

        def ordered(tied: Integers, rows: npt.NDArray[Any] = rows) -> Iterator[npt.NDArray[Any]]:
            return (np.sort(rows[u]) for u in tied)

        edges[units] = edges_of(gathered, sizes, bins, ordered)
    return edges


def edges_of(
    gathered: Floats,
    sizes: Integers,
    bins: int,
    ordered: Callable[[Integers], Iterable[npt.NDArray[Any]]],
) -> Floats:
    """Edges as `quantile_edges` gives them, from few values of each unit where no ties are.

    Parameters
    ----------
    gathered : ndarray of float64, shape (U, 3 (bins - 1))
        The values at `Places.ranks`.
    sizes : ndarray of int64, shape (U,)
        How many values each unit has.
    bins : int
        Number of bins.
    ordered : callable
        Given numbers of units, the sorted values of each of them, in that order. NaN at their end
        is not looked at.
    """
    edges, tied = Places.of(sizes, bins).edges(gathered)
    units = np.flatnonzero(tied & (sizes > 0))
    for u, values in zip(units, ordered(units), strict=True):
        edges[u] = tied_edges(values[: sizes[u]].astype(np.float64), bins)
    return np.where(sizes[:, np.newaxis] > 0, edges, 0.0)


def _rows(values: Values, lengths: Integers | None) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Values of some units at a time, (units, values) in a copy: all could be beyond memory.

    Units side by side share cache lines, so some are copied together.
    """
    sequences, steps, units = values.array.shape
    together = max(1, min(LINE, AT_ONCE // max(sequences * steps, 1)))
    valid = None if lengths is None else np.arange(steps) < lengths[:, np.newaxis]
    for start in range(0, units, together):
        block = values.array[:, :, start : start + together]
        block = block.reshape(sequences * steps, -1) if valid is None else block[valid]
        yield slice(start, start + together), as_floats(block.T, values.dtype)


def tied_edges(ordered: Floats, bins: int) -> Floats:
    """Inner edges between the distinct values among sorted ones, the bins filled equally.

    Parameters
    ----------
    ordered : ndarray of float64, shape (n,)
        Sorted, n at least 1, without NaN.

    Returns
    -------
    ndarray of float64, shape (bins - 1,)
        Half-way between two distinct values each. The last edge repeats where distinct values are
        fewer than bins; all are the value itself where there is one value alone.
    """
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    distinct, until = ordered[first], np.append(first[1:], ordered.size)
    if distinct.size == 1:
        return np.full(bins - 1, distinct[0])
    cuts = equal_cuts(until, min(bins, distinct.size))
    edges = _halfway(distinct[cuts - 1], distinct[cuts])
    return np.concatenate([edges, np.full(bins - 1 - edges.size, edges[-1])])


def equal_cuts(until: Integers, bins: int) -> Integers:
    """The cuts between distinct values that make the sum of squared fills of the bins least.

    Exactly the least for up to some hundred distinct values. With more, cuts are found on two
    grids, one of equal fills and one of equally many distinct values, and refined from there.

    Parameters
    ----------
    until : ndarray of int64, shape (m,)
        How many values are equal to or less than each distinct one.
    bins : int
        2 to m.

    Returns
    -------
    ndarray of int64, shape (bins - 1,)
        How many distinct values lie below each cut, rising, 1 to m - 1.
    """
    many = until.size
    if bins == many:
        return np.arange(1, many)
    ends = np.concatenate([[0], until])
    every = _coarse(until, bins)
    places = [every] * (bins - 1)
    cuts = _cheapest(ends, places)
    if every.size == many - 1:
        return cuts
    cuts = _levelled(ends, cuts)
    for _ in range(ROUNDS):
        places = [_around(*pair, many - 1) for pair in zip(places, cuts, strict=True)]
        before, cuts = cuts, _cheapest(ends, places)
        finest = all(place[-1] - place[0] < FINE for place in places)
        if finest and np.array_equal(before, cuts):
            break
    return cuts


def _coarse(until: Integers, bins: int) -> Integers:
    """Places for cuts: all where they are few, else those of two grids."""
    most = until.size - 1
    evenly = max(COARSE, bins)  # enough for all cuts, should one value fill the other grid
    if most <= 2 * COARSE + evenly:
        return np.arange(1, most + 1)
    ideal = until[-1] * (np.arange(1, COARSE + 1) / (COARSE + 1))
    reached = np.searchsorted(until, ideal)
    spread = np.linspace(1, most, evenly).astype(np.int64)
    return np.unique(np.clip(np.concatenate([reached, reached + 1, spread]), 1, most))


def _levelled(ends: Integers, cuts: Integers) -> Integers:
    """Cuts that part equally what lies between values so frequent that a cut beside them stays."""
    frequent = np.diff(ends) * 4 * (cuts.size + 1) > ends[-1]
    fixed = np.flatnonzero(frequent[cuts - 1] | frequent[cuts])
    at = np.concatenate([[-1], fixed, [cuts.size]])
    ideal = np.interp(np.arange(cuts.size), at, ends[np.concatenate([[0], cuts[fixed], [-1]])])
    above = np.searchsorted(ends, ideal)
    nearer = ideal - ends[above - 1] < ends[above] - ideal
    level = np.clip(np.where(nearer, above - 1, above), 1, ends.size - 2)
    level[fixed] = cuts[fixed]
    return level if (np.diff(level) > 0).all() else cuts


def _around(place: Integers, cut: int, most: int) -> Integers:
    """A finer grid between the places beside a cut; a wider one where the cut is the outermost."""
    at = int(np.searchsorted(place, cut))
    reach = max(FINE // 2, int(place[-1] - place[0]) // 2)
    low = int(place[at - 1]) if at > 0 else cut - reach
    high = int(place[at + 1]) if at + 1 < place.size else cut + reach
    low, high = min(low, cut - FINE // 2), max(high, cut + FINE // 2)
    grid = np.linspace(max(1, low), min(most, high), FINE).astype(np.int64)
    return np.unique(np.append(grid, cut))


def _cheapest(ends: Integers, places: list[Integers]) -> Integers:
    """One cut of each list of places, rising, with the least sum of squared fills."""
    cost = ends[places[0]].astype(np.float64) ** 2
    best: list[Integers] = []
    for before, after in pairwise(places):
        fill = ends[after] - ends[before][:, np.newaxis].astype(np.float64)
        total = np.where(fill > 0, cost[:, np.newaxis] + fill**2, np.inf)
        best.append(total.argmin(axis=0))
        cost = total.min(axis=0)
    chosen = [int((cost + (ends[-1] - ends[places[-1]].astype(np.float64)) ** 2).argmin())]
    for step in reversed(best):
        chosen.append(int(step[chosen[-1]]))
    return np.array([place[i] for place, i in zip(places, reversed(chosen), strict=True)])
