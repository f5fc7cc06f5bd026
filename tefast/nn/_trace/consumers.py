"""What reads the units of a layer: the modules that can do with fewer of them, and how they do."""

from dataclasses import dataclass
from typing import TypeAlias, get_args

from torch import Tensor, nn

from tefast.nn._layers.narrow import NarrowAttention, NarrowLayerNorm
from tefast.nn._layers.recurrent import Cell, Recurrent
from tefast.nn._layers.stack import RecurrentStack

RECURRENT = (*get_args(Recurrent), *get_args(Cell), RecurrentStack)
ATTENTION = (nn.MultiheadAttention, NarrowAttention)
NORMS = (nn.LayerNorm, NarrowLayerNorm)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
READERS = (
    *(nn.Linear, nn.Bilinear, *CONVOLUTIONS, nn.BatchNorm1d, nn.PReLU),
    *(*RECURRENT, *NORMS, *ATTENTION),
)
"""Modules that can do with fewer input features, of exactly these classes."""

Readings: TypeAlias = dict[str, dict[str, "Reading"]]
"""What each module reads, by its own name and that of its input."""


class UnfitError(ValueError):
    """Something that reads the units cannot do with fewer of them.

    Attributes
    ----------
    partner : str or None
        Name of a module whose units would have to go with them.
    """

    partner: str | None = None


@dataclass(frozen=True)
class Normed:
    """A LayerNorm behind the units, and what of it reaches its outputs.

    Attributes
    ----------
    name : str
        Of the module.
    weight, bias : float64 Tensor (features,)
        Its factor and shift for every label.
    """

    name: str
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Reading:
    """The input features of a module.

    Attributes
    ----------
    features : int
        How many labels of units there are.
    labels : LongTensor (n,)
        For every input feature: `OTHER`; a unit's label, 0..features-1; with
        ``features * (1 + i)`` added where it went through ``norms[i]``; or ``-2 - i`` where it is
        what ``norms[i]`` gives for all removed units.
    masked : float64 Tensor (n,)
        What the feature is when its unit is masked, or of others, if the code fixes it; of no
        meaning behind a LayerNorm.
    norms : list of Normed
    """

    features: int
    labels: Tensor
    masked: Tensor
    norms: list[Normed]


def is_reader(module: nn.Module) -> bool:
    """Return whether a module is dealt with as a whole."""
    return type(module) in READERS and not (
        isinstance(module, nn.PReLU) and module.num_parameters == 1
    )


def features_axis(module: nn.Module, rank: int) -> int:
    """Return the axis, from the end, along which a module reads features.

    Parameters
    ----------
    module : nn.Module
        One of `READERS`.
    rank : int
        Dimensions of its input.
    """
    if isinstance(module, CONVOLUTIONS):
        return -1 - len(module.kernel_size)
    if isinstance(module, nn.BatchNorm1d | nn.PReLU):
        return 1 - rank
    return -1
