"""What the measurements say, in words and beside the paper's figures.

A difference is called one only where its 95 % interval over the seeds, which are compared pair by
pair, leaves out 0; with one seed no difference is called one. The interval is Student's, as a few
seeds give a standard error that is itself uncertain: at three seeds it is 4.3 standard errors wide
to each side, not 2. An error counts as no less than that of one clip more or less in every seed.
"""

from __future__ import annotations

import math
from typing import Any

from tefast.experiment.config import NAMES, ORDERS, REGULARIZER_NAMES
from tefast.experiment.datasets import named, names
from tefast.experiment.datasets.base import PaperFigure
from tefast.experiment.results import Curve, Spread, StudyResults

# Figure 3 of the paper, which does not say on which data set; figure 2 is with the data sets.
FIGURE_3 = (
    PaperFigure("with L1 (figure 3)", "l1", 90.5, 87.8, 0.6),
    PaperFigure("with L2 (figure 3)", "l2", 89.8, 89.9, 0.6),
)

# Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom.
STUDENT_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip
STUDENT_T_BEYOND = 2.086


def paper_table(results: StudyResults) -> list[dict[str, Any]]:
    """The paper's figures and, beside them, the same measured here.

    On one of the paper's own data sets its row about the other is left out.

    Returns
    -------
    list of dict
        ``what``, ``regularizer``, ``removed`` (fraction in the paper), ``paper_before``,
        ``paper_after`` in percent; ``here_removed`` (the nearest fraction measured), and
        ``here_before``, ``here_after``, ``here_change`` in percent as ``{mean, deviation,
        seeds}``, None where nothing was measured.
    """
    table = []
    for what, regularizer, before, after, fraction in _papers_figures(results):
        curve = Curve(regularizer, "transfer_entropy", "descending")
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
            row["here_change"] = percent(results.difference((curve, nearest), (curve, 0.0)))
        table.append(row)
    return table


def _papers_figures(results: StudyResults) -> list[PaperFigure]:
    """The paper's figures on the data set of the results, or on all if it has none on this one."""
    on = {name: named(name).paper for name in names()}
    here = {row.dataset for row in results.rows}
    own = [figure for name, figures in on.items() if name in here for figure in figures]
    every = [figure for figures in on.values() for figure in figures]
    return [*sorted(own or every), *FIGURE_3]


def findings(results: StudyResults, test_clips: int) -> list[str]:
    """Sentences on the paper's claims, whichever way the measurements point.

    Parameters
    ----------
    test_clips : int
        Clips that an accuracy was measured on, for the least error it can have.
    """
    return [
        *_before(results),
        *_change(results),
        *_criteria(results, test_clips),
        *_regularizers(results, test_clips),
    ]


def gate_findings(units: StudyResults, gates: StudyResults, test_clips: int) -> list[str]:
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
        chance = Curve(regularizer, "random", "descending")
        beside = {
            "as many gates in random order": gates.accuracies(chance, fraction),
            "the same fraction of units by the same criterion": units.accuracies(curve, fraction),
        }
        name = f"{NAMES[curve.criterion]}, {order}"
        parts = [f"Removing {fraction:.0%} of the gates by {name}, leaves {_points(left)}"]
        for what, accuracies in beside.items():
            gap = Spread.between(gates.accuracies(curve, fraction), accuracies)
            if gap is not None:
                verb = {1: "more than", 0: "not shown to differ from", -1: "less than"}
                shown = _points(Spread.of(list(accuracies.values())))
                sign = verb[_sign(gap, test_clips)]
                parts.append(f"{sign} {what} ({shown}; difference {_signed(gap)})")
        sentences.append(", ".join(parts) + ".")
    return sentences


def first_regularizer(results: StudyResults) -> str:
    """No regularisation if it was measured, else the first that was."""
    present = {curve.regularizer for curve in results.curves}
    return next(name for name in REGULARIZER_NAMES if name in present)


def percent(spread: Spread | None) -> dict[str, Any] | None:
    """A spread of fractions as percent, ready for JSON."""
    if spread is None:
        return None
    deviation = None if spread.deviation is None else 100 * spread.deviation
    return {"mean": 100 * spread.mean, "deviation": deviation, "seeds": spread.seeds}


def _before(results: StudyResults) -> list[str]:
    sentences = []
    for regularizer in REGULARIZER_NAMES:
        spread = _whole(results, regularizer)
        if spread is not None:
            shown = REGULARIZER_NAMES[regularizer]
            sentences.append(f"Before removal, {shown}: {_points(spread)} test accuracy.")
    return sentences


