"""Modules that read the units, built anew without what the removed ones fed them."""

from typing import Any

from torch import Tensor, nn

from tefast.nn._layers.narrow import NarrowAttention, NarrowLayerNorm
from tefast.nn._layers.recurrent import (
    check_plain,
    check_recurrent,
    rebuild,
    set_parameter,
    weights,
)
from tefast.nn._layers.stack import RecurrentStack
from tefast.nn._trace.consumers import ATTENTION, CONVOLUTIONS, TRANSPOSED, Reading
from tefast.nn._trace.copies import check_own
from tefast.nn._trace.fields import OTHER

Readings = dict[str, Reading]


def check_reader(module: nn.Module) -> None:
    """Raise ValueError unless all parameters of a reader are plain ones of its class."""
    check_own(module)
    if isinstance(module, (nn.Linear, nn.Bilinear, *CONVOLUTIONS)):
        check_plain(module, ["weight"] if module.bias is None else ["weight", "bias"])
        if getattr(module, "groups", 1) > 1:
            raise ValueError(f"expected a convolution of groups=1, got {module.groups}")
    elif isinstance(module, nn.PReLU):
        check_plain(module, ["weight"])
    elif isinstance(module, nn.LayerNorm | NarrowLayerNorm | nn.BatchNorm1d):
        check_plain(module, [n for n in ("weight", "bias") if getattr(module, n) is not None])
    elif isinstance(module, nn.MultiheadAttention):
        if module.bias_k is not None or module.add_zero_attn:
            raise ValueError("expected add_bias_kv=False and add_zero_attn=False")
        names = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight"]
        names += ["in_proj_bias"]
        check_plain(module, [n for n in names if getattr(module, n) is not None])
    elif not isinstance(module, NarrowAttention):
        check_recurrent(module)


def narrow(module: nn.Module, readings: Readings, kept: Tensor) -> nn.Module:
    """Build what computes the same as `module` from the kept units alone.

    Parameters
    ----------
    module : nn.Module
        One of `consumers.READERS`; not changed.
    readings : dict of input name to Reading
    kept : bool Tensor (features,)
        For every label of a unit, whether it stays.

    Returns
    -------
    Module with the dtype, device, requires_grad and training mode of `module`

    Raises
    ------
    ValueError
        If removed units leave something behind that belongs into a bias, and there is none.
    """
    twin = _narrow(module, readings, kept)
    for one in twin.modules():
        one.training = module.training
    return twin


def _narrow(module: nn.Module, readings: Readings, kept: Tensor) -> nn.Module:
    if isinstance(module, ATTENTION):
        return _attention(module, readings, kept)
    if isinstance(module, nn.Bilinear):
        return _bilinear(module, readings, kept)
    reading = readings["input"]
    if isinstance(module, nn.Linear):
        return _linear(module.weight, module.bias, reading, kept)
    if isinstance(module, nn.LayerNorm | NarrowLayerNorm):
        return _layer_norm(module, reading, kept)
    if isinstance(module, CONVOLUTIONS):
        return _convolution(module, reading, kept)
    if isinstance(module, nn.BatchNorm1d):
        return _batch_norm(module, reading, kept)
    if isinstance(module, nn.PReLU):
        return _prelu(module, reading, kept)
    return _recurrent(module, reading, kept)


def _gone(reading: Reading, kept: Tensor) -> Tensor:
    """Return for every input feature whether its unit is removed."""
    units = reading.labels.clamp(min=0) % reading.features
    return (reading.labels >= 0) & ~kept[units]


