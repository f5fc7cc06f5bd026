"""Masking and real removal of recurrent units.

Zeroing all gate rows of a unit (in both weights and both biases) makes its output exactly 0 at
every step when the initial state is zero: an LSTM's candidate is tanh(0) = 0, so its cell stays
0; a GRU's new value is tanh(0) = 0; an RNN gives tanh(0) or relu(0). The unit then adds w * 0 to
everything that reads it, so it can be taken away together with the columns that read it.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tefast.nn.recurrent import (
    Recurrent,
    check_recurrent,
    find_module,
    find_recurrent,
    gate_rows,
)

Units = Tensor | NDArray[np.integer[Any]] | Sequence[int]
R = TypeVar("R", bound=Recurrent)
M = TypeVar("M", bound=nn.Module)


def mask_units(rnn: R, units: Units) -> R:
    """Copy a recurrent layer so that `units` give exactly 0 from a zero initial state.

    Parameters
    ----------
    rnn : nn.LSTM, nn.GRU or nn.RNN
        One layer, one direction, no projection. Not changed.
    units : LongTensor, integer array or sequence of int, shape (K,)
        Distinct units in 0..U-1, in any order; may be empty, may be all.

    Returns
    -------
    Module of the same class, sizes, dtype, device, requires_grad and training mode. Gradients
    and hooks are not copied.

    Raises
    ------
    TypeError
        If `rnn` is no such layer, or `units` are not integers.
    ValueError
        If the layer is of a kind that is not supported, or `units` are out of range or repeated.
    """
    check_recurrent(rnn)
    chosen = _check_units(units, rnn.hidden_size)
    weights = {name: p.detach().clone() for name, p in rnn.named_parameters(recurse=False)}
    for weight in weights.values():
        weight[gate_rows(rnn, chosen.to(weight.device))] = 0
    return _rebuild(rnn, weights, rnn.hidden_size)


def remove_units(rnn: R, units: Units) -> R:
    """Build the smaller layer that is left when `units` are taken away.

    From a zero initial state its outputs equal those of the kept units in
    ``mask_units(rnn, units)``: the sums are the same but for terms that are exactly 0. (A matrix
    product may add the terms that are left in another order, and then differs by rounding.)

    Parameters
    ----------
    rnn : nn.LSTM, nn.GRU or nn.RNN
        One layer, one direction, no projection. Not changed.
    units : LongTensor, integer array or sequence of int, shape (K,)
        Distinct units in 0..U-1, in any order; may be empty, may not be all.

    Returns
    -------
    Module of the same class with hidden_size U - K, its units in their former order, and the
    same dtype, device, requires_grad and training mode. Gradients and hooks are not copied.

    Raises
    ------
    TypeError, ValueError
        As in `mask_units`, and ValueError if `units` are all the layer has.
    """
    check_recurrent(rnn)
    kept = _kept(units, rnn.hidden_size)
    weights = {}
    for name, parameter in rnn.named_parameters(recurse=False):
        index = kept.to(parameter.device)
        rows = parameter.detach()[gate_rows(rnn, index)]
        weights[name] = rows[:, index] if name.startswith("weight_hh") else rows
    return _rebuild(rnn, weights, len(kept))


def mask(model: M, units: Units, rnn: str = "rnn") -> M:
    """Copy a model so that `units` of its recurrent layer give exactly 0.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    units : LongTensor, integer array or sequence of int, shape (K,)
    rnn : str
        Name of the recurrent layer in `model`, with dots for nesting.

    Returns
    -------
    Module like `model`, with all its sizes

    Raises
    ------
    TypeError, ValueError
        As in `mask_units`, and ValueError if there is no submodule `rnn`.
    """
    layer = find_recurrent(model, rnn)
    return copy.deepcopy(model, {id(layer): mask_units(layer, units)})


def prune(model: M, units: Units, rnn: str = "rnn", consumers: Iterable[str] = ("fc1",)) -> M:
    """Copy a model without `units` of its recurrent layer and without the weights that read them.

    Parameters
    ----------
    model : nn.Module
        Not changed. It must start its recurrent layer from a zero state.
    units : LongTensor, integer array or sequence of int, shape (K,)
        Distinct units in 0..U-1, in any order; may be empty, may not be all.
    rnn : str
        Name of the recurrent layer in `model`, with dots for nesting.
    consumers : iterable of str
        Names of all ``nn.Linear`` that read the layer's output (U features); their input
        columns go with the units.

    Returns
    -------
    Module like `model`, with a recurrent layer of U - K units. Attributes of the model that
    merely repeat the size are copied as they are.

    Raises
    ------
    TypeError, ValueError
        As in `remove_units`, and if a submodule is missing, or a consumer is no ``nn.Linear``,
        is named twice or does not take U features. Nothing is built before all is checked.
    """
    layer = find_recurrent(model, rnn)
    kept = _kept(units, layer.hidden_size)
    readers = _check_consumers(model, consumers, layer.hidden_size)
    # deepcopy takes what its memo holds, so the large layers are never copied whole.
    memo: dict[int, Any] = {id(reader): _keep_columns(reader, kept) for reader in readers}
    memo[id(layer)] = remove_units(layer, units)
    return copy.deepcopy(model, memo)


def _check_units(units: Units, hidden_size: int) -> Tensor:
    if isinstance(units, str | bytes) or not isinstance(units, Tensor | np.ndarray | Sequence):
        raise TypeError(f"units: expected integers of shape (K,), got {type(units).__name__}")
    if isinstance(units, Tensor):
        values = units.detach().cpu().numpy()
    else:
        values = np.asarray(units) if len(units) else np.empty(0, np.int64)
    if values.ndim != 1:
        raise ValueError(f"units: expected shape (K,), got {values.shape}")
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"units: expected integers, got {values.dtype}")
    outside = values[(values < 0) | (values >= hidden_size)]
    if outside.size:
        raise ValueError(f"units: expected 0..{hidden_size - 1}, got {outside[0]}")
    names, times = np.unique(values, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"units: unit {names[times > 1][0]} is given more than once")
    return torch.as_tensor(values.astype(np.int64))


def _kept(units: Units, hidden_size: int) -> Tensor:
    removed = _check_units(units, hidden_size)
    if len(removed) == hidden_size:
        raise ValueError(f"units: all {hidden_size} units given; at least one must stay")
    keep = torch.ones(hidden_size, dtype=torch.bool)
    keep[removed] = False
    return keep.nonzero().flatten()


def _check_consumers(model: nn.Module, names: Iterable[str], features: int) -> list[nn.Linear]:
    if isinstance(names, str):
        raise TypeError(f"consumers: expected a sequence of names, got the string {names!r}")
    consumers: list[nn.Linear] = []
    for name in names:
        module = find_module(model, name)
        # A subclass of Linear may read its input in another way.
        if type(module) is not nn.Linear:
            raise TypeError(f"consumer {name!r}: expected nn.Linear, got {type(module).__name__}")
        if module.in_features != features:
            raise ValueError(
                f"consumer {name!r}: expected in_features {features}, the recurrent layer's "
                f"hidden_size, got {module.in_features}"
            )
        if any(module is other for other in consumers):
            raise ValueError(f"consumer {name!r} is given more than once")
        consumers.append(module)
    return consumers


def _rebuild(rnn: R, weights: dict[str, Tensor], hidden_size: int) -> R:
    # Built on the meta device: nothing is initialised, so no random number is drawn.
    options: dict[str, Any] = {"bias": rnn.bias, "batch_first": rnn.batch_first, "device": "meta"}
    if isinstance(rnn, nn.RNN):
        options["nonlinearity"] = rnn.nonlinearity
    twin = type(rnn)(rnn.input_size, hidden_size, **options)
    # Without effect in one layer; given to the constructor it would warn.
    twin.dropout = rnn.dropout
    _set_parameters(twin, rnn, weights)
    twin.flatten_parameters()
    return twin


def _keep_columns(linear: nn.Linear, kept: Tensor) -> nn.Linear:
    twin = nn.Linear(len(kept), linear.out_features, linear.bias is not None, device="meta")
    weights = {"weight": linear.weight.detach()[:, kept.to(linear.weight.device)]}
    if linear.bias is not None:
        weights["bias"] = linear.bias.detach().clone()
    _set_parameters(twin, linear, weights)
    return twin


def _set_parameters(
    twin: Recurrent | nn.Linear, origin: Recurrent | nn.Linear, weights: dict[str, Tensor]
) -> None:
    for name, parameter in origin.named_parameters(recurse=False):
        setattr(twin, name, nn.Parameter(weights[name], requires_grad=parameter.requires_grad))
    twin.train(origin.training)
