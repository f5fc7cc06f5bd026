"""Binning: where one bin ends and the next begins.

A binning of numbers is a row of inner edges. A value's code is the number of edges at or below it,
so that bin i is ``[edge i-1, edge i)``, the last bin is closed by the range, and values outside the
range fall into the end bins. Integers are symbols and have no edges. Labels are symbols whose codes
are their places in a sorted list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

MAX_BINS = 256
"""What the kernels' codes hold, one byte each."""
MAX_SYMBOLS = 2**15 - 1
"""What codes of two bytes hold. More than `MAX_BINS` are counted without the kernels."""

Edges = npt.NDArray[np.float64]
Range = tuple[Any, Any]


class Scanned(Protocol):
    """An input as it was scanned, for what a rule has to know of the data."""

    @property
    def low(self) -> Edges:
        """The least finite value of each unit (U,)."""

    @property
    def high(self) -> Edges:
        """The greatest (U,)."""

    def quantile_edges(self, bins: int) -> Edges:
        """Inner edges (U, bins - 1) that fill the bins of each unit as equally as ties permit."""


class Rule:
    """How the bins of an input are found: what the argument `binning` says of one input.

    A binning of one's own is a subclass. It gives inner edges by `known` or by `learn`.

    Attributes
    ----------
    takes_labels : bool
        Whether values are relabelled, whatever they are.
    takes_range : bool
        Whether a range of the data says where the bins lie.
    streams : bool
        Whether the bins can be known before all data were seen.
    """

    takes_labels: bool = False
    takes_range: bool = False
    streams: bool = True

    def check(self, bins: int) -> Self:
        """Raise a ValueError if the rule does not go with a number of bins.

        Parameters
        ----------
        bins : int
            The number of bins that is asked for.

        Returns
        -------
        Rule
            The rule itself.
        """
        return self

    def count(self, bins: int) -> int:
        """Return the number of bins.

        Parameters
        ----------
        bins : int
            The number of bins that is asked for.

        Returns
        -------
        int
            The number of labels if the rule knows them, otherwise `bins`.
        """
        return bins

    def known(self, bins: int, limits: tuple[Edges, Edges] | None) -> Binning | None:
        """Return the bins if they do not depend on the data.

        Parameters
        ----------
        bins : int
            The number of bins that is asked for.
        limits : (low, high) or None
            The range that was given, two arrays (U,) or (1,).

        Returns
        -------
        Binning or None
            None if the bins are to be learned from the data.
        """
        return None

    def learn(self, bins: int, data: Scanned) -> Binning:
        """Return the bins of data.

        Parameters
        ----------
        bins : int
            The number of bins that is asked for.
        data : Scanned
            The data: their ranges `low` and `high` (U,), and `quantile_edges`.

        Returns
        -------
        Binning
        """
        raise NotImplementedError

    def settings(self) -> Any:
        """What counts must share to be added up. Of a dataclass that is its class and fields."""
        return repr(self)


@dataclass(frozen=True)
class Uniform(Rule):
    """Bins of equal width, over a range or over each unit's own values: "uniform"."""

    takes_range = True

    def known(self, bins: int, limits: tuple[Edges, Edges] | None) -> Binning | None:
        """See `Rule.known`."""
        return None if limits is None else Binning(bins, uniform_edges(*limits, bins))

    def learn(self, bins: int, data: Scanned) -> Binning:
        """See `Rule.learn`."""
        seen = np.isfinite(data.low)  # (0, 0) for a unit without a finite value
        low, high = (np.where(seen, end, 0.0) for end in (data.low, data.high))
        return Binning(bins, uniform_edges(low, high, bins))

    def settings(self) -> str:
        """See `Rule.settings`."""
        return "uniform"


@dataclass(frozen=True)
class Quantile(Rule):
    """Bins that hold equally many of each unit's own values, as far as ties permit: "quantile"."""

    streams = False

    def learn(self, bins: int, data: Scanned) -> Binning:
        """See `Rule.learn`."""
        return Binning(bins, data.quantile_edges(bins))


@dataclass(frozen=True)
class Symbols(Rule):
    """A symbol for every distinct value, whatever it is: "symbols"."""

    takes_labels = True
    streams = False


@dataclass(frozen=True)
class Binning(Rule):
    """How the values of one input become codes ``0 .. bins - 1``.

    `learn_binning` makes one, and the argument `binning` takes it.

    Attributes
    ----------
    bins : int
        Number of bins, or of labels.
    edges : ndarray of float64, shape (U, bins - 1) or (1, bins - 1), or None
        Inner edges, rising; one row serves all units. None: the values are symbols.
    labels : ndarray, shape (bins,), or None
        The labels of the symbols in the order of their codes. None: the values are binned by
        `edges`, or are integers that are codes already.
    """

    bins: int
    edges: Edges | None
    labels: npt.NDArray[Any] | None = None

    @property
    def takes_labels(self) -> bool:  # type: ignore[override]
        """Whether values are relabelled."""
        return self.labels is not None

    def count(self, bins: int) -> int:
        """Return the number of bins.

        Parameters
        ----------
        bins : int
            Not read.

        Returns
        -------
        int
        """
        return self.bins

    def known(self, bins: int, limits: tuple[Edges, Edges] | None) -> Binning:
        """Return this binning, which does not depend on data.

        Parameters
        ----------
        bins : int
            Not read.
        limits : (low, high) or None
            Not read.

        Returns
        -------
        Binning
        """
        return self

    def settings(self) -> Any:
        """Return the edges or labels, which counts must share to be added up."""
        told = self.edges if self.labels is None else self.labels
        return None if told is None else told.copy()

    def units(self, start: int, stop: int) -> Binning:
        """Return the binning of some units.

        Parameters
        ----------
        start, stop : int
            The first unit, and the one after the last.

        Returns
        -------
        Binning
        """
        if self.edges is None or len(self.edges) == 1:
            return self
        return Binning(self.bins, self.edges[start:stop])


NAMED: dict[str, Rule] = {"uniform": Uniform(), "quantile": Quantile(), "symbols": Symbols()}
"""Rules that can be asked for by name."""
BINNINGS = tuple(NAMED)


def shown(rule: Rule) -> str:
    """A rule as messages name it."""
    names = [name for name, named in NAMED.items() if named is rule]
    return repr(names[0]) if names else f"a {type(rule).__name__}"


def uniform_edges(low: Edges, high: Edges, bins: int) -> Edges:
    """Inner edges of equal-width bins.

    Edge i is ``low * (1 - i / bins) + high * (i / bins)``, which overflows for no finite range.

    Parameters
    ----------
    low, high : ndarray, shape (U,) or (1,)

    Returns
    -------
    ndarray of float64, shape (U or 1, bins - 1)
        For a unit without extent all edges are its value.
    """
    part = np.arange(1, bins) / bins
    edges = low[:, np.newaxis] * (1.0 - part) + high[:, np.newaxis] * part
    # In a range of few representable numbers rounding could make neighbours change places, or carry
    # them out of the range.
    edges = np.clip(edges, low[:, np.newaxis], high[:, np.newaxis])
    return np.ascontiguousarray(np.maximum.accumulate(edges, axis=1))
