"""Masking and real removal of the units of a layer.

Zeroing all gate rows of a unit (in both weights and both biases) makes its output exactly 0 at
every step when it starts from 0: an LSTM's candidate is tanh(0) = 0, so its cell stays 0; a GRU's
new value is tanh(0) = 0; an RNN gives tanh(0) or relu(0). The unit then adds w * 0 to everything
that reads it, so it can be taken away together with the columns that read it: those of its own
direction, of both directions of the next layer and, in an LSTM with a projection, of the
projection, whose outputs are there as before. A projected output is 0 when its row is.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn

from tefast.nn._layers.recurrent import (
    Cell,
    Layer,
    Weights,
    check_recurrent,
    rebuild,
    set_parameter,
    sizes,
    weights,
)
from tefast.nn._layers.stack import (
    Part,
    RecurrentStack,
    check_pair,
    join_state,
    part_name,
    split_state,
)
from tefast.nn._layers.units import Selection, choose, others
from tefast.nn._parameters import documented

KeptIndices: TypeAlias = dict[Part, Tensor]


def zeroed(layer: nn.Module, chosen: "Chosen") -> nn.Module:
    """Build a layer like another in which the chosen units give exactly 0.

    Parameters
    ----------
    layer : recurrent layer, nn.Linear or nn.Embedding
    chosen : Chosen
    """
    if isinstance(layer, nn.Linear | nn.Embedding):
        return _features(layer, lambda t, axis: _zeroed(t, axis, chosen.hidden[0, 0]))
    rnn = cast(Layer, layer)
    before = weights(rnn)
    wide = sizes(before)
    masked: Weights = {}
    for part, parameters in before.items():
        tensors = masked[part] = {role: p.detach().clone() for role, p in parameters.items()}
        rows = _gate_rows(tensors["weight_hh"], wide.hidden[part], chosen.hidden[part])
        for role, tensor in tensors.items():
            zero = chosen.outputs[part] if role == "weight_hr" else rows
            tensor.index_fill_(0, zero.to(tensor.device), 0)
    return rebuild(rnn, masked, stacked=isinstance(rnn, RecurrentStack))


@documented
def slice_state(
    rnn: Layer, state: Any, units: Selection, projections: Selection | None = None
) -> Any:
    """Cut the initial state of `rnn` to that of ``remove_units(rnn, units, projections)``.

    Parameters
    ----------
    rnn : nn.LSTM, nn.GRU, nn.RNN, one of their cells, or RecurrentStack
        The layer before the removal. It is not changed.
    state : h_0, or (h_0, c_0) of an LSTM
        The state in the shape that `rnn` takes, with or without an axis of sequences.
    {units, projections}

    Returns
    -------
    h_0, or (h_0, c_0) of an LSTM
        The state in the shape that the smaller layer takes: each is a tensor if all widths are
        equal, and otherwise a tuple with a tensor for each direction of each layer. Gradients flow
        through.

    Raises
    ------
    TypeError, ValueError
        If `rnn`, `units` or `projections` are not as `remove_units` takes them, or if `state` does
        not fit `rnn`.
    """
    check_recurrent(rnn)
    kept, widths = keep(rnn, units, projections), sizes(weights(rnn))
    if isinstance(rnn, nn.LSTMCell) or getattr(rnn, "mode", None) == "LSTM":
        h_0, c_0 = check_pair(state)
        h = _slice(rnn, h_0, "h_0", widths.outputs, kept.outputs)
        return h, _slice(rnn, c_0, "c_0", widths.hidden, kept.hidden)
    return _slice(rnn, state, "h_0", widths.outputs, kept.outputs)


class Chosen(NamedTuple):
    """Indices into the widths of every (layer, direction), as in `Sizes`."""

    hidden: KeptIndices
    outputs: KeptIndices


def choose_units(
    rnn: Layer, units: Selection, projections: Selection | None, *, may_be_all: bool
) -> Chosen:
    """Return the units that are meant, as in `mask_units`."""
    tensors = weights(rnn)
    widths = sizes(tensors)
    hidden = choose(units, widths.hidden, "units", may_be_all=may_be_all)
    if "weight_hr" not in tensors[0, 0]:
        if projections is not None:
            raise ValueError("projections: expected an LSTM with proj_size, got a layer without")
        return Chosen(hidden, hidden)
    none: Selection = {}
    given = none if projections is None else projections
    outputs = choose(given, widths.outputs, "projections", may_be_all=may_be_all)
    return Chosen(hidden, outputs)


def keep(rnn: Layer, units: Selection, projections: Selection | None) -> Chosen:
    """Return the units that stay, once it is sure that they are enough."""
    wide = sizes(weights(rnn))
    chosen = choose_units(rnn, units, projections, may_be_all=False)
    kept = Chosen(*map(others, chosen, wide))
    check_enough(rnn, kept)
    return kept


def check_enough(rnn: Layer, kept: Chosen) -> None:
    """Raise ValueError unless PyTorch takes a layer of so many units and projected outputs."""
    for part, named in weights(rnn).items():
        left, beside = len(kept.hidden[part]), len(kept.outputs[part])
        if "weight_hr" in named and left <= beside:
            raise ValueError(
                f"units: {left} of {part_name(part)} would be left beside {beside} projected "
                "outputs, and PyTorch wants more units than those; remove some of `projections` "
                "as well"
            )


def shrink(layer: nn.Module, kept: Chosen) -> nn.Module:
    """Build what is left of a layer.

    Parameters
    ----------
    layer : recurrent layer, nn.Linear or nn.Embedding
    kept : Chosen
        The units that stay.
    """
    if isinstance(layer, nn.Linear | nn.Embedding):
        index = kept.hidden[0, 0]
        return _features(layer, lambda t, axis: t.index_select(axis, index.to(t.device)))
    rnn = cast(Layer, layer)
    before = weights(rnn)
    wide = sizes(before)
    left: Weights = {}
    for part, parameters in before.items():
        number, _ = part
        rows = _gate_rows(parameters["weight_hh"], wide.hidden[part], kept.hidden[part])
        inputs = _columns(number - 1, wide.outputs, kept.outputs) if number else None
        axes = {
            "weight_ih": (rows, inputs),
            "weight_hh": (rows, kept.outputs[part]),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            "weight_hr": (kept.outputs[part], kept.hidden[part]),
        }
        left[part] = {role: _select(p.detach(), axes[role]) for role, p in parameters.items()}
    uneven = any(len({len(index) for index in each.values()}) > 1 for each in kept)
    return rebuild(rnn, left, stacked=uneven)


def _gate_rows(weight: Tensor, hidden_size: int, units: Tensor) -> Tensor:
    """Return the rows that belong to `units`, gate by gate: every gate has a row of each unit."""
    return (torch.arange(0, len(weight), hidden_size)[:, None] + units).flatten()


def _columns(layer: int, widths: dict[Part, int], kept: KeptIndices) -> Tensor:
    """Return which features of a layer are left, where both directions are concatenated."""
    parts = [part for part in widths if part[0] == layer]
    starts = [sum(widths[before] for before in parts[:number]) for number in range(len(parts))]
    return torch.cat([kept[part] + start for part, start in zip(parts, starts, strict=True)])


def _select(tensor: Tensor, axes: Iterable[Tensor | None]) -> Tensor:
    for axis, index in enumerate(axes):
        if index is not None:
            tensor = tensor.index_select(axis, index.to(tensor.device))
    return tensor


def _slice(rnn: Layer, state: Any, name: str, widths: dict[Part, int], kept: KeptIndices) -> Any:
    single = isinstance(rnn, Cell)
    each = split_state([state] if single else state, widths, name)
    left = [
        one.index_select(-1, index.to(one.device))
        for one, index in zip(each, kept.values(), strict=True)
    ]
    return left[0] if single else join_state(left)


def _zeroed(tensor: Tensor, axis: int, index: Tensor) -> Tensor:
    return tensor.clone().index_fill_(axis, index.to(tensor.device), 0)


def _features(
    layer: nn.Linear | nn.Embedding, change: Callable[[Tensor, int], Tensor]
) -> nn.Module:
    """Build a layer like another, with what `change` makes of its weights along their features."""
    twin: nn.Module
    weight = change(layer.weight.detach(), 0 if isinstance(layer, nn.Linear) else 1)
    if isinstance(layer, nn.Linear):
        biased = layer.bias is not None
        twin = nn.Linear(layer.in_features, len(weight), biased, device="meta")
        if biased:
            set_parameter(twin, "bias", change(layer.bias.detach(), 0), layer.bias)
    else:
        twin = nn.Embedding(
            layer.num_embeddings,
            weight.shape[1],
            layer.padding_idx,
            scale_grad_by_freq=layer.scale_grad_by_freq,
            sparse=layer.sparse,
            device="meta",
        )
    set_parameter(twin, "weight", weight, layer.weight)
    twin.training = layer.training
    return twin
