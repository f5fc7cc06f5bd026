"""Recurrent layers, which read units of others."""

from collections.abc import Mapping
from typing import Any, get_args

from torch import Tensor, nn

from tefast.nn._layers.recurrent import Cell, Recurrent, check_recurrent, rebuild, weights
from tefast.nn._layers.stack import RecurrentStack, recurrent_layer
from tefast.nn._trace.consumers import Columns, Reading
from tefast.nn._trace.kinds import ReaderKind
from tefast.nn._trace.readers.columns import cut_columns, new_bias

Readings = dict[str, Reading]


class LayerKind(ReaderKind):
    classes: tuple[type[nn.Module], ...] = get_args(Recurrent)
    arguments: tuple[str, ...] = (
        "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout",
        "bidirectional", "proj_size",
    )  # fmt: skip

    def check(self, module: Any) -> None:
        check_recurrent(module)

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return _recurrent(module, readings["input"], kept)

    def columns(self, module: Any, role: str) -> list[Columns]:
        return [
            Columns(named["weight_ih"], named.get("bias_ih"))
            for (layer, _), named in weights(module).items()
            if layer == 0
        ]

    def argument(self, module: Any, name: str) -> Any:
        return getattr(module, name)

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        given = dict(arguments)
        dropout = given.pop("dropout", 0.0)
        module: Any = recurrent_layer(**given, device="meta")
        module.dropout = dropout  # in one layer without effect; its constructor would warn
        layer: nn.Module = module
        return layer


class CellKind(LayerKind):
    classes: tuple[type[nn.Module], ...] = get_args(Cell)
    arguments: tuple[str, ...] = ("input_size", "hidden_size", "bias")

    def describe(self, module: Any) -> dict[str, Any] | None:
        names = self.arguments
        names = (*names, "nonlinearity") if isinstance(module, nn.RNNCell) else names
        return {name: getattr(module, name) for name in names}

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        return ReaderKind.build(self, name, arguments)


class StackKind(CellKind):
    classes = (RecurrentStack,)
    arguments = (
        "mode", "input_size", "hidden_sizes", "proj_sizes", "bias", "batch_first", "dropout",
    )  # fmt: skip
    smallest = ("LSTM", 1, [[1]])

    def describe(self, module: Any) -> dict[str, Any] | None:
        found = {name: getattr(module, name) for name in self.arguments}
        projected = any(module.proj_sizes.values())
        found["hidden_sizes"] = _nested(module.hidden_sizes)
        found["proj_sizes"] = _nested(module.proj_sizes) if projected else None
        return found


def _recurrent(module: Any, reading: Reading, kept: Tensor) -> nn.Module:
    tensors = {
        part: {role: p.detach().clone() for role, p in named.items()}
        for part, named in weights(module).items()
    }
    for (layer, _), named in tensors.items():
        if layer == 0:
            named["weight_ih"], added = cut_columns(named["weight_ih"], reading, kept)
            bias = new_bias(named.get("bias_ih"), added)
            if bias is not None:
                named["bias_ih"] = bias
    return rebuild(module, tensors, stacked=isinstance(module, RecurrentStack))


def _nested(sizes: Mapping[tuple[int, int], int]) -> list[list[int]]:
    layers = 1 + max(layer for layer, _ in sizes)
    return [[size for (of, _), size in sizes.items() if of == layer] for layer in range(layers)]


KINDS = (LayerKind(), CellKind(), StackKind())
