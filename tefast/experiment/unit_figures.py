"""Figures of single units, of the readings, and of training."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tefast.experiment.config import REGULARIZER_NAMES
from tefast.experiment.drawing import LETTERS, REGULARIZER_COLORS, SMALL, blank, legend
from tefast.experiment.reading_results import PAPERS_CASE, Case
from tefast.experiment.statistics import Tested
from tefast.experiment.training import losses_path
from tefast.experiment.unit_facts import FACTS, first_half

LABELS = {"entropy": "entropy [bit]"}

CASES = {
    ("descending", "y_to_unit"): ("#0072B2", "y → unit, highest first"),
    ("ascending", "y_to_unit"): ("#56B4E9", "y → unit, lowest first"),
    ("descending", "unit_to_y"): ("#D55E00", "unit → y, highest first"),
    ("ascending", "unit_to_y"): ("#E69F00", "unit → y, lowest first"),
}


def build_maps(known: Mapping[str, Sequence[float]], what: str) -> Figure:
    """Transfer entropy of every unit against what else is known of it, a panel each.

    Parameters
    ----------
    known : mapping
        As `tefast.experiment.unit_facts.facts` gives it.
    what : str
        Which model it is of.
    """
    scores = np.array(known["score"])
    gone = first_half(known["score"])
    panels = ("occupied_bins", "l1", "entropy")
    figure, axes = blank(8.6, len(panels), share=False)
    figure.suptitle(f"Every unit of one network ({what})", fontsize=LETTERS)
    rng = np.random.default_rng(0)
    for one, fact in zip(axes, panels, strict=True):
        x = np.array(known[fact], dtype=float)
        if fact == "occupied_bins":  # whole numbers, which would lie on each other
            x = x + rng.uniform(-0.3, 0.3, len(x))
        size = float(np.clip(6000 / len(x), 5, 30))
        look: dict[str, Any] = {"s": size, "alpha": 0.6, "linewidths": 0}
        one.scatter(x[~gone], scores[~gone], color="#0072B2", label="stay at 50%", **look)
        one.scatter(x[gone], scores[gone], color="#D55E00", label="go at 50%", **look)
        one.scatter(
            x, known["null_bias"], color="#777777", marker="x", s=size, linewidths=0.8,
            label="null bias",
        )  # fmt: skip
        one.set_xlabel(LABELS.get(fact, FACTS[fact]), fontsize=SMALL)
        if fact == "occupied_bins":
            one.xaxis.set_major_locator(MaxNLocator(integer=True))
        one.set_ylabel("transfer entropy [bit]", fontsize=SMALL)
        one.set_ylim(bottom=0)
    legend(figure, axes[:1], 3)
    return figure


def build_readings(found: Mapping[Case, Tested], fraction: float) -> Figure:
    """All readings as points, sorted by their gain over random orders, with their intervals."""
    figure, (axes,) = blank(5.6)
    figure.suptitle(
        f"{len(found)} readings of the score, {fraction:.0%} of the units removed",
        fontsize=LETTERS,
    )
    ordered = sorted(found, key=lambda case: found[case].mean)
    place = {case: number for number, case in enumerate(ordered)}
    for (order, direction), (color, name) in CASES.items():
        mine = [case for case in ordered if case[6] == order and case[1] == direction]
        x, y = [place[case] for case in mine], [100 * found[case].mean for case in mine]
        axes.scatter(x, y, s=9, color=color, label=name, zorder=3, linewidths=0)
        for at, case in zip(x, mine, strict=True):
            low, high = found[case].low, found[case].high
            if low is not None and high is not None:
                axes.plot([at, at], [100 * low, 100 * high], color=color, alpha=0.18, linewidth=0.8)
    axes.axhline(0, color="black", linewidth=0.9)
    if PAPERS_CASE in found:
        at, mean = place[PAPERS_CASE], 100 * found[PAPERS_CASE].mean
        axes.plot([at], [mean], marker="*", markersize=15, color="black", zorder=4)
        axes.annotate(
            "the paper's,\nas read here", (at, mean), xytext=(0.04, 0.85),
            textcoords="axes fraction", fontsize=SMALL,  # free, as the points rise to the right
            arrowprops={"arrowstyle": "-", "linewidth": 0.8},
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_xlabel("readings, from the worst to the best", fontsize=SMALL)
    axes.set_ylabel("accuracy less random orders [points]", fontsize=SMALL)
    means = [100 * one.mean for one in found.values()]
    if means:
        axes.set_ylim(min(0.0, *means) - 12, max(0.0, *means) + 12)
    legend(figure, [axes], scale=2.5)
    return figure


def losses(models: Mapping[str, Sequence[Path]]) -> dict[str, list[list[float]]]:
    """The losses of the models of each regulariser; those without a file are left out."""
    found: dict[str, list[list[float]]] = {}
    for regularizer, paths in models.items():
        for path in map(losses_path, paths):
            if path.exists():
                read = json.loads(path.read_text(encoding="utf-8"))
                found.setdefault(regularizer, []).append([float(loss) for loss in read])
    return found


def build_training(found: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """The loss of every epoch, the mean over seeds and the range, by regulariser."""
    figure, (axes,) = blank(3.9)
    figure.suptitle("Loss in training, with the penalty", fontsize=LETTERS)
    for regularizer, curves in found.items():
        columns = list(zip(*curves, strict=True))
        x = range(1, 1 + len(columns))
        color = REGULARIZER_COLORS[regularizer]
        axes.plot(
            x, [statistics.fmean(each) for each in columns], color=color, marker="o", markersize=3,
            label=REGULARIZER_NAMES[regularizer],
        )  # fmt: skip
        low, high = [min(each) for each in columns], [max(each) for each in columns]
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set_xlabel("epoch", fontsize=SMALL)
    axes.set_ylabel("mean loss [nat]", fontsize=SMALL)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, [axes])
    return figure
