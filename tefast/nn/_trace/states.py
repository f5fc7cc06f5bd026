"""Initial states among a model's arguments, and final states among what it returns."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from tefast.nn._layers.numbering import Numbering
from tefast.nn._layers.recurrent import Cell
from tefast.nn._layers.stack import join_state
from tefast.nn._trace.copies import deep_copy
from tefast.nn._trace.examples import Arguments, called, evaluated
from tefast.nn._trace.fields import OTHER, Fields, unknown, varying
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.kinds import is_reader
from tefast.nn._trace.members import hooked
from tefast.nn._trace.nested import Leaf, changed
from tefast.nn._trace.watching import unseen, watching

StateLabels = Mapping[int, Tensor]
"""Labels of the units in a tensor of the arguments, by its place among their tensors."""


def starts(
    layer: nn.Module, numbering: Numbering, name: str, state: Any
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the tensors of a state as a recurrent layer takes or gives it, and their labels."""
    lstm = isinstance(layer, nn.LSTMCell) or getattr(layer, "mode", None) == "LSTM"
    if state is None:
        return
    both = (numbering.outputs[name], numbering.hidden[name])
    for tensors, labels in zip(state if lstm else (state,), both, strict=False):
        if isinstance(layer, Cell):
            yield tensors, labels[0, 0].expand(tensors.shape)
        elif isinstance(tensors, Tensor):
            each = torch.stack(list(labels.values()))
            yield tensors, (each[:, None] if tensors.ndim == 3 else each).expand(tensors.shape)
        else:
            for one, label in zip(tensors, labels.values(), strict=True):
                yield one, label.expand(one.shape)


def given_states(
    model: nn.Module,
    names: Sequence[str],
    numbering: Numbering,
    arguments: Arguments,
    dtype: torch.dtype,
) -> StateLabels:
    """Find the arguments that layers of a model start from, at most moved or scaled.

    What reaches several units of one layer from one entry is no state: a time, or a flag.

    Parameters
    ----------
    model : nn.Module
        Copied.
    names : sequence of str
        Of the layers.
    numbering : Numbering
        Of their units.
    arguments : Arguments
    dtype : torch.dtype
        In which the model is run.
    """
    places = [n for n, one in enumerate(tensors_of(arguments)) if one.is_floating_point()]
    while places:
        found = _started(model, names, numbering, arguments, dtype, places)
        spread = {place for place, labels in found.items() if labels is None}
        if not spread:
            return {n: labels for n, labels in found.items() if bool((labels >= 0).any())}
        places = [place for place in places if place not in spread]
    return {}


