"""Which units to remove, given a score for each."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tefast.nn._parameters import documented
from tefast.nn.choice import Choice, K, _sorted, _values, _warn_of_ties, count_of
from tefast.nn.layer_scores import LayerScores


@documented
def select_units(
    scores: Tensor | NDArray[np.generic], amount: float, *, descending: bool
) -> Tensor:
    """Select the units to remove, in the order of removal.

    Parameters
    ----------
    scores : Tensor or array of shape (U,)
        One real score for each unit. Infinities are allowed, NaN is not.
    amount : float or int
        How many units are selected. A float in [0, 1] is a fraction of the units, rounded to the
        nearest number; a half is rounded up. An int in 0..U is a number of units.
    {descending}

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
        If most of the selected units have equal scores, so that only their index decides.

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
    """Combine the scores of units that can only be removed together.

    A decoder that starts from an encoder's state, layers with a residual between them, and
    directions that are summed must lose the same units. `select` chooses the same units if the
    scores are the same. `prune` takes the other layers as `tied`.

    Parameters
    ----------
    scores : mapping to Tensor or array of shape (U,)
        The scores of the layer that `prune` is given, as `score` returns them.
    *others : mappings to Tensor or array of shape (U,)
        The scores of the layers that are tied to it. They may lack keys of `scores`, but may have
        no other keys. The scores of a decoder that starts from the state of the last layer are
        ``{(1, 0): scores_of_it[0, 0]}``.
    directions : bool, default False
        Whether the units of both directions of a layer also go together. Keys must then be (layer,
        direction).

    Returns
    -------
    LayerScores
        With the keys of `scores`; each is a float64 Tensor of shape (U,), the mean over what goes
        together.

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


@documented
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
        What `score` returns, or the scores of several layers under keys of your own.
    amount : float or int, optional
        How many units are selected. A float in [0, 1] is a fraction and an int is a number: of each
        layer, or with ``scope="all"`` of all units together.
    above : float, optional
        In place of `amount`: units with a higher score are selected, the highest first. With false
        discovery rates as scores (`criteria.q_value`), ``above=0.05`` selects the units without a
        significant transfer.
    below : float, optional
        In place of `amount`: units with a lower score are selected, the lowest first.
    parameters : float or int, optional
        In place of `amount`, a budget: how many parameters the whole model may have left. A float
        is a fraction of the present number, an int is a number. As few units as possible are
        selected. With ``scope="all"``, the model would be too large with one unit less removed.
        With "each", an equal fraction of each layer is removed.
    operations : float or int, optional
        A budget of multiplications and additions, of the matrix products and convolutions of a run
        on `example`.
    {bytes}
    descending : bool, optional
        True removes the highest score first, False the lowest first. Of equal scores, the one with
        the lower index goes first, and with ``scope="all"`` the one of the layer that comes first
        in `scores`. Default: what the scores of `score` say. That is the highest first for transfer
        entropy from the series and for false discovery rates, and the lowest first for all others.
        Scores that do not say it need it. `above` and `below` fix the order.
    {scope}
    round_to : int, default 1
        The number of units that is left of each layer is a multiple of this. Fewer units are
        removed to make it so, or none.
    keep : int, float or mapping to int, optional
        How many units of each layer must stay, as a number or as a fraction of the layer. With
        ``scope="all"`` units of other layers are removed instead. The default is 1. With
        ``scope="all"`` it is half of the fraction that stays of all layers together, since scores
        of different layers are only roughly on one scale, and a layer of few units is a bottleneck.
    equal : bool, default False
        Whether each layer and direction keeps the same number of units. PyTorch's own classes need
        it, and so does code that splits the outputs into halves or takes all states in one tensor.
        The number is the mean, rounded up, or with `above` and `below` the largest one. If keys are
        (name of a layer, part), it is equal within each name.
    model : nn.Module, optional
        The model, for a budget.
    rnn : str or None, default "rnn"
        For a budget: the name of the layer whose parts the keys of `scores` are. With None, keys
        are (name of the layer, part).
    consumers : iterable of str, or mapping from names of layers to such, optional
        For a budget: names of the modules that read the layer, for `prune`. Default: they are found
        by a run on `example`.
    example : Tensor, tuple, mapping, Arguments or another object, optional
        For a budget: what the model is called with. Default: two sequences are made up.
    pruning : mapping, optional
        For a budget: further arguments of `prune`, such as ``{"sizes": ["hidden_size"]}``.

    Returns
    -------
    dict with the keys of `scores` to LongTensor of shape (K,), in the order of removal

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, if not exactly one of `amount`, `above`, `below` and the
        budgets is given, or if a budget cannot be kept. With a budget, whatever `prune` raises.

    Warns
    -----
    RuntimeWarning
        If most of the units selected from a layer have equal scores, so that only their index
        decides. If a threshold leaves less than a tenth of a layer and `keep` is not given.

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
