"""What the readings come to: a table, three sentences, and why the order flips."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from tefast.experiment.reading_rows import ReadingRow
from tefast.experiment.readings import FRACTIONS, PAPERS, every_reading
from tefast.experiment.results import Spread
from tefast.experiment.statistics import Tested, against_zero, corrected, points
from tefast.experiment.unit_facts import FACTS, settings

FACTORS = ("order", "y", "direction", "binning", "bins", "bias", "history")
Y_NAMES = {
    "probability": "probability",
    "correct": "correct or not",
    "loss": "cross-entropy",
    "rank": "rank",
}
BINNING_NAMES = {
    "own_range": "uniform over the unit's own range",
    "fixed_range": "uniform over (-1, 1)",
    "quantile": "quantile",
}

Case = tuple[str, str, str, int, str, int, str]
"""The settings of a reading, and the order."""

PAPERS_CASE: Case = (*settings(PAPERS), "descending")


def name_of(case: Case | Sequence[Any]) -> str:
    """A reading, with its order if that is there, in words."""
    y, direction, binning, bins, bias, history, *order = case
    series = f"y = {Y_NAMES[y]}"
    text = f"{series} → unit" if direction == "y_to_unit" else f"unit → {series}"
    text += f", {bins} bins, {BINNING_NAMES[binning]}"
    if bias != "none":
        text += ", bias corrected"
    if history > 1:
        text += f", {history} steps of history"
    if order:
        text += ", highest first" if order[0] == "descending" else ", lowest first"
    return text


def gains(rows: Sequence[ReadingRow], fraction: float, samples: int) -> dict[Case, Tested]:
    """By reading and order, the accuracy less that of random orders, corrected together by Holm.

    Parameters
    ----------
    samples : int
        Test samples of a seed, for the least error.
    """
    by_case: dict[Case, list[float]] = {}
    for row in rows:
        if row.removed_fraction == fraction:
            case = (*row.reading, row.order)
            by_case.setdefault(case, []).append(row.accuracy - row.random_mean)  # type: ignore[arg-type]
    found = [against_zero(Spread.of(each), samples) for each in by_case.values()]
    every = zip(by_case, corrected(found), strict=True)
    return {case: one for case, one in every if one is not None}


def described(
    rows: Sequence[ReadingRow],
    known: Sequence[list[dict[str, Any]]],
    *,
    regularizer: str,
    samples: int,
) -> dict[str, Any]:
    """Everything the report says of the readings, as JSON can hold it.

    Parameters
    ----------
    rows : sequence of ReadingRow
        Of all models.
    known : sequence of list
        For each model what `tefast.experiment.unit_facts.facts_of_model` gives.
    regularizer : str
        Of the models.
    samples : int
        Test samples of a seed.
    """
    found = {fraction: gains(rows, fraction, samples) for fraction in FRACTIONS}
    first = found[FRACTIONS[0]]
    ordered = sorted(first, key=lambda case: -first[case].mean)
    table = [
        {
            "label": name_of(case),
            "is_papers": case == PAPERS_CASE,
            **dict(zip(("y", "direction", "binning", "bins", "bias", "history", "order"), case,
                       strict=True)),
            "gains": [found[fraction][case].described() for fraction in FRACTIONS],
        }
        for case in ordered
    ]  # fmt: skip
    return {
        "regularizer": regularizer,
        "fractions": list(FRACTIONS),
        "findings": findings_of(first, FRACTIONS[0]),
        "shares": shares(first),
        "table": table,
        "skipped": skipped(rows),
        "facts": list(FACTS.values()),
        "correlations": correlations(known),
    }


def findings_of(first: dict[Case, Tested], fraction: float) -> list[str]:
    """Three sentences: the best reading and the paper's, how many differ, and what decides."""
    if not first:
        return []
    best = max(first, key=lambda case: first[case].mean)
    sentence = (
        f"At {fraction:.0%} removed the best of {len(first)} readings is {name_of(best)}: "
        f"{points(first[best])} beside random orders"
    )
    if PAPERS_CASE in first:
        rank = sorted(first.values(), key=lambda one: -one.mean).index(first[PAPERS_CASE]) + 1
        sentence += (
            f"; the paper's, as the study reads it ({name_of(PAPERS_CASE)}), has rank {rank}: "
            f"{points(first[PAPERS_CASE])}"
        )
    above = sum(one.sign > 0 for one in first.values())
    below = sum(one.sign < 0 for one in first.values())
    plain = [one for one in first.values() if one.p is not None and one.p < 0.05]
    higher = sum(one.mean > 0 for one in plain)
    counts = "With one seed none of them is tested."
    if any(one.p is not None for one in first.values()):
        counts = (
            f"After Holm's correction {above or 'none'} of them are above random orders and "
            f"{below or 'none'} below; without it {higher or 'none'} and "
            f"{len(plain) - higher or 'none'} would be."
        )
    return [sentence + ".", counts, _decides(shares(first))]


