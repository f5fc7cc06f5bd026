"""Layouts: which axis of an array holds sequences, which steps and which units.

A layout is a string of one letter for each axis, in the order of the caller: N for sequences, T for
steps, U for units.
"""

from __future__ import annotations

from typing import Any

LETTERS = {
    "N": ("sequence", "sequences"),
    "T": ("step", "steps"),
    "U": ("unit", "units"),
}
DEFAULTS = {1: "T", 2: "TU", 3: "NTU"}
"""How a target is read by its number of axes."""
OTHERS = ("NT", "UT", "TU", "TN", "NTU", "NUT", "UNT", "TNU", "UTN", "TUN")
"""Layouts that may have been meant, the likeliest first."""
TIMES = frozenset(("time", "times", "t", "step", "steps", "frame", "frames", "date"))
"""Names of dimensions that hold steps and nothing else."""

Shape = tuple[int, ...]


def check_layout(layout: Any, axes: int, name: str, shape: Shape) -> str:
    """`layout` if it says what each of the axes of an input holds.

    Parameters
    ----------
    layout : object
    axes : int
        How many there are.
    name, shape
        Of the input, for messages.
    """
    if not isinstance(layout, str):
        raise TypeError(f"layout must be a string such as 'NTU', got {layout!r}")
    if not set(layout) <= set(LETTERS) or len(set(layout)) < len(layout) or "T" not in layout:
        raise ValueError(
            "layout has one letter for each axis, N (sequences), T (steps) or U (units), none "
            f"twice and T among them, such as 'NTU' or 'UT'; got {layout!r}"
        )
    if len(layout) != axes:
        raise ValueError(
            f"layout={layout!r} has {len(layout)} letter{'s' * (len(layout) != 1)}, but {name} of "
            f"shape {shape} has {axes} {'axis' if axes == 1 else 'axes'}"
        )
    return layout


def of_series(layout: str) -> str:
    """The layout of one series beside a target."""
    return layout.replace("U", "")


def moved(array: Any, layout: str) -> Any:
    """An array, or a tensor, with the axes (N, T, U): a view.

    An axis that it lacks is there with one position.
    """
    order = [layout.index(letter) for letter in LETTERS if letter in layout]
    placed = array.permute(order) if hasattr(array, "permute") else array.transpose(order)
    return placed[tuple(slice(None) if letter in layout else None for letter in LETTERS)]


def reading(shape: Shape, layout: str) -> str:
    """What a shape was read as, such as ``6 steps of 40 units (layout='TU')``."""
    return f"{_sizes(shape, layout)} (layout={layout!r})"


def _sizes(shape: Shape, layout: str) -> str:
    sizes = dict(zip(layout, shape, strict=True))
    return " of ".join(
        f"{sizes[letter]} {names[sizes[letter] != 1]}"
        for letter, names in LETTERS.items()
        if letter in sizes
    )


def fitting(shape: Shape, used: str, **sizes: int | Shape) -> list[str]:
    """Other layouts under which a shape would fit, the likeliest first.

    Parameters
    ----------
    shape : tuple of int
        That of the target.
    used : str
        The layout that does not.
    **sizes
        ``series``, the shape that a series beside it has; ``steps``, the least number of them;
        ``units`` and ``sequences``, how many there are.
    """
    return [
        layout
        for layout in OTHERS
        if len(layout) == len(shape) and layout != used and _fits(shape, layout, sizes)
    ]


def _fits(shape: Shape, layout: str, sizes: dict[str, Any]) -> bool:
    has = dict(zip(layout, shape, strict=True))
    return (
        sizes.get("series") in (None, tuple(has[letter] for letter in of_series(layout)))
        and has["T"] >= sizes.get("steps", 0)
        and sizes.get("units") in (None, has.get("U", 1))
        and sizes.get("sequences") in (None, has.get("N", 1))
    )


def advice(shape: Shape, layouts: list[str]) -> str:
    """What to pass for a target that was meant to be read by one of these layouts."""
    if not layouts:
        return ""
    some = [f"layout={layout!r} reads it as {_sizes(shape, layout)}" for layout in layouts[:2]]
    text = "; " + ", and ".join(some)
    return text + ("; so does h.T" if layouts[0] == "UT" else "")


def of_source(h: Shape, layout: str, y: Shape) -> str:
    """Why a source of another shape than expected may be so, and what helps; or nothing.

    Parameters
    ----------
    h, y : tuple of int
        Shapes of target and source.
    layout : str
        How the target was read.
    """
    expected = tuple(size for letter, size in zip(layout, h, strict=True) if letter != "U")
    if len(y) in DEFAULTS and "U" in DEFAULTS[len(y)] and h == y[:-1] and y[-1] > 1:
        return (
            "; were they exchanged? The target h comes first, then the source y, and y is one "
            "series"
        )
    if y == (*expected, 1):
        return "; y has an axis too many: y[..., 0] would fit"
    if meant := fitting(h, layout, series=y, steps=2):
        return advice(h, meant[:1])
    if y == expected[::-1]:
        return "; y.T would fit"
    if y == (1, *expected):
        return "; y has an axis too many: y[0] would fit"
    if expected == (1, *y):
        return "; y lacks the axis of sequences: y[None] would fit"
    if layout[0] == "N" and len(expected) == 2 and y == expected[1:]:
        return f"; np.broadcast_to(y, {expected}) is the same source for every sequence"
    if len(y) == 1 and len(expected) == 2 and y[0] == expected[0] * expected[1]:
        return f"; y.reshape{expected} would fit, if one sequence comes after the other"
    if y[:-1] == expected:
        return f"; y is one series, and this holds {y[-1]}: y[..., 0] is the first of them"
    return ""


def check_names(dims: tuple[Any, ...], layout: str, name: str) -> None:
    """Raise a ValueError where an axis is named as steps, but is read as something else."""
    times = [i for i, dim in enumerate(dims) if str(dim).lower() in TIMES]
    if len(times) != 1 or layout[times[0]] == "T":
        return
    what = LETTERS[layout[times[0]]][1]
    meant = [each for each in OTHERS if len(each) == len(dims) and each[times[0]] == "T"]
    raise ValueError(
        f"{name} has the dimensions {dims}, and {dims[times[0]]!r} would be read as {what} "
        f"(layout={layout!r}); axes are taken by position: transpose it, or pass layout, such as "
        f"{' or '.join(map(repr, meant[:2]))}"
    )
