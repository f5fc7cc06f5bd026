"""What reads a layer: as callers name it, or as it is found on an example."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from tefast.nn._layers.numbering import Numbering
from tefast.nn._layers.recurrent import find_module
from tefast.nn._trace.consumers import RECURRENT, Reading, Readings
from tefast.nn._trace.flow import Tie
from tefast.nn._trace.found import Returned
from tefast.nn._trace.group import Group, about
from tefast.nn._trace.readers import check_reader
from tefast.nn._trace.trial import Trial, check_ready
from tefast.nn.classifier import SequenceClassifier


def known_readers(
    model: nn.Module, names: list[str], consumers: Iterable[str] | None
) -> Iterable[str] | None:
    """Return the names of what reads the layers, where they are given or known of the class."""
    # Of its own class the reader is known, and a run of large layers takes its time.
    ours = type(model) is SequenceClassifier and names == ["rnn"]
    return ("fc1",) if consumers is None and ours else consumers


def find_labels(
    model: nn.Module,
    rnn: str,
    group: Group,
    consumers: Iterable[str] | None,
    example: Any,
    examples: Any,
    returned: Returned,
) -> tuple[dict[str, dict[str, Tensor]], list[Tie]]:
    """Return which units every reader of a layer reads at which feature, and which meet.

    Arguments are those of `prune`, and a group that loses nothing.
    """
    check_ready(model)
    known = known_readers(model, group.names, consumers)
    with torch.inference_mode(False), torch.no_grad():
        if known is None:
            trial = Trial(model, group, example, examples, returned)
            readings, ties = trial.readings, trial.found.ties
        else:
            readings, ties = named_readings(model, rnn, known), []
    labels = {
        name: {role: reading.labels for role, reading in roles.items()}
        for name, roles in readings.items()
    }
    return labels, ties


def named_readings(model: nn.Module, rnn: str, names: Iterable[str]) -> Readings:
    """Return what named modules read, if they read all outputs of the layer and nothing else.

    Raises
    ------
    TypeError, ValueError
        If one is of another class than ``nn.Linear`` and recurrent layers, does not take the
        layer's features, or is named twice.
    """
    if isinstance(names, str):
        raise TypeError(f"consumers: expected a sequence of names, got the string {names!r}")
    layer = find_module(model, rnn)
    numbering = Numbering({rnn: layer})
    labels = numbering.last(rnn)
    zeros = torch.zeros(len(labels), dtype=torch.float64)
    readings: Readings = {}
    for name in names:
        module = find_module(model, name)
        # A subclass of Linear may read its input in another way.
        if module is layer or type(module) not in (nn.Linear, *RECURRENT):
            raise TypeError(
                f"consumer {name!r}: expected nn.Linear or another recurrent layer, got "
                f"{type(module).__name__}; leave consumers out to have what reads the layer "
                "found, with returned= if the model returns states and examples= if it goes "
                "different ways"
            )
        with about(f"consumer {name!r}"):
            check_reader(module)
        linear = isinstance(module, nn.Linear)
        features = module.in_features if linear else cast(Any, module).input_size
        if features != len(labels):
            raise ValueError(
                f"consumer {name!r}: expected {'in_features' if linear else 'input_size'} "
                f"{len(labels)}, the recurrent layer's output features, got {features}"
            )
        if any(module is model.get_submodule(before) for before in readings):
            raise ValueError(f"consumer {name!r} is given more than once")
        readings[name] = {"input": Reading(numbering.count, labels, zeros, [])}
    return readings
