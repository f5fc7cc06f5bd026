"""NumPy: counts as matrix products of one-hot rows, on all threads of its BLAS.

The rows are float32. A product adds up 2**14 steps at most, so all of its counts are exact. The
last state on each side has no row: its counts are what the others leave of the margins.
"""

import numpy as np

from pairs import measure, states

STEPS = 2**14
FLOATS = 2**25
"""Of the rows on one side, and of the counts, that are in memory together."""


def prepare(shape):
    """Nothing is made beforehand but the codes."""

    def run():
        targets = states.of_targets(shape)
        return states.best([of_delay(shape, targets, d) for d in shape.delays])

    return run


def of_delay(shape, targets, delay):
    """(S, U) in bits."""
    first = shape.first(delay)
    targets, sources = targets[:, first:], states.of_sources(shape, delay)[:, first:]
    steps = min(STEPS, targets.shape[1])
    across = max(1, min(len(targets), FLOATS // (steps * shape.moves)))
    down = max(1, min(len(sources), FLOATS // (steps * shape.states)))
    down = max(1, min(down, FLOATS // (across * shape.moves * shape.states)))
    found = np.empty((len(sources), len(targets)))
    for u in range(0, len(targets), across):
        for s in range(0, len(sources), down):
            some = counts(shape, targets[u : u + across], sources[s : s + down])
            found[s : s + down, u : u + across] = measure.bits(some)
    return found


def counts(shape, targets, sources):
    """(S, U, past, next, state)."""
    moves, held = shape.moves, shape.states
    found = np.zeros((len(sources), len(targets), moves, held))
    for start in range(0, targets.shape[1], STEPS):
        block = slice(start, start + STEPS)
        left = one_hot(sources[:, block], held)
        right = one_hot(targets[:, block], moves)
        products = (left @ right.T).reshape(len(sources), held - 1, len(targets), moves - 1)
        found[:, :, :-1, :-1] += products.transpose(0, 2, 3, 1)
    found[:, :, :-1, -1] = margins(targets, moves)[:, :-1] - found[:, :, :-1, :-1].sum(-1)
    found[:, :, -1] = margins(sources, held)[:, np.newaxis] - found[:, :, :-1].sum(2)
    return found.reshape(len(sources), len(targets), -1, shape.symbols, held)


def one_hot(rows, number):
    """(rows * (number - 1), T)."""
    every = np.arange(number - 1, dtype=rows.dtype)[:, np.newaxis]
    return (rows[:, np.newaxis] == every).astype(np.float32).reshape(-1, rows.shape[1])


def margins(rows, number):
    """How often each state occurs in each row."""
    return np.stack([np.bincount(row, minlength=number) for row in rows])
