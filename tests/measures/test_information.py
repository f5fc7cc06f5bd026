"""Conditional, local, normalised and reverse transfer entropy, and measures of one series."""

import math
import tracemalloc

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Sample, example, samples, scores

import tefast
from tefast._counting import windows
from tefast._tables import counts
from tefast._tables.entropies import BIASES

SETTINGS = settings(max_examples=60, deadline=None)

NAMES = ("target_history", "source_history", "delay", "target_step", "source_step")
EMBEDDINGS = st.builds(
    lambda *steps: dict(zip(NAMES, steps, strict=True)),
    *(st.integers(1, most) for most in (3, 3, 4, 3, 3)),
)
FEW = [
    {},
    {"target_history": 2},
    {"source_history": 2, "delay": 2},
    {"target_history": 2, "target_step": 3, "source_history": 3, "source_step": 2},
    dict.fromkeys(NAMES, 3),
]

# Each measure: what it is given beside h, what else it takes, and its twin. `extra` holds the
# arguments that are its own, which the twin takes by the same names.


def conditional_twin(sample, extra, bias=None):
    def rows(unit):
        moves = naive.moves(unit, sample.series, sample.lengths, **extra, conditions=conditions)
        return [row for _, row in moves]

    conditions = sample.conditions
    return scores(sample, rows, lambda found: naive.information(found, 2, bias))


def normalized_twin(sample, extra, bias=None):
    def rows(unit):
        return [row for _, row in naive.moves(unit, sample.series, sample.lengths, **extra)]

    return scores(sample, rows, naive.normalized)


def reverse_twin(sample, extra, bias=None):
    def rows(unit):
        return [row for _, row in naive.moves(sample.series, unit, sample.lengths, **extra)]

    return scores(sample, rows, lambda found: naive.information(found, 2, bias))


def mutual_twin(sample, extra, bias=None):
    def rows(unit):
        return naive.pairs(unit, sample.series, sample.lengths, **extra)

    return scores(sample, rows, lambda found: naive.information(found, 2, bias))


def active_twin(sample, extra, bias=None):
    def rows(unit):
        return naive.own_moves(unit, sample.lengths, **extra)

    return scores(sample, rows, lambda found: naive.information(found, 2, bias))


def rate_twin(sample, extra, bias=None):
    def rows(unit):
        return naive.own_moves(unit, sample.lengths, **extra)

    return scores(sample, rows, lambda found: naive.open_information(found, 2, bias))


DELAYS = [{"delay": i} for i in (0, 1, 2)]
HISTORIES = [{"history": 1}, {"history": 2}, {"history": 3}, {"history": 2, "step": 3}]
MEASURES = {
    "conditional_transfer_entropy": (("h", "y", "z"), conditional_twin, EMBEDDINGS, FEW),
    "normalized_transfer_entropy": (("h", "y"), normalized_twin, EMBEDDINGS, FEW),
    "reverse_transfer_entropy": (("h", "y"), reverse_twin, EMBEDDINGS, FEW),
    "mutual_information": (("h", "y"), mutual_twin, st.sampled_from(DELAYS), DELAYS),
    "active_information": (("h",), active_twin, st.sampled_from(HISTORIES), HISTORIES),
    "entropy_rate": (("h",), rate_twin, st.sampled_from(HISTORIES), HISTORIES),
}
CORRECTED = [name for name in MEASURES if name != "normalized_transfer_entropy"]

by_name = pytest.mark.parametrize("name", MEASURES)


def needed(extra):
    """Steps that a window takes at most."""
    steps = {"history": 1, "step": 1, **dict.fromkeys(NAMES, 1), **extra}
    past, before, delay, past_step, source_step = (steps[name] for name in NAMES)
    reach = (past - 1) * past_step, (before - 1) * source_step + delay - 1
    return max(*reach, (steps["history"] - 1) * steps["step"]) + 2


def call(name, sample, extra, **options):
    taken = [sample.values(series) for series in MEASURES[name][0]]
    return getattr(tefast, name)(*taken, **{**sample.options, **extra, **options})


def check(name, sample, extra, bias=None, **options):
    """A measure against its twin, or its complaint where the twin finds nothing to count."""
    twin = MEASURES[name][1](sample, extra, bias)
    if bias is not None:
        options["bias"] = bias
    if np.isnan(twin).all():
        with pytest.raises(ValueError, match="no transition is left"):
            call(name, sample, extra, **options)
    else:
        result = call(name, sample, extra, **options)
        np.testing.assert_allclose(result, twin, rtol=0, atol=1e-11)


