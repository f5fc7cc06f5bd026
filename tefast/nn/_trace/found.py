"""What runs of a masked model show."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from tefast.nn._trace.consumers import Readings
from tefast.nn._trace.flow import Tie
from tefast.nn._trace.sight import Run
from tefast.nn._trace.states import StateLabels

Returned: TypeAlias = Literal["states", "all"] | None
"""Which outputs of units a model may return although they get fewer."""


@dataclass(frozen=True)
class Found:
    """What runs of a masked model showed.

    Attributes
    ----------
    readings : Readings
    ties : list of Tie
        Units that met, and can only go together.
    runs : list of Run
        What the masked model did on the examples and others made of them.
    states : list of States
        Of each run, which of its arguments are initial states.
    returned : list of dict of str to Tensor
        Of each run, labels of what is returned of the units, by where it is.
    dtype : torch.dtype
        What it was done in.
    """

    readings: Readings
    ties: list[Tie]
    runs: list[Run] = field(default_factory=list)
    states: list[StateLabels] = field(default_factory=list)
    returned: list[dict[str, Tensor]] = field(default_factory=list)
    dtype: torch.dtype = torch.float64
