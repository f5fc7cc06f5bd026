"""What the measurements say, in words and beside the paper's figures.

A difference is called one only where its p-value, corrected by Holm where several differences are
tested at once, is below 0.05: see `tefast.experiment.statistics`.
"""

from __future__ import annotations

from typing import Any

from tefast.experiment.comparisons import (
    differences,
    first_regularizer,
    group,
    label,
    paper_curve,
    percent,
    random_curve,
    whole_curve,
)
from tefast.experiment.config import FROM_SCRATCH, ORDERS, REGULARIZER_NAMES
from tefast.experiment.datasets import named, names
from tefast.experiment.datasets.base import PaperFigure
from tefast.experiment.results import Curve, Spread, StudyResults
from tefast.experiment.statistics import Tested, against_zero, beside_chance, compared, points

# Figure 3 of the paper, which does not say on which data set; figure 2 is with the data sets.
FIGURE_3 = (
    PaperFigure("with L1 (figure 3)", "l1", 90.5, 87.8, 0.6),
    PaperFigure("with L2 (figure 3)", "l2", 89.8, 89.9, 0.6),
)


def paper_table(results: StudyResults, samples: int) -> list[dict[str, Any]]:
    """The paper's figures and, beside them, the same measured here.

    On one of the paper's own data sets its row about the other is left out.

    Parameters
    ----------
    samples : int
        Test samples of a seed.

    Returns
    -------
    list of dict
        ``what``, ``regularizer``, ``removed`` (fraction in the paper), ``paper_before``,
        ``paper_after`` in percent; ``here_removed`` (the nearest fraction measured), and
        ``here_before``, ``here_after`` in percent as ``{mean, deviation, seeds}``, None where
        nothing was measured; ``here_change`` in points with its interval and p-value.
    """
    table = []
    for what, regularizer, before, after, fraction in _papers_figures(results):
        curve = paper_curve(regularizer)
        nearest = results.nearest(curve, fraction)
        row: dict[str, Any] = {
            "what": what,
            "regularizer": regularizer,
            "removed": fraction,
            "paper_before": before,
            "paper_after": after,
            "here_removed": nearest,
            "here_before": None,
            "here_after": None,
            "here_change": None,
        }
        if nearest is not None:
            row["here_before"] = percent(results.spread(curve, 0.0))
            row["here_after"] = percent(results.spread(curve, nearest))
            change = change_of(results, curve, nearest, samples)
            row["here_change"] = None if change is None else change.described()
        table.append(row)
    return table


def _papers_figures(results: StudyResults) -> list[PaperFigure]:
    """The paper's figures on the data set of the results, or on all if it has none on this one."""
    on = {name: named(name).paper for name in names()}
    here = {row.dataset for row in results.rows}
    own = [figure for name, figures in on.items() if name in here for figure in figures]
    every = [figure for figures in on.values() for figure in figures]
    return [*sorted(own or every), *FIGURE_3]


def change_of(results: StudyResults, curve: Curve, fraction: float, samples: int) -> Tested | None:
    """What removing a fraction changes, seed by seed; None where it was not measured."""
    after, before = results.accuracies(curve, fraction), results.accuracies(curve, 0.0)
    return compared(after, before, samples)


def findings(results: StudyResults, samples: int, classes: int) -> list[str]:
    """Sentences on every comparison that the paper's claims rest on, whichever way they point.

    Parameters
    ----------
    samples : int
        Test samples of a seed, for the least error that an accuracy can have.
    classes : int
    """
    return [
        *_before(results, samples, classes),
        *_change(results, samples, classes),
        *_criteria(results, samples),
        *_regularizers(results, samples),
    ]


def gate_findings(units: StudyResults, gates: StudyResults, samples: int) -> list[str]:
    """Sentences on removing half of the gates by transfer entropy, beside chance and units.

    Of the models without regularisation; if there are none, of the first regulariser there is.
    """
    regularizer = first_regularizer(gates)
    sentences = []
    for order in ORDERS:
        curve = Curve(regularizer, "transfer_entropy", order)
        fraction = gates.nearest(curve, 0.5)
        left = gates.spread(curve, fraction) if fraction else None
        if not fraction or left is None:
            continue
        beside = {
            "as many gates in random order": gates.accuracies(random_curve(regularizer), fraction),
            "the same fraction of units by the same criterion": units.accuracies(curve, fraction),
        }
        parts = [f"Removing {fraction:.0%} of the gates by {label(curve)} leaves {shown_as(left)}"]
        for what, accuracies in beside.items():
            gap = compared(gates.accuracies(curve, fraction), accuracies, samples)
            if gap is not None:
                verb = {1: "more than", 0: "not shown to differ from", -1: "less than"}
                theirs = shown_as(Spread.of(list(accuracies.values())))
                parts.append(f"{verb[gap.sign]} {what} ({theirs}; difference {points(gap)})")
        sentences.append(", ".join(parts) + ".")
    return sentences


