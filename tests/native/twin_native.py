"""What the compiled module's functions give, in NumPy: slow, and with nothing of its code."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class UnknownError(Exception):
    """No twin says what a call with such arguments gives."""


@dataclass
class Side:
    """Arguments of an `Input`."""

    array: Any
    dtype: str
    edges: Any
    bins: int
    lengths: Any

    def values(self):
        """The values, in double precision where they are floats."""
        array = np.asarray(self.array)
        if self.dtype == "bfloat16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return array.astype(
            float
            if array.dtype.kind == "f"
            else np.int64
            if array.dtype.itemsize < 8
            else array.dtype
        )

    def there(self):
        """Which values are within their sequence's length."""
        shape = self.values().shape
        steps = np.arange(shape[1])[None, :, None]
        lengths = np.full(shape[0], shape[1]) if self.lengths is None else np.asarray(self.lengths)
        return np.broadcast_to(steps < lengths[:, None, None], shape)

    def bad(self):
        """Which of those are infinite, or symbols out of range."""
        values = self.values()
        if values.dtype.kind == "f":
            return np.isinf(values) & self.there()
        return ((values < 0) | (values > self.bins - 1)) & self.there()

    def nan(self):
        values = self.values()
        return (
            np.isnan(values) & self.there() if values.dtype.kind == "f" else ~self.there() & False
        )


def copy(array):
    return np.array(array) if isinstance(array, np.ndarray) else None


def scan(side):
    values, bad, nan = side.values(), side.bad(), side.nan()
    floats = values.dtype.kind == "f"
    fine = np.where(side.there() & ~bad & ~nan, values if floats else 0, np.nan)
    units = values.shape[2]
    low, high = np.full(units, np.inf), np.full(units, -np.inf)
    if floats:
        for u in range(units):
            column = fine[:, :, u][~np.isnan(fine[:, :, u])]
            if column.size:
                low[u], high[u] = column.min(), column.max()

    def first(where):
        return int(np.flatnonzero(where)[0]) if where.any() else -1

    return {
        "nan": int(nan.sum()), "infinite": int(bad.sum()) if floats else 0,
        "outside": 0 if floats else int(bad.sum()), "first_nan": first(nan),
        "first_bad": first(bad), "low": low, "high": high,
    }  # fmt: skip


def sort_units(side, units):
    """Values beyond lengths are NaN too, which NumPy sorts to the end."""
    values = np.where(side.there(), side.values(), np.nan)
    return np.sort(values.reshape(-1, values.shape[2]).T[np.asarray(units).astype(int)], axis=1)


def find_ranks(side, shares):
    values = np.where(side.there(), side.values(), np.nan)
    ordered = sort_units(side, np.arange(values.shape[2]))
    sizes = (~np.isnan(ordered)).sum(axis=1)
    last = np.maximum(sizes - 1, 0)[:, np.newaxis]
    below = np.floor(last * np.asarray(shares, float)).astype(int)
    near = [np.clip(below + more, 0, last) for more in (-1, 0, 1)]
    return np.stack([np.take_along_axis(ordered, each, axis=1) for each in near], axis=1), sizes


def encode(side):
    if side.bad().any():
        raise UnknownError
    values, there = side.values(), side.there()
    if values.dtype.kind != "f":
        return np.where(there, values.astype(np.int64), -1).astype(np.int16)
    edges = np.asarray(side.edges, float)
    if not np.isfinite(edges).all() or (np.diff(edges) < 0).any():
        raise UnknownError
    codes = (edges.T[:, None, None, :] <= values[None]).sum(0)
    return np.where(there & ~np.isnan(values), codes, -1).astype(np.int16)


def occupancy(codes, size):
    """Counts (U, size) of codes (rows, U), those below 0 left out."""
    counts = np.zeros((codes.shape[1], size), np.int64)
    for u in range(codes.shape[1]):
        counts[u] = np.bincount(codes[codes[:, u] >= 0, u], minlength=size)
    return counts


def count_values(side):
    codes = encode(side)
    return occupancy(codes.reshape(-1, codes.shape[2]), side.bins)


def joint(codes, source, bins, states):
    """Cells (rows, U) of next, past and state, below 0 where one of them is missing."""
    following, past = codes[:, 1:].astype(np.int64), codes[:, :-1].astype(np.int64)
    state = np.broadcast_to(source[:, :-1, None].astype(np.int64), past.shape)
    cells = (following * bins + past) * states + state
    cells = np.where((following < 0) | (past < 0) | (state < 0), -1, cells)
    return cells.reshape(-1, codes.shape[2])


def count_transitions(side, source, states):
    codes, source = encode(side), np.asarray(source)
    source = source.reshape(codes.shape[:2])
    bins = side.bins
    return occupancy(joint(codes, source, bins, states), bins * bins * states)


def count_recent(side, source, states, omit, clean):
    """Counts of transitions, if there is no value that must not be there."""
    if side.bad().any():
        raise UnknownError
    if not clean and not omit:  # a NaN: nothing was counted
        return 0 * count_transitions(side, source, states)
    return count_transitions(side, source, states)