def _change(results: StudyResults) -> list[str]:
    """What removing half of the units by transfer entropy, highest first, costs."""
    curve = Curve("none", "transfer_entropy", "descending")
    fraction = results.nearest(curve, 0.5)
    if not fraction:
        return []
    change = results.difference((curve, fraction), (curve, 0.0))
    after = results.spread(curve, fraction)
    if change is None or after is None:
        return []
    return [
        f"Removing {fraction:.0%} of the units by transfer entropy, descending, leaves "
        f"{_points(after)}, a change of {_signed(change)}; the paper reports +0.2 points on "
        "HMDB-51 and 0.0 on UCF101 at 50%."
    ]


def _criteria(results: StudyResults, test_clips: int) -> list[str]:
    """Transfer entropy, descending, against every other curve at half of the units."""
    mine = Curve("none", "transfer_entropy", "descending")
    fraction = results.nearest(mine, 0.5)
    if not fraction:
        return []
    sentences, signs = [], {}
    others = [curve for curve in results.curves if curve.regularizer == "none" and curve != mine]
    for other in others:
        gap = results.difference((mine, fraction), (other, fraction))
        if gap is None:
            continue
        name = f"{NAMES[other.criterion]}, {other.order}"
        signs[name] = _sign(gap, test_clips)
        verdict = {1: "above", 0: "not told apart from", -1: "below"}[signs[name]]
        sentences.append(
            f"At {fraction:.0%} removed, transfer entropy, descending, is {verdict} {name}: "
            f"{_signed(gap)}."
        )
    return [*sentences, _best(signs)] if signs else []


def _best(signs: dict[str, int]) -> str:
    """The paper's claim, given the sign of transfer entropy's lead over every other order."""
    better = [name for name, sign in signs.items() if sign < 0]
    if better:
        return (
            "The paper finds transfer entropy, descending, the best of the compared orders; here "
            f"it is not: better are {'; '.join(better)}."
        )
    if all(sign > 0 for sign in signs.values()):
        return "It is the best of the compared orders, as the paper finds."
    return (
        "The paper finds transfer entropy, descending, the best of the compared orders; here no "
        "other is shown to be better, nor are all shown to be worse."
    )


def _regularizers(results: StudyResults, test_clips: int) -> list[str]:
    """Whether L2 keeps more accuracy than L1 under removal."""
    l1, l2 = (Curve(name, "transfer_entropy", "descending") for name in ("l1", "l2"))
    fraction = results.nearest(l2, 0.6)
    if not fraction or fraction not in results.fractions(l1):
        return []
    losses = [results.difference((curve, fraction), (curve, 0.0)) for curve in (l1, l2)]
    first, second = (results.accuracies(l1, fraction), results.accuracies(l2, fraction))
    first0, second0 = (results.accuracies(l1, 0.0), results.accuracies(l2, 0.0))
    seeds = first.keys() & second.keys() & first0.keys() & second0.keys()
    if not seeds or losses[0] is None or losses[1] is None:
        return []
    gap = Spread.of([(second[s] - second0[s]) - (first[s] - first0[s]) for s in sorted(seeds)])
    verdict = {
        1: "L2 keeps more than L1, as the paper says",
        0: "the difference between the two is within the spread of the seeds",
        -1: "L1 keeps more than L2, against the paper",
    }[_sign(gap, test_clips)]
    return [
        f"At {fraction:.0%} removed by transfer entropy, descending, the change is "
        f"{_signed(losses[0])} with L1 and {_signed(losses[1])} with L2; {verdict} "
        f"(L2 less L1: {_signed(gap)}). The paper reports -2.7 and +0.1 points at 60%."
    ]


def _whole(results: StudyResults, regularizer: str) -> Spread | None:
    for curve in results.curves:
        if curve.regularizer == regularizer:
            return results.spread(curve, 0.0)
    return None


def _error(spread: Spread) -> float | None:
    """Standard error of the mean; None with one seed."""
    return None if spread.deviation is None else spread.deviation / math.sqrt(spread.seeds)


def _sign(spread: Spread, test_clips: int) -> int:
    """Whether a difference is one: 1 or -1 for its sign, else 0."""
    error = _error(spread)
    if error is None:
        return 0
    # Accuracies come in steps of a clip, so that a few seeds can agree by chance and seem exact.
    error = max(error, 1 / (test_clips * math.sqrt(spread.seeds)))
    freedom = spread.seeds - 1
    quantile = STUDENT_T[freedom - 1] if freedom <= len(STUDENT_T) else STUDENT_T_BEYOND
    if abs(spread.mean) <= quantile * error:
        return 0
    return 1 if spread.mean > 0 else -1


def _points(spread: Spread) -> str:
    deviation = "" if spread.deviation is None else f" ± {100 * spread.deviation:.1f}"
    return f"{100 * spread.mean:.1f}{deviation}%"


def _signed(spread: Spread) -> str:
    error = _error(spread)
    shown = "one seed" if error is None else f"standard error {100 * error:.1f}"
    return f"{100 * spread.mean:+.1f} points ({shown})"
