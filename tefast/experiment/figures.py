"""The figures of the study that are drawn from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tefast.experiment.comparisons import first_regularizer, group, label, random_curve
from tefast.experiment.config import (
    FROM_SCRATCH,
    ORDERS,
    RECOVERIES,
    RECOVERY_NAMES,
    REGULARIZER_NAMES,
    shown,
)
from tefast.experiment.drawing import (
    COLORS,
    ORDER_TITLES,
    RECOVERY_COLORS,
    REGULARIZER_COLORS,
    SMALL,
    blank,
    color_of,
    draw,
    draw_random,
    legend,
    legend_height,
    orders_of,
    say_nothing_was_measured,
    scales,
    title,
    write,
)
from tefast.experiment.results import Curve, Row, StudyResults


def figures(
    rows: Mapping[str, Sequence[Row]], folder: Path, *, classes: int, samples: int
) -> dict[str, Path]:
    """Draw all figures that the rows have something for.

    Parameters
    ----------
    rows : mapping
        By granularity.
    folder : Path
    classes : int
        For the line of chance, 1 / classes.
    samples : int
        Test samples of a seed, for the least error that an accuracy can have.

    Returns
    -------
    dict of str to Path
        The files by the names that the report knows them by.
    """
    units = rows["unit"]
    made: dict[str, Figure] = {
        "figure2": build_figure2(units, classes=classes, samples=samples),
        "figure3": build_figure3(units, classes=classes, samples=samples),
        "size": build_size(units, classes=classes),
    }
    if "gate" in rows:
        made["figure4"] = build_figure4(units, rows["gate"], classes=classes, samples=samples)
    if {row.recovery for row in units} != {"none"} or has_small(units):
        made["recoveries"] = build_recoveries(units, classes=classes, samples=samples)
    paths = {name: folder / f"{name}.png" for name in made}
    for name, figure in made.items():
        write(figure, paths[name])
    return paths


def has_small(rows: Sequence[Row]) -> bool:
    """Whether networks were trained small from scratch."""
    return any(row.criterion == FROM_SCRATCH for row in rows)


def build_figure2(rows: Sequence[Row], *, classes: int, samples: int) -> Figure:
    """Accuracy against the fraction of units removed, a panel for every order.

    Of the models without regularisation; if there are none, of the first regulariser there is.
    Parameters are those of `figures`.
    """
    results = StudyResults(rows)
    regularizer = first_regularizer(results)
    panels = orders_of(results, regularizer)
    curves = _criteria(results, regularizer)
    height = 0.9 + 2.9 * len(panels) + legend_height(len({one.criterion for one in curves}))
    figure, axes = blank(height, len(panels))
    title(figure, f"Removing units by score ({REGULARIZER_NAMES[regularizer]})", rows)
    for one, order in zip(axes, panels, strict=True):
        _draw_criteria(one, results, curves, order, samples)
        one.set_title(ORDER_TITLES[order], fontsize=SMALL)
    scales(axes, classes, 1)
    legend(figure, axes)
    return figure


def build_figure4(
    units: Sequence[Row], gates: Sequence[Row], *, classes: int, samples: int
) -> Figure:
    """Accuracy against the fraction of units removed, and beside it of gates."""
    regularizer = first_regularizer(StudyResults(gates))
    both = [StudyResults(units), StudyResults(gates)]
    panels = orders_of(both[1], regularizer)
    names = {one.criterion for results in both for one in _criteria(results, regularizer)}
    figure, axes = blank(0.9 + 2.6 * len(panels) + legend_height(len(names)), len(panels), 2)
    title(figure, f"Units and single gates ({REGULARIZER_NAMES[regularizer]})", gates)
    for row, order in enumerate(panels):
        for column, (results, what) in enumerate(zip(both, ("units", "gates"), strict=True)):
            one = axes[2 * row + column]
            _draw_criteria(one, results, _criteria(results, regularizer), order, samples)
            one.set_title(f"{what}, {ORDER_TITLES[order]}", fontsize=SMALL)
    scales(axes, classes, 2, "removed")
    legend(figure, axes)
    return figure


def _criteria(results: StudyResults, regularizer: str) -> list[Curve]:
    curves = group(results, regularizer, "none")
    return [curve for curve in curves if curve.criterion != FROM_SCRATCH]


def _draw_criteria(
    axes: Axes, results: StudyResults, curves: Sequence[Curve], order: str, samples: int
) -> None:
    """The curves of one order, above the band of random orders."""
    criteria = [curve.criterion for curve in curves]
    for curve in sorted(curves, key=lambda one: one.criterion != "random"):
        if curve.criterion == "random":
            draw_random(axes, results, curve)
        elif curve.order == order:
            name, color = shown(curve.criterion), color_of(curve.criterion, criteria)
            # As the paper has it, dashed where the lowest goes first.
            draw(axes, results, curve, samples, color=color, name=name)


def build_figure3(rows: Sequence[Row], *, classes: int, samples: int) -> Figure:
    """Accuracy against the fraction of units removed by transfer entropy, by regulariser.

    The random orders of each regulariser are a dotted line. Parameters are those of `figures`.
    """
    results = StudyResults(rows)
    present = {curve.regularizer for curve in results.curves}
    regularizers = [name for name in REGULARIZER_NAMES if name in present]
    figure, axes = blank(
        0.9 + 2.9 * len(ORDERS) + legend_height(2 * len(regularizers)), len(ORDERS)
    )
    title(figure, "Removing units by transfer entropy, by regularisation", rows)
    for one, order in zip(axes, ORDERS, strict=True):
        for regularizer in regularizers:
            color, name = REGULARIZER_COLORS[regularizer], REGULARIZER_NAMES[regularizer]
            curve, chance = Curve(regularizer, "transfer_entropy", order), random_curve(regularizer)
            if not results.fractions(curve):
                continue
            draw(one, results, curve, samples, color=color, name=name)
            if results.fractions(chance):
                x = [100 * f for f in results.fractions(chance)]
                means = [results.spread(chance, f) for f in results.fractions(chance)]
                y = [100 * mean.mean for mean in means if mean is not None]
                one.plot(x, y, color=color, linestyle=":", linewidth=1.2, label=f"{name}, random")
        one.set_title(ORDER_TITLES[order], fontsize=SMALL)
        if not one.lines:
            say_nothing_was_measured(one, "transfer entropy")
    scales(axes, classes, 1)
    legend(figure, axes)
    return figure


def build_recoveries(rows: Sequence[Row], *, classes: int, samples: int) -> Figure:
    """Accuracy by what is done after the removal, a panel for every criterion.

    Networks that were small from the beginning are in every panel. Parameters are those of
    `figures`.
    """
    results = StudyResults(rows)
    regularizer = first_regularizer(results)
    curves = _criteria(results, regularizer)
    criteria = list(dict.fromkeys(curve.criterion for curve in curves))
    lines = -(-len(criteria) // 2)
    figure, axes = blank(0.9 + 2.1 * lines + legend_height(6), lines, 2)
    title(figure, f"What is done after the removal ({REGULARIZER_NAMES[regularizer]})", rows)
    small = Curve(regularizer, FROM_SCRATCH, "none")
    for one, criterion in zip(axes, criteria, strict=False):
        for recovery in RECOVERIES:
            for curve in group(results, regularizer, recovery):
                if curve.criterion == criterion and len(results.fractions(curve)) > 1:
                    order = {"descending": ", highest first", "ascending": ", lowest first"}
                    name = RECOVERY_NAMES[recovery] + order.get(curve.order, ", random")
                    color = RECOVERY_COLORS[recovery]
                    draw(one, results, curve, samples, color=color, name=name)
        if results.fractions(small):
            name = shown(FROM_SCRATCH)
            draw(one, results, small, samples, color=COLORS[FROM_SCRATCH], name=name, markersize=4)
        one.set_title(shown(criterion), fontsize=SMALL)
    for one in axes[len(criteria) :]:
        one.set_visible(False)
    scales(axes, classes, 2)
    axes[len(criteria) - 1].set_xlabel("units removed [%]", fontsize=SMALL)
    legend(figure, axes)
    return figure


def build_size(rows: Sequence[Row], *, classes: int) -> Figure:
    """Accuracy against parameters and against the measured time of a sample.

    Of transfer entropy, highest first, and of the order that is the best at a half, with every
    recovery; of random orders; and of networks that were small from the beginning.
    """
    results = StudyResults(rows)
    regularizer = first_regularizer(results)
    chosen = _shown_by_size(results, regularizer)
    figure, axes = blank(0.9 + 5.4 + legend_height(len(chosen), 1), 2, share=False)
    title(figure, "Accuracy by size and by time", rows, intervals=False)
    for curve, (color, marker) in chosen.items():
        points = _by_size(rows, curve)
        name = label(curve)
        if curve.recovery != "none":
            name += f", {RECOVERY_NAMES[curve.recovery]}"
        line = "none" if curve.criterion == FROM_SCRATCH else "-"
        for one, place, scale in zip(axes, (0, 1), (1e-6, 1e3), strict=True):
            x = [scale * point[place] for point in points]
            y = [100 * point[2] for point in points]
            one.plot(
                x, y, color=color, marker=marker, markersize=5, linestyle=line, linewidth=1.4,
                label=name,
            )  # fmt: skip
    for one, what in zip(
        axes, ("parameters [millions]", "forward pass of a sample [ms]"), strict=True
    ):
        one.axhline(100 / classes, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        one.set_xlabel(what, fontsize=SMALL)
        one.set_ylabel("test accuracy [%]", fontsize=SMALL)
        one.set_ylim(0, 102)
        one.set_xlim(left=0)
    legend(figure, axes, 1)
    return figure


def _shown_by_size(results: StudyResults, regularizer: str) -> dict[Curve, tuple[str, str]]:
    """The curves of `build_size`, and the colour and marker of each."""
    curves = [one for one in _criteria(results, regularizer) if one.criterion != "random"]
    means = {
        curve: spread.mean
        for curve in curves
        if (at := results.nearest(curve, 0.5)) and (spread := results.spread(curve, at))
    }
    best = max(means, key=lambda one: means[one]) if means else None
    paper = Curve(regularizer, "transfer_entropy", "descending")
    found: dict[Curve, tuple[str, str]] = {}
    for recovery in RECOVERIES:
        color = RECOVERY_COLORS[recovery]
        for base, marker in ((paper, "o"), (best, "^")):
            if base is not None:
                curve = Curve(regularizer, base.criterion, base.order, recovery)
                found.setdefault(curve, (color, marker))
    found[random_curve(regularizer)] = (COLORS["random"], "s")
    found[Curve(regularizer, FROM_SCRATCH, "none")] = (COLORS[FROM_SCRATCH], "D")
    return {curve: look for curve, look in found.items() if len(results.fractions(curve)) > 1}


def _by_size(rows: Sequence[Row], curve: Curve) -> list[tuple[float, float, float]]:
    """Parameters, seconds for a sample and accuracy, means by fraction, from small to large."""
    at: dict[float, list[Row]] = {}
    for row in rows:
        if Curve(row.regularizer, row.criterion, row.order, row.recovery) == curve:
            at.setdefault(row.removed_fraction, []).append(row)
    return sorted(
        (
            sum(row.parameters for row in each) / len(each),
            sum(row.seconds_per_clip for row in each) / len(each),
            sum(row.accuracy for row in each) / len(each),
        )
        for each in at.values()
    )
