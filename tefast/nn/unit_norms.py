"""The norm of all weights that belong to a unit: one group of a group Lasso."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from tefast.nn._layers.recurrent import Layer
from tefast.nn.classifier import SequenceClassifier


def squared_norms(named: Mapping[str, Tensor], readers: Iterable[Tensor] = ()) -> Tensor:
    """Return for each unit the sum of the squares of all weights that belong to it.

    These are its rows in ``weight_ih`` and ``weight_hh`` of every gate, its biases, the column by
    which its output is read in the layer (in ``weight_hr``, or else in ``weight_hh``), and its
    columns in `readers`. A weight that lies in a row and in a column of a unit counts once.

    Parameters
    ----------
    named : mapping of str to Tensor
        The weights of one layer and direction, by their names without suffix.
    readers : iterable of Tensor (features, units)
        Weights that read the units outside the layer.

    Returns
    -------
    Tensor (units,), with its gradient
    """
    recurrent = named["weight_hh"]
    projection = named.get("weight_hr")
    units = recurrent.shape[1] if projection is None else projection.shape[1]
    rows = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    terms = [
        named[role].square().reshape(-1, units, named[role][0].numel()).sum((0, 2))
        for role in rows
        if role in named
    ]
    if projection is None:
        gates = recurrent.square().view(-1, units, units)
        terms += [gates.sum((0, 1)), -gates.diagonal(dim1=1, dim2=2).sum(0)]
    else:
        terms.append(projection.square().sum(0))
    terms += [reader.square().sum(0) for reader in readers]
    return torch.stack(terms).sum(0)


def readers_of(model: nn.Module, layer: Layer) -> list[Tensor]:
    """Return the weights that read the units of a layer, where they are known without a run.

    They are known for a `SequenceClassifier`: those of ``fc1``.

    Parameters
    ----------
    model : nn.Module
    layer : recurrent layer of `model`

    Returns
    -------
    list of Tensor (features, units)
    """
    if isinstance(model, SequenceClassifier) and layer is model.rnn:
        return [model.fc1.weight]
    return []
