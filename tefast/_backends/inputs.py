"""What backends take: an input with its bins, and windows of its codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from tefast._inputs.values import Values
from tefast._tables.states import JointState
from tefast._tables.types import Codes, Lengths, Steps
from tefast.binning import Binning


@dataclass(frozen=True)
class BinnedValues:
    """An input and its bins.

    Attributes
    ----------
    values : Values
        Shape (N, T, U).
    binning : Binning
    lengths : ndarray of int64, shape (N,), or None
    """

    values: Values
    binning: Binning
    lengths: Lengths

    def units(self, some: slice) -> Self:
        """Some of the units."""
        part = self.values.units(some.start, some.stop)
        return replace(self, values=part, binning=self.binning.units(some.start, some.stop))


@dataclass(frozen=True)
class CodeWindows:
    """Windows of codes beside a state that all units share, all in the host's memory.

    Attributes
    ----------
    codes : ndarray of int16, shape (N, T, U)
        ``0 .. bins - 1``, or `MISSING`.
    bins : int
    back : Steps
        A window holds the codes of these steps, back from its own step, the last of them the least
        significant.
    shared : JointState
        The state (N, T) for the window of each step, or `MISSING`.
    """

    codes: Codes
    bins: int
    back: Steps
    shared: JointState
