"""What backends take: an input with its bins, windows of its codes, and states of series."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

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


@dataclass(frozen=True)
class StepWindows:
    """What the kernels of single steps count of a unit at a step, and what they measure of it.

    Attributes
    ----------
    back : Steps
        The steps of the unit's past, back from the step, the most significant first; none: that
        step alone.
    with_next : bool
        Whether the unit's next value is counted beside its past. Else the past is what is told.
    told : {"by_source", "by_past", "by_nothing"}
        With x the next value, p the past, s the states of the source and z those of conditions:
        ``I(x; s | p, z)``, ``I(x; p)`` or ``H(x | p)``.
    inner : int
        A state is ``z * inner + s``; 0: there are no conditions.
    """

    back: Steps = ()
    with_next: bool = True
    told: Literal["by_source", "by_past", "by_nothing"] = "by_source"
    inner: int = 0

    @classmethod
    def of_past(cls, past: Steps) -> Self:
        """Of a past whose steps are counted back from the next value."""
        return cls() if tuple(past) == (1,) else cls(tuple(step - 1 for step in past))


ONE_STEP = StepWindows()
"""Transfer entropy of one step of past."""


@dataclass(frozen=True)
class LocalSource:
    """A source of local values, in the host's memory.

    Attributes
    ----------
    codes : ndarray of int16, shape (N, T)
        Its state at the step where a transition starts, or `MISSING`, as it is before `first`.
    size : int
        How many states there are.
    first : int
        The first step from which a transition can start.
    """

    codes: Codes
    size: int
    first: int


@dataclass(frozen=True)
class PairStates:
    """At which steps each of some series is in which state, as a backend keeps it.

    Attributes
    ----------
    rows : array, shape (U, states - 1, ...)
        A row for each state but the last. It is what `any` has beyond the others.
    any : array, shape (U, ...), or (1, ...) where all series have a state at the same steps
    """

    rows: Any
    any: Any

    @property
    def states(self) -> int:
        """How many states a series can have."""
        return int(self.rows.shape[1]) + 1

    def series(self, some: slice) -> Self:
        """Some of the series."""
        shared = self.any.shape[0] == 1
        return replace(self, rows=self.rows[some], any=self.any if shared else self.any[some])
