"""Memory of source and target: when tests that take steps for independent are warned of."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast._significance import persistence

stats = pytest.importorskip("scipy.stats")
lfilter = pytest.importorskip("scipy.signal").lfilter

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* exceeds? all of:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:method='chi2' does not hold:RuntimeWarning"),
]

STEPS, UNITS = 6000, 5
MEMORY = r"method='{}' takes steps for independent, but the source and \d of 5 units looked at have"
BROKEN_UP = ("shuffle", "conditional", "chi2")


def slow(rng, shape, noise=0.3):
    """Autoregressive series (..., steps) seen through noise."""
    drive = rng.standard_normal(shape)
    drive[..., 0] /= math.sqrt(1 - 0.97**2)
    series = lfilter([math.sqrt(1 - 0.97**2)], [1, -0.97], drive)
    return series + noise * rng.standard_normal(shape)


def fast(rng, shape):
    return rng.standard_normal(shape)


def chain(rng, shape):
    """Markov chains of four symbols, as floats: a step tells all that the steps before it do."""
    drawn = rng.integers(0, 4, shape)
    fresh = rng.random(shape) >= 0.8
    fresh[..., 0] = True
    at = np.maximum.accumulate(np.where(fresh, np.arange(shape[-1]), 0), axis=-1)
    return np.take_along_axis(drawn, at, -1) + 0.0


def pair(of_target, of_source, seed=0, units=UNITS, steps=STEPS):
    rng = np.random.default_rng(seed)
    return of_target(rng, (units, steps)).T.copy(), of_source(rng, (steps,))


def call(h, y, method="shuffle", **options):
    return tefast.significance(h, y, 4, method=method, surrogates=99, binning="quantile", **options)


@pytest.mark.parametrize("method", BROKEN_UP)
@pytest.mark.parametrize("options", [{}, {"target_history": 2}, {"source_history": 2}])
def test_memory_of_both_is_worth_a_warning(method, options):
    with pytest.warns(RuntimeWarning, match=MEMORY.format(method)):
        call(*pair(slow, slow), method, **options)


@pytest.mark.parametrize("method", BROKEN_UP)
@pytest.mark.parametrize(
    ("of_target", "of_source"), [(slow, fast), (fast, slow), (fast, fast), (chain, chain)]
)
def test_memory_of_one_alone_or_within_the_history_is_not(method, of_target, of_source):
    for seed in range(3):
        call(*pair(of_target, of_source, seed), method)


@pytest.mark.parametrize("method", ["auto", "circular"])
def test_surrogates_that_keep_the_memory_are_not_warned_of(method):
    assert call(*pair(slow, slow), method).method == "circular"
    h, y = pair(slow, slow)
    trials = call(h.reshape(20, 300, UNITS), y.reshape(20, 300), "trials")
    assert trials.method == "trials"


@pytest.mark.parametrize("bins", [2, 16])
@pytest.mark.parametrize("shape", [(1, 60), (1, 4000), (100, 20), (3, 7)])
def test_independent_data_of_any_size_are_never_warned_of(bins, shape):
    rng = np.random.default_rng(1)
    for _ in range(5):
        h, y = rng.integers(0, bins, (*shape, 200)), rng.integers(0, bins, shape)
        tefast.significance(h, y, bins, method="shuffle", surrogates=1)


def test_one_unit_with_memory_among_many_is_named():
    h, y = pair(fast, slow)
    h[:, 3] = slow(np.random.default_rng(9), (STEPS,))
    with pytest.warns(RuntimeWarning, match=r"1 of 5 units .* like unit 3 .* some \d\d % have p"):
        call(h, y)


def test_gaps_and_lengths():
    h, y = pair(slow, slow)
    h, y = h.reshape(30, 200, UNITS), y.reshape(30, 200).copy()
    y[:, 50] = np.nan
    with pytest.warns(RuntimeWarning, match="memory beyond the histories"):
        call(h, y, lengths=np.full(30, 150), nan_policy="omit")
    # Sequences of a step each have no successive transitions.
    call(h[:, :2], y[:, :2])


def test_other_backends_see_the_same(backend):
    with pytest.warns(RuntimeWarning, match="memory beyond the histories") as found:
        call(*pair(slow, slow), backend=backend)
    with pytest.warns(RuntimeWarning) as expected:
        call(*pair(slow, slow), backend="reference")
    assert str(found[0].message) == str(expected[0].message)


def by_loops(own, past, shared):
    """The sum over all lags up to 3 of k(lag) s(lag), by loops over lists of sequences."""
    there = [
        [a >= 0 and c >= 0 for a, c in zip(*rows, strict=True)]
        for rows in zip(own, shared, strict=True)
    ]
    number = sum(map(sum, there))

    def returns(keys, lag):
        many = Counter(
            key for row, seen in zip(keys, there, strict=True)
            for key, was in zip(row, seen, strict=True) if was
        )  # fmt: skip
        pairs, back = 0, 0.0
        for row, seen in zip(keys, there, strict=True):
            for t in range(lag, len(row)):
                if seen[t] and seen[t - lag]:
                    pairs += 1
                    back += (row[t] == row[t - lag]) / (many[row[t]] / number)
        chance = sum((n - 1) / (number - 1) for n in many.values())
        return (back / pairs - chance if pairs else 0.0), len(many), pairs

    factor = 1.0
    for lag in range(1, min(4, len(own[0]))):
        (of_q, q, pairs), (of_p, p, _), (of_s, s, _) = (
            returns(keys, lag) for keys in (own, past, shared)
        )
        factor += 2 * pairs / number * (of_q - of_p) / (q - p) * of_s / (s - 1)
    return factor


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_factor_of_plain_loops(data):
    shape = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    past, shared = rng.integers(0, 2, (2, *shape))
    own = 3 * past + rng.integers(0, 3, shape)
    gaps = rng.random(shape) < data.draw(st.sampled_from([0.0, 0.3]))
    own[gaps] = past[gaps] = -1
    shared[rng.random(shape) < 0.1] = -1
    factor, error, freedom = persistence.inflation(own, past, shared)
    some = (own >= 0) & (shared >= 0)
    free = len(set(own[some])) - len(set(past[some]))
    assert freedom == max(0, free) * max(0, len(set(shared[some])) - 1) or freedom == 0
    if freedom:
        assert factor == pytest.approx(by_loops(own.tolist(), past.tolist(), shared.tolist()))
        assert error >= 0
    else:
        assert (factor, error) == (1.0, math.inf)


@pytest.mark.parametrize("freedom", [1, 2, 12, 3600])
@pytest.mark.parametrize("factor", [0.7, 1.0, 1.05, 1.5, 4.0])
def test_the_law_of_what_is_rejected(freedom, factor):
    expected = stats.chi2.sf(stats.chi2.isf(0.05, freedom) / factor, freedom)
    assert persistence.rejected(factor, freedom) == pytest.approx(expected, abs=0.01)


def test_lags_between_are_interpolated():
    weights = persistence._weights(persistence.LAGS)
    every = np.arange(1, 65)
    for slope, start in ((0.0, 1.0), (-1 / 64, 1.0)):  # a straight line is summed exactly
        expected = (start + slope * every).sum()
        assert (weights * (start + slope * persistence.LAGS)).sum() == pytest.approx(expected)
    assert persistence._weights(persistence.LAGS[:2]).tolist() == [1, 1]


@pytest.mark.parametrize("bins", [2, 4])
def test_what_is_said_is_what_happens(bins):
    """The share that the warning tells is that of independent units called significant."""
    rng = np.random.default_rng(4)
    told, rejected = [], []
    for _ in range(12):
        h, y = slow(rng, (40, 3000), 0.0).T.copy(), slow(rng, (3000,), 0.0)
        with pytest.warns(RuntimeWarning, match="memory beyond") as found:
            p = tefast.significance(h, y, bins, method="chi2", binning="quantile").p_value
        told.append(float(str(found[0].message).split("some ")[1].split(" %")[0]) / 100)
        rejected.append(np.mean(p <= 0.05))
    assert np.mean(rejected) > 0.15
    # What is told is the highest of 40 estimates.
    assert -0.05 < np.mean(told) - np.mean(rejected) < 0.3
