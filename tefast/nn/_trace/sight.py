"""What is seen of a model that runs: every operation, the numbers it is given and what it gives."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tefast.nn._trace.examples import Arguments
from tefast.nn._trace.nested import Leaf
from tefast.nn._trace.watching import unseen

_MOST = 2**16
"""Entries of a tensor that are compared; of larger ones, that many from all over it."""
_CHANGING = {"__setitem__", "__set__", "__delitem__"}
"""Operations that give nothing and change what they are done to."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Where a whole number may say how many entries there are, or which.
SIZED = _names(
    "view reshape expand repeat tile split split_with_sizes chunk tensor_split narrow select "
    "unflatten flatten unfold pad roll __getitem__ index_select"
)
# Their rounding is relative to what they give; that of sums is to what they are given.
RELATIVE = _names("mul multiply div divide true_divide prod exp __mul__ __truediv__")
# After which two different numbers may be the same.
_LOSING = _names(
    "relu relu6 clamp clamp_min clamp_max clip hardtanh hardsigmoid hardswish threshold round "
    "floor ceil trunc sign sgn heaviside fmod remainder nan_to_num"
)
# What is done to the states of several layers in one tensor, and in a tuple is no operation.
TAKING = _names("__getitem__ unbind")


class Seen(NamedTuple):
    """What is noted of a tensor."""

    followed: bool
    """Whether it holds outputs of the units."""
    shape: tuple[int, ...]
    """Its shape; of what is followed, how many entries stay."""
    values: Tensor | None
    """Its entries, those that stay, flat; of a large tensor some. None is not compared."""
    steps: tuple[int, ...] = ()
    """Along which axes of a large followed tensor every how many entries are looked at."""


@dataclass
class Step:
    """An operation, or a module that is dealt with as a whole, that a model carried out.

    Attributes
    ----------
    name, where : str
        What it is, and in which module it was called.
    numbers : list
        Numbers it was given.
    seen : list of Seen
        The tensors it gave, and those it was given where they could have been lost in it.
    optional : bool
        Whether the pruned model may do without.
    """

    name: str
    where: str
    numbers: list[Any]
    seen: list[Seen] = field(default_factory=list)
    optional: bool = False


@dataclass
class Run:
    """What a masked model did on an example.

    Attributes
    ----------
    example : Arguments
        The example it is of, or made of.
    arguments : Arguments
        What the model was given.
    steps : list of Step
    results : list of results, each as `nested.parts` lists it
        Of calls one after the other.
    what : str
        What `arguments` are, for messages.
    sizes : list of (int, int)
        Numbers of sequences and of steps that layers may have run for; empty in runs on what was
        made of an example.
    """

    example: Arguments
    arguments: Arguments
    steps: list[Step]
    results: list[list[Leaf]]
    what: str = "the example"
    sizes: list[tuple[int, int]] = field(default_factory=list)


class Operation(NamedTuple):
    """What was carried out.

    Attributes
    ----------
    name : str
    numbers : list
        That it was given.
    given : list of Tensor
        The same.
    found : list of Tensor
        What it gave, and what of `given` may have been lost in it.
    largest : float or None
        The largest number in `given`, where that has changed by now.
    """

    name: str
    numbers: list[Any]
    given: list[Tensor]
    found: list[Tensor]
    largest: float | None = None


class Watching(TorchFunctionMode):
    """Sees every operation while it is active, but for those within modules dealt with as a whole.

    Attributes
    ----------
    inside : int
        Above 0 within such a module.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Do what is to be done, and look at it."""
        kwargs = kwargs or {}
        if self.inside:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        changing = name in _CHANGING
        in_place = changing or _is_in_place(name)
        before = None
        if in_place and self.compares:
            with unseen():
                before = largest(tensors((args, kwargs)))
        result = func(*args, **kwargs)
        if not changing and not isinstance(result, Tensor | tuple | list | dict):
            return result
        with unseen():
            given = tensors((args, kwargs))
            found = given[:1] if changing else tensors(result)
            if "empty" in name or name == "new":
                for one in filter(plain, found):  # what lies in memory by chance is no value
                    one.zero_()
            lost = not in_place and name.strip("_") in _LOSING
            if found:
                if lost or not all(one.is_floating_point() for one in found):
                    found = [*found, *given]
                numbers = [*numbers_in((args, kwargs)), *implied(name, args, kwargs)]
                self.see(Operation(name, numbers, given, found, before))
        return result

    compares = False

    def see(self, operation: Operation) -> None:
        """Look at an operation."""
        raise NotImplementedError


