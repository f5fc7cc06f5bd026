"""Sliding windows, each against transfer entropy of its part of the data alone."""

import math
import tracemalloc

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import example, samples

import tefast
from tefast import windowed
from tefast._tables import counts
from tefast._tables.entropies import BIASES

NAMES = ("target_history", "source_history", "delay", "target_step", "source_step")
EMBEDDINGS = st.tuples(*[st.integers(1, 2)] * 2, st.integers(0, 2), *[st.integers(1, 3)] * 2).map(
    lambda steps: dict(zip(NAMES, steps, strict=True))
)
FEW = [{}, {"target_history": 2, "delay": 2}, {"delay": 0}, {"source_history": 2, "source_step": 3}]
WAYS = {"tables": 10**9, "rows": -1}


def needed(extra):
    steps = {**dict.fromkeys(NAMES, 1), **extra}
    past, before, delay, past_step, source_step = (steps[name] for name in NAMES)
    return max((past - 1) * past_step, (before - 1) * source_step + delay - 1) + 2


def twin(sample, width, step, extra, bias=None, base=2):
    """Loops over the transitions that lie entirely within each window."""
    found = []
    for start in range(0, sample.h.shape[1] - width + 1, step):
        row = []
        for unit in sample.units:
            part = [sequence[start : start + width] for sequence in unit]
            series = [sequence[start : start + width] for sequence in sample.series]
            lengths = sample.lengths
            if lengths is not None:
                lengths = [min(max(length - start, 0), width) for length in lengths]
            moves = [move for _, move in naive.moves(part, series, lengths, **extra)]
            row.append(naive.information(moves, base, bias) if moves else math.nan)
        found.append(row)
    return np.array(found)


def slide(sample, width, step, extra, **options):
    h, y = sample.values("h"), sample.values("y")
    given = {**sample.options, **extra, **options}
    return tefast.windowed_transfer_entropy(h, y, width, step, **given)


def by(way, patch):
    patch.setattr(windowed, "CELLS_A_ROW", WAYS[way])


@settings(max_examples=80, deadline=None)
@given(
    extra=EMBEDDINGS,
    bias=st.sampled_from(BIASES),
    way=st.sampled_from([*WAYS]),
    data=st.data(),
)
def test_equal_to_naive_for_any_series(extra, bias, way, data):
    least = needed(extra)
    sample = data.draw(samples(steps=least))
    width = data.draw(st.integers(least, sample.h.shape[1]))
    step = data.draw(st.integers(1, 9))
    known = twin(sample, width, step, extra, bias)
    for backend in ("reference", "cpu"):
        with pytest.MonkeyPatch.context() as patch:
            by(way, patch)
            if np.isnan(known).all():
                with pytest.raises(ValueError, match="no transition is left"):
                    slide(sample, width, step, extra, bias=bias, backend=backend)
                continue
            found = slide(sample, width, step, extra, bias=bias, backend=backend)
        np.testing.assert_allclose(found, known, rtol=0, atol=1e-11)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("extra", FEW)
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_equal_to_naive_on_every_backend(extra, dtype, way, backend, monkeypatch):
    by(way, monkeypatch)
    sample = example(dtype=dtype)
    for width, step in ((12, 5), (7, 9), (30, 1)):
        found = slide(sample, width, step, extra, backend=backend)
        known = twin(sample, width, step, extra)
        np.testing.assert_allclose(found, known, rtol=0, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(20, 60), st.integers(1, 3)),
    window=st.tuples(st.integers(8, 20), st.integers(1, 30)),
    extra=EMBEDDINGS,
    bias=st.sampled_from(BIASES),
    way=st.sampled_from([*WAYS]),
    seed=st.integers(0, 2**32),
)
def test_each_window_is_its_part_of_the_data_in_the_same_bins(
    shape, window, extra, bias, way, seed
):
    rng = np.random.default_rng(seed)
    h, y = rng.normal(size=shape), rng.normal(size=shape[:2])
    edges = {"h": tefast.learn_edges(h, 3), "y": tefast.learn_edges(y[..., None], 3)}
    width, step = window
    with pytest.MonkeyPatch.context() as patch:
        by(way, patch)
        found = tefast.windowed_transfer_entropy(h, y, width, step, 3, bias=bias, **extra)
    assert len(found) == (shape[1] - width) // step + 1
    for i, row in enumerate(found):
        part = np.s_[:, i * step : i * step + width]
        known = tefast.transfer_entropy(h[part], y[part], 3, bias=bias, binning=edges, **extra)
        exact = bias is not None or extra["target_history"] > 1  # else by another formula
        np.testing.assert_allclose(row, known, rtol=0, atol=0 if exact else 1e-13)


