"""Definitions of the measures: what each counts, and what it tells of what.

Every measure here is ``I(X; Y | Z)``, or ``H(X | Z)`` where nothing is told by Y. X, Y and Z are
axes of a table of counts. One-shot functions, local and windowed values, streaming classes, tests
of significance and the criteria of `tefast.nn` read these definitions. `tefast.evaluate` and
`tefast.Streaming` take any of them, or one of a caller's own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar

from tefast._inputs.kinds import ROLES
from tefast._tables import entropies
from tefast._tables.counts import CountTable, kept
from tefast._tables.entropies import Sums
from tefast._tables.states import Embedding, check_not_negative
from tefast._tables.types import Axes, Steps


class Additive(Protocol):
    """Anything that is added and subtracted, such as sums, or arrays of logarithms."""

    def __add__(self, other: Self, /) -> Self: ...
    def __sub__(self, other: Self, /) -> Self: ...


Term = TypeVar("Term", bound=Additive)


@dataclass(frozen=True)
class Axis:
    """An axis of a table of counts: some steps of one of the inputs.

    Attributes
    ----------
    role : {"h", "y", "z"}
        The input: the units, the series beside them, or the conditions.
    back : callable
        Gives the steps of an `Embedding`, back from the step that a window belongs to: one or more
        integers, none of them negative. An `Embedding` has the attributes `target_history`,
        `source_history`, `delay`, `target_step` and `source_step`, and the steps that they make:
        `past` of the unit, and `source`.
    """

    role: str
    back: Callable[[Embedding], Steps]

    def steps(self, embedding: Embedding) -> Steps:
        """The steps, checked."""
        given = self.back(embedding)
        try:
            # A range is left as it is: it may be longer than memory.
            found = given if isinstance(given, range) else tuple(map(operator.index, given))
        except TypeError:
            raise TypeError(f"back must give integers, got {given!r}") from None
        if not found or min(_ends(found)) < 0:
            raise ValueError(f"back must give one or more steps, none negative, got {given!r}")
        return found

    def size(self, symbols: Mapping[str, int], embedding: Embedding) -> int:
        """How many states there can be, of inputs with so many `symbols` at a step."""
        return int(symbols[self.role] ** len(self.back(embedding)))


@dataclass(frozen=True)
class Measure:
    """What is counted, and what is summed over the counts.

    Attributes
    ----------
    name : str
    axes : mapping of str to Axis
        What is counted. Axes of the units come first.
    x, y, given : tuple of str
        The axes X, Y and Z.
    default_delay : int
        What `delay` is unless a caller says it; 0 or more.

    Raises
    ------
    ValueError
        Where the axes are not as described.

    Examples
    --------
    What the source tells of a unit at the same step, beyond the unit's past:

    >>> import numpy as np, tefast
    >>> from tefast.measures import Axis, Measure
    >>> at_once = Measure(
    ...     "instantaneous_information",
    ...     {
    ...         "past": Axis("h", lambda embedding: embedding.past),
    ...         "now": Axis("h", lambda embedding: (0,)),
    ...         "source": Axis("y", lambda embedding: (0,)),
    ...     },
    ...     x=("now",), y=("source",), given=("past",),
    ... )
    >>> y = np.random.default_rng(0).integers(0, 2, (100, 50))
    >>> tefast.evaluate(at_once, y[..., np.newaxis], y, bins=2).round(2)
    array([1.])
    """

    name: str
    axes: Mapping[str, Axis]
    x: Axes
    y: Axes = ()
    given: Axes = ()
    default_delay: int = 1

    def __post_init__(self) -> None:
        roles = [axis.role for axis in self.axes.values()]
        own = sum(role == "h" for role in roles)
        used = (*self.x, *self.y, *self.given)
        if not set(roles) <= set(ROLES):
            raise ValueError(f"{self.name}: the role of an axis is 'h', 'y' or 'z', got {roles}")
        if not own or "h" in roles[own:]:
            raise ValueError(
                f"{self.name}: axes of the units, with the role 'h', come first and there is one "
                f"at least, got {roles}"
            )
        if not self.x or len(set(used)) < len(used) or not set(used) <= set(self.axes):
            raise ValueError(
                f"{self.name}: x, y and given name axes, x one at least and none of them twice, "
                f"got x={self.x}, y={self.y} and given={self.given} of {tuple(self.axes)}"
            )
        check_not_negative(self.default_delay, f"{self.name}: default_delay")

    def __reduce__(self) -> Any:
        # A named one stays the same object: the ways that its kernels have are chosen by that.
        if NAMED.get(self.name) is self:
            return find, (self.name,)
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def roles(self) -> tuple[str, ...]:
        """The inputs that are counted."""
        return tuple(dict.fromkeys(axis.role for axis in self.axes.values()))

    @property
    def kept(self) -> tuple[str, ...]:
        """The axes in the order in which counts are kept."""
        return kept(tuple(self.axes))

    @cached_property
    def embedded(self) -> tuple[str, ...]:
        """Those parameters of an `Embedding` that change the steps of an axis."""
        one = Embedding(2, 2, 2, 1, 1)  # of longer histories than 1 their steps matter too
        names = [field.name for field in fields(Embedding)]
        return tuple(name for name in names if self._back(one) != self._back(_with_3(one, name)))

    def embedding(
        self,
        target_history: Any = 1,
        source_history: Any = 1,
        delay: Any = None,
        target_step: Any = 1,
        source_step: Any = 1,
    ) -> Embedding:
        """The embedding with these parameters; raise for one that the measure does not have."""
        given = {
            "target_history": target_history,
            "source_history": source_history,
            "delay": delay,
            "target_step": target_step,
            "source_step": source_step,
        }
        for name, number in given.items():
            default = None if name == "delay" else 1
            if name not in self.embedded and number != default:
                raise ValueError(f"{self.name} does not depend on {name}, got {name}={number!r}")
        if delay is None:
            given["delay"] = self.default_delay if "delay" in self.embedded else 1
        return Embedding.check(**given)

    def taken(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of what was given for each role, None for nothing, what the measure counts.

        Raises
        ------
        TypeError
            If something is missing, or would not be looked at.
        """
        there = {role: series for role, series in given.items() if series is not None}
        if set(there) != set(self.roles):
            raise TypeError(
                f"{self.name} is a measure of {' and '.join(sorted(self.roles))}, got "
                f"{' and '.join(there) or 'nothing'}"
            )
        return there

    def limits(self, ranges: Mapping[str, Any]) -> dict[str, Any]:
        """Of the ranges of each role, None for none, those that the measure counts.

        Raises
        ------
        TypeError
            If one would not be looked at.
        """
        for role, limit in ranges.items():
            if limit is not None and role not in self.roles:
                raise TypeError(f"{self.name} has no {role}, got {role}_range={limit!r}")
        return {role: limit for role, limit in ranges.items() if role in self.roles}

    def combined(self, of: Callable[[Axes], Term]) -> Term:
        """The measure in terms of ``of(axes)``, such as sums of ``n ln n`` over the cells of axes.

        ``L(x, y, z) - L(x, z) - L(y, z) + L(z)`` with L the terms; ``L(z) - L(x, z)`` without Y.
        """
        alone, beside = of(self.given), of(self.x + self.given)
        if not self.y:
            return alone - beside
        return of(self.x + self.y + self.given) - beside - of(self.y + self.given) + alone

    def sums(self, table: CountTable, grassberger: bool = False) -> Sums:
        """N times the measure, from a table of counts with its axes."""
        return self.combined(lambda axes: entropies.sums(table, *axes, grassberger=grassberger))

    def reach(self, embedding: Embedding) -> int:
        """How many steps before its own a window reaches."""
        return max(max(_ends(steps)) for steps in self._back(embedding))

    def shape(self, symbols: Mapping[str, int], embedding: Embedding) -> tuple[int, ...]:
        """Sizes of the axes as they are kept, of inputs with so many `symbols` at a step."""
        return tuple(self.axes[name].size(symbols, embedding) for name in self.kept)

    def window(self, embedding: Embedding) -> str:
        """A window, and the parameters that it has, for messages."""
        given = [f"{name}={getattr(embedding, name)}" for name in self.embedded]
        return f"a window of {self.name}" + (f" with {', '.join(given)}" if given else "")

    def formula(self, embedding: Embedding) -> str:
        """The measure, with the steps that its axes have.

        Such as ``I(next; source | past): past=h[t-1], next=h[t], source=y[t-1]``.
        """
        x, y, given = (", ".join(axes) for axes in (self.x, self.y, self.given))
        told = f"I({x}; {y}" if y else f"H({x}"
        axes = [
            f"{name}={axis.role}[{_shown(axis.steps(embedding))}]"
            for name, axis in self.axes.items()
        ]
        return f"{told} | {given}): {', '.join(axes)}" if given else f"{told}): {', '.join(axes)}"

    def _back(self, embedding: Embedding) -> list[Steps]:
        """The steps of every axis."""
        return [axis.steps(embedding) for axis in self.axes.values()]


