"""What a run of the experiment is made of, and the presets to start from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

SPLITS = ("random", "group", "official-1", "official-2", "official-3")
REGULARIZERS = ("none", "l1", "l2")
CRITERIA = ("transfer_entropy", "entropy", "l1", "random")
ORDERS = ("descending", "ascending")
GRANULARITIES = ("unit", "gate")

# As figures and reports call them.
NAMES = {
    "transfer_entropy": "transfer entropy",
    "entropy": "entropy",
    "l1": "L1 norm",
    "random": "random order",
}
REGULARIZER_NAMES = {"none": "no regularisation", "l1": "L1", "l2": "L2"}


class ConfigError(ValueError):
    """A setting that cannot be run."""


@dataclass(frozen=True)
class Config:
    """All settings of a run.

    Attributes
    ----------
    dataset : str
        One of `tefast.experiment.datasets.names`.
    data_root : str or None
        Folder of the clips; None: rendered ones, made in the output folder.
    groups, clips_per_group : int
        Size of the rendered set; a group shares its background.
    split : {"random", "group", "official-1", "official-2", "official-3"}
    frames : int
        Frames sampled from every clip.
    height, width : int
        Their size in pixels.
    weights : str
        "imagenet", "random" or a file, for the ResNet-18.
    hidden, fc : int
        Units of the LSTM, and width between the two fully connected layers.
    epochs, batch_size, lr
        Of Adam.
    loss : {"last", "all"}
        Learn the class at the last step, or at every step.
    l1_weight, l2_weight : float
        Factor of the penalty.
    bins : int
        For transfer entropy and entropy.
    seeds, regularizers, criteria, removed : tuples
        One model for each of the first two, scored by each criterion and left without each
        fraction of its units, in both orders.
    granularity : {"unit", "gate"}
        "gate" does the same with single gates, each a constant from then on, beside the units.
    """

    preset: str = "default"
    dataset: str = "rendered"
    data_root: str | None = None
    groups: int = 12
    clips_per_group: int = 4
    split: str = "random"
    frames: int = 25
    height: int = 48
    width: int = 64
    weights: str = "random"
    hidden: int = 1024
    fc: int = 256
    epochs: int = 6
    batch_size: int = 16
    lr: float = 2e-3
    loss: str = "last"
    l1_weight: float = 1e-5
    l2_weight: float = 3e-4
    bins: int = 16
    seeds: tuple[int, ...] = (0, 1, 2)
    regularizers: tuple[str, ...] = REGULARIZERS
    criteria: tuple[str, ...] = CRITERIA
    removed: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    granularity: str = "unit"

    @property
    def granularities(self) -> tuple[str, ...]:
        """What is removed, units first: gates are shown beside them."""
        return GRANULARITIES[: 1 + GRANULARITIES.index(self.granularity)]

    def penalty(self, regularizer: str) -> tuple[str | None, float]:
        """The kind and the factor of a regulariser's penalty."""
        weight = {"none": 0.0, "l1": self.l1_weight, "l2": self.l2_weight}[regularizer]
        return (None if regularizer == "none" else regularizer), weight

    def base(self) -> dict[str, Any]:
        """The settings that every number of a run depends on.

        Seeds, regularisers, criteria, fractions and the granularity are left out: a run can be
        extended by more of them. Where the clips lie does not matter either, as features are
        keyed by the clips.
        """
        free = (
            "preset",
            "data_root",
            "seeds",
            "regularizers",
            "criteria",
            "removed",
            "granularity",
        )
        return {name: value for name, value in asdict(self).items() if name not in free}


PRESETS = {
    "default": Config(),
    # Every stage and the same code, as small as it can be.
    "smoke": Config(
        preset="smoke",
        groups=5,
        clips_per_group=2,
        frames=8,
        height=24,
        width=32,
        hidden=48,
        fc=32,
        epochs=4,
        seeds=(0, 1),
        removed=(0.0, 0.5, 0.9),
    ),
    "paper": Config(
        preset="paper",
        dataset="ucf101",
        height=240,
        width=320,
        weights="imagenet",
        fc=512,
        epochs=30,
        batch_size=64,
        lr=1e-3,
    ),
}


def check(config: Config) -> Config:
    """Return `config`, or raise ConfigError for the first setting that cannot be run."""
    from tefast.experiment import datasets  # which import the settings

    _known("dataset", [config.dataset], datasets.names())
    _known("split", [config.split], SPLITS)
    _known("loss", [config.loss], ("last", "all"))
    _known("regularizers", config.regularizers, REGULARIZERS)
    _known("criteria", config.criteria, CRITERIA)
    _known("granularity", [config.granularity], GRANULARITIES)
    for name, least in {
        "groups": 2, "clips_per_group": 1, "frames": 2, "height": 16, "width": 16, "hidden": 2,
        "fc": 1, "epochs": 1, "batch_size": 1, "bins": 2,
    }.items():  # fmt: skip
        if getattr(config, name) < least:
            raise ConfigError(f"{name} must be at least {least}, got {getattr(config, name)}")
    for name in ("l1_weight", "l2_weight", "lr"):
        value = getattr(config, name)
        if not math.isfinite(value) or value < 0:
            raise ConfigError(f"{name} must be finite and not negative, got {value}")
    for name in ("seeds", "regularizers", "criteria", "removed"):
        values = getattr(config, name)
        if not values or len(set(values)) != len(values):
            raise ConfigError(f"{name} must be one or more different values, got {list(values)}")
    if min(config.seeds) < 0 or max(config.seeds) >= 2**63:
        raise ConfigError(f"seeds must lie in 0 .. 2**63 - 1, got {list(config.seeds)}")
    if config.bins > 256:
        raise ConfigError(f"bins must be at most 256, got {config.bins}")
    if config.lr == 0:
        raise ConfigError("lr must be above 0")
    _check_removed(config)
    if datasets.named(config.dataset).needs_root and config.data_root is None:
        raise ConfigError(f"--dataset {config.dataset} needs --data-root DIR, the folder it is in")
    # 0 is where every curve starts and what the findings compare with.
    return replace(config, removed=tuple(sorted({0.0, *config.removed})))


def _check_removed(config: Config) -> None:
    for fraction in config.removed:
        if not 0 <= fraction < 1:
            raise ConfigError(f"removed fractions must lie in [0, 1), got {fraction}")
        if math.floor(fraction * config.hidden + 0.5) >= config.hidden:
            raise ConfigError(
                f"removing {fraction} of {config.hidden} units would leave none; at least one "
                "must stay"
            )


def _known(name: str, given: Any, known: tuple[str, ...]) -> None:
    for value in given:
        if value not in known:
            raise ConfigError(f"unknown {name} {value!r}; known are {', '.join(known)}")
