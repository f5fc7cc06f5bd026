"""Rules for padding and masks, which put values at places that depend on the data."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from tefast.nn._trace.fields import BASE, OTHER, Fields, joined, same, unknown, varying
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.operations import check_width, label, pointwise
from tefast.nn._trace.reductions import along
from tefast.nn._trace.rules import Call, rule


@rule("where")
def _where(call: Call) -> None:
    condition = call["condition"]
    if call["self"] is None:
        if _known(call, condition):
            call.refuse("the operation {name}")
    elif _known(call, condition):
        pointwise(call)
    else:
        _choose(call, condition, [call["self"], call["other"]])


@rule("masked_fill")
def _masked_fill(call: Call) -> None:
    number = call["value"]
    if not isinstance(number, Tensor):
        number = torch.tensor(float(number), dtype=torch.float64)
        call.flow.follow(number, unknown((), value=float(number)))
    _fill(call, call["mask"], number)


def _fill(call: Call, mask: Tensor, number: Tensor) -> None:
    if _known(call, mask):
        where = torch.ops.aten.where.self
        replaced = Call(call.flow, where, (mask, number, call["self"]), {}, call.result)
        replaced.in_place = call.in_place
        pointwise(replaced)
    else:
        _choose(call, mask, [call["self"], number])


@rule("index_fill")
def _index_fill(call: Call) -> None:
    value = call["value"]
    if call.flow.of(call["index"]) is not None:
        call.refuse("{name} with an index made of them")
    written = torch.zeros(call["self"].shape, dtype=torch.bool)
    written = written.index_fill(call["dim"], call["index"].cpu(), True)
    if call.flow.fields(call["self"]) is not None:
        _overwrite(call, written, call.fields(value))


_WRITTEN = {
    **dict.fromkeys(("index_put", "_index_put_impl", "_unsafe_index_put"), "values"),
    **dict.fromkeys(("masked_scatter", "index_copy"), "source"),
    "scatter": "src",
}


@rule(*_WRITTEN)
def _index_put(call: Call) -> None:
    """Values at indexed places; a mask with one number is the same as ``masked_fill``."""
    target, given = call["self"], call[_WRITTEN[call.name]]
    given = call["value"] if given is None else given
    others = [t for t in call.tensors if t is not target and t is not given]
    followed = [call.flow.of(tensor) is not None for tensor in others]
    if call.flow.fields(target) is None and call.flow.of(given) is None and not any(followed):
        return
    if call["accumulate"] or call["reduce"] is not None:
        call.refuse("{name}, which adds or multiplies")
    indices = call["indices"]
    single = isinstance(given, Tensor) and given.numel() == 1 and call.flow.of(given) is None
    if indices is not None and len(indices) == 1 and indices[0].dtype == torch.bool and single:
        mask = indices[0].reshape(*indices[0].shape, *[1] * (target.ndim - indices[0].ndim))
        _fill(call, mask, given.reshape(()))
        return
    if any(followed):
        call.refuse("{name} with an index made of them")
    fields = call.fields(given)
    there = _placed(call, torch.ones(fields.labels.shape).double()) > 0
    placed = [
        _placed(call, t.double())
        for t in (fields.labels, fields.masked, fields.other, fields.places)
    ]
    labels, masked, other, places = placed
    _overwrite(
        call,
        there,
        Fields(labels.long(), masked, other, places.long(), 0, fields.origin, fields.state),
    )


def _placed(call: Call, values: Tensor) -> Tensor:
    """Return what the operation makes of zeros and of other values."""
    names = [argument.name for argument in call.functional._schema.arguments]
    given = dict(zip(names, map(_on_cpu, call.args), strict=False))
    given["self"] = torch.zeros(call["self"].shape, dtype=torch.float64)
    if call.name != "scatter":
        return cast(Tensor, call.functional(*(given | {_WRITTEN[call.name]: values}).values()))
    values = values.expand(given["index"].shape) if values.ndim == 0 else values
    return torch.scatter(given["self"], given["dim"], given["index"], values)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_on_cpu(one) for one in value]
    return value.cpu() if isinstance(value, Tensor) else value


def _overwrite(call: Call, written: Tensor, fields: Fields) -> None:
    """Note that entries were given new values, at places that depend on the data."""
    if not call.in_place:
        call.put(call.fields(call["self"]))
    shape = written.shape
    call.flow.write(call.output, fields.map(lambda t: t.expand(shape)), written=written)


def _known(call: Call, mask: Tensor) -> bool:
    """Return whether a mask is made of units' outputs, so that it is known for a masked unit."""
    return call.flow.of(mask) is not None


