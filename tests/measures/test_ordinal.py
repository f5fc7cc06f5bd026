"""Ordinal patterns against the ranks of plain lists."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast

torch = pytest.importorskip("torch")


def naive_pattern(window):
    """The place of a pattern among all, in the order in which itertools counts them."""
    order = sorted(range(len(window)), key=lambda i: (window[i], i))
    ranks = [order.index(i) for i in range(len(window))]
    return sorted(itertools.permutations(range(len(window)))).index(tuple(ranks))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_patterns_are_those_of_ranks(data):
    order, step = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 3))
    span = (order - 1) * step
    shape = (data.draw(st.integers(1, 3)), span + data.draw(st.integers(1, 6)), 2)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    h = rng.random(shape)
    if data.draw(st.booleans()):
        h = h.round(1)  # ties
    found = tefast.ordinal_patterns(h, order, step=step)
    assert found.shape == (shape[0], shape[1] - span, 2)
    for n, t, u in np.ndindex(*found.shape):
        window = h[n, t : t + span + 1 : step, u].tolist()
        assert found[n, t, u] == naive_pattern(window)


def test_kinds_and_ranks_of_input():
    h = np.random.default_rng(0).random((4, 9, 3)).astype(np.float32)
    expected = tefast.ordinal_patterns(h)
    bfloat = torch.from_numpy(h).bfloat16()
    np.testing.assert_array_equal(
        tefast.ordinal_patterns(bfloat).numpy(), tefast.ordinal_patterns(bfloat.float().numpy())
    )
    np.testing.assert_array_equal(tefast.ordinal_patterns(h[0], axis=0), expected[0])
    np.testing.assert_array_equal(tefast.ordinal_patterns(h[:, :, 2]), expected[:, :, 2])
    np.testing.assert_array_equal(tefast.ordinal_patterns(h[0, :, 1]), expected[0, :, 1])
    falling = np.arange(9)[::-1]
    assert (tefast.ordinal_patterns(falling, 4) == 23).all()


def test_a_monotone_transformation_changes_nothing():
    rng = np.random.default_rng(1)
    y, h = rng.random((50, 30)), rng.random((50, 30, 2))
    h[:, 1:, 0] += 2 * y[:, :-1]
    found = [
        tefast.transfer_entropy(tefast.ordinal_patterns(f(h)), tefast.ordinal_patterns(y), bins=6)
        for f in (lambda x: x, np.exp, lambda x: x**3)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert found[0][0] > 3 * found[0][1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((2, 9)), 6), ValueError, r"order must lie in 2 \.\. 5"),
        ((np.zeros((2, 9)), 1), ValueError, r"order must lie in 2 \.\. 5"),
        ((np.zeros((2, 9)), 2.0), TypeError, "order must be a positive integer, got 2.0"),
        ((np.zeros((9, 2)), 3), ValueError, r"take at least 3 steps, got 2 along axis 1 of shape"),
        ((np.array([1.0, np.nan, 2.0]), 2), ValueError, "NaN has no rank, got 1 of them"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        tefast.ordinal_patterns(*arguments)


def test_an_axis_there_is_not():
    with pytest.raises(ValueError, match=r"axis must be one of the 2 of shape \(2, 9\), got 2"):
        tefast.ordinal_patterns(np.zeros((2, 9)), axis=2)
