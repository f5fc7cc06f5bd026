"""Tables of accuracies: every curve beside transfer entropy and beside random orders.

A table is about the models of one regulariser and one recovery. The p-values of one of its columns
are corrected together, as one family, by Holm.
"""

from __future__ import annotations

import statistics
from typing import Any

from tefast.experiment.config import (
    FROM_SCRATCH,
    NO_ORDER,
    ORDERS,
    RECOVERIES,
    RECOVERY_NAMES,
    REGULARIZER_NAMES,
    shown,
)
from tefast.experiment.results import Curve, Spread, StudyResults
from tefast.experiment.statistics import Tested, beside_chance, compared, corrected, interval

SHOWN_FRACTIONS = (0.5, 0.6)
"""Those of the paper's figures; the nearest measured ones are shown."""

SEQUENCE_AWARE = ("transfer_entropy", "active_information")
"""The criteria that look at how one step follows from another."""


def label(curve: Curve) -> str:
    """What is removed, as figures and sentences call it; regulariser and recovery are left out."""
    name = shown(curve.criterion)
    return name if curve.order == NO_ORDER else f"{name} ({curve.order})"


def paper_curve(regularizer: str, recovery: str = "none") -> Curve:
    """The paper's order: transfer entropy, highest first."""
    return Curve(regularizer, "transfer_entropy", "descending", recovery)


def random_curve(regularizer: str, recovery: str = "none") -> Curve:
    """The random orders."""
    return Curve(regularizer, "random", NO_ORDER, recovery)


def first_regularizer(results: StudyResults) -> str:
    """No regularisation if it was measured, else the first that was."""
    present = {curve.regularizer for curve in results.curves}
    return next(name for name in REGULARIZER_NAMES if name in present)


def whole_curve(results: StudyResults, regularizer: str) -> Curve | None:
    """A curve of a regulariser that starts at the whole models; None if there is none."""
    mine = (curve for curve in results.curves if curve.regularizer == regularizer)
    return next((curve for curve in mine if 0.0 in results.fractions(curve)), None)


def group(results: StudyResults, regularizer: str, recovery: str) -> list[Curve]:
    """The curves of one table: by criterion in order of appearance, highest first before lowest.

    Networks that were small from the beginning are beside those without a recovery.
    """
    mine = [
        curve
        for curve in results.curves
        if curve.regularizer == regularizer and curve.recovery == recovery
    ]
    criteria = list(dict.fromkeys(curve.criterion for curve in mine))
    places = (*ORDERS, NO_ORDER)
    return sorted(
        mine,
        key=lambda one: (
            one.criterion == FROM_SCRATCH,
            criteria.index(one.criterion),
            places.index(one.order),
        ),
    )


def differences(
    results: StudyResults, curves: list[Curve], other: Curve, fraction: float, samples: int
) -> list[Tested | None]:
    """Each curve less another at one fraction, corrected together; None for the other itself."""
    theirs = results.accuracies(other, fraction)
    return corrected(
        [
            None
            if curve == other
            else compared(results.accuracies(curve, fraction), theirs, samples)
            for curve in curves
        ]
    )


def accuracy_tables(results: StudyResults, samples: int, classes: int) -> list[dict[str, Any]]:
    """A table for each regulariser and recovery.

    Parameters
    ----------
    samples : int
        Test samples of a seed.
    classes : int

    Returns
    -------
    list of dict
        ``regularizer``, ``recovery``, ``title``, ``fractions`` and ``lines``. A line has
        ``criterion``, ``order``, ``label``, and ``cells``, one for each fraction: None where
        nothing was measured, else ``mean``, ``deviation``, ``seeds``, ``low``, ``high`` and
        ``calibration_error`` in percent, ``chance`` (a word or None), and ``to_transfer_entropy``
        and ``to_random``, the differences in points with their p-values, or None.
    """
    tables = []
    for regularizer in REGULARIZER_NAMES:
        for recovery in RECOVERIES:
            curves = group(results, regularizer, recovery)
            fractions = _fractions(results, curves)
            if curves:
                tables.append(
                    {
                        "regularizer": regularizer,
                        "recovery": recovery,
                        "title": f"{REGULARIZER_NAMES[regularizer]}, {RECOVERY_NAMES[recovery]}",
                        "fractions": fractions,
                        "lines": _lines(results, curves, fractions, samples, classes),
                    }
                )
    return tables


def _fractions(results: StudyResults, curves: list[Curve]) -> list[float]:
    """0 and the measured fractions nearest to those that are shown."""
    measured = sorted({fraction for curve in curves for fraction in results.fractions(curve)})
    nearest = {
        min(measured, key=lambda one: (round(abs(one - wanted), 9), one))
        for wanted in (0.0, *SHOWN_FRACTIONS)
        if measured
    }
    return sorted(nearest)


def _lines(
    results: StudyResults, curves: list[Curve], fractions: list[float], samples: int, classes: int
) -> list[dict[str, Any]]:
    cells: dict[Curve, list[dict[str, Any] | None]] = {curve: [] for curve in curves}
    regularizer, recovery = curves[0].regularizer, curves[0].recovery
    for fraction in fractions:
        others = [paper_curve(regularizer, recovery), random_curve(regularizer, recovery)]
        columns = [differences(results, curves, one, fraction, samples) for one in others]
        for place, curve in enumerate(curves):
            cell = accuracy_cell(results, curve, fraction, samples, classes)
            if cell is not None:
                for name, column in zip(("to_transfer_entropy", "to_random"), columns, strict=True):
                    one = column[place] if fraction else None
                    cell[name] = None if one is None else one.described()
            cells[curve].append(cell)
    return [
        {"criterion": curve.criterion, "order": curve.order, "label": label(curve), "cells": found}
        for curve, found in cells.items()
    ]


def accuracy_cell(
    results: StudyResults, curve: Curve, fraction: float, samples: int, classes: int
) -> dict[str, Any] | None:
    """The accuracy of a curve at a fraction, in percent; None where nothing was measured."""
    spread = results.spread(curve, fraction)
    if spread is None:
        return None
    ends = interval(spread, samples)
    errors = [
        row.calibration_error
        for row in results.rows
        if row.removed_fraction == fraction
        and Curve(row.regularizer, row.criterion, row.order, row.recovery) == curve
    ]
    return {
        **(percent(spread) or {}),
        "low": None if ends is None else 100 * ends[0],
        "high": None if ends is None else 100 * ends[1],
        "calibration_error": 100 * statistics.fmean(errors),
        "chance": beside_chance(spread.mean, samples, classes),
    }


def percent(spread: Spread | None) -> dict[str, Any] | None:
    """A spread of fractions as percent, ready for JSON."""
    if spread is None:
        return None
    deviation = None if spread.deviation is None else 100 * spread.deviation
    return {"mean": 100 * spread.mean, "deviation": deviation, "seeds": spread.seeds}
