"""How criteria count the batches of a context: as a stream, or all codes at once."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import tefast
from tefast._streaming.accumulation import Accumulated
from tefast.nn._parameters import documented
from tefast.nn.context import Context
from tefast.nn.criteria.registry import Criterion, UnitScores, criterion


def counted(
    *, descending: bool, name: str | None = None
) -> Callable[[Callable[..., Accumulated]], Callable[..., UnitScores]]:
    """Make a criterion of a function that gives what counts for it.

    Parameters
    ----------
    descending, name
        Those of `criterion`.
    """

    def decorate(counter: Callable[..., Accumulated]) -> Callable[..., UnitScores]:
        @criterion(descending=descending, name=name)
        @wraps(counter)
        def scores(context: Context, **options: Any) -> UnitScores:
            found = counter(context, **options)
            count(context, [found])
            return found.compute()

        scores.counter = counter  # type: ignore[attr-defined]
        return scores

    return decorate


def counter_of(given: Criterion) -> Callable[[Context], Accumulated] | None:
    """Return what makes the counter of a criterion that only counts; None for others.

    Parameters
    ----------
    given : callable
        A criterion, or a ``functools.partial`` of one.

    Returns
    -------
    callable or None
    """
    if isinstance(given, partial):
        found = counter_of(given.func)
        return None if found is None else partial(found, *given.args, **given.keywords)
    return getattr(given, "counter", None)


@documented
def count(context: Context, counters: Sequence[Any]) -> None:
    """Fill several counters in one pass over the batches, and add up those of all processes.

    Parameters
    ----------
    {context}
    counters : sequence of streaming objects
        Such as `tefast.TransferEntropy`, for as many units as the context has.
    """
    if any("y" in counter.measure.roles for counter in counters):
        for h, y, lengths in context.observed():
            for counter in counters:
                given = (h, y) if "y" in counter.measure.roles else (h,)
                counter.update(*given, lengths=lengths)
    else:
        for h, lengths in context.outputs():
            for counter in counters:
                counter.update(h, lengths=lengths)
    if context.group is not None:
        for counter in counters:
            counter.all_reduce(context.group)


def of_both(context: Context) -> dict[str, Any]:
    """How units and the series are binned, as arguments of a streaming class."""
    of_units, of_series = context.ranges
    return {"bins": context.bins, "h_range": of_units, "y_range": of_series, **_how(context)}


def of_units(context: Context) -> dict[str, Any]:
    """How units are binned where no series is beside them."""
    return {"bins": context.bins, "h_range": context.unit_range, **_how(context)}


def _how(context: Context) -> dict[str, Any]:
    return {"backend": context.backend, "threads": context.threads}


def codes(context: Context) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Codes of all outputs (N, T, units) and of the series (N, T); valid steps (N,)."""
    every_h, every_y, every_length = [], [], []
    units, of_series = context.ranges
    for h, y, lengths in context.observed():
        steps = torch.full(h.shape[:1], h.shape[1]) if lengths is None else lengths.cpu()
        how = {"bins": context.bins, "lengths": steps, **_how(context)}
        every_h.append(tefast.encode(h, h_range=units, **how).cpu().numpy())
        every_y.append(tefast.encode(y, h_range=of_series, layout="NT", **how).cpu().numpy())
        every_length.append(steps.numpy().astype(np.int64))
    longest = max(h.shape[1] for h in every_h)
    return _joined(every_h, longest), _joined(every_y, longest), np.concatenate(every_length)


def _joined(parts: list[NDArray[Any]], longest: int) -> NDArray[Any]:
    """Sequences of all batches, the shorter ones filled up."""
    filled = [
        np.pad(part, [(0, 0), (0, longest - part.shape[1]), *[(0, 0)] * (part.ndim - 2)])
        for part in parts
    ]
    return np.concatenate(filled)
