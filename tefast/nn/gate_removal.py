"""Masking and real removal of single gates.

A removed gate is a constant from then on. Its rows leave both weights and both biases. Every unit
still gives its output, so that what reads the layer stays as it is.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from tefast.nn._layers.gate_layers import GateLayer, gate_layer
from tefast.nn._layers.recurrent import (
    Gated,
    check_gated,
    check_recurrent,
    check_untied,
    find_gated,
    set_parameter,
    weights,
)
from tefast.nn._parameters import documented
from tefast.nn._runs.batches import Batch, Forward, Place, run_model
from tefast.nn._trace.copies import copy_with
from tefast.nn.gate_selection import Constants, Gates, check_constants, choose_gates
from tefast.nn.gates import gate_means, layer_means

D = TypeVar("D")
M = TypeVar("M", bound=nn.Module)
Stand: TypeAlias = Constants | Literal["mean"]
"""What stands in for a removed gate."""


class GateSavings(NamedTuple):
    """What the removal of gates saves: each field is (before, after).

    FLOPs are those of the matrix products for one step of one sequence. A multiplication and an
    addition count as two.

    Attributes
    ----------
    parameters : tuple of int
        The number of parameters.
    input_flops : tuple of int
        FLOPs of the products of the inputs with ``weight_ih``.
    recurrent_flops : tuple of int
        FLOPs of the products of the units' outputs with ``weight_hh``.
    """

    parameters: tuple[int, int]
    input_flops: tuple[int, int]
    recurrent_flops: tuple[int, int]


@documented
def mask_gates(
    rnn: nn.Module,
    gates: Gates,
    constants: Stand = "mean",
    *,
    inputs: Iterable[Any] | None = None,
) -> GateLayer:
    """Build the full-size layer in which `gates` are constants.

    It computes every gate and then replaces the removed ones by their constants. It saves nothing,
    and serves for comparison.

    Parameters
    ----------
    {rnn:gated, gates, constants, inputs}

    Returns
    -------
    GateLayer with the dtype, device, requires_grad and training mode of `rnn`. Gradients and hooks
    are not copied.

    Raises
    ------
    TypeError
        If `rnn` is no such layer, or the other arguments are of other types.
    ValueError
        If `rnn` has several layers, two directions, a projection or computed or shared weights, or
        if `gates` or `constants` are not as described, or `inputs` are missing or empty.
    """
    return _build(*_checked(rnn, gates, constants, inputs), masked=True)


@documented
def remove_gates(
    rnn: nn.Module,
    gates: Gates,
    constants: Stand = "mean",
    *,
    inputs: Iterable[Any] | None = None,
) -> GateLayer:
    """Build the layer that is left when `gates` are constants and their rows are taken away.

    Its results are those of ``mask_gates(rnn, gates, constants)``, up to the order in which a
    matrix product sums. It takes and returns what `rnn` does.

    Parameters
    ----------
    {rnn:gated, gates, constants, inputs}

    Returns
    -------
    GateReducedLSTM or GateReducedGRU with the dtype, device, requires_grad and training mode of
    `rnn`. Gradients and hooks are not copied.

    Raises
    ------
    TypeError
        If `rnn` is no such layer, or the other arguments are of other types.
    ValueError
        If `rnn` has several layers, two directions, a projection or computed or shared weights, or
        if `gates` or `constants` are not as described, or `inputs` are missing or empty.
    """
    return _build(*_checked(rnn, gates, constants, inputs), masked=False)


@documented
def prune_gates(
    model: M,
    gates: Gates,
    constants: Stand = "mean",
    *,
    batches: Iterable[Batch] | None = None,
    rnn: str = "rnn",
    forward: Forward = run_model,
    lengths: Place | bool | None = None,
) -> M:
    """Copy a model with `gates` of its recurrent layer removed.

    Parameters
    ----------
    {model, gates, constants}
    batches : iterable of (x, labels) or (x, labels, lengths), for "mean"
        The data for the means, over all valid steps: see `gate_means`. Labels are not read.
    {rnn, forward, lengths:place}

    Returns
    -------
    Module of the class of `model`, with the layer that `remove_gates` returns

    Raises
    ------
    TypeError
        If the layer is neither an LSTM nor a GRU, or the other arguments are of other types.
    ValueError
        If there is no submodule `rnn`, or it shares a weight with another; if it has several
        layers, two directions, a projection or computed weights; if `gates` or `constants` are not
        as described; or if `batches` are missing or empty. Nothing is built then.
    """
    layer = find_gated(model, rnn)
    check_untied(model, [layer])
    check_recurrent(layer)
    chosen = choose_gates(gates, layer.hidden_size, layer.mode)
    if isinstance(constants, str):
        data = _data(constants, "batches", batches)
        constants = gate_means(model, data, rnn=rnn, forward=forward, lengths=lengths)
    return copy_with(model, {layer: remove_gates(layer, chosen, constants)})


@documented
def gate_savings(rnn: nn.Module, gates: Gates) -> GateSavings:
    """Count what the removal of gates saves.

    Parameters
    ----------
    {rnn:gated, gates}

    Returns
    -------
    GateSavings

    Raises
    ------
    TypeError, ValueError
        If `rnn` is no such layer, or `gates` are not as described.
    """
    layer = check_gated(rnn)
    removed = choose_gates(gates, layer.hidden_size, layer.mode)
    width = layer.input_size + layer.hidden_size + 2 * layer.bias
    rows = removed.numel(), int((~removed).sum())
    return GateSavings(
        parameters=(rows[0] * width, rows[1] * width),
        input_flops=(2 * rows[0] * layer.input_size, 2 * rows[1] * layer.input_size),
        recurrent_flops=(2 * rows[0] * layer.hidden_size, 2 * rows[1] * layer.hidden_size),
    )


def _checked(
    rnn: nn.Module, gates: Gates, constants: Stand, inputs: Iterable[Any] | None
) -> tuple[Gated, Tensor, Tensor]:
    layer = check_gated(rnn)
    check_recurrent(layer)
    removed = choose_gates(gates, layer.hidden_size, layer.mode)
    if isinstance(constants, str):
        constants = layer_means(layer, _data(constants, "inputs", inputs))
    return layer, removed, check_constants(constants, removed, layer.mode)


def _data(constants: str, name: str, data: Iterable[D] | None) -> Iterable[D]:
    """The data for the means, once it is clear that these are wanted."""
    if constants != "mean":
        raise ValueError(f'constants: expected "mean", a number or an array, got {constants!r}')
    if data is None:
        raise ValueError(f'{name}: expected data for the constants "mean", got None')
    return data


def _build(layer: Gated, removed: Tensor, constants: Tensor, *, masked: bool) -> GateLayer:
    parameters = weights(layer)[0, 0]
    weight = parameters["weight_ih"]
    # On the meta device nothing is initialised, so no random number is drawn.
    twin = gate_layer(layer.mode, masked=masked)(
        layer.input_size,
        layer.hidden_size,
        removed,
        bias=layer.bias,
        batch_first=layer.batch_first,
        device="meta",
    )
    twin.place(removed, constants, weight.device, weight.dtype)
    rows = (torch.ones_like(removed) if masked else ~removed).t().flatten().nonzero().flatten()
    for role, parameter in parameters.items():
        left = parameter.detach().index_select(0, rows.to(parameter.device))
        set_parameter(twin, f"{role}_l0", left, parameter)
    return twin.train(layer.training)
