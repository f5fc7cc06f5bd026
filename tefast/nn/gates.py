"""What the gates of a recurrent layer say, at the cost of no more than a second forward pass."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tefast.nn import series
from tefast.nn._layers.recurrent import Gated, check_gated, find_gated
from tefast.nn._layers.stack import Part
from tefast.nn._parameters import documented
from tefast.nn._runs import inside
from tefast.nn._runs.batches import Batch
from tefast.nn._runs.modes import in_mode
from tefast.nn._runs.ranges import valid_steps
from tefast.nn.capture import captured
from tefast.nn.context import Context, Observed
from tefast.nn.gate_selection import GATES, LOWEST


@documented
def gate_activations(
    rnn: nn.Module, input: Tensor | PackedSequence, hx: Any = None
) -> Tensor | PackedSequence:
    """Run a layer and return the gates of all its units at every step.

    Parameters
    ----------
    {rnn:gated}
    input : Tensor of shape (T, N, D), (N, T, D) if batch_first, or (T, D); or PackedSequence
        The input of the layer.
    {hx}

    Returns
    -------
    Tensor of shape (T, N, U, G), (N, T, U, G) if batch_first, or (T, U, G) for an input (T, D)
        For a packed input it is a PackedSequence with data of shape (S, U, G). Gates are i, f, g, o
        of an LSTM, or r, z, n of a GRU, in this order, after their sigmoid or tanh. Gradients flow
        through.

    Raises
    ------
    TypeError, ValueError
        If `rnn` is no such layer.
    """
    layer = check_gated(rnn)
    output, _ = layer(input, hx)
    return inside.gates(layer, input, hx, output)


@documented
def capture_gates(
    model: nn.Module, batches: Iterable[Batch], *, rnn: str = "rnn", **how: Any
) -> Iterator[tuple[Tensor, ...]]:
    """Run `model` over `batches` and yield the units' gates and the true label's probability.

    It is `capture` with gates in place of outputs, for an LSTM or a GRU.

    Parameters
    ----------
    {model, batches, rnn}
    **how
        Other arguments of `capture`: forward, source, labels, lengths, calls.

    Yields
    ------
    gates : Tensor (n, T, U, G)
        What `gate_activations` returns.
    y : Tensor (n, T)
        Softmax probability of the true label at every step, in [0, 1], or what `source` gives.
    lengths : Tensor (n,)
        Only if the batch holds them or the layer runs on packed sequences.

    Raises
    ------
    TypeError, ValueError
        If the layer is neither an LSTM nor a GRU of one layer and direction, if there is no such
        submodule, or if a batch is not as described.
    """
    return captured(gate_context(model, batches, rnn, how))


@documented
def gate_means(
    model: nn.Module, batches: Iterable[Batch], *, rnn: str = "rnn", **how: Any
) -> Tensor:
    """Return the mean of every gate over all valid steps of `batches`.

    Parameters
    ----------
    model : nn.Module
        Its results are not read. It is not changed.
    {batches, rnn}
    **how
        Other arguments of `capture`: forward, lengths, calls.

    Returns
    -------
    Tensor of shape (U, G), float64, on the CPU

    Raises
    ------
    TypeError, ValueError
        If the layer is neither an LSTM nor a GRU of one layer and direction, if there is no such
        submodule, if a batch is not as described, or if there is no valid step.
    """
    context = gate_context(model, batches, rnn, how)
    return _mean(_valid(*one) for one in context.outputs())


def gate_context(
    model: nn.Module, batches: Iterable[Batch], rnn: str, how: Mapping[str, Any]
) -> Context:
    """Return the context in which the gates of a layer are looked at.

    Raises
    ------
    TypeError, ValueError
        If `rnn` is no such layer, or `how` has other names than the arguments of `capture`.
    """
    layer = find_gated(model, rnn)
    known = ("forward", "source", "labels", "lengths", "calls", "y_range")
    for name in how:
        if name not in known:
            raise TypeError(f"unexpected argument {name!r}; expected {', '.join(known)}")
    source = series.named(how.get("source", "label_probability"), series.SOURCES, "source")
    given = {**how, "source": source}
    return Context(model, batches, layer, {(0, 0): layer.hidden_size}, what="gates", **given)


class GateContext(Context):
    """What a criterion may look at of gates: each gate of each unit takes the place of a unit.

    All units of the first gate come first, then those of the next, as they lie in memory.
    """

    @property
    def _gates(self) -> str:
        return GATES[check_gated(self.layer).mode]

    @property
    def units(self) -> int:
        """Gates of all units."""
        return super().units * len(self._gates)

    @property
    def _has_own_ranges(self) -> bool:
        return False  # a gate is binned over what its nonlinearity can give

    @cached_property
    def unit_range(self) -> Any:
        """The ranges of the gates' nonlinearities."""
        return np.repeat([LOWEST[gate] for gate in self._gates], super().units), 1.0

    def split(self, scores: Tensor) -> dict[Part, Tensor]:
        """Scores of all gates side by side as (U, G)."""
        ((part, _),) = self.parts.items()
        return {part: scores.reshape(len(self._gates), -1).t().contiguous()}

    def look(self, batch: Batch) -> list[Observed]:
        """See `Context.look`."""
        return [one._replace(h=_side_by_side(one.h)) for one in super().look(batch)]

    def look_at_outputs(self, batch: Batch) -> list[tuple[Tensor, Tensor | None]]:
        """See `Context.look_at_outputs`."""
        return [(_side_by_side(h), steps) for h, steps in super().look_at_outputs(batch)]

    def gradients(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Raise: no loss was differentiated by a gate."""
        raise ValueError("of='gates': expected a criterion without gradients, got one with")

    def rows(self) -> Iterator[dict[str, Tensor]]:
        """Yield the rows of all gates side by side, (1, gates, inputs), by name."""
        for rows in super().rows():
            yield {role: tensor.flatten(0, 1)[None] for role, tensor in rows.items()}


def _side_by_side(gates: Tensor) -> Tensor:
    """Gates (n, T, U, G) as (n, T, G * U): no copy is made."""
    return gates.transpose(-1, -2).flatten(-2)


def layer_means(rnn: Gated, inputs: Iterable[Any]) -> Tensor:
    """Return the mean (U, G) of every gate of a layer over `inputs`: see `mask_gates`."""
    if isinstance(inputs, Tensor | PackedSequence):
        raise TypeError(f"inputs: expected an iterable of inputs, got one {type(inputs).__name__}")

    def each() -> Iterator[Tensor]:
        for one in inputs:
            # A packed sequence is a tuple too.
            given = (one,) if isinstance(one, Tensor | PackedSequence) else tuple(one)
            with in_mode(rnn, training=False):
                gates = gate_activations(rnn, *given)
            data = gates.data if isinstance(gates, PackedSequence) else gates
            yield data.reshape(-1, *data.shape[-2:])

    return _mean(each())


def _valid(gates: Tensor, lengths: Tensor | None) -> Tensor:
    """The steps (S, U, G) that are valid."""
    return gates.flatten(0, 1) if lengths is None else gates[valid_steps(gates, lengths)]


def _mean(parts: Iterable[Tensor]) -> Tensor:
    total, steps = torch.zeros(()).double(), 0
    for part in parts:
        total = total + part.sum(0, dtype=torch.float64).cpu()
        steps += len(part)
    if not steps:
        raise ValueError("expected data for the means of the gates, got no valid step")
    return total / steps
