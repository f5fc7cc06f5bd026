"""The history a unit remembers: exact means by chance, and Markov chains of a known order."""

import io
import itertools
import math
from collections import Counter, defaultdict

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import example, samples

import tefast
from tefast import history_choice
from tefast._counting import windows
from tefast._significance import hypergeometric
from tefast._tables import counts


def chain(rng, order, symbols, steps):
    """A Markov chain whose every transition probability is drawn at random."""
    law = rng.dirichlet(np.full(symbols, 0.5), symbols**order).cumsum(axis=1)
    found, state = np.zeros(steps, int), 0
    for t, drawn in enumerate(rng.random(steps)):
        found[t] = min(int((drawn >= law[state]).sum()), symbols - 1)
        state = (state * symbols + found[t]) % symbols**order
    return found


def lagged(rng, lag, symbols, steps):
    """A series of which each step alone is that `lag` steps before in two of three cases."""
    found = rng.integers(0, symbols, steps)
    for t in np.flatnonzero(rng.random(steps) < 2 / 3):
        found[t] = found[t - lag] if t >= lag else found[t]
    return found


# By chance


@settings(max_examples=200, deadline=None)
@given(total=st.integers(1, 60), data=st.data())
def test_mean_of_one_cell_is_exact(total, data):
    row, column = (data.draw(st.integers(0, total)) for _ in range(2))
    known = sum(
        math.comb(row, n) * math.comb(total - row, column - n) * (n * math.log(n) if n else 0)
        for n in range(max(0, row + column - total), min(row, column) + 1)
    ) / math.comb(total, column)
    (found,) = hypergeometric.mean_terms(*(np.array([each]) for each in (row, column, total)))
    assert found == pytest.approx(known, rel=1e-12, abs=1e-12)


def test_mean_of_large_cells():
    rng = np.random.default_rng(0)
    logs = np.concatenate([[0.0], np.log(np.arange(1, 3_000_001)).cumsum()])  # of factorials

    def log_choose(n, k):
        return logs[n] - logs[k] - logs[n - k]

    for total in (1000, 100_000, 3_000_000):
        row, column = rng.integers(1, total + 1, (2, 10))
        found = hypergeometric.mean_terms(row, column, np.full(10, total))
        for a, b, mean in zip(row, column, found, strict=True):
            n = np.arange(max(0, a + b - total), min(a, b) + 1)
            weight = log_choose(a, n) + log_choose(total - a, b - n)
            weight = np.exp(weight - weight.max())
            known = (weight * n * np.log(np.maximum(n, 1))).sum() / weight.sum()
            assert mean == pytest.approx(known, rel=1e-9, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), at_once=st.sampled_from([1, 5, 2**18]))
