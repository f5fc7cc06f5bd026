"""What a removal costs before any test, and the smallest model within a loss of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from tefast.nn._layers.layers import keep
from tefast.nn._layers.recurrent import find_recurrent
from tefast.nn._layers.units import Selection
from tefast.nn._parameters import documented
from tefast.nn._runs.batches import Batch, read_again
from tefast.nn._trace.copies import copy_with
from tefast.nn._trace.folding import Folding, Place, places_of
from tefast.nn._trace.group import Group
from tefast.nn.criteria import Criterion
from tefast.nn.moments import Moments
from tefast.nn.schedules import prune_in_steps

M = TypeVar("M", bound=nn.Module)


class ReconstructionError(NamedTuple):
    """What a weight gets wrong, as a share of the variance of what it computes from its input.

    Attributes
    ----------
    left : float
        With the units that stay standing in for those that go.
    without : float
        With 0 in their place.
    """

    left: float
    without: float


@documented
def reconstruction_error(
    model: nn.Module,
    units: Selection,
    moments: Moments,
    rnn: str = "rnn",
    projections: Selection | None = None,
    *,
    tied: Iterable[str] | Mapping[str, Selection] | None = None,
) -> dict[str, ReconstructionError]:
    """Say what removing units costs every weight that reads them.

    It is the mean squared error of what the weight computes, summed over its outputs, divided by
    the variance of that: 0 is exact, 1 is as bad as a constant. It is that of one step on the data
    that the moments are of. What an error does at later steps is not in it.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    {units}
    moments : Moments
        What `tefast.nn.moments` takes of `model`.
    {rnn, projections}
    tied : iterable of str, or mapping of str to units, optional
        Further layers that lose units with it; see `prune`.

    Returns
    -------
    dict of str to ReconstructionError
        By the names of weights, such as ``rnn.weight_hh_l0`` and ``fc1.input``. NaN where the
        weight computes a constant.

    Raises
    ------
    TypeError, ValueError
        If the units are not as described, or the moments are not of this layer.
    """
    group = Group(model, rnn, keep(find_recurrent(model, rnn), units, projections), tied)
    moments.check(model, group.names)
    if group.open:
        group.follow(moments.ties)
    folding = Folding(moments.grams, group.gone, moments.ridge, moments.intercept)
    places = places_of(model, group.names, group.numbering, moments.labels)
    return {place.title: _error(folding, place) for place in places}


def _error(folding: Folding, place: Place) -> ReconstructionError:
    gram, found = folding.gram(place), folding.prediction(place)
    left, without, variance = 0.0, 0.0, 0.0
    for columns in place.columns:
        wide = columns.weight.detach().double().movedim(1, -1).to(gram.first.device)
        removed = wide[..., found.gone]
        left += _size(removed, found.residual(gram))
        without += _size(removed, gram.whole()[found.gone][:, found.gone])
        variance += _size(wide, gram.whole(about_mean=True))
    if variance <= 0:
        return ReconstructionError(math.nan, math.nan)
    return ReconstructionError(max(left, 0.0) / variance, without / variance)


def _size(weight: Tensor, second: Tensor) -> float:
    """Return the sum of squares of what a weight makes of features with these moments."""
    return float(((weight @ second) * weight).sum())


@dataclass(frozen=True)
class TriedAmount:
    """One amount that was tried.

    Attributes
    ----------
    amount : float
        The fraction of units that went.
    removed : int
        Units.
    parameters : int
        Of the whole model.
    metric : float
        What `evaluate` gave.
    good : bool
        Whether it is within the loss that is allowed.
    """

    amount: float
    removed: int
    parameters: int
    metric: float
    good: bool


@documented
def prune_to(
    model: M,
    batches: Iterable[Batch],
    evaluate: Callable[[M], float],
    *,
    drop: float = 0.01,
    criterion: str | Criterion = "redundancy",
    higher_is_better: bool = True,
    reconstruct: bool = True,
    tries: int = 8,
    most: float = 0.99,
    on_try: Callable[[TriedAmount], None] | None = None,
    **pruning: Any,
) -> tuple[M, list[TriedAmount]]:
    """Find the smallest model within a loss of a metric, by bisection over the amount removed.

    Every amount is removed from the whole model in one shot. Bisection assumes that the metric
    falls as more units go. It need not, so a larger amount may be good too. The list shows all
    that were tried.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    {batches}
        They are read in every try.
    evaluate : callable
        ``evaluate(model)`` gives the metric, on data that is not in `batches`.
    drop : float
        How much worse than that of `model` it may be, in its own units.
    criterion : str or callable, default "redundancy"
        What scores the units, for `score`.
    higher_is_better : bool
        False for a loss.
    reconstruct : bool
        Have the units that stay stand in for those that go.
    tries : int
        Amounts that are tried, at least 1; the interval halves each time.
    most : float
        The largest fraction that is tried, in (0, 1].
    on_try : callable, optional
        Gets every `TriedAmount` when it is done.
    **pruning
        Other arguments of `prune_in_steps`, such as `rnn` and `round_to`.

    Returns
    -------
    model : nn.Module
        The smallest good copy; an unchanged copy if no amount is good.
    trials : list of TriedAmount
        In the order in which they were tried, the whole model first.

    Raises
    ------
    TypeError, ValueError
        For the reasons that `prune_in_steps` has; if an argument is not as described, or the metric
        is not finite.
    """
    _check(drop, tries, most)
    read_again(batches)
    whole = copy_with(model, {})
    trials = [_tried(whole, 0.0, 0, evaluate, None)]
    sign = 1.0 if higher_is_better else -1.0
    bound = sign * trials[0].metric - drop
    best, low, high, amount = whole, 0.0, most, most
    for _ in range(tries):
        smaller, rows = prune_in_steps(
            model, batches, criterion, amount=amount, reconstruct=reconstruct, **pruning
        )
        removed = sum(row.removed for row in rows)
        if any(removed == one.removed for one in trials):
            break  # no amount lies between
        trials.append(
            _tried(smaller, amount, removed, evaluate, lambda metric: sign * metric >= bound)
        )
        if on_try is not None:
            on_try(trials[-1])
        if trials[-1].good:
            best, low = smaller, amount
        else:
            high = amount
        if low >= high:
            break  # the most is good
        amount = (low + high) / 2
    return best, trials


def _tried(
    model: M,
    amount: float,
    removed: int,
    evaluate: Callable[[M], float],
    good: Callable[[float], bool] | None,
) -> TriedAmount:
    with torch.no_grad():
        metric = float(evaluate(model))
    if not math.isfinite(metric):
        raise ValueError(f"evaluate: expected a finite number, got {metric}")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return TriedAmount(amount, removed, parameters, metric, good is None or good(metric))


def _check(drop: float, tries: int, most: float) -> None:
    if not isinstance(drop, int | float) or isinstance(drop, bool) or not 0 <= drop < math.inf:
        raise ValueError(f"drop: expected a number, at least 0, got {drop!r}")
    if isinstance(tries, bool) or not isinstance(tries, int) or tries < 1:
        raise ValueError(f"tries: expected an int, at least 1, got {tries!r}")
    if not isinstance(most, float) or not 0 < most <= 1:
        raise ValueError(f"most: expected a float in (0, 1], got {most!r}")
