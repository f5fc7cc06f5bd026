"""Other libraries: xarray, scikit-learn, torchmetrics, JAX."""

import copy
import pickle
import sys

import numpy as np
import pytest

import tefast
from tefast import interop

rng = np.random.default_rng(0)
Y = rng.random((20, 15))
H = rng.random((20, 15, 6)).astype(np.float32)
H[:, 1:, 4] = 0.7 * Y[:, :-1] + 0.3 * H[:, 1:, 4]
LIMITS = {"h_range": (0, 1), "y_range": (0, 1)}


@pytest.fixture
def labelled():
    xarray = pytest.importorskip("xarray")
    coords = {
        "trial": np.arange(20),
        "time": 0.1 * np.arange(15),
        "neuron": list("abcdef"),
        "depth": ("neuron", np.arange(6.0)),
        "session": 3,
    }
    h = xarray.DataArray(H, dims=("trial", "time", "neuron"), coords=coords, attrs={"units": "mV"})
    return h, xarray.DataArray(Y, dims=("trial", "time"))


def test_units_keep_their_coordinates(labelled, backend):
    h, y = labelled
    te = tefast.transfer_entropy(h, y, 4, backend=backend)
    assert te.dims == ("neuron",)
    assert set(te.coords) == {"neuron", "depth", "session"}
    assert te.sel(neuron="e") == te.max()
    assert te.attrs == {}
    np.testing.assert_array_equal(te, tefast.transfer_entropy(H, Y, 4, backend=backend))
    assert isinstance(tefast.transfer_entropy(H, y, 4), np.ndarray)


def test_every_measure_of_labelled_data(labelled):
    h, y = labelled
    found = tefast.significance(h, y, 4, surrogates=199)
    assert found.q_value.dims == ("neuron",)
    np.testing.assert_array_equal(tefast.entropy(h).depth, np.arange(6.0))
    local = tefast.local_transfer_entropy(h, y, 4, delay=2)
    assert local.dims == h.dims
    # A value belongs to the step that its transition leads to.
    np.testing.assert_array_equal(local.time, h.time[2:])
    one = tefast.transfer_entropy(h[0, :, 4], y[0], 4)
    assert (one.dims, one.shape) == ((), ())
    assert (one.neuron, one.session) == ("e", 3)  # what is known of the unit stays
    assert f"{one:.3f}" == f"{tefast.transfer_entropy(H[0, :, 4], Y[0], 4):.3f}"
    assert tefast.significance(h[0, :, 4], y[0], 4, surrogates=39).p_value.dims == ()
    steps = tefast.local_transfer_entropy(h[0, :, 0], y[0], 4)
    assert steps.dims == ("time",)
    bare = tefast.entropy(h.drop_vars(["neuron", "depth"]))
    assert bare.dims == ("neuron",)


def test_streams_of_labelled_data(labelled):
    h, y = labelled
    te = tefast.stream(h, y, 4, rows=7)
    copied = pickle.loads(pickle.dumps(te)).compute()
    assert list(copied.neuron.values) == list("abcdef")
    np.testing.assert_array_equal(copied, tefast.transfer_entropy(H, Y, 4))
    one = tefast.stream(h[0, :, 4], y[0], 4).compute()  # it counts units, be it one
    assert (one.dims, one.shape) == (("unit",), (1,))


def test_dimensions_in_another_order_are_noticed(labelled):
    h, y = labelled
    square = h[:15]
    with pytest.raises(ValueError, match=r"y \(source\) has the dimensions \('time', 'trial'\)"):
        tefast.transfer_entropy(square, y[:15].T)
    # Other names say nothing: axes are taken by position.
    tefast.transfer_entropy(square, y[:15].rename(trial="a", time="b"))
    # Nor do sizes, where there are as many channels as steps; names do.
    turned = h[:, :6].transpose("trial", "neuron", "time").rename(time="bin")
    message = "has the dimensions.* transpose one of them, or pass layout='NUT'"
    with pytest.raises(ValueError, match=message):
        tefast.transfer_entropy(turned, y[:, :6].rename(time="bin"))


def test_datasets_are_no_arrays(labelled):
    h, y = labelled
    with pytest.raises(TypeError, match="is a Dataset; pass one of its variables: 'rate'"):
        tefast.transfer_entropy(h.to_dataset(name="rate"), y)


def test_layouts_of_labelled_data(labelled):
    h, y = labelled
    turned = h.transpose("neuron", "time", "trial")
    local = tefast.local_transfer_entropy(turned, y.T, 4, delay=2, layout="UTN")
    assert local.dims == turned.dims
    np.testing.assert_array_equal(local.time, h.time[2:])
    expected = tefast.local_transfer_entropy(h, y, 4, delay=2)
    np.testing.assert_array_equal(local.transpose(*h.dims), expected)
    patterns = tefast.ordinal_patterns(turned)  # along the dimension that is called time
    assert patterns.sizes == {"neuron": 6, "time": 13, "trial": 20}


def test_select_k_best():
    selection = pytest.importorskip("sklearn.feature_selection")
    score_func = interop.score_func(bins=4, steps=15, surrogates=140)
    best = selection.SelectKBest(score_func, k=2).fit(H.reshape(300, 6), Y.reshape(300))
    found = tefast.significance(H, Y, 4, surrogates=140)
    np.testing.assert_array_equal(best.scores_, found.te)
    np.testing.assert_array_equal(best.pvalues_, found.p_value)
    assert best.get_support()[4]
    rate = selection.SelectFdr(score_func, alpha=0.2).fit(H.reshape(300, 6), Y.reshape(300))
    np.testing.assert_array_equal(rate.get_support(), found.q_value <= 0.2)


