"""The kernel's own cases: instruction sets, chunks, ways through memory, overflowing counters."""

import os
import subprocess
import sys
from contextlib import contextmanager

import levels
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_counts import joint

import tefast
from tefast import _backends, binning
from tefast._backends.inputs import BinnedValues, CodeWindows
from tefast._inputs import values
from tefast._tables.states import JointState

ml_dtypes = pytest.importorskip("ml_dtypes")

NATIVE = _backends.load("cpu")._native
LIMITS = {"h_range": (-1.0, 1.0), "y_range": (0.0, 1.0)}


@contextmanager
def limits(**changed):
    chosen = NATIVE.Limits()
    for name, value in changed.items():
        setattr(chosen, name, value)
    NATIVE.use_limits(chosen)
    try:
        yield
    finally:
        NATIVE.use_limits(NATIVE.Limits())


WAYS = {
    "as it comes": {},
    "chunks of one row": {"chunk_bytes": 1, "least_rows": 1, "resident_bytes": 0},
    "chunks of 7 rows": {"chunk_bytes": 1, "least_rows": 7, "resident_bytes": 0},
    "one chunk for all threads": {
        "chunk_bytes": 1,
        "least_rows": 7,
        "resident_bytes": 0,
        "apart_bytes": 0,
    },
    "windows of 13 rows": {
        "chunk_bytes": 1,
        "least_rows": 5,
        "resident_bytes": 0,
        "window_rows": 13,
    },
    "windows for all threads": {
        "chunk_bytes": 1,
        "least_rows": 5,
        "resident_bytes": 0,
        "window_rows": 13,
        "apart_bytes": 0,
    },
    "blocks of units": {"chunk_bytes": 1, "least_rows": 50, "resident_bytes": 0, "table_bytes": 1},
    "all codes at once": {"chunk_bytes": 1, "table_bytes": 0},
    "all codes of some units": {"chunk_bytes": 1, "table_bytes": 0, "resident_bytes": 3000},
}


@pytest.fixture(params=WAYS)
def way(request):
    with limits(**WAYS[request.param]):
        yield


@pytest.fixture(params=levels.RUNNABLE)
def level(request):
    with levels.using(request.param):
        yield request.param