def _before(results: StudyResults, samples: int, classes: int) -> list[str]:
    sentences = []
    for regularizer in REGULARIZER_NAMES:
        curve = whole_curve(results, regularizer)
        spread = None if curve is None else results.spread(curve, 0.0)
        if spread is not None:
            word = chance_word(spread, samples, classes)
            sentences.append(
                f"Before removal, {REGULARIZER_NAMES[regularizer]}: {shown_as(spread)} test "
                f"accuracy{word}."
            )
    return sentences


def _change(results: StudyResults, samples: int, classes: int) -> list[str]:
    """What removing half of the units by transfer entropy, highest first, costs."""
    curve = paper_curve("none")
    fraction = results.nearest(curve, 0.5)
    if not fraction:
        return []
    change = change_of(results, curve, fraction, samples)
    after = results.spread(curve, fraction)
    if change is None or after is None:
        return []
    return [
        f"Removing {fraction:.0%} of the units by transfer entropy (descending) leaves "
        f"{shown_as(after)}{chance_word(after, samples, classes)}, a change of {points(change)}; "
        "the paper reports +0.2 points on HMDB-51 and 0.0 on UCF101 at 50%."
    ]


def _criteria(results: StudyResults, samples: int) -> list[str]:
    """Transfer entropy, descending, against every other order at half of the units."""
    fraction, others, gaps = rivals(results, samples)
    sentences = []
    for curve, gap in zip(others, gaps, strict=True):
        if gap is not None:
            verdict = {1: "above", 0: "not told apart from", -1: "below"}[gap.sign]
            sentences.append(
                f"At {fraction:.0%} removed, {label(curve)} is {verdict} transfer entropy "
                f"(descending): {points(gap)}."
            )
    return sentences


def rivals(results: StudyResults, samples: int) -> tuple[float, list[Curve], list[Tested | None]]:
    """Every other order less transfer entropy, descending, at half of the units, corrected.

    Of the models without regularisation, and without recovery.

    Returns
    -------
    fraction : float
        0 where nothing can be compared.
    curves : list of Curve
    gaps : list of Tested or None
    """
    mine = paper_curve("none")
    fraction = results.nearest(mine, 0.5) or 0.0
    curves = [
        curve
        for curve in group(results, "none", "none")
        if curve != mine and curve.criterion != FROM_SCRATCH
    ]
    if not fraction:
        return 0.0, [], []
    return fraction, curves, differences(results, curves, mine, fraction, samples)


def penalties_apart(results: StudyResults, samples: int) -> tuple[float, list[Tested]] | None:
    """What removing 60 % by the paper's order changes with L1, with L2, and L2's less L1's.

    Returns
    -------
    fraction : float
    changes : list of three Tested
        None in place of both where it was not measured.
    """
    l1, l2 = paper_curve("l1"), paper_curve("l2")
    fraction = results.nearest(l2, 0.6)
    if not fraction or fraction not in results.fractions(l1):
        return None
    changes = []
    for curve in (l1, l2):
        after, before = results.accuracies(curve, fraction), results.accuracies(curve, 0.0)
        changes.append({seed: after[seed] - before[seed] for seed in after.keys() & before.keys()})
    gap = compared(changes[1], changes[0], samples)
    if gap is None:
        return None
    each = [against_zero(Spread.of(list(change.values())), samples) for change in changes]
    return fraction, [*each, gap]


def _regularizers(results: StudyResults, samples: int) -> list[str]:
    """Whether L2 keeps more accuracy than L1 under removal."""
    found = penalties_apart(results, samples)
    if found is None:
        return []
    fraction, (l1, l2, gap) = found
    verdict = {
        1: "L2 keeps more than L1, as the paper says",
        0: "the difference between the two is within the spread of the seeds",
        -1: "L1 keeps more than L2, against the paper",
    }[gap.sign]
    verdict = verdict if gap.p is not None else "one seed does not tell the two apart"
    return [
        f"At {fraction:.0%} removed by transfer entropy (descending) the change is "
        f"{points(l1)} with L1 and {points(l2)} with L2; {verdict} "
        f"(L2 less L1: {points(gap)}). The paper reports -2.7 and +0.1 points at 60%."
    ]


def chance_word(spread: Spread, samples: int, classes: int) -> str:
    """What a sentence says after an accuracy that is not above chance."""
    word = beside_chance(spread.mean, samples, classes)
    return "" if word is None else f" ({word}, which is {100 / classes:.1f}%)"


def shown_as(spread: Spread) -> str:
    """An accuracy in percent, with its standard deviation over seeds."""
    deviation = "" if spread.deviation is None else f" ± {100 * spread.deviation:.1f}"
    return f"{100 * spread.mean:.1f}{deviation}%"
