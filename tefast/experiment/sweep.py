"""The sweep: score a model's units or gates, take them away in order, measure what is left."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tefast._support.files import whole_file
from tefast.experiment.config import CRITERIA, Config
from tefast.experiment.results import Row, read_rows, write_rows
from tefast.experiment.training import Material
from tefast.nn import (
    SequenceClassifier,
    gate_means,
    predict,
    prune,
    prune_gates,
    score,
    select_gates,
    select_units,
)
from tefast.nn.scores import Granularity

TEST_BATCH = 256


MEANS = "means"
"""Beside the scores of gates by each criterion: the constants that stand in for them."""


def scores_of(
    config: Config,
    model: SequenceClassifier,
    material: Material,
    seed: int,
    granularity: str,
    path: Path,
) -> dict[str, Tensor]:
    """Scores by every criterion, from the training clips; read from `path` if there.

    Those of units have shape (U,), those of gates (U, G); with these come the gates' `MEANS`.
    """
    if not path.exists():
        # All four: the pass over the clips is what takes time.
        batches = material.batches()
        of: Granularity = "units" if granularity == "unit" else "gates"
        found = score(model, batches, CRITERIA, of=of, bins=config.bins, seed=seed)
        scores = {name: one[0, 0] for name, one in found.items()}
        if granularity == "gate":
            scores[MEANS] = gate_means(model, batches)
        with whole_file(path) as part:
            save_file(scores, part)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read ({error}); delete it to score anew") from error


class ModelSweep:
    """Curves of one trained model.

    Parameters
    ----------
    scores : dict of str to Tensor
        As `scores_of` gives them.
    granularity : {"unit", "gate"}
        What they are of.
    """

    def __init__(
        self,
        config: Config,
        model: SequenceClassifier,
        scores: dict[str, Tensor],
        material: Material,
        *,
        regularizer: str,
        seed: int,
        granularity: str,
    ) -> None:
        self._config = config
        self._model = model
        self._scores = scores
        self._material = material
        self._regularizer = regularizer
        self._seed = seed
        self._granularity = granularity
        # All curves start from the same whole model, which is measured once.
        self._whole: Row | None = None

    def curve(self, criterion: str, order: str, path: Path) -> list[Row]:
        """Accuracy after removing each fraction of units or gates, in one order of one criterion.

        Rows that `path` has are taken from there, and it has all of them in the end.
        """
        known = {row.removed_fraction: row for row in read_rows(path)} if path.exists() else {}
        missing = [fraction for fraction in self._config.removed if fraction not in known]
        for fraction in missing:
            known[fraction] = self._row(criterion, order, fraction)
        if missing:
            write_rows(path, [known[fraction] for fraction in sorted(known)])
        return [known[fraction] for fraction in self._config.removed]

    def _row(self, criterion: str, order: str, fraction: float) -> Row:
        smaller, removed = self._without(criterion, order, fraction)
        if smaller is None and self._whole is not None:
            return replace(self._whole, criterion=criterion, order=order, removed_fraction=fraction)
        smaller = self._model if smaller is None else smaller
        right, seconds = _measure(smaller, self._material)
        row = Row(
            dataset=self._config.dataset,
            split=self._config.split,
            seed=self._seed,
            regularizer=self._regularizer,
            criterion=criterion,
            order=order,
            removed_fraction=fraction,
            removed_units=removed,
            accuracy=right,
            parameters=sum(parameter.numel() for parameter in smaller.parameters()),
            seconds_per_clip=seconds,
        )
        if not removed:
            self._whole = row
        return row

    def _without(
        self, criterion: str, order: str, fraction: float
    ) -> tuple[SequenceClassifier | None, int]:
        """The smaller network, None where nothing is removed, and how many units or gates went."""
        scores, descending = self._scores[criterion], order == "descending"
        if self._granularity == "unit":
            units = select_units(scores, fraction, descending=descending)
            return (prune(self._model, units) if len(units) else None), len(units)
        gates = select_gates(scores, fraction, descending=descending)
        if not gates.any():
            return None, 0
        return prune_gates(self._model, gates, self._scores[MEANS]), int(gates.sum())


def _measure(model: SequenceClassifier, material: Material) -> tuple[float, float]:
    """Test accuracy, and seconds of forward pass for a clip."""
    start = time.perf_counter()
    classes = predict(model, material.test_x, TEST_BATCH)
    seconds = time.perf_counter() - start
    right = int((classes == material.test_labels).sum())
    return right / len(classes), seconds / len(classes)
