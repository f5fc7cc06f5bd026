"""A recurrent layer watched while its model runs: what it was given and what it gave."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from tefast.nn._layers.recurrent import Cell, Layer, Recurrent, rebuild, weights
from tefast.nn._layers.stack import Part, RecurrentStack, packed_reversal, part_name
from tefast.nn._runs import inside

Turn: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SeenLayer:
    """The outputs of one layer and direction in one call.

    All of it is as it was when the layer ran: what the model changes in place afterwards are other
    tensors.

    Attributes
    ----------
    data : Tensor
        What others read, in the graph if there is one.
    turn : callable
        Makes (n, T, ...) in the order of time of what lies as `data` does.
    lengths : LongTensor (n,) on the CPU, or None
        Valid steps of each sequence, where they are packed.
    reordered : bool
        Whether the sequences came sorted by length, and it is not known from which order.
    module, input, hx, output
        The layer of one direction, its input and initial state, and its outputs as they were.
    cell : Tensor, optional
        The cell states (n, U) that an ``nn.LSTMCell`` gave.
    """

    data: Tensor
    turn: Turn
    lengths: Tensor | None
    reordered: bool
    module: Any
    input: Any
    hx: Any
    output: Any
    cell: Tensor | None = None

    @property
    def projection(self) -> Tensor | None:
        """The weight (P, U) of a projection, if there is one."""
        found = getattr(self.module, "weight_hr_l0", None)
        return None if found is None else found.detach()

    def outputs(self) -> Tensor:
        """Return what others read, (n, T, U) or (n, T, P)."""
        return self.turn(self.data.detach())

    def units(self) -> Tensor:
        """Return what the units give, (n, T, U): before the projection, where there is one."""
        return self.outputs() if self.projection is None else self._inside(inside.unprojected)

    def gates(self) -> Tensor:
        """Return the gates, (n, T, U, G)."""
        return self._inside(inside.gates)

    def cells(self) -> Tensor:
        """Return the cell states of an LSTM, (n, T, U)."""
        if self.cell is not None:
            return self.turn(self.cell.detach())
        return self._inside(inside.cell_states)

    def _inside(self, of: Callable[..., Any]) -> Tensor:
        with torch.no_grad():
            found = of(self.module, self.input, self.hx, self.output)
        return self.turn(found.data if isinstance(found, PackedSequence) else found)


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer.

    Attributes
    ----------
    given : Tensor, optional
        The initial state h_0; of the first part, if they come apart.
    seen : dict of (layer, direction) to Seen
    result : Any
        What the layer returned, as the model goes on with it.
    returned : Tensor
        The final state h_n in it, as `given`.
    state : Any
        The final state as the layer itself is to go on from it.
    """

    given: Tensor | None
    seen: dict[Part, SeenLayer]
    result: Any
    returned: Tensor
    state: Any

    @property
    def reverse(self) -> bool:
        """Whether a direction is reverse."""
        return any(direction for _, direction in self.seen)

    def gave(self, state: Tensor) -> bool:
        """Return whether a state is what this call returned, or the first sequences of it."""
        same = self.returned.device == state.device and self.returned.dtype == state.dtype
        return same and 0 != self.returned.data_ptr() == state.data_ptr()


