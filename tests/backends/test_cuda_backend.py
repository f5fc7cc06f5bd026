"""The backend "cuda" behind the public functions: on an emulated device, and on a GPU.

What every backend must do is in the other files; here is what only a device can get wrong.
"""

import copy
import pickle
import sys

import emulated
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast import _backends
from tefast._backends import operators
from tefast._inputs import values
from tefast._tables import quantiles

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
H = rng.uniform(-1, 1, (12, 9, 6)).astype(np.float32)
Y = rng.uniform(0, 1, (12, 9)).astype(np.float32)
LIMITS = {"h_range": (-1, 1), "y_range": (0, 1)}


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    """Where tensors are that the backend reads where they lie."""
    if request.param == "cuda":
        yield torch.device("cuda")
        return
    with emulated.backend():
        yield torch.device("cpu")


@pytest.mark.parametrize("kind", ["numpy", "tensor", "there"])
def test_gives_back_the_kind_it_was_given(device, kind):
    h, y = H, Y
    if kind != "numpy":
        h, y = (torch.from_numpy(x).to(device if kind == "there" else "cpu") for x in (h, y))
    expected = tefast.transfer_entropy(H, Y, **LIMITS)
    for result in (
        tefast.transfer_entropy(h, y, backend="cuda", **LIMITS),
        tefast.transfer_entropy(h, Y, backend="cuda", **LIMITS),
        tefast.transfer_entropy(h, y[..., None].squeeze(-1), backend="cuda", **LIMITS),
    ):
        assert type(result) is type(h)
        if kind != "numpy":
            assert result.device == h.device
            assert result.dtype == torch.float64
        np.testing.assert_allclose(values.to_numpy(result), expected, rtol=0, atol=1e-13)
    assert type(tefast.entropy(h, backend="cuda")) is type(h)


OPTIONS = [
    {},
    LIMITS,
    {"h_range": (-1, 1)},
    {"h_range": (np.linspace(-1, -0.5, 6), 1)},
    {"binning": "quantile"},
    {"binning": np.sort(rng.uniform(-1, 1, 15))},
    {"lengths": np.array([9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9])},
    {"base": np.e},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_options(device, options, dtype):
    h = torch.from_numpy(H).to(getattr(torch, dtype)).to(device)
    for gaps in (False, True):
        if gaps:
            h = h.clone()
            h[3, 4, 5] = h[0, :, 1] = np.nan
            options = {**options, "nan_policy": "omit"}
        expected = tefast.transfer_entropy(h.cpu(), Y, backend="cpu", **options)
        result = tefast.transfer_entropy(h, Y, backend="cuda", **options)
        torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=1e-13, equal_nan=True)
        if "base" not in options and options.keys() != {"y_range"}:
            own = {key: value for key, value in options.items() if key != "y_range"}
            torch.testing.assert_close(
                tefast.entropy(h, backend="cuda", **own).cpu(),
                tefast.entropy(h.cpu(), backend="cpu", **own),
                rtol=0, atol=0, equal_nan=True,
            )  # fmt: skip


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">i4"])
def test_symbols(device, dtype):
    h, y = rng.integers(0, 2, (12, 9, 6)).astype(dtype), rng.integers(0, 2, (12, 9)).astype(dtype)
    expected = tefast.transfer_entropy(h, y, 2, backend="cpu")
    result = tefast.transfer_entropy(h, y, 2, backend="cuda")
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


def test_any_memory_of_the_host(device, tmp_path):
    np.save(tmp_path / "h.npy", H)
    packed = np.zeros((12, 9, 6), np.dtype([("pad", "u1"), ("h", "f4")]))["h"]
    packed[:] = H
    kinds = [
        H[::-1, ::-1, ::-1][::-1, ::-1, ::-1], np.asfortranarray(H), packed, H.astype(">f4"),
        np.load(tmp_path / "h.npy", mmap_mode="r"), np.broadcast_to(H, H.shape), H.tolist(),
    ]  # fmt: skip
    expected = tefast.transfer_entropy(H, Y, backend="cpu", **LIMITS)
    for h in kinds:
        result = tefast.transfer_entropy(h, Y, backend="cuda", **LIMITS)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