@by_name
@SETTINGS
@given(data=st.data())
def test_equal_to_naive_for_any_series(name, data):
    extra = data.draw(MEASURES[name][2])
    bias = data.draw(st.sampled_from(BIASES)) if name in CORRECTED else None
    sample = data.draw(samples(steps=needed(extra)))
    for backend in ("reference", "cpu"):
        check(name, sample, extra, bias, backend=backend)


@by_name
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_equal_to_naive_on_every_backend(name, dtype, backend):
    sample = example(dtype=dtype, steps=20)
    for extra in MEASURES[name][3]:
        for bias in BIASES if name in CORRECTED else (None,):
            check(name, sample, extra, bias, backend=backend)


@by_name
@SETTINGS
@given(data=st.data())
def test_dense_and_sparse_tables_give_the_same_bits(name, data):
    extra = data.draw(MEASURES[name][2])
    sample = data.draw(samples(steps=needed(extra)))
    options = {"bias": data.draw(st.sampled_from(BIASES))} if name in CORRECTED else {}
    if np.isnan(MEASURES[name][1](sample, extra)).all():
        return
    dense = call(name, sample, extra, **options)
    for cells, block in ((0, 2**26), (0, 1), (2**22, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(windows, "DENSE_CELLS", cells)
            patch.setattr(counts, "BLOCK_BYTES", block)
            np.testing.assert_array_equal(call(name, sample, extra, **options), dense)


@by_name
def test_threads_and_blocks_of_units_do_not_matter(name, monkeypatch):
    sample = example(units=7)
    for extra in MEASURES[name][3]:
        whole = call(name, sample, extra, backend="cpu", threads=1)
        for block in (2**12, 1):
            with monkeypatch.context() as patch:
                patch.setattr(counts, "BLOCK_BYTES", block)
                for threads in (2, 7, None):
                    result = call(name, sample, extra, backend="cpu", threads=threads)
                    np.testing.assert_array_equal(result, whole)


@by_name
@pytest.mark.parametrize("base", [math.e, 10])
def test_units_of_another_base(name, base):
    sample, extra = example(), MEASURES[name][3][1]
    if name == "normalized_transfer_entropy":
        with pytest.raises(TypeError, match="base"):
            call(name, sample, extra, base=base)
        return
    expected = call(name, sample, extra) * math.log(2) / math.log(base)
    np.testing.assert_allclose(call(name, sample, extra, base=base), expected, rtol=1e-13)


@by_name
def test_a_constant_unit_tells_nothing_and_a_missing_one_is_nan(name):
    sample = example()
    sample.h[..., 0], sample.h[..., 1] = 1, -1
    result = call(name, sample, MEASURES[name][3][1])
    assert result[0] == 0.0
    assert np.isnan(result[1])
    assert result[2] > 0


@by_name
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_ranks_and_tensors(name, rank):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    full = {"h": rng.random((2, 30, 3)), "y": rng.random((2, 30)), "z": rng.random((2, 30, 2))}
    if rank < 3:
        full = {series: values[:1] for series, values in full.items()}
    if rank == 1:
        full["h"], full["z"] = full["h"][..., :1], full["z"][..., :1]
    given = {series: values if rank == 3 else values[0] for series, values in full.items()}
    if rank == 1:
        given["h"], given["z"] = given["h"][:, 0], given["z"][:, 0]
    taken, measure = MEASURES[name][0], getattr(tefast, name)
    known = measure(*(full[series] for series in taken), bins=3)
    assert known.shape == full["h"].shape[2:]
    np.testing.assert_array_equal(measure(*(given[series] for series in taken), bins=3), known)
    result = measure(*(torch.tensor(given[series]) for series in taken), bins=3)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), known)


# Local transfer entropy


def local_twin(sample, extra):
    """Of all transitions; NaN where one was left out."""
    sequences, steps, units = sample.h.shape
    result = np.full((sequences, steps, units), np.nan)
    for u, unit in enumerate(sample.units):
        moves = naive.moves(unit, sample.series, sample.lengths, **extra)
        values = naive.local_information([row for _, row in moves])
        for ((n, t), _), value in zip(moves, values, strict=True):
            result[n, t, u] = value
    return result[:, needed(extra) - 1 :]


