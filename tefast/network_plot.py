"""A plot of a network: its matrix in the order of a clustering, and its graph where it is small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tefast._significance.result import unit_name

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tefast.plot import OTHERS, SIGNIFICANT, short
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("plot needs matplotlib: pip install matplotlib") from error

if TYPE_CHECKING:
    from tefast.networks import Network

SMALL, DRAWN = 30, 90
"""Series and edges up to which the graph is drawn."""
NAMED = 60
"""Series up to which all of them are named, and edges marked in the matrix."""
ORDERED = 2000
"""Series up to which they are put into the order of a clustering, which takes a second or two."""
POINTS = 600
"""Rows and columns that a picture can show."""
COLORMAP = "viridis"

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


def figure(
    network: Network, q: float | None, title: str, *, edges: Booleans | None = None
) -> Figure:
    """Draw the matrix of a network, and its graph where it has few series and edges.

    Parameters
    ----------
    network : Network
    q : float, optional
        See `tefast.Network.edges`.
    title : str
        The title of the figure.
    edges : ndarray of bool, shape (S, U), optional
        Draw these edges. Default: those of `q`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    level = f" at q < {network.alpha if q is None else q:g}" if edges is None else ""
    edges = network.edges(q) if edges is None else edges
    names = list(dict.fromkeys([*network.names, *network.source_names]))
    with_graph = len(names) <= SMALL and 0 < edges.sum() <= DRAWN
    size = (12.5, 6.0) if with_graph else (9.0, 8.0) if SMALL < len(names) <= NAMED else (7.0, 6.0)
    drawn = Figure(figsize=size, dpi=110, layout="compressed")
    FigureCanvasAgg(drawn)
    drawn.suptitle(title)
    axes = drawn.add_subplot(1, 2 if with_graph else 1, 1)
    _draw_matrix(axes, network, edges)
    many = int(edges.sum())
    what = ("edge", level) if network.q_value is not None else ("pair", ", not tested")
    axes.set_title(f"{many} {what[0]}{'s' * (many != 1)}{what[1]}", fontsize=10)
    if with_graph:
        _draw_graph(drawn.add_subplot(1, 2, 2), network, edges, names)
    drawn.draw_without_rendering()  # long names find room only in a second layout
    return drawn


def order_of(te: Floats) -> npt.NDArray[np.int64]:
    """An order of series in which those with alike connections lie side by side.

    Parameters
    ----------
    te : ndarray, shape (U, U)

    Returns
    -------
    ndarray of int64, shape (U,)
        The leaves of an average-linkage clustering of what each receives and sends; their own order
        without SciPy.
    """
    try:
        from scipy.cluster.hierarchy import leaves_list, linkage
    except ModuleNotFoundError:
        return np.arange(len(te))
    known = np.nan_to_num(te)
    return np.asarray(leaves_list(linkage(np.hstack([known, known.T]), "average")), dtype=np.int64)


def highest_of_blocks(te: Floats, size: int) -> Floats:
    """The highest value of every block of `size` rows and columns; NaN where there is none.

    Parameters
    ----------
    te : ndarray, shape (S, U)
    size : int
        1 or more. The last blocks may be smaller.

    Returns
    -------
    ndarray, shape (ceil(S / size), ceil(U / size))
    """
    found = te
    for axis in (0, 1):
        starts = np.arange(0, te.shape[axis], size)
        found = np.fmax.reduceat(found, starts, axis=axis)
    return np.asarray(found)


def _draw_matrix(axes: Axes, network: Network, edges: Booleans) -> None:
    te = np.asarray(network.te)
    rows, columns = np.arange(te.shape[0]), np.arange(te.shape[1])
    square = network.source_names == network.names
    if square and 2 < len(te) <= ORDERED:
        rows = columns = order_of(te)
    ordered = bool((np.diff(columns) != 1).any())
    size = -(-max(te.shape) // POINTS)
    # Pixels that leave out rows would leave out edges.
    shown = highest_of_blocks(te[np.ix_(rows, columns)], size)
    known = shown[~np.isnan(shown)]
    # A few strong pairs would leave all others dark.
    most = float(np.quantile(known, 0.995)) if known.size else 1.0
    axes.set_facecolor("#dddddd")  # seen where there is no value
    image = axes.imshow(
        shown, cmap=COLORMAP, vmin=0, vmax=most or 1.0, interpolation="nearest",
        aspect="equal" if square else "auto",
        extent=(-0.5, te.shape[1] - 0.5, te.shape[0] - 0.5, -0.5),
    )  # fmt: skip
    beyond = "max" if known.size and known.max() > image.norm.vmax else "neither"
    what = "transfer entropy" if size == 1 else f"highest transfer entropy of {size} x {size} pairs"
    axes.figure.colorbar(image, ax=axes, shrink=0.8, extend=beyond,
                         label=f"{what} [{unit_name(network.base)}]")  # fmt: skip
    few = max(te.shape) <= NAMED
    note = ", in the order of a clustering" if ordered and not few else ""
    axes.set_xlabel(f"target{note}")
    axes.set_ylabel(f"source{note}")
    if few:
        _name(axes, network, edges, rows, columns)
    elif ordered:  # places in this order would be taken for the numbers of the series
        axes.set_xticks([])
        axes.set_yticks([])


def _name(axes: Axes, network: Network, edges: Booleans, rows: Any, columns: Any) -> None:
    """Name all series, and mark the edges that were found."""
    many = max(edges.shape)
    style = {"fontsize": min(9.0, 300 / many)}
    axes.set_xticks(
        range(len(columns)), [short(str(network.names[i])) for i in columns], rotation=90, **style
    )
    axes.set_yticks(range(len(rows)), [short(str(network.source_names[i])) for i in rows], **style)
    if network.q_value is not None:
        s, u = np.nonzero(edges[np.ix_(rows, columns)])
        axes.plot(u, s, "o", markersize=min(4.0, 130 / many), markerfacecolor="white",
                  markeredgecolor="black", markeredgewidth=0.5)  # fmt: skip


def _draw_graph(axes: Axes, network: Network, edges: Booleans, names: list[Any]) -> None:
    """Series on a circle, arrows from sources to targets, the stronger the darker."""
    angle = 2 * np.pi * np.arange(len(names)) / len(names)
    place = {name: (np.cos(a), np.sin(a)) for name, a in zip(names, angle, strict=True)}
    strongest = float(np.nanmax(np.where(edges, network.te, np.nan)))
    for s, u in zip(*np.nonzero(edges), strict=True):
        strength = float(network.te[s, u]) / strongest if strongest > 0 else 1.0
        axes.annotate(
            "", place[network.names[u]], place[network.source_names[s]],
            arrowprops={
                "arrowstyle": "-|>", "alpha": 0.25 + 0.75 * strength, "color": OTHERS,
                "linewidth": 0.6 + 1.8 * strength, "shrinkA": 9, "shrinkB": 9,
                "connectionstyle": "arc3,rad=0.12",
            },
        )  # fmt: skip
    for name, (x, y) in place.items():
        axes.plot(x, y, "o", color=SIGNIFICANT, markersize=6)
        side = "center" if abs(x) < 0.3 else "left" if x > 0 else "right"  # away from the arrows
        axes.text(1.08 * x, 1.08 * y, short(str(name)), ha=side, va="center", fontsize=8)
    axes.set_xlim(-1.3, 1.3)
    axes.set_ylim(-1.3, 1.3)
    axes.set_aspect("equal")
    axes.axis("off")
