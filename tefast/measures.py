"""Definitions of the measures: what each counts, and what it tells of what.

Every measure here is ``I(X; Y | Z)``, or ``H(X | Z)`` where nothing is told by Y. X, Y and Z are
axes of a table of counts. One-shot functions, local and windowed values, streaming classes, tests
of significance and the criteria of `tefast.nn` read these definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from tefast._tables import entropies
from tefast._tables.counts import CountTable, kept
from tefast._tables.entropies import Axes, Sums
from tefast._tables.states import Embedding
from tefast._tables.types import Steps


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
        Gives the steps of an `Embedding`, back from the step that a window belongs to.
    """

    role: str
    back: Callable[[Embedding], Steps]

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
    """

    name: str
    axes: Mapping[str, Axis]
    x: Axes
    y: Axes = ()
    given: Axes = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The inputs that are counted."""
        return tuple(dict.fromkeys(axis.role for axis in self.axes.values()))

    @property
    def kept(self) -> tuple[str, ...]:
        """The axes in the order in which counts are kept."""
        return kept(tuple(self.axes))

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
        return max(axis.back(embedding)[0] for axis in self.axes.values())

    def shape(self, symbols: Mapping[str, int], embedding: Embedding) -> tuple[int, ...]:
        """Sizes of the axes as they are kept, of inputs with so many `symbols` at a step."""
        return tuple(self.axes[name].size(symbols, embedding) for name in self.kept)


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
CONDITIONAL_TRANSFER_ENTROPY = Measure(
    "conditional_transfer_entropy",
    {**_TRANSFER, "condition": Axis("z", _before)},
    ("next",),
    ("source",),
    ("past", "condition"),
)
REVERSE_TRANSFER_ENTROPY = Measure(
    "reverse_transfer_entropy",
    {"source": Axis("h", _source), "past": Axis("y", _past), "next": Axis("y", _present)},
    ("next",),
    ("source",),
    ("past",),
)
MUTUAL_INFORMATION = Measure(
    "mutual_information",
    {"unit": Axis("h", _present), "source": Axis("y", _delayed)},
    ("unit",),
    ("source",),
)
ACTIVE_INFORMATION = Measure("active_information", _OWN, ("next",), ("past",))
ENTROPY_RATE = Measure("entropy_rate", _OWN, ("next",), (), ("past",))
# The part of the entropy rate that a source tells, from the same table as transfer entropy.
RATE_BESIDE_SOURCE = Measure("entropy_rate", _TRANSFER, ("next",), (), ("past",))
ENTROPY = Measure("entropy", {"value": Axis("h", _present)}, ("value",))
