"""What happens inside a layer of one direction: its gates, cell states and unprojected outputs.

The layer has run as it is. The outputs that it gave are all that the gates of the next steps depend
on, so that those of all steps are computed at once, in two matrix products.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from tefast.nn.gate_selection import GATES


def gates(layer: nn.LSTM | nn.GRU, input: Any, hx: Any, output: Any) -> Tensor | PackedSequence:
    """Return the gates of a layer, given what it was called with and what it gave.

    Parameters
    ----------
    layer : nn.LSTM or nn.GRU of one layer and direction
    input : Tensor (T, N, D), (N, T, D) or (T, D), or PackedSequence
    hx : initial state or None
    output : Tensor or PackedSequence
        The layer's outputs, like `input`.

    Returns
    -------
    Like `output`, of (..., U, G) in place of (..., features)
    """
    packed = isinstance(input, PackedSequence)
    before = _packed_before(input, hx, output) if packed else _before(layer, hx, output)
    x = functional.linear(input.data if packed else input, *_weights(layer, "ih"))
    h = functional.linear(before, *_weights(layer, "hh"))
    # (..., G * U), as PyTorch's rows lie; seen as (..., U, G) in the end.
    split = (len(GATES[layer.mode]), layer.hidden_size)
    x, h = (one.reshape(*one.shape[:-1], *split) for one in (x, h))
    activate = _lstm_gates if layer.mode == "LSTM" else _gru_gates
    found = torch.stack(activate(x.unbind(-2), h.unbind(-2)), dim=-2).transpose(-1, -2)
    return like(found, input) if packed else found


def cell_states(layer: nn.LSTM, input: Any, hx: Any, output: Any) -> Tensor | PackedSequence:
    """Return the cell state of every unit at every step, of (..., U); see `gates`."""
    return _cells(layer, input, hx, output)[0]


def unprojected(layer: nn.LSTM, input: Any, hx: Any, output: Any) -> Tensor | PackedSequence:
    """Return o * tanh(c) of every unit at every step, which a projection reads; see `gates`."""
    cells, out = _cells(layer, input, hx, output)
    if isinstance(cells, PackedSequence):
        return like(out * cells.data.tanh(), cells)
    return out * cells.tanh()


def like(data: Tensor, packed: PackedSequence) -> PackedSequence:
    """Return rows packed as those of `packed` are."""
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def _cells(
    layer: nn.LSTM, input: Any, hx: Any, output: Any
) -> tuple[Tensor | PackedSequence, Tensor]:
    """Cell states, and the output gates."""
    found = gates(layer, input, hx, output)
    i, f, g, o = (found.data if isinstance(found, PackedSequence) else found).unbind(-1)
    added = i * g
    if isinstance(found, PackedSequence):
        sizes = found.batch_sizes.tolist()
        steps = zip(torch.split(f, sizes), torch.split(added, sizes), strict=True)
        start = _packed_start(hx, 1, input, f.new_zeros(sizes[0], f.shape[1]))
        return like(torch.cat(_recursion(start, steps)), found), o
    time = _time(layer, f)
    start = f.new_zeros(f.select(time, 0).shape)
    if hx is not None:
        start = hx[1][0]
    steps = zip(f.unbind(time), added.unbind(time), strict=True)
    return torch.stack(_recursion(start, steps), dim=time), o


def _recursion(cell: Tensor, steps: Any) -> list[Tensor]:
    found = []
    for forget, added in steps:
        cell = forget * cell[: len(forget)] + added
        found.append(cell)
    return found


def _lstm_gates(x: tuple[Tensor, ...], h: tuple[Tensor, ...]) -> list[Tensor]:
    i, f, g, o = (one + other for one, other in zip(x, h, strict=True))
    return [i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()]


def _gru_gates(x: tuple[Tensor, ...], h: tuple[Tensor, ...]) -> list[Tensor]:
    r, z = (x[0] + h[0]).sigmoid(), (x[1] + h[1]).sigmoid()
    return [r, z, (x[2] + r * h[2]).tanh()]


def _time(layer: Any, output: Tensor) -> int:
    return 1 if layer.batch_first and output.ndim == 3 else 0


def _before(layer: Any, hx: Any, output: Tensor) -> Tensor:
    """The outputs one step earlier, with the initial state first; like `output`."""
    time = _time(layer, output)
    first = output.narrow(time, 0, 1)
    start = torch.zeros_like(first)
    if hx is not None:
        h_0 = hx[0] if isinstance(hx, tuple | list) else hx  # (1, N, U), or (1, U) of (T, U)
        start = h_0.transpose(0, 1) if time == 1 else h_0
    return torch.cat((start, output.narrow(time, 0, output.shape[time] - 1)), dim=time)


def _packed_before(input: PackedSequence, hx: Any, output: PackedSequence) -> Tensor:
    """The same of packed steps: the rows of a step follow those of the step before."""
    sizes = input.batch_sizes.tolist()
    start = _packed_start(hx, 0, input, output.data.new_zeros(sizes[0], output.data.shape[1]))
    steps = (start, *torch.split(output.data, sizes)[:-1])
    return torch.cat([step[:size] for step, size in zip(steps, sizes, strict=True)])


def _packed_start(hx: Any, which: int, input: PackedSequence, zeros: Tensor) -> Tensor:
    """The initial state (N, U) in the order of the packed rows."""
    if hx is None:
        return zeros
    start: Tensor = (hx[which] if isinstance(hx, tuple | list) else hx)[0]
    if input.sorted_indices is not None:
        start = start.index_select(0, input.sorted_indices)
    return start


def _weights(layer: Any, role: str) -> tuple[Tensor, Tensor | None]:
    # By getattr, for a weight under a mask of torch.nn.utils.prune is no parameter.
    bias = getattr(layer, f"bias_{role}_l0") if layer.bias else None
    return getattr(layer, f"weight_{role}_l0"), bias
