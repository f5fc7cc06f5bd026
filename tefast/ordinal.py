"""Ordinal patterns: the order of successive values as a symbol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs.kinds import FLOATS, LABELS, ROLES, Taken
from tefast._inputs.layouts import TIMES
from tefast._inputs.numbers import as_float64
from tefast._inputs.sequences import Listed
from tefast._inputs.taking import take, tensor_to_numpy
from tefast._tables.states import check_positive
from tefast.binning import MAX_BINS


def ordinal_patterns(x: Any, order: int = 3, *, step: int = 1, axis: int | None = None) -> Any:
    """The order in which values that follow each other rank, as symbols.

    The symbols do not depend on the range of the values, nor on any rising transformation of them.
    So nothing has to be binned (C. Bandt and B. Pompe, Phys. Rev. Lett. 88, 174102, 2002).

    Parameters
    ----------
    x : array_like, shape (N, T, U), (N, T), (T, U) or (T,)
        A target or a source: floats or integers. Of equal values the earlier one ranks first.
    order : int, default 3
        m, the number of values in a pattern, 2 to 5. There are ``m!`` patterns; pass this number
        on as `bins`.
    step : int, default 1
        The steps from one value of a pattern to the next.
    axis : int, optional
        The axis of time: 1 for (N, T, U) and (N, T), 0 for (T, U) and (T,). Default: 0 for tables
        of pandas and polars, whose rows are steps; the dimension with a name such as "time" for
        xarray; otherwise 1, or 0 for one axis.

    Returns
    -------
    int16 array, shape as `x` with ``T - (m - 1) * step`` steps
        Symbols ``0 .. m! - 1``. Symbol t belongs to the pattern that ends at step
        ``t + (m - 1) * step``. It is 0 where all values rise, and ``m! - 1`` where all fall. If you
        pass `lengths` on, subtract ``(m - 1) * step`` from them.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type, if there are too few steps for a
        pattern, or if values have no rank: NaN, missing values and labels.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> tefast.ordinal_patterns(np.array([1.0, 2.0, 3.0, 1.0, 0.0]), order=3)
    array([0, 3, 5], dtype=int16)
    """
    number, apart = check_positive(order, "order"), check_positive(step, "step")
    if number < 2 or math.factorial(number) > MAX_BINS:
        raise ValueError(f"order must lie in 2 .. 5 (5! = 120 patterns), got {number}")
    given = _numbers(x)
    array = tensor_to_numpy(given.array.cpu()) if hasattr(given.array, "cpu") else given.array
    numbers = as_float64(array, given.dtype) if given.dtype in FLOATS else array
    time = _axis_of_time(given) if axis is None else axis
    if not isinstance(time, int | np.integer) or isinstance(time, bool):
        raise TypeError(f"axis must be an integer, got {axis!r}")
    time = 0 if array.ndim == 1 else time
    if not -array.ndim <= time < array.ndim:
        raise ValueError(f"axis must be one of the {array.ndim} of shape {given.shape}, got {axis}")
    if given.lengths is not None and time % array.ndim != _axis_of_time(given):
        raise ValueError(
            f"sequences of unequal lengths have their steps along another axis: {axis}"
        )
    numbers = np.moveaxis(numbers, time, 0)
    span = (number - 1) * apart
    if len(numbers) <= span:
        raise ValueError(
            f"patterns of {number} values, {apart} apart, take at least {span + 1} steps, got "
            f"{len(numbers)} along axis {time} of shape {given.shape}"
        )
    if given.dtype in FLOATS and np.isnan(numbers).any():
        raise ValueError(f"NaN has no rank, got {int(np.isnan(numbers).sum())} of them")
    found = _lehmer([numbers[i : len(numbers) - span + i] for i in range(0, span + 1, apart)])
    ordered = np.ascontiguousarray(np.moveaxis(found, 0, time))
    return given.kind.back(ordered, tuple(range(ordered.ndim)))


def _numbers(x: Any) -> Taken:
    """Values that have an order."""
    name = ROLES["h"]
    given = take(x, name)
    if len(given.shape) not in (1, 2, 3):
        raise ValueError(
            f"{name} must have shape (N, T, U), (N, T), (T, U) or (T,), got {given.shape}"
        )
    if 0 in given.shape:
        raise ValueError(f"{name} has an empty axis: shape {given.shape}")
    if given.dtype == LABELS:
        raise TypeError(f"{name} holds labels, which have no order of size; pass numbers")
    if given.missing is not None:
        raise ValueError(f"what is missing has no rank, got {int(given.missing.sum())} of them")
    return given


def _axis_of_time(given: Taken) -> int:
    """The axis of steps, by what is known of an input."""
    named = [i for i, dim in enumerate(given.kind.dims) if str(dim).lower() in TIMES]
    if len(named) == 1:
        return named[0]
    if isinstance(given.kind, Listed) and given.lengths is not None:
        return given.kind.time + 1
    return 0 if given.kind.is_frame or len(given.shape) == 1 else 1


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
