"""What the gates of a recurrent layer say, at the cost of no more than a second forward pass.

The layer runs once as it is. The outputs it then gives are all that the gates of the next steps
depend on, so that those of all steps are computed at once, in two matrix products.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from tefast.nn.capture import Batch, capture
from tefast.nn.gate_selection import GATES
from tefast.nn.modes import in_mode
from tefast.nn.recurrent import Gated, check_gated, find_gated


def gate_activations(
    rnn: nn.Module, input: Tensor | PackedSequence, hx: Any = None
) -> Tensor | PackedSequence:
    """Run a layer and return the gates of all its units at every step.

    Parameters
    ----------
    rnn : nn.LSTM or nn.GRU, of one layer and direction, without projection
    input, hx
        As `rnn` takes them.

    Returns
    -------
    Tensor of shape (T, N, U, G), (N, T, U, G) if batch_first, or (T, U, G) of an input (T, D); of
    a packed input a PackedSequence of data of shape (S, U, G). Gates are i, f, g, o of an LSTM and
    r, z, n of a GRU, in this order, after their sigmoid or tanh. Gradients flow through.

    Raises
    ------
    TypeError, ValueError
        If `rnn` is no such layer.
    """
    layer = check_gated(rnn)
    output, _ = layer(input, hx)
    return _gates(layer, input, hx, output)


def capture_gates(
    model: nn.Module, batches: Iterable[Batch], *, rnn: str = "rnn"
) -> Iterator[tuple[Tensor, ...]]:
    """Run `model` over `batches` and yield the units' gates and the true label's probability.

    It is `capture` with gates in place of outputs, for an LSTM or a GRU.

    Parameters
    ----------
    model, batches, rnn
        As in `capture`.

    Yields
    ------
    gates : Tensor (n, T, U, G)
        As `gate_activations` gives them.
    y : Tensor (n, T)
        Softmax probability of the true label at every step, in [0, 1].
    lengths : Tensor (n,)
        As it came, and only if it came.

    Raises
    ------
    TypeError, ValueError
        As in `capture`, and TypeError if the layer is neither an LSTM nor a GRU.
    """
    layer = find_gated(model, rnn)
    capture(model, (), rnn=rnn)  # says at once what it would say at the first batch
    return (_run(model, layer, batch, rnn) for batch in batches)


def gate_means(model: nn.Module, batches: Iterable[Batch], *, rnn: str = "rnn") -> Tensor:
    """Return the mean of every gate over all valid steps of `batches`.

    Parameters
    ----------
    model, batches, rnn
        As in `capture_gates`.

    Returns
    -------
    Tensor of shape (U, G), float64, on the CPU

    Raises
    ------
    TypeError, ValueError
        As in `capture_gates`, and ValueError if there is no valid step.
    """
    return _mean(_valid(*captured) for captured in capture_gates(model, batches, rnn=rnn))


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


def _run(model: nn.Module, layer: Gated, batch: Batch, rnn: str) -> tuple[Tensor, ...]:
    calls: list[Any] = []

    def note(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        calls.append((args, kwargs, output[0]))

    handle = layer.register_forward_hook(note, with_kwargs=True)
    try:
        ((_, *rest),) = capture(model, [batch], rnn=rnn)
    finally:
        handle.remove()
    args, kwargs, output = calls[0]
    given = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    with torch.no_grad():
        gates = _gates(layer, given["input"], given.get("hx"), output)
    assert isinstance(gates, Tensor)  # `capture` takes no packed outputs
    return (gates, *rest)


def _gates(layer: Gated, input: Any, hx: Any, output: Any) -> Tensor | PackedSequence:
    """The gates, given what the layer was called with and what it gave."""
    packed = isinstance(input, PackedSequence)
    before = _packed_before(input, hx, output) if packed else _before(layer, hx, output)
    x = functional.linear(input.data if packed else input, *_weights(layer, "ih"))
    h = functional.linear(before, *_weights(layer, "hh"))
    # (..., G * U), as PyTorch's rows lie; seen as (..., U, G) in the end.
    split = (len(GATES[layer.mode]), layer.hidden_size)
    x, h = (one.reshape(*one.shape[:-1], *split) for one in (x, h))
    activate = _lstm_gates if layer.mode == "LSTM" else _gru_gates
    gates = torch.stack(activate(x.unbind(-2), h.unbind(-2)), dim=-2).transpose(-1, -2)
    if not packed:
        return gates
    return PackedSequence(gates, input.batch_sizes, input.sorted_indices, input.unsorted_indices)


def _lstm_gates(x: tuple[Tensor, ...], h: tuple[Tensor, ...]) -> list[Tensor]:
    i, f, g, o = (one + other for one, other in zip(x, h, strict=True))
    return [i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()]


def _gru_gates(x: tuple[Tensor, ...], h: tuple[Tensor, ...]) -> list[Tensor]:
    r, z = (x[0] + h[0]).sigmoid(), (x[1] + h[1]).sigmoid()
    return [r, z, (x[2] + r * h[2]).tanh()]


def _before(layer: Gated, hx: Any, output: Tensor) -> Tensor:
    """The outputs one step earlier, with the initial state first; like `output`."""
    time = 1 if layer.batch_first and output.ndim == 3 else 0
    first = output.narrow(time, 0, 1)
    start = torch.zeros_like(first)
    if hx is not None:
        h_0 = hx[0] if isinstance(hx, tuple | list) else hx  # (1, N, U), or (1, U) of (T, U)
        start = h_0.transpose(0, 1) if time == 1 else h_0
    return torch.cat((start, output.narrow(time, 0, output.shape[time] - 1)), dim=time)


def _packed_before(input: PackedSequence, hx: Any, output: PackedSequence) -> Tensor:
    """The same of packed steps: the rows of a step follow those of the step before."""
    sizes = input.batch_sizes.tolist()
    start = output.data.new_zeros(sizes[0], output.data.shape[1])
    if hx is not None:
        start = (hx[0] if isinstance(hx, tuple | list) else hx)[0]
        if input.sorted_indices is not None:
            start = start.index_select(0, input.sorted_indices)
    steps = (start, *torch.split(output.data, sizes)[:-1])
    return torch.cat([step[:size] for step, size in zip(steps, sizes, strict=True)])


def _weights(layer: Gated, role: str) -> tuple[Tensor, Tensor | None]:
    # By getattr, for a weight under a mask of torch.nn.utils.prune is no parameter.
    bias = getattr(layer, f"bias_{role}_l0") if layer.bias else None
    return getattr(layer, f"weight_{role}_l0"), bias


def _valid(gates: Tensor, _y: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The steps (S, U, G) that are valid."""
    if lengths is None:
        return gates.flatten(0, 1)
    return gates[torch.arange(gates.shape[1], device=gates.device) < lengths[:, None]]


def _mean(parts: Iterable[Tensor]) -> Tensor:
    total, steps = torch.zeros(()).double(), 0
    for part in parts:
        total = total + part.sum(0, dtype=torch.float64).cpu()
        steps += len(part)
    if not steps:
        raise ValueError("expected data for the means of the gates, got no valid step")
    return total / steps
