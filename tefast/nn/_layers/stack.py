"""Stacked recurrent layers whose widths differ, which PyTorch's own modules cannot hold."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tefast.nn._parameters import documented

Part: TypeAlias = tuple[int, int]
"""(layer, direction); direction 0 is forward, 1 is reverse."""

_CLASSES: dict[str, type[nn.LSTM | nn.GRU | nn.RNN]] = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN_TANH": nn.RNN,
    "RNN_RELU": nn.RNN,
}


@documented
class RecurrentStack(nn.Module):
    """An LSTM, GRU or RNN whose layers and directions may each have a width of their own.

    It computes what ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN`` compute, and is called in the same way.
    Each direction of each layer is a one-layer module in `layers`. These are called ``l0``,
    ``l0_reverse``, ``l1`` and so on, after the names of PyTorch's weights.

    Parameters
    ----------
    mode : {"LSTM", "GRU", "RNN_TANH", "RNN_RELU"}
        The kind of layer.
    {input_size}
    hidden_sizes : sequence of sequences of int
        The number of units of each direction of each layer, such as ``[(5, 3), (2, 4)]``: one
        direction in all layers, or two.
    proj_sizes : sequence of sequences of int, optional
        The number of projected outputs of an LSTM, for each direction of each layer.
    {bias:module, batch_first}
    dropout : float, default 0
        The probability with which an output of all layers but the last is dropped in training.
    {device, dtype}

    Attributes
    ----------
    layers : nn.ModuleDict
    hidden_sizes, proj_sizes : dict of (layer, direction) to int
        `proj_sizes` are 0 where there is no projection.

    Raises
    ------
    TypeError, ValueError
        If a size or option is not as described, or not one that PyTorch takes.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_sizes: Sequence[Sequence[int]],
        proj_sizes: Sequence[Sequence[int]] | None = None,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check_options(mode, batch_first, dropout)
        self.mode, self.input_size, self.bias = mode, input_size, bias
        self.batch_first, self.dropout = batch_first, float(dropout)
        self.hidden_sizes = _by_part("hidden_sizes", hidden_sizes)
        self.proj_sizes = dict.fromkeys(self.hidden_sizes, 0)
        if proj_sizes is not None:
            self.proj_sizes = _by_part("proj_sizes", proj_sizes)
            if self.proj_sizes.keys() != self.hidden_sizes.keys():
                raise ValueError("proj_sizes: expected the layers and directions of hidden_sizes")
        self.num_layers, self.bidirectional = len(hidden_sizes), (0, 1) in self.hidden_sizes
        self.layers = nn.ModuleDict()
        for part, hidden_size in self.hidden_sizes.items():
            self.layers[part_name(part)] = recurrent_layer(
                mode,
                input_size if part[0] == 0 else self._features(part[0] - 1),
                hidden_size,
                proj_size=self.proj_sizes[part],
                bias=bias,
                device=device,
                dtype=dtype,
            )

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """Run all layers.

        Parameters
        ----------
        input : Tensor of shape (T, N, D), (N, T, D) if batch_first, or (T, D); or PackedSequence
        hx : h_0, or (h_0, c_0) of an LSTM, optional
            Each is a sequence of tensors of shape (N, U), or (U,) for an input (T, D): one for
            each of l0, l0_reverse, l1 and so on. Where their widths U are equal, one tensor
            (layers * directions, N, U) will do. Without it, all are 0.

        Returns
        -------
        output : Tensor or PackedSequence, like `input`
            Outputs of the last layer, forward and reverse concatenated along the features.
        h_n, or (h_n, c_n) of an LSTM
            Each is one tensor if the widths are equal, and otherwise a tuple of tensors like those
            of `hx`.

        Raises
        ------
        TypeError, ValueError
            If the input or a state is not of such a shape.
        """
        packed = input if isinstance(input, PackedSequence) else None
        x = check_input(input.data if packed else input, self.input_size, packed)
        swapped = self.batch_first and x.ndim == 3
        x = x.transpose(0, 1) if swapped else x  # now time, or what is packed, comes first
        before = self._initial(hx, x, packed)
        after: list[Any] = []
        order = packed_reversal(packed.batch_sizes) if packed and self.bidirectional else None
        for layer in range(self.num_layers):
            if layer:
                x = nn.functional.dropout(x, self.dropout, self.training)
            outputs = []
            for direction in range(1 + self.bidirectional):
                cell = self.layers[part_name((layer, direction))]
                steps = _backwards(x, order) if direction else x
                output, state = cell(repack(steps, packed), before[len(after)])
                output = output.data if packed else output
                outputs.append(_backwards(output, order) if direction else output)
                after.append(state)
            x = torch.cat(outputs, dim=-1) if self.bidirectional else outputs[0]
        return repack(x.transpose(0, 1) if swapped else x, packed), self._final(after)

    def __getattr__(self, name: str) -> Any:
        """Say where the width of PyTorch's classes is, of which there are several here."""
        if name == "hidden_size":
            raise AttributeError(
                "a RecurrentStack has no 'hidden_size', since widths differ: its 'hidden_sizes' "
                "has one of each (layer, direction)"
            )
        return super().__getattr__(name)

    def __prepare_scriptable__(self) -> Any:
        """Refuse TorchScript, which calls this, by name."""
        refuse_script(self)

    def flatten_parameters(self) -> None:
        """Lay out the weights of each layer in one piece on a GPU, as ``nn.LSTM`` does."""
        for cell in self.layers.values():
            cast(nn.RNNBase, cell).flatten_parameters()

    def extra_repr(self) -> str:
        """Say what the layers do not say themselves."""
        return f"{self.mode}, batch_first={self.batch_first}, dropout={self.dropout}"

    def _features(self, layer: int) -> int:
        parts = [part for part in self.hidden_sizes if part[0] == layer]
        return sum(self.proj_sizes[part] or self.hidden_sizes[part] for part in parts)

    def _initial(self, hx: Any, x: Tensor, packed: PackedSequence | None) -> list[Any]:
        if hx is None:
            return [None] * len(self.hidden_sizes)
        outputs = {part: self.proj_sizes[part] or size for part, size in self.hidden_sizes.items()}
        batch = (int(packed.batch_sizes[0]),) if packed else x.shape[1:-1]
        if self.mode != "LSTM":
            return [h[None] for h in split_state(hx, outputs, "h_0", batch)]
        h_0, c_0 = check_pair(hx)
        every_h = split_state(h_0, outputs, "h_0", batch)
        every_c = split_state(c_0, self.hidden_sizes, "c_0", batch)
        return [(h[None], c[None]) for h, c in zip(every_h, every_c, strict=True)]

    def _final(self, after: list[Any]) -> Any:
        if self.mode != "LSTM":
            return join_state([h[0] for h in after])
        return join_state([h[0] for h, _ in after]), join_state([c[0] for _, c in after])