@dataclass
class Watch:
    """Notes every call of a layer between `start` and `stop`.

    With gradients on, what the layer returns is replaced by equal values, whose gradient at the
    outputs is that of all that reads them, but for the layer itself at its next call.

    Attributes
    ----------
    layer : recurrent layer or cell
    calls : list of Call
    """

    layer: Layer
    calls: list[LayerCall] = field(default_factory=list)
    _handles: list[Any] = field(default_factory=list)
    _given: Tensor | None = None

    def start(self) -> None:
        """Hook on to the layer."""
        self._handles = [
            self.layer.register_forward_pre_hook(self._before, with_kwargs=True),
            # Before hooks of the user's own, which then get what replaces the result.
            self.layer.register_forward_hook(self._after, with_kwargs=True, prepend=True),
        ]

    def stop(self) -> None:
        """Leave the layer as it was."""
        for handle in self._handles:
            handle.remove()

    def _before(self, layer: Any, args: Any, kwargs: Any) -> Any:
        """Give the state back that the layer itself is to go on from."""
        input, hx = _named(args, kwargs)
        self._given = _first(hx)
        if self._given is None or not torch.is_grad_enabled():
            return None
        for call in reversed(self.calls):
            if call.gave(self._given):
                return (input, _with_hidden(hx, call.state, _has_cells(layer))), {}
        return None

    def _after(self, layer: Any, args: Any, kwargs: Any, result: Any) -> Any:
        input, hx = _named(args, kwargs)
        if isinstance(layer, Cell):
            state = result
            one, result = _cell(layer, input, hx, result)
            found = {(0, 0): one}
            after = result
        elif not isinstance(layer, RecurrentStack) and not _has_several(layer):
            state = result[1]
            found = {(0, 0): _seen(result[0], (0, 0), layer.batch_first, layer, input, hx)}
            result = _by_way_of_outputs(result, layer.batch_first)
            after = result[1]
        else:
            stack = layer if isinstance(layer, RecurrentStack) else _stack(layer)
            found, state, result = _one_by_one(stack, input, hx)
            after = result[1]
        returned = _first(after)
        assert returned is not None
        self.calls.append(LayerCall(self._given, found, result, returned, state))
        return result


def packed_lengths(packed: PackedSequence) -> Tensor:
    """Return the lengths (n,) of packed sequences in the order they had, on the CPU."""
    sizes = packed.batch_sizes
    lengths = (sizes[:, None] > torch.arange(int(sizes[0]))).sum(0)
    unsorted = packed.unsorted_indices
    return lengths if unsorted is None else lengths[unsorted.to(lengths.device)]


def _seen(
    output: Any, part: Part, batch_first: bool, module: Any, input: Any, hx: Any
) -> SeenLayer:
    """Return what is seen of a layer of one direction; reverse ones run on turned sequences."""
    lengths, reordered = None, False
    if not torch.is_grad_enabled():
        output = _kept(output)
    if isinstance(output, PackedSequence):
        data, turn = output.data, _padded(output, backwards=bool(part[1]))
        lengths = packed_lengths(output)
        reordered = output.unsorted_indices is None and bool((lengths != lengths[0]).any())
    else:
        if output.ndim != 3:
            raise ValueError(f"expected a batch of sequences, got an output {tuple(output.shape)}")
        data, turn = output, _batch_first if batch_first else _time_first
        turn = _time_first_backwards if part[1] else turn
    if torch.is_grad_enabled() and not data.requires_grad:
        data.requires_grad_()  # of a frozen layer
    return SeenLayer(data, turn, lengths, reordered, module, _kept(input), _kept(hx), output)


def _kept(value: Any) -> Any:
    """Return copies of tensors, packed ones too, that later changes in place do not reach."""
    if isinstance(value, PackedSequence):
        return PackedSequence(value.data.detach().clone(), *value[1:])
    if isinstance(value, tuple | list):
        return type(value)(_kept(one) for one in value)
    return value.detach().clone() if isinstance(value, Tensor) else value


def _batch_first(x: Tensor) -> Tensor:
    return x


def _time_first(x: Tensor) -> Tensor:
    return x.transpose(0, 1)


def _time_first_backwards(x: Tensor) -> Tensor:
    return x.flip(0).transpose(0, 1)


def _one_step(x: Tensor) -> Tensor:
    return x[:, None]


def _padded(packed: PackedSequence, *, backwards: bool) -> Turn:
    sizes = packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    order = packed_reversal(packed.batch_sizes) if backwards else None

    def turn(x: Tensor) -> Tensor:
        rows = x if order is None else x.index_select(0, order.to(x.device))
        return pad_packed_sequence(PackedSequence(rows, *sizes), batch_first=True)[0]

    return turn


