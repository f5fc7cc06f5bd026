"""What the units of a model put out on the training samples, beside how well it knows the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tefast.experiment.sweep import Trained
from tefast.nn import capture
from tefast.nn._runs.modes import in_mode

SERIES = ("probability", "correct", "loss", "rank")
"""What y may be: the probability of the true class; whether it is told right; its cross-entropy;
how many classes are thought more likely."""

SYMBOLS = ("correct", "rank")
"""Those that have states of their own, and are not binned."""


@dataclass(frozen=True)
class Captured:
    """Outputs and series of one model.

    Attributes
    ----------
    h : ndarray (N, T, U)
    series : dict of str to ndarray (N, T)
        By the names in `SERIES`; those in `SYMBOLS` are integers.
    lengths : ndarray of int64 (N,), or None
        Valid steps of each sample; None: all are.
    """

    h: npt.NDArray[Any]
    series: dict[str, npt.NDArray[Any]]
    lengths: npt.NDArray[np.int64] | None

    def valid(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The valid steps of (N, T) or (N, T, U) values, in one row."""
        if self.lengths is None:
            return values.reshape(-1, *values.shape[2:])
        inside: npt.NDArray[Any] = values[np.arange(values.shape[1]) < self.lengths[:, None]]
        return inside


def captured(trained: Trained, rnn: str) -> Captured:
    """Run a model over its training samples.

    Once, if it gives logits of every step. A model of one result a sequence is asked what it says
    of every step, once for each class.
    """
    result = _few_results(trained)
    if result.ndim == 2:
        return _of_one_result(trained, rnn, classes=result.shape[1])
    parts: dict[str, list[Tensor]] = {name: [] for name in SERIES}

    def look(result: Tensor, batch: Any) -> Tensor:
        labels = batch[1].to(result.device)
        for name, values in series_of(result, labels).items():
            parts[name].append(values)
        return parts["probability"][-1]

    batches = trained.material.batches()
    outputs = [h for h, *_ in capture(trained.model, batches, rnn=rnn, source=look)]
    lengths = trained.material.train_lengths
    return Captured(
        h=torch.cat(outputs).cpu().numpy(),
        series={name: torch.cat(each).cpu().numpy() for name, each in parts.items()},
        lengths=None if lengths is None else lengths.numpy(),
    )


def _few_results(trained: Trained) -> Tensor:
    """What the model gives for a few samples."""
    with in_mode(trained.model, training=False), torch.no_grad():
        result: Tensor = trained.model(trained.material.train_x[:2])
    return result


def _of_one_result(trained: Trained, rnn: str, *, classes: int) -> Captured:
    outputs: list[Tensor] = []
    each: list[Tensor] = []
    for label in range(classes):
        batches = [(x, torch.full_like(of, label)) for x, of, *_ in trained.material.batches()]
        found = list(capture(trained.model, batches, rnn=rnn))
        outputs = [h for h, *_ in found]
        each.append(torch.cat([y for _, y, *_ in found]))
    # Logits are known up to a constant, which none of the series depends on.
    probabilities = torch.stack(each, dim=-1)
    logits = probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
    series = series_of(logits, trained.material.train_labels.to(logits.device))
    return Captured(
        h=torch.cat(outputs).cpu().numpy(),
        series={name: values.cpu().numpy() for name, values in series.items()},
        lengths=None,
    )


def series_of(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The series of each step.

    Parameters
    ----------
    logits : Tensor (n, T, C)
    labels : LongTensor (n,)

    Returns
    -------
    dict of str to Tensor (n, T)
    """
    at = labels[:, None, None].expand(-1, logits.shape[1], 1)
    own = logits.gather(2, at)
    loss = -logits.float().log_softmax(-1).gather(2, at)[..., 0]
    return {
        "probability": logits.float().softmax(-1).gather(2, at)[..., 0],
        "correct": (logits.argmax(-1) == labels[:, None]).long(),
        "loss": loss,
        "rank": (logits > own).sum(-1),
    }
