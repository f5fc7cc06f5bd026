"""ResNet-18 against loops, its weights against bad files, and features against their cache."""

import urllib.error

import numpy as np
import pytest
import torch
from clips import write_clip
from safetensors.torch import save_file
from torch import nn

from tefast.experiment import features, resnet
from tefast.experiment.datasets import DatasetError, find_clips
from tefast.experiment.datasets.base import ClipProblem
from tefast.experiment.features import extract
from tefast.experiment.resnet import (
    BasicBlock,
    ResNet18,
    WeightsError,
    fold,
    load_backbone,
    normalize,
)
from tefast.experiment.video import sample_frames


def test_shape_and_size_of_the_published_network():
    network = ResNet18()
    # 11,689,512 parameters with the classifier of 1000 classes, as published, less 513,000 of it.
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_176_512
    names = set(network.state_dict())
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer4.1.bn2.bias",
            "layer2.0.downsample.0.weight", "layer2.0.downsample.1.weight"} <= names  # fmt: skip
    assert "layer1.0.downsample.0.weight" not in names
    assert network(torch.zeros(2, 3, 40, 56)).shape == (2, 512)


def convolve(x, weight, stride, padding):
    """Convolution of (C, H, W) by loops over the output."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    size = weight.shape[2]
    rows = range(0, x.shape[1] - size + 1, stride)
    columns = range(0, x.shape[2] - size + 1, stride)
    return np.array(
        [[[(x[:, r : r + size, c : c + size] * w).sum() for c in columns] for r in rows]
         for w in weight]
    )  # fmt: skip


def batch_norm(x, norm):
    mean, variance, weight, bias = (
        t.detach().numpy()[:, None, None]
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / np.sqrt(variance + norm.eps) * weight + bias


@pytest.mark.parametrize(("channels_in", "channels", "stride"), [(3, 3, 1), (2, 4, 2)])
def test_block_equals_loops(channels_in, channels, stride):
    torch.manual_seed(0)
    block = BasicBlock(channels_in, channels, stride).double().eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                nn.init.uniform_(tensor, 0.5, 1.5)
    x = torch.randn(1, channels_in, 6, 8, dtype=torch.float64)
    picture = x[0].numpy()
    conv1, conv2 = block.conv1.weight.detach().numpy(), block.conv2.weight.detach().numpy()
    middle = np.maximum(batch_norm(convolve(picture, conv1, stride, 1), block.bn1), 0)
    out = batch_norm(convolve(middle, conv2, 1, 1), block.bn2)
    if block.downsample is not None:
        weight = block.downsample[0].weight.detach().numpy()
        picture = batch_norm(convolve(picture, weight, stride, 0), block.downsample[1])
    expected = np.maximum(out + picture, 0)
    np.testing.assert_allclose(block(x)[0].detach().numpy(), expected, atol=1e-12)


def trained():
    """A network whose batch norms are not the identity."""
    torch.manual_seed(1)
    network = ResNet18()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()


def test_folding_changes_nothing():
    network = trained().double()
    x = torch.randn(2, 3, 32, 48, dtype=torch.float64)
    with torch.no_grad():
        expected = network(x)
        np.testing.assert_allclose(fold(network)(x).numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)


def test_normalize():
    frames = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    out = normalize(frames)
    assert out.shape == (2, 3, 4, 5)
    by_hand = (frames[1, 2, 3, 2].item() / 255 - 0.406) / 0.225
    assert out[1, 2, 2, 3].item() == pytest.approx(by_hand, abs=1e-6)


def test_random_weights_are_those_of_their_seed():
    one, described = load_backbone("random")
    same, other = load_backbone("random")[0], load_backbone("random", seed=1)[0]
    assert described == "random weights (seed 0)"
    x = normalize(torch.randint(0, 256, (4, 48, 64, 3), dtype=torch.uint8))
    torch.testing.assert_close(one(x), same(x), rtol=0, atol=0)
    assert (one(x) - other(x)).abs().max() > 0.1
    assert 0.05 < one(x).std() < 20
    assert not any(parameter.requires_grad for parameter in one.parameters())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    network = trained()
    state = {**network.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.ones(1)}
    path = tmp_path / f"weights{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    loaded, described = load_backbone(str(path))
    assert described == f"weights from weights{suffix}"
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), network(x), rtol=1e-4, atol=1e-4)


def test_files_that_are_no_weights(tmp_path):
    state = ResNet18().state_dict()
    cases = {
        "text.pth": (None, "cannot be read as weights"),
        "text.safetensors": (None, "cannot be read as weights"),
        "list.pth": ([1], "holds no state_dict of tensors, but list"),
        "few.pth": ({"conv1.weight": state["conv1.weight"], "odd": torch.ones(1)},
                    r"not of a ResNet-18: missing \['bn1.bias'.*unexpected \['odd'\] \(1\)"),
        "shape.pth": ({**state, "conv1.weight": torch.ones(64, 3, 3, 3)},
                      r"conv1.weight has shape \(64, 3, 3, 3\), expected \(64, 3, 7, 7\)"),
    }  # fmt: skip
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_text("text") if content is None else torch.save(content, path)
        with pytest.raises(WeightsError, match=message):
            load_backbone(str(path))
    with pytest.raises(WeightsError, match=r"no weights at .*none.pth; --weights takes imagenet"):
        load_backbone(str(tmp_path / "none.pth"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints" / "resnet18-f37072fd.pth"


def test_imagenet_weights_offline(hub, monkeypatch):
    def offline(url, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(resnet.urllib.request, "urlopen", offline)
    with pytest.raises(WeightsError) as error:
        load_backbone("imagenet")
    assert "fetch https://download.pytorch.org/models/resnet18-f37072fd.pth" in str(error.value)
    assert f"put it at {hub}" in str(error.value)
    assert not hub.exists()


def test_imagenet_weights_are_checked(hub, monkeypatch):
    source = hub.parent.parent / "served.pth"
    torch.save(trained().state_dict(), source)
    served = source.as_uri()
    monkeypatch.setattr(resnet, "IMAGENET_URL", served)
    with pytest.raises(
        WeightsError, match=r"is damaged: its SHA-256 begins with \w{8}, expected f3"
    ):
        load_backbone("imagenet")
    assert not hub.exists()
    assert not list(hub.parent.iterdir())
    monkeypatch.setattr(resnet, "IMAGENET_SHA256_PREFIX", resnet._sha256(source)[:8])
    _, described = load_backbone("imagenet")
    assert described == "weights trained on ImageNet (resnet18-f37072fd.pth)"
    hub.write_bytes(b"half")
    with pytest.raises(WeightsError, match=r"damaged.*delete it and fetch"):
        load_backbone("imagenet")


class Small(nn.Module):
    """A backbone that is quick and counts its calls."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([factor]), requires_grad=False)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.factor * x.mean(dim=(2, 3)).repeat(1, 171)[:, :512]


