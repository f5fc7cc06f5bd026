"""Measures that the kernels of single steps score as they count, against windows and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import RUNNABLE, using

import tefast
from tefast import measures
from tefast._backends import cpu
from tefast.measures import Axis, Measure

# What the source tells of a unit at the same step, beyond the unit's past and a condition's.
INSTANT = Measure(
    "instant",
    {
        "past": Axis("h", lambda embedding: embedding.past),
        "now": Axis("h", lambda _: (0,)),
        "source": Axis("y", lambda _: (0,)),
        "before": Axis("y", lambda _: (1,)),
    },
    x=("source",), y=("now",), given=("past", "before"),
)  # fmt: skip
# What two steps of a unit tell of the source, beyond its own step before.
TOLD_BY_TWO = Measure(
    "told_by_two",
    {
        "unit": Axis("h", lambda _: (3, 1)),
        "source": Axis("y", lambda _: (0,)),
        "before": Axis("y", lambda _: (2,)),
    },
    x=("source",), y=("unit",), given=("before",),
)  # fmt: skip
WITH = {
    "conditional_transfer_entropy": "yz",
    "reverse_transfer_entropy": "y",
    "mutual_information": "y",
    "active_information": "",
    "entropy_rate": "",
}
CASES = [*WITH.items(), (INSTANT, "y"), (TOLD_BY_TWO, "y")]


@pytest.fixture
def both(monkeypatch):
    """What the kernels of single steps find, and what is found of windows."""
    calls = []
    kernels = cpu.transfer_entropies
    monkeypatch.setattr(
        cpu, "transfer_entropies", lambda *args: calls.append(args) or kernels(*args)
    )

    def measured(measure, series, **how):
        calls.clear()
        found = tefast.evaluate(measure, **series, **how)
        assert calls, "counted by windows"
        calls.clear()
        with monkeypatch.context() as patched:
            patched.setattr(cpu, "LONG_PASTS", 0)
            windows = tefast.evaluate(measure, **series, **how)
        assert not calls
        return found, windows

    return measured


def drawn(rng, shape, beside):
    """A target, and what is beside it, which it follows a little."""
    series = {"h": rng.random(shape) ** 2}
    for role in beside:
        series[role] = rng.random(shape[:2])
        series["h"][:, 1:] = (series["h"][:, 1:] + series[role][:, :-1, np.newaxis]) / 2
    return series


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize(("measure", "beside"), CASES)
@pytest.mark.parametrize("bins", [2, 4, 16, 17])
def test_they_are_what_windows_are(level, measure, beside, bins, both):
    for units in (1, 20):
        rng = np.random.default_rng([bins, units])
        series = drawn(rng, (6, 30, units), beside)
        lengths = rng.integers(0, 31, 6)
        with using(level):
            for how in ({}, {"lengths": lengths, "threads": 3}):
                found, windows = both(measure, series, bins=bins, **how)
                np.testing.assert_array_equal(found, windows)
            series["h"][rng.random((6, 30, units)) < 0.02] = np.nan
            found, windows = both(
                measure, series, bins=bins, lengths=lengths, nan_policy="omit", threads=2
            )
            np.testing.assert_array_equal(found, windows)


@pytest.mark.parametrize(("measure", "beside"), CASES)
@pytest.mark.parametrize("bins", [2, 4, 16])
def test_more_transitions_than_a_counter_takes(measure, beside, bins, both):
    rng = np.random.default_rng(bins)
    for units, skew in ((2, 1), (17, 40)):
        series = drawn(rng, (3, 60000 if units == 2 else 26000, units), beside)
        for role in beside:  # nearly all of the source is one state
            series[role] **= skew
        found, windows = both(measure, series, bins=bins)
        np.testing.assert_array_equal(found, windows)


@pytest.mark.parametrize(("measure", "beside"), CASES)
def test_small_limits(measure, beside, both):
    from tefast import _native

    rng = np.random.default_rng(3)
    series = drawn(rng, (5, 400, 70), beside)
    expected = tefast.evaluate(measure, **series, bins=5)
    limits = _native.Limits()
    for name in ("chunk_bytes", "table_bytes", "apart_bytes", "resident_bytes"):
        for bytes_ in (0, 3000):
            setattr(limits, name, bytes_)
            limits.least_rows = 7
            try:
                _native.use_limits(limits)
                found, _ = both(measure, series, bins=5)
            finally:
                _native.use_limits(_native.Limits())
            np.testing.assert_array_equal(found, expected)


@settings(deadline=None)  # the first call builds a table of logarithms
@given(
    data=st.data(),
    k=st.integers(1, 3),
    length=st.integers(1, 2),
    delay=st.integers(0, 3),
    steps=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_histories_against_numpy(data, k, length, delay, steps):
    name = data.draw(st.sampled_from(["conditional_transfer_entropy", "reverse_transfer_entropy"]))
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(10, 20), st.integers(1, 18)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    h = rng.integers(0, 3, shape)
    y, z = rng.integers(0, 2, shape[:2]), rng.integers(0, 2, (*shape[:2], 2))
    how = {"target_history": k, "source_history": length, "delay": delay,
           "target_step": steps[0], "source_step": steps[1]}  # fmt: skip
    if name == "reverse_transfer_entropy":
        how = {"source_history": length, "target_history": k, "delay": max(delay, 1)}
    how = {key: n for key, n in how.items() if key in measures.NAMED[name].embedded}
    given = {"h": h, "y": y} | ({"z": z} if name.startswith("conditional") else {})
    found = tefast.evaluate(name, **given, bins=3, **how)
    numpy = tefast.evaluate(name, **given, bins=3, **how, backend="reference")
    np.testing.assert_allclose(found, numpy, atol=1e-12, rtol=0)


@pytest.mark.parametrize("method", ["circular", "trials", "shuffle"])
def test_surrogates_of_mutual_information(method, monkeypatch):
    rng = np.random.default_rng(5)
    h, y = rng.random((14, 60, 20)), rng.random((14, 60))
    how = {"bins": 5, "method": method, "measure": "mutual_information", "delay": 1}
    found = tefast.significance(h, y, surrogates=99, **how)
    monkeypatch.setattr(cpu, "LONG_PASTS", 0)
    windows = tefast.significance(h, y, surrogates=99, **how)
    np.testing.assert_array_equal(found.p_value, windows.p_value)
    np.testing.assert_allclose(found.null_mean, windows.null_mean, atol=1e-12, rtol=0)


def test_too_many_states_are_counted_by_windows(both):
    rng = np.random.default_rng(6)
    h, y, z = rng.random((40, 20, 3)), rng.random((40, 20)), rng.random((40, 20, 3))
    with pytest.raises(AssertionError, match="counted by windows"):
        both("conditional_transfer_entropy", {"h": h, "y": y, "z": z}, bins=16)


def test_nothing_left_and_values_that_must_not_be_there():
    h, y = np.random.default_rng(7).random((2, 9, 3)), np.zeros((2, 9))
    with pytest.raises(ValueError, match="no transition is left"):
        tefast.mutual_information(h, y, bins=4, lengths=[0, 0], y_range=(0, 1))
    h[1, 3, 2] = np.inf
    for call in (tefast.active_information, tefast.entropy_rate):
        with pytest.raises(ValueError, match="inf"):
            call(h, bins=4, h_range=(0, 1))
