"""Does the order of the steps matter: test accuracy when the steps of every sample are shuffled."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from tefast._support.files import write_text
from tefast.experiment.processes import here
from tefast.experiment.training import Material, valid_steps
from tefast.nn import accuracy


def shuffled_accuracy(
    model: nn.Module, material: Material, seed: int, path: Path
) -> dict[str, float]:
    """Test accuracy, and what it is when the steps of every sample come in an order of their own.

    The orders are drawn by `seed`. Read from `path` if there.
    """
    if here().is_first and not path.exists():
        x = shuffled(material.test_x, material.test_lengths, seed)
        labels, lengths = material.test_labels, material.test_lengths
        result = {
            "accuracy": accuracy(model, material.test_x, labels, lengths=lengths),
            "shuffled_accuracy": accuracy(model, x, labels, lengths=lengths),
        }
        write_text(path, json.dumps(result) + "\n")
    here().wait()
    return dict(json.loads(path.read_text(encoding="utf-8")))


def shuffled(x: Tensor, lengths: Tensor | None, seed: int) -> Tensor:
    """The sequences (n, T, D) with the valid steps of each in an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.rand(x.shape[:2], generator=generator)
    if lengths is not None:
        # Steps beyond the length have keys above all others that rise, so they stay in place.
        beyond = 1.0 + torch.arange(x.shape[1])
        keys = torch.where(valid_steps(lengths, x.shape[1]), keys, beyond)
    return torch.take_along_dim(x, keys.argsort(dim=1)[:, :, None], dim=1)
