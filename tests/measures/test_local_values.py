"""Local values by the kernel, which must be those that NumPy finds of codes, to the last bit."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import RUNNABLE, using
from samples import example, samples

import tefast
from tefast._backends import cpu
from tefast._tables.logarithms import LogUnit, log_ratios

_native = pytest.importorskip("tefast._native")

EMBEDDINGS = st.fixed_dictionaries(
    {},
    optional={
        "target_history": st.integers(1, 3),
        "source_history": st.integers(1, 3),
        "delay": st.integers(0, 3),
        "target_step": st.integers(1, 2),
        "source_step": st.integers(1, 2),
    },
)
# Tables of 16, of 4 and of 1 unit at a time; full ones, sparse ones, and too many for each state.
SIZES = [(2, 1), (16, 1), (25, 2), (40, 2), (2, 15), (6, 3), (90, 1), (256, 1)]


@contextmanager
def limited(**sizes):
    """Small blocks, for a while."""
    limits = _native.Limits()
    for name, size in sizes.items():
        setattr(limits, name, size)
    _native.use_limits(limits)
    try:
        yield
    finally:
        _native.use_limits(_native.Limits())


def in_numpy(*series, **how):
    """What is found of codes, one unit after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "LOCAL_MOVES", 0)
        return tefast.local_transfer_entropy(*series, **how)


def check(*series, **how):
    """The kernel's values, once they are found to be those of NumPy, on threads and in blocks."""
    known = in_numpy(*series, **how)
    for threads in (1, 3):
        found = tefast.local_transfer_entropy(*series, **how, threads=threads)
        np.testing.assert_array_equal(found, known)
    with limited(kept_bytes=0):
        np.testing.assert_array_equal(tefast.local_transfer_entropy(*series, **how), known)
    return found


def refusal(call, *series, **how):
    """What a call says of data in which nothing can be counted."""
    try:
        call(*series, **how)
    except ValueError as error:
        return str(error)
    return ""


def needed(extra):
    past = 1 + (extra.get("target_history", 1) - 1) * extra.get("target_step", 1)
    source = extra.get("delay", 1) + (extra.get("source_history", 1) - 1) * extra.get(
        "source_step", 1
    )
    return max(past, source) + 1


@settings(max_examples=80, deadline=None)
@given(
    extra=EMBEDDINGS,
    data=st.data(),
    base=st.sampled_from([2, math.e, 10, 1.5]),
    level=st.sampled_from(RUNNABLE),
    masked=st.booleans(),
)
def test_values_are_those_of_numpy(extra, data, base, level, masked):
    sample = data.draw(samples(steps=needed(extra)))
    h, y = sample.values("h"), sample.values("y")
    how = {**sample.options, **extra, "base": base}
    if masked:
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        how["mask"] = rng.random(h.shape[:2]) < 0.9
    with using(level):
        if refusal(in_numpy, h, y, **how):
            with pytest.raises(ValueError, match="no transition is left"):
                tefast.local_transfer_entropy(h, y, **how)
            return
        local = check(h, y, **how)
        whole = tefast.transfer_entropy(h, y, **how)
    for u in np.flatnonzero(~np.isnan(whole)):
        assert np.nanmean(local[..., u]) == pytest.approx(whole[u], abs=1e-12)
    assert np.isnan(local[..., np.isnan(whole)]).all()


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize(("bins", "past"), SIZES)
@pytest.mark.parametrize("units", [1, 3, 20, 32])
def test_tables_of_all_sizes(level, bins, past, units):
    rng = np.random.default_rng([bins, past, units])
    h, y = rng.random((7, 60, units)) ** 3, rng.random((7, 60))
    h[:, 1:, 0] = (h[:, 1:, 0] + y[:, :-1]) / 2
    gaps = np.where(rng.random(h.shape) < 0.01, np.nan, h)
    how = {"bins": bins, "target_history": past}
    lengths = rng.integers(past, 61, 7)
    with using(level):
        check(h, y, **how)
        check(h, y, **how, lengths=lengths, delay=0)
        check(gaps, y, **how, lengths=lengths, delay=3, nan_policy="omit")


@pytest.mark.parametrize("units", [1, 17])
def test_more_transitions_than_a_counter_takes(units):
    rng = np.random.default_rng(units)
    h, y = rng.integers(0, 2, (2300, 60, units)), rng.integers(0, 2, (2300, 60))
    h[:, 1:, 0] = y[:, :-1]
    h[:, :, 1:2] = 1
    local = check(h, y, bins=2)
    np.testing.assert_allclose(local[..., 0], 1, atol=0.01)
    assert (local[..., 1:2] == 0).all()