def _ends(steps: Steps) -> Steps:
    """The steps, or of a range those among which its least and its greatest are."""
    return (steps[0], steps[-1]) if isinstance(steps, range) else steps


def _shown(steps: Steps) -> str:
    """Steps back, such as ``t-2, t-1, t``; of a range its first two and its last."""
    some = [*steps[:2], *steps[2:][-1:]] if isinstance(steps, range) else steps
    told = [f"t-{i}" if i else "t" for i in some]
    if len(some) > 2 and isinstance(steps, range) and steps[2:3] != steps[-1:]:
        told[2] = f".. {told[2]}"
    return ", ".join(told)


def _with_3(embedding: Embedding, name: str) -> Embedding:
    return replace(embedding, **{name: 3})


def _present(embedding: Embedding) -> Steps:
    return (0,)


def _before(embedding: Embedding) -> Steps:
    return (1,)


def _delayed(embedding: Embedding) -> Steps:
    return (embedding.delay,)


def _past(embedding: Embedding) -> Steps:
    return embedding.past


def _source(embedding: Embedding) -> Steps:
    return embedding.source


_OWN = {"past": Axis("h", _past), "next": Axis("h", _present)}
_TRANSFER = {**_OWN, "source": Axis("y", _source)}

TRANSFER_ENTROPY = Measure("transfer_entropy", _TRANSFER, ("next",), ("source",), ("past",))
"""What the source tells of a unit's next value beyond the unit's own past."""
CONDITIONAL_TRANSFER_ENTROPY = Measure(
    "conditional_transfer_entropy",
    {**_TRANSFER, "condition": Axis("z", _before)},
    ("next",),
    ("source",),
    ("past", "condition"),
)
"""The same beyond what conditions tell as well."""
REVERSE_TRANSFER_ENTROPY = Measure(
    "reverse_transfer_entropy",
    {"source": Axis("h", _source), "past": Axis("y", _past), "next": Axis("y", _present)},
    ("next",),
    ("source",),
    ("past",),
)
"""What a unit tells of the series' next value beyond the series' own past."""
MUTUAL_INFORMATION = Measure(
    "mutual_information",
    {"unit": Axis("h", _present), "source": Axis("y", _delayed)},
    ("unit",),
    ("source",),
    default_delay=0,
)
"""What the source, `delay` steps before, tells of a unit."""
ACTIVE_INFORMATION = Measure("active_information", _OWN, ("next",), ("past",))
"""What a unit's own past tells of its next value."""
ENTROPY_RATE = Measure("entropy_rate", _OWN, ("next",), (), ("past",))
"""What is left open of a unit's next value when its past is known."""
# The part of the entropy rate that a source tells, from the same table as transfer entropy.
RATE_BESIDE_SOURCE = Measure("entropy_rate", _TRANSFER, ("next",), (), ("past",))
ENTROPY = Measure("entropy", {"value": Axis("h", _present)}, ("value",))
"""The entropy of a unit's values."""

NAMED: dict[str, Measure] = {
    each.name: each
    for each in (
        TRANSFER_ENTROPY,
        CONDITIONAL_TRANSFER_ENTROPY,
        REVERSE_TRANSFER_ENTROPY,
        MUTUAL_INFORMATION,
        ACTIVE_INFORMATION,
        ENTROPY_RATE,
        ENTROPY,
    )
}
"""Measures that can be asked for by name."""


def find(measure: Any) -> Measure:
    """A measure, which is given or is asked for by name.

    Raises
    ------
    ValueError
        For a name that no measure has.
    TypeError
        For what is neither.
    """
    if isinstance(measure, Measure):
        return measure
    if not isinstance(measure, str):
        raise TypeError(
            f"measure must be a name or a tefast.measures.Measure, got {type(measure).__name__}"
        )
    if measure not in NAMED:
        raise ValueError(f"unknown measure {measure!r}; known are {', '.join(map(repr, NAMED))}")
    return NAMED[measure]