def test_tensors_on_a_graph_and_odd_layouts(device):
    h = torch.from_numpy(H).to(device).requires_grad_()
    kinds = [h * 1, h.transpose(0, 1).contiguous().transpose(0, 1), h.flip(1).flip(1)]
    expected = tefast.transfer_entropy(H, Y, backend="cpu", **LIMITS)
    for x in kinds:
        result = tefast.transfer_entropy(x, Y, backend="cuda", **LIMITS)
        assert not result.requires_grad
        np.testing.assert_allclose(result.cpu().numpy(), expected, rtol=0, atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_quantile_edges_are_those_of_numpy(dtype, data):
    shape = tuple(data.draw(st.integers(1, most)) for most in (5, 12, 4))
    local = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    h = local.standard_normal(shape).astype(dtype)
    if data.draw(st.booleans()):
        h = h.round(data.draw(st.integers(0, 1)))  # many equal values
    h[local.random(shape) < data.draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    lengths = local.integers(0, shape[1] + 1, shape[0]) if data.draw(st.booleans()) else None
    bins = data.draw(st.integers(2, 20))
    target = values.target(h)
    expected = quantiles.quantile_edges(target, bins, lengths)
    with emulated.backend() as cuda:
        (placed,) = cuda.place(target)
        np.testing.assert_array_equal(cuda.quantile_edges(placed, bins, lengths, None), expected)


def test_streaming_counts_where_the_data_are(device):
    h, y = torch.from_numpy(H).to(device), torch.from_numpy(Y).to(device)
    te = tefast.TransferEntropy(6, 8, backend="cuda", **LIMITS)
    entropy = tefast.Entropy(6, 8, h_range=(-1, 1), backend="cuda")
    for part in (slice(0, 5), slice(5, 12)):
        te.update(h[part], y[part])
        entropy.update(h[part])
    assert te._counts.device.type == device.type
    cpu = tefast.TransferEntropy(6, 8, backend="cpu", **LIMITS)
    cpu.update(H, Y)
    np.testing.assert_array_equal(te.counts, cpu.counts)
    assert not te.counts.flags.writeable
    torch.testing.assert_close(te.compute().cpu().numpy(), cpu.compute(), rtol=0, atol=1e-13)
    assert te.compute().device.type == device.type
    np.testing.assert_array_equal(
        entropy.compute().cpu(), tefast.entropy(H, 8, h_range=(-1, 1), backend="cpu")
    )


def test_streaming_merges_and_moves_between_places(device):
    h, y = torch.from_numpy(H).to(device), torch.from_numpy(Y).to(device)

    def half(backend, part, h=h, y=y):
        te = tefast.TransferEntropy(6, 8, backend=backend, **LIMITS)
        te.update(h[part], y[part])
        return te

    first, second = slice(0, 5), slice(5, 12)
    expected = half("cpu", slice(0, 12)).counts
    for here, there in (("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")):
        te = half(here, first)
        kind = type(te._counts)
        te.merge(half(there, second))
        assert type(te._counts) is kind
        np.testing.assert_array_equal(te.counts, expected)
    # What was counted before follows the data.
    te = half("cpu", first)
    moved = tefast.TransferEntropy(6, 8, backend="cuda", **LIMITS)
    moved.load_state_dict(te.state_dict())
    moved.update(h[second], y[second])
    np.testing.assert_array_equal(moved.counts, expected)
    state = moved.state_dict()
    moved.reset()
    assert not moved.counts.any()
    assert state["counts"].sum() == expected.sum()
    back = tefast.TransferEntropy(6, 8, backend="cpu", **LIMITS)
    back.load_state_dict(state)
    back.update(H, Y)
    np.testing.assert_array_equal(back.counts, 2 * expected)


def test_a_batch_that_is_refused_leaves_nothing(device):
    te = tefast.TransferEntropy(6, 8, backend="cuda", **LIMITS)
    te.update(H, Y)
    before = te.counts.copy()
    bad = H.copy()
    bad[11, 8, 5] = np.inf
    with pytest.raises(ValueError, match=r"must be finite.*h\[11, 8, 5\]"):
        te.update(torch.from_numpy(bad).to(device), Y)
    np.testing.assert_array_equal(te.counts, before)


def test_streaming_within_inference_mode_and_after_it(device):
    te = tefast.TransferEntropy(6, 8, backend="cuda", **LIMITS)
    h, y = torch.from_numpy(H).to(device), torch.from_numpy(Y).to(device)
    with torch.inference_mode():
        te.update(h * 1, y * 1)
    te.update(h, y)
    te.merge(copy.deepcopy(te))
    assert te.counts.sum() == 4 * 12 * 8 * 6
    te.reset()
    assert not te.counts.any()


def test_a_loaded_state_computes_numpy_until_it_is_updated(device):
    te = tefast.TransferEntropy(6, 8, backend="cuda", **LIMITS)
    h, y = torch.from_numpy(H).to(device), torch.from_numpy(Y).to(device)
    te.update(h, y)
    state = te.state_dict()
    assert isinstance(te.compute(), torch.Tensor)
    te.load_state_dict(state)
    assert isinstance(te.compute(), np.ndarray)
    other = tefast.TransferEntropy(6, 8, backend="cuda", **LIMITS)
    other.update(h, y)
    other.reset()
    other.merge(te)
    assert isinstance(other.compute(), np.ndarray)
    other = pickle.loads(pickle.dumps(other))
    other.update(h, y)
    assert other.compute().device.type == device.type


def test_arrays_of_other_libraries_go_by_way_of_pytorch(device):
    """Here is none on a GPU, so one that says it is."""

    class Namespace:
        @staticmethod
        def from_dlpack(x):
            return "theirs", np.from_dlpack(x.cpu())

    class Theirs:
        __array_namespace__ = staticmethod(Namespace)

        def __dlpack_device__(self):
            return 2, 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "from_dlpack", lambda x: torch.from_numpy(H).to(device))
        kind, result = tefast.transfer_entropy(Theirs(), Y, backend="cuda", **LIMITS)
        assert kind == "theirs"
        expected = tefast.transfer_entropy(H, Y, backend="cpu", **LIMITS)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)
        patch.setitem(sys.modules, "torch", None)
        with pytest.raises(TypeError, match=r"is a Theirs on a GPU, which is taken by way of PyT"):
            tefast.transfer_entropy(Theirs(), Y)


