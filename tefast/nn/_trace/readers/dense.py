"""Linear and bilinear modules, which read units."""

from typing import Any

from torch import Tensor, nn

from tefast.nn._layers.recurrent import set_parameter
from tefast.nn._trace.consumers import Columns, Reading
from tefast.nn._trace.fields import OTHER
from tefast.nn._trace.kinds import ReaderKind
from tefast.nn._trace.readers.columns import cut_columns, cut_linear
from tefast.nn._trace.reading import Reader

Readings = dict[str, Reading]


class LinearKind(ReaderKind):
    classes = (nn.Linear,)
    arguments = ("in_features", "out_features", "bias")

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return cut_linear(module.weight, module.bias, readings["input"], kept)

    def columns(self, module: Any, role: str) -> list[Columns]:
        return [Columns(module.weight, module.bias)]


class BilinearKind(ReaderKind):
    classes = (nn.Bilinear,)
    arguments = ("in1_features", "in2_features", "out_features", "bias")
    smallest = (1, 1, 1)

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return _bilinear(module, readings, kept)

    def inputs(self, module: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        return {**dict(zip(("input1", "input2"), args, strict=False)), **kwargs}

    def columns(self, module: Any, role: str) -> list[Columns]:
        # A constant of one input would be a linear function of the other, for which is no place.
        weight = module.weight
        return [Columns(weight if role == "input1" else weight.transpose(1, 2), None)]

    def follow(self, reader: Reader, module: Any, args: Any, kwargs: Any, result: Any) -> None:
        inputs = self.inputs(module, args, kwargs)
        found = {r: reader.reading(one) for r, one in inputs.items() if reader.flow.of(one)}
        for reading in found.values():
            units = reading.labels != OTHER
            inner = (reading.labels >= 0) & (reading.labels < reader.numbering.count)
            if bool((units & ~inner).any() | reading.masked[units].ne(0).any()):
                reader.refuse("a Bilinear of what is not 0 where a unit is masked")
        reader.note_any(module, found)


def _bilinear(module: nn.Bilinear, readings: Readings, kept: Tensor) -> nn.Bilinear:
    weight = module.weight.detach()
    if "input1" in readings:
        weight, _ = cut_columns(weight, readings["input1"], kept)
    if "input2" in readings:
        weight = cut_columns(weight.transpose(1, 2), readings["input2"], kept)[0].transpose(1, 2)
    rows, first, second = weight.shape
    twin = nn.Bilinear(first, second, rows, module.bias is not None, device="meta")
    set_parameter(twin, "weight", weight.contiguous(), module.weight)
    if module.bias is not None:
        set_parameter(twin, "bias", module.bias.detach().clone(), module.bias)
    return twin


KINDS = (LinearKind(), BilinearKind())
