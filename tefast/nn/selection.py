"""Which units to remove, given a score for each."""

import math
import operator
from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

K = TypeVar("K", bound=Hashable)


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


def select(
    scores: Mapping[K, Tensor | NDArray[np.generic]],
    *,
    amount: float | None = None,
    above: float | None = None,
    below: float | None = None,
    descending: bool = True,
    scope: Literal["each", "all"] = "each",
    round_to: int = 1,
    keep: int = 1,
) -> dict[K, Tensor]:
    """Select the units to remove from several layers or directions.

    Parameters
    ----------
    scores : mapping to Tensor or array of shape (U,)
        As `layer_scores` gives them, or of several layers under keys of your own.
    amount : float or int, optional
        As in `select_units`, of each layer, or with ``scope="all"`` of all units together.
    above, below : float, optional
        Instead of `amount`: units whose score is greater or less. With false discovery rates as
        scores (`criteria.q_value`), ``above=0.05`` selects what shows no significant transfer.
    descending : bool
        True takes the highest score first, False the lowest first; with `above` the order is
        always descending, with `below` ascending.
    scope : {"each", "all"}
        "all" compares units of all layers with each other.
    round_to : int
        What is left of each layer is a multiple of this, or all of it: fewer are removed then.
    keep : int
        At least so many are left of each layer; with ``scope="all"``, others go instead.

    Returns
    -------
    dict with the keys of `scores` to LongTensor of shape (K,), in the order of removal

    Raises
    ------
    TypeError, ValueError
        As in `select_units`, and unless exactly one of `amount`, `above` and `below` is given.

    Examples
    --------
    >>> scores = {"l0": torch.tensor([0.1, 0.7, 0.3]), "l1": torch.tensor([0.2, 0.0, 0.1])}
    >>> select(scores, amount=2, scope="all")
    {'l0': tensor([1, 2]), 'l1': tensor([], dtype=torch.int64)}
    """
    values = {key: _values(one).double() for key, one in scores.items()}
    _check_ways(amount, above, below, scope)
    round_to, keep = _check_least("round_to", round_to), _check_least("keep", keep)
    descending = above is not None or (descending and below is None)
    most = {key: max(0, len(one) - keep) for key, one in values.items()}
    if amount is None:
        sign, limit = (1.0, above) if above is not None else (-1.0, below)
        assert limit is not None
        wanted = {k: min(most[k], int((sign * v > sign * limit).sum())) for k, v in values.items()}
    elif scope == "each":
        wanted = {key: min(most[key], _count(amount, len(one))) for key, one in values.items()}
    else:
        wanted = _over_all(values, _count(amount, sum(map(len, values.values()))), most, descending)
    chosen = {}
    for key, one in values.items():
        left = min(len(one), -(-(len(one) - wanted[key]) // round_to) * round_to)
        chosen[key] = select_units(one, len(one) - left, descending)
    return chosen


def _over_all(
    values: Mapping[K, Tensor], count: int, most: Mapping[K, int], descending: bool
) -> dict[K, int]:
    """How many of each go when `count` of all go, the extreme ones first."""
    wanted = dict.fromkeys(values, 0)
    if not values:
        return wanted
    owner = [key for key, one in values.items() for _ in range(len(one))]
    joined = torch.cat(list(values.values()))
    for unit in torch.sort(joined, descending=descending, stable=True).indices.tolist():
        if count and wanted[owner[unit]] < most[owner[unit]]:
            wanted[owner[unit]] += 1
            count -= 1
    return wanted


def _check_ways(amount: Any, above: Any, below: Any, scope: str) -> None:
    given = [
        n for n, v in (("amount", amount), ("above", above), ("below", below)) if v is not None
    ]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        raise ValueError(f"expected one of amount, above and below, got {got}")
    for name, limit in (("above", above), ("below", below)):
        if limit is not None and (isinstance(limit, bool) or not -math.inf < limit < math.inf):
            raise ValueError(f"{name}: expected a finite number, got {limit!r}")
    if scope not in ("each", "all"):
        raise ValueError(f"scope: expected 'each' or 'all', got {scope!r}")


def _check_least(name: str, value: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if operator.index(value) < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return operator.index(value)


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
