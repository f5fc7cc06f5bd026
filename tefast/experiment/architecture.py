"""The networks of the study: LSTM classifiers, or a model of the user's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tefast.experiment.config import Config, ConfigError, check
from tefast.nn import SequenceClassifier, gate_means, load, moments, prune, prune_gates
from tefast.nn._layers.recurrent import find_recurrent, sizes, weights

Build = Callable[[int, int], nn.Module]
"""Makes a model of (features of a step, classes)."""


@dataclass(frozen=True)
class Architecture:
    """What networks are trained.

    Attributes
    ----------
    own : callable, optional
        Makes a model of the user's own, with weights drawn by PyTorch's generator. Default: a
        `SequenceClassifier` in the sizes of the settings.
    """

    own: Build | None = None

    def check(self, config: Config) -> None:
        """Raise ConfigError for settings that a model of one's own does not go with."""
        if self.own is not None and config.from_scratch:
            raise ConfigError("from_scratch: only the study's own LSTM is had in smaller sizes")

    def sized(self, config: Config, x: Tensor, num_classes: int) -> Config:
        """The settings with the number of units that the networks have.

        Parameters
        ----------
        x : Tensor of shape (n, T, D)
            A few samples.

        Raises
        ------
        ConfigError
            If a model of one's own has no such recurrent layer, too few units, or units that
            cannot be removed as the settings ask.
        """
        if self.own is None:
            return config
        model = self.build(config, x.shape[2], num_classes, config.seeds[0])
        try:
            layer = find_recurrent(model, config.rnn)
            named = weights(layer)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"model: {error}") from error
        if list(named) != [(0, 0)] or "weight_hr" in named[0, 0]:
            raise ConfigError(
                f"model: expected a recurrent layer {config.rnn!r} of one layer and direction, "
                f"without a projection, got {layer}"
            )
        sized = check(replace(config, hidden=sizes(named).hidden[0, 0]))
        _try_removal(sized, model, x)
        return sized

    def build(self, config: Config, width: int, num_classes: int, seed: int) -> nn.Module:
        """A new network, with weights drawn by a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.own is None:
                return SequenceClassifier(width, num_classes, config.hidden, config.fc, cell="lstm")
            model = self.own(width, num_classes)
        if not isinstance(model, nn.Module):
            raise ConfigError(f"model: expected an nn.Module, got {type(model).__name__}")
        return model

    def load(self, path: Path, config: Config, width: int, num_classes: int) -> nn.Module:
        """A network that was trained before."""
        if self.own is None:
            return load(path)
        return load(path, self.build(config, width, num_classes, config.seeds[0]))

    def digest(self, config: Config, width: int, num_classes: int, seed: int) -> str:
        """A hash of a new network's modules and weights."""
        model = self.build(config, width, num_classes, seed)
        # Functions are shown with their address, which is another one in each start.
        digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", repr(model)).encode())
        for name, tensor in model.state_dict().items():
            digest.update(name.encode())
            if isinstance(tensor, torch.Tensor):
                values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
                digest.update(values.numpy().data)
        return digest.hexdigest()


def _try_removal(config: Config, model: nn.Module, x: Tensor) -> None:
    """Raise ConfigError if what is done after the training cannot be done, so that none is lost."""
    rnn = config.rnn
    try:
        prune(model, [0], rnn, example=x)
        if "gate" in config.granularities:
            gates = torch.zeros_like(gate_means(model, [(x,)], rnn=rnn), dtype=torch.bool)
            gates[0, 0] = True
            prune_gates(model, gates, 0.5, rnn=rnn)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model: its units cannot be removed: {error}") from error
    if "reconstruction" in config.recoveries:
        try:
            moments(model, [(x,)], rnn, example=x)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"recoveries: the model's units cannot be reconstructed: {error}; leave out "
                "'reconstruction', as in recoveries=('none',)"
            ) from error


STANDARD = Architecture()
"""The study's own."""