@SETTINGS
@given(extra=EMBEDDINGS, data=st.data(), cells=st.sampled_from([0, 2**22]))
def test_local_values_equal_naive_and_their_mean_is_the_whole(extra, data, cells):
    sample = data.draw(samples(steps=needed(extra)))
    h, y, given = sample.values("h"), sample.values("y"), {**sample.options, **extra}
    twin = local_twin(sample, extra)
    for backend in ("reference", "cpu"):
        if np.isnan(twin).all():
            with pytest.raises(ValueError, match="no transition is left"):
                tefast.local_transfer_entropy(h, y, backend=backend, **given)
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(windows, "DENSE_CELLS", cells)
            local = tefast.local_transfer_entropy(h, y, backend=backend, **given)
        np.testing.assert_allclose(local, twin, rtol=0, atol=1e-11)
        whole = tefast.transfer_entropy(h, y, backend=backend, **given)
        for u in np.flatnonzero(~np.isnan(whole)):
            assert np.nanmean(local[..., u]) == pytest.approx(whole[u], abs=1e-12)
        assert np.isnan(local[..., np.isnan(whole)]).all()


@pytest.mark.parametrize("extra", FEW)
def test_local_values_on_every_backend(extra, backend):
    sample = example(dtype="float64")
    h, y, given = sample.values("h"), sample.values("y"), {**sample.options, **extra}
    local = tefast.local_transfer_entropy(h, y, backend=backend, **given)
    np.testing.assert_allclose(local, local_twin(sample, extra), rtol=0, atol=1e-11)
    one, many = (
        tefast.local_transfer_entropy(h, y, backend=backend, threads=threads, **given)
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("shape", [(40,), (40, 3), (2, 40, 3), (1, 40, 1)])
def test_local_values_have_the_shape_of_the_target_less_its_first_steps(shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    h, y = rng.random(shape), rng.random(shape[:-1] if len(shape) > 1 else shape)
    full, full_y = h.reshape(-1, 40, shape[-1] if h.ndim > 1 else 1), y.reshape(-1, 40)
    given = {"bins": 3, "target_history": 2, "source_history": 2, "delay": 3}
    local = tefast.local_transfer_entropy(h, y, **given)
    assert local.shape == (*shape[:-2], 36, shape[-1]) if len(shape) > 1 else (36,)
    known = tefast.local_transfer_entropy(full, full_y, **given)
    np.testing.assert_array_equal(local.ravel(), known.ravel())
    tensor = tefast.local_transfer_entropy(torch.tensor(h), torch.tensor(y), **given)
    np.testing.assert_array_equal(tensor.numpy(), local)


def test_a_source_that_misleads_is_negative_there():
    y = np.array([0, 1] * 20 + [0, 0])
    h = np.concatenate([[0], y[:-1]])
    h[30] = 1 - h[30]
    local = tefast.local_transfer_entropy(h, y, 2, base=2)
    assert local[29] < 0
    assert np.nanmean(local) > 0


# What measures have to do with each other


@SETTINGS
@given(seed=st.integers(0, 2**32), past=st.integers(1, 3))
def test_what_two_sources_tell_is_what_one_tells_and_the_other_beyond_it(seed, past):
    rng = np.random.default_rng(seed)
    h, y, z = rng.integers(0, 3, (3, 25, 2)), *rng.integers(0, 3, (2, 3, 25))
    given = {"bins": 9, "target_history": past}
    both = tefast.transfer_entropy(h, 3 * y + z, **given)
    first = tefast.transfer_entropy(h, z, **given)
    beyond = tefast.conditional_transfer_entropy(h, y, z, **given)
    np.testing.assert_allclose(both, first + beyond, rtol=0, atol=1e-12)


@SETTINGS
@given(seed=st.integers(0, 2**32), past=st.integers(1, 3))
def test_several_conditions_are_one_of_all_their_states(seed, past):
    rng = np.random.default_rng(seed)
    h, y, z = rng.integers(0, 3, (3, 25, 2)), *rng.integers(0, 3, (2, 3, 25))
    w = rng.integers(0, 3, (3, 25))
    given = {"bins": 9, "target_history": past, "bias": "miller_madow"}
    several = tefast.conditional_transfer_entropy(h, y, np.stack([z, w], axis=-1), **given)
    one = tefast.conditional_transfer_entropy(h, y, 3 * z + w, **given)
    np.testing.assert_array_equal(several, one)
    swapped = tefast.conditional_transfer_entropy(h, y, np.stack([w, z], axis=-1), **given)
    np.testing.assert_array_equal(swapped, one)


@SETTINGS
@given(seed=st.integers(0, 2**32), extra=EMBEDDINGS, bias=st.sampled_from(BIASES))
def test_a_condition_that_says_nothing_changes_nothing(seed, extra, bias):
    rng = np.random.default_rng(seed)
    h, y = rng.integers(0, 3, (3, 25, 2)), rng.integers(0, 3, (3, 25))
    given = {"bins": 3, "bias": bias, **extra}
    plain = tefast.transfer_entropy(h, y, **given)
    conditional = tefast.conditional_transfer_entropy(h, y, np.ones_like(y), **given)
    np.testing.assert_allclose(conditional, plain, rtol=0, atol=1e-12)
    itself = tefast.conditional_transfer_entropy(h, y, y, 3, target_history=2)
    np.testing.assert_array_equal(itself, 0.0)


@SETTINGS
@given(extra=EMBEDDINGS, bias=st.sampled_from(BIASES), data=st.data())
def test_reverse_is_forward_with_the_roles_exchanged(extra, bias, data):
    sample = data.draw(samples(steps=needed(extra)))
    given = {**sample.options, **extra, "bias": bias}
    h, y = sample.values("h"), sample.values("y")
    if np.isnan(reverse_twin(sample, extra)).all():
        return
    back = tefast.reverse_transfer_entropy(h, y, **given)
    for u in np.flatnonzero(~np.isnan(back)):
        there = tefast.transfer_entropy(y[..., np.newaxis], h[..., u], **given)
        np.testing.assert_allclose(there, back[u : u + 1], rtol=0, atol=1e-12)


@SETTINGS
@given(seed=st.integers(0, 2**32), history=st.integers(1, 4), bias=st.sampled_from(BIASES))
def test_what_is_stored_and_what_is_open_make_up_the_entropy(seed, history, bias):
    rng = np.random.default_rng(seed)
    h = rng.integers(0, 3, (3, 25, 2))
    given = {"bins": 3, "history": history, "bias": bias}
    total = tefast.active_information(h, **given) + tefast.entropy_rate(h, **given)
    following = h[:, history:]
    expected = [
        naive.corrected_entropy(following[..., u].ravel().tolist(), bias) / math.log(2)
        if bias
        else naive.entropy(following[..., u].ravel().tolist())
        for u in range(2)
    ]
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-12)


@SETTINGS
@given(extra=EMBEDDINGS, data=st.data())
def test_normalised_is_between_none_and_all(extra, data):
    sample = data.draw(samples(steps=needed(extra)))
    if np.isnan(normalized_twin(sample, extra)).all():
        return
    part = call("normalized_transfer_entropy", sample, extra)
    assert ((part >= 0) & (part <= 1) | np.isnan(part)).all()


def test_normalised_is_exactly_1_where_the_source_tells_all():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 5, (4, 50))
    h = np.concatenate([np.zeros((4, 1), int), y[:, :-1]], axis=1)
    assert tefast.normalized_transfer_entropy(h[..., np.newaxis], y, 5).tolist() == [1.0]


