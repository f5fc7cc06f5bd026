"""Draws docs/shapes.png: how arrays of one, two and three axes are read.

python docs/shapes.py
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

PICTURE = Path(__file__).with_suffix(".png")
SIZES = {"N": 3, "T": 6, "U": 4}
NAMES = {"N": "sequences", "T": "steps", "U": "units"}
LENGTHS = (6, 3, 5)
# Okabe and Ito's palette; one unit of one sequence is blue, and one of its transitions orange.
UNIT, MOVE, OTHER, EDGE = "#A9D3EE", "#E69F00", "#F4F4F4", "#777777"
DEPTH = (0.55, 0.42)
"""How far each layer of the first of three axes lies to the right of the one before, and above."""

PANELS = (
    ("T", "one series"),
    ("TU", "the default of two axes"),
    ("UT", "channels in the first axis"),
    ("NT", "trials in the first axis"),
    ("NTU", "the default of three axes"),
    ("NUT", "channels before time"),
    ("UNT", "a table of trials for each channel"),
    ("list", "sequences of unequal lengths"),
)


def draw() -> Figure:
    """All panels."""
    figure = Figure(figsize=(11.5, 7.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (layout, what) in zip(figure.subplots(2, 4).flat, PANELS, strict=True):
        shape = _draw_list(axes) if layout == "list" else _draw_array(axes, layout)
        name = "a list" if layout == "list" else f'layout="{layout}"'
        axes.set_title(f"{name}\n{what}", fontsize=10.5)
        result = "scores (4,)" if "U" in layout or layout == "list" else "score: a scalar"
        axes.text(0.5, 0.0, f"h {shape}\ny {_source(layout)}\n{result}", fontsize=9,
                  transform=axes.transAxes, ha="center", va="top", family="monospace")  # fmt: skip
        axes.set_aspect("equal")
        axes.axis("off")
    return figure


def _source(layout: str) -> str:
    if layout == "list":
        return "[(6,), (3,), (5,)]"
    return str(tuple(SIZES[letter] for letter in layout if letter != "U"))


def _draw_array(axes: Axes, layout: str) -> str:
    *first, down, right = ("", "", *layout)[-3:]
    layers = SIZES.get(first[0], 1) if first else 1
    rows, columns = SIZES.get(down, 1), SIZES[right]
    for layer in reversed(range(layers)):
        x, y = layer * DEPTH[0], layer * DEPTH[1]
        for row in range(rows):
            for column in range(columns):
                place = dict(zip((*first, down, right), (layer, row, column), strict=True))
                _cell(axes, x + column, y - row, place.get("N", 0), place["T"], place.get("U", 0))
    _arrow(axes, (0, -rows - 0.25), (columns, -rows - 0.25), right, (columns / 2, -rows - 0.8))
    if down:
        _arrow(axes, (-0.3, 0), (-0.3, -rows), down, (-0.75, -rows / 2), rotation=90)
    if first[0]:
        end = ((layers - 1) * DEPTH[0] - 0.3, (layers - 1) * DEPTH[1] + 0.25)
        _arrow(
            axes, (-0.3, 0.25), end, first[0], (end[0] / 2 - 0.6, end[1] / 2 + 0.55), rotation=37
        )
    _frame(axes, columns + (layers - 1) * DEPTH[0])
    return str(tuple(SIZES[letter] for letter in layout))


def _draw_list(axes: Axes) -> str:
    side, left = 0.66, 0.0
    for n, steps in enumerate(LENGTHS):
        for step in range(steps):
            for unit in range(SIZES["U"]):
                _cell(axes, left + side * unit, -side * step, n, step, unit, side)
        axes.text(left + 2 * side, 0.25, f"h[{n}]", fontsize=8.5, ha="center")
        left += side * SIZES["U"] + 0.45
    bottom, width = -side * SIZES["T"], side * SIZES["U"]
    _arrow(axes, (-0.3, 0), (-0.3, bottom), "T", (-0.75, bottom / 2), rotation=90)
    _arrow(axes, (0, bottom - 0.25), (width, bottom - 0.25), "U", (width / 2, bottom - 0.8))
    _frame(axes, left - 0.45)
    return "[(6, 4), (3, 4), (5, 4)]"


def _frame(axes: Axes, width: float) -> None:
    """The same extent for every panel, with what is so wide in the middle."""
    axes.set_xlim(width / 2 - 5.2, width / 2 + 4.8)
    axes.set_ylim(-7.6, 2.2)


def _cell(axes: Axes, x: float, y: float, n: int, t: int, u: int, side: float = 1.0) -> None:
    """A value: blue in the first unit of the first sequence, orange where one transition is."""
    mine = n == 0 and u == 0
    color = MOVE if mine and t in (2, 3) else UNIT if mine else OTHER
    axes.add_patch(Rectangle((x, y - side), side, side, facecolor=color, edgecolor=EDGE, lw=0.7))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], letter: str,
           label: tuple[float, float], rotation: float = 0) -> None:  # fmt: skip
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "black", "lw": 1.1})
    axes.text(*label, f"{letter} {NAMES[letter]}", ha="center", va="center", fontsize=8.5,
              rotation=rotation)  # fmt: skip


if __name__ == "__main__":
    draw().savefig(PICTURE)
    print(f"wrote {PICTURE}")
