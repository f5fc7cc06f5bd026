"""False discoveries among many tests: p-values adjusted for their number, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._support.mapped import PART, let_go

Floats = npt.NDArray[np.float64]

SORTED = 2**24
"""P-values that are sorted together, unless more of them are nearly equal."""
SHIFT = 44
"""Bits of a p-value without which those that are nearly equal are the same integer."""


def benjamini_hochberg(p_value: Any) -> Floats:
    """Adjusted p-values that control the false discovery rate over all of them.

    Parameters
    ----------
    p_value : array_like of any shape
        The p-values. NaN stays NaN and does not count.

    Returns
    -------
    float64 ndarray of the same shape
        ``q = min over j >= i of p(j) m / j``, with p(1) .. p(m) rising (Y. Benjamini and
        Y. Hochberg, J. R. Stat. Soc. B 57, 289, 1995).

    Raises
    ------
    ValueError
        If a p-value lies outside 0 .. 1.
    """
    p = np.ascontiguousarray(p_value, dtype=np.float64).reshape(np.shape(p_value))
    q = np.empty(p.shape)
    adjust(p, q)
    return q


def adjust(p: Floats, q: Floats) -> None:
    """Write the q-values of p-values to an array of the same shape; both are contiguous.

    Either may be mapped from a file. What is needed besides them does not grow with their number.
    """
    p, q = p.reshape(-1), q.reshape(-1)
    for some in _parts(p):
        q[some] = np.nan
        let_go(q)
    groups = _groups(p)
    total = sum(group.many for group in groups)
    least, after = 1.0, 0
    for group in groups:
        place = _each if group.many <= SORTED else _equal_ones
        least = place(p, q, group, total, total - after, least)
        after += group.many


@dataclass(frozen=True)
class _Group:
    """P-values with keys from `low` to below `high`, and how many they are."""

    low: int
    high: int
    many: int


def _each(p: Floats, q: Floats, group: _Group, total: int, last: int, least: float) -> float:
    """Adjust the p-values of a group, the highest of which is number `last`; return the least."""
    some = np.concatenate([p[start : start + PART][here] for start, here in _chosen(p, group)])
    order = np.argsort(some)
    adjusted = some[order] * total / np.arange(last - group.many + 1, last + 1)
    some[order] = np.minimum(np.minimum.accumulate(adjusted[::-1])[::-1], least)
    done = 0
    for start, here in _chosen(p, group):
        until = done + int(np.count_nonzero(here))
        q[start : start + PART][here] = some[done:until]
        let_go(q)
        done = until
    return float(some[order[0]])


def _equal_ones(p: Floats, q: Floats, group: _Group, total: int, last: int, least: float) -> float:
    """The same of more than can be sorted: of surrogates, whose p-values are few different ones."""
    found = [
        np.unique(p[start : start + PART][here], return_counts=True)
        for start, here in _chosen(p, group)
    ]
    values, inverse = np.unique(np.concatenate([each for each, _ in found]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, inverse, np.concatenate([many for _, many in found]))
    # Of equal p-values the last one has the least p m / j.
    some = values * total / (last - group.many + np.cumsum(counts))
    some = np.minimum(np.minimum.accumulate(some[::-1])[::-1], least)
    for start, here in _chosen(p, group):
        part = slice(start, start + PART)
        q[part][here] = some[np.searchsorted(values, p[part][here])]
        let_go(q)
    return float(some[0])


def _groups(p: Floats) -> list[_Group]:
    """Ranges of keys that few p-values have, the highest first; raise for what is no p-value."""
    ends = int(_keys(np.ones(1))[0]) + 1
    counts = np.zeros(ends, np.int64)
    for some in _parts(p):
        known = p[some][~np.isnan(p[some])]
        if known.size and not ((known >= 0) & (known <= 1)).all():
            raise ValueError(f"p-values must lie in 0 .. 1, got {known.min()} .. {known.max()}")
        keys, many = np.unique(_keys(known), return_counts=True)
        counts[keys] += many
    groups, high, taken = [], ends, 0
    for key in np.flatnonzero(counts)[::-1].tolist():
        if taken and taken + counts[key] > SORTED:
            groups.append(_Group(key + 1, high, taken))
            high, taken = key + 1, 0
        taken += int(counts[key])
    return [*groups, _Group(0, high, taken)] if taken else []


def _chosen(p: Floats, group: _Group) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Where parts with p-values of a group start, and which of each these are."""
    for some in _parts(p):
        keys = _keys(np.where(np.isnan(p[some]), -1.0, p[some]))
        here = (keys >= group.low) & (keys < group.high)
        if here.any():
            yield some.start, here


def _parts(p: Floats) -> Iterator[slice]:
    for start in range(0, p.size, PART):
        yield slice(start, start + PART)
        let_go(p)


def _keys(p: Floats) -> npt.NDArray[np.int64]:
    """Integers that rise with p-values; those of negative numbers are negative."""
    return (p + 0.0).view(np.int64) >> SHIFT  # -0.0 + 0.0 is 0.0
