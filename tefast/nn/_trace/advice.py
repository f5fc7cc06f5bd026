"""What to say when a model cannot be pruned as it was asked for, found out by trying."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from tefast.nn._layers.layers import Chosen
from tefast.nn._layers.numbering import widths
from tefast.nn._trace.consumers import UnfitError
from tefast.nn._trace.found import Returned
from tefast.nn._trace.group import Group
from tefast.nn._trace.sizes import candidates, set_sizes
from tefast.nn._trace.trial import MisfitError, Trial

_MOST = 8
"""Attributes, or layers, that are tried."""


@dataclass(frozen=True)
class Request:
    """What `prune` was asked for.

    Attributes
    ----------
    model : nn.Module
    rnn : str
    kept : Chosen
    tied, example, examples, returned
        As `prune` takes them.
    sizes : dict of str to value
        Attributes that are set.
    """

    model: nn.Module
    rnn: str
    kept: Chosen
    tied: Any
    example: Any
    examples: Any
    returned: Returned
    sizes: Mapping[str, Any]

    def group(self, kept: Chosen | None = None, tied: Any = None) -> Group:
        """Return the layers that lose units."""
        return Group(self.model, self.rnn, kept or self.kept, tied or self.tied)

    def trial(self, group: Group) -> Trial[nn.Module]:
        """Return a trial of them."""
        return Trial(self.model, group, self.example, self.examples, self.returned)


def tied_layers(request: Request, error: UnfitError) -> str:
    """Say which layers would have to lose units together, if that is what was missing."""
    tied = list(request.tied or ())
    if isinstance(request.tied, Mapping):
        return ""
    partner: str | None = error.partner
    while partner is not None and partner not in (request.rnn, *tied) and len(tied) < _MOST:
        tied.append(partner)
        try:
            group = request.group(tied=tied)
            request.trial(group)
        except UnfitError as next_error:
            partner = next_error.partner
            continue
        except (TypeError, ValueError):
            return ""
        losing = [name for name in tied if _loses(group, name)]
        if not losing:
            return ""
        return (
            f". Units of {' and '.join(map(repr, losing))} meet them: have the same ones go, by "
            f"tied={losing!r} (tied_scores makes one score of several)"
        )
    return ""


def _loses(group: Group, name: str) -> bool:
    return any(bool(group.gone[labels].any()) for labels in group.numbering.hidden[name].values())


def numbers_and_widths(
    request: Request, group: Group, trial: Trial[nn.Module], error: MisfitError
) -> str:
    """Say which attributes to set, or that widths should be equal, if that is what was missing."""
    names = _working(request, group, trial)
    if names:
        return f". It does with {_set(names, candidates(group, request.model))}"
    advice = _as_narrow(request) if _equal(request) is None else _as_equal(request)
    if advice or error.runs:
        return advice
    return (
        ". If it holds the size, have it take that from the layer or from what that gives, or keep "
        "it in an attribute, whose name sizes= takes"
    )


def _as_equal(request: Request) -> str:
    """Say that widths should be equal, if that is what was missing."""
    try:
        twin = request.group(_equal(request))
        again = request.trial(twin)
        advice = (
            ". Where layers or directions have different numbers of units, their states come one "
            "by one, and there are no two halves of the outputs: remove equally many of each, as "
            "select(..., equal=True) does"
        )
        if _passes(request, twin, again, {}):
            return advice
        names = _working(request, twin, again)
    except (TypeError, ValueError):
        return ""
    if names:
        return f"{advice}; with {_set(names, candidates(twin, request.model))}"
    return ""


def _as_narrow(request: Request) -> str:
    """Say which other layers have to lose as many units, if that is what was missing.

    Where the states of several layers lie in one tensor, for instance, no units of theirs meet.
    """
    if isinstance(request.tied, Iterable) and not isinstance(request.tied, Mapping):
        return ""
    for others in _of_the_same_widths(request):
        tied = {**(request.tied or {}), **dict.fromkeys(others, _removed(request))}
        try:
            group = request.group(tied=tied)
            again = request.trial(group)
        except (TypeError, ValueError):
            continue
        names = []
        if not _passes(request, group, again, {}):
            names = _working(request, group, again)
            if not names:
                continue
        said = " and ".join(map(repr, others))
        sizes = f"; with {_set(names, candidates(group, request.model))}" if names else ""
        return (
            f". As many units of {said} have to go: give them by tied={{{others[0]!r}: units, ...}}"
            f", or give all of these layers to prune_in_steps{sizes}"
        )
    return ""


def _of_the_same_widths(request: Request) -> list[list[str]]:
    """Return other layers of the same class and widths: those beside it, then all."""
    layer = request.model.get_submodule(request.rnn)
    found = [
        name
        for name, module in request.model.named_modules()
        if type(module) is type(layer) and module is not layer and name not in (request.tied or ())
        and widths(module) == widths(layer)
    ]  # fmt: skip
    parent = request.rnn.rpartition(".")[0]
    beside = [name for name in found if name.rpartition(".")[0] == parent]
    tries = [beside[:_MOST], found[:_MOST]]
    return [one for n, one in enumerate(tries) if one and one not in tries[:n]]


def _removed(request: Request) -> dict[Any, list[int]]:
    """Return the units that go."""
    sizes = widths(request.model.get_submodule(request.rnn)).hidden
    return {
        part: [unit for unit in range(size) if unit not in request.kept.hidden[part].tolist()]
        for part, size in sizes.items()
    }


def _set(names: list[str], values: Mapping[str, int]) -> str:
    said = " and ".join(f"{name!r} set to {values[name]}" for name in names)
    return f"{said}: pass sizes={names!r}"


def _working(request: Request, group: Group, trial: Trial[nn.Module]) -> list[str]:
    """Return attributes with which the trial is passed, once they are set."""
    values = dict(list(candidates(group, request.model).items())[:_MOST])
    tries: Iterable[list[str]] = [[name] for name in values]
    if len(values) > 1:
        tries = [*tries, list(values)]
    for names in tries:
        if _passes(request, group, trial, {name: values[name] for name in names}):
            return names
    return []


def _passes(
    request: Request, group: Group, trial: Trial[nn.Module], values: Mapping[str, Any]
) -> bool:
    build = builder(group, trial, {**request.sizes, **values})
    try:
        trial.check(build(request.model), build)
    except (TypeError, ValueError):
        return False
    return True


def builder(group: Group, trial: Trial[Any], values: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return what makes the smaller twin of a copy of a model."""
    return lambda model: set_sizes(group.without(model, trial.readings), values)


def _equal(request: Request) -> Chosen | None:
    """Return units that stay if equally many of every direction go; None if they do already."""
    wide = widths(request.model.get_submodule(request.rnn))
    counts = [
        {part: size - len(left[part]) for part, size in sizes.items()}
        for sizes, left in zip(wide, request.kept, strict=True)
    ]
    if all(len(set(each.values())) == 1 for each in counts):
        return None
    found = []
    for sizes, each, left in zip(wide, counts, request.kept, strict=True):
        fewest = min(count for count in each.values() if count) if any(each.values()) else 0
        found.append(
            {part: left[part].new_tensor(range(size - fewest)) for part, size in sizes.items()}
        )
    return Chosen(*found)