def test_mutual_information_with_oneself_is_entropy(backend):
    h = np.random.default_rng(5).integers(0, 4, (3, 30, 1))
    own = tefast.mutual_information(h, h[..., 0], 4, backend=backend)
    np.testing.assert_allclose(own, tefast.entropy(h, 4, backend=backend), rtol=0, atol=1e-13)


def test_a_common_cause_is_conditioned_away():
    # z drives both, y one step sooner, so that y seems to drive h.
    rng = np.random.default_rng(6)
    z = rng.integers(0, 2, (20, 501))
    y, h = np.zeros((2, 20, 501), int)
    noise = rng.random((2, 20, 500)) < 0.1
    h[:, 2:] = z[:, :-2] ^ noise[0, :, 1:]
    y[:, 1:] = z[:, :-1] ^ noise[1]
    before = np.concatenate([np.zeros((20, 1), int), z[:, :-1]], axis=1)
    apparent = tefast.transfer_entropy(h[..., np.newaxis], y, 2)
    beyond = tefast.conditional_transfer_entropy(h[..., np.newaxis], y, before, 2)
    assert apparent > 0.2
    # Nothing is left but the bias: 4 degrees of freedom, 6 standard deviations above their mean.
    assert beyond < (4 + 6 * math.sqrt(8)) / (2 * 20 * 500) / math.log(2)


# Ranges, refusals


