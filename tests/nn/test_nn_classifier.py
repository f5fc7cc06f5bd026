"""The classifier, its sizes and its file."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("safetensors")

import safetensors.torch

from tefast import nn as tnn
from tefast.nn import saving as module
from tefast.nn.classifier import SequenceClassifier


def make(cell: str = "lstm") -> SequenceClassifier:
    torch.manual_seed(0)
    return SequenceClassifier(5, 3, hidden_size=8, fc_size=6, cell=cell)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_head_is_applied_at_every_step(cell: str) -> None:
    model = make(cell)
    x = torch.randn(4, 7, 5)
    logits = model(x)
    assert logits.shape == (4, 7, 3)
    h = model.rnn(x)[0]
    step = model.fc2(torch.relu(model.fc1(h[:, 2])))
    torch.testing.assert_close(logits[:, 2], step)
    # One way in time: what comes later cannot change an earlier step.
    torch.testing.assert_close(model(x[:, :3]), logits[:, :3])


def test_default_sizes() -> None:
    with torch.device("meta"):
        model = SequenceClassifier(512, 101)
    assert model.sizes == {
        "input_size": 512,
        "num_classes": 101,
        "hidden_size": 1024,
        "fc_size": 256,
        "cell": "lstm",
    }
    assert model.rnn.batch_first


def test_sizes_follow_pruning() -> None:
    pruned = tnn.prune(make("gru"), [0, 3, 4])
    assert pruned.sizes == {
        "input_size": 5,
        "num_classes": 3,
        "hidden_size": 5,
        "fc_size": 6,
        "cell": "gru",
    }


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size: expected at least 1, got 0"),
        ({"num_classes": 2.0}, TypeError, "num_classes: expected an int, got float"),
        ({"hidden_size": True}, TypeError, "hidden_size: expected an int, got bool"),
        ({"fc_size": -1}, ValueError, "fc_size: expected at least 1, got -1"),
        ({"cell": "LSTM"}, ValueError, "cell: expected one of lstm, gru, rnn, got 'LSTM'"),
    ],
)
def test_bad_sizes(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SequenceClassifier(**{"input_size": 2, "num_classes": 2, **arguments})


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("removed", [[], [1, 6]])
def test_save_and_load(tmp_path: Path, cell: str, dtype: torch.dtype, removed: list[int]) -> None:
    model = tnn.prune(make(cell), removed).to(dtype)
    path = tmp_path / "model.safetensors"
    tnn.save(model, path)
    before = torch.get_rng_state()
    loaded = tnn.load(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    assert loaded.sizes == model.sizes
    for (name, ours), (same, theirs) in zip(
        model.named_parameters(), loaded.named_parameters(), strict=True
    ):
        assert name == same
        assert theirs.requires_grad
        assert theirs.dtype == dtype
        assert torch.equal(ours, theirs)
    x = torch.randn(2, 3, 5).to(dtype)
    assert torch.equal(model(x), loaded(x))
    # safetensors' own reader sees an ordinary state_dict.
    assert safetensors.torch.load_file(path).keys() == model.state_dict().keys()


def test_a_loaded_model_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = make()
    tnn.save(model, path)
    loaded = tnn.load(path)
    path.write_bytes(b"")
    assert torch.equal(loaded.fc1.weight, model.fc1.weight)
    loaded.fc1.weight.data.zero_()


def test_save_replaces_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    tnn.save(make(), path)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        tnn.save(make("gru"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save_refuses_what_could_not_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(TypeError, match=r"expected an nn\.Module, got str"):
        tnn.save("model", path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="size pruning may change, got Sequential with none"):
        tnn.save(torch.nn.Sequential(torch.nn.ReLU()), path)
    model = make()
    model.rnn = torch.nn.RNN(5, 8, nonlinearity="relu", batch_first=True)
    with pytest.raises(ValueError, match="got RNN_RELU"):
        tnn.save(model, path)
    model.rnn = torch.nn.LSTM(5, 8, batch_first=True, bias=False)
    with pytest.raises(ValueError, match=r"model: missing 'rnn\.bias_hh_l0'"):
        tnn.save(model, path)
    model = make()
    model.fc1.double()
    with pytest.raises(ValueError, match=r"one floating dtype, got torch\.float32, torch\.float64"):
        tnn.save(model, path)
    assert not list(tmp_path.iterdir())


def write(path: Path, sizes: str | None, drop: str = "", kind: str | None = None) -> None:
    state = {n: t.clone() for n, t in make().state_dict().items() if n != drop}
    metadata = {"model": kind or "tefast.nn.SequenceClassifier"}
    if sizes is not None:
        metadata["sizes"] = sizes
    safetensors.torch.save_file(state, path, metadata)


SIZES = '{"input_size": 5, "num_classes": 3, "hidden_size": 8, "fc_size": 6, "cell": "lstm"}'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": SIZES, "kind": "other"}, "its metadata says 'other'"),
        ({"sizes": None}, "no valid sizes in its metadata: 'sizes'"),
        ({"sizes": "{"}, "no valid sizes"),
        ({"sizes": "[1]"}, "no valid sizes"),
        ({"sizes": SIZES.replace("fc_size", "width")}, "no valid sizes.*width"),
        ({"sizes": SIZES.replace("lstm", "tcn")}, "no valid sizes.*got 'tcn'"),
        ({"sizes": SIZES, "drop": "fc2.bias"}, r"missing 'fc2\.bias'"),
        ({"sizes": SIZES.replace("lstm", "gru")}, r"expected 'rnn\.\w+' of shape \(24,"),
        ({"sizes": SIZES.replace("3", "4")}, r"'fc2\.bias' of shape \(4,\), got \(3,\)"),
    ],
)
def test_load_says_what_is_wrong(tmp_path: Path, arguments: dict, message: str) -> None:
    path = tmp_path / "m.safetensors"
    write(path, **arguments)
    with pytest.raises(ValueError, match=message):
        tnn.load(path)


def test_load_of_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(FileNotFoundError, match=r"m\.safetensors"):
        tnn.load(path)
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match="is not a safetensors file"):
        tnn.load(path)
    tnn.save(make(), path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="is not a safetensors file"):
        tnn.load(path)
    safetensors.torch.save_file({"w": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="its metadata says None"):
        tnn.load(path)


def test_missing_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "safetensors.torch")
    with pytest.raises(ImportError, match="pip install safetensors"):
        tnn.save(make(), tmp_path / "m.safetensors")
    with pytest.raises(ImportError, match="pip install safetensors"):
        tnn.load(tmp_path / "m.safetensors")


def test_missing_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import tefast.nn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'ImportError: tefast.nn needs PyTorch: pip install "tefast[torch]"' in done.stderr