def test_score_functions():
    scores = interop.score_func(4, method=None, bias="miller_madow")
    for one in (scores, copy.deepcopy(scores), pickle.loads(pickle.dumps(scores))):
        expected = tefast.transfer_entropy(H[0], Y[0], 4, bias="miller_madow")
        np.testing.assert_array_equal(one(H[0], Y[0]), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interop.score_func(method="f"), "unknown method 'f'; known are 'auto', 'trials'"),
        (lambda: interop.score_func(steps=0), "steps must be a positive integer"),
        (lambda: interop.score_func()(H, Y), r"X \(target\) must have shape \(samples, feat"),
        (lambda: interop.score_func()(H[0], Y), r"y \(source\) must have shape \(15,\)"),
        (lambda: interop.score_func(steps=4)(H[0], Y[0]), "steps=4 do not divide the 15 samples"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture
def torchmetrics():
    return pytest.importorskip("torchmetrics")


def metric(**options):
    return interop.metric(tefast.TransferEntropy(6, **{"bins": 4, **LIMITS, **options}))


def test_a_metric_counts_like_the_rest(torchmetrics):
    import torch

    te = metric()
    first = te(torch.from_numpy(H[:5]), torch.from_numpy(Y[:5]))  # of this batch alone
    np.testing.assert_array_equal(first, tefast.transfer_entropy(H[:5], Y[:5], 4, **LIMITS))
    te.update(H[5:], Y[5:])
    expected = tefast.transfer_entropy(H, Y, 4, **LIMITS)
    for one in (te, copy.deepcopy(te), pickle.loads(pickle.dumps(te))):
        result = one.compute()
        assert isinstance(result, torch.Tensor)
        np.testing.assert_array_equal(result, expected)
    te.reset()
    te.update(H[:5], Y[:5])
    np.testing.assert_array_equal(te.compute(), first)


def test_metrics_are_merged_and_kept(torchmetrics):
    parts = [metric(), metric()]
    parts[0].update(H[:5], Y[:5])
    parts[1].update(H[5:], Y[5:], lengths=None)
    parts[0].merge_state(parts[1])
    expected = tefast.transfer_entropy(H, Y, 4, **LIMITS)
    np.testing.assert_array_equal(parts[0].compute(), expected)
    parts[0].persistent(True)
    loaded = metric()
    loaded.load_state_dict(parts[0].state_dict())
    np.testing.assert_array_equal(loaded.counts, parts[0].counts)


def test_a_collection(torchmetrics):
    entropy = interop.metric(tefast.Entropy(6, 4, h_range=(0, 1)))
    both = torchmetrics.MetricCollection({"te": metric(), "later": metric(delay=2), "h": entropy})
    for n in range(0, 20, 5):
        both.update(h=H[n : n + 5], y=Y[n : n + 5])
    found = both.compute()
    np.testing.assert_array_equal(found["te"], tefast.transfer_entropy(H, Y, 4, **LIMITS))
    expected = tefast.transfer_entropy(H, Y, 4, delay=2, **LIMITS)
    np.testing.assert_array_equal(found["later"], expected)
    np.testing.assert_array_equal(found["h"], tefast.entropy(H, 4, h_range=(0, 1)))
    both.reset()
    assert both["te"].counts.sum() == 0


def test_a_metric_that_raises_counts_nothing(torchmetrics):
    te = interop.metric(tefast.TransferEntropy(6, 2, binning=[0.5]))
    te.update(H, Y)
    before = te.counts.clone()
    with pytest.raises(ValueError, match="h held floats in 1 batches and integer symbols in 1"):
        te.update((H > 0.5).astype(int), Y)
    with pytest.raises(ValueError, match="must hold no NaN"):
        te.update(np.where(H[0, 0, 0] == H, np.nan, H), Y)
    assert (te.counts == before).all()
    np.testing.assert_array_equal(te.compute(), tefast.transfer_entropy(H, Y, 2, binning=[0.5]))


def test_what_no_metric_is_made_of(monkeypatch):
    with pytest.raises(TypeError, match="takes a TransferEntropy or an Entropy, got int"):
        interop.metric(3)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.delitem(sys.modules, "tefast.metric", raising=False)
    monkeypatch.delattr(tefast, "metric", raising=False)
    with pytest.raises(ImportError, match="pip install torchmetrics"):
        metric()


def test_jax_on_the_cpu():
    jax = pytest.importorskip("jax")
    h, y = jax.numpy.asarray(H), jax.numpy.asarray(Y, jax.numpy.float32)
    te = tefast.transfer_entropy(h, y, 4)
    np.testing.assert_array_equal(te, tefast.transfer_entropy(H, Y.astype(np.float32), 4))
    back = jax.numpy.from_dlpack(te)
    np.testing.assert_allclose(back, te, rtol=1e-6)  # JAX rounds to float32 unless told not to


class Exchanged:
    """An array that shows and takes nothing but DLPack, as those of other libraries do."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    @classmethod
    def from_dlpack(cls, x):
        return cls(np.from_dlpack(x))


def test_dlpack_in_and_out():
    te = tefast.transfer_entropy(Exchanged(H), Exchanged(Y), 4)
    back = Exchanged.from_dlpack(te)
    np.testing.assert_array_equal(back.array, tefast.transfer_entropy(H, Y, 4))
    assert np.shares_memory(back.array, te)
