"""Where features go in a model: labels that follow values through the operations on an example.

Beside the memory of every tensor that holds units' outputs lies a `Fields`: it says of each entry
whose output it is and what it would be if that unit were masked. Views of a tensor share its
memory, so they share the fields, and what writes into a view writes into them. The operations
themselves are dealt with in `operations` and `reductions`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from tefast.nn._trace.fields import (
    EMPTY,
    Fields,
    _alike,
    address,
    four,
    leaves,
    repeats,
    same,
    unknown,
)


class Tie(NamedTuple):
    """Labels that met in one entry: their units can only go together."""

    one: int
    other: int
    where: str


class _Shadow:
    """The fields of a storage, flat; they have one entry as long as all entries are equal."""

    def __init__(self, tensor: Tensor, fields: Fields) -> None:
        self.storage = tensor.untyped_storage()  # kept, so that its address is not used again
        self.dtype = tensor.dtype
        self.count = self.storage.nbytes() // tensor.element_size()
        self.fields = fields

    def of(self, tensor: Tensor) -> Fields:
        if self.fields.labels.ndim == 0:
            return self.fields.map(lambda t: t.expand(tensor.shape))
        where = (tensor.shape, tensor.stride(), tensor.storage_offset())
        return self.fields.map(lambda t: t.as_strided(*where))

    def spread(self) -> None:
        if self.fields.labels.ndim == 0:
            self.fields = self.fields.map(lambda t: t.expand(self.count).clone())


class Flow:
    """What is known of the tensors of one run, and what becomes of it where something is written.

    Parameters
    ----------
    features : int
        Labels of units are 0..features-1. Others that are not `OTHER` mean entries whose value
        depends on the data even when the unit is masked; they can be moved and averaged.
    refuse : callable
        Called with the reason when units are mixed, and with another tensor that they are mixed
        with or None; raises.
    lenient : bool
        What mixes units is not refused; what it gives is not followed.
    """

    def __init__(
        self,
        features: int,
        refuse: Callable[[str, Tensor | None], NoReturn],
        *,
        lenient: bool = False,
    ) -> None:
        self.features, self.lenient = features, lenient
        self.inside = 0
        """Above 0 within a module whose operations are not followed one by one."""
        self.refusal: Exception | None = None
        """The error is kept here, because the code of a model may catch it."""
        self.ties: list[Tie] = []
        self.calling: list[str] = []
        """Functions of PyTorch that are being called, by the names of their users."""
        self.path: Callable[[], str] = str
        """Returns the place in the model, for messages."""
        self.met: Callable[[Tie], None] = lambda tie: None
        """Called with labels that met. Raises an error if they may not meet."""
        self.events = 0
        self.produced: dict[Any, tuple[str, Tensor]] = {}
        """The module that each other tensor comes from, by its memory, which is kept alive."""
        self.parameters: dict[Any, str] = {}
        """What messages call the model's parameters, by their memory."""
        self._empty: dict[Any, Tensor] = {}
        self._refuse = refuse
        self._shadows: dict[int, _Shadow] = {}

    def refuse(self, reason: str, partner: Tensor | None = None) -> NoReturn:
        """Raise the error that `reason` gives."""
        try:
            self._refuse(reason, partner)
        except Exception as error:
            if not self.lenient:
                self.refusal = self.refusal or error
            raise

    def name(self, func: Any = None) -> str:
        """Return what a message calls the operation."""
        return self.calling[0] if self.calling else self.bare(func)

    @staticmethod
    def bare(func: Any) -> str:
        """Return the name of a function as it is called, without underscores."""
        name = str(getattr(func, "__name__", func)).partition(".")[0]
        bare = name.strip("_")
        return bare[1:] if name.startswith("__i") and hasattr(Tensor, f"__{bare[1:]}__") else bare

    def fields(self, value: Any) -> Fields | None:
        """Return what is known of a tensor's entries, or None if nothing is."""
        shadow = self._shadows.get(address(value)) if isinstance(value, Tensor) else None
        if shadow is None:
            return None
        if value.dtype != shadow.dtype or value.is_neg():
            self.refuse("a view of another dtype or sign")
        return shadow.of(value)

    def of(self, value: Any) -> Fields | None:
        """Return what is known of a tensor, or None if it holds no unit's output."""
        fields = self.fields(value)
        return fields if fields is not None and fields.tracked() else None

    def emptied(self, tensor: Tensor) -> bool:
        """Return whether a tensor is empty, but would hold units' outputs if it had entries."""
        place = address(tensor)
        shadow = self._shadows.get(place)
        followed = shadow is not None and shadow.fields.tracked()
        return not tensor.numel() and (followed or place in self._empty)

    def derive(self, given: Iterable[Tensor], made: Iterable[Tensor], followed: bool) -> None:
        """Note that the result of an operation is empty."""
        if followed or any(map(self.emptied, given)):
            self._empty.update((address(one), one) for one in made if not one.numel())

    def come_from(self, given: Iterable[Tensor], made: Tensor) -> None:
        """Note that a tensor comes from the same module as the first of `given` that has one."""
        sources = (self.produced.get(address(one)) for one in given)
        name = next((source[0] for source in sources if source is not None), None)
        if name is not None:
            self.produced[address(made)] = (name, made)

    def partner(self, tensor: Tensor) -> str | None:
        """Return the name of the module that a tensor comes from, or None."""
        return self.produced.get(address(tensor), (None,))[0]

    def whose(self, tensor: Tensor) -> str:
        """Describe a tensor that meets units outside any module, for a message."""
        return self.parameters.get(address(tensor), "with no nn.Linear's weight")

    def any_of(self, value: Any) -> Fields | None:
        """Return the first followed tensor in nested tuples, lists and mappings."""
        return next(filter(None, map(self.of, leaves(value))), None)

    def follow(self, tensor: Tensor, fields: Fields) -> None:
        """Follow all entries of a tensor from here on."""
        self.write(tensor, fields, whole=True)

    def unite(self, ours: Tensor, theirs: Tensor) -> None:
        """Note that different labels met."""
        pairs = set(zip(ours.flatten().tolist(), theirs.flatten().tolist(), strict=True))
        where = f"{self.name()!r} in {self.path()}"
        known = {(tie.one, tie.other) for tie in self.ties}
        for one, other in sorted(pairs - known):
            self.ties.append(Tie(one, other, where))
            try:
                self.met(self.ties[-1])
            except Exception as error:
                self.refusal = self.refusal or error
                raise

    def write(
        self, tensor: Tensor, new: Fields, *, whole: bool = False, chosen: bool = False,
        written: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Note what is in a tensor after something was written there.

        Which part of a storage is written may depend on the data. So what the rest of it holds
        may be what is written, and the other way round.

        Parameters
        ----------
        tensor : Tensor
        new : Fields of its shape
        whole : bool
            The tensor is new.
        chosen : bool
            `new` says of all entries of the tensor what they may be.
        written : bool Tensor, optional
            Which entries of the tensor were written; by default all.
        """
        place = address(tensor)
        if place is None:
            if new.tracked():
                self.refuse(f"the operation {self.name()!r} on a tensor without plain memory")
            return
        shadow = self._shadows.get(place)
        if shadow is None:
            if (
                not new.tracked()
                and bool(new.masked.isnan().all())
                and not (new.labels == EMPTY).any()
            ):
                return
            shadow = self._shadows[place] = _Shadow(tensor, unknown(()))
        covers = tensor.numel() == shadow.count and not repeats(tensor)
        if covers and _alike(new) and written is None:
            first = new.map(lambda t: t.reshape(-1)[0].clone() if t.numel() else t.sum())
            shadow.fields = first
            return
        self.fields(tensor)  # refuses another dtype
        shadow.spread()
        before = shadow.of(tensor)
        if chosen and not covers and not whole:
            new = replace(new, steps=0)
            self._mark(shadow, new.labels, new.other, new.uncertain())
        elif written is not None or not (covers or whole or chosen):
            new = self._partly(shadow, before, new, written)
        state = new.state and (covers or shadow.fields.state or not shadow.fields.tracked())
        for field, value in zip(four(before), four(new), strict=True):
            field.copy_(value)
        origin = new.origin if covers else new.origin or shadow.fields.origin
        shadow.fields = replace(shadow.fields, steps=new.steps, origin=origin, state=state)

    def _partly(self, shadow: _Shadow, old: Fields, new: Fields, written: Tensor | None) -> Fields:
        """Return what a part of a storage holds when `new` is written over some of `old`."""
        if not new.labels.numel() and shadow.fields.tracked():
            self.refuse(f"{self.name()!r} into no entries at all; give an example that writes some")
        some = torch.ones_like(old.labels, dtype=torch.bool) if written is None else written
        fresh, ours, theirs = old.labels == EMPTY, new.units() & some, old.units() & some
        clash = ours & theirs & (old.labels != new.labels)
        if clash.any():
            self.unite(old.labels[clash], new.labels[clash])
        covered = theirs & ~ours  # what is written there is no unit's output
        rest = old.other  # its memory is the storage's, which is marked
        old = replace(old, other=old.other.clone())
        self._mark(shadow, old.labels, new.masked, covered & ~same(old.masked, new.masked))
        masked = torch.where(covered, old.masked, new.masked)
        instead = torch.where(covered, new.masked, old.masked)
        equal = fresh | same(masked, instead)
        other = torch.where(equal, torch.where(covered, old.other, new.other), instead)
        doubly = (new.uncertain() | (old.uncertain() & ~fresh)) & ~equal
        unsure = ~ours & ~theirs & ~fresh & ~same(new.masked, old.masked)
        return Fields(
            torch.where(some & ~covered, new.labels, old.labels),
            torch.where(some, torch.where(unsure, torch.nan, masked), old.masked),
            torch.where(some, torch.where(doubly | unsure, torch.nan, other), rest),
            torch.where(some, new.places, old.places),
            0,
            new.origin or old.origin or self.event(),
            new.state,
        )

    def _mark(self, shadow: _Shadow, labels: Tensor, values: Tensor, where: Tensor) -> None:
        """Note that other entries of the units at `where` may hold the value that is there."""
        if not where.any():
            return
        found = values.expand(where.shape)[where]
        value = found[0] if bool((found == found[0]).all()) else found.new_tensor(torch.nan)
        fields = shadow.fields
        units = torch.isin(fields.labels, labels[where]) & ~same(fields.masked, value)
        again = units & fields.uncertain() & ~same(fields.other, value)
        fields.other[units] = value
        fields.other[again] = torch.nan

    def event(self) -> int:
        """Return a new number for an operation that puts other values at some places."""
        self.events += 1
        return self.events
