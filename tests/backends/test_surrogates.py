"""Many sources for one target: each must give to the last bit what it gives alone."""

import levels
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_kernel import NATIVE, limits

from tefast import _backends, binning
from tefast._backends.inputs import BinnedValues
from tefast._inputs import values
from tefast._tables.types import MISSING

ml_dtypes = pytest.importorskip("ml_dtypes")

WAYS = {
    "all units at once": {},
    "a strip at a time": {"kept_bytes": 1},
    "two strips at a time": {"kept_bytes": 2500},
    "as few sources at a time as can be": {"schedule_bytes": 1},
    "both": {"kept_bytes": 2500, "schedule_bytes": 700},
}
EVERY_LEVEL = pytest.mark.parametrize("level", levels.RUNNABLE)


def sample(shape, dtype="f4", *, sources=6, states=5, seed=0):
    """h, or symbols 0 .. 4, and states of several sources, of which every other one misses the
    same as the first and the rest what they like."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        h = rng.integers(0, 5, shape).astype(dtype)
    else:
        h = rng.uniform(-1.2, 1.2, shape).astype(dtype)
    drawn = rng.integers(0, states, (sources, *shape[:2])).astype(np.int16)
    gaps = rng.random(drawn.shape) < 0.05
    gaps[::2] = gaps[:1]
    drawn[gaps] = MISSING
    return h, drawn


def bins_of(target, bins):
    if target.is_symbols:
        return binning.Binning(bins, None)
    return binning.Binning(bins, binning.uniform_edges(np.array([-1.0]), np.array([1.0]), bins))


def together(h, sources, bins, states, *, lengths=None, omit=False, threads=2, backend="cpu"):
    """(S, U) nats from one call, and whether the values were clean."""
    target = values.target(h)
    binned = BinnedValues(target, bins_of(target, bins), lengths)
    return _backends.load(backend).transfer_entropies(binned, sources, states, omit, threads)


def one_by_one(h, sources, bins, states, *, lengths=None, omit=False):
    """The same from a call for each source."""
    target = values.target(h)
    cuts = bins_of(target, bins)
    alone = NATIVE.Input(target.array, target.dtype, False, cuts.edges, bins, lengths)
    calls = [NATIVE.transfer_entropy(alone, source, states, omit, 1) for source in sources]
    return np.array([nats for nats, _ in calls]), all(clean for _, clean in calls)


@EVERY_LEVEL
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16, "f4", "f8", "u1", "i8"])
def test_every_way_on_every_level_scores_alike(level, way, dtype, threads):
    h, sources = sample((6, 11, 37), dtype)
    series = np.ascontiguousarray(h[:, :, 0])[..., np.newaxis]
    for part in (h, series, h[:, :, :1], h[:, :, 3:6], h[:, :, ::2]):
        with levels.using(level):
            expected, _ = one_by_one(part, sources, 5, 5)
            with limits(**WAYS[way]):
                nats, clean = together(part, sources, 5, 5, threads=threads)
        assert clean
        np.testing.assert_array_equal(nats, expected)


@EVERY_LEVEL
@pytest.mark.parametrize("bins", [2, 3, 16, 17, 33, 64, 65, 128, 256])
@pytest.mark.parametrize("states", [1, 2, 7, 16, 300])
def test_states_need_not_be_as_many_as_bins(level, bins, states):
    # 100 moves of each of few states touch most cells of few bins, and few of many.
    h, sources = sample((20, 26, 19), states=states, sources=3)
    with levels.using(level):
        nats, _ = together(h, sources, bins, states)
        np.testing.assert_array_equal(nats, one_by_one(h, sources, bins, states)[0])
    reference, _ = together(h[..., :2], sources, bins, states, backend="reference")
    np.testing.assert_allclose(nats[:, :2], reference, rtol=0, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_shape_lengths_and_gaps(data):
    bins = data.draw(st.integers(2, 64))
    states = data.draw(st.sampled_from([1, 2, 5, bins, 100]))
    units = data.draw(st.sampled_from([1, 2, 4, 5, 16, 17, 33]))
    shape = (data.draw(st.integers(1, 5)), data.draw(st.integers(2, 9)), units)
    seed = data.draw(st.integers(0, 2**32))
    h, sources = sample(shape, sources=data.draw(st.integers(0, 5)), states=states, seed=seed)
    rng = np.random.default_rng(seed + 1)
    h[rng.random(shape) < data.draw(st.sampled_from([0.0, 0.2]))] = np.nan
    lengths = data.draw(st.sampled_from([None, rng.integers(0, shape[1] + 1, shape[0])]))
    way = WAYS[data.draw(st.sampled_from(sorted(WAYS)))]
    with levels.using(data.draw(st.sampled_from(levels.RUNNABLE))), limits(**way):
        nats, clean = together(h, sources, bins, states, lengths=lengths, omit=True)
        expected, _ = one_by_one(h, sources, bins, states, lengths=lengths, omit=True)
    np.testing.assert_array_equal(nats, expected.reshape(nats.shape))
    reference = together(h, sources, bins, states, lengths=lengths, omit=True, backend="reference")
    np.testing.assert_allclose(nats, reference[0], rtol=0, atol=1e-12)
    assert clean == reference[1]


finite = st.floats(-2, 2, width=16)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_equal_to_naive_for_any_values(data):
    bins, states = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 9))
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(2, 5), st.integers(1, 4)))
    elements = finite | st.sampled_from([float("nan"), -1.0, 1.0, 0.0, -0.0, 0.5])
    h = data.draw(hnp.arrays(np.float64, shape, elements=elements))
    state = st.integers(MISSING, states - 1)
    sources = data.draw(hnp.arrays(np.int16, (3, *shape[:2]), elements=state))
    lengths = data.draw(hnp.arrays(np.int64, shape[:1], elements=st.integers(0, shape[1])))
    edges = naive.uniform_edges(-1.0, 1.0, bins)
    nats, _ = together(h, sources, bins, states, lengths=lengths, omit=True)
    for row, source in zip(nats, sources, strict=True):
        known = [[None if s < 0 else s for s in sequence] for sequence in source.tolist()]
        for u, found in enumerate(row):
            unit = [[naive.code(v, edges) for v in sequence] for sequence in h[:, :, u].tolist()]
            counts = naive.transitions(unit, known, lengths.tolist())
            if counts:
                assert found == pytest.approx(naive.transfer_entropy(counts, np.e), abs=1e-12)
            else:
                assert np.isnan(found)


@EVERY_LEVEL
@pytest.mark.parametrize("states", [1, 3])
def test_states_with_more_moves_than_a_counter_takes(level, states):
    h = np.zeros((1, 250_000, 5), np.uint8)
    h[0, ::1000, 1:] = 1
    sources = np.zeros((3, *h.shape[:2]), np.int16)
    sources[1, 0, ::7] = states - 1
    sources[2, 0, 65_536:] = MISSING  # one more than fits, the last of them a move
    with levels.using(level):
        nats, _ = together(h, sources, 3, states)
        np.testing.assert_array_equal(nats, one_by_one(h, sources, 3, states)[0])


@EVERY_LEVEL
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("unit", [0, 20, 36])
def test_a_bad_value_is_seen_without_any_source(level, way, bad, unit):
    h, sources = sample((6, 11, 37))
    lengths = np.array([11, 4, 0, 2, 11, 7])
    h[1, 4:] = bad  # past its length
    symbols, _ = sample((6, 11, 37), "i2")
    with levels.using(level), limits(**WAYS[way]):
        assert together(h, sources[:0], 5, 5, lengths=lengths)[1]
        h[4, 3, unit] = bad
        nats, clean = together(h, sources[:0], 5, 5, lengths=lengths)
        assert nats.shape == (0, 37)
        assert not clean
        symbols[5, 10, unit] = -1
        assert not together(symbols, sources, 5, 5)[1]


def test_a_mapped_file_is_read_alike(tmp_path):
    h, sources = sample((6, 110, 37))
    mapped = np.memmap(tmp_path / "h", dtype="f4", mode="w+", shape=h.shape)
    mapped[:] = h
    expected, _ = together(h, sources, 5, 5)
    for way in WAYS.values():
        with limits(**way):
            np.testing.assert_array_equal(together(mapped, sources, 5, 5)[0], expected)


def test_arguments_that_do_not_fit_are_refused():
    h, sources = sample((6, 11, 3))
    for wrong in (sources[0], sources[:, 1:], sources[:, :, 1:], sources[..., np.newaxis]):
        with pytest.raises(ValueError, match=r"sources must have shape \(S, N, T\)"):
            together(h, np.ascontiguousarray(wrong), 5, 5)
    for state in (-2, 5):
        sources[3, 2, 1] = state
        with pytest.raises(ValueError, match=r"a state outside -1 \.\. states - 1"):
            together(h, sources, 5, 5)
