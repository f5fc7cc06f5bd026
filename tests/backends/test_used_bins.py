"""Many sources beside symbols that differ in number from unit to unit, and sums of small counts."""

import naive
import numpy as np
import pytest
from levels import RUNNABLE, using

import tefast
from tefast import _native


def counted(h, y, bins):
    """Nats (U,) from counts of 64 bits, which are summed one by one."""
    counts = np.zeros((h.shape[2], bins, bins, bins), np.int64)
    target = _native.Input(h, str(h.dtype), False, None, bins, None)
    _native.count_transitions(target, np.ascontiguousarray(y, np.int16), counts, 1)
    return _native.score_counts(counts, 1), counts.max()


def scored(h, sources, bins, lengths=None, threads=1, back=()):
    """(S, U) by the kernel of many sources."""
    states = np.ascontiguousarray(sources, np.int16)
    known = _native.Input(h, str(h.dtype), False, None, bins, lengths)
    nats, clean = _native.transfer_entropies(known, states, bins, False, threads, list(back))
    assert clean
    return nats


def alone(h, sources, bins, lengths=None):
    """The same by a call for every source, in nats."""
    one = {"bins": bins, "base": np.e, "lengths": lengths}
    return np.stack([tefast.transfer_entropy(h, y, **one) for y in sources])


def symbols(seed, sequences, steps, units, bins):
    """Symbols (N, T, U): of each unit another number of them, and one unit alone has all."""
    rng = np.random.default_rng(seed)
    most = rng.integers(1, max(2, bins // 2), units)
    most[rng.integers(units)] = bins
    return np.minimum(rng.integers(0, bins, (sequences, steps, units)), most - 1)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("units", [3, 16, 17, 33, 100])
@pytest.mark.parametrize("bins", [5, 11, 23, 64])
def test_they_are_what_one_source_gives(level, units, bins):
    rng = np.random.default_rng([units, bins])
    h = symbols([units, bins], 3, 60, units, bins)
    sources = np.minimum(rng.integers(0, bins, (9, 3, 60)), rng.integers(0, bins, (9, 1, 1)))
    lengths = np.array([60, 2, 31])
    with using(level):
        for n in (None, lengths):
            expected = alone(h, sources, bins, n)
            for threads in (1, 3):
                found = scored(h, sources, bins, n, threads)
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_they_are_what_is_counted_by_hand(dtype):
    h = symbols(1, 2, 40, 40, 9).astype(dtype)
    sources = np.random.default_rng(2).integers(0, 9, (8, 2, 40))
    kinds = {"h_range": (0, 9), "y_range": (0, 9)} if dtype == "float32" else {}
    found = tefast.pairwise_transfer_entropy(
        np.concatenate([np.moveaxis(sources, 0, 2).astype(dtype), h], axis=2),
        9,
        sources=range(8),
        base=np.e,
        **({"x_range": (0, 9)} if kinds else {}),
    ).te[:, 8:]
    for s, y in enumerate(sources):
        for u in range(40):
            counts = naive.transitions(h[:, :, u].astype(int), y)
            assert found[s, u] == pytest.approx(
                naive.transfer_entropy(counts, np.e), rel=1e-12, abs=1e-13
            )


def test_gaps_stay_gaps():
    h = symbols(3, 2, 50, 40, 11).astype(float)
    h[np.random.default_rng(4).random(h.shape) < 0.05] = np.nan
    x = np.concatenate([np.random.default_rng(5).integers(0, 11, (2, 50, 10)), h], axis=2)
    how = {"x_range": (0, 11), "nan_policy": "omit"}
    found = tefast.pairwise_transfer_entropy(x, 11, sources=range(10), **how).te[:, 10:]
    for s in range(10):
        one = tefast.transfer_entropy(
            h, x[:, :, s], 11, h_range=(0, 11), y_range=(0, 11), nan_policy="omit"
        )
        np.testing.assert_array_equal(found[s], one)


@pytest.mark.parametrize("bins", [5, 7])
def test_pasts_of_several_steps_have_smaller_tables_too(bins):
    h = symbols(bins, 4, 50, 50, bins)
    y = np.random.default_rng(6).integers(0, bins, (4, 50))
    sources = np.random.default_rng(7).integers(0, bins, (8, 4, 50)).astype(np.int16)
    sources[0] = y
    sources[:, :, :1] = -1
    found = scored(h, sources, bins, back=[1, 0])
    expected = tefast.transfer_entropy(h, y, bins, target_history=2, base=np.e)
    np.testing.assert_array_equal(found[0], expected)


def test_units_keep_their_places():
    """Units of few symbols come last and first, and each has a score of its own."""
    rng = np.random.default_rng(8)
    h = np.concatenate([rng.integers(0, 11, (1, 500, 30)), rng.integers(0, 2, (1, 500, 30))], 2)
    sources = rng.integers(0, 11, (8, 1, 500))
    found = scored(h, sources, 11)
    assert len(np.unique(found)) == found.size
    backwards = scored(np.ascontiguousarray(h[:, :, ::-1]), sources, 11)
    np.testing.assert_array_equal(found, backwards[:, ::-1])


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("bins", [2, 3, 5, 16, 40, 64])
@pytest.mark.parametrize("steps", [200, 1000, 4000, 20_000])
def test_counts_of_every_size_are_summed(level, bins, steps):
    """Few and many transitions a cell, and cells that hold nearly all of them."""
    rng = np.random.default_rng([bins, steps])
    skewed = np.minimum(rng.exponential(0.3, (1, steps, 20)).astype(int), bins - 1)
    even = rng.integers(0, bins, (1, steps, 20))
    h = np.concatenate([skewed, even], axis=2)
    y = np.minimum(rng.exponential(0.5, (1, steps)).astype(int), bins - 1)
    with using(level):
        found = tefast.transfer_entropy(h, y, bins, base=np.e)
    np.testing.assert_array_equal(found, counted(h, y, bins)[0])


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("all_", [40_000, 65_000, 70_000])
def test_a_cell_of_more_than_a_signed_counter_holds(level, all_):
    """One state of the source has nearly all transitions, where the average says few."""
    bins = 64
    h = np.zeros((1, all_, 130), np.uint8)
    y = np.zeros((1, all_), np.uint8)
    rng = np.random.default_rng(all_)
    h[0, ::1000] = rng.integers(0, bins, h[0, ::1000].shape)
    y[0, ::700] = rng.integers(0, bins, len(y[0, ::700]))
    expected, largest = counted(h, y, bins)
    assert largest > 32_768
    with using(level):
        found = tefast.transfer_entropy(h, y, bins, base=np.e)
    np.testing.assert_array_equal(found, expected)