@pytest.mark.parametrize("way", WAYS)
def test_gaps_masks_and_windows_without_a_transition(way, monkeypatch):
    by(way, monkeypatch)
    rng = np.random.default_rng(1)
    h, y = rng.random((2, 40, 3)), rng.random((2, 40))
    given = {"bins": 3, "h_range": (0, 1), "y_range": (0, 1)}
    gaps = h.copy()
    gaps[:, 10:22, 1] = np.nan
    found = tefast.windowed_transfer_entropy(gaps, y, 10, 5, nan_policy="omit", **given)
    assert np.isnan(found).nonzero()[0].tolist() == [2]
    assert np.isnan(found[2, 1])
    plain = tefast.windowed_transfer_entropy(h, y, 10, 5, **given)
    np.testing.assert_array_equal(found[:, [0, 2]], plain[:, [0, 2]])
    masked = tefast.windowed_transfer_entropy(h, y, 10, 5, mask=~np.isnan(gaps), **given)
    np.testing.assert_array_equal(masked, found)
    short = tefast.windowed_transfer_entropy(h, y, 10, 5, lengths=[40, 0], **given)
    alone = tefast.windowed_transfer_entropy(h[:1], y[:1], 10, 5, **given)
    np.testing.assert_array_equal(short, alone)
    ended = tefast.windowed_transfer_entropy(h, y, 10, 5, lengths=[21, 0], **given)
    assert np.isnan(ended).all(axis=1).tolist() == [False] * 4 + [True] * 3
    with pytest.raises(ValueError, match="no transition is left"):
        tefast.windowed_transfer_entropy(h, y, 10, 5, lengths=[1, 1], **given)


@pytest.mark.parametrize("way", WAYS)
def test_several_sources_and_long_histories(way, monkeypatch):
    by(way, monkeypatch)
    rng = np.random.default_rng(2)
    h, y = rng.integers(0, 2, (2, 40, 3)), rng.integers(0, 2, (2, 40, 2))
    found = tefast.windowed_transfer_entropy(h, y, 20, 7, 2, joint=True)
    for i, row in enumerate(found):
        part = np.s_[:, 7 * i : 7 * i + 20]
        known = tefast.transfer_entropy(h[part], y[part], 2, joint=True)
        np.testing.assert_allclose(row, known, rtol=0, atol=1e-13)


def test_histories_beyond_any_table():
    rng = np.random.default_rng(3)
    h = np.arange(120).reshape(2, 60, 1) // 5 % 2 * 199
    h = np.concatenate([h, rng.integers(0, 2, (2, 60, 1)) * 150], axis=-1)
    y = np.roll(h[..., 1], 1, axis=1)
    options = {"bins": 200, "target_history": 9, "source_history": 9}
    found = tefast.windowed_transfer_entropy(h, y, 30, 10, **options)
    for i, row in enumerate(found):
        part = np.s_[:, 10 * i : 10 * i + 30]
        known = tefast.transfer_entropy(h[part], y[part], **options)
        np.testing.assert_array_equal(row, known)


@pytest.mark.parametrize("shape", [(40,), (40, 3), (2, 40, 3)])
def test_ranks_and_tensors(shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    h, y = rng.random(shape), rng.random(shape[:-1] if len(shape) > 1 else shape)
    full = h.reshape(-1, 40, shape[-1] if h.ndim > 1 else 1)
    known = tefast.windowed_transfer_entropy(full, y.reshape(len(full), 40), 15, 8, 3)
    found = tefast.windowed_transfer_entropy(h, y, 15, 8, 3)
    assert found.shape == ((4,) if h.ndim == 1 else (4, shape[-1]))
    np.testing.assert_array_equal(found.reshape(known.shape), known)
    tensor = tefast.windowed_transfer_entropy(torch.tensor(h), torch.tensor(y), 15, 8, 3)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor, found)


