"""Which measures the kernels of single steps score as they count, and what they are given for it.

These kernels take the transitions of all units in the order of a state that the units share. Any
measure will do that asks what such states tell of a unit, or what a unit's past tells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tefast._backends.inputs import StepWindows
from tefast._counting.windows import MOST_STATES, Windows
from tefast._tables.states import JointState, together
from tefast._tables.types import Axes
from tefast.binning import MAX_BINS
from tefast.measures import Measure

MOST_AT_ONCE = 2**28
"""Cells of a unit up to which the kernels pass over all states."""


@dataclass(frozen=True)
class AtOnce:
    """What the kernels of single steps are given for a measure.

    Attributes
    ----------
    windows : StepWindows
    axes : tuple of str
        The shared axes that make a state, the least significant last.
    ahead : int
        Steps from the row that the kernel counts at to the window's step.
    """

    windows: StepWindows
    axes: Axes
    ahead: int

    @classmethod
    def of(cls, measure: Measure, counted: Windows, most: int) -> AtOnce | None:
        """How such windows are scored, if they can be.

        most: states of a unit's past and next value that are taken.
        """
        found = _told(measure, counted)
        if found is None or counted.bins > MAX_BINS:
            return None
        sizes = [state.size for state in counted.beside.values()]
        own = counted.bins ** len(counted.back)
        fits = own <= most and math.prod(sizes) <= MOST_STATES
        return found if fits and counted.cells <= MOST_AT_ONCE else None

    def state(self, counted: Windows, sequences: int, steps: int) -> JointState:
        """The state (N, T) at the rows that the kernel counts at."""
        nothing = JointState(np.zeros((sequences, steps), np.int64), 1)
        shared = together(counted.beside[axis] for axis in self.axes) if self.axes else nothing
        return shared.moved(-self.ahead)


def _told(measure: Measure, counted: Windows) -> AtOnce | None:
    """What tells of what, if it is among what the kernels measure."""
    if {*measure.x, *measure.y, *measure.given} != set(counted.axes):
        return None
    own = [*counted.own.items()]
    if len(own) == 1:
        (value, steps), ahead = own[0], min(own[0][1])
        windows = StepWindows(_from(steps, ahead), with_next=False)
        return _by_source(measure, counted, windows, value, (), ahead)
    if len(own) != 2 or tuple(own[1][1]) != (0,) or min(own[0][1]) < 1:
        return None
    (past, steps), (following, _) = own
    if counted.beside:
        windows = StepWindows(_from(steps, 1))
        return _by_source(measure, counted, windows, following, (past,), 1)
    sides = (measure.x, measure.y)
    if measure.given == (past,) and sides == ((following,), ()):
        return AtOnce(StepWindows(_from(steps, 1), told="by_nothing"), (), 1)
    if not measure.given and {*sides} == {(following,), (past,)}:
        return AtOnce(StepWindows(_from(steps, 1), told="by_past"), (), 1)
    return None


def _by_source(
    measure: Measure, counted: Windows, windows: StepWindows, value: str, past: Axes, ahead: int
) -> AtOnce | None:
    """What shared states tell of a unit's value beyond its past, and beyond other shared states."""
    if (value,) not in (measure.x, measure.y) or not set(past) <= set(measure.given):
        return None
    source = measure.y if measure.x == (value,) else measure.x
    conditions = tuple(axis for axis in measure.given if axis not in past)
    if not source or not {*source, *conditions} <= set(counted.beside):
        return None
    inner = math.prod(counted.beside[axis].size for axis in source) if conditions else 0
    given = StepWindows(windows.back, windows.with_next, windows.told, inner)
    return AtOnce(given, (*conditions, *source), ahead)


def _from(steps: Iterable[int], ahead: int) -> tuple[int, ...]:
    """Steps back from the row that the kernel counts at; none for that row alone."""
    back = tuple(step - ahead for step in steps)
    return () if back == (0,) else back