def part_name(part: Part) -> str:
    """Return what PyTorch calls a direction of a layer: ``l0``, ``l0_reverse``, ``l1``, ..."""
    layer, direction = part
    return f"l{layer}_reverse" if direction else f"l{layer}"


def recurrent_layer(
    mode: str, input_size: int, hidden_size: int, **options: Any
) -> nn.LSTM | nn.GRU | nn.RNN:
    """Build PyTorch's module of a mode, one of ``LSTM``, ``GRU``, ``RNN_TANH``, ``RNN_RELU``."""
    if mode.startswith("RNN"):
        options["nonlinearity"] = mode.removeprefix("RNN_").lower()
    if not options.get("proj_size"):  # nn.GRU and nn.RNN do not take even a 0
        options.pop("proj_size", None)
    return _CLASSES[mode](input_size, hidden_size, **options)


def check_pair(state: Any) -> tuple[Any, Any]:
    """Return the state of an LSTM, (h, c), or raise TypeError if it is not a pair."""
    if not isinstance(state, tuple | list) or len(state) != 2:
        got = f"{len(state)} items" if isinstance(state, tuple | list) else type(state).__name__
        raise TypeError(f"state: expected (h_0, c_0), got {got}")
    return state[0], state[1]


def split_state(
    state: Any, widths: Mapping[Part, int], name: str, batch: tuple[int, ...] | None = None
) -> list[Tensor]:
    """Return the state of every part, once all have been checked.

    Parameters
    ----------
    state : Tensor of shape (len(widths), ..., U), or sequence of tensors of shape (..., U)
    widths : mapping of (layer, direction) to int
        U of every part.
    name : str
        What errors call the state.
    batch : tuple of int, optional
        What ``...`` is: (N,), or () without a batch. By default either.

    Returns
    -------
    list of Tensor, in the order of `widths`

    Raises
    ------
    TypeError, ValueError
        If `state` is not as described.
    """
    each = list(state) if isinstance(state, Tensor) and state.ndim else state
    if not isinstance(each, tuple | list) or not all(isinstance(one, Tensor) for one in each):
        raise TypeError(f"{name}: expected a tensor or a sequence of tensors, got {state!r:.60}")
    if len(each) != len(widths):
        known = ", ".join(map(part_name, widths))
        raise ValueError(f"{name}: expected {len(widths)} states, of {known}, got {len(each)}")
    for one, (part, width) in zip(each, widths.items(), strict=True):
        leading = one.shape[:-1][:1] if batch is None else batch
        if one.shape != (*leading, width):
            raise ValueError(
                f"{name}: expected shape {(*leading, width)} for {part_name(part)}, "
                f"got {tuple(one.shape)}"
            )
    return list(each)