def _columns(weight: Tensor, reading: Reading, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return the columns that stay, and what goes into the bias instead of the others.

    Parameters
    ----------
    weight : Tensor (outputs, inputs, ...)
    reading : Reading
    kept : bool Tensor (features,)

    Returns
    -------
    Tensor (outputs, fewer inputs, ...) of its dtype, float64 Tensor (outputs, ...)
    """
    gone = _gone(reading, kept)
    wide = weight.detach().double().movedim(1, -1)
    stay, left = ~gone, wide.clone()
    plain = gone & (reading.labels < reading.features)
    bias = wide[..., plain.to(wide.device)] @ reading.masked[plain].to(wide.device)
    for number, norm in enumerate(reading.norms):
        of_norm = gone & (reading.labels // reading.features == 1 + number)
        if not of_norm.any():
            continue
        rest = (reading.labels == OTHER - 1 - number).nonzero().flatten()
        added = wide[..., of_norm.to(wide.device)]
        units = reading.labels[of_norm] % reading.features
        column = added @ norm.weight[units].to(wide.device)
        bias = bias + added @ norm.bias[units].to(wide.device)
        if len(rest):
            column = column + wide[..., rest[0]]
        else:  # the first removed unit makes place for it, as in the norm itself
            rest = of_norm.nonzero()[:1, 0]
        left[..., rest[0]] = column
        stay[rest[0]] = True
    index = stay.nonzero().flatten().to(wide.device)
    if len(index) == 0:
        raise ValueError("all that it reads would be removed; at least one feature must stay")
    return left.index_select(-1, index).movedim(-1, 1).to(weight.dtype).contiguous(), bias


def _linear(
    weight: Tensor, bias: Tensor | None, reading: Reading | None, kept: Tensor
) -> nn.Linear:
    if reading is None:
        columns, added = weight.detach().clone(), None
    else:
        columns, added = _columns(weight, reading, kept)
    rows, inputs = columns.shape
    twin = nn.Linear(inputs, rows, bias is not None, device="meta")
    set_parameter(twin, "weight", columns, weight)
    new = _biased(bias, added)
    if bias is not None and new is not None:
        set_parameter(twin, "bias", new, bias)
    return twin


def _biased(bias: Tensor | None, added: Tensor | None) -> Tensor | None:
    if bias is None:
        if added is not None and bool(added.any()):
            raise ValueError("what removed units leave behind needs a bias, and it has bias=False")
        return None
    value = bias.detach()
    return value.clone() if added is None else (value.double() + added).to(value.dtype)


def _layer_norm(
    module: nn.LayerNorm | NarrowLayerNorm, reading: Reading, kept: Tensor
) -> nn.Module:
    gone = _gone(reading, kept)
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


def _convolution(module: Any, reading: Reading, kept: Tensor) -> nn.Module:
    if isinstance(module, TRANSPOSED):
        return _transposed(module, reading, kept)
    weight, added = _columns(module.weight, reading, kept)
    padded = module.padding not in ("valid", (0,) * weight[0, 0].ndim)
    if padded and module.padding_mode == "zeros" and bool(added.any()):
        raise ValueError(
            "what removed units leave behind is not there where the steps are padded with "
            "zeros; expected no padding, or padding_mode='replicate'"
        )
    twin: nn.Module = type(module)(
        weight.shape[1],
        module.out_channels,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        1,
        module.bias is not None,
        module.padding_mode,
        device="meta",
    )
    set_parameter(twin, "weight", weight, module.weight)
    bias = _biased(module.bias, added.flatten(1).sum(1))
    if bias is not None:
        set_parameter(twin, "bias", bias, module.bias)
    return twin


def _transposed(module: Any, reading: Reading, kept: Tensor) -> nn.Module:
    """Narrow a transposed convolution, whose weight is (inputs, outputs, ...)."""
    weight, added = _columns(module.weight.transpose(0, 1), reading, kept)
    if bool(added.any()):
        raise ValueError(
            "what removed units leave behind is not the same at the ends; expected units that "
            "are 0 when masked"
        )
    twin: nn.Module = type(module)(
        weight.shape[1],
        module.out_channels,
        module.kernel_size,
        module.stride,
        module.padding,
        module.output_padding,
        1,
        module.bias is not None,
        module.dilation,
        module.padding_mode,
        device="meta",
    )
    set_parameter(twin, "weight", weight.transpose(0, 1).contiguous(), module.weight)
    if module.bias is not None:
        set_parameter(twin, "bias", module.bias.detach().clone(), module.bias)
    return twin


def _bilinear(module: nn.Bilinear, readings: Readings, kept: Tensor) -> nn.Bilinear:
    weight = module.weight.detach()
    if "input1" in readings:
        weight, _ = _columns(weight, readings["input1"], kept)
    if "input2" in readings:
        weight = _columns(weight.transpose(1, 2), readings["input2"], kept)[0].transpose(1, 2)
    rows, first, second = weight.shape
    twin = nn.Bilinear(first, second, rows, module.bias is not None, device="meta")
    set_parameter(twin, "weight", weight.contiguous(), module.weight)
    if module.bias is not None:
        set_parameter(twin, "bias", module.bias.detach().clone(), module.bias)
    return twin


def _prelu(module: nn.PReLU, reading: Reading, kept: Tensor) -> nn.PReLU:
    index = (~_gone(reading, kept)).nonzero().flatten().to(module.weight.device)
    twin = nn.PReLU(len(index), device="meta")
    set_parameter(twin, "weight", module.weight.detach()[index], module.weight)
    return twin


def _batch_norm(module: nn.BatchNorm1d, reading: Reading, kept: Tensor) -> nn.BatchNorm1d:
    index = (~_gone(reading, kept)).nonzero().flatten()
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


def _recurrent(module: Any, reading: Reading, kept: Tensor) -> nn.Module:
    tensors = {
        part: {role: p.detach().clone() for role, p in named.items()}
        for part, named in weights(module).items()
    }
    for (layer, _), named in tensors.items():
        if layer == 0:
            named["weight_ih"], added = _columns(named["weight_ih"], reading, kept)
            bias = _biased(named.get("bias_ih"), added)
            if bias is not None:
                named["bias_ih"] = bias
    return rebuild(module, tensors, stacked=isinstance(module, RecurrentStack))


def _attention(
    module: nn.MultiheadAttention | NarrowAttention, readings: Readings, kept: Tensor
) -> NarrowAttention:
    dims, projections = {}, {}
    for role, (weight, bias) in _projections(module).items():
        projections[role[0] + "_proj"] = _linear(weight, bias, readings.get(role), kept)
        dims[role[0] + "dim"] = projections[role[0] + "_proj"].in_features
    biased = module.out_proj.bias is not None
    twin = NarrowAttention(
        module.embed_dim,
        module.num_heads,
        dims["qdim"],
        dims["kdim"],
        dims["vdim"],
        dropout=module.dropout,
        bias=biased,
        batch_first=module.batch_first,
        device="meta",
    )
    for name, linear in projections.items():
        setattr(twin, name, linear)
    twin.out_proj = _linear(module.out_proj.weight, module.out_proj.bias, None, kept)
    return twin


def _projections(
    module: nn.MultiheadAttention | NarrowAttention,
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return weight and bias of query, key and value."""
    if isinstance(module, NarrowAttention):
        three = (module.q_proj, module.k_proj, module.v_proj)
        return {
            role: (linear.weight, linear.bias)
            for role, linear in zip(("query", "key", "value"), three, strict=True)
        }
    found: dict[str, tuple[Tensor, Tensor | None]] = {}
    for number, role in enumerate(("query", "key", "value")):
        rows = slice(number * module.embed_dim, (number + 1) * module.embed_dim)
        packed = module.in_proj_weight
        origin = getattr(module, f"{role[0]}_proj_weight") if packed is None else packed
        part = origin if packed is None else origin[rows]
        bias = module.in_proj_bias
        # requires_grad is what is taken over from them, and a detached part would not say it.
        found[role] = (
            part.detach().requires_grad_(origin.requires_grad),
            None if bias is None else bias.detach()[rows].requires_grad_(bias.requires_grad),
        )
    return found
