"""What a criterion is, and the registry of those that have a name.

A criterion is a function of a `Context` that returns a score for every unit, shape (units,). Those
of this package are plain functions; their options are given with ``functools.partial``.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

from tefast.nn.context import Context

UnitScores: TypeAlias = Any
"""A tensor or array of shape (units,)."""

Criterion: TypeAlias = Callable[[Context], UnitScores]

F = TypeVar("F", bound=Callable[..., Any])

NAMED: dict[str, Criterion] = {}
"""Criteria that can be asked for by name; the decorator `criterion` enters them."""


def criterion(*, descending: bool, name: str | None = None) -> Callable[[F], F]:
    """Say of a criterion which units `select` takes first, unless the caller says otherwise.

    Parameters
    ----------
    descending : bool
        True for the units with the highest scores, False for those with the lowest.
    name : str, optional
        A name for the criterion, by which `score` and others then know it. Default: it has none,
        and is passed as a function.

    Returns
    -------
    callable
        A decorator of the criterion. It raises a ValueError if another criterion has the name.

    Examples
    --------
    >>> @criterion(descending=False)
    ... def spread(context):
    ...     return torch.cat([h.flatten(0, 1) for h, _ in context.outputs()]).std(0)
    """

    def decorate(function: F) -> F:
        function.descending = descending  # type: ignore[attr-defined]
        if name is not None:
            _register(name, function)
        return function

    return decorate


def _register(name: str, given: Criterion) -> None:
    known = NAMED.get(name)
    # A cell of a notebook that runs again defines the same criterion again.
    if known is not None and (_origin(known) is None or _origin(known) != _origin(given)):
        raise ValueError(f"name: expected one that no other criterion has, got {name!r}")
    NAMED[name] = given


def _origin(given: Criterion) -> tuple[str, str] | None:
    """Where a function was defined; None for a partial."""
    return (given.__module__, given.__qualname__) if hasattr(given, "__qualname__") else None


def order_of(given: Criterion) -> bool | None:
    """Return whether the highest scores of a criterion go first; None where it does not say.

    Parameters
    ----------
    given : callable
        A criterion, or a ``functools.partial`` of one.

    Returns
    -------
    bool or None
    """
    found: bool | None = getattr(given, "descending", None)
    if found is None and isinstance(given, partial):
        return order_of(given.func)
    return found
