"""Units masked by ``torch.nn.utils.prune``, in place and while training goes on; removed later."""

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as pruning

from tefast.nn._layers.recurrent import check_recurrent, find_module, set_parameter
from tefast.nn._layers.stack import Part, part_name, recurrent_layer
from tefast.nn._layers.units import Selection, choose
from tefast.nn._parameters import documented
from tefast.nn._trace.copies import copy_with
from tefast.nn.removal import prune

M = TypeVar("M", bound=nn.Module)
R = TypeVar("R", nn.LSTM, nn.GRU, nn.RNN)

_ROLES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class UnitMask(pruning.BasePruningMethod):
    """Masks the rows of units, those of all gates, in a weight or bias of a recurrent layer.

    ``UnitMask.apply(module, name, units, width)`` masks one parameter, `mask_in_place` a layer.

    Parameters
    ----------
    units : LongTensor (K,)
        The masked units, in 0..width-1.
    width : int
        The number of units, for each of which each gate has a row.
    """

    # The only kind that is shown the whole tensor where masks are combined: "structured" would be
    # shown the rows that are left, under other numbers.
    PRUNING_TYPE = "global"

    def __init__(self, units: Tensor, width: int) -> None:
        self.units, self.width = units, width

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return a mask with 0 in the rows of the units.

        Parameters
        ----------
        t : Tensor
            The weight or bias. It is not read.
        default_mask : Tensor, of the shape of `t`
            The mask so far.

        Returns
        -------
        Tensor, of the shape of `t`
        """
        gates = default_mask.clone().view(-1, self.width, *default_mask.shape[1:])
        gates[:, self.units.to(gates.device)] = 0
        return gates.view(default_mask.shape)


@documented
def mask_in_place(rnn: R, units: Selection) -> R:
    """Mask units of a layer until `remove_masked`, with ``torch.nn.utils.prune``.

    The weights themselves stay beside their masks and can be trained on; ``prune.remove`` makes
    the masks permanent, and further calls mask further units.

    Parameters
    ----------
    rnn : nn.LSTM, nn.GRU or nn.RNN, without projection
        It is changed in place.
    {units}
        They may be all.

    Returns
    -------
    `rnn`

    Raises
    ------
    TypeError
        If `rnn` is no such layer, or `units` are not integers, or no mapping where one is needed.
    ValueError
        If `units` are out of range, repeated, or of a direction that is not there, or if the layer
        has a projection. Nothing is masked then.
    """
    _check(rnn)
    widths = dict.fromkeys(_parts(rnn), rnn.hidden_size)
    chosen = choose(units, widths, "units", may_be_all=True)
    for part, some in chosen.items():
        for role in _roles(rnn):
            name = f"{role}_{part_name(part)}"
            UnitMask.apply(rnn, name, some, rnn.hidden_size)  # type: ignore[no-untyped-call]
    return rnn


def masked_units(rnn: nn.LSTM | nn.GRU | nn.RNN) -> dict[Part, Tensor]:
    """Return the units of every direction of which all rows are masked, ascending.

    Masks of any kind count, also those of ``prune.l1_unstructured``.

    Parameters
    ----------
    rnn : nn.LSTM, nn.GRU or nn.RNN, without projection
        It is not changed.

    Returns
    -------
    dict of (layer, direction) to LongTensor (K,)

    Raises
    ------
    TypeError, ValueError
        If `rnn` is no such layer.
    """
    _check(rnn)
    found = {}
    for part in _parts(rnn):
        alive = torch.zeros(rnn.hidden_size, dtype=torch.bool)
        for role in _roles(rnn):
            name = f"{role}_{part_name(part)}"
            mask = getattr(rnn, f"{name}_mask", None)
            rows = torch.ones_like(getattr(rnn, name)) if mask is None else mask
            each = rows.detach().cpu().reshape(-1, rnn.hidden_size, rows[0].numel())
            alive |= (each != 0).any(dim=2).any(dim=0)
        found[part] = (~alive).nonzero().flatten()
    return found


@documented
def remove_masked(
    model: M, rnn: str = "rnn", consumers: Iterable[str] | None = None, *, example: Any = None
) -> M:
    """Copy a model without the units that are masked; other masks become permanent zeros.

    Parameters
    ----------
    {model, rnn, consumers, example}

    Returns
    -------
    Module of the class of `model`
        What `prune` returns for the masked units.

    Raises
    ------
    TypeError, ValueError
        If the layer is not an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` without projection, or whatever
        `prune` raises.
    """
    layer = find_module(model, rnn)
    _check(layer)
    assert isinstance(layer, nn.LSTM | nn.GRU | nn.RNN)
    plain = _plain(layer)
    check_recurrent(plain)
    units = masked_units(layer)
    return prune(copy_with(model, {layer: plain}), units, rnn, consumers, example=example)


def _plain(rnn: nn.LSTM | nn.GRU | nn.RNN) -> nn.Module:
    """Return a copy in which masked weights are plain parameters."""
    twin = recurrent_layer(
        rnn.mode,
        rnn.input_size,
        rnn.hidden_size,
        num_layers=rnn.num_layers,
        bias=rnn.bias,
        batch_first=rnn.batch_first,
        bidirectional=rnn.bidirectional,
        device="meta",
    )
    twin.dropout = rnn.dropout
    for name, _ in list(twin.named_parameters()):
        mask = getattr(rnn, f"{name}_mask", None)
        origin = getattr(rnn, name if mask is None else f"{name}_orig")
        value = origin.detach().clone() if mask is None else origin.detach() * mask
        set_parameter(twin, name, value, origin)
    twin.train(rnn.training)
    twin.flatten_parameters()
    return twin


def _check(rnn: nn.Module) -> None:
    if type(rnn) not in (nn.LSTM, nn.GRU, nn.RNN):
        raise TypeError(f"expected an nn.LSTM, nn.GRU or nn.RNN, got {type(rnn).__name__}")
    if rnn.proj_size:
        raise ValueError(f"expected a recurrent layer with proj_size=0, got {rnn.proj_size}")


def _parts(rnn: nn.LSTM | nn.GRU | nn.RNN) -> list[Part]:
    return [(n, way) for n in range(rnn.num_layers) for way in range(1 + rnn.bidirectional)]


def _roles(rnn: nn.LSTM | nn.GRU | nn.RNN) -> tuple[str, ...]:
    return _ROLES if rnn.bias else _ROLES[:2]
