"""Spike times as series of symbols: whether there is a spike in a bin of time, or how many."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._support.memory import check_copy

MOST = 127
"""Spikes of a bin that a count can hold."""


def bin_spikes(
    trains: Iterable[Any],
    width: float,
    start: float | None = None,
    stop: float | None = None,
    *,
    counts: bool = False,
) -> npt.NDArray[np.int8]:
    """Bin spike times into steps of equal width.

    Parameters
    ----------
    trains : iterable of array_like, or of ``neo.SpikeTrain``
        The spike times of each cell, in any order. Trains with ``t_start`` and ``t_stop``, such as
        those of Neo, say themselves where they begin and end, and in which unit their times are;
        `width`, `start` and `stop` are then numbers in that unit, or quantities.
    width : float
        The width of a bin, in the unit of the times.
    start, stop : float, optional
        Where the first bin begins, and where the last ends at the latest: a bin that would reach
        beyond `stop` is left out. Default: those of the trains, or 0 and the last spike.
    counts : bool, default False
        Give the number of spikes of each bin. Default: 1 where there is one or more.

    Returns
    -------
    ndarray of int8, shape (T, cells)
        For `tefast.pairwise_transfer_entropy` with ``bins=2``, or one more than the largest count.

    Raises
    ------
    TypeError, ValueError
        If there is no train, a time is not finite, `width` is not above 0, there is no whole bin
        between `start` and `stop`, or a bin has more than 127 spikes.

    Notes
    -----
    Bin t holds the times in ``[start + t width, start + (t + 1) width)``.

    Examples
    --------
    >>> import tefast
    >>> tefast.bin_spikes([[0.1, 0.4, 0.45], [0.25]], width=0.1, start=0, stop=0.5).T
    array([[0, 1, 0, 0, 1],
           [0, 0, 1, 0, 0]], dtype=int8)
    """
    given = list(trains)
    if not given:
        raise ValueError("trains: expected the spike times of one cell or more, got none")
    times = [_times(train, i) for i, train in enumerate(given)]
    each = _number(width, given[0], "width")
    if not (math.isfinite(each) and each > 0):
        raise ValueError(f"width: expected a finite number above 0, got {width}")
    first = _edge(start, given, "t_start", min, 0.0, "start")
    last = _edge(stop, given, "t_stop", max, max((t.max() for t in times if t.size), default=0.0),
                 "stop")  # fmt: skip
    # A stop that is a whole number of bins may fall short of it by rounding.
    steps = math.floor((last - first) / each * (1 + 2**-40)) if last > first else 0
    if steps < 1:
        raise ValueError(
            f"start, stop: expected a whole bin of width {each:g} between them, got {first:g} and "
            f"{last:g}"
        )
    check_copy(steps * len(times), f"{len(times)} trains of {steps} bins", "use wider bins")
    out = np.zeros((steps, len(times)), np.int8)
    for cell, at in enumerate(times):
        place = np.floor((at - first) / each)
        inside = place[(place >= 0) & (place < steps)].astype(np.int64)
        found, many = np.unique(inside, return_counts=True)
        if counts and many.size and many.max() > MOST:
            raise ValueError(
                f"trains[{cell}]: expected at most {MOST} spikes in a bin, got {many.max()}; use "
                "narrower bins"
            )
        out[found, cell] = many if counts else 1
    return out


def _times(train: Any, cell: int) -> npt.NDArray[np.float64]:
    """The times of a train, in its own unit."""
    try:
        times = np.asarray(getattr(train, "magnitude", train), dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise TypeError(
            f"trains[{cell}]: expected spike times, got {type(train).__name__}"
        ) from None
    if not np.isfinite(times).all():
        raise ValueError(f"trains[{cell}]: expected finite times, got NaN or infinity")
    return times


def _number(value: Any, train: Any, name: str) -> float:
    """A number, or a quantity in the unit of the trains."""
    if hasattr(value, "rescale") and hasattr(train, "units"):
        value = value.rescale(train.units)
    try:
        return float(getattr(value, "magnitude", value))
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, got {value!r}") from None


def _edge(
    given: Any, trains: list[Any], attribute: str, choose: Any, default: float, name: str
) -> float:
    """Where bins begin or end: as given, as the trains say, or the default."""
    if given is not None:
        found = _number(given, trains[0], name)
    elif all(hasattr(train, attribute) for train in trains):
        found = choose(_number(getattr(train, attribute), trains[0], name) for train in trains)
    else:
        found = float(default)
    if not math.isfinite(found):
        raise ValueError(f"{name}: expected a finite number, got {found}")
    return found
