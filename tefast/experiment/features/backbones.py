"""The network that turns frames into features: how it is made, run and told from others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tefast.experiment.config import Config, ConfigError
from tefast.experiment.devices import device_of
from tefast.experiment.features.weights import imagenet_file, put_weights, read_weights, sha256_of
from tefast.experiment.resnet import ResNet18, draw, fold

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
OWN = "resnet18"
"""The backbone that needs neither torchvision nor timm."""
SEED = 0
"""Of random weights."""

PIXELS = 5 * 240 * 320
"""Of a pass on a processor: larger ones outgrow its caches, smaller ones cost more calls."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Backbone:
    """A frozen network and how it is used.

    Attributes
    ----------
    network : nn.Module
        From pictures (n, 3, H, W) to features (n, D) or to maps (n, D, h, w) of them.
    described : str
        The network and its weights, as a report calls them.
    mean, std : tuple of float
        What is subtracted from the three colours, scaled to [0, 1], and divided by.
    precision : {"float32", "bfloat16"}
        What the network computes in. Features are float32.
    device : str
        "cpu" or "cuda".
    weights_sha256 : str or None
        Of the file that the weights come from, if it is known.
    """

    network: nn.Module
    described: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    precision: str = "float32"
    device: str = "cpu"
    weights_sha256: str | None = None

    def ready(self) -> Backbone:
        """Freeze the network and lay it out as it computes fastest; return self."""
        self.network.eval().requires_grad_(False)
        self.network.to(self.device, DTYPES[self.precision])
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def run(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Features (n, D) of frames (n, H, W, 3)."""
        step = len(frames)
        if self.device == "cpu":
            step = max(1, PIXELS // (frames.shape[1] * frames.shape[2]))
        passes = range(0, len(frames), step)
        return np.concatenate([self._pass(frames[start : start + step]) for start in passes])

    def _pass(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        # TF32 would round float32 to 10 bits, silently.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            pictures = torch.from_numpy(frames).to(self.device)
            x = normalize(pictures, self.mean, self.std).to(DTYPES[self.precision])
            out = self.network(x)
            if not isinstance(out, Tensor) or out.ndim not in (2, 4) or len(out) != len(frames):
                shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
                raise ConfigError(
                    f"a backbone gives features (n, D) or maps (n, D, h, w) of n pictures; this "
                    f"one gave {shape} for {len(frames)}"
                )
            out = out.float()
            out = out.mean(dim=(2, 3)) if out.ndim == 4 else out
            return cast(npt.NDArray[np.float32], out.cpu().numpy())

    def width(self, size: tuple[int, int]) -> int:
        """D, found by a trial with a picture of this height and width.

        Raises
        ------
        ConfigError
            If the network cannot take such pictures.
        """
        try:
            return int(self.run(np.zeros((1, *size, 3), np.uint8)).shape[1])
        except ConfigError:
            raise
        except Exception as error:  # networks refuse sizes each in a way of its own
            raise ConfigError(
                f"the backbone cannot take pictures of {size[0]} x {size[1]} pixels: {error}"
            ) from error

    def digest(self) -> str:
        """A hash of the weights as they are used."""
        found = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            found.update(name.encode())
            found.update(repr(tuple(tensor.shape)).encode())
            plain = tensor.detach().cpu().contiguous().reshape(-1)
            found.update(plain.view(torch.uint8).numpy().data)
        return found.hexdigest()

    def key(self) -> str:
        """A hash of all that makes its features differ from another's."""
        kind = [type(module).__qualname__ for module in self.network.modules()]
        used = (self.digest(), kind, self.mean, self.std, self.precision, self.device)
        return hashlib.sha256(repr(used).encode()).hexdigest()


def normalize(
    frames: Tensor,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Tensor:
    """Scale pictures as those that the network was trained on: less the mean, over the deviation.

    Parameters
    ----------
    frames : Tensor of uint8, shape (n, H, W, 3)
        RGB pictures.
    mean, std : tuple of float
        Of the three colours, for pictures scaled to [0, 1].

    Returns
    -------
    Tensor of float32, shape (n, 3, H, W)
        A view with the channels last in memory, the layout convolutions are fastest in.
    """
    middle = torch.tensor(mean, device=frames.device) * 255
    deviation = torch.tensor(std, device=frames.device) * 255
    return ((frames.to(torch.float32) - middle) / deviation).permute(0, 3, 1, 2)


def load_backbone(config: Config) -> Backbone:
    """The backbone of these settings.

    Raises
    ------
    WeightsError
        If the weights are not there and cannot be fetched, are damaged, or of another network.
    ConfigError
        If there is no such network or device.
    """
    options: dict[str, Any] = {
        "precision": config.precision, "device": device_of(config.device)
    }  # fmt: skip
    if config.backbone == OWN:
        return _resnet18(config.weights, options).ready()
    from tefast.experiment.features.zoo import zoo_network

    made = zoo_network(config.backbone, config.weights)
    return Backbone(**made, **options).ready()


def seeded(make: Callable[[], Any]) -> Any:
    """What `make` returns, with all it draws drawn from `SEED`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return make()


def _resnet18(weights: str, options: dict[str, Any]) -> Backbone:
    network = ResNet18()
    sha256 = None
    if weights == "random":
        draw(network, SEED)
        described = f"random weights (seed {SEED})"
    else:
        path = imagenet_file() if weights == "imagenet" else Path(weights)
        # The classifier behind the features is not wanted.
        put_weights(network, read_weights(path), path, of="a ResNet-18", without="fc.")
        sha256 = sha256_of(path)
        described = f"weights from {path.name}"
        if weights == "imagenet":
            described = f"weights trained on ImageNet ({path.name})"
    return Backbone(
        fold(network.eval()), f"ResNet-18 with {described}", weights_sha256=sha256, **options
    )
