"""A model in the sizes and with the values of a file, and otherwise as it was."""

import json
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tefast.nn._layers.recurrent import Layer, check_recurrent, weights
from tefast.nn._trace.copies import check_own, copy_with

Described = Mapping[str, Mapping[str, Any]]
"""What builds each module that a file describes, by its name in the model."""


class UnfitModelError(ValueError):
    """A model is missing, or is not one into which a file can be loaded."""


def resized(
    described: Described,
    model: nn.Module,
    build: Callable[[Mapping[str, Any]], nn.Module],
    describe: Callable[[nn.Module], Mapping[str, Any] | None],
) -> dict[nn.Module, nn.Module]:
    """Return the modules of a model that a file has in another size or class, and new ones.

    Parameters
    ----------
    described : dict of name to arguments
    model : nn.Module
    build, describe : callable
        From arguments to a module on the meta device, and back; None if there are no arguments.

    Raises
    ------
    UnfitModelError
        If there is no such module, or one of them shares a weight with another, has one that is
        computed, or was given a ``forward`` of its own.
    """
    there = dict(model.named_modules(remove_duplicate=False))
    replaced: dict[nn.Module, nn.Module] = {}
    for name, arguments in described.items():
        if name not in there:
            raise UnfitModelError(f"model: expected a submodule {name!r}, as in the file")
        old = there[name]
        now = describe(old)
        rows = "num_embeddings"
        if now is not None and now.get(rows) != arguments.get(rows):
            continue  # pruning leaves them; their shapes are compared, and refused
        # As a file holds it: lists in place of tuples.
        if now is None or json.loads(json.dumps(now)) != arguments:
            _check_replaceable(model, name, old)
            replaced[old] = build(arguments)
    return replaced


def filled(
    model: nn.Module,
    replaced: Mapping[nn.Module, nn.Module],
    state: Mapping[str, Tensor],
    where: str,
) -> nn.Module:
    """Return a copy of a model with some modules replaced, and with the values of a state.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    replaced : dict of modules to those on the meta device that take their place
    state : dict of name to Tensor
    where : str
        What errors call the state.

    Raises
    ------
    ValueError
        If the state does not fit, or has different values for what is one tensor in `model`.
    """
    for old, new in replaced.items():
        _materialise(old, new)
    twin = copy_with(model, replaced)
    _check_shapes(twin, state, where)
    tensors = {n: t for n, t in twin.state_dict(keep_vars=True).items() if not is_lazy(t)}
    with torch.no_grad():
        for names in _one_memory(model, tensors):
            value = state[names[0]]
            for name in names[1:]:
                if not _equal(value, state[name]):
                    raise ValueError(
                        f"{where}: expected the same values for {names[0]!r} and {name!r}, which "
                        "are one in the model, got different ones"
                    )
            placed = value.to(tensors[names[0]].device, copy=True)
            for name in names:
                tensors[name].data = placed
    # Values are there; this runs what modules have to do when a state is loaded.
    twin.load_state_dict(dict(state))
    for module in twin.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()
    return twin


def _materialise(old: nn.Module, new: nn.Module) -> None:
    """Give a module on the meta device memory, and the flags of the one that it replaces."""
    # A module without weights, such as a norm with affine=False, has no device.
    device = next((one.device for one in chain(old.parameters(), old.buffers())), None)
    flags = _flags(old, new)
    for path, module in new.named_modules():
        module.training = old.training
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                full = f"{path}.{name}" if path else name
                empty = torch.empty_like(parameter, device=device)
                module._parameters[name] = nn.Parameter(empty, requires_grad=flags[full])
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = torch.empty_like(buffer, device=device)


def _flags(old: nn.Module, new: nn.Module) -> dict[str, bool]:
    """Which parameters of the new module take gradients, as those of the old one do."""
    before = {name: one.requires_grad for name, one in old.named_parameters()}
    some = any(before.values())
    found = {name: before.get(name, some) for name, _ in new.named_parameters()}
    try:
        layers: tuple[Layer, Layer] = check_recurrent(old), check_recurrent(new)
    except (TypeError, ValueError):
        return found
    former, latter = map(weights, layers)
    names = {parameter: name for name, parameter in new.named_parameters()}
    for part, named in latter.items():
        for role, parameter in named.items():
            if role in former.get(part, {}):
                found[names[parameter]] = former[part][role].requires_grad
    return found


def _check_replaceable(model: nn.Module, name: str, old: nn.Module) -> None:
    try:
        check_own(old)
    except ValueError as error:
        raise UnfitModelError(
            f"model: {name!r} has another size in the file, and {error}"
        ) from None
    inside = set(old.modules())
    own = {id(parameter) for parameter in old.parameters()}
    for path, module in model.named_modules():
        if module in inside:
            continue
        for label, parameter in module._parameters.items():
            if id(parameter) in own:
                raise UnfitModelError(
                    f"model: expected weights of {name!r} that are not shared, since the file has "
                    f"it in another size, got one that is also {path + '.' if path else ''}{label}"
                )


def _one_memory(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[list[str]]:
    """The names in the copy, those together that are one tensor, or of one memory in the model.

    deepcopy makes memories of their own for parameters that share one.
    """
    memory: dict[str, Any] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor) and not is_lazy(tensor) and tensor.numel():
            memory[name] = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
    found: dict[Any, list[str]] = {}
    for name, tensor in tensors.items():
        known = memory.get(name)
        # A module that was built anew has no memory of the model.
        own = known is None or known[1] != tensor.shape
        found.setdefault(id(tensor) if own else known, []).append(name)
    return list(found.values())


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the bit, NaN included."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    bits = (each.detach().cpu().contiguous().flatten().view(torch.uint8) for each in (one, other))
    return torch.equal(*bits)


def _check_shapes(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    expected = model.state_dict(keep_vars=True)
    for name in sorted(expected.keys() ^ state.keys()):
        raise ValueError(f"{where}: {'missing' if name in expected else 'unexpected'} {name!r}")
    for name, tensor in state.items():
        like = expected[name]
        if not is_lazy(like) and tensor.shape != like.shape:
            raise ValueError(
                f"{where}: expected {name!r} of shape {tuple(like.shape)}, "
                f"got {tuple(tensor.shape)}"
            )
