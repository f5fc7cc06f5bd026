"""What one network is worth: accuracy, calibration, right answers by class, and time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tefast.experiment.training import Material
from tefast.nn import objectives
from tefast.nn._runs.modes import in_mode

TEST_BATCH = 256
WARM_UP = 32
"""Samples of a pass before the one whose time is taken."""
BINS = 15
"""Of confidence, for the expected calibration error."""


@dataclass(frozen=True)
class Measured:
    """One network on the test samples.

    Attributes
    ----------
    accuracy, calibration_error, parameters, seconds_per_clip
        As a `tefast.experiment.results.Row` has them.
    right : tuple of int
        Test samples of each class that are told right.
    """

    accuracy: float
    calibration_error: float
    parameters: int
    seconds_per_clip: float
    right: tuple[int, ...]


def measure(model: nn.Module, material: Material, classes: int) -> Measured:
    """Measure a network at the last valid step of every test sample."""
    lengths = material.test_lengths
    few = None if lengths is None else lengths[:WARM_UP]
    last_logits(model, material.test_x[:WARM_UP], few)  # the first pass takes longer than others
    start = time.perf_counter()
    logits = last_logits(model, material.test_x, lengths)
    seconds = time.perf_counter() - start
    labels = material.test_labels
    is_right = logits.argmax(dim=1) == labels
    return Measured(
        accuracy=int(is_right.sum()) / len(labels),
        calibration_error=calibration_error(logits.double().softmax(dim=1), labels),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        seconds_per_clip=seconds / len(labels),
        right=tuple(torch.bincount(labels[is_right], minlength=classes).tolist()),
    )


def last_logits(model: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The logits (n, C) by which each sequence is classified: those of its last valid step.

    A model may also give one result a sequence, (n, C).
    """
    found = []
    with in_mode(model, training=False), torch.inference_mode():
        for start in range(0, len(x), TEST_BATCH):
            part = slice(start, start + TEST_BATCH)
            valid = None if lengths is None else lengths[part]
            found.append(objectives.last_logits(model(x[part]), valid))
    return torch.cat(found)


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """The expected calibration error (C. Guo et al., ICML 2017), in [0, 1].

    The samples are put into `BINS` bins of equal width by their confidence, the highest
    probability. The error is the mean over samples of the absolute difference between the accuracy
    and the mean confidence of the sample's bin.

    Parameters
    ----------
    probabilities : Tensor (n, C)
    labels : LongTensor (n,)
    """
    confidence, told = probabilities.double().max(dim=1)
    # Each bin holds its upper edge, as in the paper.
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    gap = (told == labels).double() - confidence
    sums = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, gap)
    return float(sums.abs().sum()) / len(labels)
