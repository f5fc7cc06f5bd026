"""Weights in which the units that stay stand in for those that go."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from tefast.nn._layers.grams import Gram, Prediction, predict
from tefast.nn._layers.numbering import Numbering
from tefast.nn._layers.recurrent import check_untied, weights
from tefast.nn._layers.stack import Part, part_name
from tefast.nn._trace.consumers import Columns
from tefast.nn._trace.copies import copy_with
from tefast.nn._trace.kinds import kind_of
from tefast.nn._trace.readers import check_reader

M = TypeVar("M", bound=nn.Module)
Labels = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Place:
    """Features that some weights read, and which of them are units.

    Attributes
    ----------
    name : str
        Of the moments of these features.
    labels : LongTensor (features,)
        The unit's number, or below 0 where a feature is none.
    columns : list of Columns
        What reads them linearly.
    title : str
        What reads them, for messages and tables.
    """

    name: str
    labels: Tensor
    columns: list[Columns]
    title: str

    def split(self, gone: Tensor) -> tuple[Tensor, Tensor]:
        """Return which features stay and which go, given the units (count,) that do."""
        away = (self.labels >= 0) & gone[self.labels.clamp(min=0)]
        return (~away).nonzero().flatten(), away.nonzero().flatten()


def inner_names(name: str, layer: nn.Module) -> dict[str, tuple[Part, ...]]:
    """Return the moments that a layer needs for its own weights, and of which parts they are.

    They are its outputs, of both directions of a layer side by side, and with a projection each
    direction's units.
    """
    parts = list(weights(cast(Any, layer)))
    found: dict[str, tuple[Part, ...]] = {}
    for number in sorted({layer for layer, _ in parts}):
        found[f"{name}.l{number}"] = tuple(part for part in parts if part[0] == number)
    if "weight_hr" in weights(cast(Any, layer))[0, 0]:
        found |= {f"{name}.{part_name(part)}.units": (part,) for part in parts}
    return found


def own_places(name: str, layer: nn.Module, numbering: Numbering) -> Iterator[Place]:
    """Yield what a recurrent layer itself reads of its units."""
    outputs, hidden = numbering.outputs[name], numbering.hidden[name]
    named = weights(cast(Any, layer))
    for part, tensors in named.items():
        number, _ = part
        end = part_name(part)
        labels = torch.cat([outputs[one] for one in outputs if one[0] == number])
        own = torch.isin(labels, outputs[part])
        yield Place(
            f"{name}.l{number}" + ("" if bool(own.all()) else f" {end}"),
            outputs[part],
            [Columns(tensors["weight_hh"], tensors.get("bias_hh"))],
            f"{name}.weight_hh_{end}",
        )
        if number:
            below = torch.cat([outputs[one] for one in outputs if one[0] == number - 1])
            yield Place(
                f"{name}.l{number - 1}",
                below,
                [Columns(tensors["weight_ih"], tensors.get("bias_ih"))],
                f"{name}.weight_ih_{end}",
            )
        if "weight_hr" in tensors:
            yield Place(
                f"{name}.{end}.units",
                hidden[part],
                [Columns(tensors["weight_hr"], None)],
                f"{name}.weight_hr_{end}",
            )


def reader_places(model: nn.Module, readings: Labels) -> Iterator[Place]:
    """Yield what the modules that read the layers read."""
    for name, roles in readings.items():
        module = model.get_submodule(name)
        kind = kind_of(module)
        assert kind is not None
        for role, labels in roles.items():
            try:
                columns = kind.columns(module, role)
            except ValueError as error:
                raise ValueError(f"consumer {name!r}: {error}") from None
            if columns:
                yield Place(f"{name}.{role}", labels, columns, f"{name}.{role}")


class Folding:
    """Moves what weights read of units that go into what they read of those that stay.

    Parameters
    ----------
    grams : mapping of str to Gram
        Moments, by the names of places.
    gone : bool Tensor (count,)
        Which units go.
    ridge : float
        As in `predict`.
    intercept : bool
        Whether a constant is added where there is a bias for it.
    """

    def __init__(
        self, grams: Mapping[str, Gram], gone: Tensor, ridge: float, intercept: bool
    ) -> None:
        self.grams, self.gone, self.ridge, self.intercept = grams, gone, ridge, intercept
        self._found: dict[tuple[str, bool], Prediction] = {}

    def prediction(self, place: Place) -> Prediction:
        """Return what the features that stay say of those that go."""
        constant = self.intercept and all(c.bias is not None for c in place.columns)
        key = place.name, constant
        if key not in self._found:
            gram = self.gram(place)
            kept, gone = place.split(self.gone)
            # What was always 0 is left as it is: it goes as it would without moments.
            seen = gram.second.diagonal().cpu() > 0
            self._found[key] = predict(
                gram, kept, gone[seen[gone]], ridge=self.ridge, intercept=constant
            )
        return self._found[key]

    def apply(self, places: Iterable[Place]) -> None:
        """Change the weights of places in place."""
        for place in places:
            if not bool(self.gone[place.labels[place.labels >= 0]].any()):
                continue
            found = self.prediction(place)
            for columns in place.columns:
                _fold(columns, found)

    def gram(self, place: Place) -> Gram:
        """Return the moments of a place."""
        name, _, end = place.name.partition(" ")
        gram = self.grams[name]
        if not end:
            return gram
        # One direction of a layer of two: its outputs are one half of the features.
        start = gram.width - len(place.labels) if end.endswith("_reverse") else 0
        return gram.only(slice(start, start + len(place.labels)))


def folded(
    model: M,
    members: Iterable[str],
    numbering: Numbering,
    readings: Labels,
    folding: Folding,
) -> M:
    """Copy a model with its weights folded; its sizes stay.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    members : iterable of str
        The layers that lose units.
    numbering : Numbering
    readings : mapping of names of modules to roles to labels
    folding : Folding
    """
    names = list(members)
    for name in readings:
        check_reader(model.get_submodule(name))
    changed = {model.get_submodule(name) for name in [*names, *readings]}
    check_untied(model, changed)
    twin = copy_with(model, {})
    with torch.no_grad():
        folding.apply(places_of(twin, names, numbering, readings))
    return twin


def places_of(
    model: nn.Module, members: Iterable[str], numbering: Numbering, readings: Labels
) -> Iterator[Place]:
    """Yield all that is read of the units."""
    for name in members:
        layer = model.get_submodule(name)
        if not isinstance(layer, nn.Linear | nn.Embedding):
            yield from own_places(name, layer, numbering)
    yield from reader_places(model, readings)


def _fold(columns: Columns, found: Prediction) -> None:
    weight = columns.weight.detach()
    kept, gone = found.kept.to(weight.device), found.gone.to(weight.device)
    coefficients = found.weight.to(weight.device)
    wide = weight.double().movedim(1, -1)
    removed = wide[..., gone]
    before, added = wide[..., kept], removed @ coefficients.T
    wide = wide.clone()
    wide[..., kept] = torch.where(added == 0, before, before + added)
    wide[..., gone] = 0
    weight.copy_(wide.movedim(-1, 1))
    if found.bias is not None and columns.bias is not None:
        constant = (removed @ found.bias.to(weight.device)).reshape(len(weight), -1).sum(1)
        bias = columns.bias.detach()
        bias.copy_(bias.double() + constant)
