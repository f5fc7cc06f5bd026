"""Networks of torchvision and timm by name, for those who have installed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from tefast.experiment.config import ConfigError
from tefast.experiment.features.backbones import IMAGENET_MEAN, IMAGENET_STD, OWN, SEED, seeded
from tefast.experiment.features.weights import (
    DOWNLOAD_TIMEOUT,
    WeightsError,
    answering_within,
    put_weights,
    read_weights,
    sha256_of,
)

CLASSIFIERS = ("fc", "classifier", "head", "heads")
"""What torchvision's networks call their last part."""


def zoo_network(name: str, weights: str) -> dict[str, Any]:
    """A network without its classifier, as arguments of `Backbone`.

    Parameters
    ----------
    name : str
        As torchvision or timm calls it. Torchvision's is taken where both have it.
    weights : str
        "imagenet": the default ones of the package, which it downloads; "random"; or a file.

    Raises
    ------
    ConfigError
        If neither package can be imported, or none has such a network.
    WeightsError
        If the weights cannot be had, or are of another network.
    """
    causes = []
    for package, make in (("torchvision", _torchvision), ("timm", _timm)):
        try:
            made = make(name, weights)
        except (ConfigError, WeightsError):
            raise
        except Exception as error:  # a torchvision that is not for this torch fails by any error
            causes.append(f"{package}: {error}")
            continue
        if made is not None:
            return made
        causes.append(f"{package} has no such model")
    raise ConfigError(
        f"--backbone takes {OWN}, or the name of a model of torchvision or timm where these are "
        f"installed; {name!r} cannot be made ({'; '.join(causes)})"
    )


def _torchvision(name: str, weights: str) -> dict[str, Any] | None:
    from torchvision import models

    if name not in models.list_models():
        return None
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    network, source = _with_weights(
        name,
        weights,
        lambda: models.get_model(name, weights="DEFAULT", progress=False),
        lambda: models.get_model(name, weights=None),
        _last_part,
    )
    if weights == "imagenet":
        transforms = models.get_model_weights(name).DEFAULT.transforms()
        mean = tuple(getattr(transforms, "mean", mean))
        std = tuple(getattr(transforms, "std", std))
    last = _last_part(network)
    if last:
        setattr(network, last, nn.Identity())
    return {"network": network, "mean": mean, "std": std, **source}


def _timm(name: str, weights: str) -> dict[str, Any] | None:
    import timm

    if not timm.is_model(name):
        return None
    network, source = _with_weights(
        name,
        weights,
        lambda: timm.create_model(name, pretrained=True, num_classes=0),
        lambda: timm.create_model(name, pretrained=False, num_classes=0),
        lambda made: str(getattr(made, "pretrained_cfg", {}).get("classifier") or ""),
    )
    known = timm.data.resolve_model_data_config(network)
    return {"network": network, "mean": tuple(known["mean"]), "std": tuple(known["std"]), **source}


def _with_weights(
    name: str, weights: str, trained: Any, plain: Any, last_part: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and what to say of its weights."""
    if weights == "imagenet":
        try:
            with answering_within(DOWNLOAD_TIMEOUT):
                return trained(), {"described": f"{name} with weights trained on ImageNet"}
        except (OSError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"cannot get the ImageNet weights of {name} ({error}); give a file of them by "
                "--weights FILE, or choose --weights random"
            ) from error
    network: nn.Module = seeded(plain)
    if weights == "random":
        return network, {"described": f"{name} with random weights (seed {SEED})"}
    path = Path(weights)
    last = last_part(network)
    without = f"{last}." if last else ""
    put_weights(network, read_weights(path), path, of=f"a {name}", without=without)
    described = f"{name} with weights from {path.name}"
    return network, {"described": described, "weights_sha256": sha256_of(path)}


def _last_part(network: nn.Module) -> str:
    """The name of the classifier; empty if it has none that is known."""
    return next((name for name in CLASSIFIERS if hasattr(network, name)), "")