def join_state(each: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Return one tensor of states whose widths are equal, else all of them, as a tuple."""
    equal = all(one.shape == each[0].shape for one in each)
    return torch.stack(tuple(each)) if equal else tuple(each)


def packed_reversal(batch_sizes: Tensor) -> Tensor:
    """Return the order that turns every sequence of a `PackedSequence` around; its own inverse.

    Parameters
    ----------
    batch_sizes : LongTensor of shape (T,)
        How many sequences have a step t; never rising.

    Returns
    -------
    LongTensor of shape (total steps,), indices into the packed rows
    """
    starts = batch_sizes.cumsum(0) - batch_sizes
    step = torch.arange(len(batch_sizes)).repeat_interleave(batch_sizes)
    sequence = torch.arange(len(step)) - starts[step]
    lengths = (batch_sizes[:, None] > torch.arange(int(batch_sizes[0]))).sum(0)
    return starts[lengths[sequence] - 1 - step] + sequence


def repack(x: Tensor, packed: PackedSequence | None) -> Tensor | PackedSequence:
    """Return `x` packed as `packed` is, if that is given."""
    if packed is None:
        return x
    return PackedSequence(x, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def refuse_script(module: nn.Module) -> NoReturn:
    """Raise TypeError where TorchScript would fail within PyTorch."""
    raise TypeError(
        f"torch.jit.script: a {type(module).__name__} cannot be scripted; torch.export.export, "
        "torch.compile and torch.jit.trace take it"
    )


def check_input(x: Any, features: int, packed: PackedSequence | None) -> Tensor:
    """Return the steps of an input, or raise if their shape is none that it may have.

    Parameters
    ----------
    x : Tensor of shape (T, N, D), (N, T, D) or (T, D), or packed steps of shape (S, D)
    features : int
        D.
    packed : PackedSequence, optional
        Where `x` comes from.

    Raises
    ------
    TypeError, ValueError
    """
    if not isinstance(x, Tensor):
        traced = isinstance(x, torch.fx.Proxy)
        raise TypeError(
            f"input: expected a tensor or PackedSequence, got {type(x).__name__}"
            f"{'; torch.export.export takes models that hold this layer' if traced else ''}"
        )
    if x.ndim not in (2, 3) or (packed and x.ndim != 2) or x.shape[-1] != features:
        form = "packed steps of shape (S, D)" if packed else "shape (T, N, D) or (T, D)"
        raise ValueError(f"input: expected {form} with D = {features}, got {tuple(x.shape)}")
    return x


def _backwards(x: Tensor, order: Tensor | None) -> Tensor:
    return x.flip(0) if order is None else x.index_select(0, order.to(x.device))


def _by_part(name: str, sizes: Sequence[Sequence[int]]) -> dict[Part, int]:
    directions = {len(layer) for layer in sizes}
    if directions not in ({1}, {2}):
        raise ValueError(f"{name}: expected one or two sizes for every layer, got {list(sizes)}")
    return {
        (number, direction): size
        for number, layer in enumerate(sizes)
        for direction, size in enumerate(layer)
    }


def _check_options(mode: str, batch_first: bool, dropout: float) -> None:
    if mode not in _CLASSES:
        raise ValueError(f"mode: expected one of {', '.join(_CLASSES)}, got {mode!r}")
    if not isinstance(batch_first, bool):
        raise TypeError(f"batch_first: expected a bool, got {type(batch_first).__name__}")
    if isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout: expected a probability in [0, 1], got {dropout!r}")