CAPABILITIES = [
    ("80-real 86-real 90", (7, 5), False),
    ("80-real 86-real 90", (8, 0), True),
    ("80-real 86-real 90", (8, 9), True),
    ("80-real 86-real 90", (9, 0), True),
    ("80-real 86-real 90", (10, 3), True),
    ("90-real", (10, 0), False),
    ("90a", (9, 0), True),
    ("100-real 120", (12, 1), True),
    ("native", (7, 0), True),
]


@pytest.mark.parametrize(("built", "capability", "served"), CAPABILITIES)
def test_devices_that_a_build_has_no_code_for(monkeypatch, built, capability, served):
    from tefast import _native

    monkeypatch.setattr(_native, "build_info", lambda: {"cuda_architectures": built})
    reason = operators._unsupported(capability)
    if served:
        assert reason is None
    else:
        number = "".join(map(str, capability))
        assert f"is for {built}; build it with" in reason
        assert f"CMAKE_CUDA_ARCHITECTURES={number}`" in reason


def test_units_of_a_network(device):
    from tefast import nn as tnn

    torch.manual_seed(0)
    model = tnn.SequenceClassifier(4, 3, hidden_size=6, fc_size=5).to(device)
    batches = [(torch.randn(5, 7, 4), torch.randint(0, 3, (5,))) for _ in range(2)]
    criteria = ("transfer_entropy", "entropy")
    scores = tnn.score(model, batches, criteria, bins=4, backend="cuda")
    expected = tnn.score(model, batches, criteria, bins=4, backend="cpu")
    for name in criteria:
        torch.testing.assert_close(scores[name][0, 0], expected[name][0, 0], rtol=0, atol=1e-13)


