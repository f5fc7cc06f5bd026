"""A model run in more precision than its code asks for, so that two of its kind can be compared."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from tefast.nn._trace.copies import raised
from tefast.nn._trace.fields import leaves

_CASTS = {
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "float": torch.float32,
    "chalf": torch.complex32,
    "cfloat": torch.complex64,
}
_TYPES = {
    "HalfTensor": torch.float16,
    "BFloat16Tensor": torch.bfloat16,
    "FloatTensor": torch.float32,
}
_CHANGING = {"__setitem__", "__set__", "__delitem__"}


class Raised(TorchFunctionMode):
    """Has all that is computed while it is active done in a dtype, or in one of more precision.

    Casts to less precision become casts to `dtype`, and so do tensors that are made with less.

    Parameters
    ----------
    dtype : torch.dtype or None
        ``torch.float64`` or ``torch.float32``; None changes nothing.
    """

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Do what is to be done, in `dtype`."""
        kwargs = kwargs or {}
        if self.dtype is None:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in _CASTS and len(args) == 1 and isinstance(args[0], Tensor):
            return _rounded(args[0], _CASTS[name]).to(raised(_CASTS[name], self.dtype))
        given = leaves((args, kwargs))
        if name in ("to", "type") and isinstance(args[0], Tensor):
            for leaf in given:
                if isinstance(leaf, torch.dtype) and raised(leaf, self.dtype) != leaf:
                    args = (_rounded(args[0], leaf), *args[1:])
        if any(self._dtype(leaf) is not leaf for leaf in given):
            args, kwargs = pytree.tree_map(self._dtype, (args, kwargs))
        if self._low(given) and not _changes(name, kwargs):
            args, kwargs = pytree.tree_map(self._tensor, (args, kwargs))
        result = func(*args, **kwargs)
        if not isinstance(result, Tensor | tuple | list | dict):
            return result
        low = self._low([result] if isinstance(result, Tensor) else leaves(result))
        if any(not any(leaf is one for one in given) for leaf in low):
            return pytree.tree_map(self._tensor, result)
        return result

    def _low(self, leaves: Iterable[Any]) -> list[Tensor]:
        """Return the tensors of less precision."""
        with torch._C.DisableTorchFunction():  # to read a dtype is no operation of the model
            return [
                leaf
                for leaf in leaves
                if isinstance(leaf, Tensor) and raised(leaf.dtype, self.dtype) != leaf.dtype
            ]

    def _tensor(self, leaf: Any) -> Any:
        return leaf.to(raised(leaf.dtype, self.dtype)) if self._low([leaf]) else leaf

    def _dtype(self, leaf: Any) -> Any:
        """Return the dtype that is meant by one, by a tensor type or by the name of such."""
        if isinstance(leaf, torch.dtype):
            return raised(leaf, self.dtype)
        if isinstance(leaf, type | str):
            name = leaf if isinstance(leaf, str) else f"{leaf.__module__}.{leaf.__name__}"
            last = name.rpartition(".")[2]
            if name.startswith("torch.") and last in _TYPES:
                return raised(_TYPES[last], self.dtype)
        return leaf


def _rounded(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor with the values that a cast to less precision leaves.

    So a constant that the cast would round shows as another one than would be folded into a bias.
    """
    return tensor.to(dtype).to(tensor.dtype) if tensor.is_floating_point() else tensor


def _changes(name: str, named: dict[str, Any]) -> bool:
    """Whether an operation changes one of its arguments, which must then be itself."""
    in_place = name.endswith("_") and not name.endswith("__")
    return in_place or name.startswith("__i") or name in _CHANGING or "out" in named
