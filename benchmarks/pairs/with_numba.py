"""Numba, parallel: products of rows of bits for few symbols, histograms of four pairs for more.

Rows of bits are kept in blocks of time that stay in the first level of cache, and a block of them
meets 16 targets. Histograms of four targets take turns, so that no increment waits for the last.
n log n comes from a table.
"""

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from pairs import states

MOST_PRODUCTS = 48
"""Products of a pair above which a histogram takes less time."""
WORDS = 512
TARGETS = 16


@intrinsic
def popcount(typing, word):
    """Bits that are set: one instruction, or one for several words."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def prepare(shape):
    """Nothing is made beforehand but the codes."""
    by_bits = shape.products <= MOST_PRODUCTS
    table = np.arange(shape.steps + 1, dtype=np.float64)
    table[1:] *= np.log2(table[1:])

    def run():
        targets = states.of_targets(shape)
        rows = packed(targets, shape.moves, shape.target_history) if by_bits else targets
        found = []
        for delay in shape.delays:
            sources, first = states.of_sources(shape, delay), shape.first(delay)
            if by_bits:
                found.append(of_bits(shape, rows, targets, sources, first, table))
            else:
                te = np.empty((len(sources), len(targets)))
                histograms(
                    rows, sources, first, shape.symbols, shape.moves, shape.states, table, te
                )
                found.append(te)
        return states.best(found)

    return run


def of_bits(shape, rows, targets, sources, first, table):
    """(S, U) in bits."""
    right = packed(sources, shape.states, first)
    products = np.zeros((len(sources), len(targets), shape.moves - 1, shape.states - 1), np.int64)
    multiply(right, rows, products)
    of_targets = margins(targets, first, shape.moves)
    of_sources = margins(sources, first, shape.states)
    found = np.empty(products.shape[:2])
    measure(products, of_targets, of_sources, shape.symbols, table, found)
    return found


def packed(codes, number, first):
    """(rows, number - 1, words): at which steps from `first` on each row is in each state."""
    words = (codes.shape[1] + 64 * WORDS - 1) // (64 * WORDS) * WORDS
    found = np.zeros((len(codes), number - 1, words), np.uint64)
    pack(codes, first, found)
    return found


@numba.njit(parallel=True, cache=True)
def pack(codes, first, found):
    for u in numba.prange(len(codes)):
        for t in range(first, codes.shape[1]):
            state = codes[u, t]
            if state < found.shape[1]:
                found[u, state, t >> 6] |= np.uint64(1) << np.uint64(t & 63)


@numba.njit(parallel=True, cache=True)
def margins(codes, first, number):
    found = np.zeros((len(codes), number), np.int64)
    for u in numba.prange(len(codes)):
        for t in range(first, codes.shape[1]):
            found[u, codes[u, t]] += 1
    return found


@numba.njit(parallel=True, cache=True)
def multiply(sources, targets, products):
    groups = (len(targets) + TARGETS - 1) // TARGETS
    for group in numba.prange(groups):
        last = min(len(targets), (group + 1) * TARGETS)
        for start in range(0, sources.shape[2], WORDS):
            for s in range(len(sources)):
                for b in range(sources.shape[1]):
                    left = sources[s, b, start : start + WORDS]
                    for u in range(group * TARGETS, last):
                        for a in range(targets.shape[1]):
                            right = targets[u, a, start : start + WORDS]
                            found = np.uint64(0)
                            for w in range(WORDS):
                                found += popcount(left[w] & right[w])
                            products[s, u, a, b] += np.int64(found)


@numba.njit(parallel=True, cache=True)
def measure(products, of_targets, of_sources, nexts, table, found):
    moves, held = of_targets.shape[1], of_sources.shape[1]
    for s in numba.prange(len(of_sources)):
        counts = np.empty(moves * held, np.int32)
        for u in range(len(of_targets)):
            for b in range(held):
                left = of_sources[s, b]
                for a in range(moves - 1):
                    n = products[s, u, a, b] if b < held - 1 else of_targets[u, a]
                    if b == held - 1:
                        for other in range(held - 1):
                            n -= products[s, u, a, other]
                    counts[a * held + b] = n
                    left -= n
                counts[(moves - 1) * held + b] = left
            found[s, u] = bits(counts, nexts, held, table)


@numba.njit(cache=True)
def bits(counts, nexts, held, table):
    """Of one pair: counts of (past, next, state)."""
    total, number = 0.0, 0
    for past in range(len(counts) // (nexts * held)):
        here = 0
        for b in range(held):
            seen = 0
            for a in range(nexts):
                n = counts[(past * nexts + a) * held + b]
                total += table[n]
                seen += n
            total -= table[seen]
            here += seen
        for a in range(nexts):
            move = 0
            for b in range(held):
                move += counts[(past * nexts + a) * held + b]
            total -= table[move]
        total += table[here]
        number += here
    return total / number


@numba.njit(parallel=True, cache=True)
def histograms(targets, sources, first, nexts, moves, held, table, found):
    groups = (len(targets) + 3) // 4
    for job in numba.prange(groups * len(sources)):
        s, u = job // groups, job % groups * 4
        source = sources[s]
        counts = np.zeros((4, moves * held), np.int32)
        # The last group holds its last target again where there are fewer than four.
        end = len(targets) - 1
        a, b = targets[u], targets[min(u + 1, end)]
        c, d = targets[min(u + 2, end)], targets[min(u + 3, end)]
        for t in range(first, len(source)):
            state = np.int64(source[t])
            counts[0, a[t] * np.int64(held) + state] += 1
            counts[1, b[t] * np.int64(held) + state] += 1
            counts[2, c[t] * np.int64(held) + state] += 1
            counts[3, d[t] * np.int64(held) + state] += 1
        for i in range(min(4, end + 1 - u)):
            found[s, u + i] = bits(counts[i], nexts, held, table)
