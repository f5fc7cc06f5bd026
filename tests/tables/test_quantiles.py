"""Quantile bins: as many as distinct values allow, as equally filled as ties permit."""

import warnings
from collections import Counter

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast._tables import quantiles

few_values = st.lists(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0, 3.5, 7.0]), min_size=2)


def learned(values, bins, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return tefast.learn_edges(values, bins, binning="quantile", **options)


def fills(values, edges):
    return Counter(naive.code(float(v), edges.tolist()) for v in values)


@settings(deadline=None)
@given(few_values, st.integers(2, 9))
def test_fills_are_as_equal_as_ties_permit(values, bins):
    found = fills(values, learned(np.array(values), bins)[0])
    assert len(found) == min(bins, len(set(values)))
    assert sum(n**2 for n in found.values()) == naive.least_squares_of_fills(values, bins)


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e300, 1e300, allow_subnormal=True), min_size=2, max_size=60),
    st.integers(2, 20),
)
def test_any_floats_fill_as_many_bins_as_they_can(values, bins):
    edges = learned(np.array(values), bins)[0]
    assert (np.diff(edges) >= 0).all()
    assert len(fills(values, edges)) == min(bins, len(set(values)))


@pytest.mark.parametrize("bins", [2, 5, 16])
def test_edges_are_those_of_numpy_where_nothing_is_tied(bins):
    values = np.random.default_rng(bins).standard_normal((997, 3))
    expected = np.quantile(values, np.arange(1, bins) / bins, axis=0).T
    np.testing.assert_array_equal(learned(values, bins), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bins", [2, 16])
def test_sorted_and_partly_sorted_values_give_the_same_edges(monkeypatch, bins, dtype):
    rng = np.random.default_rng(bins)
    values = rng.standard_normal((11, 60, 37)).astype(dtype)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[..., 0] = np.round(values[..., 0])
    values[..., 1] = np.nan
    options = {"nan_policy": "omit", "lengths": np.arange(50, 61), "backend": "reference"}
    expected = learned(values, bins, **options)
    monkeypatch.setattr(quantiles, "MOST_SORTED", 0)
    monkeypatch.setattr(quantiles, "AT_ONCE", 2000)
    np.testing.assert_array_equal(learned(values, bins, **options), expected)
    counted = np.arange(60) < options["lengths"][:, np.newaxis]
    for u in range(2, 37 if dtype != np.float16 else 2):  # float16 has ties
        column = values[..., u][counted].astype(np.float64)
        np.testing.assert_array_equal(
            expected[u], np.nanquantile(column, np.arange(1, bins) / bins)
        )


@pytest.mark.parametrize(
    ("values", "bins", "expected"),
    [
        ([0] * 5 + [1] * 3 + [2, 3], 3, [5, 3, 2]),
        ([0] * 8 + [1, 2], 3, [8, 1, 1]),
        ([-1] * 7 + [1] * 3, 3, [7, 3]),
        ([0] * 101 + [1] * 100, 2, [101, 100]),
        ([0, 1, 1, 1, 1, 1, 2, 2], 2, [6, 2]),
        ([0, 3, 3, 3] * 10, 4, [10, 30]),
        ([5.0, 5.0, 5.0], 4, [3]),
    ],
)
def test_ties_that_filled_too_few_bins(values, bins, expected):
    found = fills(values, learned(np.array(values, float), bins)[0])
    assert [found[code] for code in sorted(found)] == expected


@pytest.mark.parametrize("share", [0.3, 0.79, 0.97])
@pytest.mark.parametrize("bins", [3, 16, 64])
@pytest.mark.parametrize("sign", [-1, 1])
def test_rectified_values_share_what_is_not_zero(share, bins, sign):
    rng = np.random.default_rng(5)
    values = sign * np.maximum(rng.random(20_000) - share, 0)
    found = fills(values.tolist(), learned(values, bins)[0])
    zeros = int((values == 0).sum())
    counts = sorted(found.values())
    alone = zeros > values.size / bins  # else zeros fit in a bin with others
    rest = counts[:-1] if alone else counts
    assert len(found) == bins
    assert not alone or counts[-1] == zeros
    assert max(rest) - min(rest) <= max(2, 0.05 * np.mean(rest))


def test_many_distinct_values_are_shared_as_by_trying_all_cuts():
    rng = np.random.default_rng(0)
    for bins in (3, 8):
        sizes = np.maximum(1, (rng.pareto(1, 700) * 5).astype(np.int64))
        until = np.cumsum(sizes)
        cuts = quantiles.equal_cuts(until, bins)
        places = [np.arange(1, 700)] * (bins - 1)
        ends = np.concatenate([[0], until])
        best = quantiles._cheapest(ends, places)
        spent, least = (
            (np.diff(ends[[0, *some, -1]]).astype(float) ** 2).sum() for some in (cuts, best)
        )
        assert spent <= 1.001 * least


def test_a_spiking_unit_is_not_lost(backend):
    source = (np.random.default_rng(0).random(5000) < 0.3).astype(float)
    target = np.roll(source, 1)
    options = {"binning": "quantile", "backend": backend}
    cells = naive.transitions([target.tolist()], [source.tolist()])
    expected = naive.transfer_entropy(cells)
    assert abs(expected - 0.8801) < 1e-4
    te = tefast.transfer_entropy(target, source, bins=2, **options)
    np.testing.assert_allclose(np.squeeze(te), expected, rtol=1e-12)
    with pytest.warns(
        RuntimeWarning, match=r"h \(target\) fills 2 bins, .*; y \(source\) fills 2 bins"
    ):
        te = tefast.transfer_entropy(target, source, bins=8, **options)
    np.testing.assert_allclose(np.squeeze(te), expected, rtol=1e-12)
    tenths = np.r_[np.zeros(8), 1, 2]
    entropy = tefast.entropy(tenths, bins=3, **options)
    np.testing.assert_allclose(np.squeeze(entropy), naive.entropy(tenths.tolist()), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_backends_find_the_same_edges(dtype, backend):
    rng = np.random.default_rng(1)
    values = np.stack(
        [
            np.maximum(rng.standard_normal(400), 0),
            rng.poisson(1.0, 400),
            rng.standard_normal(400),
            np.full(400, 7.0),
        ],
        axis=1,
    ).astype(dtype)
    values[5, :2] = np.nan
    expected = learned(values, 6, backend="reference", nan_policy="omit")
    found = learned(values, 6, backend=backend, nan_policy="omit")
    np.testing.assert_array_equal(found, expected)


def test_one_warning_names_the_unit_with_the_fewest_values():
    rng = np.random.default_rng(1)
    h = np.stack([rng.standard_normal(90), rng.integers(0, 3, 90), rng.integers(0, 2, 90)], axis=1)
    with pytest.warns(RuntimeWarning) as found:
        tefast.entropy(h, bins=4, binning="quantile")
    (warning,) = found
    message = str(warning.message)
    assert "2 of 3 units of h (target) have too few distinct values" in message
    assert "(unit 2 has 2)" in message
    assert warning.filename == __file__


def test_learned_edges_give_other_data_the_same_bins(backend):
    rng = np.random.default_rng(2)
    h, y = np.maximum(rng.standard_normal((2, 500)), 0)
    options = {"bins": 4, "backend": backend}
    whole = tefast.transfer_entropy(h, y, binning="quantile", **options)
    edges = {"h": learned(h, 4), "y": learned(y, 4)}
    np.testing.assert_array_equal(tefast.transfer_entropy(h, y, binning=edges, **options), whole)
    stream = tefast.TransferEntropy(1, binning=edges, **options)
    stream.update(h, y)
    np.testing.assert_allclose(np.squeeze(stream.compute()), np.squeeze(whole), rtol=1e-12)


def test_more_bins_than_values_warn_though_nothing_is_tied():
    h = np.random.default_rng(0).random((50, 2))
    with pytest.warns(RuntimeWarning, match=r"2 of 2 units of .* \(unit 0 has 50\)"):
        tefast.learn_binning(h, 200, binning="quantile")
    with pytest.warns(RuntimeWarning, match="fills 50 bins, one for each of its distinct values"):
        tefast.learn_binning(h[:, 0], 200, binning="quantile")
