"""The sweep: take a model's units or gates away in order, and measure what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tefast.experiment.class_results import ClassRow, read_class_rows, write_class_rows
from tefast.experiment.config import FROM_SCRATCH, Config
from tefast.experiment.criteria import RANDOM
from tefast.experiment.measuring import Measured, measure
from tefast.experiment.plan import PlannedCurve
from tefast.experiment.results import Row, read_rows, write_rows
from tefast.experiment.scoring import MEANS, random_scores
from tefast.experiment.training import Material, train
from tefast.nn import SequenceClassifier, moments, prune, prune_gates, select_gates, select_units
from tefast.nn.choice import count_of
from tefast.nn.moments import Moments

TUNING_RATE = 0.1
"""The peak learning rate of fine-tuning, as a fraction of that of the training."""


@dataclass(frozen=True)
class Trained:
    """One model of the study and the samples it was made for.

    Attributes
    ----------
    weight : float
        The factor of its regulariser's penalty.
    scores : dict of str to dict of str to Tensor
        By granularity, as `tefast.experiment.scoring.scores_of` gives them.
    small : mapping of int to nn.Module
        By their units, the networks that were small from the beginning and trained as the model
        was.
    """

    regularizer: str
    seed: int
    weight: float
    model: nn.Module
    material: Material
    scores: dict[str, dict[str, Tensor]]
    small: Mapping[int, nn.Module]


def sizes_from_scratch(config: Config) -> list[int]:
    """Units of the small networks that are trained from scratch: those that removal leaves."""
    left = {config.hidden - count_of(fraction, config.hidden) for fraction in config.tuned}
    return sorted(left - {config.hidden}, reverse=True)


_WHOLE = "whole"
"""Tells the model of which nothing is removed from smaller ones."""


@dataclass(frozen=True)
class _Smaller:
    """A network without some units or gates.

    Attributes
    ----------
    removed : int
        How many are gone.
    key : object
        Equal for equal networks.
    build : callable
        Makes it.
    """

    removed: int
    key: object
    build: Callable[[], nn.Module]


class ModelSweep:
    """Curves of one trained model.

    Parameters
    ----------
    classes : sequence of str
        Their names, by label.
    granularity : {"unit", "gate"}
        What is removed.
    """

    def __init__(
        self, config: Config, trained: Trained, classes: Sequence[str], granularity: str
    ) -> None:
        self._config = config
        self._trained = trained
        self._material = trained.material
        self._classes = classes
        self._granularity = granularity
        # All curves start from the same whole model, which is measured once. What different orders
        # leave may be the same network as well.
        self._known: dict[object, Measured] = {}

    def curve(self, planned: PlannedCurve, path: Path, classes_path: Path) -> None:
        """Measure the rows of a curve's fractions, and those of its classes.

        Rows that `path` has are taken from there, and it has all of them in the end. Rows of
        classes lie in `classes_path`.
        """
        rows, by_class = self._read(path, classes_path)
        missing = [fraction for fraction in planned.fractions if fraction not in rows]
        is_long = planned.recovery == "fine_tuning"  # each of its points takes a training
        for number, fraction in enumerate(missing, start=1):
            row, measured = self._row(planned, fraction)
            rows[fraction], by_class[fraction] = row, self._class_rows(row, measured)
            if is_long or number == len(missing):
                # Rows of classes first: a row is known only with those of its classes.
                every = sorted(rows)
                write_class_rows(classes_path, [one for at in every for one in by_class[at]])
                write_rows(path, [rows[at] for at in every])

    def _read(
        self, path: Path, classes_path: Path
    ) -> tuple[dict[float, Row], dict[float, list[ClassRow]]]:
        """What is there of a curve, by fraction."""
        if not (path.exists() and classes_path.exists()):
            return {}, {}
        by_class: dict[float, list[ClassRow]] = {}
        for one in read_class_rows(classes_path):
            by_class.setdefault(one.removed_fraction, []).append(one)
        rows = {one.removed_fraction: one for one in read_rows(path)}
        if 0.0 in rows and 0.0 in by_class:
            row = rows[0.0]
            right = tuple(one.right for one in by_class[0.0])
            numbers = (row.accuracy, row.calibration_error, row.parameters, row.seconds_per_clip)
            self._known.setdefault(_WHOLE, Measured(*numbers, right))
        return {at: row for at, row in rows.items() if at in by_class}, by_class

    def _row(self, planned: PlannedCurve, fraction: float) -> tuple[Row, Measured]:
        smaller = self._smaller(planned, fraction)
        key = smaller.key if smaller.removed else _WHOLE
        if key not in self._known:
            network = smaller.build() if smaller.removed else self._trained.model
            self._known[key] = measure(network, self._material, len(self._classes))
        measured = self._known[key]
        row = Row(
            dataset=self._config.dataset,
            split=self._config.split,
            seed=self._trained.seed,
            regularizer=self._trained.regularizer,
            criterion=planned.criterion,
            order=planned.order,
            draw=planned.draw,
            recovery=planned.recovery,
            removed_fraction=fraction,
            removed_units=smaller.removed,
            accuracy=measured.accuracy,
            calibration_error=measured.calibration_error,
            parameters=measured.parameters,
            seconds_per_clip=measured.seconds_per_clip,
        )
        return row, measured

    def _class_rows(self, row: Row, measured: Measured) -> list[ClassRow]:
        totals = torch.bincount(self._material.test_labels, minlength=len(self._classes)).tolist()
        counts = zip(self._classes, measured.right, totals, strict=True)
        return [
            ClassRow(
                row.dataset, row.split, row.seed, row.regularizer, row.criterion, row.order,
                row.draw, row.recovery, row.removed_fraction, name, right, total,
            )
            for name, right, total in counts
        ]  # fmt: skip

    def _smaller(self, planned: PlannedCurve, fraction: float) -> _Smaller:
        """The network at one point of a curve."""
        if planned.criterion == FROM_SCRATCH:
            count = count_of(fraction, self._config.hidden)
            left = self._config.hidden - count
            small = self._trained.small
            return _Smaller(count, (FROM_SCRATCH, left), lambda: small[left])
        scores, descending = self._scores(planned), planned.order == "descending"
        if self._granularity == "gate":
            gates = select_gates(scores, fraction, descending=descending)
            key = gates.numpy().tobytes()
            return _Smaller(int(gates.sum()), key, lambda: self._without_gates(gates))
        units = select_units(scores, fraction, descending=descending)
        recovery = planned.recovery
        key_of_units = recovery, frozenset(units.tolist())
        return _Smaller(len(units), key_of_units, lambda: self._without(units, recovery))

    def _scores(self, planned: PlannedCurve) -> Tensor:
        if planned.criterion == RANDOM:
            seed, of = self._trained.seed, self._granularity
            rnn = self._config.rnn
            return random_scores(self._trained.model, seed, planned.draw, of, rnn)
        return self._trained.scores[self._granularity][planned.criterion]

    def _without_gates(self, gates: Tensor) -> nn.Module:
        means = self._trained.scores["gate"][MEANS]
        return prune_gates(self._trained.model, gates, means, rnn=self._config.rnn)

    def _without(self, units: Tensor, recovery: str) -> nn.Module:
        """The model without some units, after what is done then."""
        if recovery == "reconstruction":
            return prune(self._trained.model, units, moments=self._moments, **self._where)
        smaller = prune(self._trained.model, units, **self._where)
        if recovery == "fine_tuning":
            self._tune(smaller)
        return smaller

    def _tune(self, smaller: nn.Module) -> None:
        """Train a smaller network on, in place.

        The budget is fixed: `Config.tuning_epochs` passes over the training samples, in steps of
        the run's batch size, under the loss, penalty and seed of the whole model's training, with
        `TUNING_RATE` of its peak learning rate.
        """
        config = replace(
            self._config, epochs=self._config.tuning_epochs, lr=TUNING_RATE * self._config.lr
        )
        kind, _ = config.penalty(self._trained.regularizer)
        # Each process measures curves of its own.
        train(config, smaller, self._material, kind, self._trained.weight, self._trained.seed,
              together=False)  # fmt: skip

    @cached_property
    def _moments(self) -> Moments:
        """Of the whole model on its training samples, for all reconstructions."""
        return moments(self._trained.model, self._material.batches(), **self._where)

    @property
    def _where(self) -> dict[str, Any]:
        """The layer, and for models other than the study's an example of what they take."""
        is_ours = type(self._trained.model) is SequenceClassifier
        example = None if is_ours else self._material.train_x[:2]
        return {"rnn": self._config.rnn, "example": example}
