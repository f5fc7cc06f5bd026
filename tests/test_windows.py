"""Windows of codes in dense and sparse tables, against loops over the rows."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tefast import backends, binning, counts, measures, values, windows
from tefast.windows import Windows


def windows_of(rng, length, bins, shape, sizes):
    """Windows of `length` steps beside random states, some of them missing."""
    shared = rng.integers(-1, math.prod(sizes), shape)
    names = ("past", "next", "source", "condition")
    own = (bins ** (length - 1), bins) if length > 1 else (bins,)
    axes = names[2 - len(own) : 2] + names[2 : 2 + len(sizes)]
    return Windows(length, own, shared, tuple(sizes), axes)


def counted(codes, plan):
    """How often each cell is there, by its indices along the axes."""
    found = Counter()
    for n, t in np.ndindex(codes.shape):
        window = codes[n, max(0, t - plan.length + 1) : t + 1].tolist()
        state = int(plan.shared[n, t])
        if len(window) == plan.length and -1 not in window and state >= 0:
            own = int("".join(map(str, window)), 4)
            cell = (*np.unravel_index(own, plan.own), *np.unravel_index(state, plan.beside or (1,)))
            found[tuple(map(int, cell[: len(plan.shape)]))] += 1
    return found


def dense_of(codes, plan):
    return windows.count_dense(backends.load("cpu"), codes, plan, 4, 2)


shapes = st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 3))
beside = st.lists(st.integers(1, 3), max_size=2)


@settings(max_examples=150, deadline=None)
@given(shape=shapes, length=st.integers(1, 4), sizes=beside, seed=st.integers(0, 2**32))
def test_every_window_is_counted_once(shape, length, sizes, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 4, shape).astype(np.int16)
    plan = windows_of(rng, length, 4, shape[:2], sizes)
    dense = dense_of(codes, plan)
    sparse = windows.count_sparse(codes, plan, 4)
    assert dense.axes == sparse.axes == plan.axes
    np.testing.assert_array_equal(dense.total, sparse.total)
    for u in range(shape[2]):
        known = counted(codes[:, :, u], plan)
        assert {cell: n for cell, n in np.ndenumerate(dense.counts[u]) if n} == known
        cells = zip(*np.unravel_index(sparse.cells[u], plan.shape), strict=True)
        listed = {
            tuple(map(int, cell)): n
            for cell, n in zip(cells, sparse.counts[u].tolist(), strict=True)
        }
        assert listed == known
        assert (np.diff(sparse.cells[u]) > 0).all()


@settings(max_examples=150, deadline=None)
@given(shape=shapes, length=st.integers(1, 3), sizes=beside, seed=st.integers(0, 2**32))
def test_marginals_of_dense_and_sparse_tables_are_the_same(shape, length, sizes, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 4, shape).astype(np.int16)
    plan = windows_of(rng, length, 4, shape[:2], sizes)
    dense = dense_of(codes, plan)
    sparse = windows.count_sparse(codes, plan, 4)
    for chosen in range(2 ** len(plan.axes)):
        axes = tuple(axis for i, axis in enumerate(plan.axes) if chosen >> i & 1)
        others = tuple(i + 1 for i, axis in enumerate(plan.axes) if axis not in axes)
        known = dense.counts.sum(axis=others).reshape(shape[2], -1)
        (full,) = dense.marginals(axes)
        np.testing.assert_array_equal(full, known)
        for row, few in zip(known, sparse.marginals(axes), strict=True):
            np.testing.assert_array_equal(few, [row[row > 0]])
        for grassberger in (False, True):
            one, other = (
                measures.sums(table, *axes, grassberger=grassberger) for table in (dense, sparse)
            )
            np.testing.assert_array_equal(one.limbs, other.limbs)
            np.testing.assert_array_equal(one.cells, other.cells)


def place(codes):
    target = values.target(codes)
    return backends.load("cpu"), target, binning.Binning(4, None), None


@pytest.mark.parametrize(("block", "sizes"), [(2**26, [7]), (8 * 64 * 3, [3, 3, 1]), (1, [1] * 7)])
def test_units_are_counted_in_blocks(block, sizes, monkeypatch):
    rng = np.random.default_rng(0)
    codes, plan = rng.integers(0, 4, (2, 9, 7)), windows_of(rng, 2, 4, (2, 9), [4])
    whole = dense_of(codes.astype(np.int16), plan).counts
    monkeypatch.setattr(windows, "BLOCK_BYTES", block)
    parts = list(windows.tables(*place(codes), plan, 1))
    assert [some.stop - some.start for some, _ in parts] == sizes
    np.testing.assert_array_equal(np.concatenate([table.counts for _, table in parts]), whole)


def test_tables_are_sparse_where_dense_ones_would_cost_more_than_sorting():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (2, 100, 2))

    def kind(cells):
        plan = Windows(1, (4,), np.zeros((2, 100), np.int64), (cells // 4,), ("next", "source"))
        ((_, table),) = windows.tables(*place(codes), plan, 1)
        return type(table)

    assert kind(2**16) is counts.Dense
    assert kind(2**17) is counts.Sparse


def test_sizes_of_tables_that_cannot_be_numbered_are_readable():
    fine = Windows(1, (2**31,), np.zeros((1, 1), np.int64), (2**31,), ("next", "source"))
    fine.check()
    with pytest.raises(ValueError, match=r"^4 \(next\) x 2\*\*61000 \(source\) joint states are"):
        windows.check_cells((4, 2**61000), ("next", "source"))
    state = np.zeros((1, 1), np.int64)
    with pytest.raises(ValueError, match=r"4 \(next\) x 2\*\*70 \(past\) x 8 \(source\) joint"):
        Windows.joined(1, (4,), [state, state], (2**70, 8), ("next", "past", "source"))
