"""Means of sums over the cells of a table whose rows say nothing about its columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PAIRS_AT_ONCE = 2**18
"""Cells that are worked on together."""


def mean_sum(rows: Counts, row_of: Counts, columns: Counts, column_of: Counts) -> float:
    """The mean of the sum of ``n ln n`` over the cells of tables, over all with the same margins.

    That is over all permutations of what stands in the columns among what is in the same table.

    Parameters
    ----------
    rows, columns : ndarray of int64, shape (many,)
        The margins of all tables: how often each row, and each column, is there.
    row_of, column_of : ndarray of int64, shape (many,)
        The table that each is of, 0, 1, ..; rising.
    """
    total = np.bincount(row_of, rows).astype(np.int64)
    rows, row_of, alike_rows = _alike(rows, row_of)
    columns, column_of, alike_columns = _alike(columns, column_of)
    # Every column meets all rows of its table.
    many = np.bincount(row_of)
    first, meets = many.cumsum() - many, many[column_of]
    ends = meets.cumsum()
    found, start = 0.0, 0
    while start < len(columns):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side="right")))
        times = meets[start:stop]
        column = np.repeat(np.arange(start, stop), times)
        table = column_of[column]
        row = first[table] + np.arange(len(column)) - np.repeat(times.cumsum() - times, times)
        terms = mean_terms(rows[row], columns[column], total[table])
        found += float((terms * alike_rows[row] * alike_columns[column]).sum())
        start = stop
    return found


def _alike(margins: Counts, of: Counts) -> tuple[Counts, Counts, Counts]:
    """The different margins of each table, which table that is, and how many of it are the same."""
    size = int(margins.max(initial=0)) + 1
    keys, alike = np.unique(of * size + margins, return_counts=True)
    of, margins = np.divmod(keys, size)
    return margins, of, alike


def mean_terms(row: Counts, column: Counts, total: Counts) -> Floats:
    """The mean of ``n ln n``, with n hypergeometric: how many of a row are in a column by chance.

    ``P(n) = C(row, n) C(total - row, column - n) / C(total, column)``, from the ratio of each P to
    the one before. What is so far from the mean that all of it together is below 1e-16 is not
    looked at (S. Bernstein's bound).
    """
    a, b, every = (each.astype(np.float64) for each in (row, column, total))
    mean = a * b / every
    spread = mean * (1 - a / every) * (every - b) / np.maximum(every - 1, 1)
    reach = 9 * np.sqrt(spread) + 30
    n = np.maximum(np.maximum(a + b - every, np.floor(mean - reach)), 0.0)
    last = np.minimum(np.minimum(a, b), np.ceil(mean + reach))
    out, order = np.empty(len(n)), np.argsort(n - last, kind="stable")
    # The longest first, so that those that have ended are at the end.
    a, b, every, n, steps = (each[order] for each in (a, b, every, n, last - n))
    weight, weights, summed = np.ones(len(n)), np.ones(len(n)), n * np.log(np.maximum(n, 1.0))
    left = len(n)
    for step in range(1, int(steps.max(initial=0.0)) + 1):
        left = int(np.searchsorted(-steps, -step, side="right"))
        some = slice(0, left)
        k = n[some] + step
        ratio = (a[some] - k + 1) * (b[some] - k + 1) / (k * (every[some] - a[some] - b[some] + k))
        weight[some] *= ratio
        weights[some] += weight[some]
        summed[some] += weight[some] * (k * np.log(k))
    out[order] = summed / weights
    return out