def test_says_what_is_missing(monkeypatch, tmp_path):
    """Every reason, in the order in which they can be mended."""

    def check(message):
        with pytest.raises(ValueError, match=f"backend 'cuda' is not available: {message}"):
            tefast.transfer_entropy(H, Y, backend="cuda")
        reason = tefast.build_info()["backends"]["cuda"]
        assert reason == operators.missing()
        with pytest.warns(RuntimeWarning, match=r"copies h \(target\) from cuda:0 to count on"):
            assert _backends.fastest(torch.device("cuda:0"), "h (target)") == "cpu"

    monkeypatch.setattr(operators, "path", lambda: None)
    check("this build of tefast has no CUDA library; .*TEFAST_CUDA=ON")
    library = tmp_path / operators.FILE
    library.write_bytes(b"no library")
    monkeypatch.setattr(operators, "path", lambda: library)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)  # importing it fails
        with pytest.raises(ValueError, match=r'it needs PyTorch: pip install "tefast\[torch\]"'):
            tefast.transfer_entropy(H, Y, backend="cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    check(r"PyTorch .* was built without CUDA")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check("PyTorch finds no CUDA device")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(operators, "_unsupported", lambda capability: None)
    check(f"{operators.FILE} does not load into PyTorch .* build tefast again beside this PyTorch")


def test_importing_tefast_brings_no_torch():
    import subprocess

    code = "import sys, tefast; tefast.transfer_entropy([[0.1], [0.2]], [0.1, 0.2]); "
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


TOLD = {
    "conditional_transfer_entropy": ("yz", {"target_history": 2, "delay": 2}),
    "reverse_transfer_entropy": ("y", {"source_history": 2}),
    "mutual_information": ("y", {"delay": 1}),
    "active_information": ("", {"target_history": 2, "target_step": 2}),
    "entropy_rate": ("", {}),
    "transfer_entropy": ("y", {"target_history": 2, "source_history": 2}),
}


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("room", [2**28, 2**14])
def test_measures_of_windows_are_those_of_the_cpu(device, name, room, monkeypatch):
    from tefast._backends import device_windows
    from tefast._tables import counts

    monkeypatch.setattr(counts, "BLOCK_BYTES", room)  # few units at a time
    calls = []
    scores = device_windows.scores
    monkeypatch.setattr(device_windows, "scores", lambda *a: calls.append(a) or scores(*a))
    beside, how = TOLD[name]
    rng = np.random.default_rng(1)
    h = rng.random((7, 20, 19)).astype(np.float32)
    h[rng.random(h.shape) < 0.05] = np.nan
    given = {role: rng.random((7, 20)).astype(np.float32) for role in beside}
    options = {"bins": 3, "lengths": rng.integers(5, 21, 7), "nan_policy": "omit", **how}
    on_device = {role: torch.from_numpy(x).to(device) for role, x in {"h": h, **given}.items()}
    found = tefast.evaluate(name, **on_device, **options, backend="cuda")
    assert calls
    np.testing.assert_array_equal(
        values.to_numpy(found), tefast.evaluate(name, h=h, **given, **options)
    )


@pytest.mark.filterwarnings("ignore:method=:RuntimeWarning")  # few surrogates
def test_surrogates_of_windows_are_those_of_the_cpu(device):
    rng = np.random.default_rng(2)
    h, y = rng.random((14, 20, 5)), rng.random((14, 20))
    how = {"bins": 3, "measure": "mutual_information", "surrogates": 20, "method": "trials"}
    found = tefast.significance(torch.from_numpy(h).to(device), y, backend="cuda", **how)
    expected = tefast.significance(h, y, **how)
    np.testing.assert_array_equal(values.to_numpy(found.p_value), expected.p_value)
    np.testing.assert_array_equal(values.to_numpy(found.null_mean), expected.null_mean)
