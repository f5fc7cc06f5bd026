"""Batches in the forms that users have: moved to a device, and what lies where in them."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Batch: TypeAlias = Any
"""A sequence such as (x, labels) or (x, labels, lengths), a mapping, or what `forward` takes."""

Forward: TypeAlias = Callable[[nn.Module, Batch], Any]
FromResult: TypeAlias = Callable[[Any, Batch], Any]

Place: TypeAlias = int | str | Callable[[Batch], Any]
"""Where something lies in a batch: a position, a key, or a function of the batch."""


def run_model(model: nn.Module, batch: Batch) -> Any:
    """Run a model on the first item of a batch.

    Raises
    ------
    TypeError
        If the batch has no first item, or the model does not take one argument.
    """
    if not isinstance(batch, tuple | list) or not batch:
        raise TypeError(
            f"batch: expected a tuple such as (x, labels), got {type(batch).__name__}; for others "
            "give forward=function(model, batch), such as lambda model, batch: model(**batch)"
        )
    try:
        return model(batch[0])
    except TypeError as error:
        raise TypeError(
            f"{error} (the model was run as model(batch[0]); for other arguments give "
            "forward=function(model, batch), such as lambda model, batch: model(*batch[:2]))"
        ) from error


def moved(batch: Batch, device: torch.device, *, copied: bool = False) -> Batch:
    """Return a batch with its tensors on a device; the caller's own stays as it is.

    Parameters
    ----------
    batch : any nesting of tuples, lists, mappings, packed sequences and tensors
        Other objects are passed on as they are.
    device : torch.device
    copied : bool
        Copy tensors that lie there already, too, so that they may be changed in place.
    """
    if isinstance(batch, Tensor):
        return batch.to(device, copy=copied)
    if isinstance(batch, PackedSequence):
        data = batch.data.to(device, copy=copied)
        indices = (None if one is None else one.to(device) for one in batch[2:])
        return PackedSequence(data, batch.batch_sizes, *indices)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(one, device, copied=copied) for one in batch))
    if isinstance(batch, tuple | list):
        return type(batch)([moved(one, device, copied=copied) for one in batch])
    if isinstance(batch, Mapping):
        items = {key: moved(value, device, copied=copied) for key, value in batch.items()}
        plain = type(batch) is dict or not isinstance(batch, MutableMapping)
        return items if plain else _refilled(batch, items)
    return batch


def labels_of(batch: Batch, place: Place | None) -> Tensor:
    """Return the labels or targets of a batch: by default its second item, or "labels".

    Raises
    ------
    TypeError, ValueError
        If there are none, or they are no tensor.
    """
    if place is None:
        place = "labels" if isinstance(batch, Mapping) else 1
    labels = _at(batch, place, "labels")
    if not isinstance(labels, Tensor):
        raise TypeError(
            f"labels: expected a tensor, got {type(labels).__name__}; labels= says where they lie "
            "in a batch"
        )
    return labels


def lengths_of(batch: Batch, place: Place | bool | None) -> Any:
    """Return the lengths that a batch holds: by default its third item, or "lengths".

    Parameters
    ----------
    batch : Batch
    place : Place, optional
        False where a batch holds none.

    Returns
    -------
    Whatever lies there; None if nothing does
    """
    if place is False:
        return None
    if place is None or place is True:
        if isinstance(batch, Mapping):
            return batch.get("lengths")
        return batch[2] if isinstance(batch, tuple | list) and len(batch) > 2 else None
    return _at(batch, place, "lengths")


def read_again(batches: Iterable[Batch], unless: str | None = None) -> None:
    """Raise TypeError if `batches` can be read only once; `unless` is what would do with that."""
    if isinstance(batches, Iterator):
        instead = f"; with {unless}= they would be read once" if unless else ""
        raise TypeError(
            "batches: they are read more than once; expected an iterable that can be read again, "
            f"such as a list, got {type(batches).__name__}{instead}"
        )


def each_of(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield every batch, or raise ValueError if there is none."""
    empty = True
    for batch in batches:
        empty = False
        yield batch
    if empty:
        raise ValueError("batches: expected at least one batch, got none")


def _at(batch: Batch, place: Place, name: str) -> Any:
    if callable(place):
        return place(batch)
    try:
        return batch[place]
    except (LookupError, TypeError) as error:
        of = type(batch).__name__
        held = f"a {of} of {len(batch)} items" if isinstance(batch, tuple | list) else f"a {of}"
        if isinstance(batch, Mapping):
            held += f" with {', '.join(map(repr, batch))}"
        raise ValueError(
            f"{name}: expected them at {place!r} of the batch, got {held}; {name}= says where they "
            "lie, as a position, a key or a function of the batch"
        ) from error


def _refilled(batch: Any, items: dict[Any, Any]) -> Any:
    """A copy of a mapping of another class, such as that of a tokenizer."""
    twin = copy.copy(batch)
    for key, value in items.items():
        twin[key] = value
    return twin
