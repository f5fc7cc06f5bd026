"""What the measurements say, in words and beside the paper's figures.

A difference is called one only where it exceeds twice its standard error over the seeds, which
are compared pair by pair; with one seed no difference is called one.
"""

from __future__ import annotations

import math
from typing import Any

from tefast.experiment.config import NAMES, REGULARIZER_NAMES
from tefast.experiment.results import Curve, Results, Spread

# Accuracy in percent as the paper reports it, before removal and after removing by transfer
# entropy in descending order: (what, regulariser here, before, after, fraction removed).
PAPER = (
    ("HMDB-51 (figure 2)", "none", 89.4, 89.6, 0.5),
    ("UCF101 (figure 2)", "none", 98.3, 98.3, 0.5),
    ("with L1 (figure 3)", "l1", 90.5, 87.8, 0.6),
    ("with L2 (figure 3)", "l2", 89.8, 89.9, 0.6),
)


def paper_table(results: Results) -> list[dict[str, Any]]:
    """The paper's figures and, beside them, the same measured here.

    Returns
    -------
    list of dict
        ``what``, ``regularizer``, ``removed`` (fraction in the paper), ``paper_before``,
        ``paper_after`` in percent; ``here_removed`` (the nearest fraction measured), and
        ``here_before``, ``here_after``, ``here_change`` in percent as ``{mean, deviation,
        seeds}``, None where nothing was measured.
    """
    table = []
    for what, regularizer, before, after, fraction in PAPER:
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


def findings(results: Results) -> list[str]:
    """Sentences on the paper's claims, whichever way the measurements point."""
    return [*_before(results), *_change(results), *_criteria(results), *_regularizers(results)]


def percent(spread: Spread | None) -> dict[str, Any] | None:
    """A spread of fractions as percent, ready for JSON."""
    if spread is None:
        return None
    deviation = None if spread.deviation is None else 100 * spread.deviation
    return {"mean": 100 * spread.mean, "deviation": deviation, "seeds": spread.seeds}


def _before(results: Results) -> list[str]:
    sentences = []
    for regularizer in REGULARIZER_NAMES:
        spread = _whole(results, regularizer)
        if spread is not None:
            shown = REGULARIZER_NAMES[regularizer]
            sentences.append(f"Before removal, {shown}: {_points(spread)} test accuracy.")
    return sentences


def _change(results: Results) -> list[str]:
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


def _criteria(results: Results) -> list[str]:
    """Transfer entropy, descending, against every other curve at half of the units."""
    mine = Curve("none", "transfer_entropy", "descending")
    fraction = results.nearest(mine, 0.5)
    if not fraction:
        return []
    sentences = []
    others = [curve for curve in results.curves if curve.regularizer == "none" and curve != mine]
    for other in others:
        gap = results.difference((mine, fraction), (other, fraction))
        if gap is None:
            continue
        name = f"{NAMES[other.criterion]}, {other.order}"
        verdict = {1: "above", 0: "not told apart from", -1: "below"}[_sign(gap)]
        sentences.append(
            f"At {fraction:.0%} removed, transfer entropy, descending, is {verdict} {name}: "
            f"{_signed(gap)}."
        )
    return sentences


def _regularizers(results: Results) -> list[str]:
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
    }[_sign(gap)]
    return [
        f"At {fraction:.0%} removed by transfer entropy, descending, the change is "
        f"{_signed(losses[0])} with L1 and {_signed(losses[1])} with L2; {verdict} "
        f"(L2 less L1: {_signed(gap)}). The paper reports -2.7 and +0.1 points at 60%."
    ]


def _whole(results: Results, regularizer: str) -> Spread | None:
    for curve in results.curves:
        if curve.regularizer == regularizer:
            return results.spread(curve, 0.0)
    return None


def _error(spread: Spread) -> float | None:
    """Standard error of the mean; None with one seed."""
    return None if spread.deviation is None else spread.deviation / math.sqrt(spread.seeds)


def _sign(spread: Spread) -> int:
    error = _error(spread)
    if error is None or abs(spread.mean) <= 2 * error or spread.mean == 0:
        return 0
    return 1 if spread.mean > 0 else -1


def _points(spread: Spread) -> str:
    deviation = "" if spread.deviation is None else f" ± {100 * spread.deviation:.1f}"
    return f"{100 * spread.mean:.1f}{deviation}%"


def _signed(spread: Spread) -> str:
    error = _error(spread)
    shown = "one seed" if error is None else f"standard error {100 * error:.1f}"
    return f"{100 * spread.mean:+.1f} points ({shown})"
