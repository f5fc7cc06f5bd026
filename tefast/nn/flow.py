"""Where features go in a model: labels that follow tensors through the operations on an example.

Beside every tensor that holds units' outputs goes one of labels, of the same shape, which says of
each entry whose output it is, and one of what the entry would be if that unit were masked. An
operation that only moves entries is done to the labels as well; one that acts on each entry alone
leaves labels as they are and is done to the masked values. Whatever mixes units is refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

OTHER = -1
"""The label of what is no unit's output."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Whose outcome is made of its input's entries, moved, repeated or left out.
_MOVING = _names(
    "__getitem__ __get__ transpose permute swapaxes swapdims movedim moveaxis t view reshape "
    "view_as reshape_as flatten unflatten squeeze unsqueeze expand expand_as broadcast_to cat "
    "concat concatenate stack hstack vstack dstack chunk split tensor_split unbind narrow select "
    "index_select gather take_along_dim flip roll repeat tile repeat_interleave contiguous "
    "atleast_2d atleast_3d _pack_padded_sequence _pad_packed_sequence"
)
_JOINING = _names("cat concat concatenate stack hstack vstack dstack")
# Without effect on which unit it is, nor on what a masked one gives (dropout: 0, or on average).
_KEEPING = _names(
    "clone detach to type type_as float double half bfloat16 cpu cuda alias dropout dropout1d "
    "dropout2d feature_dropout alpha_dropout requires_grad identity"
)
_EACH = _names(
    "relu relu6 tanh sigmoid gelu silu mish leaky_relu elu selu celu hardtanh hardswish "
    "hardsigmoid softplus softsign logsigmoid tanhshrink hardshrink softshrink threshold neg abs "
    "square sqrt exp expm1 log1p sin cos clamp clamp_min clamp_max pow add sub rsub mul multiply "
    "div divide true_divide maximum minimum masked_fill where"
)
_SCALING = _names("mul multiply div divide true_divide")
_REDUCING = _names("mean sum amax amin max min")
_POOLING = _names("adaptive_avg_pool1d adaptive_max_pool1d avg_pool1d max_pool1d")
_LEAVING = _names("tolist item numpy array setitem set bool float int equal allclose")
_PRODUCTS = _names("matmul bmm mm __matmul__")
# Give sizes, flags or fresh tensors: nothing that depends on what the units say.
_ASKING = _names(
    "size dim numel stride is_floating_point is_complex is_contiguous get_device element_size "
    "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty "
    "new_full new_tensor is_same_size __len__ ndimension"
)


@dataclass
class Tracked:
    """A tensor that holds units' outputs.

    Attributes
    ----------
    tensor : Tensor
        Kept, so that its id is not given to another one.
    labels : LongTensor of the same shape
        `OTHER`, or whose output an entry is.
    masked : float64 Tensor of the same shape
        What the entry is when that unit is masked.
    """

    tensor: Tensor
    labels: Tensor
    masked: Tensor


