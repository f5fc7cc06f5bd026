"""The answer of the study in five sentences, whichever way the measurements point."""

from __future__ import annotations

from tefast.experiment.comparisons import (
    SEQUENCE_AWARE,
    differences,
    first_regularizer,
    group,
    label,
    paper_curve,
    random_curve,
)
from tefast.experiment.config import FROM_SCRATCH, RECOVERIES, RECOVERY_NAMES
from tefast.experiment.findings import (
    chance_word,
    change_of,
    penalties_apart,
    rivals,
    shown_as,
)
from tefast.experiment.results import Curve, StudyResults
from tefast.experiment.statistics import Tested, compared, corrected, points, signed


def answers(results: StudyResults, samples: int, classes: int) -> list[str]:
    """Five sentences: the paper's two claims, recoveries, small networks, and sequences.

    Parameters
    ----------
    samples : int
        Test samples of a seed.
    classes : int

    Returns
    -------
    list of str
        A question that nothing was measured for is answered by saying so.
    """
    return [
        _half(results, samples, classes),
        _penalties(results, samples),
        _recoveries(results, samples),
        _small(results, samples),
        _sequences(results, samples),
    ]


def _half(results: StudyResults, samples: int, classes: int) -> str:
    """The first claim: half can go without loss, and the order is the best."""
    claim = "Claim 1 (half of the units can go without loss, in the best of the orders)"
    curve = paper_curve("none")
    fraction, others, gaps = rivals(results, samples)
    change = change_of(results, curve, fraction, samples) if fraction else None
    after = results.spread(curve, fraction)
    if change is None or after is None:
        return f"{claim}: not measured, which takes models without a penalty."
    better = [label(one) for one, gap in zip(others, gaps, strict=True) if gap and gap.sign > 0]
    worse = [label(one) for one, gap in zip(others, gaps, strict=True) if gap and gap.sign < 0]
    sign = -1 if better else change.sign
    without = {
        -1: "does not hold here",
        0: "is neither shown nor refuted here",
        1: "holds here",
    }[0 if sign > 0 and len(worse) < len(others) else sign]
    if not others:
        ranks = "no other order was measured"
    elif len(worse) == len(others):
        ranks = "and it is the best of the compared orders"
    elif not better and not worse:
        ranks = f"none of {len(others)} other orders is shown to be better or worse"
    else:
        ranks = f"of {len(others)} other orders {_these(better, 'better')} and "
        ranks += _these(worse, "worse")
    return (
        f"{claim} {without}: {fraction:.0%} removed by transfer entropy (descending) leaves "
        f"{shown_as(after)}{chance_word(after, samples, classes)}, a change of {points(change)}; "
        f"{ranks}."
    )


def _these(names: list[str], verdict: str) -> str:
    if not names:
        return f"none is shown to be {verdict}"
    shown = ", ".join(names) if len(names) <= 4 else f"{len(names)}"
    return f"{shown} {'is' if len(names) == 1 else 'are'} {verdict}"


def _penalties(results: StudyResults, samples: int) -> str:
    claim = "Claim 2 (L2 keeps more accuracy than L1)"
    found = penalties_apart(results, samples)
    if found is None:
        return f"{claim}: not measured, which takes models with each of the two penalties."
    fraction, (l1, l2, gap) = found
    verdict = {1: "holds here", 0: "is not shown here", -1: "is refuted here"}[gap.sign]
    return (
        f"{claim} {verdict}: at {fraction:.0%} removed L1 changes by {signed(100 * l1.mean)} and "
        f"L2 by {signed(100 * l2.mean)} points, L2 less L1 {points(gap)}."
    )


def _recoveries(results: StudyResults, samples: int) -> str:
    """Whether the order matters once something is done after the removal."""
    regularizer = first_regularizer(results)
    parts = []
    first = None
    for recovery in RECOVERIES:
        fraction, curves = _compared_at(results, regularizer, recovery)
        means = [one.mean for curve in curves if (one := results.spread(curve, fraction))]
        if len(means) < 2:
            continue
        first = fraction if first is None else first
        part = f"{100 * (max(means) - min(means)):.1f} points {_after(recovery)}"
        part += "" if fraction == first else f" at {fraction:.0%}"
        chance = random_curve(regularizer, recovery)
        if chance in curves:
            gaps = [one for one in differences(results, curves, chance, fraction, samples) if one]
            if any(gap.p is not None for gap in gaps):
                part += f" ({_apart(gaps)} of {len(gaps)} orders differ from random ones)"
        parts.append(part)
    if first is None or len(parts) < 2:
        return "Whether the order matters after a recovery was not measured."
    return f"From the best to the worst order it is, at {first:.0%} removed, {', '.join(parts)}."