def _started(
    model: nn.Module,
    names: Sequence[str],
    numbering: Numbering,
    arguments: Arguments,
    dtype: torch.dtype,
    places: Sequence[int],
) -> dict[int, Any]:
    """Return the units that entries of arguments reach; None if one reaches several of a layer."""
    twin = deep_copy(model, dtype=dtype, alone=True)
    own = cast(Arguments, changed(deep_copy(arguments, dtype=dtype, name="example"), _apart))
    every = tensors_of(own)
    tensors = [every[place] for place in places]
    layers = {twin.get_submodule(name): name for name in names}
    flow = Flow(sum(one.numel() for one in tensors), _drop, lenient=True)
    found, several = torch.full((flow.features,), OTHER), torch.zeros(flow.features).bool()
    start = 0
    for place, one in enumerate(every):  # a factor of states is no tensor as wide as the layer
        if place not in places and one.is_floating_point():
            flow.follow(one, unknown(tuple(one.shape), value=0.0))
    for one in tensors:
        numbers = torch.arange(start, start + one.numel()).view(one.shape)
        start += one.numel()
        zeros = torch.zeros(one.shape, dtype=torch.float64)
        flow.follow(one, Fields(numbers, zeros, zeros, torch.full(one.shape, OTHER)))

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        if module in layers and not flow.inside:
            state = args[1] if len(args) > 1 else kwargs.get("hx")
            with unseen():
                for tensor, labels in starts(module, numbering, layers[module], state):
                    known = flow.of(tensor)
                    if known is not None:
                        there = known.labels >= 0
                        entries, units = known.labels[there], labels[there]
                        found[entries] = units
                        several[_reaching_several(entries, units, numbering, layers[module])] = True
        flow.inside += is_reader(module) or module in layers

    def leave(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        flow.inside -= is_reader(module) or module in layers

    with evaluated(twin), hooked(twin, enter, leave), watching(flow):
        called(twin, own)
    counts = [one.numel() for one in tensors]
    labels, spread = torch.split(found, counts), torch.split(several, counts)
    return {
        place: None if bool(some.any()) else units.view(tensor.shape)
        for place, tensor, units, some in zip(places, tensors, labels, spread, strict=True)
    }


def _apart(value: Any) -> Any:
    """Return a copy, because the same zeros may be given as h_0 and as c_0."""
    return value.detach().clone() if isinstance(value, Tensor) else value


def _reaching_several(entries: Tensor, units: Tensor, numbering: Numbering, name: str) -> Tensor:
    """Return the entries that reach several units of one layer and direction."""
    found: list[int] = []
    for each in (numbering.outputs[name], numbering.hidden[name]):
        for labels in each.values():
            ours = (units >= labels[0]) & (units <= labels[-1])
            pairs = set(zip(entries[ours].tolist(), units[ours].tolist(), strict=True))
            counts = Counter(entry for entry, _ in pairs)
            found += [entry for entry, count in counts.items() if count > 1]
    return torch.tensor(found, dtype=torch.int64)


def _drop(reason: str, partner: Tensor | None = None) -> Any:
    raise ValueError(reason)


def tensors_of(arguments: Arguments) -> list[Tensor]:
    """Return the tensors among arguments, in an order of their own."""
    found: list[Tensor] = []

    def note(value: Any) -> Any:
        if isinstance(value, Tensor):
            found.append(value)
        return value

    changed(arguments, note)
    return found


def replaced(
    arguments: Arguments, states: StateLabels, change: Callable[[Tensor, Tensor], Any]
) -> Arguments:
    """Return a copy of arguments with `change` of each state and its labels in their place."""
    place = -1

    def one(value: Any) -> Any:
        nonlocal place
        if not isinstance(value, Tensor):
            return value
        place += 1
        return change(value, states[place]) if place in states else value

    return cast(Arguments, changed(deep_copy(arguments, name="example"), one))


def zeroed_states(arguments: Arguments, states: StateLabels, gone: Tensor) -> Arguments:
    """Return a copy of arguments in which the states of removed units are 0."""
    return replaced(
        arguments,
        states,
        lambda t, labels: t.detach().masked_fill(_gone(labels, gone).to(t.device), 0),
    )


def cut_states(arguments: Arguments, states: StateLabels, gone: Tensor) -> Arguments:
    """Return a copy of arguments in which the states of removed units are missing."""
    return replaced(arguments, states, lambda t, labels: cut(t, labels, gone))


def _gone(labels: Tensor, gone: Tensor) -> Tensor:
    return (labels >= 0) & gone[labels.clamp(min=0)]


def cut(tensor: Tensor, labels: Tensor, gone: Tensor) -> Any:
    """Return a state without the removed units, in the shape that the smaller layer takes."""
    axes, kept = varying(labels), ~_gone(labels, gone)
    if not axes:
        return tensor
    if len(axes) == 1:
        others = [a for a in range(-labels.ndim, 0) if a != axes[0]]
        index = kept.amin(others).nonzero().flatten() if others else kept.nonzero().flatten()
        return tensor.index_select(axes[0], index.to(tensor.device))
    each = [cut(*parts, gone) for parts in zip(tensor, labels, strict=True)]
    return join_state(each)


def kept_entries(found: Sequence[Leaf], labels: Mapping[str, Tensor], gone: Tensor) -> list[Leaf]:
    """Return the results of a masked model; states have only the kept entries, in a row."""
    return [
        (where, leaf[~_gone(labels[where], gone).to(leaf.device)] if where in labels else leaf)
        for where, leaf in found
    ]


def joined_entries(found: Sequence[Leaf], labels: Mapping[str, Tensor]) -> list[Leaf]:
    """Return the results of a pruned model; states have their entries in a row."""
    left: list[Leaf] = []
    entries: dict[str, list[Tensor]] = {}
    for where, leaf in found:
        of = next((one for one in labels if where == one or where.startswith(f"{one}[")), None)
        if of is None:
            if where not in {f"the kind of {one}" for one in labels}:
                left.append((where, leaf))
            continue
        if of not in entries:
            left.append((of, None))
        entries.setdefault(of, []).append(leaf.flatten())
    return [(w, torch.cat(entries[w]) if w in entries else leaf) for w, leaf in left]
