"""Rules for operations that act on single entries or only move entries."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tefast.nn._trace.fields import EMPTY, OTHER, Fields, address, four, leaves, unknown, varying
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.rules import RULES, Call, OperationRule, is_pointwise, rule

# PyTorch tags the others as pointwise itself.
_ALSO_POINTWISE = ("hardswish", "_prelu_kernel", "log_sigmoid_forward")
_MOVES = (
    "clone", "_to_copy", "cat", "stack", "repeat", "roll", "flip", "rot90", "index",
    "_unsafe_index", "index_select", "gather", "take", "masked_select", "replication_pad1d",
    "replication_pad2d", "reflection_pad1d", "reflection_pad2d", "upsample_nearest1d",
    "_upsample_nearest_exact1d", "upsample_nearest2d", "select_scatter", "slice_scatter",
    "_reshape_copy",
)  # fmt: skip
_CREATED: dict[str, float | str] = {
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros"), 0.0),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), 1.0),
    **dict.fromkeys(("full", "full_like", "new_full"), "fill_value"),
    "scalar_tensor": "s",
}
_ALLOCATED = ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided")
_LEAVING = ("_local_scalar_dense", "equal", "is_nonzero", "item")


def apply(flow: Flow, func: Any, args: Any, kwargs: Any, again: Callable[[], Any]) -> Any:
    """Do an operation, and change the labels by its rule.

    Parameters
    ----------
    flow : Flow
    func : torch._ops.OpOverload
    args, kwargs
    again : callable
        Gives a context in which what an operation is made of is followed.

    Returns
    -------
    What the operation returns
    """
    call = Call(flow, func, args, kwargs)
    followed = flow.any_of((args, kwargs)) is not None
    chosen = _rule(call)
    if followed and chosen is None and func._can_decompose():
        with again():
            return func.decompose(*args, **kwargs)
    before = {address(tensor) for tensor in call.tensors}
    call.result = func(*args, **kwargs)
    try:
        _note(call, chosen, followed, before)
    except Exception:
        if not flow.lenient:
            raise
    return call.result


def _note(call: Call, chosen: OperationRule | None, followed: bool, before: set[Any]) -> None:
    """Note what an operation has done, or refuse it."""
    func, flow = call.func, call.flow
    found = [leaf for leaf in leaves(call.result) if isinstance(leaf, Tensor)]
    flow.derive(call.tensors, found, followed)
    if found and not followed and chosen in (pointwise, _move):
        flow.come_from(call.tensors, found[0])
    if chosen is not None:
        if found:
            chosen(call)
    elif func._schema.is_mutable:
        _changed(call, followed)
    elif followed and not found:
        if call.name in _LEAVING:
            call.refuse("{name}, after which they cannot be followed")
    elif followed and not all(address(tensor) in before for tensor in found):
        call.refuse("the operation {name}")


def _rule(call: Call) -> OperationRule | None:
    if call.func.namespace != "aten" or call.func._schema.is_mutable > call.in_place:
        return RULES[call.name] if call.name == "rrelu_with_noise" else None
    if call.name in RULES:
        return RULES[call.name]
    if torch.Tag.view_copy in call.func.tags and "neg" not in call.name:
        return _move
    return pointwise if is_pointwise(call.functional) else None


def _changed(call: Call, followed: bool) -> None:
    """Handle an operation that writes into a tensor and has no rule."""
    if torch.Tag.inplace_view in call.func.tags and call.name not in ("set", "resize"):
        return  # of the shape alone
    written = [
        value
        for value, argument in zip(call.args, call.func._schema.arguments, strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    written += [
        call.kwargs[a.name]
        for a in call.func._schema.arguments
        if a.name in call.kwargs and a.alias_info is not None and a.alias_info.is_write
    ]
    random = torch.Tag.nondeterministic_seeded in call.func.tags
    if followed and not (random and all(call.flow.of(t) is None for t in call.tensors[1:])):
        call.refuse("the in-place operation {name}")
    for tensor in leaves(written):
        if isinstance(tensor, Tensor) and call.flow.fields(tensor) is not None:
            call.flow.write(tensor, unknown(tuple(tensor.shape)))


@rule(*_CREATED)
def _create(call: Call) -> None:
    value = _CREATED[call.name]
    number = call[value] if isinstance(value, str) else value
    if isinstance(number, bool | int | float):
        call.put(unknown(tuple(call.output.shape), value=float(number)))


@rule(*_ALLOCATED)
def _allocate(call: Call) -> None:
    call.put(unknown(tuple(call.output.shape), EMPTY))


@rule("lift_fresh")
def _lift(call: Call) -> None:
    """A number in the code, which PyTorch makes a tensor of."""
    tensor = call.output
    if tensor.ndim == 0 and not tensor.is_complex():
        call.put(unknown((), value=float(tensor)))


@rule("fill", "zero")
def _fill_all(call: Call) -> None:
    call.put(call.fields(0.0 if call.name == "zero" else call["value"]))


@rule("copy")
def _copy(call: Call) -> None:
    target, source = call.args[:2]
    if call.flow.fields(target) is not None or call.flow.fields(source) is not None:
        fields = call.fields(source)
        call.put(_cast(fields, target.dtype))


@rule(*_MOVES)
def _move(call: Call) -> None:
    data = call.args[0]
    moved = data if isinstance(data, list | tuple) else [data]
    if call.name.endswith("_scatter"):
        moved = list(call.args[:2])
    known = [call.flow.fields(tensor) for tensor in moved]
    if not any(fields is not None for fields in known):
        return
    ids = {id(tensor) for tensor in moved}
    if any(id(tensor) not in ids and call.flow.of(tensor) is not None for tensor in call.tensors):
        call.refuse("{name} with an index made of them")
    each = [call.fields(tensor) for tensor in moved]
    fields = _common([f for f, k in zip(each, known, strict=True) if k is not None])
    if call.name == "_to_copy":
        call.put(_cast(each[0], call.output.dtype))
        return
    labels, masked, other, places = (
        _moved(call, dict(zip(map(id, moved), values, strict=True)))
        for values in zip(*map(four, each), strict=True)
    )
    call.put(Fields(labels.long(), masked, other, places.long(), *fields))


def _moved(call: Call, values: dict[int, Tensor]) -> Tensor:
    """Return what the operation makes of other tensors in the place of those it moves."""
    numbers = {name: value.double() for name, value in values.items()}
    args, kwargs = pytree.tree_map(lambda leaf: _instead(numbers, leaf), (call.args, call.kwargs))
    return cast(Tensor, call.functional(*args, **kwargs))


def _instead(values: dict[int, Tensor], leaf: Any) -> Any:
    if id(leaf) in values:
        return values[id(leaf)]
    return leaf.cpu() if isinstance(leaf, Tensor) else leaf


def _common(fields: list[Fields]) -> tuple[int, int, bool]:
    """Return steps, origin and state of a tensor that is made of several."""
    ours = [one for one in fields if one.tracked()] or fields
    steps = {one.steps for one in ours}
    origins = {one.origin for one in ours if one.origin}
    origin = next(iter(origins), 0) if len(origins) < 2 else -1
    return steps.pop() if len(steps) == 1 else 0, origin, all(one.state for one in ours)


def _cast(fields: Fields, dtype: torch.dtype) -> Fields:
    """Return fields of values of another type; it matters if that type has no fractions."""
    if dtype.is_floating_point:
        return fields
    masked, other = (
        torch.where(v.isfinite(), v.nan_to_num().to(dtype).double(), torch.nan)
        for v in (fields.masked, fields.other)
    )
    return Fields(
        fields.labels, masked, other, fields.places, fields.steps, fields.origin, fields.state
    )


@rule(*_ALSO_POINTWISE)
def pointwise(call: Call) -> None:
    """Note the labels and masked values that an operation on single entries gives."""
    tensors, shape = call.tensors, call.output.shape
    known = [call.flow.fields(tensor) for tensor in tensors]
    followed = any(fields is not None and fields.tracked() for fields in known)
    if not followed and any(fields is None for fields in known):
        _untracked(call, tensors, known)
        return
    each = [call.fields(tensor).map(lambda t: t.expand(shape)) for tensor in tensors]
    if any(map(call.open, each)):
        call.refuse("the operation {name} on what a LayerNorm gives")
    labels = label(call, each)
    check_width(call, tensors, each, labels)
    masked, unsure = value(call, tensors, [one.masked for one in each])
    if bool((unsure & (labels >= 0)).any()):
        call.refuse("{name} with another tensor, after which a masked unit is not 0")
    uncertain = [one for one in each if bool(one.uncertain().any())]
    other, first = masked, each[0]
    if uncertain:
        first = uncertain[0]
        for one in uncertain[1:]:
            # Places that are not known are not the same: of one tensor these may be two parts.
            known_places = bool((one.places[one.uncertain()] >= 0).all())
            together = one.origin == first.origin > 0 and torch.equal(one.places, first.places)
            if not (together and known_places):
                call.refuse("{name} of what was padded or masked in two ways")
        other, doubtful = value(call, tensors, [one.other for one in each])
        other = torch.where(doubtful & (labels >= 0), torch.nan, other)
    ours = [one for one in each if one.tracked()] or each
    lead = first if uncertain else ours[0]
    state = all(one.state for one in ours)
    call.put(
        Fields(
            labels, masked, other, lead.places, lead.steps, lead.origin if uncertain else 0, state
        )
    )


def _untracked(call: Call, tensors: list[Tensor], known: list[Fields | None]) -> None:
    """Note of what no unit's output went into where it is 0 all the same: a 0 times something."""
    if all(one is None for one in known):
        return
    nothing = unknown(tuple(call.output.shape))
    each = [call.fields(tensor).map(lambda t: t.expand(call.output.shape)) for tensor in tensors]
    if not any(bool(one.uncertain().any()) for one in each):
        zero = _zero(call, tensors, [one.masked for one in each])
        values = torch.where(zero, 0.0, nothing.masked)
        nothing = replace(nothing, masked=values, other=values)
    call.put(nothing)


