"""LSTM and GRU layers in which some gates are constants.

A gate of a unit is i, f, g or o of an LSTM, r, z or n of a GRU, in PyTorch's order; g and n are the
candidates, which a tanh gives, all others are sigmoids. Where a gate is a constant, the constant
stands in place of what its sigmoid or tanh would give, at every step. That is the definition, and
it holds for 0 and 1, which no sigmoid of a finite number gives, and without biases.

The reduced layers have rows for the other gates alone; the masked ones have all rows and put the
constants in afterwards. Both compute the same sums.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from tefast.nn._layers.stack import check_input, check_pair, refuse_script, repack, split_state
from tefast.nn._parameters import documented
from tefast.nn.gate_selection import GATES, Constants, Gates, check_constants, choose_gates


@documented
class GateLayer(nn.Module):
    """What the layers of this module share. They are called like ``nn.LSTM`` and ``nn.GRU``.

    Weights are drawn like those of ``nn.LSTM``.

    Parameters
    ----------
    {input_size, hidden_size, removed, constants:layer}
    {bias:module, batch_first, device, dtype}

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0 : Parameter of shape (K, D), (K, U)
    bias_ih_l0, bias_hh_l0 : Parameter of shape (K,), or None
        Rows of the K gates that are computed, in PyTorch's order.
    removed, constants : Tensor of shape (U, G)
        Buffers, bool and floating.

    Raises
    ------
    TypeError, ValueError
        If a size, `removed` or `constants` are not as described. Loading the state of a layer
        that lacks other gates is an error of ``load_state_dict``.
    """

    mode: ClassVar[str]
    num_layers, bidirectional, proj_size = 1, False, 0
    _masked: ClassVar[bool] = False
    removed: Tensor
    constants: Tensor
    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor | None
    bias_hh_l0: Tensor | None
    _rows: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        removed: Gates,
        constants: Constants = 0.0,
        *,
        bias: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{name}: expected an int of 1 or more, got {size!r}")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.bias, self.batch_first = bias, batch_first
        chosen = choose_gates(removed, hidden_size, self.mode)
        values = check_constants(constants, chosen, self.mode)
        self.place(chosen, values, device, dtype or torch.get_default_dtype())
        rows = len(self._rows)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih_l0": (rows, input_size),
            "weight_hh_l0": (rows, hidden_size),
        }
        for name, shape in shapes.items():
            weight = torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(weight))
        for name in ("bias_ih_l0", "bias_hh_l0"):
            one = torch.empty(rows, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(one) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights as ``nn.LSTM`` does, uniformly within 1 / sqrt(U) of 0."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def place(
        self,
        removed: Tensor,
        constants: Tensor,
        device: torch.device | str | None,
        dtype: torch.dtype,
    ) -> None:
        """Take over which gates are constants; the weights must have rows for the others.

        Parameters
        ----------
        removed : BoolTensor of shape (U, G)
            The gates that are constants.
        constants : Tensor of shape (U, G)
            What they are.
        device : torch.device or str or None
            Where the buffers are made.
        dtype : torch.dtype
            The type of the constants.
        """
        computed = torch.ones_like(removed) if self._masked else ~removed
        per_gate = computed.sum(0).tolist()
        # Python numbers, for shapes may not depend on values where a graph is traced.
        self._counts = self._groups(per_gate)
        # Numbered as PyTorch's rows: all units of the first gate, then of the next.
        rows = computed.t().flatten().nonzero().flatten()
        self.register_buffer("removed", removed.to(device))
        self.register_buffer("constants", constants.to(device, dtype))
        self.register_buffer("_rows", rows.to(device), persistent=False)

    @documented
    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """Run the layer.

        Parameters
        ----------
        input : Tensor of shape (T, N, D), (N, T, D) if batch_first, or (T, D); or PackedSequence
        {hx}

        Returns
        -------
        output : Tensor of shape (T, N, U), (N, T, U) or (T, U), or PackedSequence; like `input`
        h_n, or (h_n, c_n) of an LSTM
            Each of shape (1, N, U) or (1, U).

        Raises
        ------
        TypeError, ValueError
            If the input or a state is not of such a shape, or there is no step.
        """
        packed = input if isinstance(input, PackedSequence) else None
        x = check_input(packed.data if packed else input, self.input_size, packed)
        swapped = self.batch_first and x.ndim == 3
        x = self._of_inputs(x)
        x = x.transpose(0, 1) if swapped else x  # now time, or what is packed, comes first
        batch = (int(packed.batch_sizes[0]),) if packed else tuple(x.shape[1:-1])
        if packed:
            steps = torch.split(x, packed.batch_sizes.tolist())
        else:
            steps = (x if batch else x[:, None]).unbind(0)
        if not steps:
            raise ValueError("input: expected at least one step, got none")
        outputs, state = self._run(steps, self._initial(hx, x, batch, packed))
        final = tuple(_order(one, packed.unsorted_indices if packed else None) for one in state)
        if batch:
            final = tuple(one[None] for one in final)
        h_n = final if len(final) > 1 else final[0]
        if packed:
            return repack(torch.cat(outputs), packed), h_n
        return (torch.stack(outputs, int(swapped)) if batch else torch.cat(outputs)), h_n

    def __prepare_scriptable__(self) -> Any:
        """Refuse TorchScript, which calls this, by name."""
        refuse_script(self)

    def flatten_parameters(self) -> None:
        """Do nothing: models call it on PyTorch's layers, and here is no cuDNN to lay out for."""

    def extra_repr(self) -> str:
        """Say what sizes there are and how many gates of each kind are constants."""
        gone = zip(GATES[self.mode], self.removed.sum(0).tolist(), strict=True)
        constant = ", ".join(f"{count} {name}" for name, count in gone if count) or "none"
        return (
            f"{self.input_size}, {self.hidden_size}, bias={self.bias}, "
            f"batch_first={self.batch_first}, constant gates: {constant}"
        )

    def _groups(self, per_gate: list[int]) -> list[int]:
        """How many computed gates there are in each run of one nonlinearity."""
        raise NotImplementedError

    def _of_inputs(self, x: Tensor) -> Tensor:
        """What all inputs (..., D) add to the computed gates, (..., K), in one product."""
        raise NotImplementedError

    def _step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state (N, U) after one step of what `_of_inputs` gave, (N, K)."""
        raise NotImplementedError

    def _run(
        self, steps: Sequence[Tensor], state: tuple[Tensor, ...]
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        outputs: list[Tensor] = []
        ended: list[tuple[Tensor, ...]] = []
        for step in steps:
            count = step.shape[0]  # not len, which would fix the size of a batch in a graph
            if count < state[0].shape[0]:  # the shortest sequences of a packed batch are over
                ended.insert(0, tuple(one[count:] for one in state))
                state = tuple(one[:count] for one in state)
            state = self._step(step, state)
            outputs.append(state[0])
        if ended:
            state = tuple(torch.cat(parts) for parts in zip(state, *ended, strict=True))
        return outputs, state

    def _initial(
        self, hx: Any, x: Tensor, batch: tuple[int, ...], packed: PackedSequence | None
    ) -> tuple[Tensor, ...]:
        lstm = self.mode == "LSTM"
        if hx is None:
            zero = x.new_zeros((*(batch or (1,)), self.hidden_size))
            return (zero, zero) if lstm else (zero,)
        width = {(0, 0): self.hidden_size}
        named = zip(("h_0", "c_0"), check_pair(hx) if lstm else (hx,), strict=False)
        given = [split_state(one, width, name, batch)[0] for name, one in named]
        order = packed.sorted_indices if packed else None
        return tuple(_order(one if batch else one[None], order) for one in given)

    def _spread(self, values: Tensor, first: int, last: int) -> Tensor:
        """Put computed gates (N, K) of kinds `first` to `last` among the constants, (N, .. * U)."""
        span = slice(first * self.hidden_size, last * self.hidden_size)
        constants = self.constants.t().flatten()[span]
        if self._masked:
            return torch.where(self.removed.t().flatten()[span], constants, values)
        rows = self._rows_of(first, last)
        constants = constants.to(values.dtype)  # another under autocast
        return constants.expand(values.shape[0], -1).index_copy(1, rows, values)

    def _rows_of(self, first: int, last: int) -> Tensor:
        """Where the computed gates of kinds `first` to `last` stand among all of these kinds."""
        raise NotImplementedError

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, *more: Any
    ) -> None:
        given, errors = state_dict.get(f"{prefix}removed"), more[-1]
        known = given is not None and not given.is_meta and not self.removed.is_meta
        if known and not torch.equal(given.cpu(), self.removed.cpu()):
            # As many rows may belong to other gates.
            errors.append(f"{prefix}removed: other gates are constants there than here")
        super()._load_from_state_dict(state_dict, prefix, metadata, *more)


@documented
class GateReducedLSTM(GateLayer):
    """An LSTM that computes only the gates that are not constants.

    Parameters
    ----------
    {input_size, hidden_size, removed, constants:layer}
    {bias:module, batch_first, device, dtype}

    Raises
    ------
    {errors:gates}
    """

    mode = "LSTM"

    def _groups(self, per_gate: list[int]) -> list[int]:
        i, f, g, o = per_gate
        return [i + f, g, o]

    def _of_inputs(self, x: Tensor) -> Tensor:
        sums = functional.linear(x, self.weight_ih_l0, self.bias_ih_l0)
        return sums if self.bias_hh_l0 is None else sums + self.bias_hh_l0

    def _step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        h, c = state
        sums = torch.addmm(x, h, self.weight_hh_l0.t())
        i_f, g, o = torch.split(sums, self._counts, 1)
        computed = torch.cat((i_f.sigmoid(), g.tanh(), o.sigmoid()), 1)
        i, f, g, o = self._spread(computed, 0, 4).chunk(4, 1)
        c = f * c + i * g
        return o * c.tanh(), c

    def _rows_of(self, first: int, last: int) -> Tensor:
        return self._rows


@documented
class GateReducedGRU(GateLayer):
    """A GRU that computes only the gates that are not constants.

    Parameters
    ----------
    {input_size, hidden_size, removed, constants:layer}
    {bias:module, batch_first, device, dtype}

    Raises
    ------
    {errors:gates}
    """

    mode = "GRU"

    def _groups(self, per_gate: list[int]) -> list[int]:
        r, z, n = per_gate
        return [r + z, n]

    def _of_inputs(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight_ih_l0, self.bias_ih_l0)

    def _step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (h,) = state
        sums = functional.linear(h, self.weight_hh_l0, self.bias_hh_l0)
        x_rz, x_n = torch.split(x, self._counts, 1)
        h_rz, h_n = torch.split(sums, self._counts, 1)
        r, z = self._spread((x_rz + h_rz).sigmoid(), 0, 2).chunk(2, 1)
        # r has a say in the candidates that are computed, and in no others.
        n = (x_n + r.index_select(1, self._rows_of(2, 3)) * h_n).tanh()
        n = self._spread(n, 2, 3)
        return (n + z * (h - n),)

    def _rows_of(self, first: int, last: int) -> Tensor:
        rows = torch.split(self._rows, self._counts)[first // 2]
        return rows - first * self.hidden_size


@documented
class GateMaskedLSTM(GateReducedLSTM):
    """The full-size twin of `GateReducedLSTM`: constants replace computed gates.

    Parameters
    ----------
    {input_size, hidden_size, removed, constants:layer}
    {bias:module, batch_first, device, dtype}

    Raises
    ------
    {errors:gates}
    """

    _masked = True


@documented
class GateMaskedGRU(GateReducedGRU):
    """The full-size twin of `GateReducedGRU`: constants replace computed gates.

    Parameters
    ----------
    {input_size, hidden_size, removed, constants:layer}
    {bias:module, batch_first, device, dtype}

    Raises
    ------
    {errors:gates}
    """

    _masked = True


def _order(state: Tensor, indices: Tensor | None) -> Tensor:
    return state if indices is None else state.index_select(0, indices)


def gate_layer(mode: str, *, masked: bool) -> type[GateLayer]:
    """Return the class of a mode, "LSTM" or "GRU", reduced or masked."""
    if mode == "LSTM":
        return GateMaskedLSTM if masked else GateReducedLSTM
    return GateMaskedGRU if masked else GateReducedGRU
