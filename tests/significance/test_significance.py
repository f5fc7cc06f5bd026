"""Significance: fields, surrogates, chi-square, false discoveries; against plain loops."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast._significance.result import FIELDS, too_few
from tefast.measures import TRANSFER_ENTROPY

torch = pytest.importorskip("torch")
stats = pytest.importorskip("scipy.stats")

rng = np.random.default_rng(0)
Y = rng.integers(0, 3, (40, 30))
H = rng.integers(0, 3, (40, 30, 6))
H[:, 1:, 2] = np.where(rng.random((40, 29)) < 0.4, Y[:, :-1], H[:, 1:, 2])
METHODS = ("shuffle", "conditional", "trials", "circular", "chi2")
DRAWN = METHODS[:-1]
FEW_ON_PURPOSE = pytest.mark.filterwarnings("ignore:.* units? exceeds? all of:RuntimeWarning")


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
    [
        {},
        {"source_history": 2, "delay": 2},
        {"target_history": 2},
        {"delay": 0},
        {"lengths": np.arange(40) % 31},
    ],
    ids=["plain", "source", "target", "no delay", "lengths"],
)
@pytest.mark.filterwarnings("ignore:method='chi2' with:RuntimeWarning")
@FEW_ON_PURPOSE
def test_seeds_make_it_reproducible_whatever_the_threads_and_batches(method, options, monkeypatch):
    from tefast._significance import drawing

    def run(**more):
        return tefast.significance(
            H, Y, 3, method=method, surrogates=12, **{"seed": 7, **options, **more}
        )

    first = run(threads=1)
    monkeypatch.setattr(drawing, "BATCH_BYTES", 1)  # one surrogate at a time
    again, other = run(threads=3), run(seed=8)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    changed = (first.null_mean != other.null_mean).any()
    assert changed == (method != "chi2")


@FEW_ON_PURPOSE
@pytest.mark.parametrize("method", DRAWN)
@pytest.mark.parametrize("target_history", [1, 2])
def test_p_values_count_surrogates_that_are_as_high(method, target_history, monkeypatch):
    from tefast._significance import significance

    drawn = []
    plain = significance.Nulls.add

    def spy(self, nulls):
        drawn.append(nulls)
        plain(self, nulls)

    monkeypatch.setattr(significance.Nulls, "add", spy)
    options = {"method": method, "surrogates": 20, "target_history": target_history}
    found = tefast.significance(H, Y, 3, **options)
    nulls = np.concatenate(drawn) / math.log(2)
    assert nulls.shape == (20, 6)
    more = [sum(null[u] >= found.te[u] - 1e-12 for null in nulls) for u in range(6)]
    np.testing.assert_array_equal(found.p_value, (1 + np.array(more)) / 21)
    np.testing.assert_allclose(found.null_mean, nulls.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.null_std, nulls.std(axis=0, ddof=1), rtol=1e-12)


def source_of(method, y, lengths=None):
    """A source of codes (N, T), whose states are its codes."""
    from tefast._counting.inputs import Inputs
    from tefast._counting.options import Options
    from tefast._inputs import values
    from tefast._significance.drawing import Source
    from tefast._tables.states import Embedding

    target = values.target(np.zeros((*y.shape, 1), np.int64))
    options = Options.check(int(y.max()) + 1, "uniform", "raise", 2, "cpu", 1)
    ranges = {"h": None, "y": None}
    inputs = Inputs.check(options, target, [values.source(y, target)], lengths, ranges)
    return Source(inputs, Embedding(), method)


def surrogate_of(method, y, lengths=None, seed=0):
    """The states of one surrogate."""
    return source_of(method, y, lengths).draw(seed, 0).codes


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


@pytest.mark.parametrize("lengths", [[12], [3, 4], [5, 1, 0, 6], [2, 2, 2]])
@pytest.mark.parametrize("method", ["circular", "trials"])
def test_where_there_are_few_surrogates_each_is_drawn_once(method, lengths):
    y = np.arange(12 * len(lengths)).reshape(len(lengths), 12) % 256
    if method == "trials":
        lengths = np.full(len(lengths), 12)
        if len(lengths) == 1:
            pytest.skip("one sequence has no other")
        ways = math.factorial(len(lengths))
    else:
        ways = math.prod(max(length, 1) for length in lengths)
    source = source_of(method, y, np.array(lengths))
    assert source.ways == ways
    drawn = [source.draw(7, i).codes.tobytes() for i in range(ways - 1)]
    assert len(set(drawn)) == ways - 1
    assert source.states.codes.tobytes() not in drawn
    if ways > 4:
        assert drawn != [source.draw(8, i).codes.tobytes() for i in range(ways - 1)]


def test_a_source_that_cannot_be_turned_is_refused():
    y, h = np.full((3, 8), np.nan), np.random.default_rng(0).random((3, 8))[..., np.newaxis]
    y[0, 2] = y[1, 4] = 0.5
    options = {"h_range": (0, 1), "y_range": (0, 1), "nan_policy": "omit"}
    with pytest.raises(ValueError, match=r"turns the source .* none has two values; use 'shuff"):
        tefast.significance(h, y, 3, **options)


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
@pytest.mark.parametrize("method", DRAWN)
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
    h = H[..., :1].copy()
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


@FEW_ON_PURPOSE
def test_gives_back_the_kind_of_the_target():
    found = tefast.significance(torch.from_numpy(H), torch.from_numpy(Y), 3, surrogates=5)
    assert all(isinstance(getattr(found, name), torch.Tensor) for name in FIELDS)


def test_few_transitions_for_chi_square_are_worth_a_warning():
    with pytest.warns(RuntimeWarning, match=r"with 1.4 transitions for each of 27 cells rejects"):
        tefast.significance(H[:2, :20], Y[:2, :20], 3, method="chi2")


@pytest.mark.parametrize("bins", [2, 16, 256])
def test_only_cells_that_can_occur_are_counted(bins):
    b = np.random.default_rng(0).integers(0, 2, 5000)
    found = tefast.significance(np.roll(b, 1), b, bins, method="chi2")
    assert found.p_value < 1e-6


def test_rare_values_are_no_case_for_chi_square():
    rng = np.random.default_rng(5)
    h, y = rng.normal(size=(20_000, 3)), rng.normal(size=20_000)  # some bins hold one value or two
    with pytest.warns(RuntimeWarning, match=r"does not hold where values are rare: in 3 of 3"):
        tefast.significance(h, y, bins=6, method="chi2")
    tefast.significance(h, y, bins=6, binning="quantile", method="chi2")


def test_a_constant_source_leaves_nothing_for_chi_square_to_warn_of():
    h = np.random.default_rng(0).integers(0, 4, (200, 3))
    found = tefast.significance(h, np.zeros(200, int), 4, method="chi2")
    assert found.p_value.tolist() == [1.0] * 3


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), bins=st.integers(2, 5), gaps=st.booleans())
def test_cells_that_can_occur_by_plain_loops(seed, bins, gaps):
    from tefast._significance import chi_square
    from tefast._tables import counts

    local = np.random.default_rng(seed)
    dense = local.poisson(0.6, (3, bins, bins, bins + 1)) * (local.random(bins + 1) < 0.6)
    if gaps:
        dense[:, :, 1:] = 0  # one past alone
    axes = ("next", "past", "source")
    cells = [np.stack(np.nonzero(unit)) for unit in dense]
    sparse = counts.Sparse(cells, [unit[unit > 0] for unit in dense], axes)
    for table in (counts.Dense(dense, axes), sparse):
        found = chi_square.Estimate.of(TRANSFER_ENTROPY, [(slice(0, 3), table)], 3)
        for u, unit in enumerate(dense):
            able = sum(
                int((unit[:, past].sum(axis=1) > 0).sum() * (unit[:, past].sum(axis=0) > 0).sum())
                for past in range(bins)
            )
            assert (found.cells[u], found.total[u]) == (able, unit.sum())


def test_the_thinnest_unit_is_told_of():
    local = np.random.default_rng(4)
    h = np.zeros((1000, 3), np.int64)
    h[:, 1] = local.integers(0, 2, 1000)
    h[:, 2] = local.integers(0, 5, 1000)
    y = local.integers(0, 5, 1000)
    tefast.significance(h[..., :2], y, 5, method="chi2")  # 5 and 20 cells
    with pytest.warns(RuntimeWarning, match=r"with 8 transitions for each of 125 cells"):
        tefast.significance(h, y, 5, method="chi2")


LAYOUTS = {
    "one long series": ((2000,), None, "circular"),
    "one short series": ((30,), None, "circular"),
    "nine sequences": ((9, 30), None, "circular"),
    "ten sequences": ((10, 30), None, "trials"),
    "ten lengths of ten": ((100, 30), np.repeat(np.arange(11, 31, 2), 10), "trials"),
    "ten lengths of nine": ((90, 30), np.repeat(np.arange(11, 31, 2), 9), "circular"),
    "mostly one length": ((30, 30), np.r_[[30] * 28, 12, 17], "trials"),
    "empty ones do not count": ((12, 30), np.r_[[30] * 10, 0, 0], "trials"),
}


@FEW_ON_PURPOSE
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("history", [{}, {"source_history": 2, "delay": 2, "target_history": 2}])
def test_the_default_is_taken_from_the_layout(name, history):
    shape, lengths, expected = LAYOUTS[name]
    local = np.random.default_rng(5)
    h, y = local.integers(0, 3, (*shape, 4)), local.integers(0, 3, shape)
    options = {"bins": 3, "lengths": lengths, "surrogates": 39, **history}
    found = tefast.significance(h, y, **options)
    assert (found.method, found.surrogates) == (expected, 29 if shape == (30,) else 39)
    asked = tefast.significance(h, y, method=expected, **options)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(asked, name))


@FEW_ON_PURPOSE
@pytest.mark.parametrize(
    ("different", "expected"), [(1, "circular"), (9, "circular"), (10, "trials"), (90, "trials")]
)
def test_the_default_sees_sources_that_are_equal(different, expected):
    # As of a stimulus that is the same in all trials.
    local = np.random.default_rng(6)
    y = np.tile(local.integers(0, 3, (different, 30)), (90 // different, 1))
    h = local.integers(0, 3, (len(y), 30, 2))
    assert tefast.significance(h, y, 3, surrogates=1).method == expected


def test_exchanges_that_change_nothing_are_told_of():
    local = np.random.default_rng(6)
    h, y = local.integers(0, 3, (20, 30, 2)), np.tile(local.integers(0, 3, 30), (20, 1))
    with pytest.warns(RuntimeWarning, match="these are equal, so that every surrogate is like"):
        found = tefast.significance(h, y, 3, method="trials")
    assert (found.p_value == 1).all()


@FEW_ON_PURPOSE
def test_the_default_follows_gaps():
    local = np.random.default_rng(6)
    h, y = local.random((20, 30, 2)), local.random((20, 30))
    options = {"bins": 3, "h_range": (0, 1), "y_range": (0, 1), "surrogates": 1}
    y[:, 7] = np.nan
    assert tefast.significance(h, y, nan_policy="omit", **options).method == "trials"
    y[local.random(y.shape) < 0.1] = np.nan
    assert tefast.significance(h, y, nan_policy="omit", **options).method == "circular"


def test_slow_signals_are_not_called_significant():
    """The default where permutations reject half of independent units."""
    lfilter = pytest.importorskip("scipy.signal").lfilter
    local = np.random.default_rng(7)
    series = lfilter([1], [1, -0.97], local.standard_normal((61, 20_000)))
    series += 1.2 * local.standard_normal(series.shape)
    h, y = series[:60].T, series[60]
    options = {"bins": 4, "binning": "quantile"}
    found = tefast.significance(h, y, **options)
    assert (found.method, found.surrogates) == ("circular", 1200)
    assert (found.q_value >= 0.05).all()
    with pytest.warns(RuntimeWarning, match="memory beyond the histories"):
        broken_up = tefast.significance(h, y, method="shuffle", surrogates=1200, **options)
    assert (broken_up.q_value < 0.05).sum() > 10


def coupled(units, steps=6000):
    """Independent units, but for the first, which follows the source."""
    local = np.random.default_rng(8)
    h, y = local.integers(0, 2, (steps, units)), local.integers(0, 2, steps)
    h[1:, 0] = y[:-1]
    return h, y


@pytest.mark.parametrize(
    ("units", "options", "expected"),
    [
        (1, {}, 200),
        (10, {}, 200),
        (11, {}, 220),
        (50, {}, 1000),
        (20, {"alpha": 0.01}, 2000),
        (50, {"surrogates": 77, "alpha": 0.7}, 77),
    ],
)
@pytest.mark.parametrize("method", ["circular", "shuffle", "conditional"])
def test_there_are_as_many_surrogates_as_it_takes(method, units, options, expected):
    h, y = coupled(units)
    found = tefast.significance(h, y, 2, method=method, **options)
    assert found.surrogates == expected
    assert found.q_value[0] < found.alpha == options.get("alpha", 0.05)


def test_where_that_would_take_long_there_are_200_and_a_warning(monkeypatch):
    from tefast._significance import significance

    h, y = coupled(50)
    assert tefast.significance(h, y, 2).surrogates == 1000
    monkeypatch.setattr(significance, "PATIENCE", 1e-6)
    with pytest.warns(RuntimeWarning) as told:
        found = tefast.significance(h, y, 2)
    assert found.surrogates == 200
    text = str(told[0].message)
    assert "1 of 50 units exceeds all of 200 surrogates, but then p is no less than 0.005" in text
    assert (found.q_value >= 0.05).all()
    enough = int(text.split("surrogates=")[1].split()[0])
    assert len(told) == 1
    with pytest.warns(RuntimeWarning, match="units? exceeds? all of"):
        tefast.significance(h, y, 2, surrogates=enough // 4)
    assert tefast.significance(h, y, 2, surrogates=enough).q_value[0] < 0.05


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_number_that_would_do_does(data):
    surrogates, alpha = data.draw(st.integers(1, 50)), data.draw(st.sampled_from([0.05, 0.01, 0.3]))
    ranks = data.draw(st.lists(st.integers(1, surrogates + 1), min_size=1, max_size=40))
    p = np.array([rank / (surrogates + 1) for rank in ranks] + [math.nan])
    told = too_few(p, surrogates, alpha, math.inf)
    reached = (tefast.benjamini_hochberg(p) < alpha).any()
    least = min(ranks) == 1
    assert (told is not None) == (least and not reached)
    if told is not None:
        enough = int(told.split("surrogates=")[1].split()[0])
        chance = len(ranks) / (surrogates + 1)  # so many, and twice their deviation
        beyond = max(1, ranks.count(1) - int(chance + 2 * chance**0.5))
        more = np.where(np.arange(len(p)) < beyond, 1 / (enough + 1), 1.0)
        assert (tefast.benjamini_hochberg(more[:-1]) < alpha).any()
        assert enough > surrogates


@pytest.mark.parametrize(
    ("method", "shape", "ways"), [("circular", (12,), 12), ("trials", (3, 40), 6)]
)
def test_few_different_surrogates_are_told_of(method, shape, ways):
    h, y = coupled(1, math.prod(shape))
    h, y = h.reshape(*shape, 1), y.reshape(shape)
    with pytest.warns(RuntimeWarning, match=f"there are no more than {ways - 1} different ones"):
        found = tefast.significance(h, y, 2, method=method, surrogates=400)
    assert found.surrogates == ways - 1
    assert found.p_value[0] == pytest.approx(1 / ways)


def test_progress_is_told_and_changes_nothing():
    told = []
    plain = tefast.significance(H, Y, 3, surrogates=150)
    found = tefast.significance(H, Y, 3, surrogates=150, progress=lambda *step: told.append(step))
    assert told[-1] == (150, 150)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(plain, name), getattr(found, name))


def test_who_watches_is_told_more_often(monkeypatch):
    from tefast._significance import significance

    monkeypatch.setattr(significance, "PIECE", 1e-9)
    told = []
    tefast.significance(H, Y, 3, surrogates=150, progress=lambda *step: told.append(step))
    assert told == [(done, 150) for done in (*range(16, 150, 16), 150)]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"method": "bootstrap"},
            ValueError,
            "unknown method 'bootstrap'; known are 'auto', 'trials'",
        ),
        ({"surrogates": 0}, ValueError, "surrogates must be a positive integer, got 0"),
        ({"surrogates": 2.5}, TypeError, "surrogates must be a positive integer, got 2.5"),
        ({"alpha": 0}, ValueError, "alpha must lie between 0 and 1, got 0"),
        ({"alpha": "5 %"}, TypeError, "alpha must be a number between 0 and 1, got '5 %'"),
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
