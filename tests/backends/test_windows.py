"""Windows of codes in dense and sparse tables, against loops over the rows."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tefast import _backends, binning
from tefast._counting import windows
from tefast._counting.windows import Windows
from tefast._inputs import values
from tefast._tables import counts, entropies, states
from tefast._tables.states import JointState

BINS = 4


@st.composite
def plans(draw):
    """Codes of some units, and windows of them beside random states, some of them missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 3)))
    back = st.lists(st.integers(0, 6), min_size=1, max_size=3)
    own = {"next": (0,)} if draw(st.booleans()) else {"past": draw(back), "next": draw(back)}
    sizes = draw(st.lists(st.integers(1, 3), max_size=2))
    beside = {
        name: JointState(rng.integers(-1, size, shape[:2]), size)
        for name, size in zip(("source", "condition"), sizes, strict=False)
    }
    return rng.integers(-1, BINS, shape).astype(np.int16), Windows(BINS, own, beside)


def counted(codes, plan):
    """How often each cell is there, by its indices along the axes."""
    found = Counter()
    for n, t in np.ndindex(codes.shape):
        parts = [[codes[n, t - s] if t >= s else -1 for s in back] for back in plan.own.values()]
        parts += [[state.codes[n, t]] for state in plan.beside.values()]
        if min(map(min, parts)) >= 0:
            digits = [
                int("".join(map(str, part)), BINS) if i < len(plan.own) else int(part[0])
                for i, part in enumerate(parts)
            ]
            found[tuple(digits)] += 1
    return found


def dense_of(codes, plan):
    return windows.count_dense(_backends.load("cpu"), codes, plan, 2)


def listed(sparse, u):
    cells = zip(*sparse.cells[u].tolist(), strict=True)
    return dict(zip(cells, sparse.counts[u].tolist(), strict=True))


@settings(max_examples=200, deadline=None)
@given(case=plans(), most=st.sampled_from([2**62, 30]))
def test_every_window_is_counted_once(case, most):
    codes, plan = case
    dense = dense_of(codes, plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "MOST_STATES", most)
        sparse = windows.count_sparse(codes, plan)
    assert dense.axes == sparse.axes == plan.axes
    np.testing.assert_array_equal(dense.total, sparse.total)
    for u in range(codes.shape[2]):
        known = counted(codes[:, :, u], plan)
        assert {cell: n for cell, n in np.ndenumerate(dense.counts[u]) if n} == known
        found = listed(sparse, u)
        assert list(found) == sorted(found)
        if most == 2**62:
            assert found == known
        else:  # numbered anew: as many cells, as often each
            assert sorted(found.values()) == sorted(known.values())


@settings(max_examples=200, deadline=None)
@given(case=plans(), most=st.sampled_from([2**62, 30]))
def test_marginals_of_dense_and_sparse_tables_are_the_same(case, most):
    codes, plan = case
    dense = dense_of(codes, plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "MOST_STATES", most)
        check_marginals(dense, windows.count_sparse(codes, plan), plan)


def check_marginals(dense, sparse, plan):
    for chosen in range(2 ** len(plan.axes)):
        axes = tuple(axis for i, axis in enumerate(plan.axes) if chosen >> i & 1)
        others = tuple(i + 1 for i, axis in enumerate(plan.axes) if axis not in axes)
        known = dense.counts.sum(axis=others).reshape(len(dense.counts), -1)
        (full,) = dense.marginals(axes)
        np.testing.assert_array_equal(full, known)
        for row, few in zip(known, sparse.marginals(axes), strict=True):
            np.testing.assert_array_equal(few, [row[row > 0]])
        for grassberger in (False, True):
            one, other = (
                entropies.sums(table, *axes, grassberger=grassberger) for table in (dense, sparse)
            )
            np.testing.assert_array_equal(one.limbs, other.limbs)
            np.testing.assert_array_equal(one.cells, other.cells)


def place(codes):
    target = values.target(codes)
    return windows.Binned(target, binning.Binning(BINS, None), None, _backends.load("cpu"), 1)


@pytest.mark.parametrize(("block", "sizes"), [(2**26, [7]), (8 * 64 * 3, [3, 3, 1]), (1, [1] * 7)])
def test_units_are_counted_in_blocks(block, sizes, monkeypatch):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, BINS, (2, 9, 7))
    source = JointState(rng.integers(-1, 4, (2, 9)), 4)
    plan = Windows(BINS, {"past": (1,), "next": (0,)}, {"source": source})
    whole = dense_of(codes.astype(np.int16), plan).counts
    monkeypatch.setattr(counts, "BLOCK_BYTES", block)
    parts = list(place(codes).tables(plan))
    assert [some.stop - some.start for some, _ in parts] == sizes
    np.testing.assert_array_equal(np.concatenate([table.counts for _, table in parts]), whole)


def test_tables_are_sparse_where_dense_ones_would_cost_more_than_sorting():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, BINS, (2, 100, 2))

    def kind(cells):
        state = JointState(np.zeros((2, 100), np.int64), cells // BINS)
        plan = Windows(BINS, {"next": (0,)}, {"source": state})
        assert plan.cells == cells
        ((_, table),) = place(codes).tables(plan)
        return type(table)

    assert kind(2**16) is counts.Dense
    assert kind(2**17) is counts.Sparse


def test_windows_of_single_steps_are_known_as_such():
    state = JointState(np.zeros((2, 5), np.int64), 3)
    step = {"past": range(1, 0, -1), "next": (0,)}
    assert Windows(BINS, step, {"source": state}).are_steps
    assert Windows(BINS, step, {}).are_steps
    for own in ({"past": (2,), "next": (0,)}, {"past": (2, 1), "next": (0,)}, {"all": (1, 0)}):
        assert not Windows(BINS, own, {"source": state}).are_steps
    many = JointState(state.codes, windows.MOST_STATES + 1)
    assert not Windows(BINS, step, {"source": many}).are_steps


def test_shapes_of_long_histories_have_no_limit():
    plan = Windows(256, {"past": range(2000, 0, -1), "next": (0,)}, {})
    assert plan.cells == 256**2001
    assert math.log2(plan.shape[0]) == 16000
