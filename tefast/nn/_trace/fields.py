"""What is known of each entry of a tensor: its unit, and its value if that unit is masked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

OTHER = -1
"""The label of an entry that is not the output of a unit."""
EMPTY = -(1 << 52)
"""The label of memory that was allocated but not yet written."""
BASE = 1 << 24
"""A place is ``BASE * sequence + step``, or negative where it is not known."""
_LEAVES = frozenset([Tensor, nn.Parameter, bool, int, float, str, type(None), torch.dtype])
"""Types that pytree takes for leaves."""


@dataclass(frozen=True)
class Fields:
    """What is known of the entries of a tensor.

    Attributes
    ----------
    labels : LongTensor
        `OTHER`, `EMPTY` or whose output an entry is.
    masked : float64 Tensor
        Of a unit's output: what the entry is when the unit is masked. Of others: what the entry is
        if the code of the model fixes it, such as a 0 from ``torch.zeros``. NaN if not known.
    other : float64 Tensor
        What the entry may be instead, at places that depend on the data: padding, or what a mask
        was filled with. Equal to `masked` if there is nothing such.
    places : LongTensor
        Sequence and step of the entry in what was padded or masked, else in the layer's output.
    steps : int
        How many steps a sequence has there; 0 if it is not sure that one of them keeps `masked`.
    origin : int
        Which padding or mask `other` comes from; 0 for none, -1 for several.
    state : bool
        Whether all units' entries come from final states alone.
    """

    labels: Tensor
    masked: Tensor
    other: Tensor
    places: Tensor
    steps: int = 0
    origin: int = 0
    state: bool = False

    def map(self, function: Callable[[Tensor], Tensor]) -> "Fields":
        """Return fields with the function of every tensor."""
        labels, masked, other, places = map(function, four(self))
        return Fields(labels, masked, other, places, self.steps, self.origin, self.state)

    def tracked(self) -> bool:
        """Return whether any entry is a unit's output."""
        return bool(((self.labels != OTHER) & (self.labels != EMPTY)).any())

    def units(self) -> Tensor:
        """Return which entries are a unit's output."""
        return (self.labels != OTHER) & (self.labels != EMPTY)

    def uncertain(self) -> Tensor:
        """Return which entries may be something else at places that depend on the data."""
        return ~same(self.masked, self.other)


def unknown(shape: tuple[int, ...], label: int = OTHER, value: float = torch.nan) -> Fields:
    """Return fields of entries that are not outputs of units."""
    number = torch.tensor(value, dtype=torch.float64).expand(shape)
    labels, places = torch.tensor(label).expand(shape), torch.tensor(-1).expand(shape)
    return Fields(labels, number, number, places)


def same(one: Tensor, other: Tensor) -> Tensor:
    """Return where values are equal, NaN with NaN."""
    return (one == other) | (one.isnan() & other.isnan())


def varying(labels: Tensor) -> list[int]:
    """Return the axes, counted from the end (-1 the last), along which labels differ.

    Entries that are no unit's output count as the others along the axis.
    """
    return [axis for axis in range(-labels.ndim, 0) if joined(labels, [axis]) is None]


def joined(labels: Tensor, axes: list[int]) -> Tensor | None:
    """Return the only label along `axes`, which are kept as 1; None if there are several.

    Parameters
    ----------
    labels : LongTensor
    axes : list of int

    Returns
    -------
    LongTensor, `OTHER` where no unit's output is, or None
    """
    nothing = (labels == OTHER) | (labels == EMPTY)
    if not axes:  # of no axes, PyTorch would reduce all
        return torch.where(nothing, OTHER, labels)
    if not labels.numel():
        return labels.sum(axes, keepdim=True) + OTHER
    least = torch.where(nothing, BASE * BASE, labels).amin(axes, keepdim=True)
    most = torch.where(nothing, -BASE * BASE, labels).amax(axes, keepdim=True)
    found = least <= most
    if bool((found & (least != most)).any()):
        return None
    return torch.where(found, least, OTHER)


def columns(labels: Tensor) -> Tensor | None:
    """Return labels in which what no unit gave counts to the unit whose feature it lies in.

    Where steps of one feature are a unit's outputs and others are zeros of the code, all of it
    goes with the unit. None if the features are not along an axis.
    """
    axes = varying(labels)
    label = joined(labels, [axis for axis in range(-labels.ndim, 0) if axis not in axes])
    if label is None:
        return None
    return torch.where((labels == OTHER) | (labels == EMPTY), label, labels)


def address(tensor: Tensor) -> Any:
    """Return what names the memory of a tensor, or None if it has none of its own."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return None


def leaves(value: Any) -> list[Any]:
    """Return what nested tuples, lists and mappings hold, as ``pytree.tree_leaves`` does."""
    found: list[Any] = []
    _gather(value, found)
    return found


def _gather(value: Any, found: list[Any]) -> None:
    kind = type(value)  # pytree takes several times as long, and this is done at every operation
    if kind is tuple or kind is list:
        for one in value:
            _gather(one, found)
    elif kind is dict:
        for one in value.values():
            _gather(one, found)
    elif kind in _LEAVES:
        found.append(value)
    else:
        found += pytree.tree_leaves(value)


def four(fields: Fields) -> tuple[Tensor, ...]:
    """Return the tensors of fields, in their order."""
    return fields.labels, fields.masked, fields.other, fields.places


def _alike(fields: Fields) -> bool:
    return not fields.tracked() and all(
        bool(same(t, t.reshape(-1)[:1]).all()) for t in four(fields)
    )


def repeats(tensor: Tensor) -> bool:
    return any(
        size > 1 and not step for size, step in zip(tensor.shape, tensor.stride(), strict=True)
    )


def places_of(output: Tensor, batch_first: bool) -> Tensor:
    """Return sequence and step of every entry of a layer's output."""
    if output.ndim == 2:
        return torch.arange(len(output))[:, None].expand(output.shape)
    sequence, step = (0, 1) if batch_first else (1, 0)
    each = torch.arange(output.shape[sequence])[:, None] * BASE + torch.arange(output.shape[step])
    return (each if batch_first else each.T)[..., None].expand(output.shape)
