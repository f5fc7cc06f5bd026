"""Weights: from files of every kind, from files that are none, and by download."""

import urllib.error
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_backbones import trained_resnet18

from tefast.experiment import cli
from tefast.experiment.config import PRESETS, ConfigError
from tefast.experiment.features import backbones, weights
from tefast.experiment.features.backbones import load_backbone, normalize
from tefast.experiment.features.weights import WeightsError, sha256_of
from tefast.experiment.resnet import ResNet18


def loaded(given, **options):
    return load_backbone(replace(PRESETS["smoke"], weights=str(given), **options))


def test_random_weights_are_those_of_their_seed(monkeypatch):
    one, same = loaded("random"), loaded("random")
    monkeypatch.setattr(backbones, "SEED", 1)
    other = loaded("random")
    assert one.described == "ResNet-18 with random weights (seed 0)"
    assert one.weights_sha256 is None
    frames = torch.randint(0, 256, (4, 48, 64, 3), dtype=torch.uint8).numpy()
    np.testing.assert_array_equal(one.run(frames), same.run(frames))
    assert np.abs(one.run(frames) - other.run(frames)).max() > 0.1
    assert 0.05 < one.run(frames).std() < 20
    assert one.width((48, 64)) == 512
    assert one.digest() == same.digest() != other.digest()
    assert not any(parameter.requires_grad for parameter in one.network.parameters())


def as_it_is(state):
    return state


def wrapped(state):
    return {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}}


def parallel(state):
    return {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights.bin"])
@pytest.mark.parametrize("kind", ["safetensors", as_it_is, wrapped, parallel])
def test_weights_from_a_file_of_any_name(tmp_path, name, kind):
    network = trained_resnet18()
    state = {**network.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.ones(1)}
    path = tmp_path / name
    save_file(state, path) if kind == "safetensors" else torch.save(kind(state), path)
    backbone = loaded(path)
    assert backbone.described == f"ResNet-18 with weights from {name}"
    assert backbone.weights_sha256 == sha256_of(path)
    frames = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = network(normalize(frames)).numpy()
    np.testing.assert_allclose(backbone.run(frames.numpy()), expected, rtol=1e-4, atol=1e-4)


def with_nan(state):
    bias = state["layer1.0.bn1.bias"].clone()
    bias[3] = torch.nan
    return {**state, "layer1.0.bn1.bias": bias}


def test_files_that_are_no_weights(tmp_path):
    state = ResNet18().state_dict()
    cases = {
        "empty.pth": (b"", "empty.pth cannot be read as weights: it is empty"),
        "empty.safetensors": (b"", "cannot be read as weights: it is empty"),
        "text.pth": (b"<html>not found</html>", "neither a file of safetensors nor of PyTorch"),
        "half.pth": (b"PK\x03\x04 and no more", "cannot be read as weights: "),
        "half.safetensors": ((9).to_bytes(8, "little") + b'{"a": 1, and no more',
                             "cannot be read as weights: "),
        "list.pth": ([1], "holds no state_dict of tensors, but list"),
        "none.pth": ({}, "holds no tensors"),
        "odd.pth": ({"epoch": 1}, "holds no state_dict of tensors, but int under 'epoch'"),
        "few.pth": ({"conv1.weight": state["conv1.weight"], "odd": torch.ones(1)},
                    r"not of a ResNet-18: missing \['bn1.bias'.*unexpected \['odd'\] \(1\)"),
        "shape.pth": ({**state, "conv1.weight": torch.ones(64, 3, 3, 3)},
                      r"conv1.weight has shape \(64, 3, 3, 3\), expected \(64, 3, 7, 7\)"),
        "nan.pth": (with_nan(state),
                    r"nan.pth cannot be used: 1 of 64 values of layer1.0.bn1.bias are NaN or inf"),
    }  # fmt: skip
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(WeightsError, match=message):
            loaded(path)
    with pytest.raises(WeightsError, match=r"no weights at .*gone.pth; --weights takes imagenet"):
        loaded(tmp_path / "gone.pth")


def test_a_pickled_network_is_refused_without_advice_to_run_it(tmp_path):
    torch.save(ResNet18(), tmp_path / "whole.pth")
    with pytest.raises(WeightsError, match="save the network's state_dict alone") as error:
        loaded(tmp_path / "whole.pth")
    assert "tefast.experiment.resnet.ResNet18" in str(error.value)
    assert "weights_only" not in str(error.value)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"


def test_imagenet_weights_offline(hub, monkeypatch):
    def offline(request):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    with pytest.raises(WeightsError) as error:
        loaded("imagenet")
    assert "fetch https://download.pytorch.org/models/resnet18-f37072fd.pth" in str(error.value)
    assert f"put it at {hub}" in str(error.value)
    assert not list(hub.parent.iterdir())


def test_imagenet_weights_are_checked(hub, tmp_path, monkeypatch):
    source = tmp_path / "served.pth"
    torch.save(trained_resnet18().state_dict(), source)
    monkeypatch.setattr(weights, "IMAGENET_URL", source.as_uri())
    with pytest.raises(WeightsError, match=r"gave is damaged: invalid hash value \(expected \"f37"):
        loaded("imagenet")
    assert not list(hub.parent.iterdir())
    monkeypatch.setattr(weights, "IMAGENET_SHA256_PREFIX", sha256_of(source)[:8])
    backbone = loaded("imagenet")
    assert backbone.described == (
        "ResNet-18 with weights trained on ImageNet (resnet18-f37072fd.pth)"
    )
    assert backbone.weights_sha256 == sha256_of(source)
    hub.write_bytes(b"half")
    with pytest.raises(WeightsError, match=r"damaged.*delete it and fetch"):
        loaded("imagenet")


def test_bfloat16_is_near_and_another_backbone():
    exact, rough = loaded("random"), loaded("random", precision="bfloat16")
    frames = torch.randint(0, 256, (2, 48, 64, 3), dtype=torch.uint8).numpy()
    found, expected = rough.run(frames), exact.run(frames)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert rough.key() != exact.key()


def test_other_weights_at_the_same_path_are_said_to_be_others(tmp_path, monkeypatch, capsys):
    from tefast.experiment import run

    def trained(*arguments):
        raise ConfigError("far enough")

    monkeypatch.setattr(run, "train_all", trained)
    path = tmp_path / "weights.pth"
    arguments = ["--preset", "smoke", "--groups", "2", "--clips-per-group", "1"]
    arguments += ["--out", str(tmp_path / "out"), "--weights", str(path), "--workers", "1"]
    torch.save(trained_resnet18().state_dict(), path)
    for _ in range(2):
        assert cli.main(arguments) == 2
        assert capsys.readouterr().err == "tefast.experiment: error: far enough\n"
    torch.save(ResNet18().state_dict(), path)
    assert cli.main(arguments) == 2
    assert "the weights of the backbone have changed since the run in" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ConfigError, match="--device cuda: this PyTorch finds no CUDA device"):
        loaded("random", device="cuda")
    assert loaded("random").device == "cpu"
