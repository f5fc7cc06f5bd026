"""Convolutions and transposed ones, which read units as channels."""

from typing import Any

from torch import Tensor, nn

from tefast.nn._layers.recurrent import set_parameter
from tefast.nn._trace.consumers import Columns, Reading
from tefast.nn._trace.kinds import ReaderKind
from tefast.nn._trace.readers.columns import cut_columns, new_bias

Readings = dict[str, Reading]


class ConvolutionKind(ReaderKind):
    classes: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    arguments: tuple[str, ...] = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
        "bias", "padding_mode",
    )  # fmt: skip
    smallest = (1, 1, 1)

    def features_axis(self, module: Any, ndim: int) -> int:
        return -1 - len(module.kernel_size)

    def check(self, module: Any) -> None:
        super().check(module)
        if module.groups > 1:
            raise ValueError(f"expected a convolution of groups=1, got {module.groups}")

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return _convolution(module, readings["input"], kept)

    def columns(self, module: Any, role: str) -> list[Columns]:
        return [Columns(module.weight, None if _padded_with_zeros(module) else module.bias)]


class TransposedKind(ConvolutionKind):
    classes = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    arguments = (*ConvolutionKind.arguments, "output_padding")

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return _transposed(module, readings["input"], kept)

    def columns(self, module: Any, role: str) -> list[Columns]:
        return [Columns(module.weight.transpose(0, 1), None)]  # fewer rows are summed at the ends


def _convolution(module: Any, reading: Reading, kept: Tensor) -> nn.Module:
    weight, added = cut_columns(module.weight, reading, kept)
    if _padded_with_zeros(module) and bool(added.any()):
        raise ValueError(
            "what removed units leave behind is not there where the steps are padded with "
            "zeros; expected no padding, or padding_mode='replicate'"
        )
    twin = _twin(module, weight.shape[1])
    set_parameter(twin, "weight", weight, module.weight)
    bias = new_bias(module.bias, added.flatten(1).sum(1))
    if bias is not None:
        set_parameter(twin, "bias", bias, module.bias)
    return twin


def _padded_with_zeros(module: Any) -> bool:
    padded = module.padding not in ("valid", (0,) * len(module.kernel_size))
    return padded and bool(module.padding_mode == "zeros")


def _transposed(module: Any, reading: Reading, kept: Tensor) -> nn.Module:
    """Narrow a transposed convolution, whose weight is (inputs, outputs, ...)."""
    weight, added = cut_columns(module.weight.transpose(0, 1), reading, kept)
    if bool(added.any()):
        raise ValueError(
            "what removed units leave behind is not the same at the ends; expected units that "
            "are 0 when masked"
        )
    twin = _twin(module, weight.shape[1])
    set_parameter(twin, "weight", weight.transpose(0, 1).contiguous(), module.weight)
    if module.bias is not None:
        set_parameter(twin, "bias", module.bias.detach().clone(), module.bias)
    return twin


def _twin(module: Any, channels: int) -> nn.Module:
    """A convolution like `module` that reads so many channels, without weights."""
    names = ["out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode"]
    if isinstance(module, TransposedKind.classes):
        names.append("output_padding")
    options = {name: getattr(module, name) for name in names}
    bias = module.bias is not None
    twin: nn.Module = type(module)(channels, bias=bias, device="meta", **options)
    return twin


KINDS = (ConvolutionKind(), TransposedKind())