def _decides(found: dict[str, float]) -> str:
    single = {name: share for name, share in found.items() if " x " not in name}
    double = {name: share for name, share in found.items() if " x " in name}
    if not single:
        return "All readings leave the same accuracy."
    most = max(single, key=lambda name: single[name])
    pair = max(double, key=lambda name: double[name])
    return (
        f"Of the variance between readings the factor that explains most by itself is {most} "
        f"({single[most]:.0%}), and the pair that does is {pair} ({double[pair]:.0%})."
    )


def shares(first: dict[Case, Tested]) -> dict[str, float]:
    """The share of the variance between readings that each factor, and each pair, explains.

    That of the means by the levels of a factor, or of a pair of factors together.
    """
    values = {case: one.mean for case, one in first.items()}
    total = statistics.pvariance(values.values()) if len(values) > 1 else 0.0
    if not total:
        return {}
    names = ("y", "direction", "binning", "bins", "bias", "history", "order")
    sets = [(name,) for name in FACTORS]
    sets += [(a, b) for i, a in enumerate(FACTORS) for b in FACTORS[i + 1 :]]  # type: ignore[misc]
    mean = statistics.fmean(values.values())
    found = {}
    for factors in sets:
        levels: dict[tuple[object, ...], list[float]] = {}
        for case, value in values.items():
            levels.setdefault(tuple(case[names.index(one)] for one in factors), []).append(value)
        between = sum(len(each) * (statistics.fmean(each) - mean) ** 2 for each in levels.values())
        found[" x ".join(factors)] = between / (len(values) * total)
    return found


def skipped(rows: Sequence[ReadingRow]) -> list[str]:
    """Why readings are missing, where a model gives none for a y."""
    seeds = sorted({row.seed for row in rows})
    wanted = {reading.y for reading in every_reading()}
    found = []
    for y in sorted(wanted):
        without = [seed for seed in seeds if not any(r.seed == seed and r.y == y for r in rows)]
        if without:
            of = ", ".join(map(str, without))
            found.append(
                f"y = {Y_NAMES[y]} (seed {of}), which is the same at all steps of the training "
                "samples"
            )
    return found


def correlations(known: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rank correlations of the scores with the facts, the mean over models.

    Returns
    -------
    list of dict
        ``label`` and ``correlations``, in the order of `FACTS`; None where one of the two is
        constant in all models.
    """
    lines: dict[tuple[Any, ...], list[list[float | None]]] = {}
    for model in known:
        for one in model:
            values = [
                _rank_correlation(one["facts"]["score"], one["facts"][name]) for name in FACTS
            ]
            lines.setdefault(tuple(one["reading"]), []).append(values)
    return [
        {
            "label": name_of(reading),
            "correlations": [
                statistics.fmean(there) if (there := [v for v in column if v is not None]) else None
                for column in zip(*models, strict=True)
            ],
        }
        for reading, models in lines.items()
    ]


def _rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's; None where one is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(stats.spearmanr(first, second).statistic)
