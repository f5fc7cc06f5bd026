"""What is nested in the arguments and results of models: listed, copied and changed."""

import dataclasses
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Leaf: TypeAlias = tuple[str, Any]
"""What is found in a result, after where it is found."""

_BASIC = (
    *(Tensor, np.ndarray, np.generic, str, bytes, int, float, complex, Set, Iterator),
    *(type, nn.Module, types.ModuleType),
)
"""What is no object made of its attributes."""


def parts(value: Any, where: str = "the result", seen: set[int] | None = None) -> list[Leaf]:
    """List tensors, numbers and whatever else is nested in tuples, mappings and objects.

    Parameters
    ----------
    value : what a model takes or gives
    where : str
        What `value` is called.

    Returns
    -------
    list of (where, what), in an order that is the same for equal values
    """
    seen = set() if seen is None else seen
    inner: list[tuple[str, Any]]
    if isinstance(value, Mapping):
        inner = [(f"{where}[{key!r}]", one) for key, one in value.items()]
    elif isinstance(value, tuple | list | deque):
        inner = [(f"{where}[{number}]", one) for number, one in enumerate(value)]
    elif isinstance(value, types.MethodType):
        inner = [(f"{where}.__self__", value.__self__)]
    elif isinstance(value, functools.partial):
        inner = [(f"{where}.{name}", getattr(value, name)) for name in ("func", "args", "keywords")]
    elif isinstance(value, types.FunctionType):
        inner = [(f"what {where} holds", cell.cell_contents) for cell in value.__closure__ or ()]
    elif dataclasses.is_dataclass(value) or _is_plain_object(value):
        inner = [(f"{where}.{name}", one) for name, one in _fields(value)]
    else:
        return [(where, value)]
    if id(value) in seen:
        return []
    seen.add(id(value))
    header: list[Leaf] = [(f"the kind of {where}", type(value).__name__)]
    return header + [part for name, one in inner for part in parts(one, name, seen)]


def _is_plain_object(value: Any) -> bool:
    """Whether all there is to an object lies in its attributes."""
    if value is None or isinstance(value, _BASIC):
        return False
    if not hasattr(value, "__dict__") and not hasattr(type(value), "__slots__"):
        return False
    return type(value).__module__ not in ("torch", "builtins")


def _fields(value: Any) -> list[tuple[str, Any]]:
    slots: list[str] = []
    for kind in type(value).__mro__:
        named = vars(kind).get("__slots__", ())
        slots += [named] if isinstance(named, str) else named
    held = [(name, getattr(value, name)) for name in slots if hasattr(value, name)]
    return [*held, *getattr(value, "__dict__", {}).items()]


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists, mappings and objects."""
    return [leaf for _, leaf in parts(value) if isinstance(leaf, Tensor)]


def frozen(found: list[Leaf]) -> list[Leaf]:
    """Return what was found with copies of all that may change afterwards."""
    with torch.inference_mode(False), torch.no_grad():
        return [
            (where, leaf.detach().clone() if isinstance(leaf, Tensor) else _own(leaf))
            for where, leaf in found
        ]


def _own(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return `value` with what is nested in it changed; objects are changed in place."""
    new = change(value)
    if new is not value or isinstance(value, Tensor | np.ndarray | PackedSequence):
        return new
    if isinstance(value, tuple):
        each = [changed(one, change) for one in value]
        return type(value)(*each) if hasattr(value, "_fields") else tuple(each)
    if isinstance(value, list):
        value[:] = [changed(one, change) for one in value]
    elif isinstance(value, dict):
        value.update({key: changed(one, change) for key, one in value.items()})
    elif hasattr(value, "__dict__") and not isinstance(value, type | nn.Module | Callable):
        for key, one in vars(value).items():
            object.__setattr__(value, key, changed(one, change))
    return value
