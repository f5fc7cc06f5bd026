"""Ordinal patterns: the order of successive values as a symbol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast import values
from tefast.binning import MAX_BINS, as_float64
from tefast.states import check_positive


def ordinal_patterns(x: Any, order: int = 3, *, step: int = 1, axis: int = 1) -> Any:
    """The order in which values that follow each other rank, as symbols.

    Blind to any rising transformation of the values, and to their range, so nothing has to be
    binned (C. Bandt and B. Pompe, Phys. Rev. Lett. 88, 174102, 2002).

    Parameters
    ----------
    x : array_like, shape (N, T, U), (N, T), (T, U) or (T,)
        A target or a source: floats or integers. Of equal values the earlier one ranks first.
    order : int, default 3
        m, values in a pattern, 2 to 5: there are ``m!`` patterns, which are the `bins` to pass on.
    step : int, default 1
        Steps from one value of a pattern to the next.
    axis : int, default 1
        That of time: 1 for (N, T, U) and (N, T), 0 for (T, U). A series (T,) has no other.

    Returns
    -------
    int16 array, shape as `x` with ``T - (m - 1) * step`` steps
        Symbols ``0 .. m! - 1``; symbol t belongs to the pattern that ends at step
        ``t + (m - 1) * step``. 0 where all values rise, ``m! - 1`` where all fall. Sequences with
        `lengths` are shorter by as much.

    Raises
    ------
    ValueError, TypeError
        Also for NaN, which has no rank.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> tefast.ordinal_patterns(np.array([1.0, 2.0, 3.0, 1.0, 0.0]), order=3)
    array([0, 3, 5], dtype=int16)
    """
    number, apart = check_positive(order, "order"), check_positive(step, "step")
    if number < 2 or math.factorial(number) > MAX_BINS:
        raise ValueError(f"order must lie in 2 .. 5 (5! = 120 patterns), got {number}")
    given = values.target(x)
    array = given.on_host().array.reshape(given.shape)
    numbers = array if given.is_symbols else as_float64(array, given.dtype)
    time = 0 if array.ndim == 1 else axis
    if not isinstance(time, int | np.integer) or isinstance(time, bool):
        raise TypeError(f"axis must be an integer, got {axis!r}")
    if not -array.ndim <= time < array.ndim:
        raise ValueError(f"axis must be one of the {array.ndim} of shape {given.shape}, got {axis}")
    numbers = np.moveaxis(numbers, time, 0)
    span = (number - 1) * apart
    if len(numbers) <= span:
        raise ValueError(
            f"patterns of {number} values, {apart} apart, take at least {span + 1} steps, got "
            f"{len(numbers)} along axis {axis} of shape {given.shape}"
        )
    if not given.is_symbols and np.isnan(numbers).any():
        raise ValueError(f"NaN has no rank, got {int(np.isnan(numbers).sum())} of them")
    found = _lehmer([numbers[i : len(numbers) - span + i] for i in range(0, span + 1, apart)])
    return given.wrap(np.ascontiguousarray(np.moveaxis(found, 0, time)))


def _lehmer(window: list[npt.NDArray[Any]]) -> npt.NDArray[np.int16]:
    """For every pattern how many later values lie below each, as digits of one number."""
    number = len(window)
    found = np.zeros(window[0].shape, np.int16)
    for i in range(number - 1):
        below = np.zeros(found.shape, np.int16)
        for later in window[i + 1 :]:
            below += later < window[i]
        found = found * np.int16(number - i) + below
    return found
