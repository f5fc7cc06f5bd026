"""What a run of the experiment is made of, and the presets to start from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

PRECISIONS = ("float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
SPLITS = ("random", "group", "official-1", "official-2", "official-3")
REGULARIZERS = ("none", "l1", "l2", "group")
CRITERIA = ("transfer_entropy", "entropy", "l1", "random")
ORDERS = ("descending", "ascending")
GRANULARITIES = ("unit", "gate")
# What is done after units are removed; "none" is what the paper does.
RECOVERIES = ("none", "reconstruction", "fine_tuning")
# Curves that have no order have this one in the results: random orders, and small networks.
NO_ORDER = "none"
FROM_SCRATCH = "from_scratch"
"""In the results, the criterion of networks that were small from the beginning."""

# As figures and reports call them.
NAMES = {
    "transfer_entropy": "transfer entropy",
    "entropy": "entropy",
    "l1": "L1 norm",
    "l2": "L2 norm",
    "group": "group norm",
    "activation_magnitude": "activation magnitude",
    "taylor": "Taylor",
    "active_information": "active information",
    "redundancy": "redundancy",
    "spectral": "spectral",
    "random": "random order",
    FROM_SCRATCH: "trained small from scratch",
}
REGULARIZER_NAMES = {
    "none": "no regularisation",
    "l1": "L1",
    "l2": "L2",
    "group": "group penalty",
}
RECOVERY_NAMES = {
    "none": "no recovery",
    "reconstruction": "reconstruction",
    "fine_tuning": "fine-tuning",
}


def shown(criterion: str) -> str:
    """A criterion as figures and reports call it; one of the user's own by its function."""
    return NAMES.get(criterion, criterion.rpartition(":")[2].replace("_", " "))


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
    data : str or None
        File of the data set "arrays".
    groups, clips_per_group : int
        Size of the rendered set; a group shares its background.
    split : {"random", "group", "official-1", "official-2", "official-3"}
    allow_unreadable : bool
        Go on where more than a few clips cannot be read.
    allow_leak : bool
        Go on where official lists have clips of one video in both parts.
    frames : int
        Frames sampled from every clip.
    height, width : int
        Their size in pixels.
    backbone, weights : str
        The network that reads the frames; "imagenet", "random" or a file.
    model, rnn : str
        What the networks are, and the name of the recurrent layer that loses units: others than
        the default are for models of one's own.
    precision : {"float32", "bfloat16"}
        What that network computes in, and on CUDA the networks that are trained.
    device : {"auto", "cpu", "cuda"}
        What networks run on; "auto": CUDA where there is.
    workers : int
        Processes that read clips; 0: as many as there are cores.
    hidden, fc : int
        Units of the LSTM, and width between the two fully connected layers.
    epochs, batch_size, lr
        Of Adam.
    loss : {"last", "all"}
        Learn the class at the last step, or at every step.
    l1_weight, l2_weight, group_weight : float or "auto"
        Factor of the penalty; "auto": chosen on a part of each seed's training samples.
    bins : int
        For transfer entropy and entropy.
    seeds, regularizers, criteria, removed : tuples
        One model for each of the first two, scored by each criterion and left without each
        fraction of its units, in both orders.
    random_orders : int
        Random orders that the criterion "random" stands for.
    recoveries : tuple of {"none", "reconstruction", "fine_tuning"}
        What is done after units are removed; each is a curve of its own.
    from_scratch : bool
        Also train networks of each smaller size from the beginning.
    tuned : tuple of float
        The removed fractions at which networks are trained again: fine-tuned, or from scratch.
    tuning_epochs : int
        Epochs of fine-tuning.
    readings : bool
        Also compare the ways to read the paper's definition of the score.
    granularity : {"unit", "gate"}
        "gate" does the same with single gates, each a constant from then on, beside the units.
    """

    preset: str = "default"
    dataset: str = "rendered"
    data_root: str | None = None
    data: str | None = None
    groups: int = 12
    clips_per_group: int = 4
    split: str = "random"
    allow_unreadable: bool = False
    allow_leak: bool = False
    frames: int = 25
    height: int = 48
    width: int = 64
    backbone: str = "resnet18"
    weights: str = "random"
    model: str = "SequenceClassifier"
    rnn: str = "rnn"
    precision: str = "float32"
    device: str = "auto"
    workers: int = 0
    hidden: int = 1024
    fc: int = 256
    epochs: int = 6
    batch_size: int = 16
    lr: float = 2e-3
    loss: str = "last"
    l1_weight: float | Literal["auto"] = 1e-5
    l2_weight: float | Literal["auto"] = 3e-4
    group_weight: float | Literal["auto"] = 1e-4
    bins: int = 16
    seeds: tuple[int, ...] = (0, 1, 2)
    regularizers: tuple[str, ...] = ("none", "l1", "l2")
    criteria: tuple[str, ...] = CRITERIA
    removed: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    random_orders: int = 10
    recoveries: tuple[str, ...] = ("none", "reconstruction")
    from_scratch: bool = False
    tuned: tuple[float, ...] = (0.5, 0.6, 0.8)
    tuning_epochs: int = 1
    readings: bool = False
    granularity: str = "unit"

    @property
    def granularities(self) -> tuple[str, ...]:
        """What is removed, units first: gates are shown beside them."""
        return GRANULARITIES[: 1 + GRANULARITIES.index(self.granularity)]

    @property
    def recovered_regularizer(self) -> str:
        """The models that recoveries, small networks and readings are measured on."""
        return next(name for name in REGULARIZERS if name in self.regularizers)

    def penalty(self, regularizer: str) -> tuple[str | None, float | Literal["auto"]]:
        """The kind and the factor of a regulariser's penalty."""
        if regularizer == "none":
            return None, 0.0
        return regularizer, getattr(self, f"{regularizer}_weight")

    def base(self) -> dict[str, Any]:
        """The settings that every number of a run depends on.

        What a run can be extended by is left out: seeds, regularisers, criteria, fractions,
        random orders, recoveries, small networks, readings and the granularity. Where the clips
        lie, and what of them is let pass, does not matter either, as features are keyed by the
        clips.
        """
        free = (
            "preset",
            "data_root",
            "data",
            "allow_unreadable",
            "allow_leak",
            "device",
            "workers",
            "seeds",
            "regularizers",
            "criteria",
            "removed",
            "random_orders",
            "recoveries",
            "from_scratch",
            "tuned",
            "readings",
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
        random_orders=2,
        removed=(0.0, 0.5, 0.9),
    ),
    # All comparisons, as docs/study has them.
    "complete": Config(
        preset="complete",
        seeds=(0, 1, 2, 3, 4),
        criteria=(
            "transfer_entropy",
            "entropy",
            "active_information",
            "l1",
            "activation_magnitude",
            "taylor",
            "redundancy",
            "spectral",
            "random",
        ),
        removed=(0.0, 0.2, 0.4, 0.5, 0.6, 0.8),
        recoveries=RECOVERIES,
        from_scratch=True,
        tuned=(0.5, 0.6),
        readings=True,
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


def for_dataset(preset: Config, name: str) -> Config:
    """A preset with the data set of a name, and that set's settings where the preset has none.

    A preset has a setting of its own where it differs from the default one.
    """
    from tefast.experiment import datasets  # which import the settings

    default = Config()
    own = {
        setting: value
        for setting, value in datasets.named(name).settings.items()
        if getattr(preset, setting) == getattr(default, setting)
    }
    return replace(preset, dataset=name, **own)


def check(config: Config) -> Config:
    """Return `config`, or raise ConfigError for the first setting that cannot be run."""
    from tefast.experiment import datasets  # which import the settings

    _known("dataset", [config.dataset], datasets.names())
    _known("split", [config.split], SPLITS)
    _known("precision", [config.precision], PRECISIONS)
    _known("device", [config.device], DEVICES)
    _known("loss", [config.loss], ("last", "all"))
    _known("regularizers", config.regularizers, REGULARIZERS)
    _known("recoveries", config.recoveries, RECOVERIES)
    _known("granularity", [config.granularity], GRANULARITIES)
    for name, least in {
        "groups": 2, "clips_per_group": 1, "frames": 2, "height": 16, "width": 16, "hidden": 2,
        "fc": 1, "epochs": 1, "batch_size": 1, "bins": 2,
        "random_orders": 1, "tuning_epochs": 1, "workers": 0,
    }.items():  # fmt: skip
        if getattr(config, name) < least:
            raise ConfigError(f"{name} must be at least {least}, got {getattr(config, name)}")
    for name in ("l1_weight", "l2_weight", "group_weight", "lr"):
        value = getattr(config, name)
        if (value != "auto" or name == "lr") and (not math.isfinite(value) or value < 0):
            raise ConfigError(f"{name} must be finite and not negative, got {value}")
    for name in ("seeds", "regularizers", "criteria", "removed", "recoveries", "tuned"):
        values = getattr(config, name)
        if not values or len(set(values)) != len(values):
            raise ConfigError(f"{name} must be one or more different values, got {list(values)}")
    if min(config.seeds) < 0 or max(config.seeds) >= 2**63:
        raise ConfigError(f"seeds must lie in 0 .. 2**63 - 1, got {list(config.seeds)}")
    if config.bins > 256:
        raise ConfigError(f"bins must be at most 256, got {config.bins}")
    if config.lr == 0:
        raise ConfigError("lr must be above 0")
    if "group" in config.regularizers and config.rnn != "rnn":
        raise ConfigError(
            "the regulariser group needs a model whose recurrent layer is named rnn, got "
            f"{config.rnn!r}"
        )
    _check_removed(config)
    known = datasets.named(config.dataset)
    if known.needs_root and config.data_root is None:
        raise ConfigError(f"--dataset {config.dataset} needs --data-root DIR, the folder it is in")
    if known.needs_data and config.data is None:
        raise ConfigError(f"--dataset {config.dataset} needs --data FILE, the file it is in")
    if config.data is not None and not known.needs_data:
        raise ConfigError(f"--data FILE is for --dataset arrays, not for {config.dataset}")
    # 0 is where every curve starts and what the findings compare with.
    return replace(config, removed=tuple(sorted({0.0, *config.removed})))


def _check_removed(config: Config) -> None:
    for fraction in (*config.removed, *config.tuned):
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
