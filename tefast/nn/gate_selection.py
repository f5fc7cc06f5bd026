"""Which gates are meant, which are to be removed, and what they are to be."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tefast.nn._layers.units import Units, choose
from tefast.nn.selection import select_units

GATES = {"LSTM": "ifgo", "GRU": "rzn"}
"""The gates of a unit in the order in which PyTorch's weights have their rows."""

LOWEST = {name: -1.0 if name in "gn" else 0.0 for names in GATES.values() for name in names}
"""The lower bound of every gate; the upper one is 1."""

Gates: TypeAlias = Tensor | NDArray[np.bool_] | Mapping[str, Units]
"""True for every gate that is meant, of shape (U, G), or the units of each gate by its name."""

Constants: TypeAlias = float | Tensor | NDArray[np.floating[Any]]
"""A number for all, or one for every gate, of shape (U, G)."""


def select_gates(
    scores: Tensor | NDArray[np.generic], amount: float, *, descending: bool
) -> Tensor:
    """Select the gates to remove, of all units and kinds together.

    Parameters
    ----------
    scores : Tensor or array of shape (U, G)
        One real score for each gate. Infinities are allowed, NaN is not.
    amount : float or int
        How many gates are selected. A float in [0, 1] is a fraction of the U * G gates, rounded to
        the nearest number; a half is rounded up. An int in 0..U*G is a number of gates.
    descending : bool
        True removes the highest score first, False the lowest first. Of equal scores, the gate of
        the lower unit goes first, and of one unit the gate that PyTorch has first.

    Returns
    -------
    BoolTensor of shape (U, G), on the CPU

    Raises
    ------
    TypeError
        If `scores` is not a real tensor or array, or `amount` is a bool or no number.
    ValueError
        If `scores` is not of shape (U, G) or has a NaN, or `amount` is out of its range.

    Warns
    -----
    RuntimeWarning
        If most of the selected gates have equal scores, so that only their index decides.
    """
    if not isinstance(scores, Tensor | np.ndarray):
        raise TypeError(f"scores: expected a tensor or an array, got {type(scores).__name__}")
    if scores.ndim != 2:
        raise ValueError(f"scores: expected shape (U, G), got {tuple(scores.shape)}")
    chosen = torch.zeros(scores.size if isinstance(scores, np.ndarray) else scores.numel()).bool()
    chosen[select_units(scores.reshape(-1), amount, descending=descending)] = True
    return chosen.reshape(scores.shape)


def choose_gates(gates: Gates, hidden_size: int, mode: str) -> Tensor:
    """Return which gates are meant.

    Parameters
    ----------
    gates : bool Tensor or array of shape (U, G), or mapping of str to units
        Such as ``{"i": [0, 3], "o": range(5)}``; gates that are not named are not meant.
    hidden_size : int
        Units, U.
    mode : {"LSTM", "GRU"}

    Returns
    -------
    BoolTensor of shape (U, G), on the CPU

    Raises
    ------
    TypeError, ValueError
        If `gates` are of another type or shape, a name is not of a gate of `mode`, or its units
        are not integers, out of range or repeated.
    """
    names = GATES[mode]
    shape = (hidden_size, len(names))
    if isinstance(gates, Mapping):
        chosen = torch.zeros(shape, dtype=torch.bool)
        for name, units in gates.items():
            if not isinstance(name, str) or len(name) != 1 or name not in names:
                raise ValueError(f"gates: expected names from {', '.join(names)}, got {name!r}")
            only = {(0, 0): hidden_size}
            of_name = choose(units, only, f"gates[{name!r}]", may_be_all=True)[0, 0]
            chosen[of_name, names.index(name)] = True
        return chosen
    if not isinstance(gates, Tensor | np.ndarray):
        raise TypeError(
            f"gates: expected bools of shape {shape} or a mapping from {', '.join(names)} to "
            f"units, got {type(gates).__name__}"
        )
    values = torch.as_tensor(gates).detach().cpu()
    if values.dtype != torch.bool:
        raise TypeError(f"gates: expected bools, got {values.dtype}")
    if values.shape != shape:
        raise ValueError(f"gates: expected shape {shape}, got {tuple(values.shape)}")
    return values.clone()


def check_constants(constants: Constants, removed: Tensor, mode: str) -> Tensor:
    """Return the constants of `removed` gates, and 0 for the others.

    Parameters
    ----------
    constants : float, or Tensor or array of shape (U, G)
    removed : BoolTensor of shape (U, G)
    mode : {"LSTM", "GRU"}

    Returns
    -------
    Tensor of shape (U, G), float64, on the CPU

    Raises
    ------
    TypeError, ValueError
        If `constants` are of another type or shape, or one of a removed gate is not a value that
        the gate can take: in [0, 1], or in [-1, 1] of the candidates g and n.
    """
    number = isinstance(constants, int | float | np.number) and not isinstance(constants, bool)
    if not number and not isinstance(constants, Tensor | np.ndarray):
        raise TypeError(
            f"constants: expected a number or an array of shape {tuple(removed.shape)}, got "
            f"{constants if isinstance(constants, str) else type(constants).__name__!r}"
        )
    values = torch.as_tensor(constants).detach().to("cpu", torch.float64)
    if values.ndim and values.shape != removed.shape:
        raise ValueError(
            f"constants: expected shape {tuple(removed.shape)}, got {tuple(values.shape)}"
        )
    values = torch.where(removed, values, 0.0)
    low = torch.tensor([LOWEST[name] for name in GATES[mode]], dtype=torch.float64)
    wrong = ~((values >= low) & (values <= 1))  # true for NaN
    if wrong.any():
        unit, gate = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"constants: expected gate {GATES[mode][gate]!r} of unit {unit} in "
            f"[{LOWEST[GATES[mode][gate]]:g}, 1], got {values[unit, gate]:g}"
        )
    return values