def tensors(value: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, tuple | list | dict):
        return []
    return [tensor for one in inner for tensor in tensors(one)]


def numbers_in(value: Any) -> list[Any]:
    """Return the numbers in the arguments of an operation."""
    if isinstance(value, int | float | complex):
        return [value]
    if isinstance(value, slice):
        value = (value.start, value.stop, value.step)
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, tuple | list | dict):
        return []
    return [number for one in inner for number in numbers_in(one)]


def implied(name: str, args: Any, kwargs: Any) -> list[Any]:
    """Return numbers that an operation takes from the widths of what it is given.

    The values show them too, but not on every example: attention to a single step gives that step,
    whatever its scores are divided by.
    """
    if name == "scaled_dot_product_attention" and kwargs.get("scale") is None:
        query = args[0] if args else kwargs["query"]
        return [query.shape[-1] ** -0.5] if plain(query) else []
    return []


def largest(given: Iterable[Tensor]) -> float:
    """Return the largest finite absolute value in tensors."""
    return max(map(_magnitude, given), default=0.0)


def thinned(labels: Tensor) -> tuple[int, ...]:
    """Return steps along the axes of a large tensor that leave all units there."""
    alike = [stride == 0 for stride in labels.stride()]
    excess = labels.numel() / _MOST
    if excess <= 1 or not any(alike):
        return ()
    step = math.ceil(excess ** (1 / sum(alike)))
    return tuple(step if one else 1 for one in alike)


def sampled(flat: Tensor) -> Tensor:
    """Return a copy of the entries that are compared."""
    return flat[:: _stride(flat.numel())].clone()


def _stride(count: int) -> int:
    """Return a step through entries that falls upon all features of a power of two, ten or so."""
    step = max(1, -(-count // _MOST))
    while step > 1 and math.gcd(step, 2 * 3 * 5 * 7 * 11 * 13) > 1:
        step += 1
    return step


def _features(tensor: Tensor, most: int | None = None) -> Tensor:
    """Return which feature, along the last axis, every entry that is compared belongs to."""
    step = _stride(tensor.numel()) if most is None else 1
    wide = tensor.shape[-1] if tensor.ndim > 1 else 1
    return torch.arange(0, tensor.numel(), step, device=tensor.device).remainder(max(wide, 1))


def plain(tensor: Tensor) -> bool:
    """Whether a tensor has values that can be looked at; what vmap and others pass on has none."""
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return False
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested


def _dense(tensor: Tensor) -> Tensor:
    if tensor.is_quantized:
        return tensor.dequantize()
    if tensor.is_nested:
        tensor = torch.nested.to_padded_tensor(tensor, 0.0)
    if tensor.layout == torch.strided:
        return tensor
    dense: Tensor = tensor.to_dense()
    return dense


def is_number(array: np.ndarray) -> bool:
    return array.dtype.kind in "biufc"


def _is_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _magnitude(tensor: Tensor) -> float:
    """Return the largest finite absolute value."""
    if not plain(tensor) or not tensor.is_floating_point() or not tensor.numel():
        return 0.0
    low, high = (float(one) for one in tensor.detach().aminmax())
    if math.isfinite(low) and math.isfinite(high):
        return max(-low, high)
    size = tensor.detach().abs()
    return float(size.where(size.isfinite(), 0.0).max())