class Flow(TorchFunctionMode):
    """Follows tensors through what is done to them while it is active.

    Parameters
    ----------
    features : int
        Labels of units are 0..features-1. Others that are not `OTHER` mean entries whose value
        depends on the data even when the unit is masked; they can only be moved.
    refuse : callable
        Called with the reason when units are mixed; raises.
    doubt : callable
        Called with the reason where only sequences of unequal lengths would show whether they are.
    """

    def __init__(
        self,
        features: int,
        refuse: Callable[[str], NoReturn],
        doubt: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.features, self.refuse, self.doubt = features, refuse, doubt
        self.inside = 0
        """Above 0 within a module that is dealt with as a whole."""
        self._known: dict[int, Tracked] = {}
        self._padded: dict[int, Any] = {}
        """Of what holds padding that no masked unit gives."""

    def follow(self, tensor: Tensor, labels: Tensor, masked: Tensor | None = None) -> None:
        """Follow `tensor` from here on; by default a masked unit's entries are 0."""
        labels = labels.to("cpu", torch.int64)
        if masked is None:
            masked = torch.zeros((), dtype=torch.float64).expand(tensor.shape)
        assert labels.shape == masked.shape == tensor.shape
        if bool((labels != OTHER).any()):
            self._known[id(tensor)] = Tracked(tensor, labels, masked)

    def of(self, value: Any) -> Tracked | None:
        """Return what is known of a tensor, or None if it holds no unit's output."""
        return self._known.get(id(value)) if isinstance(value, Tensor) else None

    def is_padded(self, value: Any) -> bool:
        """Return whether a tensor holds padding that no masked unit gives."""
        return id(value) in self._padded

    def any_of(self, value: Any) -> Tracked | None:
        """Return the first followed tensor in nested tuples, lists and mappings."""
        return next(filter(None, map(self.of, pytree.tree_leaves(value))), None)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Do what is to be done, and to the labels too."""
        kwargs = kwargs or {}
        if self.inside or self.any_of((args, kwargs)) is None:
            return func(*args, **kwargs)
        before = [known for leaf in pytree.tree_leaves((args, kwargs)) if (known := self.of(leaf))]
        result = func(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            self._after(_name(func), func, args, kwargs, result)
        for known in before:
            now = self.of(known.tensor)
            if now is not known and now is not None and not torch.equal(now.masked, known.masked):
                self.refuse(f"the in-place operation {_name(func)!r}")
        return result

    def _after(self, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if name in _ASKING or not any(isinstance(r, Tensor) for r in pytree.tree_leaves(result)):
            if name in _LEAVING:
                self.refuse(f"{name!r}, after which they cannot be followed")
            return
        if name in ("max", "min") and len(args) > 1 and isinstance(args[1], Tensor):
            name += "imum"
        padded = self._padded and any(
            id(leaf) in self._padded for leaf in pytree.tree_leaves((args, kwargs))
        )
        if name in _MOVING:
            self._move(name, func, args, kwargs, result)
            if padded:
                self._padded |= {id(leaf): leaf for leaf in pytree.tree_leaves(result)}
        elif padded and name not in ("max", "amax", "adaptive_max_pool1d", "max_pool1d"):
            self.refuse(f"{name!r} of steps that are padded with what no masked unit gives")
        elif name in _KEEPING:
            known = self.of(args[0]) if args else self.any_of(kwargs)
            if known is not None:
                self.follow(result, known.labels, known.masked)
        elif self._still_open(args, kwargs):
            self.refuse(f"the operation {name!r} on what a LayerNorm gives")
        elif name in _EACH:
            self._each(name, func, args, kwargs, result)
        elif name in _REDUCING:
            self._reduce(name, result, *args, **kwargs)
        elif name in _POOLING:
            self._pool(name, args, result)
        elif name in _PRODUCTS and len(args) == 2 and not kwargs:
            self._multiply(args[0], args[1], result)
        else:
            self.refuse(f"the operation {name!r}")

    def _still_open(self, args: Any, kwargs: Any) -> bool:
        known = [k.labels for leaf in pytree.tree_leaves((args, kwargs)) if (k := self.of(leaf))]
        return any(bool(((k >= self.features) | (k < OTHER)).any()) for k in known)

    def _move(self, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if name not in _JOINING and args and self.of(args[0]) is None:
            return  # only a shape is taken from what is followed
        if name == "_pack_padded_sequence":
            self._pack(name, args[0], result[0])
            return
        if name == "_pad_packed_sequence":
            self._pad(result, *args, **kwargs)
            return
        moved = []
        for field in ("labels", "masked"):
            given, named = pytree.tree_map(
                partial(self._instead, field, name in _JOINING), (args, kwargs)
            )
            moved.append(pytree.tree_leaves(func(*given, **named)))
        for out, labels, masked in zip(pytree.tree_leaves(result), *moved, strict=True):
            if isinstance(out, Tensor) and out.shape == labels.shape:
                self.follow(out, labels, masked)

    def _instead(self, field: str, joined: bool, leaf: Any) -> Any:
        """Return what an argument is replaced by when labels or masked values are moved."""
        known = self.of(leaf)
        if known is not None:  # another tensor, should its shape change in place
            return (known.labels if field == "labels" else known.masked).detach()
        if joined and isinstance(leaf, Tensor):
            fill = OTHER if field == "labels" else 0.0
            return torch.full(
                leaf.shape, fill, dtype=torch.int64 if field == "labels" else torch.float64
            )
        return leaf.cpu() if isinstance(leaf, Tensor) else leaf

    def _pack(self, name: str, data: Tensor, packed: Tensor) -> None:
        known = self.of(data)
        found = row(known) if known else None
        if found is None:
            self.refuse(f"{name!r} of what differs from step to step when masked")
        self.follow(packed, *(one.expand(packed.shape) for one in found))

    def _pad(
        self, result: Any, data: Tensor, batch_sizes: Tensor, batch_first: bool = False,
        padding_value: float = 0.0, total_length: int | None = None,
    ) -> None:  # fmt: skip
        padded, lengths = result
        known = self.of(data)
        found = row(known) if known else None
        if found is None:
            self.refuse("padding of what differs from step to step when masked")
        if self._still_open((data,), {}):
            self.refuse("padding what a LayerNorm gives")
        labels, masked = (one.expand(padded.shape) for one in found)
        if bool((found[1] == padding_value).all()):
            self.follow(padded, labels, masked)
            return
        # Only a maximum over all steps gives the same again, and it must be above the padding.
        if not padding_value <= float(found[1].min()):
            self.refuse(f"padding with {padding_value}, which no masked unit gives")
        steps = torch.arange(padded.shape[1 if batch_first else 0])
        outside = steps >= lengths[:, None]
        if not bool(outside.any()):
            self.doubt(
                f"padding with {padding_value}, which no masked unit gives, in an example whose "
                "sequences are of equal lengths (give one of unequal lengths)"
            )
            self.follow(padded, labels, masked)
            return
        outside = outside if batch_first else outside.T
        self.follow(padded, labels, masked.masked_fill(outside[..., None], padding_value))
        self._padded[id(padded)] = padded

    def _each(self, name: str, func: Any, args: Any, kwargs: Any, result: Tensor) -> None:
        leaves = pytree.tree_leaves((args, kwargs))
        known = [k for leaf in leaves if (k := self.of(leaf))]
        labels = known[0].labels.expand(result.shape)
        if any(not torch.equal(k.labels.expand(result.shape), labels) for k in known):
            self.refuse(f"{name!r} of the outputs of different units")
        data = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not self.of(leaf)]
        for operand in data:
            if any(operand.ndim >= -axis and operand.shape[axis] > 1 for axis in varying(labels)):
                self.refuse(f"{name!r} with a tensor as wide as the layer (a residual?)")
        if not data:
            given, named = pytree.tree_map(self._masked, (args, kwargs))
            self.follow(result, labels, func(*given, **named).expand(result.shape))
            return
        scales = name in _SCALING and (name[:3] == "mul" or self.of(args[0]) is not None)
        if name in ("masked_fill", "where"):  # with zeros
            fill = args[-1] if len(args) > 2 else kwargs.get("value")
            scales = not isinstance(fill, Tensor) and fill == 0
        if not scales or any(bool(k.masked.any()) for k in known):
            self.refuse(f"{name!r} with another tensor, after which a masked unit is not 0")
        self.follow(result, labels)

    def _masked(self, leaf: Any) -> Any:
        known = self.of(leaf)
        return known.masked.clone() if known else leaf

    def _reduce(
        self, name: str, result: Any, input: Tensor, dim: Any = None, keepdim: bool = False,
        **_: Any,
    ) -> None:  # fmt: skip
        known = self.of(input)
        if known is None or dim is None:
            self.refuse(f"{name!r} over all units")
        low, high = known.labels.amin(dim, keepdim), known.labels.amax(dim, keepdim)
        least, most = known.masked.amin(dim, keepdim), known.masked.amax(dim, keepdim)
        if not torch.equal(low, high):
            self.refuse(f"{name!r} over the units")
        same = torch.equal(least, most) or name in ("amax", "max")
        if not same or (name == "sum" and bool(most.any())):
            self.refuse(f"{name!r} over steps, where a masked unit is not 0")
        values = result if isinstance(result, Tensor) else result[0]
        self.follow(values, high, most)
        if id(input) in self._padded and bool((most != most.max()).any()):
            self._padded[id(values)] = values  # a maximum over something else than steps

    def _pool(self, name: str, args: Any, result: Any) -> None:
        known, values = self.of(args[0]), result if isinstance(result, Tensor) else result[0]
        if known is None or -1 in varying(known.labels) or bool(known.masked.any()):
            self.refuse(f"{name!r} over the units")
        self.follow(values, known.labels[..., :1].expand(values.shape))

    def _multiply(self, left: Tensor, right: Tensor, result: Tensor) -> None:
        a, b = self.of(left), self.of(right)
        if min(left.ndim, right.ndim) < 2 or any(bool(k.masked.any()) for k in (a, b) if k):
            self.refuse("a matrix product after which a masked unit is not 0")
        if a and b:
            # Both are summed over the same units: a masked one adds 0 * 0.
            if (varying(a.labels), varying(b.labels)) == ([-1], [-2]):
                ours, theirs = a.labels.flatten(0, -2)[0], b.labels.mT.flatten(0, -2)[0]
                if torch.equal(ours, theirs):
                    return
            self.refuse("a matrix product of the outputs of different units")
        axis = -1 if a else -2
        known = a or b
        assert known is not None
        if axis in varying(known.labels):
            self.refuse("a matrix product that sums over the units")
        kept = known.labels.narrow(axis, 0, 1)
        self.follow(result, kept.expand(result.shape))


def varying(labels: Tensor) -> list[int]:
    """Return the axes, counted from the end (-1 the last), along which labels differ."""
    return [
        axis
        for axis in range(-labels.ndim, 0)
        if labels.shape[axis] and bool((labels != labels.narrow(axis, 0, 1)).any())
    ]


def row(known: Tracked) -> tuple[Tensor, Tensor] | None:
    """Return labels and masked values along the last axis if they differ along no other."""
    labels, masked = (t.reshape(-1, t.shape[-1]) for t in (known.labels, known.masked))
    same = len(labels) and all(torch.equal(t, t[:1].expand_as(t)) for t in (labels, masked))
    return (labels[0], masked[0]) if same else None


def leaves(value: Any) -> Iterable[Any]:
    """Return what nested tuples, lists and mappings hold."""
    return pytree.tree_leaves(value)


def _name(func: Any) -> str:
    name: str = getattr(func, "__name__", str(func))
    if name.startswith("__") and name not in _MOVING | _ASKING | _PRODUCTS:
        bare = name.strip("_")
        return bare[1:] if bare[:1] == "i" and bare[1:] in _EACH else bare
    return name if name.startswith("_") else name.rstrip("_")
