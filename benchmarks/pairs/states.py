"""States of targets and sources step by step, which all rivals count.

Rivals are given them at no cost where they lay data out beforehand; how they do is theirs.
"""

import numpy as np


def moved(row, steps):
    """The last axis moved to later steps; what comes in is 0."""
    found = np.zeros_like(row)
    found[..., steps:] = row[..., : row.shape[-1] - steps]
    return found


def of_targets(shape):
    """(U, T): past * symbols + next of the transition that leads to each step."""
    return joined(shape.codes, shape.symbols, [*range(shape.target_history, 0, -1), 0])


def of_sources(shape, delay):
    """(S, T): the source's state where the transition leads to each step."""
    back = range(delay + shape.source_history - 1, delay - 1, -1)
    return joined(shape.codes[: shape.many], shape.symbols, back)


def joined(codes, symbols, back):
    """One number of the codes at several steps back."""
    number = symbols ** len(back)
    found = np.zeros(codes.shape, np.uint8 if number <= 256 else np.uint16)
    for steps in back:
        found *= symbols
        found += moved(codes, steps)
    return found


def best(found):
    """The highest of all delays, (D, S, U) -> (S, U)."""
    return np.max(found, axis=0)
