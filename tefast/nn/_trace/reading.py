"""Which outputs of units each module reads in a run, and what it returns for them."""

import math
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from tefast.nn._layers.numbering import Numbering
from tefast.nn._trace.consumers import Normed, Reading, UnfitError
from tefast.nn._trace.fields import OTHER, Fields, same
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.kinds import kind_of
from tefast.nn._trace.nested import tensors_in
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
        kind = kind_of(module)
        axis = -1 if kind is None else kind.features_axis(module, tensor.ndim)
        self.note(module, {"input": self.reading(tensor, axis)})
        return known.tracked()

    def read_one(self, module: nn.Module, args: Any, kwargs: Any) -> Fields | None:
        """Note what a module reads as its first input; return what is known of it, if anything."""
        given = tensors_in((args, kwargs))
        reads = self.reads(module, given[0])
        if sum(self.flow.of(one) is not None for one in given) > reads:
            self.refuse("an initial state made of them", module)
        return self.flow.of(given[0]) if reads else None

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
        """Merge two readings; units that meet in one column can only be removed together."""
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

    def note_any(self, module: nn.Module, readings: dict[str, Reading]) -> None:
        """Note what a module of several inputs reads, if anything."""
        if readings:
            self.note(module, readings)
        else:
            self.elsewhere.setdefault(self.names[module], f"in {self.path[-2]}")

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
