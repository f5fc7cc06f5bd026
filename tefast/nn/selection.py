"""Which units to remove, given a score for each."""

import math
import operator
from collections.abc import Hashable, Mapping
from fractions import Fraction
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tefast._support.warn import warn
from tefast.nn.layer_scores import LayerScores

K = TypeVar("K", bound=Hashable)

_SHARE = 0.5
"""Of the share of all units that is left, what is left of each layer at least."""
_FEW = 0.1
"""A share of a layer that is worth a warning."""


def select_units(
    scores: Tensor | NDArray[np.generic], amount: float, *, descending: bool
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

    Warns
    -----
    RuntimeWarning
        If most of the units selected go by their index, since scores are equal.

    Examples
    --------
    >>> select_units(torch.tensor([0.1, 0.7, 0.3, 0.7]), 0.5, descending=True)
    tensor([1, 3])
    """
    values = _values(scores)
    chosen = _sorted(values, descending)[: _count(amount, len(values))]
    _warn_of_ties(values, chosen, "scores")
    return chosen


def tied_scores(
    scores: Mapping[K, Tensor | NDArray[np.generic]],
    *others: Mapping[K, Tensor | NDArray[np.generic]],
    directions: bool = False,
) -> LayerScores[K]:
    """Make one score of those of units that can only go together.

    A decoder that starts from an encoder's state, layers with a residual between them, and
    directions that are summed lose the same units. `select` chooses the same ones where the scores
    are the same. `prune` takes the other layers as `tied`.

    Parameters
    ----------
    scores : mapping to Tensor or array of shape (U,)
        Of the layer that `prune` is given, as `score` gives them.
    *others : such mappings
        Of the layers that are tied to it. They may lack keys, and have no other ones: the scores of
        a decoder that starts from the last layer's state are ``{(1, 0): scores_of_it[0, 0]}``.
    directions : bool
        Whether units of both directions of a layer also go together. Keys are (layer, direction).

    Returns
    -------
    LayerScores
        With the keys of `scores` to float64 Tensor of shape (U,), means over what goes together.

    Raises
    ------
    TypeError, ValueError
        If there are keys that `scores` lacks, or scores of other shapes.

    Examples
    --------
    >>> tied_scores({"l0": torch.tensor([1.0, 4.0])}, {"l0": torch.tensor([2.0, 0.0])})
    {'l0': tensor([1.5000, 2.0000], dtype=torch.float64)}
    """
    for one in (scores, *others):
        if not isinstance(one, Mapping):
            raise TypeError(f"scores: expected mappings to scores, got {type(one).__name__}")
        if strange := [key for key in one if key not in scores]:
            raise ValueError(f"scores: expected keys from {list(scores)}, got {strange[0]!r}")
    together: dict[Any, list[Tensor]] = {}
    for key in scores:
        if directions and not (isinstance(key, tuple) and len(key) == 2):
            raise ValueError(f"scores: expected keys (layer, direction), got {key!r}")
        own = together.setdefault(key[0] if directions else key, [])  # type: ignore[index]
        own += [_values(one[key]).double() for one in (scores, *others) if key in one]
        if len({len(one) for one in own}) > 1:
            sizes = " and ".join(str(len(one)) for one in own)
            raise ValueError(f"scores[{key!r}]: expected as many units of each, got {sizes}")
    means = {key: torch.stack(each).mean(0) for key, each in together.items()}
    found = {key: means[key[0] if directions else key].clone() for key in scores}  # type: ignore[index]
    orders = {getattr(one, "descending", None) for one in (scores, *others)}
    return LayerScores.of(found, orders.pop() if len(orders) == 1 else None)


def select(
    scores: Mapping[K, Tensor | NDArray[np.generic]],
    *,
    amount: float | None = None,
    above: float | None = None,
    below: float | None = None,
    parameters: float | None = None,
    operations: float | None = None,
    bytes: float | None = None,
    descending: bool | None = None,
    scope: Literal["each", "all"] = "each",
    round_to: int = 1,
    keep: float | Mapping[K, int] | None = None,
    equal: bool = False,
    model: nn.Module | None = None,
    rnn: str | None = "rnn",
    consumers: Any = None,
    example: Any = None,
    pruning: Mapping[str, Any] | None = None,
) -> dict[K, Tensor]:
    """Select the units to remove from several layers or directions.

    Parameters
    ----------
    scores : mapping to Tensor or array of shape (U,)
        As `score` gives them, or of several layers under keys of your own.
    amount : float or int, optional
        As in `select_units`, of each layer, or with ``scope="all"`` of all units together.
    above, below : float, optional
        Instead of `amount`: units whose score is greater or less. With false discovery rates as
        scores (`criteria.q_value`), ``above=0.05`` selects what shows no significant transfer.
    parameters, operations, bytes : float or int, optional
        Instead of `amount`: what the whole model may have left of them, a float as a fraction of
        what it has now, an int as a number. As few units as possible go: with ``scope="all"`` one
        less, and the model would be larger; with "each", where an equal fraction of each layer
        goes, one less of the layers of a size. Operations are multiplications and additions of the
        matrix products and convolutions of a run on `example`, bytes those of parameters and
        buffers.
    descending : bool, optional
        True takes the highest score first, False the lowest first. By default what the criterion
        of the scores says, as `score` keeps it: the highest first of transfer entropy from the
        series, as in the study that it comes from, and of false discovery rates, the lowest first
        of all others. Scores that do not say it need it. With `above` the order is always
        descending, with `below` ascending. Of units with equal scores, the one with the
        lower index goes first, and with ``scope="all"`` those of the layer that comes first in
        `scores`.
    scope : {"each", "all"}
        "all" compares units of all layers with each other.
    round_to : int
        What is left of each layer is a multiple of this, or all of it: fewer are removed then.
    keep : int, float or mapping to int, optional
        At least so many are left of each layer, or such a share of it; with ``scope="all"``, others
        go instead. By default 1; with ``scope="all"``, half of the share that is left of all
        layers together, since scores of different layers are on one scale only roughly, and a layer
        of a few units is a bottleneck.
    equal : bool
        As many are left of each layer and direction, as PyTorch's own classes have them, and as
        code needs that takes two halves of the outputs or all states in one tensor. Their number is
        the mean, rounded up, or with `above` and `below` the largest. Where keys are (name of a
        layer, part), it is equal within each name.
    model, rnn, consumers, example, pruning
        For a budget: the model, the layer whose parts the keys of `scores` are, and as in
        `prune_in_steps`. With ``rnn=None`` keys are (name of the layer, part).

    Returns
    -------
    dict with the keys of `scores` to LongTensor of shape (K,), in the order of removal

    Raises
    ------
    TypeError, ValueError
        As in `select_units`, and unless exactly one of `amount`, `above`, `below` and the budgets
        is given; also if a budget cannot be kept, and as in `prune`.

    Warns
    -----
    RuntimeWarning
        If most of the units selected from a layer go by their index, since scores are equal, or if
        a threshold leaves less than a tenth of a layer and `keep` is not given.

    Examples
    --------
    >>> scores = {"l0": torch.tensor([0.1, 0.7, 0.3]), "l1": torch.tensor([0.2, 0.0, 0.1])}
    >>> select(scores, amount=2, scope="all", descending=True)
    {'l0': tensor([1, 2]), 'l1': tensor([], dtype=torch.int64)}
    """
    if not isinstance(scores, Mapping):
        advice = "score takes it" if callable(scores) else "select_units takes one layer's"
        raise TypeError(
            "scores: expected a mapping to scores, as score gives, got "
            f"{type(scores).__name__}; {advice}"
        )
    limits = {"parameters": parameters, "operations": operations, "bytes": bytes}
    way, limit = check_ways({"amount": amount, "above": above, "below": below, **limits}, scope)
    first = way == "above" if way in ("above", "below") else _order(scores, descending)
    choice = Choice(
        scores, first, scope, round_to,
        keep, threshold=way in ("above", "below"), equal=equal,
    )  # fmt: skip
    if choice.threshold:
        chosen = choice.beyond(limit)
    elif way == "amount":
        chosen = choice.amount(limit)
    else:
        from tefast.nn.budget import Budget  # which removes units, and so stands to the right

        budget = Budget(way, limit, model, rnn, consumers, example, pruning)
        chosen = budget.within(choice.level, choice.levels)
    choice.warn_of_ties(chosen)
    return chosen


def _order(scores: Mapping[K, Any], descending: bool | None) -> bool:
    """Whether the highest scores go first."""
    found = getattr(scores, "descending", None) if descending is None else descending
    if not isinstance(found, bool):
        raise ValueError(
            "descending: expected True, to take the highest scores first, or False, for the "
            f"lowest, got {found!r}; these scores do not say which of them go first"
        )
    return found


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
            return self.of_all(_count(amount, self.total))
        return self.each({key: _count(amount, len(one)) for key, one in self.values.items()})

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


def check_ways(given: Mapping[str, Any], scope: str) -> tuple[str, Any]:
    """Return the only one of several arguments that is given, and its value."""
    ways = [name for name, value in given.items() if value is not None]
    if len(ways) != 1:
        names = list(given)
        raise ValueError(
            f"expected one of {', '.join(names[:-1])} and {names[-1]}, got "
            f"{' and '.join(ways) or 'none'}"
        )
    way, limit = ways[0], given[ways[0]]
    if way in ("above", "below") and (isinstance(limit, bool) or not -math.inf < limit < math.inf):
        raise ValueError(f"{way}: expected a finite number, got {limit!r}")
    if scope not in ("each", "all"):
        raise ValueError(f"scope: expected 'each' or 'all', got {scope!r}")
    return way, limit


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
