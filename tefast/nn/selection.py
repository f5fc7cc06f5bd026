"""Which units to remove, given a score for each."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tefast.nn.choice import Choice, K, _sorted, _values, _warn_of_ties, count_of
from tefast.nn.layer_scores import LayerScores


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
    chosen = _sorted(values, descending)[: count_of(amount, len(values))]
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
        How many units of each layer must stay, as a number or as a share of the layer. With
        ``scope="all"`` units of other layers are removed instead. The default is 1. With
        ``scope="all"`` it is half of the share that stays of all layers together, since scores of
        different layers are only roughly on one scale, and a layer of a few units is a bottleneck.
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
