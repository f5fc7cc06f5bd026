"""The ranges over which the units' outputs and a series are binned."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from tefast.nn._layers.recurrent import Layer
from tefast.nn._runs.batches import Batch, read_again


def check_range(layer: Layer, h_range: Any, batches: Iterable[Batch], what: str = "units") -> None:
    """Raise unless a layer's outputs lie in `h_range`, or their own range can be found."""
    if h_range is None:
        read_again(batches)
        return
    if not (np.all(h_range[0] == -1.0) and np.all(h_range[1] == 1.0)):
        return
    relu = getattr(layer, "nonlinearity", None) == "relu"
    if relu or getattr(layer, "mode", None) == "RNN_RELU":
        raise ValueError(
            "h_range: a relu RNN has no upper bound; give (low, high), or None for each unit's "
            "own range"
        )
    if what == "outputs":
        raise ValueError(
            "h_range: projected outputs have no bound; give (low, high), or None for the own range "
            "of each"
        )


def unit_ranges(outputs: Iterable[tuple[Tensor, Tensor | None]], group: Any = None) -> Any:
    """Return the lowest and highest output of every unit over valid steps, each (units,).

    With a `group` of processes they are those over the outputs of all of them.
    """
    low: Tensor | None = None
    high: Tensor | None = None
    for h, lengths in outputs:
        flat = (h.flatten(0, 1) if lengths is None else h[valid_steps(h, lengths)]).double()
        if not len(flat):  # no valid step in this batch
            continue
        if not flat.isfinite().all():
            unit = int((~flat.isfinite()).any(dim=0).nonzero()[0, 0])
            raise ValueError(f"the output of unit {unit} is not finite")
        low = flat.amin(0) if low is None else torch.minimum(low, flat.amin(0))
        high = flat.amax(0) if high is None else torch.maximum(high, flat.amax(0))
    if group is not None:
        low, high = _widest(low, high, group)
    if low is None or high is None:
        raise ValueError("batches: expected at least one batch, got none with a valid step")
    # A constant unit has one symbol under any range; an empty range could not be binned.
    high = torch.where(high > low, high, low + low.abs().clamp(min=1.0))
    return low.cpu().numpy(), high.cpu().numpy()


def _widest(
    low: Tensor | None, high: Tensor | None, group: Any
) -> tuple[Tensor | None, Tensor | None]:
    """Return the lowest and highest values of all processes; None of one without a valid step."""
    own = None if low is None or high is None else (low.cpu(), high.cpu())
    each: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(each, own, group=group)
    found = [pair for pair in each if pair is not None]
    if not found:
        return None, None
    return (
        torch.stack([low for low, _ in found]).amin(0),
        torch.stack([high for _, high in found]).amax(0),
    )


def both_ranges(
    observed: Iterable[tuple[Tensor, Tensor, Tensor | None]], group: Any = None
) -> tuple[Any, Any]:
    """Return the ranges of units, and (low, high) of the series beside them, in one pass.

    With a `group` of processes they are those over what all of them observe.
    """
    ends: list[tuple[float, float]] = []

    def outputs() -> Iterator[tuple[Tensor, Tensor | None]]:
        for h, y, lengths in observed:
            flat = (y.flatten() if lengths is None else y[valid_steps(y, lengths)]).double()
            if not flat.isfinite().all():
                raise ValueError("source: expected finite numbers at all valid steps")
            if len(flat):
                ends.append((float(flat.min()), float(flat.max())))
            yield h, lengths

    units = unit_ranges(outputs(), group)
    if group is not None:
        each: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(each, ends, group=group)
        ends = [pair for one in each for pair in one]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return units, (low, high if high > low else low + max(abs(low), 1.0))


def valid_steps(h: Tensor, lengths: Tensor) -> Tensor:
    """Return which of the steps (n, T) of `h` lie within `lengths` (n,)."""
    return torch.arange(h.shape[1], device=h.device) < lengths.to(h.device)[:, None]