def entropy_of(cells):
    """n ln n of each column's cells that are 0 or more, summed up."""
    total = np.zeros(cells.shape[1])
    for u in range(cells.shape[1]):
        n = np.unique(cells[cells[:, u] >= 0, u], return_counts=True)[1]
        total[u] = (n * np.log(n)).sum()
    return total


class Counted(NamedTuple):
    """What is counted of a unit, and what is measured of it, as the kernels take it."""

    back: tuple = ()
    with_next: bool = True
    told: str = "by_source"
    inner: int = 0


def transfer_entropies(side, sources, states, omit, found, how=None):
    """Scores of one source or many, and whether they are clean; `found` is what was given."""
    how = how or Counted()
    nats, clean = found
    bad = side.bad().any() or (side.nan().any() and not omit)
    if bad:
        # Values that touch no transition may have gone unseen, the others not.
        seen = side.array.shape[1] > how.with_next and not how.back
        if clean and seen and (np.asarray(sources) >= 0).all():
            return None
        raise UnknownError
    codes = encode(side)
    sources = np.asarray(sources)
    many = sources.reshape(-1, *codes.shape[:2])
    if side.lengths is not None:  # no row beyond them counts, whatever it looks back to
        beyond = np.arange(codes.shape[1]) >= np.asarray(side.lengths)[:, np.newaxis]
        many = np.where(beyond, -1, many)
    expected = np.array([one_source(codes, source, side.bins, states, how) for source in many])
    # A NaN that is left out may pass for one that must not be there.
    return expected.reshape(nats.shape), clean if side.nan().any() else True


def one_source(codes, source, bins, states, how):
    past, following = own(codes, bins, how)
    state = np.broadcast_to(source[:, :, None].astype(np.int64), past.shape)
    fine = ((past >= 0) & (following >= 0) & (state >= 0)).reshape(-1, codes.shape[2])
    past, following, state = (each.reshape(fine.shape) for each in (past, following, state))
    condition = state // (how.inner or states)
    n = fine.sum(0)

    def terms(*parts):
        cells = np.zeros(fine.shape, np.int64)
        for part in parts:
            cells = cells * (part.max(initial=0) + 1) + part
        return entropy_of(np.where(fine, cells, -1))

    given, move = terms(past, condition), terms(past, following, condition)
    summed = {
        "by_source": lambda: terms(past, following, state) + given - move - terms(past, state),
        "by_past": lambda: move + terms() - terms(past) - terms(following),
        "by_nothing": lambda: given - move,
    }[how.told]()
    with np.errstate(invalid="ignore"):
        return np.where(n > 0, np.maximum(summed, 0) / n, np.nan)


def own(codes, bins, how):
    """The past and what is counted beside it, (N, T, U) at each row, below 0 where missing."""
    value, seen = np.zeros(codes.shape, np.int64), np.ones(codes.shape, bool)
    steps = codes.shape[1]
    for back in how.back or (0,):
        there = np.full(codes.shape, -1, np.int64)
        if back < steps:
            there[:, back:] = codes[:, : steps - back]
        value, seen = value * bins + there, seen & (there >= 0)
    value = np.where(seen, value, -1)
    if not how.with_next:
        return np.where(seen, 0, -1), value
    following = np.full(codes.shape, -1, np.int64)
    following[:, :-1] = codes[:, 1:]
    return value, following


def local_values(side, source, states, nat, omit, found):
    """Values from the first step on, with the two flags; `found` is what was given."""
    values, _, clean = found
    if side.bad().any() or (side.nan().any() and not omit):
        if clean and (np.asarray(source) >= 0).all():
            return None
        raise UnknownError
    if not np.isfinite(nat) or values.shape[1] != side.array.shape[1] - 1:
        raise UnknownError
    codes = encode(side)
    cells = joint(codes, np.asarray(source).reshape(codes.shape[:2]), side.bins, states)
    expected = np.stack([of_each(unit, side.bins, states) for unit in cells.T], axis=-1)
    fine = bool((cells >= 0).any())
    return nat * expected.reshape(values.shape), fine, clean if side.nan().any() else True


def of_each(cells, bins, states):
    """Nats of each transition of a unit in its cell."""
    next_past, state = cells // states, cells % states
    past = next_past % bins

    def times(part):
        return (part[:, None] == part[cells >= 0]).sum(1)

    with np.errstate(all="ignore"):
        nats = np.log(times(cells) * times(past)) - np.log(
            times(past * states + state) * times(next_past)
        )
    return np.where(cells >= 0, nats, np.nan)


def score_counts(counts):
    counts = np.asarray(counts)
    if counts.size and (counts.min() < 0 or counts.max() > 2**40):
        raise UnknownError
    return score_tables(counts.transpose(0, 2, 1, 3))


def score_tables(tables):
    """Transfer entropy of tables (..., past, next, state)."""

    def total(n):
        n = n.astype(float)
        axes = tuple(range(tables.ndim - 3, n.ndim))
        return (n * np.log(np.where(n > 0, n, 1))).sum(axes)

    n = tables.sum((-1, -2, -3))
    if not tables.size:
        return np.full(n.shape, np.nan)
    nats = (
        total(tables) + total(tables.sum((-1, -2))) - total(tables.sum(-1)) - total(tables.sum(-2))
    )
    with np.errstate(invalid="ignore"):
        return np.where(n > 0, np.maximum(nats, 0) / n, np.nan)


