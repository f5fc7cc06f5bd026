"""Rules for sums, maxima, pooling and matrix products."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tefast.nn._trace.fields import BASE, OTHER, Fields, joined, same, unknown
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.rules import Call, rule

# What leaves the outcome as it is, so that a masked unit which gives this may as well not be there.
_NEUTRAL = {
    **dict.fromkeys(("sum", "nansum", "any", "count_nonzero", "linalg_vector_norm", "norm"), 0.0),
    **dict.fromkeys(("prod", "all"), 1.0),
    **dict.fromkeys(("max", "amax", "logsumexp"), -math.inf),
    **dict.fromkeys(("min", "amin"), math.inf),
}
# Of equal values these give the value itself, whatever it is or of those alone.
_ANY_VALUE = (
    "mean", "max", "min", "amax", "amin", "median", "nanmedian", "mode", "kthvalue", "cummax",
    "cummin", "sort", "topk",
)  # fmt: skip
_SOME_VALUES = {
    **dict.fromkeys(
        ("sum", "nansum", "count_nonzero", "linalg_vector_norm", "norm", "cumsum"), (0.0,)
    ),
    **dict.fromkeys(("prod", "any", "all", "cumprod"), (0.0, 1.0)),
    **dict.fromkeys(("var", "std"), (0.0,)),
}
_HIGHEST = ("max", "amax")
_LOWEST = ("min", "amin")
_REDUCTIONS = ("argmax", "argmin", *dict.fromkeys((*_NEUTRAL, *_ANY_VALUE, *_SOME_VALUES)))
_SCANS = ("cumsum", "cumprod", "cummax", "cummin", "sort", "topk")
_POOLS = {
    **dict.fromkeys(("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d"), 1),
    **dict.fromkeys(("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"), 2),
    **dict.fromkeys(("adaptive_max_pool2d", "max_pool2d", "adaptive_avg_pool2d"), 2),
}
_STRETCHED = {"upsample_linear1d": 1, "upsample_bilinear2d": 2, "upsample_trilinear3d": 3}


@rule(*(name for name in _REDUCTIONS if name not in _SCANS))
def _reduce(call: Call) -> None:
    known = call.flow.of(call.args[0])
    if known is None:
        return
    axes = axes_of(call["dim"], known.labels.ndim)
    keep = bool(call["keepdim"])
    label = joined(known.labels, axes)
    if label is not None and call.name in ("argmax", "argmin"):
        call.refuse("{name} over steps, which gives a place for each unit")
    if label is None:
        _over_units(call, known)
        return
    if call.open(known):
        found = _normed(call, known, axes, label)
    else:
        found = _over_steps(call, known, axes, label)
    dropped = found.map(lambda t: t if keep else _squeezed(t, axes))
    call.put(dropped)
    call.put_places(dropped)


def axes_of(given: Any, rank: int) -> list[int]:
    given = [given] if isinstance(given, int) else list(given or range(rank))
    return [axis - rank if axis >= 0 else axis for axis in given]


def _squeezed(tensor: Tensor, axes: list[int]) -> Tensor:
    shape = [n for a, n in zip(range(-tensor.ndim, 0), tensor.shape, strict=True) if a not in axes]
    return tensor.reshape(shape)


def _over_units(call: Call, known: Fields) -> None:
    """Let a sum over units pass if masked units add nothing to it."""
    neutral, units = _NEUTRAL.get(call.name), known.units()
    order = call["ord"] if call.name == "linalg_vector_norm" else call["p"]
    if isinstance(order, int | float) and order <= 0:  # a number of entries, or the least of them
        neutral = 0.0 if order == 0 else None
    if neutral is None:
        call.refuse("{name} over the units, which depends on how many they are")
    if call.open(known):
        call.refuse("{name} over the units of what a LayerNorm gives")
    there = torch.cat([known.masked[units], known.other[units]])
    if not bool(there.eq(neutral).all()):
        call.refuse(f"{{name}} over the units, of which a masked one is not {neutral:g}")


def _normed(call: Call, known: Fields, axes: list[int], label: Tensor) -> Fields:
    """Return the fields of a mean over the outputs of a LayerNorm."""
    if call.name != "mean":
        call.refuse("the operation {name} on what a LayerNorm gives")
    mixed = (known.labels != label.expand(known.labels.shape)) & label.ne(OTHER).expand(
        known.labels.shape
    )
    if bool(mixed.any()):
        call.refuse("{name} of what a LayerNorm gives and of others")
    nothing = unknown(tuple(label.shape))
    return replace(nothing, labels=label, state=known.state)


def _over_steps(call: Call, known: Fields, axes: list[int], label: Tensor) -> Fields:
    """Return what a masked unit gives, if it is the same for any number of steps."""
    ours = label != OTHER
    least, most = (_extreme(known, axes, highest) for highest in (False, True))
    if bool((ours & (least.isnan() | most.isnan())).any()):
        call.refuse("{name} of units' outputs and of others at other steps")
    constant = same(least, most)
    if bool((ours & ~constant).any()):
        constant, least = _left_by_padding(call, known, axes, ours, least)
    values = least[ours]
    allowed = _SOME_VALUES.get(call.name)
    if call.name not in _ANY_VALUE and allowed is None:
        call.refuse("{name} over steps, which depends on how many they are")
    if allowed is not None and not set(values.tolist()) <= set(allowed):
        call.refuse("{name} over steps, where a masked unit is not 0")
    masked = torch.where(ours, least, torch.nan)
    places = known.places.amax(axes, keepdim=True)
    return Fields(label, masked, masked, places, 0, 0, known.state)


def _extreme(known: Fields, axes: list[int], highest: bool) -> Tensor:
    both = torch.stack([known.masked, known.other])
    return extreme(both, [0, *axes], highest)[0]


def _left_by_padding(
    call: Call, known: Fields, axes: list[int], ours: Tensor, least: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what is left of masked or padded sequences: a step that is neither wins."""
    masked = known.masked
    low, high = masked.amin(axes, keepdim=True), masked.amax(axes, keepdim=True)
    sign = 1 if call.name in _HIGHEST else -1 if call.name in _LOWEST else 0
    loses = (sign * known.other <= sign * masked) | ~ours
    if not sign or bool((ours & ~same(low, high)).any()) or not bool(loses.all()):
        unsure = known.other[known.uncertain()]
        if not len(unsure):
            call.refuse("{name} over steps, at which a masked unit gives different values")
        number = "something else" if bool(unsure.isnan().any()) else f"{float(unsure[0]):g}"
        call.refuse(f"{{name}} over steps, some of which may hold {number} (padding or a mask)")
    if not _whole(known, axes, ours):
        call.refuse("{name} over a part of the steps, of which padding or a mask may leave none")
    return torch.ones_like(ours), low


