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
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("plot needs matplotlib: pip install matplotlib") from error

if TYPE_CHECKING:
    from tefast.networks import Network

SMALL = 30
"""Series up to which the graph is drawn, and all of them named."""
DRAWN = 90
"""Edges up to which the graph is drawn."""
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
    edges = network.edges(q) if edges is None else edges
    names = list(dict.fromkeys([*network.names, *network.source_names]))
    with_graph = len(names) <= SMALL and 0 < edges.sum() <= DRAWN
    drawn = Figure(figsize=(12.5 if with_graph else 7.0, 6.0), dpi=110, layout="constrained")
    FigureCanvasAgg(drawn)
    drawn.suptitle(title)
    axes = drawn.add_subplot(1, 2 if with_graph else 1, 1)
    _draw_matrix(axes, network, edges)
    if with_graph:
        _draw_graph(drawn.add_subplot(1, 2, 2), network, edges, names)
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


def _draw_matrix(axes: Axes, network: Network, edges: Booleans) -> None:
    te = np.asarray(network.te)
    rows, columns = np.arange(te.shape[0]), np.arange(te.shape[1])
    if network.source_names == network.names and len(te) > 2:
        rows = columns = order_of(te)
    shown = te[np.ix_(rows, columns)]
    known = shown[~np.isnan(shown)]
    # A few strong pairs would leave all others dark.
    most = float(np.quantile(known, 0.995)) if known.size else 1.0
    axes.set_facecolor("#dddddd")  # seen where there is no value
    image = axes.imshow(shown, cmap=COLORMAP, vmin=0, vmax=most or 1.0, interpolation="nearest")
    unit = unit_name(network.base)
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label=f"transfer entropy [{unit}]",
                         extend="max")  # fmt: skip
    axes.set_xlabel("target")
    axes.set_ylabel("source")
    if max(te.shape) <= SMALL:
        axes.set_xticks(range(len(columns)), [str(network.names[i]) for i in columns], rotation=90)
        axes.set_yticks(range(len(rows)), [str(network.source_names[i]) for i in rows])
        if network.q_value is not None:
            s, u = np.nonzero(edges[np.ix_(rows, columns)])
            axes.plot(u, s, "o", markersize=4, markerfacecolor="none", markeredgecolor="white")
    what = f"{int(edges.sum())} edges"
    axes.set_title(what if network.q_value is None else f"{what}, marked" if max(te.shape) <= SMALL
                   else f"{what} at q < {network.alpha:g}", fontsize=10)  # fmt: skip


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
                "arrowstyle": "-|>", "alpha": 0.25 + 0.75 * strength, "color": "#0072B2",
                "linewidth": 0.6 + 1.8 * strength, "shrinkA": 9, "shrinkB": 9,
                "connectionstyle": "arc3,rad=0.12",
            },
        )  # fmt: skip
    for name, (x, y) in place.items():
        axes.plot(x, y, "o", color="#D55E00", markersize=6)
        axes.text(1.12 * x, 1.12 * y, str(name), ha="center", va="center", fontsize=8)
    axes.set_xlim(-1.3, 1.3)
    axes.set_ylim(-1.3, 1.3)
    axes.set_aspect("equal")
    axes.axis("off")
