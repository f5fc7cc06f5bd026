"""A model as it was before it ran."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

_OWN = frozenset(vars(nn.Module()))
"""What every module keeps for itself: parameters, buffers, hooks."""


class Snapshot:
    """What a forward pass may change in a model: buffers, and attributes of its modules.

    A model may count its calls, collect its outputs, or keep a state from one call to the next:
    in attributes of its modules, in tensors, or in lists, dicts, sets and deques, which may be
    within one another, or in the attributes of an object that a module holds. Parameters are not
    in it.

    Parameters
    ----------
    model : nn.Module
    """

    def __init__(self, model: nn.Module) -> None:
        self._restoring: list[Callable[[], None]] = []
        seen: set[int] = set()
        for module in model.modules():
            own = {name: value for name, value in vars(module).items() if name not in _OWN}
            self._restoring.append(_attributes(module, own, dict(module._buffers)))
            for value in (*own.values(), *module._buffers.values()):
                if _is_object(value) and id(value) not in seen:
                    self._restoring.append(_object(value))
                    for one in vars(value).values():
                        _note(one, self._restoring, seen)
                _note(value, self._restoring, seen)

    def restore(self) -> None:
        """Give it back to the model."""
        for restore in self._restoring:
            restore()


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Give a model back what the runs in a block change; see `Snapshot`."""
    before = Snapshot(model)
    try:
        yield
    finally:
        before.restore()


def _attributes(module: nn.Module, own: dict[str, Any], buffers: dict[str, Any]) -> Any:
    def restore() -> None:
        for name in [name for name in vars(module) if name not in _OWN and name not in own]:
            del vars(module)[name]
        vars(module).update(own)
        module._buffers.clear()
        module._buffers.update(buffers)

    return restore


def _is_object(value: Any) -> bool:
    """Whether what a module holds is an object that may count or collect something."""
    kinds = (nn.Module, Tensor, type, FunctionType, MethodType, ModuleType)
    return hasattr(value, "__dict__") and not isinstance(value, kinds)


def _object(value: Any) -> Callable[[], None]:
    before = dict(vars(value))

    def restore() -> None:
        now = vars(value)
        if now.keys() != before.keys() or any(now[name] is not before[name] for name in before):
            now.clear()
            now.update(before)

    return restore


def _note(value: Any, restoring: list[Callable[[], None]], seen: set[int]) -> None:
    """Remember what a container or tensor holds."""
    if isinstance(value, str | int | float | None) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        # Parameters are the optimizer's to change.
        if not isinstance(value, nn.Parameter):
            restoring.append(_tensor(value))
        return
    if isinstance(value, list | deque):
        held: list[Any] = list(value)
    elif isinstance(value, dict):
        held = list(value.values())
    elif isinstance(value, set):
        held = []
    else:
        return
    restoring.append(_container(value))
    for one in held:
        _note(one, restoring, seen)


def _container(value: Any) -> Callable[[], None]:
    before = list(value.items()) if isinstance(value, dict) else list(value)

    def restore() -> None:
        now = list(value.items()) if isinstance(value, dict) else list(value)
        # By identity: tensors have no truth value to compare by.
        if len(now) == len(before) and all(map(_same, now, before)):
            return
        value.clear()
        (value.update if isinstance(value, dict | set) else value.extend)(before)

    return restore


def _same(one: Any, other: Any) -> bool:
    pairs = isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other)
    return one is other or (pairs and all(a is b for a, b in zip(one, other, strict=True)))


def _tensor(tensor: Tensor) -> Callable[[], None]:
    before = tensor.detach().clone()
    version = None if tensor.is_inference() else tensor._version

    def restore() -> None:
        if version is None or tensor._version != version:
            with torch.no_grad():
                tensor.copy_(before)

    return restore
