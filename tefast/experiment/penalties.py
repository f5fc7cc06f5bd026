"""The choice of a penalty's factor, on a part of the training samples that is held out for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tefast._support.files import write_text
from tefast.experiment.architecture import STANDARD, Architecture
from tefast.experiment.config import Config
from tefast.experiment.datasets import named
from tefast.experiment.measuring import last_logits
from tefast.experiment.processes import here
from tefast.experiment.training import Material, train_new

GRIDS = {
    "l1": (1e-6, 1e-5, 1e-4),
    "l2": (3e-5, 3e-4, 3e-3),
    "group": (1e-5, 1e-4, 1e-3),
}
"""The factors that are tried for each regulariser."""

HELD_SHARE = 0.2
_STREAM = 1
"""Tells these draws from others of the same seed."""


@dataclass(frozen=True)
class Figure:
    """What training with one factor came to on the samples that were held out.

    Attributes
    ----------
    accuracy : float
        In [0, 1].
    cross_entropy : float
        Mean, in nats, at the last step.
    """

    weight: float
    accuracy: float
    cross_entropy: float


@dataclass(frozen=True)
class Choice:
    """The factor that was chosen for a regulariser and a seed, and all that were tried."""

    regularizer: str
    seed: int
    figures: tuple[Figure, ...]

    @property
    def weight(self) -> float:
        """That of the highest accuracy; of equal ones, that of the lowest cross-entropy."""
        return max(self.figures, key=lambda one: (one.accuracy, -one.cross_entropy)).weight

    def described(self) -> dict[str, object]:
        """As the summary has it."""
        return {
            "regularizer": self.regularizer,
            "seed": self.seed,
            "weight": self.weight,
            "grid": [asdict(figure) for figure in self.figures],
        }


def held_out(
    labels: npt.NDArray[np.int64],
    groups: Sequence[str] | None,
    seed: int,
    *,
    span_classes: bool = False,
) -> npt.NDArray[np.bool_]:
    """Which training samples are held out: a fifth of each class, drawn by the seed.

    Parameters
    ----------
    labels : ndarray (n,)
    groups : sequence of str, optional
        The group of each sample, unique within its class. A fifth of the groups is then held out
        with all their samples.
    span_classes : bool
        Groups of one name are one in all classes: a fifth of all groups is held out.

    Raises
    ------
    ValueError
        If no class has two samples, or groups, so that none can be held out.
    """
    rng = np.random.default_rng([seed, _STREAM])
    of = np.arange(len(labels)) if groups is None else np.array(groups)
    held = np.zeros(len(labels), dtype=bool)
    strata = np.zeros_like(labels) if span_classes and groups is not None else labels
    for label in np.unique(strata):
        mine = strata == label
        units = np.unique(of[mine])
        if len(units) > 1:
            count = max(1, round(HELD_SHARE * len(units)))
            held |= mine & np.isin(of, rng.permutation(units)[:count])
    if not held.any():
        raise ValueError(
            "the factor of a penalty cannot be chosen: expected a class of two or more "
            f"{'samples' if groups is None else 'groups'} for training, got one of each class; "
            "give the factor as a number"
        )
    return held


def choose(
    config: Config,
    regularizer: str,
    seed: int,
    material: Material,
    groups: Sequence[str] | None,
    num_classes: int,
    path: Path,
    checkpoint: Callable[[str], Path],
    progress: Callable[[int, int], None],
    architecture: Architecture = STANDARD,
) -> Choice:
    """Choose the factor of a regulariser's penalty for a seed.

    A model is trained with each factor of `GRIDS` on the training samples that are not held out,
    as the run's own models are. The test samples play no part. Features are scaled as for all
    training samples.

    Parameters
    ----------
    groups : sequence of str, optional
        Of the training samples: see `held_out`.
    path : Path
        What is known is read from there, and all is there in the end.
    checkpoint : callable
        Gives the checkpoint of a training by a name.
    progress : callable
        Told the epochs done and their number.
    """
    grid = GRIDS[regularizer]
    figures = here().first(lambda: _read(path) if path.exists() else [])
    known = {figure.weight: figure for figure in figures}
    spans = named(config.dataset).groups_span_classes
    held = held_out(material.train_labels.numpy(), groups, seed, span_classes=spans)
    part = _parts(material, held)
    for number, weight in enumerate(grid):
        if weight in known:
            continue

        def told(epoch: int, epochs: int, before: int = number) -> None:
            progress(before * epochs + epoch, len(grid) * epochs)

        place = checkpoint(f"weight{weight:g}")
        model, _ = train_new(
            config, part, num_classes, regularizer, weight, seed, place, told, architecture
        )
        known[weight] = _measured(model, part, weight)
        if here().is_first:
            text = json.dumps([asdict(known[one]) for one in grid if one in known], indent=2)
            write_text(path, text + "\n")
            place.unlink(missing_ok=True)
    return Choice(regularizer, seed, tuple(known[weight] for weight in grid))


def _parts(material: Material, held: npt.NDArray[np.bool_]) -> Material:
    """The training samples alone, those held out as the test."""
    test = torch.from_numpy(held)
    x, labels, lengths = material.train_x, material.train_labels, material.train_lengths
    return Material(
        train_x=x[~test],
        train_labels=labels[~test],
        test_x=x[test],
        test_labels=labels[test],
        train_lengths=None if lengths is None else lengths[~test],
        test_lengths=None if lengths is None else lengths[test],
    )


def _measured(model: nn.Module, part: Material, weight: float) -> Figure:
    logits = last_logits(model, part.test_x, part.test_lengths).double()
    right = int((logits.argmax(dim=1) == part.test_labels).sum())
    loss = float(nn.functional.cross_entropy(logits, part.test_labels))
    return Figure(weight, right / len(logits), loss)


def _read(path: Path) -> list[Figure]:
    try:
        return [Figure(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); delete it to choose the factor anew"
        ) from error
