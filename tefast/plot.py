"""A plot of scores: sorted, beside what chance gives, the significant ones marked."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tefast._support.docstrings import documenting

try:
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("plot needs matplotlib: pip install matplotlib") from error

if TYPE_CHECKING:
    from tefast._significance.result import Significance
    from tefast.nn.reconstruction import TriedAmount


# Okabe and Ito's palette, told apart by readers of any colour vision; chance is grey.
SIGNIFICANT, OTHERS, CHANCE = "#D55E00", "#0072B2", "#888888"
NAMED = 5
"""So many of the highest significant units get their name, or number, beside them."""
LABEL = 24
"""Characters of a name that fit."""
CHARACTER = 0.008
"""The width of one, as a share of the axes."""
LEGEND = 0.55
"""Where the legend starts at the latest, as a share of the axes."""
TITLE = 90
"""Characters of a title that fit."""
COLORMAP = colormaps["viridis"]
"""Of delays, from the shortest to the longest."""

Floats = npt.NDArray[np.float64]

documented = documenting(
    {
        "unit": """
unit : str
    The unit of the scores, such as "bits".
""",
        "alpha": """
alpha : float
    Units with q up to this are marked.
""",
        "title": """
title : str
    The title of the figure.
""",
        "names": """
names : sequence of str, optional
    Names of the units, in place of their numbers.