def _whole(known: Fields, axes: list[int], ours: Tensor) -> bool:
    """Return whether all steps of one sequence are reduced, of which a mask leaves one at least."""
    if not known.steps:
        return False
    kept = [a for a in range(-known.labels.ndim, 0) if a not in axes]
    rank = known.labels.ndim
    order = [a + rank for a in kept] + [a + rank for a in axes]
    places = known.places.permute(order).reshape(-1, math.prod(known.labels.shape[a] for a in axes))
    rows = places[ours.permute(order).reshape(-1)]
    sequence, step = rows // BASE, rows % BASE
    if bool((rows < 0).any() | (sequence != sequence[:, :1]).any() | (step >= known.steps).any()):
        return False
    seen = torch.zeros(len(rows), known.steps).scatter(1, step, 1.0)
    return bool(seen.all())


@rule("var_mean", "std_mean", "aminmax")
def _two(call: Call) -> None:
    if call.flow.of(call.args[0]) is not None:
        call.refuse("the operation {name}")


def _of_steps(call: Call, known: Fields, axes: list[int]) -> Tensor:
    """Return the labels joined over axes; refuse what runs over units or open fields."""
    label = joined(known.labels, axes)
    if label is None:
        call.refuse("{name} over the units")
    if call.open(known):
        call.refuse("the operation {name} on what a LayerNorm gives")
    return label


