"""The modules that read the units of a layer and can be narrowed."""

from dataclasses import dataclass
from typing import TypeAlias, get_args

from torch import Tensor

from tefast.nn._layers.recurrent import Cell, Recurrent
from tefast.nn._layers.stack import RecurrentStack

RECURRENT = (*get_args(Recurrent), *get_args(Cell), RecurrentStack)

Readings: TypeAlias = dict[str, dict[str, "Reading"]]
"""What each module reads, by the name of the module and the name of its input."""


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
    """A LayerNorm that reads the units, and what reaches its outputs.

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
class Columns:
    """Where a module reads features: columns of a weight, and the bias beside them.

    Attributes
    ----------
    weight : Tensor (outputs, features, ...)
        A view of the parameter, so that it may be changed in place.
    bias : Tensor (outputs,), optional
        Likewise; None where a constant feature cannot be moved to it.
    """

    weight: Tensor
    bias: Tensor | None


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
