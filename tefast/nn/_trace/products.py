"""Rules for products, distances, and sums at indexed places."""

import torch
from torch import Tensor

from tefast.nn._trace.fields import OTHER, Fields, joined, unknown
from tefast.nn._trace.reductions import axes_of
from tefast.nn._trace.rules import Call, rule

_EXACT_ROWS = 25
"""For more rows, PyTorch computes Euclidean distances by a matrix product."""


@rule("index_add", "scatter_add")
def _add_at(call: Call) -> None:
    """Sums of steps, at places that an index names."""
    tensors = (call.args[0], call["source" if call.name == "index_add" else "src"])
    each = [call.fields(tensor) for tensor in tensors]
    if not any(one.tracked() for one in each):
        if call.in_place and call.flow.fields(tensors[0]) is not None:
            call.put(unknown(tuple(tensors[0].shape)))
        return
    if call.flow.of(call["index"]) is not None:
        call.refuse("{name} with an index made of them")
    if any(call.open(one) for one in each):
        call.refuse("the operation {name} on what a LayerNorm gives")
    axis = axes_of(call["dim"], tensors[0].ndim)
    ours, theirs = (joined(one.labels, axis) for one in each)
    if ours is None or theirs is None or ours.shape != theirs.shape:
        call.refuse("{name} over the units")
    met = (ours != OTHER) & (theirs != OTHER) & (ours != theirs)
    if bool(met.any()):
        call.flow.unite(ours[met], theirs[met])
    label = torch.where(ours == OTHER, theirs, ours)
    for tensor, one in zip(tensors, each, strict=True):
        there = label.ne(OTHER).expand(tensor.shape)
        if bool((there & ~one.units() & one.masked.isnan()).any()):
            call.refuse("{name} with a tensor as wide as the layer (a residual?)", tensor)
        if bool((there & (one.masked.ne(0) | one.other.ne(0))).any()):
            call.refuse("{name} of what is not 0 where a unit is masked")
    zeros = torch.where(label == OTHER, torch.nan, 0.0).double()
    state = all(one.state for one in each if one.tracked())
    found = Fields(label, zeros, zeros, torch.full_like(label, -1), 0, 0, state)
    call.put(found.map(lambda t: t.expand(call.output.shape)))


@rule("_cdist_forward", "_euclidean_dist")
def _distance(call: Call) -> None:
    """Distances are sums over units, of which a masked one is 0 in both."""
    a, b = (call.flow.of(tensor) for tensor in call.args[:2])
    if a is None and b is None:
        return
    if a is None or b is None:
        other = call.args[0 if a is None else 1]
        call.refuse("{name} from a tensor as wide as the layer", other)
    rows = max(tensor.shape[-2] for tensor in call.args[:2])
    if call["p"] in (None, 2) and call["compute_mode"] != 2 and rows > _EXACT_ROWS:
        call.refuse(
            f"{{name}} of more than {_EXACT_ROWS} rows, which PyTorch finds by rounded products "
            "(give a smaller example, or compute_mode='donot_use_mm_for_euclid_dist')"
        )
    for one in (a, b):
        if call.open(one):
            call.refuse("the operation {name} on what a LayerNorm gives")
        if _nonzero(one):
            call.refuse("{name} of what is not 0 where a unit is masked")
    _contract(call, a, b.map(lambda t: t.mT))


@rule("mm", "bmm", "mv", "dot", "vdot", "addmm", "baddbmm", "addmv", "addbmm")
def _product(call: Call) -> None:
    left, right = call.args[-2:] if len(call.args) < 4 else call.args[1:3]
    if call.flow.of(call.args[0]) is not None and len(call.args) > 2:
        call.refuse("the operation {name}")
    a, b = call.flow.of(left), call.flow.of(right)
    if a is None and b is None:
        return
    if left.ndim == 1:
        a = None if a is None else a.map(lambda t: t[None])
    if right.ndim == 1:
        b = None if b is None else b.map(lambda t: t[:, None])
    for one in (a, b):
        if one is not None and call.open(one):
            call.refuse("the operation {name} on what a LayerNorm gives")
        if one is not None and _nonzero(one):
            call.refuse("a matrix product after which a masked unit is not 0")
    if a is not None and b is not None:
        _contract(call, a, b)
        return
    axis = -1 if a is not None else -2
    known = a if a is not None else b
    assert known is not None
    label = joined(known.labels, [axis])
    if label is None:
        other = right if a is not None else left
        call.refuse(f"a matrix product that sums over the units, {call.flow.whose(other)}", other)
    if len(call.args) > 2 or call.name == "addbmm":
        call.refuse("the operation {name}")
    zero = torch.zeros(label.shape, dtype=torch.float64)
    fields = Fields(label, zero, zero, torch.full(label.shape, -1), 0, 0, known.state)
    call.put(_shaped(call, fields, left, right))


def _shaped(call: Call, fields: Fields, left: Tensor, right: Tensor) -> Fields:
    if right.ndim == 1:
        fields = fields.map(lambda t: t[..., 0])
    if left.ndim == 1:
        fields = fields.map(lambda t: t[0])
    return fields.map(lambda t: t.expand(call.output.shape))


def _nonzero(known: Fields) -> bool:
    units = known.units()
    return bool(torch.cat([known.masked[units], known.other[units]]).ne(0).any())


def _contract(call: Call, a: Fields, b: Fields) -> None:
    """Both are summed over the same units: a masked one adds 0 * 0."""
    ours = joined(a.labels, list(range(-a.labels.ndim, -1)))
    theirs = joined(b.labels.mT, list(range(-b.labels.ndim, -1)))
    if ours is None or theirs is None:
        call.refuse("a matrix product of the outputs of different units")
    ours, theirs = ours.flatten(), theirs.flatten()
    if bool(((ours == OTHER) != (theirs == OTHER)).any()):
        call.refuse("a matrix product of the outputs of units and of other features")
    differ = ours != theirs
    if differ.any():
        call.flow.unite(ours[differ], theirs[differ])
