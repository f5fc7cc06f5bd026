"""Masking and real removal of recurrent units.

Zeroing all gate rows of a unit (in both weights and both biases) makes its output exactly 0 at
every step when it starts from 0: an LSTM's candidate is tanh(0) = 0, so its cell stays 0; a GRU's
new value is tanh(0) = 0; an RNN gives tanh(0) or relu(0). The unit then adds w * 0 to everything
that reads it, so it can be taken away together with the columns that read it: those of its own
direction, of both directions of the next layer and, in an LSTM with a projection, of the
projection, whose outputs are there as before. A projected output is 0 when its row is.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

from tefast.nn.classifier import SequenceClassifier
from tefast.nn.consumers import RECURRENT, Numbering, Reading, Readings
from tefast.nn.copies import copy_with
from tefast.nn.readers import check_reader, narrow
from tefast.nn.recurrent import (
    Cell,
    Layer,
    Weights,
    check_recurrent,
    check_untied,
    find_module,
    find_recurrent,
    rebuild,
    sizes,
    weights,
)
from tefast.nn.stack import Part, RecurrentStack, check_pair, join_state, part_name, split_state
from tefast.nn.trial import Trial, check_outputs, check_ready
from tefast.nn.units import Selection, choose, others

L = TypeVar("L", bound=Layer)
M = TypeVar("M", bound=nn.Module)
Indices: TypeAlias = dict[Part, Tensor]


def mask_units(rnn: L, units: Selection, projections: Selection | None = None) -> L:
    """Copy a recurrent layer so that `units` give exactly 0 when they start from 0.

    Parameters
    ----------
    rnn : nn.LSTM, nn.GRU, nn.RNN, one of their cells, or RecurrentStack
        Not changed.
    units : LongTensor, integer array or sequence of int, shape (K,), or a mapping to such
        Distinct units in 0..U-1, in any order; may be empty, may be all. A layer with several
        layers or directions takes a mapping from ``(layer, direction)``, or from PyTorch's name
        for it such as ``"l0"`` or ``"l1_reverse"``, to units; what is not named loses none.
    projections : the same, of an LSTM with proj_size, optional
        Projected outputs in 0..proj_size-1. `units` are then those the gates compute, and
        without them the projected outputs are there as before.

    Returns
    -------
    Module of the same class, sizes, dtype, device, requires_grad and training mode. Gradients
    and hooks are not copied.

    Raises
    ------
    TypeError
        If `rnn` is no such layer, or `units` are not integers, or no mapping where one is needed.
    ValueError
        If `units` are out of range, repeated, or of a direction that is not there; if there are
        no projections; or if a weight of the layer is computed from others or shared.
    """
    check_recurrent(rnn)
    before = weights(rnn)
    widths = sizes(before)
    chosen = _choose(rnn, units, projections, may_be_all=True)
    masked: Weights = {}
    for part, parameters in before.items():
        tensors = masked[part] = {role: p.detach().clone() for role, p in parameters.items()}
        rows = _gate_rows(tensors["weight_hh"], widths.hidden[part], chosen.hidden[part])
        for role, tensor in tensors.items():
            zero = chosen.outputs[part] if role == "weight_hr" else rows
            tensor.index_fill_(0, zero.to(tensor.device), 0)
    return cast(L, rebuild(rnn, masked, stacked=isinstance(rnn, RecurrentStack)))


def remove_units(rnn: Layer, units: Selection, projections: Selection | None = None) -> Layer:
    """Build the smaller layer that is left when `units` are taken away.

    When they start from 0, its outputs equal those of the kept units in
    ``mask_units(rnn, units)``: the sums are the same but for terms that are exactly 0. (A matrix
    product may add the terms that are left in another order, and then differs by rounding.) An
    initial state that is given goes through `slice_state`; what the removed units would have
    started from is lost, so the result is that of the masked layer where they start from 0.

    Parameters
    ----------
    rnn : nn.LSTM, nn.GRU, nn.RNN, one of their cells, or RecurrentStack
        Not changed.
    units, projections
        As in `mask_units`, but not all of a direction. PyTorch wants more units than projected
        outputs.

    Returns
    -------
    Module of the same class with the other units in their former order, or a `RecurrentStack`
    where the layers or directions are not left with equally many. (Where those of a stack are,
    PyTorch's own class.) It has the same dtype, device, requires_grad and training mode.
    Gradients and hooks are not copied.

    Raises
    ------
    TypeError, ValueError
        As in `mask_units`, and ValueError if all units of a direction are given, or no more are
        left than projected outputs. Nothing is built then.
    """
    check_recurrent(rnn)
    return _shrink(rnn, _keep(rnn, units, projections))


def slice_state(
    rnn: Layer, state: Any, units: Selection, projections: Selection | None = None
) -> Any:
    """Take the initial state of `rnn` to the one of ``remove_units(rnn, units, projections)``.

    Parameters
    ----------
    rnn : the layer before the removal
    state : h_0, or (h_0, c_0) of an LSTM
        As `rnn` takes it, batched or not.
    units, projections
        As they are removed.

    Returns
    -------
    State as the smaller layer takes and returns it: h_0, or (h_0, c_0), each a tensor where all
    widths are equal, else a tuple of a tensor for each direction of each layer. Gradients flow
    through.

    Raises
    ------
    TypeError, ValueError
        As in `remove_units`, and if `state` does not fit `rnn`.
    """
    check_recurrent(rnn)
    kept, widths = _keep(rnn, units, projections), sizes(weights(rnn))
    if isinstance(rnn, nn.LSTMCell) or getattr(rnn, "mode", None) == "LSTM":
        h_0, c_0 = check_pair(state)
        h = _slice(rnn, h_0, "h_0", widths.outputs, kept.outputs)
        return h, _slice(rnn, c_0, "c_0", widths.hidden, kept.hidden)
    return _slice(rnn, state, "h_0", widths.outputs, kept.outputs)


def mask(model: M, units: Selection, rnn: str = "rnn", projections: Selection | None = None) -> M:
    """Copy a model so that `units` of its recurrent layer give exactly 0.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    units, projections
        As in `mask_units`.
    rnn : str
        Name of the recurrent layer in `model`, with dots for nesting.

    Returns
    -------
    Module like `model`, with all its sizes

    Raises
    ------
    TypeError, ValueError
        As in `mask_units`, and ValueError if there is no submodule `rnn`, or it shares a weight
        with another.
    """
    layer = find_recurrent(model, rnn)
    check_untied(model, [layer])
    return copy_with(model, {layer: mask_units(layer, units, projections)})


def prune(
    model: M,
    units: Selection,
    rnn: str = "rnn",
    consumers: Iterable[str] | None = None,
    projections: Selection | None = None,
    *,
    example: Any = None,
) -> M:
    """Copy a model without `units` of its recurrent layer and without the weights that read them.

    Parameters
    ----------
    model : nn.Module
        Not changed. It must start its recurrent layer from a zero state.
    units, projections
        As in `remove_units`.
    rnn : str
        Name of the recurrent layer in `model`, with dots for nesting.
    consumers : iterable of str, optional
        Names of all that reads the layer's output, as features of its last layer, forward and
        reverse concatenated: ``nn.Linear`` or other recurrent layers. Their input columns go with
        the units. By default they are found by running the model in evaluation mode on `example`
        and following the layer's outputs and final states: ``nn.Linear``, recurrent layers,
        ``nn.LayerNorm``, ``nn.BatchNorm1d`` and ``nn.MultiheadAttention``, behind dropout,
        activations, slices and means over steps, transposition and concatenation.
    example : Tensor, tuple, mapping, Arguments or another object, optional
        What the model is called with; small. A plain tuple holds its arguments by place, a mapping
        whose keys are names of arguments of ``model.forward`` holds them by name, `Arguments` both.
        All else is its only argument, so also a ``PackedSequence``, a named tuple and a mapping
        with other keys. By default made up: two sequences of five steps of features, or of tokens, and
        their lengths where the second argument of ``forward`` is called after lengths. Every run
        gets a copy.

    Returns
    -------
    Module like `model`, with the layer that `remove_units` gives. Attributes of the model that
    merely repeat the size are copied as they are. ``nn.LayerNorm`` becomes `NarrowLayerNorm` and
    ``nn.MultiheadAttention`` `NarrowAttention`; what a removed unit still gives behind a bias
    (in evaluation mode behind ``nn.BatchNorm1d``) goes into the bias of what reads it. Hooks of
    the modules that are replaced go along. Tensors that autograd has computed are plain ones.

    Raises
    ------
    TypeError, ValueError
        As in `remove_units`, and if a submodule is missing, or a consumer is of another class,
        is named twice, does not take the layer's features, or shares a weight with another
        submodule; if a ``forward`` was replaced on one of these modules, a weight of the model is
        not there yet, or something in the model or the example cannot be copied. Without names,
        also if the outputs reach something that cannot do with fewer of them, which is named, or
        the pruned model does not do on `example` what the masked one does, operation by operation
        in double precision. With names, if it runs and returns something else in the same shape.
    """
    layer = find_recurrent(model, rnn)
    kept = _keep(layer, units, projections)
    check_ready(model)
    with torch.inference_mode(False), torch.no_grad():
        if consumers is not None:
            trial = None
            readings = _named_readings(model, layer, consumers)
        elif type(model) is SequenceClassifier and rnn == "rnn":
            trial = None  # known, and a run of large layers takes its time
            readings = _named_readings(model, layer, ("fc1",))
        else:
            flags = Numbering(layer).flags(kept.outputs, kept.hidden)
            masked = mask(model, units, rnn, projections)
            trial = Trial(model, masked, rnn, ~flags, example)
            readings = trial.readings
        smaller = _without(model, rnn, kept, readings)
        if trial is not None:
            trial.check(smaller, lambda twin: _without(twin, rnn, kept, readings))
        elif consumers is not None:
            masked = mask(model, units, rnn, projections)
            check_outputs(
                model, masked, rnn, example, lambda twin: _without(twin, rnn, kept, readings)
            )
    return smaller


class _Chosen(NamedTuple):
    """Indices into the widths of every (layer, direction), as in `Sizes`."""

    hidden: Indices
    outputs: Indices


def _choose(
    rnn: Layer, units: Selection, projections: Selection | None, *, may_be_all: bool
) -> _Chosen:
    tensors = weights(rnn)
    widths = sizes(tensors)
    hidden = choose(units, widths.hidden, "units", may_be_all=may_be_all)
    if "weight_hr" not in tensors[0, 0]:
        if projections is not None:
            raise ValueError("projections: expected an LSTM with proj_size, got a layer without")
        return _Chosen(hidden, hidden)
    none: Selection = {}
    given = none if projections is None else projections
    outputs = choose(given, widths.outputs, "projections", may_be_all=may_be_all)
    return _Chosen(hidden, outputs)


def _keep(rnn: Layer, units: Selection, projections: Selection | None) -> _Chosen:
    tensors = weights(rnn)
    widths = sizes(tensors)
    chosen = _choose(rnn, units, projections, may_be_all=False)
    kept = _Chosen(*map(others, chosen, widths))
    for part, left in kept.hidden.items():
        beside = len(kept.outputs[part])
        if "weight_hr" in tensors[part] and len(left) <= beside:
            raise ValueError(
                f"units: {len(left)} of {part_name(part)} would be left beside {beside} projected "
                "outputs, and PyTorch wants more units than those; remove some of `projections` "
                "as well"
            )
    return kept


def _shrink(rnn: Layer, kept: _Chosen) -> Layer:
    before = weights(rnn)
    widths = sizes(before)
    left: Weights = {}
    for part, parameters in before.items():
        layer, _ = part
        rows = _gate_rows(parameters["weight_hh"], widths.hidden[part], kept.hidden[part])
        inputs = _columns(layer - 1, widths.outputs, kept.outputs) if layer else None
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


def _columns(layer: int, widths: dict[Part, int], kept: Indices) -> Tensor:
    """Return which features of a layer are left, where both directions are concatenated."""
    parts = [part for part in widths if part[0] == layer]
    starts = [sum(widths[before] for before in parts[:number]) for number in range(len(parts))]
    return torch.cat([kept[part] + start for part, start in zip(parts, starts, strict=True)])


def _select(tensor: Tensor, axes: Iterable[Tensor | None]) -> Tensor:
    for axis, index in enumerate(axes):
        if index is not None:
            tensor = tensor.index_select(axis, index.to(tensor.device))
    return tensor


def _slice(rnn: Layer, state: Any, name: str, widths: dict[Part, int], kept: Indices) -> Any:
    single = isinstance(rnn, Cell)
    each = split_state([state] if single else state, widths, name)
    left = [
        one.index_select(-1, index.to(one.device))
        for one, index in zip(each, kept.values(), strict=True)
    ]
    return left[0] if single else join_state(left)


def _without(model: M, rnn: str, kept: _Chosen, readings: Readings) -> M:
    """Copy a model with the smaller layer and with what reads it narrowed."""
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    layer = cast(Layer, modules[rnn])
    for name in readings:
        with _about(name):
            check_reader(modules[name])
    check_untied(model, [layer, *(modules[name] for name in readings)])
    flags = Numbering(layer).flags(kept.outputs, kept.hidden)
    smaller: dict[nn.Module, nn.Module] = {}
    for name, reading in readings.items():
        with _about(name):
            smaller[modules[name]] = narrow(modules[name], reading, flags)
    smaller[layer] = _shrink(layer, kept)
    return copy_with(model, smaller)


def _named_readings(model: nn.Module, layer: Layer, names: Iterable[str]) -> Readings:
    if isinstance(names, str):
        raise TypeError(f"consumers: expected a sequence of names, got the string {names!r}")
    numbering = Numbering(layer)
    labels = numbering.last()
    zeros = torch.zeros(len(labels), dtype=torch.float64)
    readings: Readings = {}
    for name in names:
        module = find_module(model, name)
        # A subclass of Linear may read its input in another way.
        if module is layer or type(module) not in (nn.Linear, *RECURRENT):
            raise TypeError(
                f"consumer {name!r}: expected nn.Linear or another recurrent layer, got "
                f"{type(module).__name__}"
            )
        with _about(name):
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


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Say which consumer an error is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"consumer {name!r}: {error}") from None
