"""Units by the scores of several layers, and how many of each may go."""

import math
import operator
from collections.abc import Hashable, Mapping
from fractions import Fraction
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tefast._support.warn import warn

K = TypeVar("K", bound=Hashable)

_SHARE = 0.5
"""Of the share of all units that is left, what is left of each layer at least."""
_FEW = 0.1
"""A share of a layer that is worth a warning."""


class Choice(Generic[K]):
    """Units by the scores of several layers, and how many of each may go.

    Parameters
    ----------
    scores, descending, scope, round_to, keep
        As in `select`.
    threshold : bool
        Whether it is a limit for scores that says how many go.
    equal : bool
        As in `select`.
    before : mapping to int, optional
        Of how many units each layer had, shares are; by default those that it has.
    """

    def __init__(
        self,
        scores: Mapping[K, Tensor | NDArray[np.generic]],
        descending: bool,
        scope: str = "each",
        round_to: int = 1,
        keep: Any = None,
        *,
        threshold: bool = False,
        equal: bool = False,
        before: Mapping[K, int] | None = None,
    ) -> None:
        self.values = {key: _values(one).double() for key, one in scores.items()}
        self.descending, self.scope, self.threshold = descending, scope, threshold
        self.equal = equal
        self.round_to = _check_least("round_to", round_to)
        self.before = before or {key: len(one) for key, one in self.values.items()}
        self.total = sum(map(len, self.values.values()))
        self.unsaid = keep is None
        self.least = {key: _least(keep, key, self.before[key]) for key in self.values}

    def amount(self, amount: float) -> dict[K, Tensor]:
        """Return an amount of each layer, or of all together."""
        if self.scope == "all":
            return self.of_all(count_of(amount, self.total))
        return self.each({key: count_of(amount, len(one)) for key, one in self.values.items()})

    def each(self, counts: Mapping[K, int]) -> dict[K, Tensor]:
        """Return so many of each layer, if they may go."""
        most = self._most(0)
        return self._first({key: min(most[key], count) for key, count in counts.items()})

    def beyond(self, limit: float) -> dict[K, Tensor]:
        """Return those whose score is beyond a limit."""
        sign = 1.0 if self.descending else -1.0
        chosen = self.each(
            {key: int((sign * one > sign * limit).sum()) for key, one in self.values.items()}
        )
        for key, one in self.values.items():
            left = len(one) - len(chosen[key])
            if self.unsaid and left < _FEW * len(one):
                warn(
                    f"scores[{key!r}]: {left} of {len(one)} units are left, since the scores of "
                    "the others are beyond the limit; keep= says how many are to be left at least"
                )
        return chosen

    def of_all(self, count: int) -> dict[K, Tensor]:
        """Return so many of all by their scores, if they may go."""
        most = self._most(count)
        wanted = dict.fromkeys(self.values, 0)
        if not wanted:
            return {}
        owner = [key for key, one in self.values.items() for _ in range(len(one))]
        joined = torch.cat(list(self.values.values()))
        for unit in _sorted(joined, self.descending).tolist():
            if count and wanted[owner[unit]] < most[owner[unit]]:
                wanted[owner[unit]] += 1
                count -= 1
        return self._first(wanted)

    @property
    def levels(self) -> int:
        """How often a little more can go, up to all: see `level`."""
        return self.total if self.scope == "all" else len(self._fractions)

    def level(self, level: int) -> dict[K, Tensor]:
        """Return the next unit of all together, so many times; or the next fraction of each layer.

        Layers of equal size lose as many units of each.
        """
        if self.scope == "all":
            return self.of_all(level)
        fraction = self._fractions[level - 1] if level else Fraction(0)
        return self.each({key: int(fraction * len(one)) for key, one in self.values.items()})

    @cached_property
    def _fractions(self) -> list[Fraction]:
        """Of its layer, what can be gone: ascending."""
        sizes = {len(one) for one in self.values.values()}
        return sorted({Fraction(gone, size) for size in sizes for gone in range(1, size + 1)})

    def warn_of_ties(self, chosen: Mapping[K, Tensor]) -> None:
        """Warn where scores do not say which units go, by name."""
        for key, one in self.values.items():
            _warn_of_ties(one, chosen[key], f"scores[{key!r}]")

    def _most(self, count: int) -> dict[K, int]:
        """How many of each may go where `count` of all do."""
        least = self.least
        if self.unsaid and self.scope == "all" and not self.threshold and self.total:
            left = _SHARE * (self.total - count) / sum(self.before.values())
            least = {key: max(1, math.ceil(left * n - 1e-9)) for key, n in self.before.items()}
        return {key: max(0, len(one) - least[key]) for key, one in self.values.items()}

    def _first(self, wanted: Mapping[K, int]) -> dict[K, Tensor]:
        left = {key: len(one) - wanted[key] for key, one in self.values.items()}
        for keys in self._alike() if self.equal else ():
            mean = -(-sum(left[key] for key in keys) // len(keys))
            same = max(left[key] for key in keys) if self.threshold else mean
            same = max(same, *(self.least[key] for key in keys))
            left |= dict.fromkeys(keys, min(same, *(len(self.values[key]) for key in keys)))
        chosen = {}
        for key, one in self.values.items():
            rounded = -(-left[key] // self.round_to) * self.round_to
            chosen[key] = _sorted(one, self.descending)[: max(0, len(one) - rounded)]
        return chosen

    def _alike(self) -> list[list[K]]:
        """Which layers and directions are to be left with equally many units."""
        found: dict[Any, list[K]] = {}
        for key in self.values:
            named = isinstance(key, tuple) and isinstance(key[0], str)
            found.setdefault(key[0] if named else None, []).append(key)  # type: ignore[index]
        return list(found.values())


def _sorted(values: Tensor, descending: bool) -> Tensor:
    return torch.sort(values, descending=descending, stable=True).indices


def _warn_of_ties(values: Tensor, chosen: Tensor, name: str) -> None:
    """Warn if most of a choice is by number, since scores are equal."""
    if not 0 < len(chosen) < len(values):
        return
    tied = values == values[chosen[-1]]
    among = int(tied[chosen].sum())
    if int(tied.sum()) > among and 2 * among > len(chosen):
        warn(
            f"{name}: {int(tied.sum())} of {len(values)} are equal "
            f"({values[chosen[-1]].item():g}), and {among} of the {len(chosen)} units chosen are "
            "the first of these: the scores do not say which units are to go"
        )


def _least(keep: Any, key: Any, units: int) -> int:
    """How many of a layer are left at least."""
    if keep is None:
        return 1
    if isinstance(keep, Mapping):
        if key not in keep:
            raise ValueError(f"keep: expected the keys of scores, {key!r} is missing")
        return _check_least("keep", keep[key])
    if isinstance(keep, float | np.floating):
        if not 0.0 <= keep <= 1.0:
            raise ValueError(f"keep: expected a share in [0, 1], got {keep}")
        return max(1, math.ceil(Fraction(repr(float(keep))) * units))
    return _check_least("keep", keep)


def _check_least(name: str, value: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if operator.index(value) < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return operator.index(value)


def _values(scores: Tensor | NDArray[np.generic]) -> Tensor:
    if not isinstance(scores, Tensor | np.ndarray):
        hint = "; select takes those of several layers" if isinstance(scores, Mapping) else ""
        raise TypeError(f"scores: expected a tensor or an array, got {type(scores).__name__}{hint}")
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


def count_of(amount: float, units: int) -> int:
    """Return how many of so many units an amount is: a fraction of them, or a number."""
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
