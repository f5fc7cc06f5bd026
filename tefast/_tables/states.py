"""States: what a transition starts from, several codes in one integer.

Everything here is a row of the source's kind, (N, T), the same for every unit. A state is missing
where one of its codes is, or lies before the beginning of its sequence.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs import layouts
from tefast._inputs.values import Values
from tefast._tables.types import MISSING, Steps

States = npt.NDArray[np.int64]

MOST_STATES = 2**62
"""States are numbered in 64 bits."""


@dataclass(frozen=True)
class Embedding:
    """Which steps of target and source a transition to step t + 1 is held against.

    Attributes
    ----------
    target_history : int
        k: the target's steps ``t, t - s, .. t - (k - 1) s``, with s the `target_step`.
    source_history : int
        l: the source's steps ``t + 1 - delay, .. t + 1 - delay - (l - 1) r``, with r the
        `source_step`.
    delay : int
        Steps from the source's last one to the target's next; 0 where they are the same step.
    target_step, source_step : int
        Steps from one entry of a history to the next.
    """

    target_history: int = 1
    source_history: int = 1
    delay: int = 1
    target_step: int = 1
    source_step: int = 1

    @classmethod
    def check(
        cls,
        target_history: Any,
        source_history: Any,
        delay: Any,
        target_step: Any = 1,
        source_step: Any = 1,
    ) -> Embedding:
        """Raise TypeError or ValueError for what is no positive integer, or delay below 0."""
        given = {
            "target_history": target_history,
            "source_history": source_history,
            "delay": delay,
            "target_step": target_step,
            "source_step": source_step,
        }
        checked = {}
        for name, number in given.items():
            check = check_not_negative if name == "delay" else check_positive
            checked[name] = check(number, name)
        for role in ("target", "source"):
            # A single entry has no next one: its embedding is the same whatever the step.
            if checked[f"{role}_history"] == 1:
                checked[f"{role}_step"] = 1
        return cls(**checked)

    @property
    def past(self) -> Steps:
        """The target's steps, back from the step that a transition leads to."""
        return steps_back(self.target_history, self.target_step, 1)

    @property
    def source(self) -> Steps:
        """The source's steps, back from the step that a transition leads to."""
        return steps_back(self.source_history, self.source_step, self.delay)

    @property
    def first(self) -> int:
        """The first step t from which a transition can start."""
        return max(self.past[0], self.source[0]) - 1

    @property
    def transition(self) -> str:
        """A transition, and the histories that it has, for messages."""
        if self == Embedding():
            return "a transition"
        apart = {"target_step": self.target_step, "source_step": self.source_step}
        return (
            f"a transition with target_history={self.target_history}, "
            f"source_history={self.source_history} and delay={self.delay}"
        ) + "".join(f", {name}={step}" for name, step in apart.items() if step != 1)

    @property
    def own_transition(self) -> str:
        """A transition of a series alone, by the names that its history has there."""
        step = f" and step={self.target_step}" if self.target_step > 1 else ""
        return f"a transition with history={self.target_history}{step}"

    def check_steps(self, target: Values) -> None:
        """Raise unless the sequences have the steps that a transition takes."""
        check_steps(target, self.first + 2, self.transition)


def steps_back(length: int, step: int, last: int) -> Steps:
    """`length` steps, `step` apart, the last of them `last` steps back."""
    return range(last + (length - 1) * step, last - 1, -step)


def check_steps(target: Values, needed: int, what: str) -> None:
    """Raise a ValueError if the sequences are shorter than `needed` for `what`."""
    steps = target.array.shape[1]
    if steps < needed:
        meant = layouts.fitting(target.shape, target.layout, steps=needed)
        raise ValueError(
            f"{what} takes at least {needed} steps, {target.name} of shape {target.shape} has "
            f"{steps}; it was read as {layouts.reading(target.shape, target.layout)}"
            f"{layouts.advice(target.shape, meant)}"
        )


def own_embedding(history: Any, step: Any) -> Embedding:
    """The embedding of a series alone."""
    length, apart = check_positive(history, "history"), check_positive(step, "step")
    return Embedding.check(length, 1, 1, apart)


def check_positive(number: Any, name: str) -> int:
    """`number` as a positive int."""
    return _at_least(1, number, f"{name} must be a positive integer")


def check_not_negative(number: Any, name: str) -> int:
    """`number` as an int that is not negative."""
    return _at_least(0, number, f"{name} must be an integer, 0 or more")


def _at_least(least: int, number: Any, expected: str) -> int:
    try:
        if isinstance(number, (bool, np.bool_)):
            raise TypeError
        integer = operator.index(number)
    except TypeError:
        raise TypeError(f"{expected}, got {number!r}") from None
    if integer < least:
        raise ValueError(f"{expected}, got {integer}")
    return integer


@dataclass(frozen=True)
class JointState:
    """One of `size` states at every step.

    Attributes
    ----------
    codes : ndarray of int64, shape (N, T) or (N, T, U)
        ``0 .. size - 1``, or `MISSING`.
    size : int
    """

    codes: States
    size: int

    def moved(self, steps: int) -> JointState:
        """What was `steps` earlier, at every step."""
        return JointState(moved(self.codes, steps), self.size)

    def beside(self, later: JointState) -> JointState:
        """Both in one, `later` the less significant.

        Where they would be more than `MOST_STATES`, those that do not occur get no number.
        """
        one, other = self, later
        if one.size * other.size > MOST_STATES:
            one = one.ranked()
        if one.size * other.size > MOST_STATES:
            other = other.ranked()
        if one.size * other.size >= 2**63:  # more than 2**31 of each do occur
            raise ValueError(
                f"{one.size} x {other.size} joint states cannot be numbered in 64 bits; use fewer "
                "bins, shorter histories or fewer transitions"
            )
        seen = (one.codes != MISSING) & (other.codes != MISSING)
        codes = np.where(seen, one.codes * other.size + other.codes, MISSING)
        return JointState(codes, one.size * other.size)

    def ranked(self) -> JointState:
        """The states that occur, numbered in their order."""
        seen = self.codes != MISSING
        occurring, rank = np.unique(self.codes[seen], return_inverse=True)
        codes = np.full(self.codes.shape, MISSING, np.int64)
        codes[seen] = rank
        return JointState(codes, max(1, len(occurring)))


def together(parts: Iterable[JointState]) -> JointState:
    """Several states in one, the last part the least significant."""
    return reduce(JointState.beside, parts)


def history(series: JointState, back: Steps) -> JointState:
    """What a series was at several steps back from every step, in one state.

    A negative number of steps back looks ahead.
    """
    return together(series.moved(steps) for steps in back)


def moved(codes: npt.NDArray[Any], steps: int) -> npt.NDArray[Any]:
    """What was `steps` earlier, at every step; `MISSING` where nothing was."""
    out = np.full_like(codes, MISSING)
    length = codes.shape[1]
    if 0 <= steps < length:
        out[:, steps:] = codes[:, : length - steps]
    elif -length < steps < 0:
        out[:, :steps] = codes[:, -steps:]
    return out
