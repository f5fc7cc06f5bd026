"""How large a model is, and how many units have to go until it is as small as is wanted."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tefast.nn._runs.restore import as_it_was
from tefast.nn._trace.copies import deep_copy
from tefast.nn._trace.examples import as_arguments, called, evaluated
from tefast.nn.removal import prune

M = TypeVar("M", bound=nn.Module)
ChosenUnits: TypeAlias = dict[Any, Tensor]

BUDGETS = ("parameters", "operations", "bytes")
"""What can be bounded."""


@dataclass(frozen=True)
class Budget:
    """What a model may cost once units are removed.

    Attributes
    ----------
    of : {"parameters", "operations", "bytes"}
    limit : float or int
        A fraction in (0, 1] of what the model costs now, or a number of them.
    model : nn.Module
    rnn : str, optional
        Name of the layer whose parts are selected from; None where keys are (name, part).
    consumers, example
        As in `prune`. Operations are those of a run on `example`.
    pruning : mapping, optional
        Further arguments of `prune`.
    """

    of: str
    limit: float | int
    model: Any
    rnn: str | None = "rnn"
    consumers: Iterable[str] | Mapping[str, Iterable[str]] | None = None
    example: Any = None
    pruning: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        limit = self.limit
        whole = isinstance(limit, int | np.integer) and not isinstance(limit, bool) and limit > 0
        if not whole and not (isinstance(limit, float) and 0.0 < limit <= 1.0):
            raise ValueError(
                f"{self.of}: expected a fraction in (0, 1] of what there is, or a number above 0, "
                f"got {limit!r}"
            )
        if not isinstance(self.model, nn.Module):
            got = type(self.model).__name__
            raise TypeError(f"{self.of}: expected model=, the one that is pruned, got {got}")
        if self.of == "operations" and self.example is None:
            raise ValueError(
                "operations: expected example=, the arguments of the run whose operations are "
                "counted"
            )

    def cost(self, model: nn.Module) -> int:
        """Return what a model costs."""
        return cost(model, self.of, self.example)

    def smaller(self, chosen: Mapping[Any, Tensor]) -> nn.Module:
        """Return the model without the units that are chosen."""
        named = {
            key if self.rnn is None else (self.rnn, key): units for key, units in chosen.items()
        }
        model: nn.Module = self.model
        return without(model, named, self.consumers, self.example, self.pruning)

    def within(self, choose: Callable[[int], ChosenUnits], most: int) -> ChosenUnits:
        """Return the first selection by which the model costs no more than the limit.

        Parameters
        ----------
        choose : callable
            ``choose(level)`` gives a selection, of more units the higher the level, 0..most.
        most : int

        Raises
        ------
        ValueError
            If it costs more even so; the message says how much.
        """
        now = self.cost(self.model)
        limit = int(self.limit)
        if isinstance(self.limit, float):  # as written in decimal
            limit = math.floor(Fraction(repr(float(self.limit))) * now)
        if now <= limit:
            return choose(0)
        costs = {0: now, most: self.cost(self.smaller(choose(most)))}
        if costs[most] > limit:
            raise ValueError(
                f"{self.of}: expected {costs[most]} or more, which is left when all goes that "
                f"may be, got {limit}"
            )
        low, high = 0, most
        while high - low > 1:
            middle = _between(low, high, costs, limit)
            costs[middle] = self.cost(self.smaller(choose(middle)))
            low, high = (middle, high) if costs[middle] > limit else (low, middle)
        return choose(high)


def without(
    model: M,
    chosen: Mapping[tuple[str, Any], Tensor],
    consumers: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
    example: Any = None,
    pruning: Mapping[str, Any] | None = None,
    take: Callable[..., Any] | None = None,
) -> M:
    """Copy a model without units of several layers: one layer after the other, or all together.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    chosen : mapping of (name of the layer, part) to units
    consumers : iterable of str, or mapping from the names of layers to such, optional
    example : Any, optional
    pruning : mapping, optional
        Further arguments of `prune`.
    take : callable, optional
        ``take(model, rnn, consumers, **pruning)`` gives moments of a layer of a model, as it is by
        then.

    Raises
    ------
    TypeError, ValueError
        As in `prune`; if all together cannot go either, the message says why.
    """
    by_name: dict[str, dict[Any, Tensor]] = {}
    for (name, part), units in chosen.items():
        by_name.setdefault(name, {})[part] = units
    how = {"example": example, **(pruning or {})}

    def shrink(model: M, parts: Any, name: str, readers: Any = None, **more: Any) -> M:
        found = take(model, name, readers, **how, **more) if take and _any(parts) else None
        return prune(model, parts, name, readers, moments=found, **how, **more)

    smaller = model
    try:
        for name, parts in by_name.items():
            readers = consumers.get(name) if isinstance(consumers, Mapping) else consumers
            smaller = shrink(smaller, parts, name, readers)
    except (TypeError, ValueError) as error:
        if len(by_name) < 2 or consumers is not None or "tied" in how:
            raise
        # Layers of a group may have to be as wide as one another.
        (first, parts), *others = by_name.items()
        try:
            return shrink(model, parts, first, tied=dict(others))
        except (TypeError, ValueError) as together:
            names = ", ".join(map(repr, by_name))
            raise ValueError(f"{error}; and with {names} together: {together}") from error
    return smaller


def _any(parts: Mapping[Any, Tensor]) -> bool:
    return any(len(units) for units in parts.values())


def cost(model: nn.Module, of: str, example: Any = None) -> int:
    """Return what a model costs.

    Parameters
    ----------
    model : nn.Module
    of : {"parameters", "operations", "bytes"}
        Parameters, each counted once however often it is used; multiplications and additions of
        all matrix products and convolutions of a run in evaluation mode; or bytes of parameters
        and buffers.
    example : Any, optional
        For "operations": the model's argument, or all of them, as in `prune`.
    """
    if of == "parameters":
        return sum(parameter.numel() for parameter in model.parameters())
    if of == "bytes":
        tensors = [*model.parameters(), *model.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    arguments = deep_copy(as_arguments(example, model), name="example")
    with (
        as_it_was(model),
        evaluated(model),
        _countable(),
        FlopCounterMode(display=False) as counter,
    ):
        called(model, arguments)
    return int(counter.get_total_flops())


def _between(low: int, high: int, costs: Mapping[int, int], limit: int) -> int:
    """Where the cost may fall to the limit: by the slope, and never far from the middle."""
    slope = (costs[low] - limit) / (costs[low] - costs[high])
    guess = low + round((high - low) * min(max(slope, 0.1), 0.9))
    return min(max(guess, low + 1), high - 1)


@contextmanager
def _countable() -> Iterator[None]:
    """Have layers run by operations whose products can be counted, not by one of their own."""
    mkldnn = torch._C._get_mkldnn_enabled()
    attention = torch.backends.mha.get_fastpath_enabled()
    torch._C._set_mkldnn_enabled(False)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch._C._set_mkldnn_enabled(mkldnn)
        torch.backends.mha.set_fastpath_enabled(attention)
