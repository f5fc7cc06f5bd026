"""ResNet-18 against loops."""

import numpy as np
import pytest
import torch
from small_backbones import trained_resnet18
from torch import nn

from tefast.experiment.features.backbones import normalize
from tefast.experiment.resnet import BasicBlock, ResNet18, fold


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


def test_folding_changes_nothing():
    network = trained_resnet18().double()
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
