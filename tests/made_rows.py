"""Made measurements of the study, in which what comes out is known."""

from dataclasses import replace

import numpy as np

from tefast.experiment.config import CRITERIA, NO_ORDER, ORDERS, REGULARIZERS
from tefast.experiment.results import Row

FRACTIONS = (0.0, 0.25, 0.5, 0.6)


CLIPS = 1000


def row(s, r, c, o, f, accuracy, draw=0, recovery="none"):
    size = round(64 * (1 - f))
    return Row("rendered", "random", s, r, c, o, draw, recovery, f, 64 - size, accuracy,
               0.1 * accuracy, 1000 * size, 1e-5 * size)  # fmt: skip


def measured(accuracy, seeds=(0, 1, 2), recoveries=("none",), draws=2):
    """A row for every combination, with accuracy(seed, regularizer, criterion, order, fraction)."""
    return [
        row(s, r, c, o, f, accuracy(s, r, c, o, f), draw, recovery)
        for s in seeds
        for r in REGULARIZERS
        for recovery in recoveries
        for c in CRITERIA
        for o, draw in (
            [(NO_ORDER, draw) for draw in range(draws)]
            if c == "random"
            else [(o, 0) for o in ORDERS]
        )
        for f in FRACTIONS
    ]


def noisy(s, r, c, o, f):
    place = (*ORDERS, NO_ORDER).index(o)
    rng = np.random.default_rng([s, REGULARIZERS.index(r), CRITERIA.index(c), place])
    return float(np.clip(0.95 - 0.5 * f + rng.normal(0, 0.02), 0, 1)) if f else 0.95 + 0.001 * s


ROWS = measured(noisy)


def better(s, r, c, o, f):
    return min(1.0, noisy(s, r, c, o, f) + 0.3 * f)


GATE_ROWS = [replace(row, removed_units=4 * row.removed_units) for row in measured(better)]