@pytest.fixture
def dataset(tmp_path):
    for number in range(1, 7):
        path = tmp_path / "clips" / "A" / f"v_A_g01_c{number:02d}.avi"
        write_clip(path, 8 + number, height=96, width=128, seed=number)
    return find_clips("ucf101", tmp_path / "clips")


def run(dataset, backbone, tmp_path, **options):
    options = {"frames": 5, "size": (24, 32), "cache_dir": tmp_path / "cache", **options}
    return extract(dataset, backbone, **options)


def test_features_are_those_of_each_clip(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD", 4)
    backbone, told = load_backbone("random")[0], []
    found = run(dataset, backbone, tmp_path, progress=lambda *now: told.append(now))
    assert found.values.shape == (6, 5, 512)
    assert found.usable.all()
    assert found.problems == []
    assert told[-1] == (6, 6)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    frames = sample_frames(dataset.clips[4].path, 5, (24, 32)).frames
    with torch.inference_mode():
        alone = backbone(normalize(torch.from_numpy(frames))).numpy()
    np.testing.assert_array_equal(found.values[4], alone)


def test_what_was_computed_is_not_computed_again(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD", 2)
    backbone = Small()
    first = run(dataset, backbone, tmp_path)
    assert backbone.calls == 6
    shards = sorted((tmp_path / "cache").iterdir())
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:100])  # never written by us, but not trusted
    again = run(dataset, backbone, tmp_path)
    assert backbone.calls == 6 + 4
    np.testing.assert_array_equal(again.values, first.values)


@pytest.mark.parametrize("what", ["weights", "frames", "size", "clip"])
def test_what_changes_features_leads_to_another_file(dataset, tmp_path, what):
    first = run(dataset, Small(), tmp_path)
    backbone, options = Small(2.0 if what == "weights" else 1.0), {}
    if what == "frames":
        options["frames"] = 4
    if what == "size":
        options["size"] = (16, 24)
    if what == "clip":
        write_clip(dataset.clips[2].path, 11, seed=99)
    second = run(dataset, backbone, tmp_path, **options)
    assert backbone.calls == 6
    assert second.values.shape != first.values.shape or not np.array_equal(
        second.values, first.values
    )


def test_broken_clips_are_reported_and_remembered(dataset, tmp_path):
    cut, empty = dataset.clips[1].path, dataset.clips[3].path
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    empty.unlink()
    empty.symlink_to(tmp_path / "gone.avi")
    for _ in range(2):  # computed, then read
        found = run(dataset, Small(), tmp_path)
        assert found.usable.tolist() == [True, True, True, False, True, True]
        assert [(p.name, p.kind) for p in found.problems] == [
            ("A/v_A_g01_c02.avi", "damaged"),
            ("A/v_A_g01_c04.avi", "unreadable"),
        ]
        assert isinstance(found.problems[0], ClipProblem)
        assert not found.values[3].any()
        assert found.values[1].any()


def test_no_readable_clip_at_all(dataset, tmp_path):
    for clip in dataset.clips:
        clip.path.write_bytes(b"")
    with pytest.raises(
        DatasetError, match=r"none of the 6 clips in .* can be read; the first: v_A"
    ):
        run(dataset, Small(), tmp_path)
