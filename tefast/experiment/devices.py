"""What networks run on."""

from __future__ import annotations

import torch

from tefast.experiment.config import ConfigError


def device_of(asked: str) -> str:
    """The device that `Config.device` asks for: "cpu" or "cuda".

    Raises
    ------
    ConfigError
        If it asks for CUDA and there is none.
    """
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ConfigError("--device cuda: this PyTorch finds no CUDA device")
    return "cuda" if asked != "cpu" and there else "cpu"
