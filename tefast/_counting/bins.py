"""Arguments that say how values are binned, checked: bins, rules, edges and ranges."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from tefast._inputs.numbers import floats
from tefast._inputs.values import ROLES, Values
from tefast._support.mistakes import SymbolError
from tefast.binning import BINNINGS, MAX_BINS, MAX_SYMBOLS, NAMED, Binning, Edges, Rule, shown


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
