"""Binning: where one bin ends and the next begins.

A binning of numbers is a row of inner edges. A value's code is the number of edges at or below it,
so that bin i is ``[edge i-1, edge i)``, the last bin is closed by the range, and values outside the
range fall into the end bins. Integers are symbols and have no edges. Labels are symbols whose codes
are their places in a sorted list.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from tefast._inputs.numbers import floats
from tefast._inputs.values import ROLES, Values
from tefast._support.mistakes import SymbolError

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


def check_bins(bins: Any) -> int:
    """`bins` as an int in 2 .. 256."""
    try:
        if isinstance(bins, (bool, np.bool_)):
            raise TypeError
        number = operator.index(bins)
    except TypeError:
        raise TypeError(f"bins must be an integer in 2 .. {MAX_BINS}, got {bins!r}") from None
    if not 2 <= number <= MAX_BINS:
        more = "" if number < 2 else (
            "; integers and labels of more values are for binning='symbols' alone, which finds up "
            f"to {MAX_SYMBOLS} symbols"
        )  # fmt: skip
        raise ValueError(f"bins must lie in 2 .. {MAX_BINS}, got {number}{more}")
    return number


def check_binning(binning: Any, bins: int) -> dict[str, Rule]:
    """How each role is binned.

    What is no mapping from roles is meant for all of them.
    """
    if not isinstance(binning, Mapping):
        return dict.fromkeys(ROLES, _check_one(binning, bins))
    unknown = [role for role in binning if role not in ROLES]
    if unknown:
        known = ", ".join(map(repr, ROLES))
        raise ValueError(f"binning has the key {unknown[0]!r}; known are {known}")
    return {role: _check_one(binning.get(role, "uniform"), bins) for role in ROLES}


def _check_one(binning: Any, bins: int) -> Rule:
    if isinstance(binning, Rule):
        return binning.check(bins)
    if isinstance(binning, str):
        if binning not in NAMED:
            raise ValueError(
                f"unknown binning {binning!r}; known are {', '.join(map(repr, BINNINGS))} and an "
                "array of inner edges"
            )
        return NAMED[binning]
    try:
        edges = floats(binning)
    except (TypeError, ValueError):
        raise TypeError(
            f"binning must be {' or '.join(map(repr, BINNINGS))} or an array of inner edges, got "
            f"{type(binning).__name__}"
        ) from None
    if edges.ndim not in (1, 2) or edges.shape[-1] != bins - 1 or not edges.size:
        raise ValueError(
            f"bins={bins} takes an array of {bins - 1} inner edges, or a row of them for each "
            f"unit, got shape {edges.shape}"
            + (f" (pass bins={edges.size + 1})" if edges.ndim == 1 and edges.size else "")
        )
    rows = np.atleast_2d(edges)
    # Rows of their own may repeat an edge, as those of a constant unit do.
    bad = ~np.isfinite(rows).all(axis=1) | (np.diff(rows) < 0).any(axis=1)
    if edges.ndim == 1:
        bad |= (np.diff(rows) <= 0).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        where = f" for unit {row}" if edges.ndim == 2 else ""
        raise ValueError(f"inner edges must be finite and rise, got {rows[row].tolist()}{where}")
    return Binning(bins, rows)


def check_range(
    given: Any, role: str, units: int, data: Values | None = None
) -> tuple[Edges, Edges] | None:
    """A range ``(low, high)`` as two arrays of shape (1,) or (units,); None stays None.

    `data` is what it is the range of, where that is known, for messages.
    """
    if given is None:
        return None
    name, column = f"{role}_range", {"y": "source", "z": "condition"}.get(role, "unit")
    try:
        if isinstance(given, (str, bytes, set, frozenset)):  # no numbers, or in no order
            raise TypeError
        low, high = (np.atleast_1d(floats(end)) for end in given)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be (low, high), real numbers, got {given!r}") from None
    for end in (low, high):
        if end.shape not in ((1,), (units,)):
            raise ValueError(
                f"{name} takes scalars or one value a {column}, shape ({units},), got shape "
                f"{end.shape}" + (f"; {data.name} {data.reading}" if data is not None else "")
            )
    low, high = (np.broadcast_to(end, max(low.shape, high.shape)) for end in (low, high))
    bad = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high) & (low < high)))
    if bad.size:
        i = int(bad[0])
        where = f" for {column} {i}" if low.size > 1 else ""
        raise ValueError(f"{name} must be finite with low < high, got ({low[i]}, {high[i]}){where}")
    return low, high


def check_combination(
    kinds: list[Values], binning: dict[str, Rule], ranges: dict[str, Any]
) -> None:
    """Raise if an argument would be ignored, since it says something about floats alone.

    Parameters
    ----------
    kinds : list of Values
        The inputs as far as they are known.
    binning : dict
        How each role is binned.
    ranges : dict
        What was given as the range of each role.
    """
    for role, given in ranges.items():
        if given is not None and not binning[role].takes_range:
            raise ValueError(
                f"{role}_range goes with binning='uniform', got binning={shown(binning[role])}"
            )
    for values in kinds:
        if values.is_symbols and ranges[values.role] is not None:
            raise SymbolError(
                f"{values.role}_range is given, but {values.name} holds integers ({values.dtype}), "
                "which are symbols and are not binned",
                "; pass floats to bin them",
            )
        how = binning[values.role]
        if isinstance(how, Binning) and how.edges is not None and not values.is_symbols:
            _check_rows(how.edges, values)
    goes_with_symbols = all(how.takes_labels or how.takes_range for how in binning.values())
    if not goes_with_symbols and kinds and all(values.is_symbols for values in kinds):
        raise SymbolError("binning is given, but integers are symbols and are not binned")


def _check_rows(edges: Edges, values: Values) -> None:
    units = values.array.shape[2]
    if len(edges) not in (1, units):
        raise ValueError(
            f"binning has edges for {len(edges)} units, but {values.name} {values.reading}, which "
            f"has {units}; pass binning={{'h': ..., 'y': ...}} for edges of their own"
        )


def check_learned(found: Binning, rule: Rule, bins: int, values: Values) -> None:
    """Raise a ValueError for bins that a rule gave, or a caller made, and that numbers do not fit.

    Parameters
    ----------
    found : Binning
        Of floats.
    rule : Rule
        What gave it.
    bins : int
        How many were asked for.
    """
    name, expected = f"binning={shown(rule)} of {values.name}", rule.count(bins)
    if found.edges is None:
        raise ValueError(f"{name}: floats take inner edges, got none")
    edges, units = np.asarray(found.edges), values.array.shape[2]
    shapes = ((1, expected - 1), (units, expected - 1))
    if found.bins != expected or edges.shape not in shapes or edges.dtype != np.float64:
        raise ValueError(
            f"{name}: expected {expected} bins and float64 edges of shape {shapes[0]} or "
            f"{shapes[1]}, got {found.bins} bins and {edges.dtype} edges of shape {edges.shape}"
        )
    if not np.isfinite(edges).all() or (np.diff(edges) < 0).any():
        raise ValueError(f"{name}: inner edges must be finite and rise")


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
