"""The training stage: one model for every seed and regulariser, stopped and resumed anywhere."""

from __future__ import annotations

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

from tefast._support.files import whole_file
from tefast.experiment.config import Config
from tefast.nn import SequenceClassifier, TrainingState, fit, load, save

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

    def batches(self, size: int = 64) -> list[tuple[Tensor, Tensor]]:
        """The training clips in order, `size` at a time."""
        parts = zip(
            torch.split(self.train_x, size), torch.split(self.train_labels, size), strict=True
        )
        return [(x, labels) for x, labels in parts]


def prepare(
    features: Tensor,
    labels: Tensor,
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    scaling: Path,
) -> Material:
    """Scale features by the training clips' mean and deviation.

    Both are written to `scaling`, since whoever uses the seed's models needs them.

    Parameters
    ----------
    features : Tensor of shape (N, T, D)
    labels : Tensor of shape (N,)
    train, test : ndarray of int64
        Indices into N.
    """
    train_index, test_index = torch.from_numpy(train), torch.from_numpy(test)
    known = features[train_index]
    mean, deviation = known.mean(dim=(0, 1)), known.std(dim=(0, 1))
    # A feature that never changes says nothing; dividing by its 0 would say NaN.
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    with whole_file(scaling) as part:
        save_file({"mean": mean, "deviation": deviation}, part)
    return Material(
        train_x=(known - mean) / deviation,
        train_labels=labels[train_index],
        test_x=(features[test_index] - mean) / deviation,
        test_labels=labels[test_index],
    )


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
) -> SequenceClassifier:
    """The trained model: read if it is there, else trained on from its checkpoint or from scratch.

    `weight` is the factor of the regulariser's penalty. `progress` is told the epochs done and
    their number.
    """
    if model_path.exists():
        return load(model_path)
    model = train_new(
        config, material, num_classes, regularizer, weight, seed, checkpoint, progress
    )
    save(model, model_path)
    checkpoint.unlink(missing_ok=True)
    return model


def train_new(
    config: Config,
    material: Material,
    num_classes: int,
    regularizer: str,
    weight: float,
    seed: int,
    checkpoint: Path,
    progress: Callable[[int, int], None],
) -> SequenceClassifier:
    """Train a model on from its checkpoint, or from scratch.

    All regularisers of a seed start from the same weights and see the same order of clips.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SequenceClassifier(
            material.train_x.shape[2], num_classes, config.hidden, config.fc, cell="lstm"
        )
    written = time.monotonic()

    def after(state: TrainingState) -> None:
        nonlocal written
        if time.monotonic() - written >= CHECKPOINT_SECONDS:
            with whole_file(checkpoint) as part:
                torch.save(state, part)
            written = time.monotonic()
        progress(state["epoch"], config.epochs)

    kind, _ = config.penalty(regularizer)
    train(
        config, model, material, kind, weight, seed,
        on_epoch=after, resume=_read_checkpoint(checkpoint),
    )  # fmt: skip
    return model


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
) -> None:
    """Train a model in place on the training samples, as `tefast.nn.fit` does."""
    fit(
        model,
        material.train_x,
        material.train_labels,
        epochs=config.epochs,
        batch_size=config.batch_size,
        lr=config.lr,
        penalty=cast(Any, kind),
        weight=weight,
        seed=seed,
        loss=cast(Any, config.loss),
        on_epoch=on_epoch,
        resume=resume,
    )


def _read_checkpoint(path: Path) -> TrainingState | None:
    if not path.exists():
        return None
    try:
        return cast(TrainingState, torch.load(path, weights_only=True))
    except Exception as error:  # the unpickler meets a damaged file in many ways
        raise ValueError(f"{path} cannot be read ({error}); delete it to train anew") from error
