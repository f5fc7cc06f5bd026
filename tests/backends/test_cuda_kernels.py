"""The CUDA kernels on an emulated device, held against the CPU's counts and plain loops."""

import emulated
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_counts import naive_joint

from tefast import _backends
from tefast._backends.inputs import BinnedValues
from tefast.binning import Binning, uniform_edges

ml_dtypes = pytest.importorskip("ml_dtypes")
pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="needs a C++ compiler")

CPU = _backends.load("cpu")
H_NAN, H_BAD, Y_NAN, Y_BAD, COUNTED = 1, 2, 4, 8, 16
KINDS = ["f2", ml_dtypes.bfloat16, "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]


@pytest.fixture(autouse=True)
def device():
    emulated.set_device()
    emulated.limit()


def shared_edges(bins):
    return Binning(bins, uniform_edges(np.array([-1.0]), np.array([1.0]), bins))


def sample(shape, dtype, bins, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, bins, shape).astype(dtype), rng.integers(0, bins, shape[:2])
    return rng.uniform(-1.2, 1.2, shape).astype(dtype), rng.uniform(-1.2, 1.2, shape[:2])


def inputs(h, y, bins, lengths=None, h_binning=None):
    """Target and source with their bins."""

    def binned(data, cuts=None):
        cuts = cuts or (Binning(bins, None) if data.is_symbols else shared_edges(bins))
        return BinnedValues(data, cuts, lengths)

    target, source = emulated.inputs(h, y)
    return binned(target, h_binning), binned(source)


def check(h, y, bins, lengths=None, h_binning=None):
    """Codes, counts and scores of the emulated device against the CPU's."""
    target, source = inputs(h, y, bins, lengths, h_binning)
    units = target.values.array.shape[2]
    codes = emulated.encode(source)
    np.testing.assert_array_equal(codes, CPU.encode(source, 1))
    np.testing.assert_array_equal(emulated.encode(target), CPU.encode(target, 1))
    states = np.ascontiguousarray(codes[:, :, 0])
    expected = np.zeros((units, bins, bins, bins), np.int64)
    CPU.count_transitions(target, states, expected, 1)
    counts = emulated.count_transitions(target, states, bins)
    np.testing.assert_array_equal(counts, expected)
    occupied = np.zeros((units, bins), np.int64)
    CPU.count_values(target, occupied, 1)
    np.testing.assert_array_equal(emulated.count_values(target), occupied)
    nats, seen = emulated.transfer_entropy(target, source, True)
    np.testing.assert_allclose(nats, CPU.score_counts(expected, 1), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(emulated.score_counts(counts), nats)
    assert bool(seen & COUNTED) == expected.any()
    return expected, seen


@pytest.mark.parametrize("dtype", KINDS)
def test_every_dtype_and_layout(dtype):
    h, y = sample((5, 11, 37), dtype, 5)
    for part in (h, h[::-1, ::2, ::-1], h[:, :, :1], np.asfortranarray(h), h[:, :, 3:5]):
        check(part, y[:, : part.shape[1]], 5)


def test_equal_to_plain_loops():
    h, y = sample((4, 9, 5), "f4", 4)
    target, source = inputs(h, y, 4)
    states = np.ascontiguousarray(emulated.encode(source)[:, :, 0])
    counts = emulated.count_transitions(target, states, 4)
    np.testing.assert_array_equal(counts, naive_joint(h, y, 4, y_range=(-1.0, 1.0)))


@pytest.mark.parametrize("bins", [2, 3, 8, 16, 24, 33, 40])
@pytest.mark.parametrize("shared", [232448, 101376])
def test_slabs_of_every_width_and_tables_beyond_shared_memory(bins, shared):
    emulated.set_device(shared=shared)
    h, y = sample((3, 70, 35 if bins < 30 else 3), "f4", bins)
    check(h, y, bins)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shape_lengths_and_gaps(data):
    bins = data.draw(st.sampled_from([2, 3, 7, 16]))
    shape = tuple(data.draw(st.integers(*ends)) for ends in ((1, 6), (2, 70), (1, 40)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    h, y = rng.uniform(-1.1, 1.1, shape).astype("f4"), rng.uniform(-1.1, 1.1, shape[:2])
    gaps = data.draw(st.sampled_from([0.0, 0.2]))
    h[rng.random(shape) < gaps] = np.nan
    y[rng.random(shape[:2]) < gaps] = np.nan
    lengths = rng.integers(0, shape[1] + 1, shape[0]) if data.draw(st.booleans()) else None
    emulated.set_device(
        threads=data.draw(st.sampled_from([256, 512])),
        processors=data.draw(st.sampled_from([1, 3, 20])),
    )
    emulated.library().emulated_seed(data.draw(st.integers(0, 1000)))
    check(h, y, bins, lengths)


@pytest.mark.parametrize("bins", [4, 60])
@pytest.mark.parametrize("tables", [1, 4000, 12_000])
def test_memory_stays_within_its_limits_and_changes_nothing(bins, tables):
    # Units in blocks and pieces in turns, down to one table at a time.
    h, y = sample((40, 65, 70 if bins == 4 else 3), "f4", bins)
    for threads, joint in ((256, 1), (512, 3000)):
        emulated.set_device(threads=threads, processors=20)
        emulated.limit(tables, joint)
        check(h, y, bins)
        emulated.transfer_entropy(*inputs(h, y, bins))
        fits = bins == 4  # into shared memory; the margins of all units then lie there at once
        tables_taken = max(tables, 4 * 32 * bins**3 // 2) if fits else 0
        margins = (8 * bins**2 + 16) * (70 if fits else 1)
        moves, thresholds = 40 * 16 * 18, 2 * 4 * (bins + 2)
        most = tables_taken + max(joint, 8 * bins**3) + margins + moves + thresholds
        assert emulated.taken() <= most


def test_edges_of_each_unit_even_or_not():
    rng = np.random.default_rng(1)
    h, y = sample((6, 20, 19), "f4", 9)
    uneven = np.sort(rng.uniform(-1, 1, (19, 8)), axis=1)
    uneven[3] = 0.25  # a constant unit's edges are all in one place
    even = uniform_edges(np.linspace(-1, 0, 19), np.linspace(0.5, 1, 19), 9)
    for edges in (uneven, even, uneven[:1]):
        check(h, y, 9, h_binning=Binning(9, np.ascontiguousarray(edges)))


edge = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=60, deadline=None)
@given(low=edge, width=st.sampled_from([0.0, 1e-7, 1e-3, 1.0, 1e6]), bins=st.integers(2, 256))
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_codes_on_and_beside_edges(dtype, low, width, bins):
    edges = np.array([naive.uniform_edges(low, low + width, bins)])
    near = edges[0].astype(dtype)
    points = [near, np.nextafter(near, -np.inf, dtype=dtype), np.nextafter(near, np.inf)]
    h = np.concatenate([*points, np.array([-3e38, 3e38], dtype)])
    expected = [naive.code(float(v), edges[0].tolist()) for v in h]
    target, _ = inputs(h, h, bins, None, Binning(bins, edges))
    assert emulated.encode(target).ravel().tolist() == expected


def test_pieces_keep_16_bit_counters_from_overflowing():
    emulated.set_device(processors=1)  # which alone would take all segments in one piece
    h = np.zeros((1, 140_000, 2), np.uint8)
    h[0, ::1000, 1] = 1
    y = np.zeros((1, 140_000), np.int64)
    y[0, ::7] = 1
    counts, _ = check(h, y, 2)
    assert counts.max() > 65_535


@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16, "f4", "f8", "i4", "u8"])
@pytest.mark.parametrize("lengths", [None, np.array([70, 0, 1, 33, 70])])
def test_scan(dtype, lengths):
    h, _ = sample((5, 70, 37), dtype, 5)
    target, _ = emulated.inputs(h, h[:, :, 0])
    for bad in [[], [(0, 69, 3)], [(3, 4, 36), (3, 32, 0), (4, 69, 36)], [(1, 0, 0)]]:
        for at, value in zip(bad, [np.nan, np.inf, -np.inf], strict=False):
            h[at] = 5 if h.dtype.kind in "iu" else value
        found, low, high = emulated.scan(target, 5, lengths)
        cpu = CPU.scan(target, 5, lengths, 1)
        expected = [cpu.nan, cpu.infinite, cpu.outside, cpu.first_nan, cpu.first_bad]
        assert found.tolist() == expected
        np.testing.assert_array_equal(low, cpu.low)
        np.testing.assert_array_equal(high, cpu.high)


@pytest.mark.parametrize(
    ("where", "value", "flag"),
    [("h", np.nan, H_NAN), ("h", -np.inf, H_BAD), ("y", np.nan, Y_NAN), ("y", np.inf, Y_BAD)],
)
def test_what_must_not_be_there_is_seen_and_withheld(where, value, flag):
    h, y = sample((5, 30, 40), "f4", 4)
    {"h": h[2, 29], "y": y[2]}[where][-1] = value  # the very last step of a sequence
    for omit in (False, True):
        nats, seen = emulated.transfer_entropy(*inputs(h, y, 4), omit)
        assert seen == flag | COUNTED
        assert np.isnan(nats).all() == (not omit or flag in (H_BAD, Y_BAD))
    lengths = np.array([30, 30, 29, 30, 30])
    nats, seen = emulated.transfer_entropy(*inputs(h, y, 4, lengths))
    assert seen == COUNTED
    assert np.isfinite(nats).all()


def test_symbols_outside_are_seen():
    h, y = sample((3, 9, 4), "u8", 4)
    h[1, 2, 3] = 2**63 + 1
    nats, seen = emulated.transfer_entropy(*inputs(h, y, 4))
    assert seen == H_BAD | COUNTED
    assert np.isnan(nats).all()


def test_a_failed_launch_is_an_error():
    h, y = sample((3, 9, 4), "f4", 4)
    target, source = inputs(h, y, 4)
    before = emulated.library().emulated_launches()
    emulated.transfer_entropy(target, source)
    launches = emulated.library().emulated_launches() - before
    assert launches > 4
    for n in range(1, launches + 1):
        emulated.library().emulated_fail_after(n)
        with pytest.raises(RuntimeError, match=r"CUDA error while .*invalid configuration"):
            emulated.transfer_entropy(target, source)
    emulated.library().emulated_fail_after(0)


def test_a_table_of_very_many_cells_is_summed_without_loss():
    # Two limbs add up to the sum of 2**24 terms.
    rng = np.random.default_rng(0)
    counts = rng.choice([21, 35], (1, 256, 256, 256))
    np.testing.assert_allclose(
        emulated.score_counts(counts), CPU.score_counts(counts, 1), rtol=0, atol=1e-13
    )