def test_mean_of_several_tables_is_that_over_all_permutations(data, at_once):
    cell = st.tuples(st.integers(0, 2), st.integers(0, 2))
    tables = data.draw(st.lists(st.lists(cell, min_size=1, max_size=5), min_size=1, max_size=3))
    rows, columns, known = [], [], 0.0
    for i, table in enumerate(tables):
        of_row, of_column = (Counter(each) for each in zip(*table, strict=True))
        rows += [(n, i) for n in of_row.values()]
        columns += [(n, i) for n in of_column.values()]
        known += mean_over_permutations(*zip(*table, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hypergeometric, "PAIRS_AT_ONCE", at_once)
        found = hypergeometric.mean_sum(*np.array(rows).T, *np.array(columns).T)
    assert found == pytest.approx(known, abs=1e-11)


def mean_over_permutations(one, other):
    sums = [
        sum(n * math.log(n) for n in Counter(zip(one, order, strict=True)).values())
        for order in itertools.permutations(other)
    ]
    return sum(sums) / len(sums)


# What each step adds


def added(unit, lengths, most, step):
    """What every further step tells beyond chance, in bits, by permuting it in every past."""
    found = []
    longest = naive.own_moves(unit, lengths, most, step)
    for k in range(1, most + 1):
        groups = defaultdict(list)
        for following, past, _ in longest:
            groups[past[: k - 1]].append((following, past[k - 1]))
        gain = 0.0
        for group in groups.values():
            of_all = Counter(group)
            gain += sum(n * math.log(n) for n in of_all.values())
            gain -= mean_over_permutations(*zip(*group, strict=True))
        found.append(gain / len(longest) / math.log(2) if longest else math.nan)
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), step=st.integers(1, 2), cells=st.sampled_from([0, 2**22]))
def test_active_information_is_what_the_steps_add_beyond_chance(data, step, cells):
    most = data.draw(st.integers(1, 3))
    least = 2 + (most - 1) * step
    sample = data.draw(samples(steps=least, most=4))
    sample.h = sample.h[:1]  # few enough for all permutations
    sample.lengths = sample.lengths and sample.lengths[:1]
    known = np.array([added(unit, sample.lengths, most, step) for unit in sample.units]).cumsum(1)
    given = {**sample.options, "most": most, "steps": [step]}
    for backend in ("reference", "cpu"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(windows, "DENSE_CELLS", cells)
            if np.isnan(known).all():
                with pytest.raises(ValueError, match="no transition is left"):
                    tefast.choose_history(sample.values("h"), backend=backend, **given)
                continue
            found = tefast.choose_history(sample.values("h"), backend=backend, **given)
        np.testing.assert_allclose(found.active_information, known, rtol=0, atol=1e-11)


def test_the_first_step_is_active_information_less_its_mean_by_chance():
    rng = np.random.default_rng(1)
    x = np.stack([chain(rng, 2, 3, 3000), rng.integers(0, 3, 3000)], axis=1)
    found = tefast.choose_history(x, 3, 1)
    plain = tefast.active_information(x, 3)
    shuffled = [
        tefast.mutual_information(x[1:, u], rng.permutation(x[:-1, u]), 3)
        for u in range(2)
        for _ in range(100)
    ]
    by_chance = np.array(shuffled).reshape(2, 100)
    bias = plain - found.active_information[:, 0]
    assert (np.abs(bias - by_chance.mean(axis=1)) < 4 * by_chance.std(axis=1) / 10).all()
    np.testing.assert_allclose(by_chance.std(axis=1), found.noise[:, 0], rtol=0.3)


# The order of a chain


@pytest.mark.parametrize(("symbols", "steps"), [(2, 4000), (4, 4000), (8, 20_000)])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_order_of_markov_chains_is_found(order, symbols, steps):
    rng = np.random.default_rng(order)
    x = np.stack([lagged(rng, order, symbols, steps) for _ in range(8)], axis=1)
    assert (tefast.choose_history(x, symbols).history == order).mean() >= 7 / 8
    # Chains with any probabilities; some of two symbols have an order that does not show.
    if symbols > 2:
        x = np.stack([chain(rng, order, symbols, steps) for _ in range(8)], axis=1)
        assert (tefast.choose_history(x, symbols).history == order).mean() >= 7 / 8


@pytest.mark.parametrize("bins", [2, 4, 16])
@pytest.mark.parametrize("steps", [300, 5000])
def test_without_memory_it_is_1_and_that_step_tells_nothing(bins, steps):
    x = np.random.default_rng(bins).random((steps, 30))
    found = tefast.choose_history(x, bins)
    assert (found.history == 1).mean() >= 0.9
    assert (np.abs(found.active_information[:, 0]) < 8 * found.noise[:, 0]).all()


def test_corrections_by_numbers_of_cells_would_choose_the_longest():
    # Why `choose_history` has its own.
    rng = np.random.default_rng(2)
    x = np.stack([lagged(rng, 2, 8, 4000) for _ in range(4)], axis=1)
    assert (tefast.choose_history(x, 8).history == 2).all()
    for bias in ("miller_madow", "grassberger"):
        curve = [tefast.active_information(x, 8, history=k, bias=bias) for k in range(1, 9)]
        assert (np.argmax(curve, axis=0) > 4).all()


def test_a_memory_at_a_multiple_of_some_steps():
    rng = np.random.default_rng(3)
    x = np.stack([lagged(rng, 7, 4, 5000), rng.integers(0, 4, 5000), chain(rng, 2, 4, 5000)], 1)
    found = tefast.choose_history(x, 4, 3, steps=(3, 1, 2))
    assert found.step.tolist() == [3, 1, 1]
    assert found.history.tolist() == [3, 1, 2]
    alone = tefast.choose_history(x, 4, 3, steps=[3])
    np.testing.assert_array_equal(alone.active_information[0], found.active_information[0])
    # Along one step all transitions are those at which its longest history is there.
    assert alone.step.tolist() == [3, 3, 3]


def test_what_is_known_from_one_step_takes_no_more():
    x = np.tile([0, 1, 2], 400)
    found = tefast.choose_history(np.stack([x, np.zeros_like(x)], axis=1), 3)
    assert found.history.tolist() == [1, 1]
    assert found.active_information[0] == pytest.approx(math.log2(3), abs=0.01)
    assert found.active_information[1].tolist() == [0.0] * 8


def test_more_deviations_take_shorter_histories():
    x = np.random.default_rng(4).integers(0, 3, (400, 40))
    chosen = [tefast.choose_history(x, 3, deviations=d).history for d in (0, 1, 3, 100)]
    for fewer, more in itertools.pairwise(chosen):
        assert (fewer >= more).all()
    assert chosen[0].mean() > 2
    assert (chosen[-1] == 1).all()


# Data and results


def test_every_backend(backend):
    sample = example()
    given = {**sample.options, "most": 3}
    found = tefast.choose_history(sample.values("h"), backend=backend, **given)
    known = tefast.choose_history(sample.values("h"), backend="reference", **given)
    np.testing.assert_array_equal(found.active_information, known.active_information)
    np.testing.assert_array_equal(found.history, known.history)


def test_blocks_threads_bases_and_missing_units(monkeypatch):
    sample = example(units=5)
    h = sample.values("h")
    h[..., 3] = np.nan
    given = {**sample.options, "most": 3}
    whole = tefast.choose_history(h, **given)
    assert np.isnan(whole.active_information).all(axis=1).tolist() == [False] * 3 + [True, False]
    assert whole.history[3] == 1
    nats = tefast.choose_history(h, base=math.e, **given)
    np.testing.assert_allclose(nats.active_information, whole.active_information * math.log(2))
    np.testing.assert_allclose(nats.noise, whole.noise * math.log(2))
    monkeypatch.setattr(counts, "BLOCK_BYTES", 1)
    for threads in (1, 3):
        found = tefast.choose_history(h, threads=threads, **given)
        np.testing.assert_array_equal(found.active_information, whole.active_information)


def test_ranks_and_kinds_of_arrays():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(5).random((1, 500, 3))
    whole = tefast.choose_history(x, 4, 3)
    assert whole.history.shape == whole.step.shape == (3,)
    assert whole.active_information.shape == whole.noise.shape == (3, 3)
    flat = tefast.choose_history(torch.tensor(x[0]), 4, 3)
    np.testing.assert_array_equal(flat.active_information, whole.active_information)
    one = tefast.choose_history(x[0, :, 1], 4, 3)
    assert isinstance(one.history, int)
    assert isinstance(one.step, int)
    np.testing.assert_array_equal(one.active_information, whole.active_information[1])
    te = tefast.transfer_entropy(x[0, :, 1], x[0, :, 2], 4, target_history=one.history)
    assert te >= 0


def test_it_shows_itself_in_a_line():
    x = np.random.default_rng(6).integers(0, 2, (300, 100))
    assert repr(tefast.choose_history(x[:, 0], 2)) == "ChosenHistory(history=1, step=1, most=8)"
    long = repr(tefast.choose_history(x, 2, 2))
    assert long.startswith("ChosenHistory(history=[")
    assert long.endswith("], most=2)")
    assert "..." in long
    assert len(long.splitlines()) == 1


@pytest.mark.parametrize("units", [None, 3, 30])
def test_plot(units):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(7)
    x = rng.integers(0, 3, 500 if units is None else (500, units))
    found = tefast.choose_history(x, 3, 4)
    figure = found.plot("A title")
    (axes,) = figure.axes
    assert axes.get_title() == "A title"
    curves = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(curves) == (units or 1)
    np.testing.assert_array_equal(curves[0].get_ydata(), np.atleast_2d(found.active_information)[0])
    figure.savefig(io.BytesIO())


ERRORS = [
    ({"most": 0}, ValueError, "most must be a positive integer, got 0"),
    ({"most": 2.0}, TypeError, r"most must be a positive integer, got 2\.0"),
    ({"most": 40}, ValueError, r"a history of most=40 with steps=\(1,\) takes at least 41 steps"),
    ({"most": 10, "steps": (1, 5)}, ValueError, r"with steps=\(1, 5\) takes at least 47 steps"),
    ({"steps": 3}, TypeError, "steps must be a sequence of positive integers, got 3"),
    ({"steps": "12"}, TypeError, "each of steps must be a positive integer, got '12'"),
    ({"steps": (1, 0)}, ValueError, "each of steps must be a positive integer, got 0"),
    ({"steps": ()}, ValueError, "steps must hold at least one step, got none"),
    ({"deviations": -1}, ValueError, "deviations must be a finite number, 0 or more, got -1"),
    ({"deviations": math.nan}, ValueError, "deviations must be a finite number"),
    ({"deviations": "3"}, TypeError, "deviations must be a number, 0 or more, got '3'"),
    ({"deviations": None}, TypeError, "deviations must be a number, 0 or more, got None"),
    ({"lengths": [8]}, ValueError, "no transition is left"),
    ({"bins": 1}, ValueError, "bins must lie"),
]


@pytest.mark.parametrize(("options", "error", "message"), ERRORS)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        tefast.choose_history(np.zeros((40, 2)), **options)


def test_shortest_of_curves():
    flat, noise = np.array([1.0, 1.1, 1.1 + 1e-14, 1.05]), np.full(4, 0.01)
    assert history_choice._shortest(flat, noise, 3) == 2
    assert history_choice._shortest(flat, noise, 100) == 1
    assert history_choice._shortest(flat, noise * 0, 3) == 2
    assert history_choice._shortest(flat * np.nan, noise, 3) == 1
