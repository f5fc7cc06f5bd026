"""The figures of the study, drawn from rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tefast._support.files import whole_file
from tefast.experiment.config import NAMES, REGULARIZER_NAMES
from tefast.experiment.findings import first_regularizer
from tefast.experiment.results import Curve, Row, StudyResults

# Okabe and Ito's palette, told apart by readers of any colour vision; chance is grey.
COLORS = {
    "transfer_entropy": "#0072B2",
    "entropy": "#E69F00",
    "l1": "#009E73",
    "random": "#888888",
}
REGULARIZER_COLORS = {"none": "#0072B2", "l1": "#D55E00", "l2": "#009E73"}
DASHES = {"descending": "-", "ascending": "--"}


def figure2(rows: Sequence[Row], path: Path, *, classes: int) -> None:
    """Write the figure of criteria and orders: see `build_figure2`."""
    _write(build_figure2(rows, classes=classes), path)


def figure3(rows: Sequence[Row], path: Path, *, classes: int) -> None:
    """Write the figure of regularisers: see `build_figure3`."""
    _write(build_figure3(rows, classes=classes), path)


def figure4(units: Sequence[Row], gates: Sequence[Row], path: Path, *, classes: int) -> None:
    """Write the figure of gates beside units: see `build_figure4`."""
    _write(build_figure4(units, gates, classes=classes), path)


def build_figure2(rows: Sequence[Row], *, classes: int) -> Figure:
    """Accuracy against the fraction of units removed, a curve for every criterion and order.

    Of the models without regularisation; if there are none, of the first regulariser there is.

    Parameters
    ----------
    rows : sequence of Row
    classes : int
        For the line of chance, 1 / classes.
    """
    shown = REGULARIZER_NAMES[first_regularizer(StudyResults(rows))]
    figure, (axes,) = _axes(rows, f"Removing units by score ({shown})")
    _draw_criteria(axes, rows)
    _finish(axes, classes)
    return figure


def build_figure4(units: Sequence[Row], gates: Sequence[Row], *, classes: int) -> Figure:
    """Accuracy against the fraction of units removed, and beside it of gates.

    Every criterion and order, of the models that `build_figure2` shows.
    """
    shown = REGULARIZER_NAMES[first_regularizer(StudyResults(gates))]
    figure, panels = _axes(gates, f"Removing units and single gates by score ({shown})", 2)
    for axes, rows, what in zip(panels, (units, gates), ("units", "gates"), strict=True):
        _draw_criteria(axes, rows)
        _finish(axes, classes, what, legend=what == "gates")
    panels[1].set_ylabel("")
    return figure


def build_figure3(rows: Sequence[Row], *, classes: int) -> Figure:
    """Accuracy against the fraction of units removed by transfer entropy, by regulariser.

    Parameters are those of `build_figure2`. The random order of each regulariser is a thin line.
    """
    results = StudyResults(rows)
    figure, (axes,) = _axes(rows, "Removing units by transfer entropy, by regularisation")
    for curve in sorted(results.curves, key=_rank):
        name, color = REGULARIZER_NAMES[curve.regularizer], REGULARIZER_COLORS[curve.regularizer]
        if curve.criterion == "transfer_entropy":
            _draw(axes, results, curve, color, name)
        elif curve.criterion == "random" and curve.order == "descending":
            _draw(axes, results, curve, color, f"{name}, random order", thin=True)
    if not axes.lines:
        axes.text(
            0.5, 0.5, "transfer entropy was not measured", transform=axes.transAxes, ha="center"
        )
    _finish(axes, classes)
    return figure


def _rank(curve: Curve) -> tuple[int, int, int]:
    return (
        list(REGULARIZER_COLORS).index(curve.regularizer),
        list(COLORS).index(curve.criterion),
        list(DASHES).index(curve.order),
    )


def _axes(rows: Sequence[Row], title: str, panels: int = 1) -> tuple[Figure, list[Axes]]:
    seeds = len({row.seed for row in rows})
    figure = Figure(figsize=(8.0 + 4.5 * (panels - 1), 5.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, panels, 1 + number) for number in range(panels)]
    over = f"{rows[0].dataset} clips, {rows[0].split} split, "
    over += f"mean of {seeds} seeds ± 1 standard deviation" if seeds > 1 else "1 seed"
    if panels == 1:
        axes[0].set_title(f"{title}\n{over}", fontsize=11)
    else:
        figure.suptitle(f"{title}\n{over}", fontsize=11)
    return figure, axes


def _draw_criteria(axes: Axes, rows: Sequence[Row]) -> None:
    results = StudyResults(rows)
    regularizer = first_regularizer(results)
    curves = [curve for curve in results.curves if curve.regularizer == regularizer]
    for curve in sorted(curves, key=_rank):
        _draw(axes, results, curve, COLORS[curve.criterion], NAMES[curve.criterion])


def _draw(
    axes: Axes, results: StudyResults, curve: Curve, color: str, name: str, *, thin: bool = False
) -> None:
    fractions = results.fractions(curve)
    spreads = [spread for f in fractions if (spread := results.spread(curve, f)) is not None]
    x = [100 * fraction for fraction in fractions]
    mean = [100 * spread.mean for spread in spreads]
    deviation = [100 * (spread.deviation or 0.0) for spread in spreads]
    axes.plot(
        x,
        mean,
        linestyle=":" if thin else DASHES[curve.order],
        color=color,
        linewidth=1.2 if thin else 1.9,
        marker=None if thin else "o",
        markersize=3,
        label=name if thin else f"{name}, {curve.order}",
    )
    if any(deviation) and not thin:
        low = [m - d for m, d in zip(mean, deviation, strict=True)]
        high = [m + d for m, d in zip(mean, deviation, strict=True)]
        axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)


def _finish(axes: Axes, classes: int, what: str = "units", *, legend: bool = True) -> None:
    axes.axhline(100 / classes, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
    axes.annotate(
        "chance", (0, 100 / classes), xytext=(2, 2), textcoords="offset points", fontsize=8
    )
    axes.set_xlabel(f"{what} removed [%]")
    axes.set_ylabel("test accuracy [%]")
    axes.set_ylim(0, 102)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False, handlelength=3.5
        )


def _write(figure: Figure, path: Path) -> None:
    # Without the version of matplotlib the same rows give the same bytes.
    with whole_file(path) as part:
        figure.savefig(part, format="png", metadata={"Software": None})
