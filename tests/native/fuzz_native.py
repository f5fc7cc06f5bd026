"""Arguments drawn from a seed: the compiled module refuses them, or gives what NumPy gives.

`python tests/native/fuzz_native.py --inputs 100000` tries that many. Each input is a call of one
function with valid arguments, of which some are then spoiled: other types, shapes, strides and
byte orders, arrays that are read-only, unaligned or empty, sizes that no memory holds, codes out of
range, NaN and infinities, numbers that no C integer holds, and arrays that are changed after they
were passed. A call may raise one of four errors. What it gives instead is held to a twin in NumPy.
"""

import argparse
import collections
import math
import random
import sys
import time

import numpy as np
import twin_native as twin

from tefast import _native

REFUSALS = (ValueError, TypeError, OverflowError, MemoryError)
FLOATS = ("float16", "bfloat16", "float32", "float64")
SYMBOLS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
OTHERS = (*SYMBOLS[:4], "uint8", "uint64", "float32", "complex64", "O", "U3", "bool", "M8[s]")
NUMBERS = (0, 1, 2, 3, -1, 255, 256, 257, 2**15, 2**15 + 1, -(2**31), 2**31, 2**62, -(2**62), 2**63)
HUGE = 2**45
"""Elements of an array that no memory holds."""


class Subclass(np.ndarray):
    """What callers may pass for an array."""