def _cell(layer: Any, input: Any, hx: Any, result: Any) -> tuple[SeenLayer, Any]:
    """What is seen of one step, and what the model goes on with."""
    h, *c = result if isinstance(result, tuple) else (result,)
    if h.ndim != 2:
        raise ValueError(f"expected a batch of sequences, got an output {tuple(h.shape)}")
    data, given = _kept(h), h
    if torch.is_grad_enabled():
        data = h.view_as(h) if h.requires_grad else h.detach().requires_grad_()
        given = data.clone()
    cell = _kept(c[0]) if c else None
    one = SeenLayer(data, _one_step, None, False, layer, _kept(input), _kept(hx), _kept(h), cell)
    return one, (given, *c) if c else given


def _by_way_of_outputs(result: Any, batch_first: bool) -> Any:
    """Return the result of one direction, a copy, with h_n taken from its outputs.

    The values are the same, and so the gradient at the outputs is that of all that reads them.
    """
    output, state = result
    if not torch.is_grad_enabled():
        return result
    if isinstance(output, PackedSequence):
        sizes = output.batch_sizes
        sequence = torch.arange(int(sizes[0]))
        lengths = (sizes[:, None] > sequence).sum(0)
        h = output.data[((sizes.cumsum(0) - sizes)[lengths - 1] + sequence).to(output.data.device)]
        h = h if output.unsorted_indices is None else h[output.unsorted_indices]
        given: Any = PackedSequence(output.data.clone(), *output[1:])
    else:
        h = (output[:, -1] if batch_first else output[-1]).clone()
        given = output.clone()
    return given, (h[None], state[1]) if isinstance(state, tuple) else h[None]


def _one_by_one(
    stack: RecurrentStack, input: Any, hx: Any
) -> tuple[dict[Part, SeenLayer], Any, Any]:
    """Run a stack: what is seen of every part, the final state by itself, and the result.

    Inside, time comes first, and reverse directions run backwards.
    """
    found: dict[Part, SeenLayer] = {}
    states: dict[Part, Any] = {}

    def keep(part: Part) -> Any:
        def hook(cell: nn.Module, args: Any, result: Any) -> Any:
            found[part] = _seen(result[0], part, False, cell, *args)
            states[part] = result[1]
            return _by_way_of_outputs(result, False)

        return hook

    handles = [
        stack.layers[part_name(part)].register_forward_hook(keep(part))
        for part in stack.hidden_sizes
    ]
    try:
        result = stack.forward(input, hx)  # not a call, which would run the hooks of a stack again
    finally:
        for handle in handles:
            handle.remove()
    return found, stack._final([states[part] for part in stack.hidden_sizes]), result


def _stack(layer: Recurrent) -> RecurrentStack:
    """Return the layer as a stack, on the same memory."""
    named = weights(layer)
    tensors = {
        part: {role: p.detach() for role, p in roles.items()} for part, roles in named.items()
    }
    stack = rebuild(layer, tensors, stacked=True)
    assert isinstance(stack, RecurrentStack)
    return stack


def _named(args: Any, kwargs: Any) -> tuple[Any, Any]:
    given = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    return given["input"], given.get("hx")


def _first(state: Any) -> Tensor | None:
    """The outputs' state, h; of the first part, if there are several."""
    while isinstance(state, tuple | list):
        state = state[0]
    return state if isinstance(state, Tensor) else None


def _has_several(layer: Recurrent) -> bool:
    return layer.num_layers > 1 or layer.bidirectional


def _has_cells(layer: Layer) -> bool:
    return isinstance(layer, nn.LSTMCell) or getattr(layer, "mode", None) == "LSTM"


def _with_hidden(given: Any, state: Any, pair: bool) -> Any:
    """A given state with the outputs' state of another, unless it was changed on the way."""
    if pair:
        return _with_hidden(given[0], state[0], False), given[1]
    if isinstance(given, Tensor):
        rows = state.narrow(-2, 0, given.shape[-2])
        return rows if rows.shape == given.shape and torch.equal(rows, given) else given
    return tuple(_with_hidden(one, other, False) for one, other in zip(given, state, strict=True))
