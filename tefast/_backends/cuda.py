"""The CUDA kernels, on tensors where they lie. `threads` has no meaning here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tefast._backends import BackendScores, device_windows, fastest, int8_products, load, operators
from tefast._backends.inputs import ONE_STEP, BinnedValues, CodeWindows, PairStates, StepWindows
from tefast._inputs.values import Values
from tefast._tables import counts as tables
from tefast._tables.quantiles import Places, edges_of
from tefast._tables.types import (
    BackendTable,
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

LONG_PASTS = 2**16
LOCAL_MOVES = 0
RECENT_ROWS = 0
ROUNDING = "integers"
KIND = "cuda"
"""The type of the devices whose tensors are read where they lie; others are copied there."""

missing = operators.missing

# What `seen` of the operators holds, see csrc/cuda/launch.hpp.
_NAN, _BAD, _COUNTED = 1 | 4, 2 | 8, 16


def _ops() -> Any:
    import torch

    return getattr(torch.ops, operators.NAMESPACE)


def place(*inputs: Values) -> list[Values]:
    """See `tefast._backends.Backend.place`."""
    import torch

    _check_capture()
    there = [v.array.device for v in inputs if v.device is not None and v.device.type == KIND]
    device = there[0] if there else torch.device(KIND)
    return [values.on_device(device) for values in inputs]


def table(counts: BackendTable, beside: Values) -> BackendTable:
    """See `tefast._backends.Backend.table`."""
    import torch

    device = beside.array.device
    if isinstance(counts, np.ndarray):
        if device.type == "cuda":
            tables.check_room(counts.shape, torch.cuda.mem_get_info(device)[1], f"on {device}")
        counts = torch.from_numpy(counts)
    with torch.inference_mode(False):  # else nobody could add to them outside that mode
        placed = counts.to(device)
        return placed.clone() if placed.is_inference() else placed


def scan(values: Values, bins: int, lengths: Lengths, threads: int | None) -> Scan:
    """See `tefast._backends.Backend.scan`."""
    import torch

    found, *ends = _ops().scan(values.array, bins, _uploaded(lengths, values))
    # One copy back, and one wait for it.
    row = torch.cat([found.view(torch.float64), *ends]).cpu().numpy()
    nan, infinite, outside, first_nan, first_bad = row[:5].view(np.int64).tolist()
    low, high = np.split(row[5:], 2)
    return Scan(nan, infinite, outside, first_nan, first_bad, low, high)


def quantile_edges(values: Values, bins: int, lengths: Lengths, threads: int | None) -> Edges:
    """See `tefast._backends.Backend.quantile_edges`."""
    import torch

    sequences, steps, units = values.array.shape
    edges = np.zeros((units, bins - 1))
    past = None
    if lengths is not None:
        step = torch.arange(steps, device=values.array.device)
        past = step >= _uploaded(lengths, values)[:, None]
    for some in tables.blocks(units, 8 * sequences * steps):
        block = values.array[:, :, some].double()
        if past is not None:
            block = block.masked_fill(past[..., None], torch.nan)
        # (units, values), each row rising, NaN at its end.
        block = block.movedim(2, 0).flatten(1).sort(dim=1).values
        sizes = (~block.isnan()).sum(dim=1).cpu().numpy()
        at = torch.tensor(Places.of(sizes, bins).ranks, device=block.device)
        gathered = block.gather(1, at).cpu().numpy()

        def ordered(tied: Counts, block: Any = block) -> Iterator[Any]:
            return (block[u].cpu().numpy() for u in tied)

        edges[some] = edges_of(gathered, sizes, bins, ordered)
    return edges


def encode(data: BinnedValues, threads: int | None) -> BackendTable:
    """See `tefast._backends.Backend.encode`."""
    edges, lengths = _beside(data)
    return _ops().encode(data.values.array, edges, data.binning.bins, lengths)


def count_values(data: BinnedValues, counts: BackendTable, threads: int | None) -> None:
    """See `tefast._backends.Backend.count_values`."""
    edges, lengths = _beside(data)
    _ops().count_values_(counts, data.values.array, edges, lengths)


def count_transitions(
    target: BinnedValues, source: BackendTable, counts: BackendTable, threads: int | None
) -> None:
    """See `tefast._backends.Backend.count_transitions`."""
    edges, lengths = _beside(target)
    _ops().count_transitions_(counts, target.values.array, edges, source, lengths)


def count_windows(windows: CodeWindows, counts: Counts, threads: int | None) -> None:
    """See `tefast._backends.Backend.count_windows`: windows are counted on the CPU."""
    load(fastest(None)).count_windows(windows, counts, threads)


def score_counts(counts: BackendTable, threads: int | None) -> BackendTable:
    """See `tefast._backends.Backend.score_counts`."""
    return _ops().score_counts(counts)


def transfer_entropy(
    target: BinnedValues, source: BinnedValues, omit: bool, threads: int | None
) -> BackendScores:
    """See `tefast._backends.Backend.transfer_entropy`."""
    h, y, (edges, lengths) = target.values, source.values, _beside(target)
    nats, seen = _ops().transfer_entropy(
        h.array,
        edges,
        y.array,
        _uploaded(source.binning.edges, h),
        target.binning.bins,
        lengths,
        omit,
    )
    flags = int(seen)  # waits
    clean = not flags & (_BAD if omit else _BAD | _NAN)
    return BackendScores(nats, bool(flags & _COUNTED), clean)


def transfer_entropies(
    target: BinnedValues,
    sources: Codes,
    states: int,
    omit: bool,
    threads: int | None,
    windows: StepWindows = ONE_STEP,
) -> tuple[BackendTable, bool]:
    """See `tefast._backends.Backend.transfer_entropies`."""
    import torch

    if windows != ONE_STEP:
        codes = encode(target, threads)
        states_there = torch.tensor(sources, device=codes.device)
        found = device_windows.scores(codes, states_there, target.binning.bins, states, windows)
        return found, False
    bins, units, device = target.binning.bins, target.values.array.shape[2], target.values.device
    shape = (bins, bins, states)
    nats = torch.empty(len(sources), units, dtype=torch.float64, device=device)
    on_device = torch.tensor(sources, device=device)
    for some in tables.blocks(units, 8 * math.prod(shape)):
        part, size = target.units(some), (some.stop - some.start, *shape)
        counts = torch.empty(size, dtype=torch.int64, device=device)
        for row, source in zip(nats, on_device, strict=True):
            count_transitions(part, source, counts.zero_(), threads)
            row[some] = score_counts(counts, threads)
    return nats, False  # nothing was looked at


def pair_states(codes: Codes, bins: int, back: Steps, threads: int | None) -> PairStates:
    """See `tefast._backends.Backend.pair_states`."""
    import torch

    return int8_products.pair_states(codes, bins, back, torch.device(KIND))


def moved_states(states: PairStates, steps: int, kept: Booleans, threads: int | None) -> PairStates:
    """See `tefast._backends.Backend.moved_states`."""
    return int8_products.moved_states(states, steps, kept)


def score_pairs(
    targets: PairStates, sources: Sequence[PairStates], nexts: int, threads: int | None
) -> BackendTable:
    """See `tefast._backends.Backend.score_pairs`."""
    import torch

    return torch.stack([int8_products.score_pairs(targets, each, nexts) for each in sources])


def count_pairs(
    targets: PairStates, sources: PairStates, nexts: int, threads: int | None
) -> BackendTable:
    """See `tefast._backends.Backend.count_pairs`."""
    return int8_products.count_pairs(targets, sources, nexts)


def conditional_surrogates(
    own: Counts, nexts: int, source: Counts, orders: Orders, threads: int | None
) -> Nats:
    """See `tefast._backends.Backend.conditional_surrogates`: they are counted on the CPU."""
    return load(fastest(None)).conditional_surrogates(own, nexts, source, orders, threads)


def _beside(data: BinnedValues) -> tuple[Any, Any]:
    """Edges and lengths as tensors on the device of the values."""
    return _uploaded(data.binning.edges, data.values), _uploaded(data.lengths, data.values)


def _uploaded(array: Edges | Lengths, beside: Values) -> Any:
    """A small array as a tensor on the device of `beside`; None stays None."""
    import torch

    if array is None:
        return None
    device = beside.array.device
    if device.type != "cuda":
        return torch.tensor(array, device=device)
    # From pinned memory, which nobody has to wait for.
    return torch.tensor(array).pin_memory().to(device, non_blocking=True)


def _check_capture() -> None:
    """Raise while a CUDA graph is captured: results could not be looked at, nor edges copied."""
    import torch

    if KIND == "cuda" and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "tefast's functions look at their results, which a CUDA graph cannot while it is "
            f"captured; call torch.ops.{operators.NAMESPACE}.transfer_entropy with edges on the "
            "device instead"
        )
