"""Does the order of the steps matter: test accuracy when the steps of every sample are shuffled."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from tefast._support.files import write_text
from tefast.experiment.training import Material
from tefast.nn import accuracy


def shuffled_accuracy(
    model: nn.Module, material: Material, seed: int, path: Path
) -> dict[str, float]:
    """Test accuracy, and what it is when the steps of every sample come in an order of their own.

    The orders are drawn by `seed`. Read from `path` if there.
    """
    if not path.exists():
        generator = torch.Generator().manual_seed(seed)
        clips, frames, _ = material.test_x.shape
        order = torch.rand(clips, frames, generator=generator).argsort(dim=1)
        x = torch.take_along_dim(material.test_x, order[:, :, None], dim=1)
        result = {
            "accuracy": accuracy(model, material.test_x, material.test_labels),
            "shuffled_accuracy": accuracy(model, x, material.test_labels),
        }
        write_text(path, json.dumps(result) + "\n")
    return dict(json.loads(path.read_text(encoding="utf-8")))
