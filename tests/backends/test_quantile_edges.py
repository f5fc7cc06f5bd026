"""The compiled way to quantile edges gives exactly those of NumPy."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast import _native
from tefast._backends import cpu
from tefast._inputs import values
from tefast._tables import quantiles

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}


def smallest(dtype):
    return float(ml_dtypes.finfo(dtype).smallest_subnormal)


def largest(dtype):
    return float(ml_dtypes.finfo(dtype).max)


KINDS = {
    "normal": lambda rng, size, dtype: rng.standard_normal(size),
    "tied": lambda rng, size, dtype: rng.standard_normal(size).round(1),
    "rectified": lambda rng, size, dtype: np.maximum(rng.standard_normal(size), 0),
    "spikes": lambda rng, size, dtype: (rng.random(size) < 0.1) * 1.0,
    "constant": lambda rng, size, dtype: np.full(size, 0.3),
    "wide": lambda rng, size, dtype: np.exp(20 * rng.standard_normal(size)),
    "outlier": lambda rng, size, dtype: np.where(
        np.arange(size) == 0, largest(dtype), rng.random(size) - 0.5
    ),
    "subnormal": lambda rng, size, dtype: smallest(dtype) * rng.integers(-9, 10, size),
    "zeros of both signs": lambda rng, size, dtype: rng.choice([0.0, -0.0, 1.0, -1.0], size),
    "from end to end": lambda rng, size, dtype: largest(dtype) * rng.uniform(-1, 1, size),
    "at both ends": lambda rng, size, dtype: rng.choice([-1.0, 1.0], size) * largest(dtype),
    "missing": lambda rng, size, dtype: np.full(size, np.nan),
}
LAYOUTS = {
    "dense": lambda array: array,
    "columns first": np.asfortranarray,
    "reversed": lambda array: array[::-1, ::-1, ::-1],
    "units apart": lambda array: np.repeat(array, 3, axis=2)[..., ::3],
    "steps apart": lambda array: np.repeat(array, 2, axis=1)[:, 1::2],
}


def drawn(rng, kinds, shape, name):
    """Units of these kinds in turn, all of them finite or NaN."""
    dtype, size = DTYPES[name], shape[0] * shape[1]
    units = [KINDS[kinds[u % len(kinds)]](rng, size, dtype) for u in range(shape[2])]
    top = largest(dtype)
    return np.clip(np.stack(units, axis=1), -top, top).astype(dtype).reshape(shape)


def both_edges(array, bins, lengths=None, threads=2):
    """The edges that the compiled module finds, and those that NumPy does."""
    target = values.target(array)
    found = cpu.quantile_edges(target, bins, lengths, threads)
    return found, quantiles.quantile_edges(target, bins, lengths)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 300), st.integers(1, 40)),
    dtype=st.sampled_from(sorted(DTYPES)),
    layout=st.sampled_from(sorted(LAYOUTS)),
    bins=st.one_of(st.integers(2, 20), st.integers(2, 255)),
    missing=st.sampled_from([0.0, 0.0, 0.1, 0.95]),
    cut=st.booleans(),
    threads=st.integers(1, 3),
)
def test_edges_are_those_of_numpy(seed, kinds, shape, dtype, layout, bins, missing, cut, threads):
    if bins > 20:  # ties are shared among so many bins slowly
        shape = (*shape[:2], min(shape[2], 3))
    rng = np.random.default_rng(seed)
    array = drawn(rng, kinds, shape, dtype)
    array[rng.random(shape) < missing] = np.nan
    lengths = rng.integers(0, shape[1] + 1, shape[0]) if cut else None
    found, expected = both_edges(LAYOUTS[layout](array), bins, lengths, threads)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 10_000, 17), (1, 300_000, 3)])
@pytest.mark.parametrize("bins", [2, 16])
def test_edges_of_long_units_are_those_of_numpy(dtype, shape, bins):
    array = drawn(np.random.default_rng(bins), sorted(KINDS)[::-1], shape, dtype)
    found, expected = both_edges(array, bins)
    np.testing.assert_array_equal(found, expected)


def test_edges_do_not_depend_on_how_many_units_are_taken_together(monkeypatch):
    array = drawn(np.random.default_rng(0), sorted(KINDS), (4, 90, 50), "float32")
    array[2, 5, ::7] = np.nan
    expected = both_edges(array, 6)[1]
    for size in (1, 1000, 10_000):
        monkeypatch.setattr("tefast._tables.counts.BLOCK_BYTES", size)
        np.testing.assert_array_equal(both_edges(array, 6)[0], expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_missing_values_and_steps_beyond_lengths_are_left_out(dtype, threads):
    rng = np.random.default_rng(threads)
    h = rng.standard_normal((6, 50, 21)).astype(dtype)
    h[rng.random(h.shape) < 0.2] = np.nan
    h[..., 4] = np.nan
    lengths = np.array([50, 0, 7, 31, 50, 1])
    options = {"binning": "quantile", "nan_policy": "omit", "lengths": lengths}
    found = tefast.learn_edges(h, 5, backend="cpu", threads=threads, **options)
    expected = tefast.learn_edges(h, 5, backend="reference", **options)
    np.testing.assert_array_equal(found, expected)
    assert (found[4] == 0).all()


def input_of(array, name):
    return _native.Input(array, name, False, None, 4, None)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_units_are_sorted_with_missing_values_at_the_end(dtype):
    rng = np.random.default_rng(3)
    array = drawn(rng, sorted(KINDS), (3, 400, 2 * len(KINDS)), dtype)
    array[rng.random(array.shape) < 0.05] = np.nan
    units = np.array([3, 0, 17, 3, 23])
    expected = np.sort(array.reshape(1200, -1)[:, units].T.astype(float), axis=1)
    for threads in (1, 3):
        found = _native.sort_units(input_of(array, dtype), units, threads)
        np.testing.assert_array_equal(found, expected)
    assert _native.sort_units(input_of(array, dtype), units[:0], 2).shape == (0, 1200)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_values_have_their_ranks(dtype):
    array = np.random.default_rng(4).standard_normal((1, 500, 2)).astype(dtype)
    array[0, :100, 0] = np.inf
    array[0, 50:200, :] = -np.inf
    found, sizes = _native.find_ranks(input_of(array, dtype), np.array([0.0, 0.1, 0.5, 1.0]), 1)
    ranks = np.array([0, 49, 249, 499])
    near = np.clip([ranks - 1, ranks, ranks + 1], 0, 499)
    expected = np.sort(array[0], axis=0).T[:, near]
    np.testing.assert_array_equal(found, expected)
    assert sizes.tolist() == [500, 500]


def test_what_cannot_be_ranked_is_refused():
    floats, half = input_of(np.zeros((2, 3, 4)), "float64"), np.array([0.5])
    with pytest.raises(ValueError, match="symbols have no ranks"):
        _native.find_ranks(input_of(np.zeros((2, 3, 4), np.int64), "int64"), half, 1)
    for shares in (np.array([1.5]), np.array([-0.1]), np.array([np.nan]), half[np.newaxis]):
        with pytest.raises(ValueError, match="shares must"):
            _native.find_ranks(floats, shares, 1)
    for units in (np.array([4]), np.array([-1])):
        with pytest.raises(ValueError, match="no such units"):
            _native.sort_units(floats, units, 1)
    with pytest.raises(ValueError, match="units must have shape"):
        _native.sort_units(floats, np.array([[0]]), 1)
