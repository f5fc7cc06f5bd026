"""What the backends that read the host's memory have in common."""

from __future__ import annotations

from tefast._inputs.values import Values, to_numpy
from tefast._tables.quantiles import quantile_edges
from tefast._tables.types import BackendTable, Counts

__all__ = ["place", "quantile_edges", "table"]


def place(*inputs: Values) -> list[Values]:
    """See `tefast._backends.Backend.place`."""
    return [values.on_host() for values in inputs]


def table(counts: BackendTable, beside: Values) -> Counts:
    """See `tefast._backends.Backend.table`."""
    return to_numpy(counts)
