"""Pruning in one or several steps, with scores taken anew and a record of what was done."""

import csv
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from tefast._support.files import whole_file
from tefast.nn._layers.stack import Part, part_name
from tefast.nn._parameters import documented
from tefast.nn._runs.arguments import arguments_of
from tefast.nn._runs.batches import Batch, Forward, read_again, run_model
from tefast.nn.budget import without
from tefast.nn.criteria import NAMED, Criterion, order_of, random
from tefast.nn.moments import Moments, moments
from tefast.nn.scores import score
from tefast.nn.selection import check_ways
from tefast.nn.targets import PACES, Key, Pace, Target

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class PruningStep:
    """What one step did to one direction of one layer.

    Attributes
    ----------
    step : int
        The number of the step, from 1.
    rnn : str
        The name of the recurrent layer.
    part : str
        The direction of the layer: ``l0``, ``l0_reverse``, ...
    before, removed, left : int
        How many units there were before, were removed, and are left.
    units : tuple of int
        The removed units, by their numbers in the model that was given.
    lowest, highest : float
        The lowest and highest score of the removed units; NaN if there are none.
    parameters : int
        The parameters of the whole model after the step.
    metric, tuned : float
        What `evaluate` gave after the removal, and after fine-tuning; NaN without it.
    seconds : float
        The duration of the step, fine-tuning included.
    """

    step: int
    rnn: str
    part: str
    before: int
    removed: int
    left: int
    units: tuple[int, ...]
    lowest: float
    highest: float
    parameters: int
    metric: float
    tuned: float
    seconds: float


@documented
def prune_in_steps(
    model: M,
    batches: Iterable[Batch],
    criterion: str | Criterion,
    *,
    amount: float | None = None,
    above: float | None = None,
    below: float | None = None,
    parameters: float | None = None,
    operations: float | None = None,
    bytes: float | None = None,
    descending: bool | None = None,
    steps: int = 1,
    pace: Pace = "linear",
    rnn: str | Sequence[str] = "rnn",
    parts: Sequence[Part] | None = None,
    scope: Literal["each", "all"] = "each",
    round_to: int = 1,
    keep: float | None = None,
    equal: bool = False,
    fine_tune: Callable[[M, int], Any] | None = None,
    evaluate: Callable[[M], float] | None = None,
    on_step: Callable[[Sequence[PruningStep]], None] | None = None,
    consumers: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
    example: Any = None,
    pruning: Mapping[str, Any] | None = None,
    reconstruct: bool = False,
    **scoring: Any,
) -> tuple[M, list[PruningStep]]:
    """Remove units step by step; each step scores the model that the step before has left.

    Parameters
    ----------
    {model}
    batches : iterable of (x, labels) or (x, labels, lengths), or of what `forward` takes
        The data for the scores. They are read in every step.
    criterion : str or callable
        What scores the units: a name or a function of a `Context`, for `score`.
    amount : float or int, optional
        What is removed after the last step: a fraction of units, in [0, 1], or a number of units of
        each direction; of all together with ``scope="all"``.
    above : float, optional
        In place of `amount`: every step removes the units with a higher score.
    below : float, optional
        In place of `amount`: every step removes the units with a lower score.
    parameters : float or int, optional
        In place of `amount`, a budget: how many parameters the whole model may have after the last
        step. A float is a fraction of the present number, an int is a number.
    operations : float or int, optional
        A budget of multiplications and additions of a run on `example`.
    {bytes}
    descending : bool, optional
        True removes the highest score first, False the lowest first. Default: what the criterion
        says.
    steps : int, default 1
        The number of steps.
    pace : {"linear", "geometric", "cubic"}, default "linear"
        How the removed fraction grows, of units or of a budget: evenly, by a constant fraction of
        what is left, or fast at first and slowly towards the end (M. Zhu and S. Gupta, 2017).
    rnn : str or sequence of str, default "rnn"
        Names of the recurrent layers, with dots for nesting. If they cannot be pruned one after the
        other, such as groups whose states are in one tensor, they are pruned together.
    {parts, scope}
    round_to : int, default 1
        The number of units that is left of each layer is a multiple of this, or all of them.
    keep : int or float, optional
        How many units of each layer must stay, as a number, or as a fraction of those before the
        first step. The default is 1, and with ``scope="all"`` half of the fraction that stays of
        all layers together.
    equal : bool, default False
        Whether each layer and direction keeps the same number of units.
    fine_tune : callable, optional
        ``fine_tune(model, step)`` trains the pruned model in place.
    evaluate : callable, optional
        ``evaluate(model)`` gives a number for the record.
    on_step : callable, optional
        It gets the rows of every step when the step is done.
    consumers : iterable of str, or mapping from the names in `rnn` to such, optional
        Names of all modules that read the layers. Default: they are found by a run on `example`.
    example : Tensor, tuple, mapping, Arguments or another object, optional
        What the model is called with. Default: its call for the first batch, with two of the
        sequences if that is possible.
    pruning : mapping, optional
        Further arguments of `prune`, such as ``{"sizes": ["hidden_size"]}``.
    reconstruct : bool
        In every step, take `moments` on `batches` too, and have the units that stay stand in for
        those that go.
    **scoring
        Other arguments of `score`.

    Returns
    -------
    model : nn.Module
        The pruned copy.
    rows : list of PruningStep
        One for each step, layer and direction.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, and whatever `score`, `select` and `prune` raise.
    """
    names = [rnn] if isinstance(rnn, str) else list(rnn)
    _check(amount, steps, pace, names, batches)
    if example is None and (consumers is None or operations is not None):
        example = _start(model, batches, scoring.get("forward", run_model))
    budgets = {"parameters": parameters, "operations": operations, "bytes": bytes}
    ways = {"amount": amount, "above": above, "below": below, **budgets}
    way, limit = check_ways(ways, scope)
    if descending is None and way not in ("above", "below"):
        descending = _order(criterion)
    take = partial(_moments, batches, scoring) if reconstruct else None
    if reconstruct:
        read_again(batches)
    target = Target(
        way, limit, bool(descending), scope, round_to, keep, equal, consumers, example, pruning,
        pace,
    )  # fmt: skip
    whole = target.cost(model)
    rows: list[PruningStep] = []
    there: dict[Key, Tensor] = {}
    for step in range(1, steps + 1):
        started = time.monotonic()
        scores = _scores(model, batches, criterion, names, parts, scoring)
        there = there or {key: torch.arange(len(one)) for key, one in scores.items()}
        original = {key: _original(rows, key, len(one)) for key, one in scores.items()}
        chosen = target.select(model, scores, original, whole, step / steps)
        model = without(model, chosen, consumers, example, pruning, take)
        metric = float(evaluate(model)) if evaluate else float("nan")
        if fine_tune is not None:
            fine_tune(model, step)
        tuned = float(evaluate(model)) if evaluate and fine_tune else metric
        common = {
            "step": step,
            "parameters": sum(p.numel() for p in model.parameters()),
            "metric": metric,
            "tuned": tuned,
            "seconds": time.monotonic() - started,
        }
        new = [_row(key, scores[key], chosen[key], there[key], common) for key in scores]
        there = {key: _without(there[key], chosen[key]) for key in there}
        rows += new
        if on_step is not None:
            on_step(new)
    return model, rows