""",
    }
)


def check_format(path: Path) -> None:
    """Check that a plot can be written in the format that the suffix of `path` names.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        If matplotlib does not write this format.
    """
    known = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in known:
        raise ValueError(f"{path}: a plot ends in one of .{', .'.join(sorted(known))}")


def write(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the suffix of `path` names.

    The figure is drawn in memory: on a full disk, Matplotlib's own files would complain once more
    when Python gives them up.

    Parameters
    ----------
    figure : Figure
    path : Path
        An existing file is overwritten.

    Raises
    ------
    ValueError
        If matplotlib does not write this format.
    OSError
        If the file cannot be written.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.lstrip(".").lower())
    path.write_bytes(drawn.getvalue())


@documented
def scores(
    te: Floats,
    found: Significance | None,
    *,
    unit: str,
    alpha: float,
    title: str,
    names: Sequence[str] | None = None,
) -> Figure:
    """Scores from the highest to the lowest, with the null's mean and twice its deviation.

    Parameters
    ----------
    te : ndarray, shape (U,)
        The scores. NaN is left out.
    found : Significance or None
        The test of the scores. Without it there are no band and no marks.
    {unit, alpha, title, names}

    Returns
    -------
    Figure
    """
    figure, axes = _empty()
    order = np.argsort(-te, kind="stable")
    order = order[~np.isnan(te[order])]
    rank = np.arange(1, len(order) + 1)
    size = float(np.clip(2400 / max(len(order), 1), 3, 25))
    marked = np.zeros(len(order), bool)
    if found is not None:
        _draw_band(axes, rank, found.null_mean[order], found.null_std[order], found.method)
        marked = found.q_value[order] <= alpha
        count = f"{marked.sum()} of {_units(len(order))}"
        axes.scatter(rank[marked], te[order][marked], size, SIGNIFICANT, zorder=3,
                     label=f"q up to {alpha:g}: {count}")  # fmt: skip
    if not marked.all():
        axes.scatter(rank[~marked], te[order][~marked], size, OTHERS, zorder=2.5,
                     label="units" if found is None else "other units")  # fmt: skip
    _name(axes, rank[marked], order[marked], te, names)
    _finish(axes, te[order], unit, title)
    return figure


@documented
def delays(
    found: Mapping[int, tuple[Floats, Significance | None]],
    *,
    unit: str,
    alpha: float,
    title: str,
    names: Sequence[str] | None = None,
) -> Figure:
    """Scores at several delays, the units sorted by their highest score; significant ones filled.

    Parameters
    ----------
    found : mapping
        From each delay to a tuple: the scores (U,) at this delay, and their test or None.
    {unit, alpha, title, names}

    Returns
    -------
    Figure
    """
    figure, axes = _empty()
    te = np.stack([scored for scored, _ in found.values()])  # (delays, units)
    highest = np.where(np.isnan(te), -np.inf, te).max(0)
    order = np.argsort(-highest, kind="stable")
    order = order[np.isfinite(highest[order])]
    rank = np.arange(1, len(order) + 1)
    size = float(np.clip(2400 / max(len(order), 1), 6, 25))
    axes.vlines(rank, np.nanmin(te[:, order], 0), highest[order], color=CHANCE, alpha=0.4,
                linewidth=0.6)  # fmt: skip
    marked_at_all = np.zeros(len(order), bool)
    for place, (delay, (scored, test)) in enumerate(found.items()):
        color = COLORMAP(0.92 * place / (len(found) - 1))
        marked = np.zeros(len(order), bool) if test is None else test.q_value[order] <= alpha
        marked_at_all |= marked
        axes.scatter(rank[marked], scored[order][marked], size, color=color, zorder=3)
        axes.scatter(rank[~marked], scored[order][~marked], size, facecolors="none",
                     edgecolors=[color], linewidths=0.8, zorder=2.5)  # fmt: skip
        count = "" if test is None else f": {marked.sum()} with q up to {alpha:g}"
        axes.scatter([], [], 25, color=color, label=f"delay {delay}{count}")
    _name(axes, rank[marked_at_all], order[marked_at_all], highest, names)
    _finish(axes, highest[order], unit, title)
    axes.set_xlabel("rank of the unit, from the highest score at any delay to the lowest"
                    + ("; filled: significant" if marked_at_all.any() else ""))  # fmt: skip
    return figure


def _units(count: int) -> str:
    return "1 unit" if count == 1 else f"{count} units"


def _empty() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.0, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _finish(axes: Axes, shown: Floats, unit: str, title: str) -> None:
    """Title, scales and legend, of scores that fall."""
    axes.set_title(title if len(title) <= TITLE else f"{title[: TITLE - 3]}...", fontsize=11)
    # Where a few units stand far out, the rest and its band would be a line at the bottom.
    if shown.size and shown[-1] > 0 and shown[0] > 10 * np.median(shown):
        axes.set_yscale("log")
    axes.set_xlim(0, len(shown) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rank of the unit, from the highest score to the lowest")
    axes.set_ylabel(f"transfer entropy [{unit}]")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    # Beside names of units, there is where these leave room for it.
    axes.legend(fontsize=8, frameon=False, loc="upper right" if axes.texts else "best")


def _draw_band(axes: Axes, rank: Any, mean: Floats, deviation: Floats, method: str) -> None:
    # As wide as a unit at each: neighbours in rank are not neighbours in anything else.
    edges = np.append(rank - 0.5, rank[-1:] + 0.5)
    low, high = (
        np.append(each, each[-1:]) for each in (mean - 2 * deviation, mean + 2 * deviation)
    )
    axes.fill_between(edges, low, high, step="post", color=CHANCE, alpha=0.3, linewidth=0,
                      label=f"without coupling ({method}): mean ± 2 deviations")  # fmt: skip
    axes.step(edges, np.append(mean, mean[-1:]), where="post", color=CHANCE, linewidth=0.8)


def _name(axes: Axes, rank: Any, units: Any, te: Floats, names: Sequence[str] | None) -> None:
    """Label the highest: beside their points where that is wide enough, else in a list."""
    labels = [short(str(unit) if names is None else names[unit]) for unit in units[:NAMED]]
    style: dict[str, Any] = {"fontsize": 7, "color": SIGNIFICANT}
    shown = int(np.isfinite(te).sum())
    longest = max(map(len, labels), default=0) * CHARACTER
    left = min(len(labels) / (shown + 1) + 0.04, 1 - longest)
    entries = len(axes.get_legend_handles_labels()[1])
    top = 0.93 if left + LABEL * CHARACTER < LEGEND else 0.9 - 0.05 * entries
    apart = longest < 1 / (shown + 1)
    for i, (place, unit, label) in enumerate(zip(rank[:NAMED], units[:NAMED], labels, strict=True)):
        at = (place, te[unit])
        if apart or len(labels) == 1:
            axes.annotate(label, at, xytext=(4, 3), textcoords="offset points", **style)
            continue
        axes.annotate(label, at, xytext=(left, top - 0.045 * i),
                      textcoords="axes fraction", va="center", **style,
                      arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": SIGNIFICANT,
                                  "relpos": (0, 0.5)})  # fmt: skip


def short(label: str, most: int = LABEL) -> str:
    """As much of a name as there is room for, without a meaning to matplotlib.

    Parameters
    ----------
    label : str
    most : int, default 24
        Characters that fit.

    Returns
    -------
    str
    """
    cut = label if len(label) <= most else f"{label[: most - 3]}..."
    return cut.replace("$", r"\$")


def histories(curves: Floats, chosen: Any, *, title: str) -> Figure:
    """Active information of every unit against the history, the chosen one marked.

    Parameters
    ----------
    curves : ndarray, shape (U, most)
        Active information for histories of 1 to `most` steps. NaN is left out.
    chosen : ndarray of int, shape (U,)
        The chosen history of each unit.
    title : str
        The title of the figure.

    Returns
    -------
    Figure
    """
    figure, axes = _empty()
    steps = np.arange(1, curves.shape[1] + 1)
    few = len(curves) <= NAMED
    for u, curve in enumerate(curves):
        color = f"C{u}" if few else CHANCE
        label = f"unit {u}: {chosen[u]}" if few else None
        axes.plot(steps, curve, color=color, alpha=1.0 if few else 0.3, linewidth=1, label=label)
        color = color if few else OTHERS
        axes.plot(chosen[u], curve[chosen[u] - 1], "o", color=color, markersize=6 if few else 3)
    if not few:
        axes.plot([], [], "o", color=OTHERS, label="chosen")
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_xticks(steps)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("history, steps")
    axes.set_ylabel("active information beyond chance")
    axes.spines[["top", "right"]].set_visible(False)
    # Beside the axes: curves fill them from end to end.
    axes.legend(title="chosen history" if few else None, title_fontsize=8, fontsize=8,
                frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    return figure


def amounts(tried: Sequence[TriedAmount]) -> Figure:
    """Draw the metric of every amount that `tefast.nn.prune_to` tried against the model's size.

    Parameters
    ----------
    tried : sequence of TriedAmount
        The whole model first.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _empty()
    for good, color, label in ((True, OTHERS, "within the loss"), (False, CHANCE, "beyond it")):
        some = [one for one in tried if one.good == good]
        sizes, metrics = [one.parameters for one in some], [one.metric for one in some]
        axes.plot(sizes, metrics, "o", color=color, label=label)
    by_size = sorted(tried, key=lambda one: one.parameters)
    for rank, one in enumerate(by_size):  # above and below in turn, so that neighbours have room
        axes.annotate(
            str(one.removed), (one.parameters, one.metric), (0, -13 if rank % 2 else 6), fontsize=8,
            textcoords="offset points", ha="center",
        )  # fmt: skip
    axes.axhline(tried[0].metric, color="black", linewidth=0.6, label="whole model")
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.margins(y=0.12)
    axes.set_title("What was tried; beside each point, how many units went", fontsize=11)
    axes.set_xlabel("parameters")
    axes.set_ylabel("metric")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure
