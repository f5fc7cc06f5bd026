"""What each module reads of the units' outputs in a run, and what it makes of them."""

import math
from dataclasses import replace
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from tefast.nn._layers.narrow import NarrowLayerNorm
from tefast.nn._layers.numbering import Numbering
from tefast.nn._trace.consumers import (
    Normed,
    Reading,
    UnfitError,
    features_axis,
)
from tefast.nn._trace.fields import OTHER, Fields, same, unknown
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.reductions import along


class Reader:
    """Notes what modules read.

    Attributes
    ----------
    members : list of str
        The layers whose units are followed.
    numbering : Numbering
    flow : Flow
    readings : dict of str to (dict of str to Reading)
        What modules read, by their names and the roles of their inputs.
    norms : list of Normed
    names : dict of Module to str
    path : list of str
        The modules that are being run, as messages name them, the innermost last.
    elsewhere : dict of str to str
        Modules that read something else, and what says so.
    empty : set of str
        Modules that read what would hold units' outputs if there were any entries.
    """

    members: list[str]
    numbering: Numbering
    flow: Flow
    readings: dict[str, dict[str, Reading]]
    norms: list[Normed]
    names: dict[nn.Module, str]
    path: list[str]
    elsewhere: dict[str, str]
    empty: set[str]

    def reads(self, module: nn.Module, tensor: Tensor) -> bool:
        """Note what a module reads; return whether there are units' outputs in it."""
        if self.flow.emptied(tensor):
            self.empty.add(self.names[module])
            return False
        known = self.flow.fields(tensor)
        if known is None:
            self.elsewhere.setdefault(self.names[module], f"in {self.path[-2]}")
            return False
        self.note(module, {"input": self.reading(tensor, features_axis(module, tensor.ndim))})
        return known.tracked()

    def reading(self, tensor: Tensor, axis: int = -1) -> Reading:
        known = self.flow.fields(tensor)
        assert known is not None
        found = along(self.flow, known, axis)
        units = found.units()
        unsure = found.uncertain() & units
        if bool(unsure.any()):
            value = float(found.other[unsure][0])
            what = "something else" if math.isnan(value) else f"{value:g}"
            self.refuse(
                f"steps that may hold {what} (padding, a mask or what was written there) where a "
                f"masked unit gives {float(found.masked[unsure][0]):g}"
            )
        inner = units & (found.labels >= 0) & (found.labels < self.numbering.count)
        if not found.masked[inner].isfinite().all():
            self.refuse("values that are not finite when masked")
        labels = torch.where(units, found.labels, OTHER)
        return Reading(self.numbering.count, labels, found.masked, self.norms)

    def note(self, module: nn.Module, readings: dict[str, Reading]) -> None:
        name = self.names[module]
        before = self.readings.get(name)
        if before is None:
            self.readings[name] = readings
            return
        if before.keys() != readings.keys():
            self.refuse("a module that reads them in two ways")
        for role, new in readings.items():
            before[role] = self._both(before[role], new)

    def _both(self, old: Reading, new: Reading) -> Reading:
        """Return one reading for two; what meets in one column can only go together."""
        ours, theirs = old.labels, new.labels
        if len(ours) != len(theirs):
            self.refuse("a module that reads them in two ways")
        met = (ours != OTHER) & (theirs != OTHER) & (ours != theirs)
        count = self.numbering.count
        if bool((met & ((ours < 0) | (ours >= count) | (theirs < 0) | (theirs >= count))).any()):
            self.refuse("a module that reads them in two ways")
        labels = torch.where(ours == OTHER, theirs, ours)
        there = (labels != OTHER) & (labels < count) & (labels >= 0)
        if bool((there & ~same(old.masked, new.masked)).any()) or bool(
            (~there & (labels != OTHER) & (ours != theirs)).any()
        ):
            self.refuse("a module that reads them in two ways")
        if bool(met.any()):
            self.flow.calling.append("reading them with the same columns")
            self.flow.unite(ours[met], theirs[met])
            self.flow.calling.pop()
        return replace(old, labels=labels)

    def attend(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs = {**dict(zip(("query", "key", "value"), args, strict=False)), **kwargs}
        roles = {"query", "key", "value"}
        if any(self.flow.of(one) is not None for role, one in inputs.items() if role not in roles):
            self.refuse("a mask made of them")
        found = {r: self.reading(inputs[r]) for r in sorted(roles) if self.flow.of(inputs[r])}
        self._note_any(module, found)

    def multiply(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs = {**dict(zip(("input1", "input2"), args, strict=False)), **kwargs}
        found = {r: self.reading(one) for r, one in inputs.items() if self.flow.of(one)}
        for reading in found.values():
            units = reading.labels != OTHER
            inner = (reading.labels >= 0) & (reading.labels < self.numbering.count)
            if bool((units & ~inner).any() | reading.masked[units].ne(0).any()):
                self.refuse("a Bilinear of what is not 0 where a unit is masked")
        self._note_any(module, found)

    def _note_any(self, module: nn.Module, readings: dict[str, Reading]) -> None:
        """Note what a module of several inputs reads, if anything."""
        if readings:
            self.note(module, readings)
        else:
            self.elsewhere.setdefault(self.names[module], f"in {self.path[-2]}")

    def norm(self, module: nn.Module, reading: Reading, result: Tensor) -> None:
        norm = cast(nn.LayerNorm | NarrowLayerNorm, module)
        count, labels = self.numbering.count, reading.labels
        there = labels != OTHER
        several = len(norm.normalized_shape) > 1
        if several or bool((labels >= count).any() or reading.masked[there].ne(0).any()):
            self.refuse("a LayerNorm over more than units that are 0 when masked")
        units = labels[there]
        if len(units) > len(set(units.tolist())):
            self.refuse("a LayerNorm that reads a unit twice")
        number = self._number(norm, units, labels)
        if isinstance(module, NarrowLayerNorm):
            rest = torch.tensor([OTHER - 1 - number])
            labels = torch.cat([labels[: module.rest], rest, labels[module.rest :]])
        out = torch.where(labels >= 0, labels + count * (1 + number), labels)
        nothing = unknown(tuple(result.shape))
        self.flow.follow(result, replace(nothing, labels=out.expand(result.shape)))

    def _number(self, module: nn.LayerNorm | NarrowLayerNorm, units: Tensor, labels: Tensor) -> int:
        """Return the place of a LayerNorm in the list, which it may have from an earlier call."""
        name = self.names[module]
        for number, norm in enumerate(self.norms):
            if norm.name == name:
                return number
        weight = torch.ones(self.numbering.count, dtype=torch.float64)
        bias = torch.zeros_like(weight)
        for target, parameter in ((weight, module.weight), (bias, module.bias)):
            if parameter is not None:
                target[units] = parameter.detach().cpu().double()[labels != OTHER]
        self.norms.append(Normed(name, weight, bias))
        return len(self.norms) - 1

    def each(self, module: Any, known: Fields, result: Tensor, function: Any) -> None:
        if bool((known.labels >= self.numbering.count).any()):
            self.refuse(f"a {type(module).__name__} behind a LayerNorm")
        masked, other = (function(module, v) for v in (known.masked, known.other))
        self.flow.follow(result, replace(known, masked=masked, other=other))

    def refuse(self, reason: str, partner: Tensor | nn.Module | None = None) -> NoReturn:
        """Raise an error that says what the units reach and where."""
        error = UnfitError(
            f"the outputs of {self.members[0]!r} reach {reason} in {self.path[-1]}, which cannot "
            "be narrowed exactly"
        )
        if isinstance(partner, nn.Module):
            error.partner = self.names[partner]
        elif partner is not None:
            error.partner = self.flow.partner(partner)
        self.flow.refusal = self.flow.refusal or error
        raise error


def prelu(module: nn.PReLU, x: Tensor) -> Tensor:
    return nn.functional.prelu(x, module.weight.detach().cpu().double())


def batch_normed(module: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Return what a BatchNorm1d makes in evaluation mode of `x`, the same for all steps."""
    options = [module.running_mean, module.running_var, module.weight, module.bias]
    mean, var, weight, bias = (None if o is None else o.detach().cpu().double() for o in options)
    if mean is None or var is None:  # the batch's own: of what is the same everywhere, its value
        mean, var = x.movedim(1, -1).flatten(0, -2)[0], torch.ones(x.shape[1]).double()
    return nn.functional.batch_norm(x, mean, var, weight, bias, False, 0.0, module.eps)
