"""The table of classes: how well each is told by the whole networks, and what a removal changes."""

from __future__ import annotations

from typing import Any

from tefast.experiment.class_results import ClassResults
from tefast.experiment.comparisons import label, paper_curve, percent, random_curve
from tefast.experiment.config import REGULARIZER_NAMES
from tefast.experiment.results import Curve, Spread


def class_table(results: ClassResults) -> list[dict[str, Any]]:
    """A line for each class and regulariser.

    Returns
    -------
    list of dict
        ``class``, ``regularizer``, ``samples`` (for the test, the mean over seeds), ``whole``
        (accuracy in percent), and ``changes``: for the paper's order and for random orders
        ``label``, ``removed`` and ``change`` in points, at the fraction nearest to a half.
    """
    present = list(dict.fromkeys(row.regularizer for row in results.rows))
    lines = []
    for regularizer in (name for name in REGULARIZER_NAMES if name in present):
        shown = [paper_curve(regularizer), random_curve(regularizer)]
        whole = _whole(results, regularizer)
        changes = {curve: _half(results, curve) for curve in shown}
        for name in results.classes:
            if not whole.get(name):  # without a test sample in any seed
                continue
            lines.append(
                {
                    "class": name,
                    "regularizer": regularizer,
                    "samples": _samples(results, regularizer, name),
                    "whole": percent(Spread.of(list(whole[name].values()))),
                    "changes": [
                        {"label": label(curve), "removed": at, "change": percent(change.get(name))}
                        for curve, (at, change) in changes.items()
                        if change
                    ],
                }
            )
    return lines


def _whole(results: ClassResults, regularizer: str) -> dict[str, dict[int, float]]:
    """Shares of the whole networks, by class and seed."""
    for row in results.rows:
        if row.regularizer == regularizer and row.removed_fraction == 0:
            curve = Curve(regularizer, row.criterion, row.order, row.recovery)
            return results.shares(curve, 0.0)
    return {}


def _half(results: ClassResults, curve: Curve) -> tuple[float, dict[str, Spread]]:
    """The fraction nearest to a half, and the change there by class."""
    fractions = [one for one in results.fractions(curve) if one]
    if not fractions:
        return 0.0, {}
    at = min(fractions, key=lambda one: (round(abs(one - 0.5), 9), one))
    return at, results.change(curve, at)


def _samples(results: ClassResults, regularizer: str, name: str) -> float:
    """Test samples of a class, the mean over seeds."""
    totals = {
        row.seed: row.total
        for row in results.rows
        if row.regularizer == regularizer and row.class_name == name
    }
    return sum(totals.values()) / len(totals)