def test_names_of_axes_and_layouts():
    xarray, pandas = (pytest.importorskip(name) for name in ("xarray", "pandas"))
    rng = np.random.default_rng(7)
    h, y = rng.random((40, 3)), rng.random(40)
    known = tefast.windowed_transfer_entropy(h, y, 15, 8, 3)
    named = xarray.DataArray(h, dims=("time", "unit"), coords={"unit": ["a", "b", "c"]})
    found = tefast.windowed_transfer_entropy(named, y, 15, 8, 3)
    assert found.dims == ("window", "unit")
    assert found.unit.values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(found, known)
    table = tefast.windowed_transfer_entropy(pandas.DataFrame(h, columns=list("abc")), y, 15, 8, 3)
    assert table.columns.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(table, known)
    turned = tefast.windowed_transfer_entropy(h.T, y, 15, 8, 3, layout="UT")
    np.testing.assert_array_equal(turned, known)


def test_symbols_of_many_kinds():
    rng = np.random.default_rng(8)
    words = np.array([f"word {i}" for i in range(400)])
    h, y = words[rng.integers(0, 400, (300, 2))], words[rng.integers(0, 5, 300)]
    h[1:, 0] = y[:-1]
    found = tefast.windowed_transfer_entropy(h, y, 100, 50, binning="symbols")
    codes = np.unique(h, return_inverse=True)[1].reshape(h.shape).astype(np.int16)
    for i, row in enumerate(found):
        part = slice(50 * i, 50 * i + 100)
        known = tefast.transfer_entropy(codes[part], y[part], binning="symbols")
        np.testing.assert_allclose(row, known, rtol=0, atol=1e-13)


@pytest.mark.parametrize("bias", [None, "miller_madow"])
def test_threads_and_blocks_of_units_do_not_matter(bias, monkeypatch):
    sample = example(units=7)
    whole = slide(sample, 12, 5, {}, bias=bias, threads=1)
    for block in (2**12, 1):
        monkeypatch.setattr(counts, "BLOCK_BYTES", block)
        for threads in (2, None):
            found = slide(sample, 12, 5, {}, bias=bias, threads=threads)
            np.testing.assert_array_equal(found, whole)


def test_memory_is_that_of_a_few_blocks(monkeypatch):
    # 1,024 units of 16**3 counts are 32 MiB; two tables of them, in blocks of 4 MiB.
    rng = np.random.default_rng(5)
    h, y = rng.random((1, 400, 1024), np.float32), rng.random((1, 400))
    monkeypatch.setattr(counts, "BLOCK_BYTES", 2**22)
    tracemalloc.start()
    try:
        found = tefast.windowed_transfer_entropy(h, y, 200, 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.shape == (3, 1024)
    assert peak < 4 * 2**22 + 2**22


def test_a_coupling_is_found_when_it_is_there():
    rng = np.random.default_rng(6)
    h, y = rng.integers(0, 2, (2, 30_000))
    h[10_001:20_000] = y[10_000:19_999]
    found = tefast.windowed_transfer_entropy(h, y, 1000, 1, 2)
    assert found.shape == (29_001,)
    assert found[10_000:19_001].min() > 0.99
    assert max(found[:9000].max(), found[20_000:].max()) < 0.03


H, Y = np.zeros((3, 8, 2)), np.zeros((3, 8))
ERRORS = [
    ({"width": 0}, ValueError, "width must be a positive integer, got 0"),
    ({"width": 2.0}, TypeError, r"width must be a positive integer, got 2\.0"),
    ({"step": 0}, ValueError, "step must be a positive integer, got 0"),
    ({"step": True}, TypeError, "step must be a positive integer, got True"),
    (
        {"width": 1},
        ValueError,
        "width must lie between the 2 steps of a transition and the 8 of th",
    ),
    ({"width": 9}, ValueError, "and the 8 of the sequences, got 9"),
    ({"width": 3, "target_history": 3}, ValueError, "between the 4 steps of a transition .* got 3"),
    ({"target_history": 9}, ValueError, "with target_history=9, .* takes at least 10 steps"),
    ({"bias": "none"}, ValueError, "unknown bias 'none'"),
    ({"bins": 1}, ValueError, "bins must lie"),
    ({"y": Y[:2]}, ValueError, r"y \(source\) must have shape \(3, 8\)"),
    ({"h": np.full((3, 8, 2), np.nan)}, ValueError, "h .* must hold no NaN, got 48"),
]


@pytest.mark.parametrize(("options", "error", "message"), ERRORS)
def test_bad_input(options, error, message):
    given = {"h": H, "y": Y, "width": 4, "step": 2, "bins": 4, **options}
    with pytest.raises(error, match=message):
        tefast.windowed_transfer_entropy(**given)