def _after(recovery: str) -> str:
    return "without recovery" if recovery == "none" else f"with {RECOVERY_NAMES[recovery]}"


def _compared_at(
    results: StudyResults, regularizer: str, recovery: str
) -> tuple[float, list[Curve]]:
    """The fraction nearest to a half, and the orders that were measured there."""
    curves = [
        curve
        for curve in group(results, regularizer, recovery)
        if curve.criterion != FROM_SCRATCH and any(results.fractions(curve))
    ]
    fraction = (results.nearest(curves[0], 0.5) or 0.0) if curves else 0.0
    return fraction, [curve for curve in curves if results.spread(curve, fraction)]


def _apart(gaps: list[Tested]) -> str:
    count = sum(gap.sign != 0 for gap in gaps)
    return str(count) if count else "none"


def _small(results: StudyResults, samples: int) -> str:
    """Small networks from scratch beside what removal leaves."""
    regularizer = first_regularizer(results)
    small = Curve(regularizer, FROM_SCRATCH, "none")
    fraction = results.nearest(small, 0.5)
    spread = results.spread(small, fraction) if fraction else None
    if not fraction or spread is None:
        return "Small networks from scratch were not trained."
    parts, names = [], []
    for recovery in RECOVERIES:
        curve = paper_curve(regularizer, recovery)
        theirs = results.accuracies(curve, fraction)
        gap = compared(results.accuracies(small, fraction), theirs, samples)
        if gap is not None:
            parts.append(gap)
            names.append(_after(recovery))
    verdicts = {1: "more than", 0: "not shown to differ from", -1: "less than"}
    said = [
        f"{verdicts[gap.sign]} transfer entropy (descending) {name}, {points(gap)}"
        for gap, name in zip(corrected(parts), names, strict=True)
        if gap is not None
    ]
    beside = f": {'; '.join(said)}" if said else ""
    return (
        f"A network trained from scratch without {fraction:.0%} of the units reaches "
        f"{shown_as(spread)}{beside}."
    )


def _sequences(results: StudyResults, samples: int) -> str:
    """Where a criterion that looks at sequences is the best, and whether that is shown."""
    regularizer = first_regularizer(results)
    curves = [
        curve for curve in group(results, regularizer, "none") if curve.criterion != FROM_SCRATCH
    ]
    aware = [curve for curve in curves if curve.criterion in SEQUENCE_AWARE]
    blind = [curve for curve in curves if curve not in aware]
    if not aware or not blind:
        return "Criteria that look at sequences were not compared with others."
    fractions = [at for at in results.fractions(aware[0]) if at]
    best: list[tuple[float, Curve]] = []
    gaps = []
    for at in fractions:
        first, second = _highest(results, aware, at), _highest(results, blind, at)
        if first is None or second is None:
            continue
        gaps.append(
            compared(results.accuracies(first, at), results.accuracies(second, at), samples)
        )
        best.append((at, first))
    found = [
        (at, curve, gap)
        for (at, curve), gap in zip(best, corrected(gaps), strict=True)
        if gap is not None and gap.mean > 0
    ]
    if not found:
        return "A criterion that looks at sequences is the best of the orders at no fraction."
    said = [
        f"{at:.0%} ({label(curve)}{', shown' if gap.sign > 0 else ', not shown'})"
        for at, curve, gap in found
    ]
    return f"A criterion that looks at sequences has the highest mean at {', '.join(said)}."


def _highest(results: StudyResults, curves: list[Curve], fraction: float) -> Curve | None:
    """The curve of the highest mean; None where none was measured."""
    means = {curve: one.mean for curve in curves if (one := results.spread(curve, fraction))}
    return max(means, key=lambda curve: means[curve]) if means else None
