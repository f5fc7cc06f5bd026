"""Attributes in which a model's own code holds the size of a layer as a number."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from torch import nn

from tefast.nn._layers.numbering import widths
from tefast.nn._trace.group import Group

M = TypeVar("M", bound=nn.Module)
SizeNames: TypeAlias = Iterable[str] | Mapping[str, Any]
"""Names of attributes, with dots for those of submodules; or their values by these names."""


def new_sizes(group: Group, model: nn.Module) -> dict[int, int]:
    """Return what sizes become: of a layer's directions, and of its outputs, both together.

    A size that becomes different ones is left out.
    """
    found: dict[int, set[int]] = {}
    for name in group.names:
        wide, left = widths(model.get_submodule(name)), group.left(name)
        last = max(layer for layer, _ in wide.outputs)
        pairs = [
            (size, len(of[part]))
            for sizes, of in zip(wide, left, strict=True)
            for part, size in sizes.items()
        ]
        ends = [part for part in wide.outputs if part[0] == last]
        total = sum(wide.outputs[part] for part in ends)
        pairs.append((total, sum(len(left.outputs[part]) for part in ends)))
        for before, after in pairs:
            found.setdefault(before, set()).add(after)
    return {before: after.pop() for before, after in found.items() if len(after) == 1}


def checked_sizes(sizes: SizeNames | None, group: Group, model: nn.Module) -> dict[str, Any]:
    """Return the values that attributes get.

    Raises
    ------
    TypeError, ValueError
        If there is no such attribute, or its value is the size of no layer that gets smaller.
    """
    if sizes is None:
        return {}
    if isinstance(sizes, str):
        raise TypeError(f"sizes: expected a sequence of names, got the string {sizes!r}")
    known = new_sizes(group, model)
    values = dict(sizes) if isinstance(sizes, Mapping) else dict.fromkeys(sizes)
    for name in values:
        owner, attribute = _owner(model, name)
        if not hasattr(owner, attribute):
            raise ValueError(f"sizes: {type(owner).__name__} has no attribute {name!r}")
        if isinstance(sizes, Mapping):
            continue
        before = getattr(owner, attribute)
        if isinstance(before, bool) or not isinstance(before, int) or before not in known:
            raise ValueError(
                f"sizes: {name!r} is {before!r}, which is the size of no layer that gets smaller "
                f"({', '.join(map(str, known))}); give its value, sizes={{{name!r}: ...}}"
            )
        values[name] = known[before]
    return values


def set_sizes(model: M, values: Mapping[str, Any]) -> M:
    """Set attributes of a model and its submodules."""
    for name, value in values.items():
        owner, attribute = _owner(model, name)
        setattr(owner, attribute, value)
    return model


def candidates(group: Group, model: nn.Module) -> dict[str, int]:
    """Return attributes of modules that are not PyTorch's own and hold a size, and new values."""
    known, found = new_sizes(group, model), {}
    for path, module in model.named_modules():
        if type(module).__module__.startswith(("torch.", "tefast.")):
            continue
        for name, value in vars(module).items():
            if type(value) is int and value in known and not name.startswith("_"):
                found[f"{path}.{name}" if path else name] = known[value]
    return found


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, attribute = name.rpartition(".")
    try:
        return model.get_submodule(path), attribute
    except AttributeError:
        raise ValueError(f"sizes: {type(model).__name__} has no submodule {path!r}") from None