class Draw:
    """Arguments of one call, from a seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.trouble = self.rng.choice((0.0, 0.0, 0.1, 0.3))
        """How likely an argument is spoiled."""
        self.changed = False
        """Whether an argument was changed after it was passed."""

    def spoiled(self):
        return self.rng.random() < self.trouble

    def size(self, most=12):
        return self.rng.choice((1, 2, 3, self.rng.randint(1, most)))

    def bins(self):
        return self.rng.choice((2, 3, 4, 4, 16, 40, 200))

    def threads(self):
        if self.rng.random() < 0.0005:
            return self.rng.choice((10**6, 2**31 - 1, 64))
        if self.spoiled():
            return self.rng.choice((0, -1, 2**31, 2**70, None, 1.5, "1", -(2**31)))
        return self.rng.choice((1, 1, 1, 1, 1, 2, 3, 0))

    def number(self, given):
        if not self.spoiled():
            return given
        return self.rng.choice((*NUMBERS, given + 1, given - 1, None, 1.5, "2", True))

    def array(self, given, huge=True):
        """An array that may be laid out otherwise, or be another one."""
        if self.rng.random() < 0.3:
            given = self.laid_out(given)
        return self.other(given, huge) if self.spoiled() else given

    def laid_out(self, given):
        """The same values at other addresses."""
        way = self.rng.randrange(6)
        if way == 0:
            return np.asfortranarray(given)
        if way == 1:
            return np.repeat(given, 2, axis=-1)[..., ::2] if given.ndim else given
        if way == 2:
            return given[..., ::-1].copy()[..., ::-1] if given.ndim else given
        if way == 3:
            room = np.empty(given.nbytes + 1, np.uint8)
            moved = room[1:].view(given.dtype).reshape(given.shape)
            moved[...] = given
            return moved
        if way == 4:
            return given.view(Subclass)
        given = given.copy()
        given.flags.writeable = False
        return given

    def other(self, given, huge):
        """Something else in the place of an array."""
        way = self.rng.randrange(9)
        if way == 0:
            dtype = self.rng.choice(OTHERS)
            try:
                with np.errstate(all="ignore"):
                    return given.astype(dtype)
            except (ValueError, TypeError):
                return np.zeros(given.shape, dtype)
        if way == 1:
            return given.astype(given.dtype.newbyteorder())
        if way == 2:
            return self.rng.choice((None, 3, "x", [], [[1.0]], object(), given.tolist()))
        if way == 3:
            return given[self.rng.choice((slice(0), slice(1), slice(1, None), None, ...))]
        if way == 4:
            return given[..., : self.rng.randint(0, 1)]
        if way == 5:
            return given.reshape(-1)
        if way == 6 and huge and given.size:
            shape = [self.rng.choice((1, n)) for n in given.shape[1:]]
            return np.broadcast_to(given.reshape(-1)[:1].reshape([1] * given.ndim), [HUGE, *shape])
        if way == 7 and given.size:
            return np.broadcast_to(given[:1], given.shape)
        return self.bad_entries(given)

    def bad_entries(self, given):
        """An array with some entries that should not be there."""
        given = given.copy()
        if not given.size:
            return given
        flat = given.reshape(-1)
        for _ in range(self.rng.randint(1, 3)):
            if given.dtype.kind == "f":
                bad = self.rng.choice((np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 0.0))
            else:
                limits = np.iinfo(given.dtype)
                bad = self.rng.choice((limits.min, limits.max, limits.max - 1, 0, 1))
                bad = self.rng.choice((bad, -1, -2)) if limits.min < 0 else bad
            with np.errstate(over="ignore"):
                flat[self.rng.randrange(flat.size)] = bad
        return given

    def change(self, *arrays):
        """Change an array that was passed before."""
        arrays = [array for array in arrays if isinstance(array, np.ndarray) and array.size]
        if not arrays or not self.spoiled():
            return
        self.changed = True
        array = self.rng.choice(arrays)
        way = self.rng.randrange(3)
        try:
            # A view of it would be left with freed memory, of which NumPy says that it is so.
            if way == 0 and type(array) is np.ndarray:
                array.resize(self.rng.choice(((0,), (1,), array.size // 2)), refcheck=False)
            elif way == 1:
                array.shape = (-1,)
            else:
                array[...] = self.bad_entries(array)
        except (ValueError, AttributeError):
            pass

    def sizes(self):
        return self.size(4), self.size(60), self.size(40)


def values_of(draw, shape, bins):
    """Values, what they are called, and inner edges or None."""
    dtype = draw.rng.choice((*FLOATS, *FLOATS, *SYMBOLS))
    if dtype in SYMBOLS:
        return draw.numpy.integers(0, min(bins, 127), shape).astype(dtype), dtype, None
    values = draw.numpy.random(shape, dtype=np.float32)
    rows = draw.rng.choice((1, shape[2]))
    edges = np.tile(np.linspace(0, 1, bins + 1)[1:-1], (rows, 1))
    if draw.rng.random() < 0.3:
        edges = np.sort(draw.numpy.random(edges.shape))
    if draw.rng.random() < 0.2:
        values.reshape(-1)[draw.rng.randrange(values.size)] = np.nan
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16), dtype, edges
    return values.astype(dtype), dtype, edges


def input_of(draw, shape, bins, scanned=False, huge=False):
    """An `Input`, and what a twin needs of it."""
    values, dtype, edges = values_of(draw, shape, bins)
    values = draw.array(values, huge)
    edges = None if scanned or edges is None else draw.array(edges)
    if draw.spoiled():
        dtype = draw.rng.choice((*FLOATS, *SYMBOLS, "", "complex64", None))
    lengths = None
    if draw.rng.random() < 0.4:
        lengths = draw.array(draw.numpy.integers(0, shape[1] + 1, shape[0]))
    bins = draw.number(bins)
    given = _native.Input(values, dtype, False, edges, bins, lengths)
    draw.change(values, edges, lengths)
    return given, twin.Side(values, dtype, edges, bins, lengths)


def counts_like(draw, shape):
    """What is written in place: laid out otherwise it is refused."""
    counts = draw.numpy.integers(0, 9, shape)
    return draw.array(counts, huge=False) if draw.trouble else counts


def scan(draw):
    shape, bins = draw.sizes(), draw.bins()
    given, side = input_of(draw, shape, bins, scanned=True)
    return _native.scan(given, draw.threads()), lambda: twin.scan(side)


def find_ranks(draw):
    given, side = input_of(draw, draw.sizes(), draw.bins(), scanned=True)
    if side.dtype in SYMBOLS:
        return encode(draw)
    shares = draw.array(np.sort(draw.numpy.random(draw.size(20))))
    return _native.find_ranks(given, shares, draw.threads()), lambda: twin.find_ranks(side, shares)


def sort_units(draw):
    shape = draw.sizes()
    given, side = input_of(draw, shape, draw.bins(), scanned=True)
    if side.dtype in SYMBOLS:
        return encode(draw)
    units = draw.array(draw.numpy.integers(0, shape[2], draw.size(20)))
    return _native.sort_units(given, units, draw.threads()), lambda: twin.sort_units(side, units)


def encode(draw):
    given, side = input_of(draw, draw.sizes(), draw.bins(), huge=True)
    return _native.encode(given, draw.threads()), lambda: twin.encode(side)


def count_values(draw):
    shape, bins = draw.sizes(), draw.bins()
    given, side = input_of(draw, shape, bins)
    counts = counts_like(draw, (shape[2], bins))
    before = twin.copy(counts)
    _native.count_values(given, counts, draw.threads())
    return counts, lambda: before + twin.count_values(side).reshape(before.shape)


def source_like(draw, shape, states):
    source = draw.numpy.integers(-1, states, shape).astype(np.int16)
    return draw.array(source)


def count_transitions(draw):
    shape, bins, states = draw.sizes(), draw.rng.choice((2, 3, 4)), draw.size(5)
    given, side = input_of(draw, shape, bins)
    source = source_like(draw, shape[:2], states)
    counts = counts_like(draw, (shape[2], bins, bins, states))
    before = twin.copy(counts)
    _native.count_transitions(given, source, counts, draw.threads())
    expected = lambda: twin.count_transitions(side, source, before.shape[3])  # noqa: E731
    return counts, lambda: before + expected().reshape(before.shape)


def count_recent(draw):
    """Short batches in counters of 16 bits, and what these are added to."""
    shape, bins, states = draw.sizes(), draw.rng.choice((2, 3, 4)), draw.size(5)
    given, side = input_of(draw, shape, bins)
    source = source_like(draw, shape[:2], states)
    counts = counts_like(draw, (shape[2], bins, bins, states))
    before = twin.copy(counts)
    size = _native.recent_size(draw.number(shape[2]), draw.number(bins), draw.number(states))
    recent = np.zeros(min(size, 2**24), np.uint16)
    recent = draw.other(recent, False) if draw.spoiled() else recent
    draw.changed |= bool(np.any(recent))  # no twin knows what was there before
    omit, clean = draw.rng.random() < 0.5, True
    for _ in range(2):
        clean &= _native.count_recent(given, source, states, omit, recent, draw.threads())
    _native.move_recent(recent, counts, draw.threads())
    once = lambda: twin.count_recent(side, source, before.shape[3], omit, clean)  # noqa: E731
    return counts, lambda: before + 2 * once().reshape(before.shape)


def transfer_entropy(draw):
    shape, bins, states = draw.sizes(), draw.bins(), draw.size(9)
    given, side = input_of(draw, shape, bins)
    source = source_like(draw, shape[:2], states)
    states, omit = draw.number(states), draw.rng.random() < 0.5
    found = _native.transfer_entropy(given, source, states, omit, draw.threads())
    return found, lambda: twin.transfer_entropies(side, source, states, omit, found)


def transfer_entropies(draw):
    shape, bins, states = draw.sizes(), draw.bins(), draw.size(9)
    given, side = input_of(draw, shape, bins)
    told = draw.rng.choice(("by_source",) * 4 + ("by_past", "by_nothing"))
    states = states if told == "by_source" else 1
    how = windows_like(draw, told, states, bins)
    sources = draw.numpy.integers(-1, states, (draw.size(5), *shape[:2])).astype(np.int16)
    early = max((back for back in how.back if isinstance(back, int)), default=0)
    if early > 0 and not draw.spoiled():
        sources[:, :, :early] = -1
    sources, states, omit = draw.array(sources), draw.number(states), draw.rng.random() < 0.5
    found = _native.transfer_entropies(given, sources, states, omit, draw.threads(), *how)
    return found, lambda: twin.transfer_entropies(side, sources, states, omit, found, how)


def windows_like(draw, told, states, bins):
    """What is counted, of a past of no step to three, and what is measured."""
    back = [draw.number(draw.rng.randrange(4)) for _ in range(draw.rng.choice((0, 0, 1, 2, 3)))]
    with_next = draw.rng.random() < 0.6
    while back and bins ** (len(back) + with_next) > 65536 and not draw.spoiled():
        back.pop()
    parts = [0, *(n for n in range(1, states + 1) if states % n == 0)]
    inner = draw.number(draw.rng.choice(parts))
    return twin.Counted(back, with_next, "nobody" if draw.spoiled() else told, inner)


def local_values(draw):
    shape, bins, states = draw.sizes(), draw.bins(), draw.size(9)
    shape = shape[0], max(2, shape[1]), shape[2]
    given, side = input_of(draw, shape, bins)
    source = source_like(draw, shape[:2], states)
    states, omit, first = draw.number(states), draw.rng.random() < 0.5, draw.number(0)
    unit = draw.rng.choice(((1, 0.5, math.log(2) - 0.5), (2, 1.0, 2 * math.log(2) - 1)))
    if draw.spoiled():
        unit = draw.rng.choice(((1,), (math.nan,) * 3, (math.inf, 0, -math.inf), None, "one"))
    found = _native.local_values(given, source, states, first, unit, omit, draw.threads(), [])
    return found, lambda: twin.local_values(side, source, states, unit[0], omit, found)


def score_counts(draw):
    bins = draw.size(6)
    counts = counts_like(draw, (draw.size(20), bins, bins, draw.size(6)))
    return _native.score_counts(counts, draw.threads()), lambda: twin.score_counts(counts)


def steps_back(draw):
    if draw.spoiled():
        return draw.rng.choice(([], [-1], [2**62], [0] * 70, [2**63], None, [None], [1, 0, 3], 3))
    return draw.rng.choice(([0], [1], [1, 0], [0, 2], [3, 1, 0]))


def count_windows(draw):
    shape, bins, states = draw.sizes(), draw.rng.choice((1, 2, 3)), draw.size(5)
    codes = draw.array(draw.numpy.integers(-1, bins, shape).astype(np.int16))
    back, shared = steps_back(draw), draw.array(draw.numpy.integers(-1, states, shape[:2]))
    length = len(back) if isinstance(back, list) and len(back) < 9 else 1
    counts = counts_like(draw, (shape[2], bins**length, states))
    bins, states = draw.number(bins), draw.number(states)
    windows = _native.Windows(codes, bins, back, shared, states)
    draw.change(codes, shared)
    before = twin.copy(counts)
    _native.count_windows(windows, counts, draw.threads())
    expected = lambda: twin.count_windows(codes, bins, back, shared, states)  # noqa: E731
    return counts, lambda: before + expected().reshape(before.shape)


def conditional_surrogates(draw):
    M, U, S, nexts = draw.size(40), draw.size(5), draw.size(4), draw.size(4)
    own = draw.array(draw.numpy.integers(-1, 12, (M, U)))
    source = draw.array(draw.numpy.integers(0, 5, M))
    orders = [draw.numpy.permutation(M) for _ in range(S)]
    orders = draw.array(np.array(orders, np.uint32))
    nexts = draw.number(nexts)
    found = _native.conditional_surrogates(own, nexts, source, orders, draw.threads())
    return found, lambda: twin.conditional_surrogates(own, nexts, source, orders)


def packed(draw, steps, series):
    """Rows of bits of some series, as `pack_windows` has them."""
    bins, back = draw.rng.choice((1, 2, 3)), draw.rng.choice(([0], [1, 0]))
    codes = draw.numpy.integers(-1, bins, (1, steps, series)).astype(np.int16)
    return twin.pack_windows(codes, bins, back)


def pack_windows(draw):
    shape, bins = draw.sizes(), draw.rng.choice((1, 2, 3))
    codes = draw.array(draw.numpy.integers(-1, bins, shape).astype(np.int16))
    bins, back = draw.number(bins), steps_back(draw)
    if isinstance(bins, int) and isinstance(back, list) and bins > 3 and len(back) > 1:
        bins = 2**62  # what is between would have rows that take all memory
    found = _native.pack_windows(codes, bins, back, draw.threads())
    return found, lambda: twin.pack_windows(codes, bins, back)


def move_bits(draw):
    rows, every = packed(draw, draw.size(900), draw.size(4))
    rows, kept = draw.array(rows, huge=False), draw.array(every[0], huge=False)
    steps = draw.number(draw.rng.choice((0, 1, 5, 63, 64, 65, 600, 2000)))
    found = _native.move_bits(rows, steps, kept, draw.threads())
    return found, lambda: twin.move_bits(rows, steps, kept)


def pair_sides(draw):
    steps = draw.size(900)
    sides, arrays = [], []
    for _ in range(2):
        rows, every = packed(draw, steps, draw.size(5))
        rows, every = draw.array(rows), draw.array(every)
        sides.append(_native.PairSide(rows, every))
        arrays.append((rows, every))
    draw.change(*arrays[0], *arrays[1])
    states = np.shape(arrays[0][0])[1] + 1 if np.ndim(arrays[0][0]) == 3 else 1
    nexts = draw.number(draw.rng.choice([n for n in (1, 2, 3) if states % n == 0]))
    return sides, nexts, lambda: twin.count_pairs(*arrays, nexts)


def count_pairs(draw):
    sides, nexts, expected = pair_sides(draw)
    return _native.count_pairs(*sides, nexts, draw.threads()), expected


def score_pairs(draw):
    sides, nexts, expected = pair_sides(draw)
    targets, sources = sides
    sets = draw.rng.randint(1, 3)
    nats = (
        draw.array(np.empty((2, 2, 2)), huge=False)
        if draw.trouble
        else np.empty((sets, *expected().shape[:2]))
    )
    _native.score_pairs(targets, [sources] * sets, nexts, nats, draw.threads())
    return nats, lambda: np.stack([twin.score_tables(expected())] * sets)


def all_guessed(draw):
    units = draw.size()
    _, _, edges = values_of(draw, (1, 1, units), draw.bins())
    edges = draw.array(np.ones((1, 1)) if edges is None else edges)
    dtype = draw.rng.choice((*FLOATS, "", None)) if draw.spoiled() else "float32"
    found = _native.all_guessed(edges, dtype, draw.number(units))
    return found, lambda: found


def settings(draw):
    """Limits and levels: refused, or of no effect on results."""
    limits = _native.Limits()
    name = draw.rng.choice([name for name in dir(limits) if not name.startswith("_")])
    setattr(limits, name, draw.rng.choice((*NUMBERS, 500)))
    try:
        _native.use_limits(limits)
        return transfer_entropies(draw)
    finally:
        _native.use_limits(_native.Limits())


CALLS = (
    scan, find_ranks, sort_units, encode, count_values, count_transitions,
    count_recent, transfer_entropy,
    transfer_entropies, local_values, score_counts, count_windows, conditional_surrogates,
    pack_windows, move_bits, count_pairs, score_pairs, all_guessed, settings,
)  # fmt: skip


def trial(seed):
    """What became of one input: "refused", "right", "unknown" (no twin can say), or a fault."""
    draw = Draw(seed)
    call = CALLS[seed % len(CALLS)]
    try:
        found, expected = call(draw)
    except REFUSALS as error:
        refused = bool(str(error)) or isinstance(error, MemoryError)
        if not draw.trouble and call is not settings:
            return "refused though valid", f"{call.__name__}: {error!r}"
        return ("refused" if refused else "no message"), str(error)
    except Exception as error:
        return "raw error", f"{call.__name__}: {error!r}"
    if draw.changed:
        return "unknown", ""
    try:
        difference = twin.difference(found, expected())
    except twin.UnknownError:
        return "unknown", ""
    except Exception as error:
        return "taken", f"{call.__name__}: what the twin fails on, {error!r}"
    return ("wrong", f"{call.__name__}: {difference}") if difference else ("right", "")


OUTCOMES = ("refused", "right", "unknown")
"""What is no fault."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    counts, started = collections.Counter(), time.process_time()
    for seed in range(options.start, options.start + options.inputs):
        kind, text = trial(seed)
        counts[kind] += 1
        if kind not in OUTCOMES:
            print(f"seed {seed}: {kind}: {text:.400}", flush=True)
        if (seed - options.start + 1) % 10000 == 0:
            used = time.process_time() - started
            print(f"{seed + 1}: {dict(counts)}, {used:.0f} CPU seconds", flush=True)
    print(f"{dict(counts)} in {time.process_time() - started:.0f} CPU seconds")
    return int(any(kind not in OUTCOMES for kind in counts))


if __name__ == "__main__":
    sys.exit(main())
