"""Columns of weights without what removed units fed them."""

from torch import Tensor, nn

from tefast.nn._layers.recurrent import set_parameter
from tefast.nn._trace.consumers import Reading
from tefast.nn._trace.fields import OTHER


def is_gone(reading: Reading, kept: Tensor) -> Tensor:
    """Return for every input feature whether its unit is removed."""
    units = reading.labels.clamp(min=0) % reading.features
    return (reading.labels >= 0) & ~kept[units]


def cut_columns(weight: Tensor, reading: Reading, kept: Tensor) -> tuple[Tensor, Tensor]:
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
    gone = is_gone(reading, kept)
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


def new_bias(bias: Tensor | None, added: Tensor | None) -> Tensor | None:
    if bias is None:
        if added is not None and bool(added.any()):
            raise ValueError("what removed units leave behind needs a bias, and it has bias=False")
        return None
    value = bias.detach()
    return value.clone() if added is None else (value.double() + added).to(value.dtype)


def cut_linear(
    weight: Tensor, bias: Tensor | None, reading: Reading | None, kept: Tensor
) -> nn.Linear:
    if reading is None:
        columns, added = weight.detach().clone(), None
    else:
        columns, added = cut_columns(weight, reading, kept)
    rows, inputs = columns.shape
    twin = nn.Linear(inputs, rows, bias is not None, device="meta")
    set_parameter(twin, "weight", columns, weight)
    new = new_bias(bias, added)
    if bias is not None and new is not None:
        set_parameter(twin, "bias", new, bias)
    return twin
