"""Backbones by name, from packages that stand in for torchvision and timm."""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tefast.experiment.config import PRESETS, ConfigError
from tefast.experiment.features import FrameReader, backbones
from tefast.experiment.features.backbones import Backbone
from tefast.experiment.features.weights import WeightsError


class Tiny(nn.Module):
    """Seven features of a picture, and a classifier of three classes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 3)
        self.fc = nn.Linear(7, 3)

    def forward(self, x):
        return self.fc(self.conv(x).mean(dim=(2, 3)))


class Maps(Tiny):
    """The same features before they are averaged."""

    def forward(self, x):
        return self.conv(x)


class Fixed(Tiny):
    def forward(self, x):
        raise AssertionError("Input height (24) doesn't match model (224)")


class Pairs(Tiny):
    def forward(self, x):
        return x, x


KINDS = {"tiny": Tiny, "maps": Maps, "fixed": Fixed, "pairs": Pairs}


def trained(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.5)
    return network


@pytest.fixture
def torchvision(monkeypatch):
    def get_model(name, weights, progress=True):
        assert weights in (None, "DEFAULT")
        network = KINDS[name]()
        return network if weights is None else trained(network)

    default = SimpleNamespace(
        transforms=lambda: SimpleNamespace(mean=[0.1, 0.2, 0.3], std=[0.5, 0.5, 0.5])
    )
    models = ModuleType("torchvision.models")
    models.list_models = lambda: list(KINDS)
    models.get_model = get_model
    models.get_model_weights = lambda name: SimpleNamespace(DEFAULT=default)
    package = ModuleType("torchvision")
    package.models = models
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setitem(sys.modules, "timm", None)
    return models


@pytest.fixture
def timm(monkeypatch):
    def create_model(name, pretrained, num_classes):
        assert num_classes == 0
        network = Tiny()
        network.fc = nn.Identity()
        network.pretrained_cfg = {"classifier": "fc"}
        return trained(network) if pretrained else network

    package = ModuleType("timm")
    package.is_model = lambda name: name == "tiny"
    package.create_model = create_model
    package.data = SimpleNamespace(
        resolve_model_data_config=lambda model: {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    )
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "timm", package)


def reader(backbone, weights="random"):
    return FrameReader.of(replace(PRESETS["smoke"], backbone=backbone, weights=str(weights)))


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("name", ["tiny", "maps"])
def test_a_model_of_torchvision(name):
    made = reader(name)
    assert made.width == 7
    assert made.described == f"{name} with random weights (seed 0)"
    assert made.backbone.key() == reader(name).backbone.key()
    assert made.backbone.mean == (0.485, 0.456, 0.406)
    trained_ = reader(name, "imagenet")
    assert trained_.described == f"{name} with weights trained on ImageNet"
    assert (trained_.backbone.mean, trained_.backbone.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    frames = np.full((2, 24, 32, 3), 51, np.uint8)  # 0.2 of 255
    expected = 0.5 + 0.5 * 9 * (0.2 + 0 - 0.2)
    np.testing.assert_allclose(trained_.backbone.run(frames), np.full((2, 7), expected), atol=1e-5)
    assert len({made.backbone.key(), trained_.backbone.key()}) == 2


@pytest.mark.usefixtures("timm")
def test_a_model_of_timm():
    made = reader("tiny")
    assert made.width == 7
    assert (made.backbone.mean, made.backbone.std) == ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    assert reader("tiny", "imagenet").backbone.key() != made.backbone.key()


@pytest.mark.parametrize("package", ["torchvision", "timm"])
def test_weights_of_ones_own(package, request, tmp_path):
    request.getfixturevalue(package)
    torch.save({"state_dict": trained(Tiny()).state_dict()}, tmp_path / "mine.pth")
    made = reader("tiny", tmp_path / "mine.pth")
    assert made.described == "tiny with weights from mine.pth"
    assert made.inputs == (tmp_path / "mine.pth",)
    assert (made.backbone.network.state_dict()["conv.weight"] == 0.5).all()
    torch.save({"conv.weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other.pth is not of a tiny: missing \['conv.bias'\]"):
        reader("tiny", tmp_path / "other.pth")


@pytest.mark.usefixtures("torchvision")
def test_networks_that_cannot_be_used():
    with pytest.raises(ConfigError, match=r"cannot take pictures of 24 x 32 pixels: Input height"):
        reader("fixed")
    with pytest.raises(ConfigError, match=r"gives features \(n, D\).*this one gave tuple for 1"):
        reader("pairs")
    with pytest.raises(
        ConfigError, match=r"'huge' cannot be made .torchvision has no such model; "
    ):
        reader("huge")


def test_the_frames_of_a_clip_are_few_a_pass_where_they_are_large(monkeypatch):
    seen = []

    class Counts(Tiny):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    backbone = Backbone(Counts(), "counts").ready()
    frames = np.random.default_rng(0).integers(0, 256, (25, 24, 32, 3), np.uint8)
    whole = backbone.run(frames)
    monkeypatch.setattr(backbones, "PIXELS", 10 * 24 * 32)
    np.testing.assert_allclose(backbone.run(frames), whole, rtol=1e-6)
    monkeypatch.setattr(backbones, "PIXELS", 1)
    assert backbone.run(frames[:2]).shape == (2, 3)
    assert seen == [25, 10, 10, 5, 1, 1]


def test_weights_that_cannot_be_fetched(torchvision, monkeypatch):
    def get_model(name, weights, progress=True):
        raise OSError("no network")

    monkeypatch.setattr(torchvision, "get_model", get_model)
    with pytest.raises(WeightsError, match=r"cannot get the ImageNet weights of tiny \(no network"):
        reader("tiny", "imagenet")


def test_packages_that_are_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError) as error:
        reader("resnet50")
    said = str(error.value)
    assert said.startswith("--backbone takes resnet18, or the name of a model of torchvision or")
    assert "'resnet50' cannot be made (torchvision: import of torchvision halted" in said
    assert "timm: import of timm halted" in said
