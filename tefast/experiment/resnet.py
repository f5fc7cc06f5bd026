"""ResNet-18 as a frozen feature extractor: one picture in, 512 numbers out.

The architecture is that of He et al. (2016), "Deep Residual Learning for Image Recognition",
figure 3 and table 1. Parameters carry torchvision's names, so that its published weights load.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tefast._support.files import whole_file

FEATURES = 512
IMAGENET_FILE = "resnet18-f37072fd.pth"
IMAGENET_URL = f"https://download.pytorch.org/models/{IMAGENET_FILE}"
IMAGENET_SHA256_PREFIX = "f37072fd"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DOWNLOAD_TIMEOUT = 10.0  # seconds without an answer


class WeightsError(ValueError):
    """Weights that are missing, damaged or of another network."""


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
        """Map pictures (n, 3, H, W), normalised by `normalize`, to features (n, 512)."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


def normalize(frames: Tensor) -> Tensor:
    """Scale pictures as ImageNet's were: to [0, 1], minus the mean, over the deviation.

    Parameters
    ----------
    frames : Tensor of uint8, shape (n, H, W, 3)
        RGB pictures.

    Returns
    -------
    Tensor of float32, shape (n, 3, H, W)
        A view with the channels last in memory, the layout convolutions are fastest in.
    """
    mean = torch.tensor(IMAGENET_MEAN) * 255
    deviation = torch.tensor(IMAGENET_STD) * 255
    return ((frames.to(torch.float32) - mean) / deviation).permute(0, 3, 1, 2)


def load_backbone(weights: str, *, seed: int = 0) -> tuple[nn.Module, str]:
    """A frozen ResNet-18, and what to call it in a report.

    Parameters
    ----------
    weights : str
        "imagenet": torchvision's, which are downloaded once and checked by their hash. "random":
        drawn from `seed`. Else a file, .pth or .safetensors, with torchvision's names.

    Raises
    ------
    WeightsError
        If the file is not there and cannot be fetched, is damaged, or is of another network.
    """
    network = ResNet18()
    if weights == "random":
        _draw(network, seed)
        described = f"random weights (seed {seed})"
    else:
        path = _imagenet_file() if weights == "imagenet" else Path(weights)
        _load(network, path)
        described = f"weights from {path.name}"
        if weights == "imagenet":
            described = f"weights trained on ImageNet ({path.name})"
    return fold(network.eval()), described


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


def _draw(network: ResNet18, seed: int) -> None:
    """He's initialisation; each block's branch is scaled so that depth does not add variance."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan_in), generator=generator)
        elif isinstance(module, BasicBlock):
            nn.init.constant_(cast(nn.BatchNorm2d, module.bn2).weight, math.sqrt(0.5))


def _load(network: ResNet18, path: Path) -> None:
    state = _read(path)
    # The classifier behind the features is not wanted, and old files lack the batch counters.
    state = {name: t for name, t in state.items() if not name.startswith("fc.")}
    expected = network.state_dict()
    required = {name for name in expected if not name.endswith("num_batches_tracked")}
    missing, unexpected = sorted(required - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise WeightsError(
            f"{path} is not of a ResNet-18: missing {missing[:3] or 'nothing'} "
            f"({len(missing)}), unexpected {unexpected[:3] or 'nothing'} ({len(unexpected)})"
        )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{path} is not of a ResNet-18: {name} has shape {tuple(tensor.shape)}, expected "
                f"{tuple(expected[name].shape)}"
            )
    network.load_state_dict(state, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"no weights at {path}; --weights takes imagenet, random, or a file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler meets a damaged file in many ways
        raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise WeightsError(f"{path} holds no state_dict of tensors, but {type(state).__name__}")
    return state


def _imagenet_file() -> Path:
    """The checked file in torch.hub's folder, fetched if it is not there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET_FILE
    if not path.exists():
        _download(path)
    digest = _sha256(path)
    if not digest.startswith(IMAGENET_SHA256_PREFIX):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 begins with {digest[:8]}, expected "
            f"{IMAGENET_SHA256_PREFIX}; delete it and fetch {IMAGENET_URL} again"
        )
    return path


def _download(path: Path) -> None:
    try:
        with (
            urllib.request.urlopen(IMAGENET_URL, timeout=DOWNLOAD_TIMEOUT) as answer,
            whole_file(path) as part,
        ):
            with part.open("wb") as file:
                shutil.copyfileobj(answer, file)
            digest = _sha256(part)
            if not digest.startswith(IMAGENET_SHA256_PREFIX):
                raise WeightsError(
                    f"what {IMAGENET_URL} gave is damaged: its SHA-256 begins with {digest[:8]}, "
                    f"expected {IMAGENET_SHA256_PREFIX}"
                )
    except (urllib.error.URLError, OSError) as error:
        raise WeightsError(
            f"cannot download the ImageNet weights ({error}): fetch {IMAGENET_URL} elsewhere and "
            f"put it at {path}, or choose --weights random"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
