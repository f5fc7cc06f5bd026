"""The recurrent layers this package reads and shrinks: one-layer, one-way LSTM, GRU and RNN."""

from typing import TypeAlias

import torch
from torch import Tensor, nn

Recurrent: TypeAlias = nn.LSTM | nn.GRU | nn.RNN

# Gates stacked along the rows of every weight: LSTM i, f, g, o; GRU r, z, n.
GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def check_recurrent(rnn: nn.Module) -> Recurrent:
    """Return `rnn` if it is a layer this package supports.

    Raises
    ------
    TypeError
        If it is not exactly an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``. A subclass may compute
        something else, so it is not taken for one.
    ValueError
        If it has several layers, two directions or a projection.
    """
    if type(rnn) not in (nn.LSTM, nn.GRU, nn.RNN):
        raise TypeError(f"expected an nn.LSTM, nn.GRU or nn.RNN, got {type(rnn).__name__}")
    assert isinstance(rnn, nn.LSTM | nn.GRU | nn.RNN)
    if rnn.num_layers != 1:
        raise ValueError(f"expected a recurrent layer with num_layers=1, got {rnn.num_layers}")
    if rnn.bidirectional:
        raise ValueError("expected a one-way recurrent layer, got bidirectional=True")
    if rnn.proj_size != 0:
        raise ValueError(f"expected a recurrent layer with proj_size=0, got {rnn.proj_size}")
    return rnn


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Return the submodule of `model` called `name` (dots for nesting), or raise ValueError."""
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    if not isinstance(name, str) or name not in modules or not name:
        known = ", ".join(repr(known) for known in modules if known) or "none"
        raise ValueError(f"{type(model).__name__} has no submodule {name!r}; it has {known}")
    return modules[name]


def find_recurrent(model: nn.Module, name: str) -> Recurrent:
    """Return the supported recurrent layer of `model` called `name`.

    Raises
    ------
    ValueError
        If there is no such submodule, or it is a kind of layer that is not supported.
    TypeError
        If the submodule is not recurrent.
    """
    found = find_module(model, name)
    try:
        return check_recurrent(found)
    except (TypeError, ValueError) as error:
        raise type(error)(f"submodule {name!r}: {error}") from None


def gate_rows(rnn: Recurrent, units: Tensor) -> Tensor:
    """Return the rows of ``weight_ih_l0`` (and its kin) that belong to `units`, gate by gate.

    Parameters
    ----------
    rnn : nn.LSTM, nn.GRU or nn.RNN
    units : LongTensor of shape (K,)

    Returns
    -------
    LongTensor of shape (gates * K,)
    """
    gates = torch.arange(GATES[rnn.mode], device=units.device)
    return (gates[:, None] * rnn.hidden_size + units).flatten()
