"""Transfer entropy with histories, a delay and bias corrections, against the naive twin."""

import math
import tracemalloc

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import example, samples, scores
from test_known_values import TRIALS_X, TRIALS_Y

import tefast
from tefast._counting import windows
from tefast._tables import counts, states
from tefast._tables.entropies import BIASES

NAMES = ("target_history", "source_history", "delay", "target_step", "source_step")
# Of the target, of the source, the delay, and the steps of both.
EMBEDDINGS = st.tuples(
    *(st.integers(least, most) for least, most in ((1, 3), (1, 3), (0, 4), (1, 3), (1, 3)))
)
SETTINGS = settings(max_examples=60, deadline=None)


def named(embedding):
    return dict(zip(NAMES, embedding, strict=False))


def needed(embedding):
    """Steps that a transition takes."""
    past, before, delay, *apart = embedding
    past_step, source_step = apart or (1, 1)
    return max((past - 1) * past_step, (before - 1) * source_step + delay - 1) + 2


def expected(sample, embedding, base=2, bias=None):
    """The twin's scores."""

    def rows(unit):
        return [row for _, row in naive.moves(unit, sample.series, sample.lengths, *embedding)]

    return scores(sample, rows, lambda found: naive.information(found, base, bias))


def check(sample, embedding, backend, bias=None, base=2, **options):
    """One backend against the twin, or its complaint where the twin finds no transition."""
    twin = expected(sample, embedding, base, bias)
    given = {**sample.options, **named(embedding), "bias": bias, "base": base, **options}

    def found():
        h, y = sample.values("h"), sample.values("y")
        return tefast.transfer_entropy(h, y, backend=backend, **given)

    if np.isnan(twin).all():
        with pytest.raises(ValueError, match="no transition is left"):
            found()
    else:
        np.testing.assert_allclose(found(), twin, rtol=0, atol=1e-11)


@SETTINGS
@given(
    embedding=EMBEDDINGS,
    bias=st.sampled_from(BIASES),
    base=st.sampled_from([2, math.e, 10]),
    data=st.data(),
)
def test_equal_to_naive_for_any_series(embedding, bias, base, data):
    sample = data.draw(samples(steps=needed(embedding)))
    for backend in ("reference", "cpu"):
        check(sample, embedding, backend, bias, base)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize(
    "embedding",
    [
        (1, 1, 1),
        (1, 2, 1),
        (1, 1, 3),
        (2, 1, 1),
        (3, 2, 2),
        (1, 2, 1, 1, 3),
        (2, 1, 1, 4, 1),
        (3, 2, 2, 2, 3),
    ],
)
def test_equal_to_naive_on_every_backend(embedding, bias, dtype, backend):
    check(example(dtype=dtype), embedding, backend, bias)


def test_ranges_of_the_data_and_quantiles(backend):
    rng = np.random.default_rng(1)
    h, y = rng.standard_normal((5, 20, 3)), rng.standard_normal((5, 20))
    options = {**named((2, 2, 2)), "bins": 3, "backend": backend}

    def coded(values, edges):
        return [[naive.code(v, edges) for v in row] for row in values.tolist()]

    uniform = [naive.uniform_edges(float(v.min()), float(v.max()), 3) for v in (*h.T, y)]
    ordered = [sorted(v.ravel().tolist()) for v in (*h.T, y)]
    # 100 values: the quantiles 1/3 and 2/3 are exactly two of them.
    quantiles = [[v[33], v[66]] for v in ordered]
    for binning, (*units, of_y) in (("uniform", uniform), ("quantile", quantiles)):
        twins = [
            naive.information(
                [
                    row
                    for _, row in naive.moves(
                        coded(h[..., u], edges), coded(y, of_y), None, 2, 2, 2
                    )
                ]
            )
            for u, edges in enumerate(units)
        ]
        result = tefast.transfer_entropy(h, y, binning=binning, **options)
        np.testing.assert_allclose(result, twins, rtol=0, atol=1e-11)


def test_ensemble_of_trials_with_two_steps_of_past(backend):
    # The trials of PyInform's own tests, and what those expect with k = 2.
    x, y = np.array(TRIALS_X), np.array(TRIALS_Y)
    options = {"bins": 2, "target_history": 2, "backend": backend}
    there = tefast.transfer_entropy(x[..., None], y, **options)
    back = tefast.transfer_entropy(y[..., None], x, **options)
    np.testing.assert_allclose([there, back], [[0.091141], [0.107630]], rtol=0, atol=5e-7)