def test_ranges_of_conditions():
    rng = np.random.default_rng(7)
    h, y, z = rng.random((3, 40, 2)), rng.random((3, 40)), rng.random((3, 40, 2))
    low, high = np.array([0.0, 0.25]), np.array([0.5, 0.75])
    result = tefast.conditional_transfer_entropy(h, y, z, 3, z_range=(low, high))
    inner = low + (high - low) * np.array([[1 / 3], [2 / 3]])
    coded = (z[..., np.newaxis] >= inner.T).sum(axis=-1)
    np.testing.assert_array_equal(result, tefast.conditional_transfer_entropy(h, y, coded, 3))
    for unit in range(2):
        alone = tefast.conditional_transfer_entropy(
            h, y, z[..., unit], 3, z_range=(low[unit], high[unit])
        )
        known = tefast.conditional_transfer_entropy(h, y, coded[..., unit], 3)
        np.testing.assert_array_equal(alone, known)


H, Y = np.zeros((3, 8, 2)), np.zeros((3, 8))
Z = np.zeros((3, 8, 2))
BROKEN = Z.copy()
BROKEN[1, 2, 1] = np.nan
TRANSFER = ["conditional_transfer_entropy", "normalized_transfer_entropy",
            "reverse_transfer_entropy", "local_transfer_entropy"]  # fmt: skip
OWN = ["active_information", "entropy_rate"]
ERRORS = [
    *((name, {option: given}, error, message)
      for name in TRANSFER
      for option, given, error, message in [
          ("target_history", 0, ValueError, "target_history must be a positive integer, got 0"),
          ("source_history", 1.5, TypeError, "source_history must be a positive integer, got 1.5"),
          ("delay", -1, ValueError, "delay must be an integer, 0 or more, got -1"),
          ("target_history", 8, ValueError, "target_history=8, .* at least 9 steps, .* has 8"),
          ("delay", 8, ValueError, "delay=8 takes at least 9 steps, .* has 8"),
          ("lengths", [1, 1, 0], ValueError, "no transition is left"),
      ]),
    *((name, {"history": given}, error, message)
      for name in OWN
      for given, error, message in [
          (0, ValueError, "history must be a positive integer, got 0"),
          ("1", TypeError, "history must be a positive integer, got '1'"),
          (8, ValueError, r"^a transition with history=8 takes at least 9 steps, .* has 8"),
          (2**80, ValueError, "takes at least 1208925819614629174706177 steps"),
      ]),
    *((name, {"history": 3, "step": 4}, ValueError,
       "^a transition with history=3 and step=4 takes at least 10 steps, .* has") for name in OWN),
    *((name, {"step": 0}, ValueError, "step must be a positive integer, got 0") for name in OWN),
    *((name, {"bias": "chao_shen"}, ValueError, "unknown bias 'chao_shen'; known are None, 'mill")
      for name in ["conditional_transfer_entropy", "reverse_transfer_entropy",
                   "mutual_information", *OWN]),
    ("mutual_information", {"delay": -1}, ValueError, "an integer, 0 or more, got -1"),
    ("mutual_information", {"delay": True}, TypeError, "an integer, 0 or more, got True"),
    ("mutual_information", {"delay": "1"}, TypeError, "delay must be an integer, .* got '1'"),
    ("mutual_information", {"delay": None}, TypeError, "delay must be an integer, .* got None"),
    ("mutual_information", {"delay": 0.0}, TypeError, "delay must be an integer, .* got 0.0"),
    ("mutual_information", {"delay": 8}, ValueError, "delay=8 takes at least 9 steps, .* has 8"),
    ("mutual_information", {"lengths": [1, 1, 0], "delay": 1}, ValueError, "is left to count"),
    ("conditional_transfer_entropy", {"z": Z[:, :7]}, ValueError,
     r"z \(condition\) must have shape \(3, 8\), or \(3, 8, Z\) .* got \(3, 7, 2\)"),
    ("conditional_transfer_entropy", {"z": Z[..., None]}, ValueError, r"got \(3, 8, 2, 1\)"),
    ("conditional_transfer_entropy", {"z": 1.0}, ValueError, r"got \(\)"),
    ("conditional_transfer_entropy", {"z": Z[..., :0]}, ValueError, r"empty axis.*\(3, 8, 0\)"),
    ("conditional_transfer_entropy", {"z": Z.astype(str)}, TypeError, r"z \(condition\) holds l"),
    ("conditional_transfer_entropy", {"z": BROKEN}, ValueError,
     r"z \(condition\) must hold no NaN, got 1, the first at z\[1, 2, 1\]"),
    ("conditional_transfer_entropy", {"z": BROKEN[..., 1]}, ValueError, r"first at z\[1, 2\]"),
    ("conditional_transfer_entropy", {"z_range": (1, 0)}, ValueError, "z_range must be finite"),
    ("conditional_transfer_entropy", {"z_range": ([0, 0, 0], 1)}, ValueError,
     r"one value a condition, shape \(2,\), got shape \(3,\)"),
    ("conditional_transfer_entropy", {"z_range": ([0, 2], 1)}, ValueError,
     r"low < high, got \(2.0, 1.0\) for condition 1"),
    ("conditional_transfer_entropy", {"z": Z.astype(int), "z_range": (0, 1)}, ValueError,
     r"z_range is given, but z \(condition\) holds integers"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "error", "message"), ERRORS)
