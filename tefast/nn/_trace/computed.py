"""What messages say of weights that are computed, and of parameters that code reads itself."""

from typing import cast

from torch import nn

from tefast.nn._trace.kinds import kind_of


def computed_weights(module: nn.Module) -> str:
    """Say of which module's weights a parametrization makes others, and how to end that."""
    weights = cast(nn.ModuleDict, module.parametrizations)
    name, kinds = next(iter(weights.items()))
    kind = ", ".join(type(one).__name__.strip("_") for one in cast(nn.ModuleList, kinds))
    return (
        f"a module whose {name!r} is computed by a parametrization ({kind}; make it permanent with "
        f"torch.nn.utils.parametrize.remove_parametrizations(module, {name!r}) first)"
    )


def own_parameter(module: nn.Module, name: str, own: str) -> str:
    """Say what a parameter is that the model's code reads itself, and how it could be narrowed."""
    if kind_of(module) is not None:
        return f"with {f'{name}.{own}'!r} (call {name!r} instead)"
    full = f"{name}.{own}" if name else own
    if isinstance(module, nn.Embedding):
        return f"with {full!r}"
    return f"with the parameter {full!r} (hold it in an nn.Linear, bias=False, and call that)"