def _choose(call: Call, mask: Tensor, tensors: list[Tensor]) -> None:
    """Note a result that takes each entry from one of two tensors, depending on the data."""
    if all(call.flow.fields(tensor) is None for tensor in tensors):
        return
    shape = call.output.shape
    ours, theirs = (call.fields(t).map(lambda x: x.expand(shape)) for t in tensors)
    if not (ours.tracked() or theirs.tracked()):
        known = torch.where(same(ours.masked, theirs.masked), ours.masked, torch.nan)
        call.put(replace(unknown(tuple(shape)), masked=known, other=known))
        return
    if call.open(ours) or call.open(theirs):
        call.refuse("the operation {name} on what a LayerNorm gives")
    labels = label(call, [ours, theirs])
    wide = [unknown(tuple(shape)), ours, theirs]
    check_width(call, [mask, *tensors], wide, labels)
    units, first = labels != OTHER, ours.units()
    masked = torch.where(first | ~units, ours.masked, theirs.masked)
    filled = torch.where(first | ~units, theirs.masked, ours.masked)
    if bool((units & (masked.isnan() | filled.isnan())).any()):
        call.refuse("{name} with another tensor, after which a masked unit is not 0")
    both = ours.units() & theirs.units() & ~same(ours.masked, theirs.masked)
    _put_choice(call, mask, labels, masked, filled, [ours, theirs], bool(both.any()))


def _put_choice(
    call: Call, mask: Tensor, labels: Tensor, masked: Tensor, filled: Tensor, each: list[Fields],
    both: bool,
) -> None:  # fmt: skip
    main = next(one for one in each if one.tracked())
    state = all(one.state for one in each if one.tracked())
    unsure = [one.uncertain() & (labels != OTHER) for one in each]
    if bool(same(masked, filled).all()):  # nothing changes, for a masked unit
        other = torch.where(unsure[0], each[0].other, torch.where(unsure[1], each[1].other, masked))
        if bool((unsure[0] & unsure[1] & ~same(each[0].other, each[1].other)).any()):
            call.refuse("{name} of what was padded or masked in two ways")
        call.put(Fields(labels, masked, other, main.places, main.steps, main.origin, state))
        return
    for one, some in zip(each, unsure, strict=True):
        if bool((some & ~same(one.other, filled)).any()):
            call.refuse("{name} of what was padded or masked before")
    places, steps = numbered(labels, main.places, mask)
    fields = Fields(labels, masked, filled, places, 0 if both else steps, call.flow.event(), state)
    call.flow.write(call.output, fields.map(lambda t: t.expand(labels.shape)), chosen=True)


def numbered(labels: Tensor, places: Tensor, mask: Tensor | None) -> tuple[Tensor, int]:
    """Return new places of what is masked, and how many steps a sequence has.

    Parameters
    ----------
    labels, places : LongTensor of the same shape
        Places say which axis the steps are along.
    mask : Tensor that broadcasts to that shape, optional

    Returns
    -------
    places : LongTensor
    steps : int
        0 unless the mask differs from step to step, so that it may leave some.
    """
    axis = step_axis(labels, places)
    if axis is None:
        return places, 0
    if mask is not None:
        spread = mask.ndim >= -axis and mask.shape[axis] > 1 and mask.stride(axis)
        if not spread:
            return places, 0
    return _count(labels, axis), labels.shape[axis]


def _count(labels: Tensor, axis: int) -> Tensor:
    steps = labels.shape[axis]
    others = [a for a in range(-labels.ndim, 0) if a != axis and a not in varying(labels)]
    sequence = torch.zeros([1] * labels.ndim, dtype=torch.int64)
    for other in others:
        size = labels.shape[other]
        along = torch.arange(size).view([size if a == other else 1 for a in range(-labels.ndim, 0)])
        sequence = sequence * size + along
    step = torch.arange(steps).view([steps if a == axis else 1 for a in range(-labels.ndim, 0)])
    return (sequence * BASE + step).expand(labels.shape)


