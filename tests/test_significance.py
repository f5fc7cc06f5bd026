"""Significance: fields, surrogates, chi-square, false discoveries; against plain loops."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast

torch = pytest.importorskip("torch")
stats = pytest.importorskip("scipy.stats")

rng = np.random.default_rng(0)
Y = rng.integers(0, 3, (40, 30))
H = rng.integers(0, 3, (40, 30, 6))
H[:, 1:, 2] = np.where(rng.random((40, 29)) < 0.4, Y[:, :-1], H[:, 1:, 2])
FIELDS = ("te", "p_value", "q_value", "null_mean", "null_std", "effective_te", "standard_error")
METHODS = ("shuffle", "trials", "circular", "chi2")


@pytest.mark.parametrize("method", METHODS)
def test_a_coupling_is_found_and_chance_is_not(method, backend):
    found = tefast.significance(H, Y, 3, method=method, surrogates=199, backend=backend)
    assert np.flatnonzero(found.q_value < 0.05).tolist() == [2]
    assert found.method == method
    np.testing.assert_allclose(
        found.te, tefast.transfer_entropy(H, Y, 3, backend=backend), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(found.effective_te, found.te - found.null_mean, atol=1e-15)
    expected = 3 * 2 * 2 / (2 * 40 * 29) / math.log(2)  # the bias of independent data, in bits
    assert found.null_mean == pytest.approx(expected, rel=0.35)
    assert (found.null_std > 0).all()
    for name in FIELDS:
        assert getattr(found, name).shape == (6,)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "options",
    [{}, {"source_history": 2, "delay": 2}, {"target_history": 2}, {"lengths": np.arange(40) % 31}],
    ids=["plain", "source", "target", "lengths"],
)
@pytest.mark.filterwarnings("ignore:method='chi2' with:RuntimeWarning")
def test_seeds_make_it_reproducible_whatever_the_threads_and_batches(method, options, monkeypatch):
    from tefast import surrogates

    def run(**more):
        return tefast.significance(
            H, Y, 3, method=method, surrogates=12, **{"seed": 7, **options, **more}
        )

    first = run(threads=1)
    monkeypatch.setattr(surrogates, "BATCH_BYTES", 1)  # one surrogate at a time
    again, other = run(threads=3), run(seed=8)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    changed = (first.null_mean != other.null_mean).any()
    assert changed == (method != "chi2")


@pytest.mark.parametrize("method", ["shuffle", "trials", "circular"])
@pytest.mark.parametrize("target_history", [1, 2])
def test_p_values_count_surrogates_that_are_as_high(method, target_history, monkeypatch):
    from tefast import surrogates

    drawn = []
    plain = surrogates._Nulls.add

    def spy(self, nulls):
        drawn.append(nulls)
        plain(self, nulls)

    monkeypatch.setattr(surrogates._Nulls, "add", spy)
    options = {"method": method, "surrogates": 20, "target_history": target_history}
    found = tefast.significance(H, Y, 3, **options)
    nulls = np.concatenate(drawn) / math.log(2)
    assert nulls.shape == (20, 6)
    more = [sum(null[u] >= found.te[u] - 1e-12 for null in nulls) for u in range(6)]
    np.testing.assert_array_equal(found.p_value, (1 + np.array(more)) / 21)
    np.testing.assert_allclose(found.null_mean, nulls.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.null_std, nulls.std(axis=0, ddof=1), rtol=1e-12)


def surrogate_of(method, y, lengths=None, seed=0):
    """The states of one surrogate of codes (N, T), which are its own states here."""
    from tefast import surrogates, values
    from tefast.evaluation import Inputs
    from tefast.options import Options
    from tefast.states import Embedding

    target = values.target(np.zeros((*y.shape, 1), np.int64))
    options = Options.check(int(y.max()) + 1, "uniform", "raise", 2, "cpu", 1)
    ranges = {"h": None, "y": None}
    inputs = Inputs.check(options, target, [values.source(y, target)], lengths, ranges)
    return surrogates._drawing(inputs, Embedding(), method)(np.random.default_rng(seed)).codes


def test_what_surrogates_keep():
    y = rng.integers(0, 50, (5, 12))
    starts = y[:, :-1]  # the last step starts no transition
    shuffled = surrogate_of("shuffle", y)
    assert (shuffled[:, -1] == -1).all()
    assert sorted(shuffled[:, :-1].ravel()) == sorted(starts.ravel())
    assert (shuffled[:, :-1] != starts).any()
    trials = surrogate_of("trials", y)
    assert sorted(map(tuple, trials)) == sorted(map(tuple, y))
    lengths = np.array([12, 7, 1, 0, 5])
    turned = surrogate_of("circular", y, lengths)
    for row, old, length in zip(turned, y, lengths, strict=True):
        rotations = [np.roll(old[:length], by).tolist() for by in range(max(length, 1))]
        assert row[:length].tolist() in rotations
        assert (row[length:] == -1).all()
    assert any(
        (surrogate_of("circular", y, seed=seed) != y).any(axis=1).all() for seed in range(20)
    )


def test_chi_square_of_plain_loops():
    found = tefast.significance(H, Y, 3, method="chi2")
    for u in range(6):
        counts = naive.transitions(H[..., u].tolist(), Y.tolist())
        n = sum(counts.values())
        g = 2 * n * naive.transfer_entropy(counts, base=math.e)
        # Williams' factor, past by past.
        excess = 0.0
        for past in range(3):
            table = np.array([[counts[x, past, y] for y in range(3)] for x in range(3)])
            size, rows, columns = table.sum(), table.sum(axis=1), table.sum(axis=0)
            excess += (size * (1 / rows).sum() - 1) * (size * (1 / columns).sum() - 1) / (6 * size)
        assert found.p_value[u] == pytest.approx(stats.chi2.sf(g / (1 + excess / 12), 12), rel=1e-9)
        assert found.null_mean[u] == pytest.approx((12 + excess) / (2 * n) / math.log(2), rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rule", ["copy", "sum", "nearly"])
def test_the_strongest_couplings_are_found(method, rule):
    # They leave joint cells empty, which is no sign of chance.
    local = np.random.default_rng(3)
    y, h = local.integers(0, 4, (60, 40)), np.zeros((60, 40, 1), np.int64)
    for t in range(1, 40):
        h[:, t, 0] = y[:, t - 1] if rule != "sum" else (h[:, t - 1, 0] + y[:, t - 1]) % 4
    if rule == "nearly":
        h[local.random(h.shape) < 0.02] = 0
    found = tefast.significance(h, y, 4, method=method, surrogates=99)
    assert found.p_value[0] <= 0.01
    assert 0 < found.null_mean[0] < 0.1


@pytest.mark.parametrize("gaps", ["mask", "lengths", "nan"])
@pytest.mark.parametrize("method", ["shuffle", "circular", "trials"])
def test_surrogates_have_as_many_transitions_as_the_data(method, gaps):
    local = np.random.default_rng(4)
    y, h = local.random((30, 40)), local.random((30, 40, 40))
    options = {"h_range": (0, 1), "y_range": (0, 1), "surrogates": 60, "method": method}
    if gaps == "mask":
        options["mask"] = np.arange(40) % 20 < 10
        options["mask"] = np.broadcast_to(options["mask"], (30, 40))
    elif gaps == "lengths":
        options["lengths"] = np.repeat([8, 20, 40], 10)
    else:
        y[::2, 5:9] = np.nan
        options["nan_policy"] = "omit"
    found = tefast.significance(h, y, 3, **options)
    assert abs(found.effective_te.mean()) < 4 * found.null_std.mean() / math.sqrt(40) + 2e-3
    assert np.isfinite(found.null_mean).all()


def test_standard_error_is_that_of_local_values():
    local = tefast.local_transfer_entropy(H, Y, 3).reshape(-1, 6)
    expected = local.std(axis=0) / math.sqrt(len(local))
    found = tefast.significance(H, Y, 3, method="chi2").standard_error
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_constant_unit_is_as_likely_as_can_be():
    h = H.copy()
    h[..., 0] = 1
    for method in METHODS:
        found = tefast.significance(h, Y, 3, method=method, surrogates=9)
        assert found.te[0] == found.null_mean[0] == found.standard_error[0] == 0
        assert found.p_value[0] == 1


@settings(max_examples=100, deadline=None)
@given(p=st.lists(st.floats(0, 1) | st.just(math.nan), max_size=12))
def test_benjamini_hochberg_of_plain_loops(p):
    known = sorted(value for value in p if not math.isnan(value))
    q = tefast.benjamini_hochberg(p)
    for value, adjusted in zip(p, q, strict=True):
        if math.isnan(value):
            assert math.isnan(adjusted)
            continue
        least = min(
            (known[j] * len(known) / (j + 1) for j in range(len(known)) if known[j] >= value),
            default=1,
        )
        assert adjusted == pytest.approx(min(least, 1), abs=1e-12)


def test_gives_back_the_kind_of_the_target():
    found = tefast.significance(torch.from_numpy(H), torch.from_numpy(Y), 3, surrogates=5)
    assert all(isinstance(getattr(found, name), torch.Tensor) for name in FIELDS)


def test_few_transitions_for_chi_square_are_worth_a_warning():
    with pytest.warns(RuntimeWarning, match=r"with 1.4 transitions for each of 27 cells rejects"):
        tefast.significance(H[:2, :20], Y[:2, :20], 3, method="chi2")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"method": "bootstrap"},
            ValueError,
            "unknown method 'bootstrap'; known are 'shuffle', 'tr",
        ),
        ({"surrogates": 0}, ValueError, "surrogates must be a positive integer, got 0"),
        ({"surrogates": 2.5}, TypeError, "surrogates must be a positive integer, got 2.5"),
        ({"seed": -1}, ValueError, "seed must be an integer, 0 or more, got -1"),
        ({"seed": "a"}, TypeError, "seed must be an integer, 0 or more, got 'a'"),
        ({"lengths": [1] * 40}, ValueError, "no transition is left to count"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        tefast.significance(H, Y, 3, **options)


def test_sequences_of_different_lengths_cannot_be_exchanged():
    with pytest.raises(
        ValueError, match=r"exchanges .* the same length and gaps, and no two are so"
    ):
        tefast.significance(H[:20], Y[:20], 3, method="trials", lengths=np.arange(5, 25))


def test_one_sequence_has_no_trials_to_exchange():
    with pytest.raises(ValueError, match=r"method='trials' exchanges .* one sequence alone"):
        tefast.significance(H[0], Y[0], 3, method="trials")


@pytest.mark.parametrize("p", [[-0.1], [1.5, 0.2]])
def test_p_values_out_of_bounds(p):
    with pytest.raises(ValueError, match=r"p-values must lie in 0 \.\. 1"):
        tefast.benjamini_hochberg(p)