@rule(*_SCANS)
def _scan(call: Call) -> None:
    """Operations along steps that keep a value which is the same at all steps."""
    known = call.flow.of(call.args[0])
    if known is None:
        return
    dim = call["dim"]
    axis = axes_of(-1 if dim is None else dim, known.labels.ndim)
    label = _of_steps(call, known, axis)
    found = _over_steps(call, known, axis, label)
    fields = found.map(lambda t: t.expand(call.output.shape))
    call.put(fields)
    call.put_places(fields)


@rule(*_POOLS)
def _pool(call: Call) -> None:
    known = call.flow.of(call.args[0])
    if known is None:
        return
    axes = list(range(-_POOLS[call.name], 0))
    label = _of_steps(call, known, axes)
    ours, highest = label != OTHER, "max" in call.name
    least, most = (_extreme(known, axes, way) for way in (False, True))
    if bool((ours & (least.isnan() | most.isnan())).any()):
        call.refuse("{name} of units' outputs and of others at other steps")
    if bool((ours & ~same(least, most)).any()):
        if not highest or not _all_at_once(call, known, axes):
            call.refuse("{name} over a part of the steps, at which a masked unit may differ")
        call.name = "amax"
        _, least = _left_by_padding(call, known, axes, ours, least)
    padded = any(_list(call["padding"])) and call["count_include_pad"] is not False
    if not highest and padded and bool((least[ours] != 0).any()):
        call.refuse("{name} over steps padded with 0, where a masked unit is not 0")
    if call["divisor_override"] is not None and bool((least[ours] != 0).any()):
        call.refuse("{name} with a divisor of its own, where a masked unit is not 0")
    masked = torch.where(ours, least, torch.nan)
    places = known.places.amax(axes, keepdim=True)
    fields = Fields(label, masked, masked, places, 0, 0, known.state)
    expanded = fields.map(lambda t: t.expand(call.output.shape))
    call.put(expanded)
    call.put_places(expanded)


def _all_at_once(call: Call, known: Fields, axes: list[int]) -> bool:
    """Return whether there is one window, over all steps."""
    sizes = [known.labels.shape[a] for a in axes]
    window = _list(call["kernel_size"]) or sizes
    one = all(call.output.shape[a] == 1 for a in axes)
    return one and not any(_list(call["padding"])) and window in (sizes, sizes[-1:])


@rule(*_STRETCHED)
def _stretch(call: Call) -> None:
    """Interpolation between steps: weighted means of them."""
    known = call.flow.of(call.args[0])
    if known is None:
        return
    axes = list(range(-_STRETCHED[call.name], 0))
    label = _of_steps(call, known, axes)
    call.name = "mean"
    found = _over_steps(call, known, axes, label)
    call.put(found.map(lambda t: t.expand(call.output.shape)))


def _list(value: Any) -> list[int]:
    return [value] if isinstance(value, int) else list(value or [])


def extreme(values: Tensor, axes: list[int], highest: bool) -> Tensor:
    """Return the highest or lowest value along `axes`, which are kept as 1 and may be none."""
    if not axes:  # of no axes, PyTorch would reduce all
        return values
    return values.amax(axes, keepdim=True) if highest else values.amin(axes, keepdim=True)


def along(flow: Flow, known: Fields, axis: int) -> Fields:
    """Return the fields of features, which are along `axis` and the same everywhere else.

    Parameters
    ----------
    flow : Flow
        Refuses what is not so.
    known : Fields
    axis : int
        From the end, -1 for the last.

    Returns
    -------
    Fields of one axis
    """
    others = [a for a in range(-known.labels.ndim, 0) if a != axis]
    label = joined(known.labels, others)
    if label is None:
        flow.refuse("an input whose features are not along the expected axis")
    ours = label != OTHER
    whole = ours.expand(known.labels.shape)
    if bool((whole & (known.labels != label) & (label != OTHER) & known.masked.isnan()).any()):
        flow.refuse("an input in which a feature is a unit's output at some steps alone")
    found: list[Tensor] = []
    for values in (known.masked, known.other):
        least, most = (extreme(values, others, highest) for highest in (False, True))
        if bool((ours & ~same(least, most)).any()):
            flow.refuse("an input in which a masked unit differs from step to step")
        found.append(torch.where(same(least, most), least, torch.nan).flatten())
    nowhere = torch.full_like(label, -1).flatten()
    return Fields(label.flatten(), found[0], found[1], nowhere, 0, known.origin, known.state)