@pytest.mark.parametrize("layout", ["NTU", "UNT", "TNU", "TUN"])
def test_layouts_strides_and_dtypes(layout):
    sample = example(units=16, dtype="float64")
    y, how = sample.values("y"), {**sample.options, "target_history": 2}
    known = in_numpy(sample.values("h"), y, **how)
    order = ["NTU".index(letter) for letter in layout]
    for dtype in ("float16", "float32", "float64"):
        h = sample.values("h").astype(dtype)[:, ::-1][:, ::-1].transpose(order)
        for given_h in (h, h.copy()):
            found = tefast.local_transfer_entropy(
                given_h, y.transpose([i for i in order if i < 2]), **how, layout=layout
            )
            np.testing.assert_array_equal(found, known.transpose(order))
            assert found.flags.writeable


def test_several_sources_and_a_unit_without_an_axis():
    sample = example(units=18, bins=4, dtype="int8")
    how = {"bins": 4, "lengths": sample.lengths}
    check(sample.h, sample.z, **how, joint=True)
    found = check(sample.h, sample.y, **how)
    alone = [tefast.local_transfer_entropy(sample.h[..., u], sample.y, **how) for u in range(18)]
    np.testing.assert_array_equal(np.stack(alone, axis=-1), found)
    one = tefast.local_transfer_entropy(sample.h[0, :, 3], sample.y[0], 4)
    np.testing.assert_array_equal(one, in_numpy(sample.h[0, :, 3], sample.y[0], bins=4))


def test_source_and_target_of_other_labels():
    rng = np.random.default_rng(4)
    h, y = rng.integers(-3, 2, (5, 40, 17)), rng.integers(0, 9, (5, 40)) * 100
    check(h, y, binning="symbols")


def test_what_must_not_be_there_is_refused():
    rng = np.random.default_rng(5)
    h, y = rng.random((4, 30, 20)), rng.random((4, 30))
    for value in (np.nan, np.inf):
        bad = h.copy()
        bad[2, 3, 4] = value
        for how in ({}, {"h_range": (0, 1), "y_range": (0, 1)}):
            with pytest.raises(ValueError, match=r"\[2, 3, 4\]"):
                tefast.local_transfer_entropy(bad, y, **how)
    with pytest.raises(ValueError, match="no transition is left"):
        tefast.local_transfer_entropy(h, y, lengths=[1, 0, 1, 1])
    with pytest.raises(ValueError, match="no transition is left"):
        tefast.local_transfer_entropy(np.full_like(h, np.nan), y, nan_policy="omit", h_range=(0, 1))


def test_the_kernel_refuses_what_it_could_not_look_up():
    h = np.random.default_rng(6).random((2, 9, 3))
    side = _native.Input(h, "float64", False, np.array([[0.5]]), 2, None)
    unit = LogUnit.of_base(2)
    states = np.zeros((2, 9), np.int16)
    for first, back, message in [
        (1, [], "before there is a past"),
        (0, [2, 0], "before there is a past"),
        (8, [], "first must lie"),
        (-1, [], "first must lie"),
        (0, [0] * 17, "more than 65,536 cells"),
    ]:
        with pytest.raises(ValueError, match=message):
            _native.local_values(side, states, 1, first, unit, False, 1, back)
    with pytest.raises(ValueError, match="outside"):
        _native.local_values(side, states + 1, 1, 0, unit, False, 1, [])
    with pytest.raises(ValueError, match="shape"):
        _native.local_values(side, states[:1], 1, 0, unit, False, 1, [])


# Logarithms


def test_logarithms_are_right_but_for_their_last_places():
    rng = np.random.default_rng(7)
    p, q = np.floor(2 ** rng.uniform(0, 50, (2, 20_000)))
    near = np.floor(2 ** rng.uniform(10, 26, 20_000))
    p, q = np.concatenate([p, near]), np.concatenate([q, near + rng.integers(-3, 4, 20_000)])
    # Near 1 no logarithm of a rounded quotient has as many places.
    known = np.where(abs(p - q) < q / 8, np.log1p((p - q) / q), np.log(p / q))
    for base in (2, math.e, 10, 1.5):
        found = log_ratios(p, q, LogUnit.of_base(base))
        np.testing.assert_allclose(found, known / math.log(base), rtol=2e-15, atol=0)


def test_logarithms_of_powers_are_exact():
    powers = 2.0 ** np.arange(50)
    found = log_ratios(powers * 3, np.full(50, 3.0), LogUnit.of_base(2))
    np.testing.assert_array_equal(found, np.arange(50))
    same = np.arange(1.0, 1000)
    for base in (2, math.e, 10):
        assert (log_ratios(same, same, LogUnit.of_base(base)) == 0).all()