def sample(shape, dtype, seed=0):
    local = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return local.integers(0, 5, shape).astype(dtype), local.integers(0, 5, shape[:2])
    h = local.uniform(-1.2, 1.2, shape).astype(dtype)
    return h, local.uniform(-0.1, 1.1, shape[:2])


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16, "f4", "f8", "u1", "i8"])
def test_every_way_on_every_level_counts_alike(level, way, dtype, threads):
    h, y = sample((6, 11, 37), dtype)
    bins = 5
    series = np.ascontiguousarray(h[:, :, 0])[..., np.newaxis]
    for part in (h, series, h[:, :, :1], h[:, :, 3:6], h[:, :, ::2]):
        counts = joint(part, y, bins, "cpu", threads)
        np.testing.assert_array_equal(counts, joint(part, y, bins, "reference"))
        te = tefast.transfer_entropy(
            part, y, bins, threads=threads, **({} if h.dtype.kind in "iu" else LIMITS)
        )
        expected = NATIVE.score_counts(counts, 1) / np.log(2)
        np.testing.assert_array_equal(te, expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shape_lengths_and_gaps(data):
    bins = data.draw(st.sampled_from([2, 3, 16, 33, 128, 256]))
    units = data.draw(st.sampled_from([1, 2, 4, 5, 16, 17, 33] if bins < 100 else [1, 2]))
    shape = (data.draw(st.integers(1, 5)), data.draw(st.integers(2, 9)), units)
    local = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    h, y = local.uniform(-1.1, 1.1, shape).astype("f4"), local.random(shape[:2])
    h[local.random(shape) < data.draw(st.sampled_from([0.0, 0.2]))] = np.nan
    lengths = local.integers(0, shape[1] + 1, shape[0])
    way = WAYS[data.draw(st.sampled_from(sorted(WAYS)))]
    level = data.draw(st.sampled_from(levels.RUNNABLE))
    expected = joint(h, y, bins, "reference", lengths=lengths)
    with levels.using(level), limits(**way):
        np.testing.assert_array_equal(joint(h, y, bins, "cpu", 2, lengths), expected)
        if expected.any():
            te = tefast.transfer_entropy(
                h, y, bins, lengths=lengths, nan_policy="omit", threads=2, **LIMITS
            )
            scored = NATIVE.score_counts(expected, 1) / np.log(2)
            np.testing.assert_array_equal(te, scored)


edge = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_codes_of_values_on_and_beside_edges(data):
    # Shared and per-unit edges, evenly spaced or not, wide or a few floats apart.
    bins = data.draw(st.sampled_from([2, 3, 8, 9, 16, 17, 33, 40, 200, 256]))
    rows = data.draw(st.sampled_from([1, 18]))
    edges = np.empty((rows, bins - 1))
    for row in edges:
        low, width = data.draw(edge), data.draw(st.sampled_from([0.0, 1e-7, 1e-3, 1.0, 1e6]))
        if data.draw(st.booleans()):
            row[:] = naive.uniform_edges(low, low + width, bins)
        else:
            row[:] = low + np.sort(np.random.default_rng(rows).random(bins - 1)) * width
    dtype = data.draw(st.sampled_from(["f4", "f8"]))
    chosen = np.random.default_rng(bins).integers(0, bins - 1, 6)
    near = edges[np.arange(18) % rows][:, chosen].astype(dtype)  # (18, 6)
    below, above = (np.nextafter(near, np.array(side, dtype)) for side in (-np.inf, np.inf))
    far = np.full((18, 2), [-3e38, 3e38], dtype)
    points = np.concatenate([near, below, above, far], axis=1)  # (units, values)
    expected = [
        [naive.code(float(v), edges[u % rows]) for v in row] for u, row in enumerate(points)
    ]
    target = values.target(np.ascontiguousarray(points.T)[np.newaxis])
    binned = BinnedValues(target, binning.Binning(bins, edges), None)
    for level in levels.RUNNABLE:
        with levels.using(level):
            codes = _backends.load("cpu").encode(binned, 1)
        np.testing.assert_array_equal(codes[0].T, expected)


@pytest.mark.parametrize("apart", [0, 48 * 2**20])
@pytest.mark.parametrize("states", [1, 3])
def test_counters_that_overflow_16_bits(level, states, apart):
    # One cell takes 100,000 and more, in one chunk's worth of rows and over many.
    steps = 250_000
    h = np.zeros((1, steps, 5), np.uint8)
    h[0, ::1000, 1:] = 1
    y = np.zeros((1, steps), np.int64)
    y[0, ::7] = states - 1
    with limits(apart_bytes=apart):
        counts = joint(h, y, 3, "cpu", 2)
        te = tefast.transfer_entropy(h, y, 3, threads=2)
    np.testing.assert_array_equal(counts, joint(h, y, 3, "reference"))
    assert counts.max() > 2 * 65_535
    np.testing.assert_array_equal(te, NATIVE.score_counts(counts, 1) / np.log(2))
    np.testing.assert_allclose(
        te, tefast.transfer_entropy(h, y, 3, backend="reference"), atol=1e-12
    )


@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16, "f4", "f8"])
def test_ranges_on_every_level(level, dtype):
    h, _ = sample((9, 7, 37), dtype)
    series = np.ascontiguousarray(h[:, :, 0])[..., np.newaxis]
    long = h.reshape(1, -1, 1)
    for part in (h, h[:, ::2, 1:], h[..., ::3], h[:, :, :1], h[:1, :1], series, long, abs(long)):
        target = values.target(part)
        found = _backends.load("cpu").scan(target, 4, None, 2)
        wide = part.astype("f8")
        np.testing.assert_array_equal(found.low, wide.min(axis=(0, 1)))
        np.testing.assert_array_equal(found.high, wide.max(axis=(0, 1)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("unit", [0, 20, 36])
def test_a_bad_value_is_seen_on_the_way(level, bad, unit):
    h, y = sample((6, 11, 37), "f4")
    h[4, 3, unit] = bad
    kind = "NaN" if np.isnan(bad) else "infinite"
    with pytest.raises(ValueError, match=rf"{kind}.*h\[4, 3, {unit}\]"):
        tefast.transfer_entropy(h, y, 5, **LIMITS)
    symbols = sample((6, 11, 37), "i2")[0]
    symbols[5, 10, unit] = -1
    with pytest.raises(ValueError, match=rf"h\[5, 10, {unit}\] = -1 is not one"):
        tefast.transfer_entropy(symbols, y, 5, y_range=(0, 1))


def test_bad_values_past_the_lengths_are_not_looked_at(level):
    h, y = sample((6, 11, 37), "f4")
    lengths = np.array([11, 4, 0, 2, 11, 7])
    expected = tefast.transfer_entropy(h, y, 5, lengths=lengths, **LIMITS)
    for n, length in enumerate(lengths):
        h[n, length:] = np.nan
    np.testing.assert_array_equal(
        tefast.transfer_entropy(h, y, 5, lengths=lengths, **LIMITS), expected
    )


def test_symbols_in_floats_range(level):
    # 0.0 is an edge of 16 bins over (-1, 1): what a unit that never fires is full of.
    h, y = sample((6, 40, 33), "f4")
    h[:, :, ::2] = 0.0
    h[:, :, 1] = 1.0
    np.testing.assert_array_equal(joint(h, y, 16, "cpu"), joint(h, y, 16, "reference"))
    ranged = tefast.transfer_entropy(h, y)
    reference = tefast.transfer_entropy(h, y, backend="reference")
    np.testing.assert_allclose(ranged, reference, atol=1e-13)
    assert (ranged[::2] == 0).all()


def test_equal_widths_are_guessed_constant_units_among_them():
    # A dead unit has all its edges in one place; it must not slow the units beside it down.
    low = np.linspace(-1, 1, 40)
    for bins in (2, 3, 16, 64, 256):
        high = low + np.linspace(0.5, 2, 40)
        high[[3, 20]] = low[[3, 20]]
        edges = binning.uniform_edges(low, high, bins)
        for dtype in ("float32", "float64"):
            assert NATIVE.all_guessed(edges, dtype, 40)
    assert not NATIVE.all_guessed(np.array([[0.0, 0.1, 1.0]]), "float32", 5)


def run(**environment):
    code = "import tefast; print(tefast.build_info()['instruction_set'])"
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_environment_pins_the_level():
    for name in levels.RUNNABLE:
        assert run(TEFAST_SIMD_LEVEL=name).stdout.strip() == name
    assert run(TEFAST_SIMD_LEVEL="").stdout.strip() == levels.RUNNABLE[-1]
    wrong = run(TEFAST_SIMD_LEVEL="mmx")
    assert wrong.returncode != 0
    assert "TEFAST_SIMD_LEVEL: unknown instruction set level 'mmx'; known are" in wrong.stderr


def test_edges_learned_for_each_unit_stay_exact(level):
    # Ranges from the data put every unit's extremes and constants exactly on edges.
    local = np.random.default_rng(3)
    h = local.integers(0, 17, (20, 30, 40)).astype("f4") / 16
    h[:, :, 7] = 0.25
    h[:, :, 8] = 1e6 + local.random((20, 30)) / 8
    y = local.random((20, 30))
    target = values.target(h)
    low, high = h.min(axis=(0, 1)).astype("f8"), h.max(axis=(0, 1)).astype("f8")
    cuts = binning.Binning(16, binning.uniform_edges(low, high, 16))
    binned = BinnedValues(target, cuts, None)
    codes = [_backends.load(name).encode(binned, 1) for name in ("cpu", "reference")]
    np.testing.assert_array_equal(*codes)
    assert tefast.transfer_entropy(h, y)[7] == 0


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_windows_are_those_of_the_reference(data):
    bins, states = (data.draw(st.integers(*ends)) for ends in ((2, 5), (1, 6)))
    back = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    shape = tuple(data.draw(st.integers(*ends)) for ends in ((1, 4), (1, 12), (1, 40)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    codes = rng.integers(-1 if data.draw(st.booleans()) else 0, bins, shape).astype(np.int16)
    shared = rng.integers(-1, states, shape[:2])
    start = rng.integers(0, 5, (shape[2], bins ** len(back), states))
    expected = start.copy()
    windows = CodeWindows(codes, bins, back, JointState(shared, states))
    _backends.load("reference").count_windows(windows, expected, None)
    for threads in (1, 3):
        counts = start.copy()
        _backends.load("cpu").count_windows(windows, counts, threads)
        np.testing.assert_array_equal(counts, expected)


def test_windows_refuse_what_would_reach_beyond_their_memory():
    codes, shared = np.zeros((2, 5, 3), np.int16), np.zeros((2, 5), np.int64)
    counts = np.zeros((3, 4, 2), np.int64)
    NATIVE.count_windows(NATIVE.Windows(codes, 2, (1, 0), shared, 2), counts, 1)
    for wrong, table in (
        ((codes + 2, 2, (1, 0), shared, 2), counts),
        ((codes, 2, (1, 0), shared + 2, 2), counts),
        ((codes, 2, (1, 0), shared[:1], 2), counts),
        ((codes, 2, (2, 1, 0), shared, 2), counts),
        ((codes, 2, (1, 0), shared, 1), counts),
        ((codes[0], 2, (1, 0), shared, 2), counts),
        ((codes, 2, (), shared, 2), counts),
        ((codes, 2, (1, -1), shared, 2), counts),
        ((codes[..., :1], 2, (2, 1, 0), shared, 1), np.zeros((1, 1, 1), np.int64)),
    ):
        with pytest.raises(ValueError, match=r"must|not below"):
            NATIVE.count_windows(NATIVE.Windows(*wrong), table, 1)


def test_an_input_keeps_what_it_points_into():
    h, sources = np.random.default_rng(0).random((40, 30, 20)), np.zeros((40, 30), np.int16)
    edges, lengths = binning.uniform_edges(h.min((0, 1)), h.max((0, 1)), 5), np.full(40, 29)

    def scores(made):
        return NATIVE.transfer_entropy(made, sources, 1, False, 1)[0]

    def copies():
        # Lists are converted, so that what holds them is known to the input alone.
        return NATIVE.Input(h.copy(), "float64", False, edges.tolist(), 5, lengths.tolist())

    expected = scores(NATIVE.Input(h, "float64", False, edges, 5, lengths))
    kept = [copies() for _ in range(20)]
    for made in kept:
        gone = [np.full_like(h, np.nan), np.full_like(edges, np.nan), np.full_like(lengths, -1)]
        np.testing.assert_array_equal(scores(made), expected)
        del gone
    held = sys.getrefcount(h)
    made = NATIVE.Input(h, "float64", False, edges, 5, None)
    assert sys.getrefcount(h) == held + 1
    del made
    assert sys.getrefcount(h) == held


def test_what_changed_after_an_input_was_made_is_checked_again():
    h, lengths = np.zeros((4, 5, 3), np.uint8), np.full(4, 5)
    made = NATIVE.Input(h, "uint8", False, None, 2, lengths)
    assert NATIVE.scan(made, 1)["outside"] == 0
    lengths[2] = 6
    for call in (NATIVE.scan, NATIVE.encode):
        with pytest.raises(ValueError, match=r"lengths must lie in 0 \.\. T"):
            call(made, 1)
    codes, shared = np.zeros((2, 5, 3), np.int16), np.zeros((2, 5), np.int64)
    windows, counts = NATIVE.Windows(codes, 2, (1, 0), shared, 2), np.zeros((3, 4, 2), np.int64)
    NATIVE.count_windows(windows, counts, 1)
    shared[1, 3] = 2
    with pytest.raises(ValueError, match="not below"):
        NATIVE.count_windows(windows, counts, 1)


def test_inputs_that_do_not_fit_are_refused():
    h, edges = np.zeros((4, 5, 3)), np.zeros((1, 1))
    for arguments, message in (
        ((h, "complex128", False, edges, 2, None), "unknown dtype complex128"),
        ((h, "float32", False, edges, 2, None), "the array does not hold float32"),
        ((h[0], "float64", False, edges, 2, None), "expected an array of rank 3"),
    ):
        with pytest.raises(ValueError, match=message):
            NATIVE.Input(*arguments)
    symbols = h.astype(np.int64)
    for arguments, message in (
        ((h, "float64", False, None, 2, None), "floats need edges, symbols none"),
        ((symbols, "int64", False, edges, 2, None), "floats need edges, symbols none"),
        ((h, "float64", False, edges, 3, None), r"edges must have shape \(U or 1, bins - 1\)"),
        ((h, "float64", False, np.zeros((2, 1)), 2, None), "edges must have shape"),
        ((h, "float64", False, edges, 2, np.full(3, 5)), r"lengths must have shape \(N,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            NATIVE.encode(NATIVE.Input(*arguments), 1)
    target, source = NATIVE.Input(h, "float64", False, edges, 2, None), np.zeros((4, 5), np.int16)
    for table in (np.zeros((3, 2, 2, 2, 1), np.int64), np.zeros((3, 2, 1, 2), np.int64)):
        with pytest.raises(ValueError, match=r"counts must have shape \(U, bins, bins, states\)"):
            NATIVE.count_transitions(target, source, table, 1)
    with pytest.raises(TypeError):  # a copy would be counted in
        NATIVE.count_transitions(target, source, np.zeros((3, 2, 2, 2)), 1)
