"""LayerNorm, which reads units and takes their mean."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tefast.nn._layers.narrow import NarrowLayerNorm
from tefast.nn._layers.recurrent import set_parameter
from tefast.nn._trace.consumers import Normed, Reading
from tefast.nn._trace.fields import OTHER, Fields, unknown
from tefast.nn._trace.kinds import ReaderKind
from tefast.nn._trace.readers.columns import is_gone
from tefast.nn._trace.reading import Reader

Readings = dict[str, Reading]


class LayerNormKind(ReaderKind):
    classes: tuple[type[nn.Module], ...] = (nn.LayerNorm,)
    arguments: tuple[str, ...] = ("normalized_shape", "eps", "elementwise_affine", "bias")
    smallest: tuple[Any, ...] = (1,)

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return _layer_norm(module, readings["input"], kept)

    def give(self, reader: Reader, module: Any, known: Fields, result: Any) -> None:
        reading, norm = reader.readings[reader.names[module]]["input"], module
        count, labels = reader.numbering.count, reading.labels
        there = labels != OTHER
        several = len(norm.normalized_shape) > 1
        if several or bool((labels >= count).any() or reading.masked[there].ne(0).any()):
            reader.refuse("a LayerNorm over more than units that are 0 when masked")
        units = labels[there]
        if len(units) > len(set(units.tolist())):
            reader.refuse("a LayerNorm that reads a unit twice")
        number = _number(reader, norm, units, labels)
        if isinstance(module, NarrowLayerNorm):
            rest = torch.tensor([OTHER - 1 - number])
            labels = torch.cat([labels[: module.rest], rest, labels[module.rest :]])
        out = torch.where(labels >= 0, labels + count * (1 + number), labels)
        nothing = unknown(tuple(result.shape))
        reader.flow.follow(result, replace(nothing, labels=out.expand(result.shape)))


class NarrowLayerNormKind(LayerNormKind):
    classes = (NarrowLayerNorm,)
    arguments = ("width", "kept", "rest", "eps", "elementwise_affine", "bias")
    smallest = (1, 1, 0)

    def argument(self, module: Any, name: str) -> Any:
        return module.normalized_shape[0] if name == "kept" else super().argument(module, name)


def _number(
    reader: Reader, module: nn.LayerNorm | NarrowLayerNorm, units: Tensor, labels: Tensor
) -> int:
    """Return the place of a LayerNorm in the list, which it may have from an earlier call."""
    name = reader.names[module]
    for number, norm in enumerate(reader.norms):
        if norm.name == name:
            return number
    weight = torch.ones(reader.numbering.count, dtype=torch.float64)
    bias = torch.zeros_like(weight)
    for target, parameter in ((weight, module.weight), (bias, module.bias)):
        if parameter is not None:
            target[units] = parameter.detach().cpu().double()[labels != OTHER]
    reader.norms.append(Normed(name, weight, bias))
    return len(reader.norms) - 1


def _layer_norm(
    module: nn.LayerNorm | NarrowLayerNorm, reading: Reading, kept: Tensor
) -> nn.Module:
    gone = is_gone(reading, kept)
    known = isinstance(module, NarrowLayerNorm)
    index = (~gone).nonzero().flatten()
    before = module.rest if known else int(gone.nonzero()[0]) if gone.any() else 0
    twin: nn.LayerNorm | NarrowLayerNorm
    if not known and not gone.any():
        twin = nn.LayerNorm(len(index), module.eps, device="meta")
    else:
        width = module.width if isinstance(module, NarrowLayerNorm) else len(gone)
        rest = int((~gone)[:before].sum())
        twin = NarrowLayerNorm(width, len(index), rest, module.eps, device="meta")
    for name in ("weight", "bias"):
        parameter = getattr(module, name)
        if parameter is None:
            setattr(twin, name, None)
        else:
            set_parameter(twin, name, parameter.detach()[index.to(parameter.device)], parameter)
    return twin


KINDS = (LayerNormKind(), NarrowLayerNormKind())
