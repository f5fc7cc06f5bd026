"""The C++/OpenMP kernel: all units at once, on all threads, without the GIL."""

from __future__ import annotations

import numpy as np

from tefast._backends import BackendScores, unbuilt
from tefast._backends.host import place, quantile_edges, table
from tefast._inputs.values import Values
from tefast._tables.types import Codes, Counts, Lengths, Nats, Orders, Scan, Steps
from tefast.binning import Binning

__all__ = ["place", "quantile_edges", "table"]

try:
    from tefast import _native
except ImportError as error:  # a source tree on the path that was never built
    _reason: str | None = unbuilt.reason(error)
else:
    _reason = None


def missing() -> str | None:
    """Why the compiled module is not there."""
    return _reason


def scan(values: Values, bins: int, lengths: Lengths, threads: int | None) -> Scan:
    """See `tefast._backends.Backend.scan`."""
    return Scan(
        **_native.scan(values.array, values.dtype, values.is_mapped, lengths, bins, threads or 0)
    )


def encode(values: Values, binning: Binning, lengths: Lengths, threads: int | None) -> Codes:
    """See `tefast._backends.Backend.encode`."""
    return _native.encode(
        values.array, values.dtype, binning.edges, binning.bins, lengths, threads or 0
    )


def count_values(
    values: Values, binning: Binning, lengths: Lengths, counts: Counts, threads: int | None
) -> None:
    """See `tefast._backends.Backend.count_values`."""
    _native.count_values(
        values.array,
        values.dtype,
        values.is_mapped,
        binning.edges,
        binning.bins,
        lengths,
        counts,
        threads or 0,
    )


def count_transitions(
    target: Values,
    binning: Binning,
    lengths: Lengths,
    source: Codes,
    counts: Counts,
    threads: int | None,
) -> None:
    """See `tefast._backends.Backend.count_transitions`."""
    _native.count_transitions(
        target.array,
        target.dtype,
        target.is_mapped,
        binning.edges,
        binning.bins,
        lengths,
        source,
        counts.shape[-1],
        True,
        counts,
        threads or 0,
    )


def count_windows(
    codes: Codes,
    bins: int,
    back: Steps,
    shared: Counts,
    states: int,
    counts: Counts,
    threads: int | None,
) -> None:
    """See `tefast._backends.Backend.count_windows`."""
    _native.count_windows(codes, bins, back, shared, states, counts, threads or 0)


def score_counts(counts: Counts, threads: int | None) -> Nats:
    """See `tefast._backends.Backend.score_counts`."""
    return _native.score_counts(counts, threads or 0)


def transfer_entropy(
    target: Values,
    h_binning: Binning,
    source: Values,
    y_binning: Binning,
    lengths: Lengths,
    omit: bool,
    threads: int | None,
) -> BackendScores:
    """See `tefast._backends.Backend.transfer_entropy`."""
    # One series beside all units: a pass of its own costs next to nothing.
    found = scan(source, y_binning.bins, lengths, threads)
    if found.infinite or found.outside or (found.nan and not omit):
        return BackendScores(np.full(target.array.shape[2], np.nan), True, False)
    codes = encode(source, y_binning, lengths, threads)
    nats, clean = _native.transfer_entropy(
        target.array,
        target.dtype,
        target.is_mapped,
        h_binning.edges,
        h_binning.bins,
        lengths,
        codes[:, :, 0],
        y_binning.bins,
        omit,
        threads or 0,
    )
    return BackendScores(nats, not np.isnan(nats).all(), clean)


def transfer_entropies(
    target: Values,
    binning: Binning,
    lengths: Lengths,
    sources: Codes,
    states: int,
    omit: bool,
    threads: int | None,
) -> tuple[Nats, bool]:
    """See `tefast._backends.Backend.transfer_entropies`."""
    return _native.transfer_entropies(
        target.array,
        target.dtype,
        target.is_mapped,
        binning.edges,
        binning.bins,
        lengths,
        sources,
        states,
        omit,
        threads or 0,
    )


def conditional_surrogates(
    own: Counts, nexts: int, source: Counts, orders: Orders, threads: int | None
) -> Nats:
    """See `tefast._backends.Backend.conditional_surrogates`."""
    return _native.conditional_surrogates(own, nexts, source, orders, threads or 0)