@SETTINGS
@given(embedding=EMBEDDINGS, bias=st.sampled_from(BIASES), data=st.data())
def test_dense_and_sparse_tables_give_the_same_bits(embedding, bias, data):
    sample = data.draw(samples(steps=needed(embedding)))
    h, y = sample.values("h"), sample.values("y")
    if np.isnan(expected(sample, embedding)).all():
        return
    # One step of past without a correction does not go through windows.
    given = {**sample.options, **named(embedding), "bias": bias or BIASES[1]}
    dense = tefast.transfer_entropy(h, y, **given)
    for cells, block in ((0, 2**26), (0, 1), (2**22, 1), (2**22, 2**11)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(windows, "DENSE_CELLS", cells)
            patch.setattr(counts, "BLOCK_BYTES", block)
            np.testing.assert_array_equal(tefast.transfer_entropy(h, y, **given), dense)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("embedding", [(1, 2, 1), (2, 1, 2), (2, 2, 1, 3, 2)])
def test_threads_and_blocks_of_units_do_not_matter(embedding, bias, monkeypatch):
    sample = example(units=7)
    given = {**sample.options, **named(embedding), "bias": bias, "backend": "cpu"}
    h, y = sample.values("h"), sample.values("y")
    whole = tefast.transfer_entropy(h, y, threads=1, **given)
    for block in (2**26, 2**12, 1):
        monkeypatch.setattr(counts, "BLOCK_BYTES", block)
        for threads in (1, 2, 7, None):
            result = tefast.transfer_entropy(h, y, threads=threads, **given)
            np.testing.assert_array_equal(result, whole)


@SETTINGS
@given(seed=st.integers(0, 2**32), embedding=EMBEDDINGS, bias=st.sampled_from(BIASES))
def test_names_of_symbols_and_order_of_sequences_do_not_matter(seed, embedding, bias):
    rng = np.random.default_rng(seed)
    h, y = rng.integers(0, 4, (5, 12, 2)), rng.integers(0, 4, (5, 12))
    given = {"bins": 4, "bias": bias, **named(embedding)}
    te = tefast.transfer_entropy(h, y, **given)
    names, order = rng.permutation(4), rng.permutation(5)
    np.testing.assert_array_equal(tefast.transfer_entropy(h[order], y[order], **given), te)
    for h_too, y_too in ((names[h], y), (h, names[y])):
        renamed = tefast.transfer_entropy(h_too, y_too, **given)
        np.testing.assert_allclose(renamed, te, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", BIASES)
def test_a_coupling_is_found_at_its_own_delay_alone(bias, backend):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 4, (20, 200))
    h = rng.integers(0, 4, (20, 200, 2))
    follows = rng.random((20, 197)) < 0.5
    h[:, 3:, 0] = np.where(follows, y[:, :-3], h[:, 3:, 0])
    # Independent data: 2 N times the estimate in nats is chi squared with B (B - 1)**2 degrees of
    # freedom, whose mean is the bias and whose standard deviation the square root of twice as many.
    freedom = 4 * 3**2
    highest = (freedom + 6 * math.sqrt(2 * freedom)) / (2 * 20 * 195)
    for delay in (1, 2, 3, 4):
        options = {"bins": 4, "base": math.e, "delay": delay, "bias": bias, "backend": backend}
        coupled, other = tefast.transfer_entropy(h, y, **options)
        assert other < highest
        assert (coupled > 20 * highest) if delay == 3 else (coupled < highest)


def test_a_correction_takes_most_of_the_bias_away():
    rng = np.random.default_rng(4)
    h, y = rng.integers(0, 4, (2000, 50)), rng.integers(0, 4, 2000)
    options = {"bins": 4, "base": math.e, "target_history": 2}
    plain = tefast.transfer_entropy(h, y, **options)
    bias = 4**2 * 3**2 / (2 * 1998)
    error = plain.std() / math.sqrt(50)
    assert abs(plain.mean() - bias) < 5 * error + 0.1 * bias
    for correction in BIASES[1:]:
        assert abs(tefast.transfer_entropy(h, y, bias=correction, **options).mean()) < 0.1 * bias


@pytest.mark.parametrize("embedding", [(1, 1, 1), (1, 3, 2), (3, 1, 1)])
def test_constant_units_and_a_constant_source_have_none(embedding, backend):
    sample = example(dtype="int64")
    h, y = sample.h.copy(), sample.y
    h[..., 1] = 2
    options = {**sample.options, **named(embedding), "backend": backend}
    assert tefast.transfer_entropy(h, y, **options)[1] == 0.0
    assert tefast.transfer_entropy(h, np.ones_like(y), **options).tolist() == [0.0] * 3


@pytest.mark.parametrize("embedding", [(1, 2, 1), (2, 1, 1)])
def test_a_unit_that_is_nan_throughout_is_nan_and_alone(embedding, backend):
    sample = example()
    h = sample.values("h")
    h[..., 1] = np.nan
    options = {**sample.options, **named(embedding), "backend": backend}
    result = tefast.transfer_entropy(h, sample.values("y"), **options)
    assert np.isnan(result).tolist() == [False, True, False]


@pytest.mark.parametrize("shape", [(40,), (40, 3), (2, 40, 3)])
@pytest.mark.parametrize("embedding", [(1, 2, 1), (2, 1, 1)])
def test_ranks(shape, embedding):
    rng = np.random.default_rng(5)
    h, y = rng.random(shape), rng.random(shape[:-1] if len(shape) > 1 else shape)
    full = h.reshape(-1, 40, shape[-1] if h.ndim > 1 else 1)
    options = {"bins": 3, **named(embedding)}
    result = tefast.transfer_entropy(h, y, **options)
    same = tefast.transfer_entropy(full, y.reshape(len(full), 40), **options)
    np.testing.assert_array_equal(result, same)


def test_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    sample = example()
    h, y = sample.values("h"), sample.values("y")
    for embedding in ((1, 2, 1), (2, 1, 2), (2, 2, 1, 3, 2)):
        given = {**sample.options, **named(embedding)}
        result = tefast.transfer_entropy(torch.tensor(h), torch.tensor(y), **given)
        assert isinstance(result, torch.Tensor)
        np.testing.assert_array_equal(result.numpy(), tefast.transfer_entropy(h, y, **given))


@pytest.mark.parametrize("embedding", [(5, 1, 1), (1, 5, 1), (4, 3, 2)])
def test_a_hundred_bins_and_long_histories_in_little_memory(embedding):
    # A dense table would have 100**7 cells and more: 800 TB.
    rng = np.random.default_rng(6)
    h, y = rng.integers(0, 3, (2, 300, 20)) + 97, rng.integers(0, 3, (2, 300))
    options = {"bins": 100, **named(embedding)}
    tracemalloc.start()
    try:
        result = tefast.transfer_entropy(h, y, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**22
    narrow = tefast.transfer_entropy(h - 97, y, **{**options, "bins": 3})
    np.testing.assert_allclose(result, narrow, rtol=0, atol=1e-12)
    unit, series = h[..., 0].tolist(), y.tolist()
    rows = [row for _, row in naive.moves(unit, series, None, *embedding)]
    assert result[0] == pytest.approx(naive.information(rows), abs=1e-11)


H, Y = np.zeros((3, 8, 2)), np.zeros((3, 8))
ERRORS = [
    ({"target_history": 0}, ValueError, "target_history must be a positive integer, got 0"),
    ({"source_history": -1}, ValueError, "source_history must be a positive integer, got -1"),
    ({"delay": -1}, ValueError, "delay must be an integer, 0 or more, got -1"),
    ({"target_history": 2.0}, TypeError, "target_history must be a positive integer, got 2.0"),
    ({"source_history": "2"}, TypeError, "source_history must be a positive integer, got '2'"),
    ({"delay": True}, TypeError, "delay must be an integer, 0 or more, got True"),
    ({"delay": None}, TypeError, "delay must be an integer, 0 or more, got None"),
    ({"target_step": 0}, ValueError, "target_step must be a positive integer, got 0"),
    ({"source_step": 1.0}, TypeError, "source_step must be a positive integer, got 1.0"),
    ({"target_history": 3, "target_step": 4}, ValueError,
     r"and delay=1, target_step=4 takes at least 10 steps, .* has 8"),
    ({"source_history": 2, "source_step": 2**70}, ValueError, "at least 1180591620717411303426 s"),
    ({"target_history": [1, 2]}, TypeError, r"target_history must be .* got \[1, 2\]"),
    ({"target_history": 8}, ValueError,
     r"with target_history=8, source_history=1 and delay=1 takes at least 9 steps, "
     r"h \(target\) of shape \(3, 8, 2\) has 8"),
    ({"source_history": 4, "delay": 5}, ValueError, "delay=5 takes at least 9 steps.*has 8"),
    ({"target_history": 10**9}, ValueError, "takes at least 1000000001 steps"),
    ({"delay": 2**70}, ValueError, "takes at least 1180591620717411303425 steps"),
    ({"bias": "miller"}, ValueError, "unknown bias 'miller'; known are None, 'miller_madow', 'gra"),
    ({"bias": 1}, ValueError, "unknown bias 1; known are None"),
    ({"bias": ["grassberger"]}, ValueError, r"unknown bias \['grassberger'\]"),
    ({"lengths": [2, 1, 0], "target_history": 2}, ValueError, "no transition is left"),
    ({"lengths": [2, 1, 0], "source_history": 2}, ValueError, "no transition is left"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), ERRORS)
def test_bad_input(options, error, message, backend):
    with pytest.raises(error, match=message):
        tefast.transfer_entropy(H, Y, 4, backend=backend, **options)


@pytest.mark.parametrize("embedding", [(2, 1, 1), (1, 2, 1), (1, 1, 2)])
def test_bad_values_are_found_with_histories_too(embedding, backend):
    given = {**named(embedding), "bins": 4, "backend": backend}
    h, y = np.zeros((3, 8, 2)), np.zeros((3, 8))
    h[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match=r"no NaN, got 1, the first at h\[1, 2, 0\]"):
        tefast.transfer_entropy(h, y, h_range=(0, 1), y_range=(0, 1), **given)
    with pytest.raises(ValueError, match=r"no NaN, got 1, the first at y\[1, 2\]"):
        tefast.transfer_entropy(y[..., None], h[..., 0], h_range=(0, 1), y_range=(0, 1), **given)
    h[1, 2, 0] = np.inf
    with pytest.raises(ValueError, match="must be finite"):
        tefast.transfer_entropy(h, y, h_range=(0, 1), y_range=(0, 1), **given)
    symbols = np.zeros((3, 8, 2), int)
    symbols[2, 7, 1] = 4
    with pytest.raises(ValueError, match=r"h\[2, 7, 1\] = 4 is not one"):
        tefast.transfer_entropy(symbols, symbols[..., 0], **given)
    with pytest.raises(ValueError, match=r"y\[2, 7\] = 4 is not one"):
        tefast.transfer_entropy(symbols[..., :1], symbols[..., 1], **given)


LONG = [
    {"target_history": 9},
    {"source_history": 9},
    {"target_history": 30, "source_history": 31},
    {"target_history": 31, "source_history": 31},
    {"target_history": 33, "source_history": 40, "delay": 2},
    {"target_history": 12, "source_history": 9, "target_step": 3, "source_step": 4},
]


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("options", LONG)
@pytest.mark.parametrize("bins", [2, 200])
def test_more_states_than_64_bits_can_number(bins, options, bias):
    # 256**2000 states are no more than those that occur.
    rng = np.random.default_rng(7)
    few = rng.integers(0, 2, (4, 80, 3))
    few[:, :, 1] = np.arange(80) // 7 % 2  # so that long histories come again
    few[:, 1:, 2] = few[:, :-1, 1] ^ (rng.random((4, 79)) < 0.05)
    h, y = few[..., 1:] * (bins - 1), few[..., 1] * (bins - 1)
    result = tefast.transfer_entropy(h, y, bins, bias=bias, **options)
    for u in range(2):
        rows = [row for _, row in naive.moves(h[..., u].tolist(), y.tolist(), **options)]
        assert result[u] == pytest.approx(naive.information(rows, 2, bias), abs=1e-11)


def test_a_history_of_thousands_of_steps():
    rng = np.random.default_rng(8)
    h, y = rng.random((1, 2100, 2)), rng.random((1, 2100))
    options = {"bins": 256, "target_history": 2000}
    # Every past occurs once: nothing is open, and nothing is left for the source to tell.
    assert tefast.transfer_entropy(h, y, **options).tolist() == [0.0, 0.0]
    assert tefast.normalized_transfer_entropy(h, y, **options).tolist() == [0.0, 0.0]


@SETTINGS
@given(
    embedding=EMBEDDINGS,
    bias=st.sampled_from(BIASES),
    data=st.data(),
    most=st.sampled_from([1, 8, 40]),
)
def test_states_numbered_anew_give_the_same_bits(embedding, bias, data, most):
    sample = data.draw(samples(steps=needed(embedding)))
    h, y = sample.values("h"), sample.values("y")
    if np.isnan(expected(sample, embedding)).all():
        return
    given = {**sample.options, **named(embedding), "bias": bias or BIASES[1]}
    plain = tefast.transfer_entropy(h, y, **given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "DENSE_CELLS", 0)
        patch.setattr(states, "MOST_STATES", most)
        np.testing.assert_array_equal(tefast.transfer_entropy(h, y, **given), plain)


def test_no_more_memory_than_the_counts_of_one_block_twice():
    # 70 units of 16**4 counts are 35 MiB, in blocks of 8 MiB.
    rng = np.random.default_rng(9)
    h, y = rng.random((300, 25, 70), np.float32), rng.random((300, 25))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "BLOCK_BYTES", 2**23)
        tracemalloc.start()
        try:
            tefast.transfer_entropy(h, y, target_history=2)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 2 * 2**23 + 2**22
