"""Measures of windows on a GPU, counted and summed up by PyTorch where the codes lie.

The terms of the counts are those of the CPU, whose sums do not depend on an order: scores are equal
to the last bit.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tefast._backends.inputs import StepWindows
from tefast._tables import entropies
from tefast._tables.counts import blocks


def scores(codes: Any, sources: Any, bins: int, states: int, windows: StepWindows) -> Any:
    """Scores (S, U) of codes (N, T, U) beside states (S, N, T), all on one device.

    See `tefast._backends.Backend.transfer_entropies`.
    """
    import torch

    sequences, steps, units = codes.shape
    found = torch.empty(len(sources), units, dtype=torch.float64, device=codes.device)
    pasts, nexts = _sizes(bins, windows)
    each = 8 * max(4 * sequences * steps, pasts * nexts * states)
    for some in blocks(units, each):
        cells = _cells(codes[..., some], bins, windows)
        for row, source in zip(found, sources, strict=True):
            counts = _counted(cells, source, pasts * nexts, states)
            row[some] = _measured(counts.reshape(-1, pasts, nexts, states), windows)
    return found


def _sizes(bins: int, windows: StepWindows) -> tuple[int, int]:
    """States of the past, and of what is counted beside it."""
    past = bins ** max(1, len(windows.back))
    return (past, bins) if windows.with_next else (1, past)


def _cells(codes: Any, bins: int, windows: StepWindows) -> Any:
    """Past and next value of each step in one number (N, T, U), -1 where one is missing."""
    import torch

    steps = codes.shape[1]
    forward = [-many for many in windows.back or (0,)] + [1] * windows.with_next
    cell = torch.zeros(codes.shape, dtype=torch.int64, device=codes.device)
    there = torch.ones(codes.shape, dtype=torch.bool, device=codes.device)
    for ahead in forward:
        part = torch.full_like(codes, -1)
        if ahead <= 0:
            part[:, -ahead:] = codes[:, : max(0, steps + ahead)]
        else:
            part[:, :-ahead] = codes[:, ahead:]
        there &= part >= 0
        cell = cell * bins + part
    return torch.where(there, cell, -1)


def _counted(cells: Any, source: Any, moves: int, states: int) -> Any:
    """How often each unit is in each cell and the source in each state: (U * moves * states,)."""
    import torch

    units = cells.shape[2]
    unit = torch.arange(units, device=cells.device)
    place = (unit * moves + cells) * states + source[..., None]
    seen = (cells >= 0) & (source >= 0)[..., None]
    return torch.bincount(place[seen], minlength=units * moves * states)


def _measured(counts: Any, windows: StepWindows) -> Any:
    """What is told, in nats (U,), of counts (U, pasts, nexts, states)."""
    total = counts.sum(dim=(1, 2, 3))
    limbs = terms(int(total.max()) + 1, counts.device)

    def summed(cells: Any) -> Any:
        return limbs[:, cells.flatten(1)].sum(dim=2)

    beside = counts.unflatten(3, (-1, windows.inner or counts.shape[3]))
    moves = beside.sum(dim=4)  # beside each state of the conditions
    past = summed(moves.sum(dim=2))
    if windows.told == "by_source":
        sums = summed(counts) + past - summed(moves) - summed(counts.sum(dim=2))
    elif windows.told == "by_past":
        sums = summed(moves) + summed(total[:, None]) - past - summed(moves.sum(dim=1))
    else:
        sums = past - summed(moves)
    return mean(sums, total)


def mean(limbs: Any, total: Any) -> Any:
    """Sums (3, ...) as `entropies.Sums.limbs` has them, divided by `total`, in nats."""
    import torch

    high, middle, low = limbs.unbind()
    # As `entropies.Sums.nats` has it.
    base = 2**entropies.LIMB_BITS
    middle = middle + torch.div(low, base, rounding_mode="floor")
    high = high + torch.div(middle, base, rounding_mode="floor")
    middle, low = (limb.remainder(base).double() for limb in (middle, low))
    nats = ((high.double() * base + middle) * base + low) * entropies.UNIT
    return torch.clamp(nats / total, min=0.0)


@functools.lru_cache(maxsize=4)
def terms(numbers: int, device: Any) -> Any:
    """`entropies.terms` (3, numbers) of 0, 1 and so on, on the device."""
    import torch

    return torch.from_numpy(entropies.terms(np.arange(numbers), False)).to(device)
