"""What the backends that read the host's memory have in common."""

from __future__ import annotations

from tefast.backends import Counts, Table
from tefast.quantiles import quantile_edges
from tefast.values import Values, to_numpy

__all__ = ["place", "quantile_edges", "table"]


def place(*inputs: Values) -> list[Values]:
    """See `tefast.backends.Backend.place`."""
    return [values.on_host() for values in inputs]


def table(counts: Table, beside: Values) -> Counts:
    """See `tefast.backends.Backend.table`."""
    return to_numpy(counts)