def test_bad_input(name, options, error, message):
    given = {"h": H, "y": Y, "z": Z}
    taken = MEASURES.get(name, (("h", "y"),))[0]
    own = {series: options.get(series, given[series]) for series in taken}
    rest = {option: value for option, value in options.items() if option not in given}
    with pytest.raises(error, match=message):
        getattr(tefast, name)(**own, bins=4, **rest)


LONG = [
    ("conditional_transfer_entropy", {"source_history": 9}),
    ("conditional_transfer_entropy", {"target_history": 30, "source_history": 8}),
    ("normalized_transfer_entropy", {"source_history": 9, "target_history": 9}),
    ("local_transfer_entropy", {"source_history": 9}),
    ("local_transfer_entropy", {"source_history": 9, "target_history": 9, "target_step": 2}),
    ("reverse_transfer_entropy", {"source_history": 9}),
    ("reverse_transfer_entropy", {"target_history": 20, "source_history": 20}),
    ("active_information", {"history": 9}),
    ("active_information", {"history": 9, "step": 3}),
    ("entropy_rate", {"history": 30}),
]


@pytest.mark.parametrize(("name", "extra"), LONG)
def test_more_states_than_64_bits_can_number(name, extra):
    rng = np.random.default_rng(8)
    codes = rng.integers(0, 2, (4, 80, 6))
    codes[:, :, :2] = np.arange(160).reshape(80, 2) // 7 % 2  # so that long histories come again
    codes[:, 1:, 2] = codes[:, :-1, 1] ^ (rng.random((4, 79)) < 0.05)
    sample = Sample(codes[..., 1:3], codes[..., 0], codes[..., 2:5:2], 200, None, "int16")
    if name == "local_transfer_entropy":
        h, y = sample.values("h"), sample.values("y")
        local = tefast.local_transfer_entropy(h, y, **sample.options, **extra)
        np.testing.assert_allclose(local, local_twin(sample, extra), rtol=0, atol=1e-11)
    else:
        check(name, sample, extra, "miller_madow" if name in CORRECTED else None)


def test_more_conditions_than_64_bits_can_number():
    rng = np.random.default_rng(9)
    sample = Sample(*(rng.integers(0, 2, (2, 40, n)) for n in (2, 1, 300)), 200, None, "int16")
    sample.y = sample.y[..., 0]
    check("conditional_transfer_entropy", sample, {})
    few = Sample(sample.h, sample.y, sample.z[..., :9] // 2 + sample.z[..., :1], 200, None, "int16")
    check("conditional_transfer_entropy", few, {})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("conditional_transfer_entropy", {"target_history": 3}),
        ("reverse_transfer_entropy", {"target_history": 5}),
        ("reverse_transfer_entropy", {"source_history": 5}),
        ("active_information", {"history": 7}),
        ("local_transfer_entropy", {"source_history": 5}),
        ("normalized_transfer_entropy", {"target_history": 5}),
    ],
)
def test_a_hundred_bins_and_long_histories_in_little_memory(name, options):
    rng = np.random.default_rng(10)
    given = {"h": rng.integers(0, 3, (2, 300, 20)), "y": rng.integers(0, 3, (2, 300))}
    given["z"] = rng.integers(0, 3, (2, 300, 2))
    taken = [given[series] for series in MEASURES.get(name, (("h", "y"),))[0]]
    tracemalloc.start()
    try:
        result = getattr(tefast, name)(*taken, bins=100, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**22
    narrow = getattr(tefast, name)(*taken, bins=3, **options)
    np.testing.assert_array_equal(result, narrow)