def step_axis(labels: Tensor, places: Tensor) -> int | None:
    """Return the axis along which there are steps of one sequence, or None if it is not sure."""
    units = varying(labels)
    found = []
    for axis in range(-labels.ndim, 0):
        if axis in units or labels.shape[axis] < 2:
            continue
        known = places >= 0
        sequence = torch.where(known, places // BASE, OTHER)
        step = torch.where(known, places % BASE, OTHER)
        if joined(sequence, [axis]) is not None and joined(step, [axis]) is None:
            found.append(axis)
    return found[0] if len(found) == 1 else None


@rule("constant_pad_nd")
def _pad(call: Call) -> None:
    """Padding by steps that hold a number; how many there are may depend on the data."""
    known = call.flow.fields(call["self"])
    if known is None:
        return
    if call.open(known):
        call.refuse("padding of what a LayerNorm gives")
    value, pads = float(call["value"]), list(call["pad"])
    axes, fields, more = varying(known.labels), known, False
    for number in range(len(pads) // 2):
        axis = -1 - number
        size = fields.labels.shape[axis]
        index = torch.arange(-pads[2 * number], size + pads[2 * number + 1])
        there = partial(torch.index_select, dim=axis, index=index.clamp(0, max(size - 1, 0)))
        fields = fields.map(there)
        if axis in axes:  # more features, which are no unit's
            new = ((index < 0) | (index >= size)).view([-1] + [1] * number)
            fields = _filled(fields, new, value)
        else:
            more = True
    if more:
        fields = _maybe(call, fields, torch.tensor(value).double())
    call.put(fields)


def _filled(fields: Fields, new: Tensor, value: float) -> Fields:
    return replace(
        fields,
        labels=torch.where(new, OTHER, fields.labels),
        masked=torch.where(new, value, fields.masked),
        other=torch.where(new, value, fields.other),
        places=torch.where(new, OTHER, fields.places),
    )


def _maybe(call: Call, fields: Fields, value: Tensor) -> Fields:
    """Return fields that say of every entry that it may be a number instead."""
    differs = ~same(fields.masked, value) & ~fields.masked.isnan()
    if not bool(differs.any()):
        return fields
    if bool((fields.uncertain() & differs & ~same(fields.other, value)).any()):
        call.refuse("{name} of what was padded or masked before")
    other = torch.where(differs, value, fields.other)
    places, steps = numbered(fields.labels, fields.places, None)
    return Fields(
        fields.labels, fields.masked, other, places, steps, call.flow.event(), fields.state
    )


def pad_packed(flow: Flow, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Follow packed rows into padded sequences, whatever their lengths."""
    names = ("data", "batch_sizes", "batch_first", "padding_value", "total_length")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    value = float(given.get("padding_value", 0.0))
    return _unpacked(flow, func, args, kwargs, given["data"], given["batch_first"], value)


def pad_list(flow: Flow, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Follow a list of sequences into one padded tensor, whatever their lengths."""
    names = ("sequences", "batch_first", "padding_value", "padding_side")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    value = float(given.get("padding_value", 0.0))
    rows = torch.cat(list(given["sequences"]))
    first = bool(given.get("batch_first", False))
    return _unpacked(flow, func, args, kwargs, rows, first, value)


def _unpacked(
    flow: Flow, func: Any, args: Any, kwargs: Any, data: Tensor, batch_first: bool, value: float
) -> Any:
    known = flow.of(data)
    if known is None:
        return func(*args, **kwargs)
    with torch._C._DisableTorchDispatch():  # what it is made of is not followed, nor is this
        result = func(*args, **kwargs)
        padded = result[0] if isinstance(result, tuple) else result
        flow.follow(padded, _padded(flow, known, padded.shape, batch_first, value))
    return result


def _padded(
    flow: Flow, known: Fields, shape: torch.Size, batch_first: bool, value: float
) -> Fields:
    found = along(flow, known, -1)
    labels, masked = found.labels.expand(shape), found.masked.expand(shape)
    if bool(((labels >= flow.features) | (labels < OTHER)).any()):
        flow.refuse("padding of what a LayerNorm gives")
    if bool((found.uncertain() & found.units()).any()):
        flow.refuse(f"{flow.name()!r} of what was padded or masked before")
    axes = (0, 1) if batch_first else (1, 0)
    sequence, step = (
        torch.arange(shape[a]).view([-1 if i == a else 1 for i in range(len(shape))]) for a in axes
    )
    places = (sequence * BASE + step).expand(shape)
    other = torch.where(labels >= 0, value, found.other.expand(shape))
    fields = Fields(labels, masked, other, places, shape[axes[1]], flow.event(), found.state)
    return fields if bool(fields.uncertain().any()) else replace(fields, origin=0)


@rule("_pack_padded_sequence")
def _pack(call: Call) -> None:
    known = call.flow.of(call["input"])
    if known is None:
        return
    found = along(call.flow, known, -1)
    packed = call.output
    call.put(found.map(lambda t: t.expand(packed.shape)))


FUNCTIONS = {"_pad_packed_sequence": pad_packed, "pad_sequence": pad_list}
"""How to call functions of PyTorch as one operation, by their names."""
