"""Several sources at once, against loops over tuples of their values."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import example, samples, scores

import tefast
from tefast._counting import windows
from tefast._tables import states
from tefast._tables.entropies import BIASES

NAMES = ("target_history", "source_history", "delay", "target_step", "source_step")
EMBEDDINGS = st.tuples(*[st.integers(1, 2)] * 5).map(lambda s: dict(zip(NAMES, s, strict=True)))
FEW = [{}, {"source_history": 2}, {"target_history": 2, "source_history": 2, "source_step": 3}]


def rows_forward(unit, joint, sample, extra):
    return naive.moves(unit, joint, sample.lengths, **extra)


def rows_back(unit, joint, sample, extra):
    return naive.moves(joint, unit, sample.lengths, **extra)


def rows_beyond(unit, joint, sample, extra):
    return naive.moves(unit, joint, sample.lengths, **extra, conditions=[sample.series])


MEASURES = {
    "transfer_entropy": (rows_forward, naive.information),
    "normalized_transfer_entropy": (rows_forward, naive.normalized),
    "reverse_transfer_entropy": (rows_back, naive.information),
    "conditional_transfer_entropy": (rows_beyond, naive.information),
}


def twin(name, sample, extra):
    rows_of, measure = MEASURES[name]
    joint = naive.joined(*sample.conditions)

    def rows(unit):
        return [row for _, row in rows_of(unit, joint, sample, extra)]

    return scores(sample, rows, measure)


def call(name, sample, extra, **options):
    """The conditions z of a sample as its sources, and its source as what is given."""
    given = [sample.values("h"), sample.values("z")]
    if name == "conditional_transfer_entropy":
        given.append(sample.values("y"))
    return getattr(tefast, name)(*given, joint=True, **{**sample.options, **extra, **options})


@pytest.mark.parametrize("name", MEASURES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_equal_to_naive_for_any_series(name, data):
    extra = data.draw(EMBEDDINGS)
    sample = data.draw(samples(steps=6))
    known = twin(name, sample, extra)
    for backend in ("reference", "cpu"):
        if np.isnan(known).all():
            with pytest.raises(ValueError, match="no transition is left"):
                call(name, sample, extra, backend=backend)
        else:
            result = call(name, sample, extra, backend=backend)
            np.testing.assert_allclose(result, known, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_equal_to_naive_on_every_backend(name, dtype, backend):
    sample = example(dtype=dtype, steps=20)
    for extra in FEW:
        result = call(name, sample, extra, backend=backend)
        np.testing.assert_allclose(result, twin(name, sample, extra), rtol=0, atol=1e-11)


@pytest.mark.parametrize("extra", FEW)
def test_local_values(extra):
    sample = example()
    local = tefast.local_transfer_entropy(
        sample.values("h"), sample.values("z"), joint=True, **sample.options, **extra
    )
    joint = naive.joined(*sample.conditions)
    for u, unit in enumerate(sample.units):
        moves = naive.moves(unit, joint, sample.lengths, **extra)
        known = np.full(sample.h.shape[:2], np.nan)
        values = naive.local_information([row for _, row in moves])
        for (place, _), value in zip(moves, values, strict=True):
            known[place] = value
        first = sample.h.shape[1] - local.shape[1]
        np.testing.assert_allclose(local[..., u], known[:, first:], rtol=0, atol=1e-11)


# Sources y and z of three values are one of nine.

rng = np.random.default_rng(0)
H = rng.integers(0, 3, (6, 30, 2))
YZ = rng.integers(0, 3, (6, 30, 2))
H[:, 1:, 1] = YZ[:, :-1].sum(axis=-1) % 3
ONE = 3 * YZ[..., 0] + YZ[..., 1]


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("extra", FEW)
def test_several_sources_are_one_of_all_their_states(bias, extra):
    extra = {**extra, "bias": bias}
    joint = tefast.transfer_entropy(H, YZ, 3, joint=True, **extra)
    np.testing.assert_allclose(joint, tefast.transfer_entropy(H, ONE, 9, **extra), atol=1e-12)
    swapped = tefast.transfer_entropy(H, YZ[..., ::-1], 3, joint=True, **extra)
    np.testing.assert_allclose(swapped, joint, rtol=0, atol=1e-12)


def test_mutual_information():
    for delay in (0, 1):
        joint = tefast.mutual_information(H, YZ, 3, joint=True, delay=delay)
        one = tefast.mutual_information(H, ONE, 9, delay=delay)
        np.testing.assert_array_equal(joint, one)


@pytest.mark.parametrize("method", ["shuffle", "trials", "circular", "conditional", "chi2"])
@pytest.mark.parametrize("extra", [*FEW, {"target_history": 2}])
@pytest.mark.filterwarnings("ignore:method='chi2' with:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.* exceeds? all of:RuntimeWarning")
def test_surrogates_move_the_sources_together(method, extra):
    if method == "chi2":
        pytest.importorskip("scipy")
    given = {"method": method, "surrogates": 19, "seed": 3, **extra}
    joint = tefast.significance(H, YZ, 3, joint=True, **given)
    one = tefast.significance(H, ONE, 9, **given)
    for field in ("te", "p_value", "null_mean", "null_std", "standard_error"):
        np.testing.assert_allclose(getattr(joint, field), getattr(one, field), atol=1e-12)
    if not extra:
        assert joint.p_value[1] < min(0.06, joint.p_value[0])


def test_as_many_states_as_the_target_has_bins():
    # The fastest way is that of one source with as many bins.
    h, y = rng.random((6, 30, 2)), rng.random((6, 30, 2))
    edges = {"h": [0.25, 0.5, 0.75], "y": tefast.Binning(2, np.array([[0.5]]))}
    joint = tefast.transfer_entropy(h, y, 4, binning=edges, joint=True)
    codes = (2 * (y[..., 0] >= 0.5) + (y[..., 1] >= 0.5)).astype(int)
    known = tefast.transfer_entropy(h, codes, 4, binning={"h": edges["h"]})
    np.testing.assert_array_equal(joint, known)


def test_symbols_of_several_sources():
    labels = np.array(["a", "b", "c"])[YZ]
    given = {"joint": True, "binning": {"y": "symbols"}}
    joint = tefast.transfer_entropy(H, labels, 3, **given)
    np.testing.assert_allclose(joint, tefast.transfer_entropy(H, YZ, 3, joint=True), atol=1e-12)


def test_tables_lists_and_layouts():
    pandas = pytest.importorskip("pandas")
    h, y = rng.random((40, 3)), rng.random((40, 2))
    known = tefast.transfer_entropy(h, y, 3, joint=True)
    table = pandas.DataFrame(y, columns=["a", "b"])
    np.testing.assert_array_equal(tefast.transfer_entropy(h, table, 3, joint=True), known)
    with pytest.raises(ValueError, match=r"pass one column .* y\['a'\], or joint=True for all"):
        tefast.transfer_entropy(h, table, 3)
    turned = tefast.transfer_entropy(h.T, y, 3, joint=True, layout="UT")
    np.testing.assert_array_equal(turned, known)
    parts = [slice(0, 25), slice(25, 40)]
    several = [h[some] for some in parts], [y[some] for some in parts]
    lists = tefast.transfer_entropy(*several, 3, joint=True)
    padded = np.zeros((2, 25, 5))
    for i, some in enumerate(parts):
        padded[i, : len(h[some])] = np.hstack([h[some], y[some]])
    given = {"lengths": [25, 15], "h_range": (h.min(0), h.max(0)), "y_range": (y.min(0), y.max(0))}
    alike = tefast.transfer_entropy(padded[..., :3], padded[..., 3:], 3, joint=True, **given)
    np.testing.assert_array_equal(lists, alike)
    streamed = tefast.stream(*several, 3, joint=True, rows=1).compute()
    np.testing.assert_array_equal(streamed, lists)


def test_two_axes_of_both_are_steps_with_units_and_sources():
    # Without `joint`, two arrays of the same two axes are sequences of steps.
    h, y = rng.random((40, 2)), rng.random((40, 2))
    joint = tefast.transfer_entropy(h, y, 3, joint=True)
    known = tefast.transfer_entropy(h[np.newaxis], y[np.newaxis], 3, joint=True)
    np.testing.assert_array_equal(joint, known)


def test_names_of_dimensions():
    xarray = pytest.importorskip("xarray")
    h = xarray.DataArray(rng.random((30, 30, 2)), dims=("trial", "time", "unit"))
    y = xarray.DataArray(rng.random((30, 30, 2)), dims=("trial", "time", "source"))
    found = tefast.transfer_entropy(h, y, 3, joint=True)
    assert found.dims == ("unit",)
    known = tefast.transfer_entropy(h.values, y.values, 3, joint=True)
    np.testing.assert_array_equal(found, known)
    with pytest.raises(ValueError, match=r"y .* has the dimensions .'time', 'trial'"):
        tefast.transfer_entropy(h, y.transpose("time", "trial", "source"), 3, joint=True)


def test_one_source_in_an_axis_of_its_own_is_that_source():
    y = rng.random((6, 30))
    h = rng.random((6, 30, 2))
    plain = tefast.transfer_entropy(h, y, 4)
    np.testing.assert_array_equal(tefast.transfer_entropy(h, y[..., None], 4, joint=True), plain)


@pytest.mark.parametrize("shape", [(40,), (40, 3), (2, 40, 3)])
def test_ranks_and_tensors(shape):
    torch = pytest.importorskip("torch")
    h, y = rng.random(shape), rng.random((*(shape[:-1] if len(shape) > 1 else shape), 2))
    full = h.reshape(-1, 40, shape[-1] if h.ndim > 1 else 1)
    known = tefast.transfer_entropy(full, y.reshape(len(full), 40, 2), 3, joint=True)
    np.testing.assert_array_equal(tefast.transfer_entropy(h, y, 3, joint=True), known)
    result = tefast.transfer_entropy(torch.tensor(h), torch.tensor(y), 3, joint=True)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result, known)


def test_each_source_has_bins_of_its_own():
    h, y = rng.random((6, 30, 2)), rng.random((6, 30, 2)) * [1, 100]
    codes = np.stack([np.minimum((y[..., i] / top * 4).astype(int), 3) for i, top in
                      enumerate((1, 100))], axis=-1)  # fmt: skip
    given = {"bins": 4, "joint": True, "h_range": (0, 1)}
    known = tefast.transfer_entropy(h, codes, **given)
    ranges = (0, [1, 100])
    np.testing.assert_array_equal(tefast.transfer_entropy(h, y, **given, y_range=ranges), known)
    edges = {"y": [[0.25, 0.5, 0.75], [25, 50, 75]]}
    found = tefast.transfer_entropy(h, y, 4, joint=True, binning=edges | {"h": [0.25, 0.5, 0.75]})
    np.testing.assert_array_equal(found, known)
    quantiles = tefast.transfer_entropy(h, y, 4, joint=True, binning="quantile")
    ranks = y.reshape(-1, 2).argsort(axis=0).argsort(axis=0).reshape(y.shape)
    same = tefast.transfer_entropy(h, ranks * 1.0, 4, joint=True, binning="quantile")
    np.testing.assert_array_equal(quantiles, same)


def test_gaps_and_masks():
    h, y = rng.random((6, 30, 2)), rng.random((6, 30, 2))
    y[2, 5:9, 0], y[3, 7, 1] = np.nan, np.nan
    given = {"bins": 3, "joint": True, "h_range": (0, 1), "y_range": (0, 1)}
    known = tefast.transfer_entropy(h, y, nan_policy="omit", **given)
    mask = ~np.isnan(y).any(axis=-1)
    # A mask leaves out the target's steps as well, which a gap of a source does not.
    gaps = np.where(mask[..., None], h, np.nan)
    found = tefast.transfer_entropy(h, np.nan_to_num(y), mask=mask, **given)
    beside = tefast.transfer_entropy(gaps, y, nan_policy="omit", **given)
    np.testing.assert_array_equal(found, beside)
    assert (found != known).all()


@pytest.mark.filterwarnings("ignore:.* exceeds? all of:RuntimeWarning")
def test_more_states_than_64_bits_can_number():
    few = rng.integers(0, 2, (4, 40, 70))
    few[:, :, 1:] = few[:, :, :1] ^ (rng.random((4, 40, 69)) < 0.01)
    h = np.roll(few[..., :1], 1, axis=1)
    for extra in ({}, {"target_history": 2}, {"source_history": 2}):
        result = tefast.transfer_entropy(h, few, 2, joint=True, **extra)
        joint = naive.joined(*(few[..., i].tolist() for i in range(70)))
        rows = [row for _, row in naive.moves(h[..., 0].tolist(), joint, **extra)]
        assert result[0] == pytest.approx(naive.information(rows), abs=1e-11)
        found = tefast.significance(h, few, 2, joint=True, surrogates=9, **extra)
        assert found.te[0] == pytest.approx(naive.information(rows), abs=1e-11)


@settings(max_examples=30, deadline=None)
@given(extra=EMBEDDINGS, data=st.data(), most=st.sampled_from([1, 8, 40]))
def test_states_numbered_anew_give_the_same_bits(extra, data, most):
    sample = data.draw(samples(steps=6))
    if np.isnan(twin("transfer_entropy", sample, extra)).all():
        return
    options = {"bias": "miller_madow"}
    plain = call("transfer_entropy", sample, extra, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "DENSE_CELLS", 0)
        patch.setattr(states, "MOST_STATES", most)
        np.testing.assert_array_equal(call("transfer_entropy", sample, extra, **options), plain)


def test_exclusive_or_is_told_by_both_alone():
    x = rng.integers(0, 2, (20, 200, 2))
    h = np.zeros((20, 200, 1), int)
    h[:, 1:, 0] = x[:, :-1, 0] ^ x[:, :-1, 1]
    alone = [tefast.transfer_entropy(h, x[..., i], 2)[0] for i in range(2)]
    assert max(alone) < 0.01
    assert tefast.transfer_entropy(h, x, 2, joint=True)[0] > 0.99
    assert tefast.conditional_transfer_entropy(h, x[..., 0], x[..., 1], 2)[0] > 0.98


# Streaming


@pytest.mark.parametrize("extra", FEW)
def test_streaming_of_several_sources(extra):
    te = tefast.TransferEntropy(2, 3, sources=2, **extra)
    te.update(H[:2], YZ[:2])
    te.update_from(H[2:], YZ[2:], rows=2)
    known = tefast.transfer_entropy(H, YZ, 3, joint=True, **extra)
    np.testing.assert_allclose(te.compute(), known, rtol=0, atol=1e-13)
    other = tefast.TransferEntropy(2, 3, sources=2, **extra)
    other.load_state_dict(te.state_dict())
    np.testing.assert_array_equal(other.compute(), te.compute())


def test_streaming_refuses_what_does_not_add_up():
    te = tefast.TransferEntropy(2, 3, sources=2)
    for y, message in (
        (YZ[..., 0], r"y \(source\) must have shape \(6, 30, S\) with joint=True"),
        (YZ[..., :1], r"must hold sources=2 series, got 1 in shape \(6, 30, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            te.update(H, y)
    for other in (tefast.TransferEntropy(2, 3), tefast.TransferEntropy(2, 3, sources=1)):
        with pytest.raises(ValueError, match="needs the same settings: sources is 2 here"):
            te.merge(other)
    with pytest.raises(ValueError, match="sources must be a positive integer, got 0"):
        tefast.TransferEntropy(2, 3, sources=0)


def test_states_of_older_versions_are_taken():
    te = tefast.TransferEntropy(2, 9, target_history=2)
    te.update(H, ONE)
    state = te.state_dict()
    for name in ("target_step", "source_step", "sources"):
        del state[name]
    other = tefast.TransferEntropy(2, 9, target_history=2)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.compute(), te.compute())
    apart = tefast.TransferEntropy(2, 9, target_history=2, target_step=2)
    with pytest.raises(ValueError, match="target_step is 2 here and 1 there"):
        apart.load_state_dict(state)


# Refusals


@pytest.mark.parametrize(
    ("y", "joint", "error", "message"),
    [
        (YZ, False, ValueError,
         r"y \(source\) must have shape \(6, 30\) to go with h \(target\) of shape \(6, 30, 2\), "
         r"got \(6, 30, 2\).*; joint=True takes the last axis of y as several sources at once$"),
        (YZ[..., 0], True, ValueError, r"must have shape \(6, 30, S\) with joint=True, for S"),
        (YZ[:, :7], True, ValueError, r"with joint=True, .* got \(6, 7, 2\); h"),
        (YZ[..., None], True, ValueError, r"got \(6, 30, 2, 1\); h"),
        (YZ[..., :0], True, ValueError, r"y \(source\) has an empty axis: shape \(6, 30, 0\)"),
        (3.0, True, ValueError, r"got \(\); h"),
        (YZ, 2, TypeError, "joint must be True or False, got 2"),
        (YZ + 1, True, ValueError, r"y\[\d+, \d+, \d+\] = 3 is not one"),
    ],
)  # fmt: skip
def test_bad_input(y, joint, error, message):
    for name in ("transfer_entropy", "reverse_transfer_entropy", "significance"):
        with pytest.raises(error, match=message):
            getattr(tefast, name)(H, y, 3, joint=joint)


def test_ranges_of_the_wrong_number():
    h, y = rng.random((6, 30, 3)), rng.random((6, 30, 2))
    with pytest.raises(ValueError, match=r"y_range takes scalars or one value a source, shape \(2"):
        tefast.transfer_entropy(h, y, 3, joint=True, y_range=([0, 0, 0], 1))