def label(call: Call, each: list[Fields]) -> Tensor:
    """Return the label of every entry that is made of several; note those that met."""
    labels = each[0].labels
    labels = torch.where(labels == EMPTY, OTHER, labels)
    for one in each[1:]:
        theirs = torch.where(one.labels == EMPTY, OTHER, one.labels)
        clash = (labels != OTHER) & (theirs != OTHER) & (labels != theirs)
        if clash.any():
            call.flow.unite(labels[clash], theirs[clash])
        labels = torch.where(labels == OTHER, theirs, labels)
    return labels


def check_width(call: Call, tensors: list[Tensor], each: list[Fields], labels: Tensor) -> None:
    """Refuse other data that are as wide as the layer: removal would not make them narrower."""
    axes = None
    if call.flow.lenient:  # every entry has a label of its own, whatever it varies along
        return
    for tensor, one in zip(tensors, each, strict=True):
        data = (labels >= 0) & ~one.units() & one.masked.isnan()
        if not data.any():
            continue
        axes = varying(labels) if axes is None else axes
        wide = [a for a in axes if tensor.ndim >= -a and tensor.shape[a] > 1 and tensor.stride(a)]
        if wide:
            call.refuse("{name} with a tensor as wide as the layer (a residual?)", tensor)


def value(call: Call, tensors: list[Tensor], values: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return what the operation makes of such values, and where it takes some that is not known.

    Parameters
    ----------
    call : Call
    tensors : list of Tensor
        The operation's tensors.
    values : list of float64 Tensor of the result's shape
        What stands in their place; NaN where it is not known.
    """
    numbers, missing = {}, torch.zeros(call.output.shape, dtype=torch.bool)
    for tensor, given in zip(tensors, values, strict=True):
        missing = missing | given.isnan()
        whole = not tensor.dtype.is_floating_point
        numbers[id(tensor)] = given.nan_to_num().to(tensor.dtype) if whole else given.clone()
    args, kwargs = pytree.tree_map(lambda leaf: _instead(numbers, leaf), (call.args, call.kwargs))
    result = call.functional(*args, **kwargs)
    result = (result if isinstance(result, Tensor) else result[0]).double()
    zero = _zero(call, tensors, values)
    result = torch.where(missing, torch.nan, result.expand(missing.shape))
    return torch.where(zero, 0.0, result), missing & ~zero


def _zero(call: Call, tensors: list[Tensor], values: list[Tensor]) -> Tensor:
    """Return where the result is 0, whatever the other factor or the divisor is."""
    none = [v == 0 for v in values]
    if call.name in ("mul", "addcmul", "addcdiv", "lerp") and len(none) == len(tensors):
        if call.name == "mul":
            return none[0] if len(none) == 1 else none[0] | none[1]
        if call.name == "lerp":
            return none[0] & none[1]
        product = none[1] | none[2] if call.name == "addcmul" else none[1]
        return none[0] & product
    if call.name in ("div", "true_divide", "_prelu_kernel") and tensors[0] is call.args[0]:
        return none[0]
    return torch.zeros_like(none[0])


@rule("rrelu_with_noise")
def _noisy_relu(call: Call) -> None:
    """RReLU, which without training is a leaky ReLU."""
    if call["training"]:
        if call.flow.of(call.args[0]) is not None:
            call.refuse("the operation {name} in training mode")
        return
    slope = (float(call["lower"]) + float(call["upper"])) / 2
    leaky = Call(
        call.flow, torch.ops.aten.leaky_relu.default, (call.args[0], slope), {}, call.result
    )
    leaky.in_place = call.in_place
    pointwise(leaky)
