"""Pairs on a GPU: a row of zeros and ones for each state, and counts as products of such rows.

Products of int8 are added up in int32, which is exact for fewer than 2**31 steps. The terms of the
counts are those of the CPU, whose sums do not depend on an order: scores are equal to the last bit.
"""

from __future__ import annotations

from typing import Any

from tefast._backends import device_windows
from tefast._backends.inputs import PairStates
from tefast._tables.types import Booleans, Codes, Steps

CELLS = 2**24
"""Cells of pairs that are measured at a time."""
EDGE, LEAST_ROWS = 16, 32
"""What the sides of matrices must be multiples of, and the rows that the first must have."""


def pair_states(codes: Codes, bins: int, back: Steps, device: Any) -> PairStates:
    """See `tefast._backends.Backend.pair_states`; rows of int8 on the device."""
    import torch

    there = torch.from_numpy(codes).to(device)
    sequences, steps, units = there.shape
    state = torch.zeros(there.shape, dtype=torch.int32, device=device)
    has_all = torch.ones(there.shape, dtype=torch.bool, device=device)
    for many in back:
        part = torch.full_like(there, -1)
        part[:, many:] = there[:, : max(0, steps - many)]
        has_all &= part >= 0
        state = state * bins + part
    state = torch.where(has_all, state, -1).movedim(2, 0).reshape(units, 1, sequences * steps)
    states = torch.arange(bins ** len(back) - 1, dtype=torch.int32, device=device)[:, None]
    every = has_all.movedim(2, 0).reshape(units, -1)
    if units > 1 and bool((every == every[0]).all()):
        every = every[:1]
    return PairStates(_padded(state == states), _padded(every))


def moved_states(states: PairStates, steps: int, kept: Booleans) -> PairStates:
    """See `tefast._backends.Backend.moved_states`."""
    import torch

    mask = _padded(torch.from_numpy(kept).to(states.rows.device))
    return PairStates(*(_moved(each, steps) * mask for each in (states.rows, states.any)))


def score_pairs(targets: PairStates, sources: PairStates, nexts: int) -> Any:
    """Scores (S, U) of one set of sources: see `tefast._backends.Backend.score_pairs`."""
    import torch

    many, units = len(sources.rows), len(targets.rows)
    found = torch.empty(many, units, dtype=torch.float64, device=targets.rows.device)
    some = max(1, CELLS // (targets.states * sources.states))
    across = min(units, some)
    down = max(1, some // across)
    for s in range(0, many, down):
        for u in range(0, units, across):
            of_s, of_u = slice(s, s + down), slice(u, u + across)
            counts = count_pairs(targets.series(of_u), sources.series(of_s), nexts)
            found[of_s, of_u] = _nats(counts)
    return found


def count_pairs(targets: PairStates, sources: PairStates, nexts: int) -> Any:
    """See `tefast._backends.Backend.count_pairs`."""
    import torch

    many, states, units, moves = (
        len(sources.rows),
        sources.states,
        len(targets.rows),
        targets.states,
    )
    both = _products(sources.rows, targets.rows).reshape(many, states - 1, units, moves - 1)
    shape = (many, units, moves, states)
    counts = torch.zeros(shape, dtype=torch.int64, device=both.device)
    counts[:, :, :-1, :-1] = both.permute(0, 2, 3, 1)
    # What any state has beyond the others is the last one's.
    of_move = _products(sources.any, targets.rows).reshape(-1, units, moves - 1)
    counts[:, :, :-1, -1] = of_move - counts[:, :, :-1, :-1].sum(dim=3)
    of_state = _products(sources.rows, targets.any).reshape(many, states - 1, -1).movedim(1, 2)
    counts[:, :, -1, :-1] = of_state - counts[:, :, :-1, :-1].sum(dim=2)
    counts[:, :, -1, -1] = _products(sources.any, targets.any) - counts.sum(dim=(2, 3))
    return counts.reshape(many, units, moves // nexts, nexts, states)


def _products(one: Any, other: Any) -> Any:
    """How many steps each of some rows has in common with each of others: int64."""
    import torch

    one, other = (rows.reshape(-1, rows.shape[-1]) for rows in (one, other))
    found = torch._int_mm(_filled(one, LEAST_ROWS), _filled(other, EDGE).T)
    return found[: len(one), : len(other)].long()


def _filled(rows: Any, least: int) -> Any:
    """With rows of zeros after them, so that there are as many as the product wants."""
    import torch

    wanted = max(least, -(-len(rows) // EDGE) * EDGE)
    return torch.nn.functional.pad(rows, (0, 0, 0, wanted - len(rows)))


def _padded(rows: Any) -> Any:
    """Booleans (..., steps) as int8, with zeros after them."""
    import torch

    return torch.nn.functional.pad(rows.to(torch.int8), (0, -rows.shape[-1] % EDGE))


def _moved(rows: Any, steps: int) -> Any:
    import torch

    out = torch.zeros_like(rows)
    if steps < rows.shape[-1]:
        out[..., steps:] = rows[..., : rows.shape[-1] - steps]
    return out


def _nats(counts: Any) -> Any:
    """Transfer entropy of counts (S, U, past, next, state)."""
    moves, states = counts.sum(dim=4), counts.sum(dim=3)
    total = states.sum(dim=(2, 3))
    limbs = device_windows.terms(int(total.max()) + 1, counts.device)

    def summed(cells: Any) -> Any:
        return limbs[:, cells.flatten(2)].sum(dim=3)

    sums = summed(counts) + summed(moves.sum(dim=3)) - summed(moves) - summed(states)
    return device_windows.mean(sums, total)
