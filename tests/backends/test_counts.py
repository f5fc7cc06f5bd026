"""Counts are integers: every backend, dtype, layout and thread count must give the same ones."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tefast
from tefast import _backends, binning
from tefast._backends.inputs import BinnedValues
from tefast._inputs import values
from tefast._tables import counts

ml_dtypes = pytest.importorskip("ml_dtypes")

DTYPES = ["float16", "bfloat16", "float32", "float64"]


def joint(h, y, bins, backend, threads=None, lengths=None, h_range=(-1.0, 1.0), y_range=(0.0, 1.0)):
    """The joint counts (U, bins, bins, bins) that `transfer_entropy` measures."""
    engine = _backends.load(backend)
    target = values.target(h)
    source = values.source(y, target)
    valid = values.sequence_lengths(lengths, target)

    def binned(data, limits):
        if data.is_symbols:
            return BinnedValues(data, binning.Binning(bins, None), valid)
        low, high = (np.array([float(end)]) for end in limits)
        cuts = binning.Binning(bins, binning.uniform_edges(low, high, bins))
        return BinnedValues(data, cuts, valid)

    target, source = engine.place(target, source)
    codes = engine.encode(binned(source, y_range), threads)[:, :, 0]
    table = engine.table(counts.allocate((target.array.shape[2], bins, bins, bins)), target)
    engine.count_transitions(binned(target, h_range), codes, table, threads)
    return values.to_numpy(table)


def naive_joint(h, y, bins, lengths=None, h_range=(-1.0, 1.0), y_range=(0.0, 1.0)):
    """The same from loops over Python floats."""
    h = np.asarray(h).astype(np.float64)
    h_edges, y_edges = (naive.uniform_edges(*limits, bins) for limits in (h_range, y_range))
    source = [[naive.code(v, y_edges) for v in row] for row in np.asarray(y, float).tolist()]
    table = np.zeros((h.shape[2], bins, bins, bins), np.int64)
    for u in range(h.shape[2]):
        unit = [[naive.code(v, h_edges) for v in row] for row in h[:, :, u].tolist()]
        for cell, n in naive.transitions(unit, source, lengths).items():
            table[(u, *cell)] = n
    return table


def sample(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    h = rng.uniform(-1.2, 1.2, shape).astype(dtype)
    return h, rng.uniform(-0.1, 1.1, shape[:2]).astype(dtype)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bins", [2, 5, 16])
def test_equal_to_naive(dtype, bins, threads, backend):
    h, y = sample((4, 9, 37), dtype)
    expected = naive_joint(h, y, bins)
    np.testing.assert_array_equal(joint(h, y, bins, backend, threads), expected)
    assert expected.sum() == 4 * 8 * 37


finite = st.floats(-2, 2, width=16)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_equal_to_naive_for_any_values(data):
    bins = data.draw(st.integers(2, 9))
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(2, 6), st.integers(1, 20)))
    elements = finite | st.sampled_from([float("nan"), -1.0, 1.0, 0.0, -0.0, 0.5])
    h = data.draw(hnp.arrays(np.float64, shape, elements=elements))
    y = data.draw(hnp.arrays(np.float64, shape[:2], elements=elements))
    lengths = data.draw(hnp.arrays(np.int64, shape[:1], elements=st.integers(0, shape[1])))
    expected = naive_joint(h, y, bins, lengths.tolist())
    for backend in ("reference", "cpu"):
        np.testing.assert_array_equal(joint(h, y, bins, backend, 2, lengths), expected)


@settings(max_examples=200, deadline=None)
@given(
    low=st.floats(-1e6, 1e6),
    width=st.floats(1e-9, 1e6),
    bins=st.integers(2, 256),
    data=st.data(),
)
def test_values_on_edges_fall_where_naive_says(low, width, bins, data):
    # At an edge, one step beside it, and far outside: where a fast kernel would slip.
    high = low + width
    if not low < high:
        return
    edges = naive.uniform_edges(low, high, bins)
    chosen = data.draw(st.lists(st.sampled_from(edges), min_size=1, max_size=8))
    points = [low, high, -1e300, 1e300]
    for edge in chosen:
        points += [edge, np.nextafter(edge, -np.inf), np.nextafter(edge, np.inf)]
    h = np.array(points)[np.newaxis, :, np.newaxis]
    target = values.target(h)
    limits = binning.uniform_edges(np.array([low]), np.array([high]), bins)
    binned = BinnedValues(target, binning.Binning(bins, limits), None)
    expected = [naive.code(v, edges) for v in points]
    for backend in ("reference", "cpu"):
        codes = _backends.load(backend).encode(binned, 1)
        assert codes.ravel().tolist() == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_layout_does_not_matter(dtype, tmp_path):
    h, y = sample((6, 12, 40), dtype, seed=1)
    expected = joint(h, y, 16, "reference")
    wide = np.zeros((6, 24, 80), h.dtype)
    wide[:, ::2, ::2] = h
    backwards = np.ascontiguousarray(h[::-1, :, ::-1])[::-1, :, ::-1]
    fortran = np.asfortranarray(h)
    transposed = np.ascontiguousarray(h.transpose(2, 0, 1)).transpose(1, 2, 0)
    mapped = np.memmap(tmp_path / "h", dtype=h.dtype, mode="w+", shape=h.shape)
    mapped[:] = h
    packed = np.zeros(h.shape, [("pad", "u1"), ("h", h.dtype)])
    packed["h"] = h
    frozen = h.copy()
    frozen.flags.writeable = False
    layouts = [wide[:, ::2, ::2], backwards, fortran, transposed, mapped, packed["h"], frozen]
    for layout in layouts:
        for threads in (1, 2):
            np.testing.assert_array_equal(joint(layout, y, 16, "cpu", threads), expected)


def test_every_dtype_holding_the_same_values_gives_the_same_counts():
    h, y = sample((5, 10, 33), "bfloat16", seed=2)
    wide = h.astype(np.float64), y.astype(np.float64)
    expected = joint(*wide, 16, "reference")
    for dtype in ("bfloat16", "float32", "float64"):
        same = wide[0].astype(dtype), wide[1].astype(dtype)
        np.testing.assert_array_equal(joint(*same, 16, "cpu"), expected)


def test_every_half_float():
    # All 65,536 of them but NaN and infinity, against NumPy's own conversion.
    for dtype in ("float16", "bfloat16"):
        with np.errstate(invalid="ignore"):  # signalling NaNs among them
            every = np.arange(65_536, dtype=np.uint16).view(dtype).astype(np.float64)
        kept = np.isfinite(every)
        h = np.arange(65_536, dtype=np.uint16)[kept].view(dtype)[np.newaxis, :, np.newaxis]
        edges = np.array([[-1e30, -3.0, -6e-8, 0.0, 6e-8, 1.0, 60_000.0]])
        binned = BinnedValues(values.target(h), binning.Binning(8, edges), None)
        codes = _backends.load("cpu").encode(binned, None)
        expected = np.searchsorted(edges[0], every[kept], side="right")
        np.testing.assert_array_equal(codes.ravel(), expected)


@pytest.mark.parametrize(
    "dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">f4", ">u8"]
)
def test_integers_are_symbols(dtype, backend):
    rng = np.random.default_rng(4)
    h, y = rng.integers(0, 7, (3, 11, 18)), rng.integers(0, 7, (3, 11))
    expected = np.zeros((18, 7, 7, 7), np.int64)
    for u in range(18):
        cells = naive.transitions(h[:, :, u].tolist(), y.tolist())
        for cell, n in cells.items():
            expected[(u, *cell)] = n
    h, y = h.astype(dtype), y.astype(dtype)
    limits = {"h_range": (0.0, 7.0), "y_range": (0.0, 7.0)}  # used by the floats among them
    np.testing.assert_array_equal(joint(h, y, 7, backend, **limits), expected)


def test_booleans_are_two_symbols(backend):
    rng = np.random.default_rng(5)
    h, y = rng.random((4, 30, 3)) < 0.5, rng.random((4, 30)) < 0.5
    as_integers = joint(h.astype(int), y.astype(int), 2, backend)
    np.testing.assert_array_equal(joint(h, y, 2, backend), as_integers)


def test_blocks_of_units_change_nothing(monkeypatch):
    h, y = sample((5, 20, 50), "float32")
    whole = tefast.transfer_entropy(h, y, bins=8, binning="quantile", backend="reference")
    monkeypatch.setattr(counts, "BLOCK_BYTES", 3 * 8 * 8**3)
    assert len(list(counts.blocks(50, 8 * 8**3))) == 17
    np.testing.assert_array_equal(
        tefast.transfer_entropy(h, y, bins=8, binning="quantile", backend="reference"), whole
    )


def test_too_large_a_table_says_how_large(monkeypatch):
    monkeypatch.setattr(counts, "memory_limit", lambda: 2**30)
    with pytest.raises(ValueError, match=r"\(1024, 256, 256, 256\) take 128.0 GiB.* 1.0 GiB"):
        tefast.TransferEntropy(units=1024, bins=256)
    with pytest.raises(ValueError, match="GiB"):  # beyond 64 bits
        counts.allocate((2**40, 2**40))


def test_memory_limit_is_this_machines():
    assert 2**24 < counts.memory_limit() <= 2**62
