"""What all figures of the study share: colours, sizes, curves with their intervals, legends.

Reports are read on phones. A figure is therefore 5 inches wide with large letters, panels lie
one below the other, and legends below the axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tefast._support.files import whole_file
from tefast.experiment.config import FROM_SCRATCH, NO_ORDER, ORDERS
from tefast.experiment.datasets import named
from tefast.experiment.results import Curve, Row, StudyResults
from tefast.experiment.statistics import interval

WIDTH = 5.0
LETTERS = 12
SMALL = 10.5

# Okabe and Ito's palette, told apart by readers of any colour vision, and a few of Tol's; chance
# is grey.
COLORS = {
    "transfer_entropy": "#0072B2",
    "entropy": "#E69F00",
    "l1": "#009E73",
    "l2": "#D55E00",
    "activation_magnitude": "#CC79A7",
    "taylor": "#56B4E9",
    "active_information": "#882255",
    "redundancy": "#999933",
    "spectral": "#332288",
    "group": "#AA4499",
    "random": "#888888",
    FROM_SCRATCH: "#000000",
}
CYCLE = ("#117733", "#DDCC77", "#88CCEE", "#661100", "#44AA99", "#6699CC")
"""For criteria of the user's own."""
REGULARIZER_COLORS = {"none": "#0072B2", "l1": "#D55E00", "l2": "#009E73", "group": "#AA4499"}
RECOVERY_COLORS = {"none": "#0072B2", "reconstruction": "#009E73", "fine_tuning": "#D55E00"}
DASHES = {"descending": "-", "ascending": "--", NO_ORDER: ":"}
ORDER_TITLES = {"descending": "highest score first", "ascending": "lowest score first"}


def color_of(criterion: str, criteria: Sequence[str]) -> str:
    """The colour of a criterion: its own, or of the cycle by its place among those without one."""
    if criterion in COLORS:
        return COLORS[criterion]
    own = [name for name in dict.fromkeys(criteria) if name not in COLORS]
    return CYCLE[own.index(criterion) % len(CYCLE)]


def blank(
    height: float, rows: int = 1, columns: int = 1, *, share: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row."""
    figure = Figure(figsize=(WIDTH, height), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    axes = [one for row in grid for one in row]
    for one in axes:
        one.grid(alpha=0.25)
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=SMALL)
    return figure, axes


def title(figure: Figure, text: str, rows: Sequence[Row], *, intervals: bool = True) -> None:
    """Say what is shown, of which data and how many seeds."""
    seeds = len({row.seed for row in rows})
    over = f"{rows[0].dataset}, {rows[0].split} split, "
    over += f"mean of {seeds} seeds" if seeds > 1 else "1 seed"
    if seeds > 1 and intervals:
        over += ", 95% intervals"
    figure.suptitle(f"{text}\n{over}", fontsize=LETTERS)


def draw(
    axes: Axes,
    results: StudyResults,
    curve: Curve,
    samples: int,
    *,
    color: str,
    name: str,
    **style: Any,
) -> None:
    """A curve of mean accuracies, and a band of their 95 % intervals over seeds.

    Networks that were trained from scratch are points, which no line joins.
    """
    at = [fraction for fraction in results.fractions(curve) if results.spread(curve, fraction)]
    spreads = [spread for f in at if (spread := results.spread(curve, f)) is not None]
    x, mean = [100 * f for f in at], [100 * spread.mean for spread in spreads]
    is_small = curve.criterion == FROM_SCRATCH
    look = {
        "linestyle": "none" if is_small else DASHES[curve.order],
        "linewidth": 1.8,
        "marker": "D" if is_small else "o",
        "markersize": 6 if is_small else 3,
        **style,
    }
    axes.plot(x, mean, color=color, label=name, **look)
    ends = [interval(spread, samples) for spread in spreads]
    if all(one is not None for one in ends) and ends:
        low = [100 * one[0] for one in ends if one is not None]
        high = [100 * one[1] for one in ends if one is not None]
        if is_small:
            axes.vlines(x, low, high, color=color, linewidth=1.2)
        else:
            axes.fill_between(x, low, high, color=color, alpha=0.10, linewidth=0)


def draw_random(
    axes: Axes, results: StudyResults, curve: Curve, *, color: str = COLORS["random"],
    name: str = "random orders",
) -> None:  # fmt: skip
    """The mean of random orders, and a band from the lowest to the highest of all draws."""
    at = results.fractions(curve)
    draws = [results.draws(curve, fraction) for fraction in at]
    x = [100 * fraction for fraction in at]
    mean = [100 * spread.mean for f in at if (spread := results.spread(curve, f)) is not None]
    axes.plot(x, mean, color=color, linestyle=":", linewidth=1.8, label=name)
    low, high = [100 * min(each) for each in draws], [100 * max(each) for each in draws]
    axes.fill_between(x, low, high, color=color, alpha=0.22, linewidth=0)


def scales(axes: Sequence[Axes], classes: int, columns: int, what: str = "units removed") -> None:
    """Axes of accuracy against the fraction removed, and the line of chance."""
    for place, one in enumerate(axes):
        one.axhline(100 / classes, color="black", linewidth=0.8, linestyle=(0, (1, 3)))
        one.set_ylim(0, 102)
        one.set_xlim(left=0)
        if place % columns == 0:
            one.set_ylabel("test accuracy [%]", fontsize=SMALL)
        if place + columns >= len(axes):
            one.set_xlabel(f"{what} [%]", fontsize=SMALL)
    axes[0].annotate(
        "chance", (0, 100 / classes), xytext=(3, 3), textcoords="offset points", fontsize=9
    )


def legend(figure: Figure, axes: Sequence[Axes], columns: int = 2, *, scale: float = 1.4) -> None:
    """One legend for all axes, below them; a name that several have is there once."""
    handles: dict[str, Any] = {}
    for one in axes:
        for handle, name in zip(*one.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=columns,
            fontsize=SMALL, frameon=False, markerscale=scale, handlelength=2.0, columnspacing=1.0,
        )  # fmt: skip


def legend_height(entries: int, columns: int = 2) -> float:
    """Inches that such a legend takes."""
    return 0.22 * -(-entries // columns) + 0.1


def say_nothing_was_measured(axes: Axes, what: str) -> None:
    """A text in place of curves."""
    axes.text(
        0.5, 0.5, f"{what} was not measured", transform=axes.transAxes, ha="center",
        fontsize=SMALL,
    )  # fmt: skip


def samples_name(rows: Sequence[Row]) -> str:
    """What the data set of the rows calls its samples."""
    return named(rows[0].dataset).samples


def write(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    # Without the version of matplotlib the same rows give the same bytes.
    with whole_file(path) as part:
        figure.savefig(part, format="png", metadata={"Software": None})


def orders_of(results: StudyResults, regularizer: str, recovery: str = "none") -> list[str]:
    """The orders that a group of curves has; the first of the two if it has only other ones."""
    present = {
        curve.order
        for curve in results.curves
        if curve.regularizer == regularizer and curve.recovery == recovery
    }
    return [order for order in ORDERS if order in present] or [ORDERS[0]]
