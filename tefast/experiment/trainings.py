"""The models of a run: all that are trained, with the scores of their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from tefast.experiment.architecture import Architecture
from tefast.experiment.config import Config
from tefast.experiment.datasets import Found
from tefast.experiment.datasets.base import Features
from tefast.experiment.penalties import Choice, choose
from tefast.experiment.progress import Bar
from tefast.experiment.scoring import scores_of
from tefast.experiment.splits import Split
from tefast.experiment.sweep import Trained, sizes_from_scratch
from tefast.experiment.training import Material, prepare, train_model
from tefast.experiment.workspace import Workspace
from tefast.nn.criteria import Criterion


def train_all(
    config: Config,
    space: Workspace,
    found: Found[Any],
    features: Features,
    splits: dict[int, Split],
    criteria: Mapping[str, str | Criterion],
    architecture: Architecture,
) -> tuple[list[Trained], list[Choice]]:
    """Train every model, and score its units, and gates, on its own training clips."""
    values = torch.from_numpy(features.values)
    labels = torch.tensor([clip.label for clip in found.clips])
    lengths = None if features.lengths is None else torch.from_numpy(features.lengths)
    are_known = found.grouped and all(clip.group is not None for clip in found.clips)
    keeps_groups = config.split != "random" and are_known
    trained: list[Trained] = []
    choices: list[Choice] = []
    for seed, part in splits.items():
        scaling = space.scaling(seed)
        material = prepare(values, labels, part.train, part.test, scaling, lengths)
        groups = [found.clips[i].group for i in part.train] if keeps_groups else None
        for regularizer in config.regularizers:
            training = _Training(
                config, space, material, len(found.classes), regularizer, seed, architecture
            )
            _, weight = config.penalty(regularizer)
            if weight == "auto":
                choices.append(training.choose(groups))
                weight = choices[-1].weight
                space.pin(f"penalties of regularizer {regularizer}, seed {seed}", repr(weight))
            model, small = training.models(weight)
            scores = {}
            with space.stage("scores", training.detail):
                for granularity in config.granularities:
                    place = partial(space.scores, regularizer, seed, granularity)
                    scores[granularity] = scores_of(
                        config, criteria, model, material, seed, granularity, place
                    )
            trained.append(Trained(regularizer, seed, weight, model, material, scores, small))
    return trained, choices


@dataclass(frozen=True)
class _Training:
    """The trainings for one regulariser and seed."""

    config: Config
    space: Workspace
    material: Material
    num_classes: int
    regularizer: str
    seed: int
    architecture: Architecture

    @property
    def detail(self) -> str:
        return f"regularizer {self.regularizer}, seed {self.seed}"

    def choose(self, groups: Sequence[str] | None) -> Choice:
        """Choose the factor of the penalty."""
        path = self.space.choice(self.regularizer, self.seed)
        checkpoint = partial(self.space.checkpoint, self.regularizer, self.seed)
        with (
            self.space.stage("choice of penalties", self.detail),
            Bar("choice of penalties", "epoch") as progress,
        ):
            return choose(
                self.config, self.regularizer, self.seed, self.material, groups,
                self.num_classes, path, checkpoint, progress, self.architecture,
            )  # fmt: skip

    def models(self, weight: float) -> tuple[nn.Module, dict[int, nn.Module]]:
        """Train the model, and by their units the small ones that are compared with it."""
        model = self._model("training", weight, self.config)
        small: dict[int, nn.Module] = {}
        if self.config.from_scratch and self.regularizer == self.config.recovered_regularizer:
            for units in sizes_from_scratch(self.config):
                config = replace(self.config, hidden=units)
                small[units] = self._model("training small networks", weight, config, units)
        return model, small

    def _model(
        self, stage: str, weight: float, config: Config, units: int | None = None
    ) -> nn.Module:
        detail = self.detail if units is None else f"{self.detail}, {units} units"
        with self.space.stage(stage, detail), Bar("training", "epoch") as progress:
            return train_model(
                config,
                self.material,
                self.num_classes,
                self.regularizer,
                weight,
                self.seed,
                self.space.model(self.regularizer, self.seed, units),
                self.space.checkpoint(
                    self.regularizer, self.seed, "" if units is None else f"{units}units"
                ),
                progress,
                self.architecture,
            )
