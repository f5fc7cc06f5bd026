"""Which units to remove, given a score for each."""

import math
import operator
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def select_units(
    scores: Tensor | NDArray[np.generic], amount: float, descending: bool = True
) -> Tensor:
    """Select the units to remove, in the order of removal.

    Parameters
    ----------
    scores : Tensor or array of shape (U,)
        One real score a unit. Infinities are allowed, NaN is not.
    amount : float or int
        How many to select, as in ``torch.nn.utils.prune``: a float in [0, 1] is a fraction of
        the units, rounded to the nearest count (a half is rounded up); an int in 0..U is a count.
    descending : bool
        True removes the highest score first, False the lowest first. Of units with equal
        scores, the one with the lower index goes first, in both orders.

    Returns
    -------
    LongTensor of shape (K,), on the CPU

    Raises
    ------
    TypeError
        If `scores` is not a real tensor or array, or `amount` is a bool or no number.
    ValueError
        If `scores` is not of shape (U,) or has a NaN, or `amount` is out of its range.

    Examples
    --------
    >>> select_units(torch.tensor([0.1, 0.7, 0.3, 0.7]), 0.5)
    tensor([1, 3])
    """
    values = _values(scores)
    count = _count(amount, len(values))
    return torch.sort(values, descending=descending, stable=True).indices[:count]


def _values(scores: Tensor | NDArray[np.generic]) -> Tensor:
    if not isinstance(scores, Tensor | np.ndarray):
        raise TypeError(f"scores: expected a tensor or an array, got {type(scores).__name__}")
    if isinstance(scores, np.ndarray):
        if scores.dtype.kind not in "iuf":
            raise TypeError(f"scores: expected real numbers, got {scores.dtype}")
        # Torch takes neither a reversed view nor another byte order.
        values = torch.from_numpy(np.ascontiguousarray(scores, dtype=np.float64))
    else:
        values = scores.detach().cpu()
    if values.dtype == torch.bool or values.is_complex():
        raise TypeError(f"scores: expected real numbers, got {scores.dtype}")
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"scores: expected shape (U,), got {tuple(values.shape)}")
    missing = values.isnan()
    if missing.any():
        first = int(missing.nonzero()[0, 0])
        raise ValueError(f"scores: {int(missing.sum())} of {len(values)} NaN, first at {first}")
    return values


def _count(amount: float, units: int) -> int:
    if isinstance(amount, bool | np.bool_):
        raise TypeError("amount: expected a float fraction or an int count, got a bool")
    if isinstance(amount, float | np.floating):
        if not 0.0 <= amount <= 1.0:
            raise ValueError(f"amount: expected a fraction in [0, 1], got {amount}")
        # As written in decimal: the double nearest to 0.285 would make 28.4999... of 100 units.
        return math.floor(Fraction(repr(float(amount))) * units + Fraction(1, 2))
    try:
        count = operator.index(amount)
    except TypeError:
        raise TypeError(
            f"amount: expected a float fraction or an int count, got {type(amount).__name__}"
        ) from None
    if not 0 <= count <= units:
        raise ValueError(f"amount: expected a count in 0..{units}, got {count}")
    return count
