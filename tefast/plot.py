"""A plot of scores: sorted, beside what chance gives, the significant ones marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tefast.surrogates import Significance

# Okabe and Ito's palette, told apart by readers of any colour vision; chance is grey.
SIGNIFICANT, OTHERS, CHANCE = "#D55E00", "#0072B2", "#888888"
NAMED = 5
"""So many of the highest significant units get their number beside them."""

Floats = npt.NDArray[np.float64]


def check_format(path: Path) -> None:
    """Raise a ValueError if the suffix of `path` names no format that can be written."""
    known = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in known:
        raise ValueError(f"{path}: a plot ends in one of .{', .'.join(sorted(known))}")


def write(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the suffix of `path` names."""
    figure.savefig(path, format=path.suffix.lstrip(".").lower())


def scores(
    te: Floats, found: Significance | None, *, unit: str, alpha: float, title: str
) -> Figure:
    """Scores from the highest to the lowest, with the null's mean and twice its deviation.

    Parameters
    ----------
    te : ndarray, shape (U,)
        NaN is left out.
    found : Significance or None
        Without one there are no band and no marks.
    unit : str
        Of the scores.
    alpha : float
        Units with q up to this are marked.
    title : str
    """
    figure = Figure(figsize=(8.0, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    order = np.argsort(-te, kind="stable")
    order = order[~np.isnan(te[order])]
    rank = np.arange(1, len(order) + 1)
    size = float(np.clip(2400 / max(len(order), 1), 3, 25))
    marked = np.zeros(len(order), bool)
    if found is not None:
        _draw_band(axes, rank, found.null_mean[order], found.null_std[order], found.method)
        marked = found.q_value[order] <= alpha
        axes.scatter(rank[marked], te[order][marked], size, SIGNIFICANT, zorder=3,
                     label=f"q up to {alpha:g}: {marked.sum()} of {len(order)} units")  # fmt: skip
        _name(axes, rank[marked], order[marked], te)
    axes.scatter(rank[~marked], te[order][~marked], size, OTHERS, zorder=2.5,
                 label="units" if found is None else "other units")  # fmt: skip
    axes.set_title(title, fontsize=11)
    shown = te[order]
    # Where a few units stand far out, the rest and its band would be a line at the bottom.
    if shown.size and shown[-1] > 0 and shown[0] > 10 * np.median(shown):
        axes.set_yscale("log")
    axes.set_xlim(0, len(order) + 1)
    axes.set_xlabel("unit, from the highest score to the lowest")
    axes.set_ylabel(f"transfer entropy [{unit}]")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _draw_band(axes: Axes, rank: Any, mean: Floats, deviation: Floats, method: str) -> None:
    # As wide as a unit at each: neighbours in rank are not neighbours in anything else.
    edges = np.append(rank - 0.5, rank[-1:] + 0.5)
    low, high = (
        np.append(each, each[-1:]) for each in (mean - 2 * deviation, mean + 2 * deviation)
    )
    axes.fill_between(edges, low, high, step="post", color=CHANCE, alpha=0.3, linewidth=0,
                      label=f"without coupling ({method}): mean ± 2 deviations")  # fmt: skip
    axes.step(edges, np.append(mean, mean[-1:]), where="post", color=CHANCE, linewidth=0.8)


def _name(axes: Axes, rank: Any, units: Any, te: Floats) -> None:
    for place, unit in list(zip(rank, units, strict=True))[:NAMED]:
        axes.annotate(str(unit), (place, te[unit]), xytext=(4, 3), textcoords="offset points",
                      fontsize=7, color=SIGNIFICANT)  # fmt: skip


def histories(curves: Floats, chosen: Any, axes: Axes | None = None) -> Axes:
    """Active information of every unit against the history, the chosen one marked.

    Parameters
    ----------
    curves : ndarray, shape (U, most)
        NaN is left out.
    chosen : ndarray of int, shape (U,)
    axes : Axes, optional
        Default: those of a new figure of pyplot.
    """
    if axes is None:
        from matplotlib import pyplot

        _, axes = pyplot.subplots(figsize=(6.0, 3.6), layout="constrained")
    steps = np.arange(1, curves.shape[1] + 1)
    few = len(curves) <= NAMED
    for u, curve in enumerate(curves):
        colour = f"C{u}" if few else CHANCE
        label = f"unit {u}: {chosen[u]}" if few else None
        axes.plot(steps, curve, color=colour, alpha=1.0 if few else 0.3, linewidth=1, label=label)
        colour = colour if few else OTHERS
        axes.plot(chosen[u], curve[chosen[u] - 1], "o", color=colour, markersize=6 if few else 3)
    if not few:
        axes.plot([], [], "o", color=OTHERS, label="chosen")
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_xticks(steps)
    axes.set_xlabel("history, steps")
    axes.set_ylabel("active information beyond chance")
    axes.spines[["top", "right"]].set_visible(False)
    # Beside the axes: curves fill them from end to end.
    axes.legend(title="chosen history" if few else None, title_fontsize=8, fontsize=8,
                frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    return axes
