"""The C++/OpenMP kernel: all units at once, on all threads, without the GIL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tefast._backends import BackendScores, BackendValues, unbuilt
from tefast._backends.host import packed, place, shared_any, table
from tefast._backends.inputs import (
    ONE_STEP,
    BinnedValues,
    CodeWindows,
    LocalSource,
    PairStates,
    StepWindows,
)
from tefast._inputs.values import Values
from tefast._tables.counts import blocks
from tefast._tables.logarithms import LogUnit
from tefast._tables.quantiles import edges_of
from tefast._tables.types import (
    Booleans,
    Codes,
    Counts,
    Lengths,
    Nats,
    Orders,
    Recent,
    Scan,
    Steps,
)
from tefast.binning import Edges

__all__ = ["place", "table"]

LONG_PASTS = 2**16
LOCAL_MOVES = 2**16
RECENT_ROWS = 2**16 - 1
ROUNDING = "integers"

try:
    from tefast import _native
except ImportError as error:  # a source tree on the path that was never built
    _reason: str | None = unbuilt.reason(error)
else:
    _reason = None


def missing() -> str | None:
    """Why the compiled module is not there."""
    return _reason


def _input(data: BinnedValues) -> _native.Input:
    values, binning = data.values, data.binning
    return _native.Input(
        values.array, values.dtype, values.is_mapped, binning.edges, binning.bins, data.lengths
    )


def scan(values: Values, bins: int, lengths: Lengths, threads: int | None) -> Scan:
    """See `tefast._backends.Backend.scan`."""
    data = _native.Input(values.array, values.dtype, values.is_mapped, None, bins, lengths)
    return Scan(**_native.scan(data, threads or 0))


def quantile_edges(values: Values, bins: int, lengths: Lengths, threads: int | None) -> Edges:
    """See `tefast._backends.Backend.quantile_edges`."""
    sequences, steps, units = values.array.shape
    shares = np.arange(1, bins) / bins
    edges = np.empty((units, bins - 1))
    for some in blocks(units, 24 * (bins - 1)):
        part = values.array[:, :, some]
        data = _native.Input(part, values.dtype, values.is_mapped, None, bins, lengths)
        found, sizes = _native.find_ranks(data, shares, threads or 0)

        def ordered(tied: Counts, data: _native.Input = data) -> Iterator[Nats]:
            for few in blocks(tied.size, 8 * sequences * steps):
                yield from _native.sort_units(data, tied[few], threads or 0)

        gathered = found.reshape(sizes.size, -1)
        edges[some] = edges_of(gathered, sizes, bins, ordered)
    return edges


def encode(data: BinnedValues, threads: int | None) -> Codes:
    """See `tefast._backends.Backend.encode`."""
    return _native.encode(_input(data), threads or 0)


def count_values(data: BinnedValues, counts: Counts, threads: int | None) -> None:
    """See `tefast._backends.Backend.count_values`."""
    _native.count_values(_input(data), counts, threads or 0)


def count_transitions(
    target: BinnedValues, source: Codes, counts: Counts, threads: int | None
) -> None:
    """See `tefast._backends.Backend.count_transitions`."""
    _native.count_transitions(_input(target), source, counts, threads or 0)


def recent(units: int, bins: int, states: int, most: int) -> Recent | None:
    """See `tefast._backends.Backend.recent`."""
    size = _native.recent_size(units, bins, states)
    return np.zeros(size, np.uint16) if 2 * size <= most else None


def count_recent(
    target: BinnedValues,
    source: Codes,
    states: int,
    omit: bool,
    recent: Recent,
    threads: int | None,
) -> bool:
    """See `tefast._backends.Backend.count_recent`."""
    return _native.count_recent(_input(target), source, states, omit, recent, threads or 0)


def move_recent(recent: Recent, counts: Counts, threads: int | None) -> None:
    """See `tefast._backends.Backend.move_recent`."""
    _native.move_recent(recent, counts, threads or 0)


def count_windows(windows: CodeWindows, counts: Counts, threads: int | None) -> None:
    """See `tefast._backends.Backend.count_windows`."""
    shared = windows.shared
    given = _native.Windows(windows.codes, windows.bins, windows.back, shared.codes, shared.size)
    _native.count_windows(given, counts, threads or 0)


def score_counts(counts: Counts, threads: int | None) -> Nats:
    """See `tefast._backends.Backend.score_counts`."""
    return _native.score_counts(counts, threads or 0)


def transfer_entropy(
    target: BinnedValues, source: BinnedValues, omit: bool, threads: int | None
) -> BackendScores:
    """See `tefast._backends.Backend.transfer_entropy`."""
    # One series beside all units: a pass of its own costs next to nothing.
    series = _input(source)
    found = _native.scan(series, threads or 0)
    if found["infinite"] or found["outside"] or (found["nan"] and not omit):
        return BackendScores(np.full(target.values.array.shape[2], np.nan), True, False)
    codes = _native.encode(series, threads or 0)
    nats, clean = _native.transfer_entropy(
        _input(target), codes[:, :, 0], source.binning.bins, omit, threads or 0
    )
    return BackendScores(nats, not np.isnan(nats).all(), clean)


def transfer_entropies(
    target: BinnedValues,
    sources: Codes,
    states: int,
    omit: bool,
    threads: int | None,
    windows: StepWindows = ONE_STEP,
) -> tuple[Nats, bool]:
    """See `tefast._backends.Backend.transfer_entropies`."""
    given = _input(target)
    return _native.transfer_entropies(
        given, sources, states, omit, threads or 0,
        list(windows.back), windows.with_next, windows.told, windows.inner,
    )  # fmt: skip


def local_values(
    target: BinnedValues,
    source: LocalSource,
    unit: LogUnit,
    omit: bool,
    threads: int | None,
    back: Steps = (),
) -> BackendValues:
    """See `tefast._backends.Backend.local_values`."""
    found = _native.local_values(
        _input(target),
        source.codes,
        source.size,
        source.first,
        unit,
        omit,
        threads or 0,
        list(back),
    )
    return BackendValues(*found)


def pair_states(codes: Codes, bins: int, back: Steps, threads: int | None) -> PairStates:
    """See `tefast._backends.Backend.pair_states`."""
    return shared_any(PairStates(*_native.pack_windows(codes, bins, back, threads or 0)))


def moved_states(states: PairStates, steps: int, kept: Booleans, threads: int | None) -> PairStates:
    """See `tefast._backends.Backend.moved_states`."""
    words = packed(kept, states.any.shape[1])
    rows, every = (
        _native.move_bits(each, steps, words, threads or 0) for each in (states.rows, states.any)
    )
    return PairStates(rows, every)


def score_pairs(
    targets: PairStates, sources: Sequence[PairStates], nexts: int, threads: int | None
) -> Nats:
    """See `tefast._backends.Backend.score_pairs`."""
    nats = np.empty((len(sources), len(sources[0].rows), len(targets.rows)))
    sides = [_side(each) for each in sources]
    _native.score_pairs(_side(targets), sides, nexts, nats, threads or 0)
    return nats


def count_pairs(
    targets: PairStates, sources: PairStates, nexts: int, threads: int | None
) -> Counts:
    """See `tefast._backends.Backend.count_pairs`."""
    return _native.count_pairs(_side(targets), _side(sources), nexts, threads or 0)


def _side(states: PairStates) -> _native.PairSide:
    return _native.PairSide(states.rows, states.any)


def conditional_surrogates(
    own: Counts, nexts: int, source: Counts, orders: Orders, threads: int | None
) -> Nats:
    """See `tefast._backends.Backend.conditional_surrogates`."""
    return _native.conditional_surrogates(own, nexts, source, orders, threads or 0)