def windows(codes, bins, back):
    """States (N, T, U), below 0 where one of the codes is missing."""
    codes = np.asarray(codes).astype(np.int64)
    state, fine = np.zeros(codes.shape, np.int64), np.ones(codes.shape, bool)
    for steps in back:
        steps = min(steps, codes.shape[1])
        moved = np.full(codes.shape, -1, np.int64)
        moved[:, steps:] = codes[:, : codes.shape[1] - steps]
        fine &= moved >= 0
        state = state * bins + moved
    return np.where(fine, state, -1)


def count_windows(codes, bins, back, shared, states):
    state = windows(codes, bins, back)
    shared = np.asarray(shared).reshape(state.shape[:2])[:, :, None]
    cells = np.where((state < 0) | (shared < 0), -1, state * states + shared)
    return occupancy(
        cells.reshape(cells.shape[0] * cells.shape[1], cells.shape[2]), bins ** len(back) * states
    )


def bits(flags):
    """Booleans (..., steps) as words of 64, whole cache lines of them."""
    words = (flags.shape[-1] + 511) // 512 * 8
    room = np.zeros((*flags.shape[:-1], words * 64), bool)
    room[..., : flags.shape[-1]] = flags
    return np.packbits(room, axis=-1, bitorder="little").view("<u8").astype(np.uint64)


def flags(rows):
    return np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=-1, bitorder="little")


def pack_windows(codes, bins, back):
    state = windows(codes, bins, back)
    state = state.reshape(state.shape[0] * state.shape[1], state.shape[2]).T
    states = bins ** len(back)
    rows = bits(state[:, None, :] == np.arange(states - 1)[None, :, None])
    return rows, bits(state >= 0)


def move_bits(rows, steps, kept):
    rows, kept = np.asarray(rows, np.uint64), np.asarray(kept, np.uint64)
    apart = flags(rows.reshape(-1, kept.size))
    moved = np.zeros_like(apart)
    steps = min(steps, apart.shape[1])
    moved[:, steps:] = apart[:, : apart.shape[1] - steps]
    words = np.packbits(moved & flags(kept.reshape(1, -1)), axis=-1, bitorder="little")
    return words.view(np.uint64).reshape(rows.shape)


def count_pairs(targets, sources, nexts):
    """Counts (S, U, past, next, state) by inclusion: the last state is what `any` has beyond."""

    def all_states(rows, every):
        rows, every = (
            flags(np.asarray(each, np.uint64)).astype(np.int64) for each in (rows, every)
        )
        every = np.broadcast_to(every[:, None], (rows.shape[0], 1, every.shape[-1]))
        if ((rows.sum(1, keepdims=True) > every) | (rows < 0)).any():
            raise UnknownError  # no series has such states
        return np.concatenate([rows, every - rows.sum(1, keepdims=True)], 1)

    moves, states = all_states(*targets), all_states(*sources)
    counts = np.einsum("umt,sqt->sumq", moves, states)
    S, U, M, Q = counts.shape
    nexts = int(nexts)
    return counts.reshape(S, U, M // nexts, nexts, Q)


def conditional_surrogates(own, nexts, source, orders):
    own, source = np.asarray(own).astype(np.int64), np.asarray(source)
    nats = np.full((len(orders), own.shape[1]), np.nan)
    for s, order in enumerate(np.asarray(orders).astype(np.int64)):
        for u in range(own.shape[1]):
            keys = own[:, u]
            lists = {}
            for j in np.flatnonzero(keys >= 0):
                lists.setdefault(keys[j] // nexts, []).append(source[j])
            used = {past: iter(states) for past, states in lists.items()}
            cells = [(k // nexts, k % nexts, next(used[k // nexts])) for k in keys[order] if k >= 0]
            nats[s, u] = of_cells(cells)
    return nats


def of_cells(cells):
    """Transfer entropy of cells (past, next, state)."""
    if not cells:
        return np.nan

    def total(*axes):
        keys = [tuple(cell[axis] for axis in axes) for cell in cells]
        return sum(n * np.log(n) for n in map(keys.count, set(keys)))

    return max(total(0, 1, 2) + total(0) - total(0, 1) - total(0, 2), 0) / len(cells)


def difference(found, expected):
    """How two results differ, or ""."""
    if isinstance(found, dict):
        names = [name for name in found if difference(found[name], expected[name])]
        return f"{names}: {found} against {expected}" if names else ""
    if isinstance(found, tuple):
        if expected is None:
            return "bad values went unseen"
        return next(filter(None, map(difference, found, expected)), "")
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return f"shape {found.shape} against {expected.shape}"
    if found.dtype.kind == "f":
        same = np.isclose(found, expected, rtol=1e-9, atol=1e-11, equal_nan=True)
    else:
        same = found == expected
    return "" if same.all() else f"{found[~same][:3]} against {expected[~same][:3]}"
