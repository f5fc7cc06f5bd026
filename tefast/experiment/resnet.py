"""ResNet-18 as a frozen feature extractor: one picture in, 512 numbers out.

The architecture is that of He et al. (2016), "Deep Residual Learning for Image Recognition",
figure 3 and table 1. Parameters carry torchvision's names, so that its published weights load.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

FEATURES = 512


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around both."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, H, W) to (n, channels, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """The 18-layer network up to its average pooling, without the classifier behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, H, W), normalised as those of ImageNet, to features (n, 512)."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


def fold(network: ResNet18) -> ResNet18:
    """Fold every batch norm into the convolution before it: the same function, fewer steps."""
    for module in list(network.modules()):
        if isinstance(module, ResNet18 | BasicBlock):
            module.conv1 = fuse_conv_bn_eval(module.conv1, cast(nn.BatchNorm2d, module.bn1))
            module.bn1 = nn.Identity()
        if isinstance(module, BasicBlock):
            module.conv2 = fuse_conv_bn_eval(module.conv2, cast(nn.BatchNorm2d, module.bn2))
            module.bn2 = nn.Identity()
            if module.downsample is not None:
                convolution, norm = cast(tuple[nn.Conv2d, nn.BatchNorm2d], module.downsample)
                module.downsample = nn.Sequential(fuse_conv_bn_eval(convolution, norm))
    network.requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def draw(network: ResNet18, seed: int) -> None:
    """He's initialisation; each block's branch is scaled so that depth does not add variance."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan_in), generator=generator)
        elif isinstance(module, BasicBlock):
            nn.init.constant_(cast(nn.BatchNorm2d, module.bn2).weight, math.sqrt(0.5))
