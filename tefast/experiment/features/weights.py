"""Files of weights: fetched, checked, read, and put into a network."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

IMAGENET_FILE = "resnet18-f37072fd.pth"
IMAGENET_URL = f"https://download.pytorch.org/models/{IMAGENET_FILE}"
IMAGENET_SHA256_PREFIX = "f37072fd"
DOWNLOAD_TIMEOUT = 10.0  # seconds without an answer

WRAPPINGS = ("state_dict", "model_state_dict", "model")
"""Under these names, checkpoints hold the weights beside other things."""
PARALLEL = "module."
"""What `torch.nn.DataParallel` puts before every name."""


class WeightsError(ValueError):
    """Weights that are missing, damaged or of another network."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names, whatever they are wrapped in.

    Whether it is a file of safetensors or of PyTorch is told by what it holds, not by its name.

    Raises
    ------
    WeightsError
        If the file is not there, cannot be read, holds no weights, or holds NaN or infinities.
    """
    if not path.is_file():
        raise WeightsError(f"no weights at {path}; --weights takes imagenet, random, or a file")
    state = _unwrapped(_content(path))
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise WeightsError(f"{path} holds no state_dict of tensors, but {_kind(state)}")
    if not state:
        raise WeightsError(f"{path} holds no tensors")
    for name, tensor in state.items():
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise WeightsError(
                f"{path} cannot be used: {bad} of {tensor.numel()} values of {name} are NaN or "
                "infinite"
            )
    if all(name.startswith(PARALLEL) for name in state):
        state = {name.removeprefix(PARALLEL): tensor for name, tensor in state.items()}
    return state


def put_weights(
    network: nn.Module, state: dict[str, Tensor], path: Path, *, of: str, without: str = ""
) -> None:
    """Load `state` into the network.

    Parameters
    ----------
    of : str
        The network as messages call it, such as "a ResNet-18".
    without : str
        A part of the network, by the beginning of its names, whose weights are left out.

    Raises
    ------
    WeightsError
        If names or shapes are those of another network.
    """
    expected = network.state_dict()
    if without:
        state = {name: t for name, t in state.items() if not name.startswith(without)}
    required = {
        name
        for name in expected
        # Old files lack the batch counters, which nothing reads once training is over.
        if not name.endswith("num_batches_tracked") and not (without and name.startswith(without))
    }
    missing, unexpected = sorted(required - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise WeightsError(
            f"{path} is not of {of}: missing {missing[:3] or 'nothing'} "
            f"({len(missing)}), unexpected {unexpected[:3] or 'nothing'} ({len(unexpected)})"
        )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{path} is not of {of}: {name} has shape {tuple(tensor.shape)}, expected "
                f"{tuple(expected[name].shape)}"
            )
    network.load_state_dict(state, strict=False)


def imagenet_file() -> Path:
    """The checked file of ResNet-18 in torch.hub's folder, fetched if it is not there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET_FILE
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with answering_within(DOWNLOAD_TIMEOUT):
                torch.hub.download_url_to_file(
                    IMAGENET_URL, str(path), hash_prefix=IMAGENET_SHA256_PREFIX, progress=False
                )
        except RuntimeError as error:  # torch.hub's way to say that the hash is another
            raise WeightsError(f"what {IMAGENET_URL} gave is damaged: {error}") from error
        except OSError as error:
            raise WeightsError(
                f"cannot download the ImageNet weights ({error}): fetch {IMAGENET_URL} elsewhere "
                f"and put it at {path}, or choose --weights random"
            ) from error
    digest = sha256_of(path)
    if not digest.startswith(IMAGENET_SHA256_PREFIX):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 begins with {digest[:8]}, expected "
            f"{IMAGENET_SHA256_PREFIX}; delete it and fetch {IMAGENET_URL} again"
        )
    return path


@contextmanager
def answering_within(seconds: float) -> Iterator[None]:
    """Let connections opened in the block fail after so many seconds without an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(path: Path) -> Any:
    """What a file of safetensors or PyTorch holds."""
    with path.open("rb") as file:
        head = file.read(9)
    if not head:
        raise WeightsError(f"{path} cannot be read as weights: it is empty")
    header = int.from_bytes(head[:8], "little")
    try:
        # Eight bytes say how long the JSON is that a file of safetensors begins with.
        if head[8:] == b"{" and header < path.stat().st_size:
            return load_safetensors(path.read_bytes())
        if head[:2] == b"PK" or head[:1] == b"\x80":
            # Given a name, torch would tell by its end what the file holds.
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers meet a damaged file in many ways
        raise WeightsError(f"{path} cannot be read as weights: {_reason(error)}") from error
    raise WeightsError(
        f"{path} cannot be read as weights: it is neither a file of safetensors nor of PyTorch"
    )


def _reason(error: Exception) -> str:
    """What is wrong, without PyTorch's advice to load what may run code of others."""
    said = str(error)
    if "weights_only" in said or "Weights only" in said:
        found = re.search(r"GLOBAL ([\w.]+)", said)
        what = f" ({found[1]})" if found else ""
        return (
            f"it is damaged or holds objects of Python beside tensors{what}; save the network's "
            "state_dict alone"
        )
    return said or type(error).__name__


def _unwrapped(state: Any) -> Any:
    for name in WRAPPINGS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            return state[name]
    return state


def _kind(state: Any) -> str:
    if not isinstance(state, dict):
        return type(state).__name__
    other = next(name for name, value in state.items() if not isinstance(value, Tensor))
    return f"{type(state[other]).__name__} under {other!r}"
