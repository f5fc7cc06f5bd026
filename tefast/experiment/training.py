"""The training stage: one model for every seed and regulariser, stopped and resumed anywhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tefast._support.files import whole_file, write_text
from tefast.experiment.architecture import STANDARD, Architecture
from tefast.experiment.config import Config
from tefast.experiment.devices import device_of
from tefast.experiment.processes import here
from tefast.nn import TrainingState, fit, save

CHECKPOINT_SECONDS = 20.0
"""A checkpoint of a large model takes a while to write, so one is left out if it comes earlier."""


@dataclass(frozen=True)
class Material:
    """Standardised features of one seed's split.

    Attributes
    ----------
    train_x, test_x : Tensor of shape (n, T, D), float32
    train_labels, test_labels : Tensor of shape (n,), int64
    train_lengths, test_lengths : Tensor of shape (n,), int64, or None
        Valid steps of each sequence; None: all are.
    """

    train_x: Tensor
    train_labels: Tensor
    test_x: Tensor
    test_labels: Tensor
    train_lengths: Tensor | None = None
    test_lengths: Tensor | None = None

    def batches(self, size: int = 64) -> list[tuple[Tensor, ...]]:
        """The training samples in order, `size` at a time, with lengths where there are any."""
        given = (self.train_x, self.train_labels, self.train_lengths)
        parts = [torch.split(part, size) for part in given if part is not None]
        return list(zip(*parts, strict=True))


def prepare(
    features: Tensor,
    labels: Tensor,
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    scaling: Path,
    lengths: Tensor | None = None,
) -> Material:
    """Scale features by the mean and deviation of the training samples' valid steps.

    Both are written to `scaling`, since whoever uses the seed's models needs them. Steps beyond a
    sample's length become 0.

    Parameters
    ----------
    features : Tensor of shape (N, T, D)
    labels : Tensor of shape (N,)
    train, test : ndarray of int64
        Indices into N.
    lengths : LongTensor of shape (N,), optional
        Valid steps of each sample. Default: all are.
    """
    train_index, test_index = torch.from_numpy(train), torch.from_numpy(test)
    known = features[train_index]
    if lengths is None:
        mean, deviation = known.mean(dim=(0, 1)), known.std(dim=(0, 1))
    else:
        steps = known[valid_steps(lengths[train_index], known.shape[1])]
        mean, deviation = steps.mean(dim=0), steps.std(dim=0)
    # A feature that never changes says nothing; dividing by its 0 would say NaN.
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    if here().is_first:
        with whole_file(scaling) as path:
            save_file({"mean": mean, "deviation": deviation}, path)

    def part(index: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x = (features[index] - mean) / deviation
        if lengths is None:
            return x, labels[index], None
        x[~valid_steps(lengths[index], x.shape[1])] = 0.0
        return x, labels[index], lengths[index]

    (x, of_x, long), (other, of_other, other_long) = part(train_index), part(test_index)
    return Material(x, of_x, other, of_other, long, other_long)


def valid_steps(lengths: Tensor, steps: int) -> Tensor:
    """Which of (n, T) steps are within the lengths (n,)."""
    return torch.arange(steps) < lengths[:, None]


def train_model(
    config: Config,
    material: Material,
    num_classes: int,
    regularizer: str,
    weight: float,
    seed: int,
    model_path: Path,
    checkpoint: Path,
    progress: Callable[[int, int], None],
    architecture: Architecture = STANDARD,
) -> nn.Module:
    """The trained model: read if it is there, else trained on from its checkpoint or from scratch.

    `weight` is the factor of the regulariser's penalty. `progress` is told the epochs done and
    their number.
    """
    if here().first(model_path.exists):
        return architecture.load(model_path, config, material.train_x.shape[2], num_classes)
    model, losses = train_new(
        config, material, num_classes, regularizer, weight, seed, checkpoint, progress,
        architecture,
    )  # fmt: skip
    if here().is_first:
        write_text(losses_path(model_path), json.dumps(losses) + "\n")
        save(model, model_path)
        checkpoint.unlink(missing_ok=True)
    here().wait()
    if not here().is_first:  # what batches are normalised with is that of the first
        return architecture.load(model_path, config, material.train_x.shape[2], num_classes)
    return model


def losses_path(model_path: Path) -> Path:
    """Beside a model, the mean loss of every epoch of its training, with the penalty."""
    return model_path.with_suffix(".losses.json")


def train_new(
    config: Config,
    material: Material,
    num_classes: int,
    regularizer: str,
    weight: float,
    seed: int,
    checkpoint: Path,
    progress: Callable[[int, int], None],
    architecture: Architecture = STANDARD,
) -> tuple[nn.Module, list[float]]:
    """Train a model on from its checkpoint, or from scratch; it comes with every epoch's loss.

    All regularisers of a seed start from the same weights and see the same order of clips.
    """
    model = architecture.build(config, material.train_x.shape[2], num_classes, seed)
    written = time.monotonic()

    def after(state: TrainingState) -> None:
        nonlocal written
        if here().is_first and time.monotonic() - written >= CHECKPOINT_SECONDS:
            with whole_file(checkpoint) as part:
                torch.save(state, part)
            written = time.monotonic()
        progress(state["epoch"], config.epochs)

    kind, _ = config.penalty(regularizer)
    losses = train(
        config, model, material, kind, weight, seed,
        on_epoch=after, resume=_read_checkpoint(checkpoint),
    )  # fmt: skip
    return model, losses


def train(
    config: Config,
    model: nn.Module,
    material: Material,
    kind: str | None,
    weight: float,
    seed: int,
    *,
    on_epoch: Callable[[TrainingState], None] | None = None,
    resume: TrainingState | None = None,
    together: bool = True,
) -> list[float]:
    """Train a model in place on the training samples, and return the losses, as `tefast.nn.fit`.

    All processes of the run train it together, unless this one is to do it alone. On CUDA, where
    the settings ask for bfloat16, the model computes in it.
    """
    device = device_of(config.device)
    model.to(device)
    losses = fit(
        model,
        material.train_x,
        material.train_labels,
        epochs=config.epochs,
        lengths=material.train_lengths,
        batch_size=config.batch_size,
        lr=config.lr,
        penalty=cast(Any, kind),
        weight=weight,
        seed=seed,
        loss=cast(Any, config.loss),
        on_epoch=on_epoch,
        resume=resume,
        precision=cast(Any, config.precision if device == "cuda" else "float32"),
        group=here().group if together else None,
    )
    model.to("cpu")
    return losses


def _read_checkpoint(path: Path) -> TrainingState | None:
    if not here().first(path.exists):
        return None
    try:
        return cast(TrainingState, torch.load(path, weights_only=True))
    except Exception as error:  # the unpickler meets a damaged file in many ways
        raise ValueError(f"{path} cannot be read ({error}); delete it to train anew") from error