def write_steps(rows: Iterable[PruningStep], path: str | os.PathLike[str]) -> None:
    """Write rows to a CSV file, whole or not at all; units are separated by spaces.

    Parameters
    ----------
    rows : iterable of PruningStep
        The record that `prune_in_steps` returned.
    path : str or path
        An existing file is replaced.

    Raises
    ------
    OSError
        If the file cannot be written, such as on a full disk. Nothing of it is left then.
    """
    with (
        whole_file(Path(path)) as part,
        open(part, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, [field.name for field in fields(PruningStep)])
        writer.writeheader()
        for row in rows:
            writer.writerow({**asdict(row), "units": " ".join(map(str, row.units))})


def _check(
    amount: Any, steps: Any, pace: Any, names: Sequence[str], batches: Iterable[Batch]
) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps: expected an int, at least 1, got {steps!r}")
    if pace not in PACES:
        raise ValueError(f"pace: expected one of {', '.join(PACES)}, got {pace!r}")
    fraction = isinstance(amount, float) and 0.0 <= amount <= 1.0
    count = isinstance(amount, int) and not isinstance(amount, bool) and amount >= 0
    if amount is not None and not fraction and not count:
        raise ValueError(
            f"amount: expected a float fraction in [0, 1] or an int count, got {amount!r}"
        )
    if not names or len(set(names)) < len(names):
        raise ValueError(f"rnn: expected one name or several distinct ones, got {list(names)}")
    if steps * len(names) > 1:
        read_again(batches)


def _order(criterion: str | Criterion) -> bool:
    """Return whether the highest scores go first, as the criterion says."""
    # An unknown name is told by what scores.
    found = order_of(NAMED.get(criterion, random) if isinstance(criterion, str) else criterion)
    if found is None:
        raise ValueError(
            "descending: expected True or False, since the criterion does not say whether the "
            "highest or the lowest scores go first; see tefast.nn.criteria.criterion"
        )
    return found


def _start(model: nn.Module, batches: Iterable[Batch], forward: Forward) -> Any:
    """Return the arguments that the model gets for the first batch, of its first sequences.

    None where batches would be used up, or if they cannot be told.
    """
    if isinstance(batches, Iterator):
        return None
    first = next(iter(batches), None)
    try:
        found = arguments_of(model, first, forward)
    except Exception:  # it is said where the batch is scored
        return None
    return found


def _scores(
    model: nn.Module, batches: Any, criterion: Any, names: Any, parts: Any, scoring: Any
) -> dict[Key, Tensor]:
    return {
        (name, part): scores
        for name in names
        for part, scores in score(
            model, batches, criterion, rnn=name, parts=parts, **scoring
        ).items()
    }


def _moments(
    batches: Iterable[Batch],
    scoring: Mapping[str, Any],
    model: nn.Module,
    rnn: str,
    consumers: Any,
    **pruning: Any,
) -> Moments:
    """Take the moments that `prune` needs, with the same arguments."""
    running = {key: scoring[key] for key in ("forward", "lengths", "calls") if key in scoring}
    finding = {
        key: pruning[key] for key in ("example", "examples", "returned", "tied") if key in pruning
    }
    return moments(model, batches, rnn, consumers=consumers, **running, **finding)


def _original(rows: Iterable[PruningStep], key: Key, left: int) -> int:
    """How many units a direction had before the first step."""
    name, part = key
    return left + sum(r.removed for r in rows if (r.rnn, r.part) == (name, part_name(part)))


def _row(
    key: Key, scores: Tensor, chosen: Tensor, there: Tensor, common: dict[str, Any]
) -> PruningStep:
    gone, nothing = scores[chosen], not len(chosen)
    return PruningStep(
        rnn=key[0],
        part=part_name(key[1]),
        before=len(scores),
        removed=len(chosen),
        left=len(scores) - len(chosen),
        units=tuple(there[chosen].tolist()),
        lowest=float("nan") if nothing else float(gone.min()),
        highest=float("nan") if nothing else float(gone.max()),
        **common,
    )


def _without(there: Tensor, chosen: Tensor) -> Tensor:
    left = torch.ones(len(there), dtype=torch.bool)
    left[chosen] = False
    return there[left]
