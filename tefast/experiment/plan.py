"""What a run measures: the curves of each model, and the fractions of each curve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tefast.experiment.class_results import ClassRow
from tefast.experiment.config import FROM_SCRATCH, NO_ORDER, ORDERS, RECOVERIES, Config
from tefast.experiment.criteria import RANDOM
from tefast.experiment.results import Row

TUNED_DRAWS = 3
"""Random orders after which networks are fine-tuned: the first ones, as each takes a training."""

BY_CLASS = (0.5, 0.6)
"""The fractions at which classes are looked at one by one: those of the paper's figures."""


@dataclass(frozen=True)
class PlannedCurve:
    """One curve of one model: what is removed in which order, and what is done then.

    Attributes
    ----------
    criterion, order, draw, recovery
        As a `tefast.experiment.results.Row` has them.
    fractions : tuple of float
        Those that are measured, rising from 0.
    """

    criterion: str
    order: str
    draw: int
    recovery: str
    fractions: tuple[float, ...]

    def of_rows(self, rows: Iterable[Row]) -> list[Row]:
        """Those of the fractions that are asked for, in their order."""
        known = {row.removed_fraction: row for row in rows}
        return [known[fraction] for fraction in self.fractions]

    def of_classes(self, rows: Iterable[ClassRow]) -> list[ClassRow]:
        """Those of the curve's rows that are reported: at 0, and nearest to `BY_CLASS`."""
        chosen = {0.0, *(_nearest(self.fractions, fraction) for fraction in BY_CLASS)}
        return [row for row in rows if row.removed_fraction in chosen]


def _nearest(fractions: Sequence[float], fraction: float) -> float:
    """The fraction nearest to the one asked for, the smaller of two as near."""
    # Rounded, so that 0.6 - 0.5 and 0.7 - 0.6 tie although their last bits differ.
    return min(fractions, key=lambda one: (round(abs(one - fraction), 9), one))


def curves_of(config: Config, regularizer: str, granularity: str) -> Iterator[PlannedCurve]:
    """The curves of a model, in the order of results.csv.

    "random" stands for `Config.random_orders` orders. Recoveries and networks trained from scratch
    are those of the models of `Config.recovered_regularizer`, and of whole units.
    """
    is_recovered = granularity == "unit" and regularizer == config.recovered_regularizer
    tuned = tuple(sorted({0.0, *config.tuned}))
    for criterion in config.criteria:
        drawn = [(NO_ORDER, draw) for draw in range(config.random_orders)]
        orders = drawn if criterion == RANDOM else [(order, 0) for order in ORDERS]
        for recovery in RECOVERIES:
            if recovery != "none" and not (is_recovered and recovery in config.recoveries):
                continue
            fractions = tuned if recovery == "fine_tuning" else config.removed
            for order, draw in orders:
                if recovery != "fine_tuning" or draw < TUNED_DRAWS:
                    yield PlannedCurve(criterion, order, draw, recovery, fractions)
    if config.from_scratch and is_recovered:
        yield PlannedCurve(FROM_SCRATCH, NO_ORDER, 0, "none", tuned)
