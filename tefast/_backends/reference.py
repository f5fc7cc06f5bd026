"""Plain NumPy: short, slow, and what the other backends are held against."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tefast._backends import BackendScores
from tefast._backends.host import place, shared_any, table
from tefast._backends.inputs import ONE_STEP, BinnedValues, CodeWindows, PairStates, StepWindows
from tefast._inputs.numbers import as_float64
from tefast._inputs.values import Values
from tefast._tables import counts as tables
from tefast._tables import entropies, quantiles
from tefast._tables.states import JointState, history
from tefast._tables.types import (
    MISSING,
    Booleans,
    Codes,
    Counts,
    Lengths,
    Nats,
    Orders,
    Scan,
    Steps,
)
from tefast.binning import Edges

LONG_PASTS = 0
LOCAL_MOVES = 0
RECENT_ROWS = 0
ROUNDING = "floats"
__all__ = ["place", "table"]


def missing() -> str | None:
    """NumPy is always there."""
    return None


def quantile_edges(values: Values, bins: int, lengths: Lengths, threads: int | None) -> Edges:
    """See `tefast._backends.Backend.quantile_edges`."""
    return quantiles.quantile_edges(values, bins, lengths)


def scan(values: Values, bins: int, lengths: Lengths, threads: int | None) -> Scan:
    """See `tefast._backends.Backend.scan`."""
    units = values.array.shape[2]
    valid = _valid(values, lengths)
    low, high = np.full(units, np.inf), np.full(units, -np.inf)
    if values.is_symbols:
        bad = ((values.array < 0) | (values.array > bins - 1)) & valid
        return Scan(0, 0, int(bad.sum()), -1, _first(bad), low, high)
    numbers = as_float64(values.array, values.dtype)
    nan, infinite = np.isnan(numbers) & valid, np.isinf(numbers) & valid
    finite = np.isfinite(numbers) & valid
    low = np.min(numbers, axis=(0, 1), where=finite, initial=np.inf)
    high = np.max(numbers, axis=(0, 1), where=finite, initial=-np.inf)
    return Scan(int(nan.sum()), int(infinite.sum()), 0, _first(nan), _first(infinite), low, high)


def encode(data: BinnedValues, threads: int | None) -> Codes:
    """See `tefast._backends.Backend.encode`."""
    values, rows = data.values, data.binning.edges
    valid = _valid(values, data.lengths)
    if rows is None:
        symbols = np.where(valid, values.array, 0).astype(np.int16)
        return np.where(valid, symbols, np.int16(MISSING))
    codes: Codes = np.full(values.array.shape, MISSING, np.int16)
    for u in range(values.array.shape[2]):
        numbers = as_float64(values.array[:, :, u], values.dtype)
        edges = rows[u if len(rows) > 1 else 0]
        kept = valid[:, :, 0] & ~np.isnan(numbers)
        codes[:, :, u][kept] = np.searchsorted(edges, numbers[kept], side="right")
    return codes


def count_values(data: BinnedValues, counts: Counts, threads: int | None) -> None:
    """See `tefast._backends.Backend.count_values`."""
    codes = encode(data, threads)
    for u, row in enumerate(counts):
        unit = codes[:, :, u]
        row += np.bincount(unit[unit != MISSING], minlength=row.size)


def count_transitions(
    target: BinnedValues, source: Codes, counts: Counts, threads: int | None
) -> None:
    """See `tefast._backends.Backend.count_transitions`."""
    codes = encode(target, threads)
    state = source[:, :-1].astype(np.int64)
    for u, unit in enumerate(counts):
        past, following = codes[:, :-1, u].astype(np.int64), codes[:, 1:, u].astype(np.int64)
        seen = (following != MISSING) & (past != MISSING) & (state != MISSING)
        cell = np.ravel_multi_index((following[seen], past[seen], state[seen]), unit.shape)
        unit += np.bincount(cell, minlength=unit.size).reshape(unit.shape)


def count_windows(windows: CodeWindows, counts: Counts, threads: int | None) -> None:
    """See `tefast._backends.Backend.count_windows`."""
    for u, unit in enumerate(counts.reshape(len(counts), -1)):
        codes = JointState(windows.codes[:, :, u].astype(np.int64), windows.bins)
        cell = history(codes, windows.back).beside(windows.shared).codes
        unit += np.bincount(cell[cell != MISSING], minlength=unit.size)


def score_counts(counts: Counts, threads: int | None) -> Nats:
    """See `tefast._backends.Backend.score_counts`."""
    return entropies.transfer_entropy(counts, math.e)


def transfer_entropy(
    target: BinnedValues, source: BinnedValues, omit: bool, threads: int | None
) -> BackendScores:
    """See `tefast._backends.Backend.transfer_entropy`."""
    found = scan(source.values, source.binning.bins, source.lengths, threads)
    if found.infinite or found.outside or (found.nan and not omit):
        return BackendScores(np.full(target.values.array.shape[2], np.nan), True, False)
    codes = encode(source, threads)[np.newaxis, :, :, 0]
    (nats,), clean = transfer_entropies(target, codes, source.binning.bins, omit, threads)
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
    units, bins = target.values.array.shape[2], target.binning.bins
    found = scan(target.values, bins, target.lengths, threads)
    nats = np.full((len(sources), units), np.nan)
    if not found.outside:
        for some in tables.blocks(units, 8 * bins**2 * states):
            part = target.units(some)
            for row, source in zip(nats, sources, strict=True):
                counts = tables.allocate((some.stop - some.start, bins, bins, states))
                count_transitions(part, source, counts, threads)
                row[some] = score_counts(counts, threads)
    return nats, not (found.nan or found.infinite or found.outside)


def pair_states(codes: Codes, bins: int, back: Steps, threads: int | None) -> PairStates:
    """See `tefast._backends.Backend.pair_states`."""
    rows, every = [], []
    for u in range(codes.shape[2]):
        found = history(JointState(codes[:, :, u].astype(np.int64), bins), back)
        state = found.codes.ravel()
        rows.append([state == s for s in range(found.size - 1)])
        every.append(state != MISSING)
    return shared_any(PairStates(np.array(rows), np.array(every)))


def moved_states(states: PairStates, steps: int, kept: Booleans, threads: int | None) -> PairStates:
    """See `tefast._backends.Backend.moved_states`."""
    rows, every = (np.zeros_like(each) for each in (states.rows, states.any))
    if steps < len(kept):
        rows[..., steps:] = states.rows[..., : len(kept) - steps]
        every[..., steps:] = states.any[..., : len(kept) - steps]
    return PairStates(rows & kept, every & kept)


def score_pairs(
    targets: PairStates, sources: Sequence[PairStates], nexts: int, threads: int | None
) -> Nats:
    """See `tefast._backends.Backend.score_pairs`."""
    return np.stack([_pair_scores(targets, each, nexts, threads) for each in sources])


def _pair_scores(targets: PairStates, sources: PairStates, nexts: int, threads: int | None) -> Nats:
    counts = count_pairs(targets, sources, nexts, threads)
    pairs, pasts = counts.shape[:2], counts.shape[2]
    counts = counts.reshape(-1, *counts.shape[2:])
    if pasts == nexts:  # what `transfer_entropies` scores
        return score_counts(counts.swapaxes(1, 2), threads).reshape(pairs)
    joint, source = counts.sum(axis=3), counts.sum(axis=2)
    parts = (counts, joint.sum(axis=2), joint, source)
    sums = [entropies.sums_of(each.reshape(len(counts), -1)) for each in parts]
    summed = sums[0] + sums[1] - sums[2] - sums[3]
    return entropies.mean(summed, counts.sum(axis=(1, 2, 3)), math.e).reshape(pairs)


def count_pairs(
    targets: PairStates, sources: PairStates, nexts: int, threads: int | None
) -> Counts:
    """See `tefast._backends.Backend.count_pairs`."""
    one, other = (_all_rows(side) for side in (targets, sources))
    # Products of zeros and ones, which float64 adds up exactly.
    counts = np.einsum("sqt,umt->suqm", other, one, optimize=True)
    counts = np.rint(counts).astype(np.int64).swapaxes(2, 3)
    sizes = (targets.states // nexts, nexts, sources.states)
    return np.ascontiguousarray(counts).reshape(len(other), len(one), *sizes)


def _all_rows(side: PairStates) -> npt.NDArray[np.float64]:
    """Rows (U, states, N * T) of zeros and ones, that of the last state too."""
    last = side.any & ~side.rows.any(axis=1)
    return np.concatenate([side.rows, last[:, np.newaxis]], axis=1).astype(np.float64)


def conditional_surrogates(
    own: Counts, nexts: int, source: Counts, orders: Orders, threads: int | None
) -> Nats:
    """See `tefast._backends.Backend.conditional_surrogates`."""
    nats = np.empty((len(orders), own.shape[1]))
    for u, unit in enumerate(own.T):
        there = np.flatnonzero(unit >= 0)
        rows, states = (np.unique(part[there], return_inverse=True) for part in (unit, source))
        past = np.unique(rows[0] // nexts, return_inverse=True)[1][rows[1]]
        row, state, many = rows[1], states[1], len(states[0])
        place = np.full(len(unit), -1)
        place[there] = np.arange(len(there))
        listed = state[np.argsort(past, kind="stable")]
        drawn = np.empty_like(state)
        for s, order in enumerate(orders):
            walked = place[order]
            walked = walked[walked >= 0]
            # A stable order by past keeps that of the walk within each past.
            drawn[walked[np.argsort(past[walked], kind="stable")]] = listed
            nats[s, u] = _of_cells(row, past, drawn, many)
    return nats


def _of_cells(row: Counts, past: Counts, state: Counts, states: int) -> float:
    """Transfer entropy in nats of transitions with these numbers of (past, next), past, state."""
    joint, kept = row * states + state, past * states + state
    sums = [
        entropies.sums_of(np.unique(cells, return_counts=True)[1][np.newaxis])
        for cells in (joint, past, kept, row)
    ]
    summed = sums[0] + sums[1] - sums[2] - sums[3]
    return float(entropies.mean(summed, np.array([len(row)]), math.e)[0])


def _valid(values: Values, lengths: Lengths) -> npt.NDArray[np.bool_]:
    """Which steps count: (N, T, 1)."""
    sequences, steps, _ = values.array.shape
    if lengths is None:
        return np.ones((sequences, steps, 1), bool)
    return (np.arange(steps) < lengths[:, np.newaxis])[..., np.newaxis]


def _first(where: npt.NDArray[np.bool_]) -> int:
    flat = np.flatnonzero(where)
    return int(flat[0]) if flat.size else -1
