"""Measures against loops over their definitions."""

import math
from collections import Counter

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tefast._tables import entropies
from tefast._tables.counts import Dense
from tefast.measures import TRANSFER_ENTROPY, Axis, Measure

tables = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    elements=st.integers(0, 3) | st.integers(0, 10**6),
)


@settings(max_examples=150, deadline=None)
@given(table=tables, base=st.sampled_from([2, math.e, 10]))
def test_transfer_entropy_equals_naive(table, base):
    result = entropies.transfer_entropy(table, base)
    for u, unit in enumerate(table):
        counts = Counter({cell: int(n) for cell, n in np.ndenumerate(unit) if n})
        if counts:
            expected = naive.transfer_entropy(counts, base)
            assert result[u] == pytest.approx(expected, rel=1e-9, abs=1e-13)
            assert result[u] >= 0
        else:
            assert math.isnan(result[u])


@settings(max_examples=100, deadline=None)
@given(
    table=hnp.arrays(np.int64, (2, 5), elements=st.integers(0, 50)),
    base=st.sampled_from([2, math.e]),
)
def test_entropy_equals_naive(table, base):
    result = entropies.entropy(table, base)
    for u, unit in enumerate(table.tolist()):
        codes = [i for i, n in enumerate(unit) for _ in range(n)]
        if codes:
            assert result[u] == pytest.approx(naive.entropy(codes, base), abs=1e-12)
        else:
            assert math.isnan(result[u])


@settings(max_examples=100, deadline=None)
@given(table=tables, scale=st.sampled_from([2, 1000, 2**30]))
def test_only_proportions_matter(table, scale):
    once, often = (entropies.transfer_entropy(part, 2) for part in (table, table * scale))
    np.testing.assert_allclose(often, once, rtol=1e-9, atol=1e-13)


def test_counts_near_the_limit_of_int64():
    table = np.zeros((1, 2, 2, 2), np.int64)
    for y in range(2):
        table[0, y, :, y] = 2**60
    np.testing.assert_allclose(entropies.transfer_entropy(table, 2), [1.0], rtol=1e-12)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_exactly_zero_where_one_variable_is_constant(axis):
    # Next or source constant: nothing is transferred. (A constant past still lets the source tell.)
    rng = np.random.default_rng(0)
    shape = [200, 7, 7, 7]
    shape[axis] = 1
    table = rng.integers(0, 1000, shape)
    te = entropies.transfer_entropy(table, 2)
    assert (te > 0).all() if axis == 2 else (te == 0).all()


@pytest.mark.parametrize(
    ("base", "error"),
    [("two", TypeError), (None, TypeError), (1, ValueError), (0.5, ValueError),
     (math.inf, ValueError), (math.nan, ValueError)],
)  # fmt: skip
def test_a_base_that_is_none(base, error):
    with pytest.raises(error, match=r"base must be a .*number above 1"):
        entropies.check_base(base)


def test_a_table_of_very_many_cells_is_summed_without_loss():
    # The least limbs of 2**24 terms must not overflow.
    rng = np.random.default_rng(0)
    table = rng.choice([21, 35], (1, 256, 256, 256))
    dense = Dense(table, ("next", "past", "source"))
    sums = TRANSFER_ENTROPY.sums(dense)
    result = entropies.mean(sums, dense.total, 2)
    np.testing.assert_allclose(result, entropies.transfer_entropy(table, 2), rtol=0, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    n=hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 3), st.integers(1, 9)),
        elements=st.integers(0, 9) | st.integers(0, 10**12),
    ),
    block=st.sampled_from([1, 4, 2**16]),
)
def test_sums_are_those_of_each_cell_rounded_and_their_order_does_not_matter(n, block):
    for grassberger in (False, True):
        found = entropies.sums_of(n, grassberger)
        logs = entropies.grassberger_log(n) if grassberger else np.log(np.maximum(n, 1))
        for u, row in enumerate(n.tolist()):
            whole = [
                round(count * log * 2**44)
                for count, log in zip(row, logs[u].tolist(), strict=True)
                if count
            ]
            high, middle, low = (int(limb) for limb in found.limbs[:, u])
            assert (high << 64) + (middle << 32) + low == sum(whole)
            assert found.nats[u] == pytest.approx(sum(whole) / 2**44, rel=1e-15)
            assert found.cells[u] == len(whole)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(entropies, "BLOCK_CELLS", block)
            again = entropies.sums_of(n[:, ::-1], grassberger)
        np.testing.assert_array_equal(again.limbs, found.limbs)


def test_sums_have_room_for_two_thousand_million_cells():
    n = np.array([[1, 2, 3, 7, 10**6, 2**40, 2**60]])
    for grassberger in (False, True):
        for cell in n.T[..., np.newaxis]:
            _, middle, low = entropies.sums_of(cell, grassberger).limbs[:, 0].tolist()
            assert max(abs(middle), abs(low)) < 2**32


def test_grassberger_equals_its_recurrence():
    n = np.arange(1, 400)
    known = [naive.grassberger(int(i)) for i in n]
    np.testing.assert_allclose(entropies.grassberger_log(n), known, rtol=0, atol=1e-14)
    # For large n it is ln n, but that of the even number below.
    large = np.array([2**20, 2**20 + 1, 2**61])
    np.testing.assert_allclose(
        entropies.grassberger_log(large), np.log(large // 2 * 2.0), rtol=0, atol=1e-12
    )


@settings(max_examples=100, deadline=None)
@given(table=hnp.arrays(np.int64, (2, 3, 2, 2), elements=st.integers(0, 3)))
def test_information_of_a_table_equals_naive(table):
    axes = ("x", "y", "z")
    counted = {axis: Axis("h", lambda embedding: (0,)) for axis in axes}
    for u, unit in enumerate(table):
        rows = [
            (x, y, given)
            for (x, y, z), n in np.ndenumerate(unit)
            for given in [(z,)]
            for _ in range(n)
        ]
        if not rows:
            continue
        one = Dense(table[u : u + 1], axes)
        for bias in entropies.BIASES:
            grassberger = bias == "grassberger"
            found = Measure("any", counted, ("x",), ("y",), ("z",)).sums(one, grassberger)
            result = entropies.mean(found, one.total, 2, bias)
            assert result[0] == pytest.approx(naive.information(rows, 2, bias), abs=1e-12)
            found = Measure("any", counted, ("x",), (), ("y",)).sums(one, grassberger)
            result = entropies.mean(found, one.total, 2, bias)
            alone = naive.open_information([(x, y, ()) for x, y, _ in rows], 2, bias)
            assert result[0] == pytest.approx(alone, abs=1e-12)
