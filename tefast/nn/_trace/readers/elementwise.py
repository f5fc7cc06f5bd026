"""PReLU and BatchNorm1d, which act on each feature alone."""

from typing import Any

import torch
from torch import Tensor, nn

from tefast.nn._layers.recurrent import set_parameter
from tefast.nn._trace.consumers import Columns, Reading
from tefast.nn._trace.fields import Fields
from tefast.nn._trace.kinds import ReaderKind
from tefast.nn._trace.readers.columns import is_gone
from tefast.nn._trace.reading import Reader

Readings = dict[str, Reading]


class PReLUKind(ReaderKind):
    classes = (nn.PReLU,)
    arguments = ("num_parameters",)

    def is_whole(self, module: Any) -> bool:
        return bool(module.num_parameters != 1)

    def features_axis(self, module: Any, ndim: int) -> int:
        return 1 - ndim

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return _prelu(module, readings["input"], kept)

    def columns(self, module: Any, role: str) -> list[Columns]:
        return []  # what reads the result has moments of its own

    def give(self, reader: Reader, module: Any, known: Fields, result: Any) -> None:
        reader.each(module, known, result, prelu)


class BatchNormKind(ReaderKind):
    classes = (nn.BatchNorm1d,)
    arguments = ("num_features", "eps", "momentum", "affine", "track_running_stats")
    smallest = (1,)

    def features_axis(self, module: Any, ndim: int) -> int:
        return 1 - ndim

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return _batch_norm(module, readings["input"], kept)

    def columns(self, module: Any, role: str) -> list[Columns]:
        return []  # what reads the result has moments of its own

    def give(self, reader: Reader, module: Any, known: Fields, result: Any) -> None:
        reader.each(module, known, result, batch_normed)


def _prelu(module: nn.PReLU, reading: Reading, kept: Tensor) -> nn.PReLU:
    index = (~is_gone(reading, kept)).nonzero().flatten().to(module.weight.device)
    twin = nn.PReLU(len(index), device="meta")
    set_parameter(twin, "weight", module.weight.detach()[index], module.weight)
    return twin


def _batch_norm(module: nn.BatchNorm1d, reading: Reading, kept: Tensor) -> nn.BatchNorm1d:
    index = (~is_gone(reading, kept)).nonzero().flatten()
    twin = nn.BatchNorm1d(
        len(index),
        module.eps,
        module.momentum,
        module.affine,
        module.track_running_stats,
        device="meta",
    )
    for name, parameter in module.named_parameters(recurse=False):
        set_parameter(twin, name, parameter.detach()[index.to(parameter.device)], parameter)
    for name, buffer in module.named_buffers(recurse=False):
        cut = buffer.detach()[index.to(buffer.device)] if buffer.ndim else buffer.clone()
        twin.register_buffer(name, cut)
    return twin


def prelu(module: nn.PReLU, x: Tensor) -> Tensor:
    return nn.functional.prelu(x, module.weight.detach().cpu().double())


def batch_normed(module: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Return what a BatchNorm1d makes in evaluation mode of `x`, the same for all steps."""
    options = [module.running_mean, module.running_var, module.weight, module.bias]
    mean, var, weight, bias = (None if o is None else o.detach().cpu().double() for o in options)
    if mean is None or var is None:  # the batch's own: of what is the same everywhere, its value
        mean, var = x.movedim(1, -1).flatten(0, -2)[0], torch.ones(x.shape[1]).double()
    return nn.functional.batch_norm(x, mean, var, weight, bias, False, 0.0, module.eps)


KINDS = (PReLUKind(), BatchNormKind())
