"""Whether a pruned model does what its masked twin does, operation by operation.

Outputs alone say too little: what is wrong with them may be small beside a large constant, or be
lost where numbers become flags, indices or text. So every operation that the masked twin carries
out on an example is noted, with the numbers it is given and the values it gives, and the pruned
model has to carry out the same ones. Both run in double precision. Two of its models differ by
rounding alone then, which is seven orders of magnitude below what is let through as equal, and a
width that the model's code reads as a number shows where it is first used, whatever comes of it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tefast.nn._trace.examples import Arguments, Leaf
from tefast.nn._trace.flow import OTHER, Fields, Flow, columns
from tefast.nn._trace.watching import unseen

_MOST = 2**16
"""Entries of a tensor that are compared; of larger ones, that many from all over it."""
_CHANGING = {"__setitem__", "__set__", "__delitem__"}
"""Operations that give nothing and change what they are done to."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Where a whole number may say how many entries there are, or which.
_SIZED = _names(
    "view reshape expand repeat tile split split_with_sizes chunk tensor_split narrow select "
    "unflatten flatten unfold pad roll __getitem__ index_select"
)
# Their rounding is relative to what they give; that of sums is to what they are given.
_RELATIVE = _names("mul multiply div divide true_divide prod exp __mul__ __truediv__")
# After which two different numbers may be the same.
_LOSING = _names(
    "relu relu6 clamp clamp_min clamp_max clip hardtanh hardsigmoid hardswish threshold round "
    "floor ceil trunc sign sgn heaviside fmod remainder nan_to_num"
)
# What is done to the states of several layers in one tensor, and in a tuple is no operation.
_TAKING = _names("__getitem__ unbind")


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may be apart that are equal but for rounding.

    Attributes
    ----------
    spread : float
        As a fraction of the largest of those that differ at all, among entries of one feature.
    rounding : float
        As a fraction of the entry itself.
    given : float
        As a fraction of the largest number that a sum is given.
    """

    spread: float
    rounding: float
    given: float


TOLERANCES = {
    torch.float64: Tolerance(1e-9, 64 * torch.finfo(torch.float64).eps, 1e-12),
    torch.float32: Tolerance(1e-4, 16 * torch.finfo(torch.float32).eps, 1e-6),
}


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
    results : list of results, each as `examples.parts` lists it
        Of calls one after the other.
    """

    example: Arguments
    arguments: Arguments
    steps: list[Step]
    results: list[list[Leaf]]


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
                for one in filter(_plain, found):  # what lies in memory by chance is no value
                    one.zero_()
            lost = not in_place and name.strip("_") in _LOSING
            if found:
                if lost or not all(one.is_floating_point() for one in found):
                    found = [*found, *given]
                self.see(Operation(name, numbers_in((args, kwargs)), given, found, before))
        return result

    compares = False

    def see(self, operation: Operation) -> None:
        """Look at an operation."""
        raise NotImplementedError


class Recorder(Watching):
    """Notes what a masked model does.

    Parameters
    ----------
    flow : Flow
        Follows the units' outputs; active around this.
    gone : bool Tensor (features,)
        For every label of a unit, whether it is masked.
    where : callable
        Says in which module an operation is.
    tolerance : Tolerance
    """

    def __init__(
        self, flow: Flow, gone: Tensor, where: Callable[[], str], tolerance: Tolerance
    ) -> None:
        super().__init__()
        self.flow, self.gone, self.where, self.tolerance = flow, gone, where, tolerance
        self.steps: list[Step] = []
        self.packed: list[list[int]] = []
        """Lengths of the sequences that were packed."""
        self.states: dict[int, Tensor] = {}
        """States of several layers or directions in one tensor, by id."""

    def see(self, operation: Operation) -> None:
        """Note an operation."""
        self.flow.inside += 1  # what is done here is none of the model's
        try:
            self._note(operation)
        finally:
            self.flow.inside -= 1

    def _note(self, operation: Operation) -> None:
        name, numbers, given, found, _ = operation
        step = Step(name, self.where(), numbers)
        if name in _TAKING and id(given[0]) in self.states:
            step.optional = True
            self.states |= {id(one): one for one in found if one.ndim == given[0].ndim}
        for tensor in found:
            known = self.flow.of(tensor)
            if known is None:
                values = sampled(tensor.detach().flatten()) if _plain(tensor) else None
                step.seen.append(Seen(False, tuple(tensor.shape), values))
            else:
                step.seen.append(self._followed(name, tensor, known))
        self.steps.append(step)
        if name == "_pack_padded_sequence":
            sizes = found[1]
            self.packed.append((sizes[:, None] > torch.arange(int(sizes[0]))).sum(0).tolist())

    def _followed(self, name: str, tensor: Tensor, known: Fields) -> Seen:
        steps = _thinned(known.labels)
        cut = tuple(slice(None, None, step) for step in steps)
        labels, masked, other = known.labels[cut], known.masked[cut], known.other[cut]
        tensor = tensor.detach()[cut]
        found = columns(labels)
        if found is None or bool(((found < OTHER) | (found >= self.flow.features)).any()):
            return Seen(True, (), None)  # a norm has one output more when units are removed
        labels = found
        gone = (labels >= 0) & self.gone[labels.clamp(min=0)]
        kept = ~gone.to(tensor.device)
        actual = tensor[~kept].to("cpu", torch.float64)
        if bool((self._wrong(actual, masked[gone]) & self._wrong(actual, other[gone])).any()):
            self.flow.refuse(
                f"{name!r}, which does not give of a masked unit what is expected of it"
            )
        values = tensor[kept]
        return Seen(True, (values.numel(),), sampled(values), steps)

    def _wrong(self, actual: Tensor, expected: Tensor) -> Tensor:
        """Return where a masked unit gives something else, of what is known."""
        off = ~((actual - expected).abs() <= self.tolerance.spread * (1 + expected.abs()))
        return off & (actual != expected) & ~expected.isnan()


class Follower(Watching):
    """Holds a pruned model to what its masked twin did.

    Parameters
    ----------
    steps : sequence of Step
    where : callable
        Says in which module an operation is.
    tolerance : Tolerance
    refuse : callable
        Called with what differs; raises.
    """

    compares = True

    def __init__(
        self,
        steps: Sequence[Step],
        where: Callable[[], str],
        tolerance: Tolerance,
        refuse: Callable[[str], NoReturn],
    ) -> None:
        super().__init__()
        self.where, self.tolerance, self.refuse = where, tolerance, refuse
        self.left = iter(steps)

    def see(self, operation: Operation) -> None:
        """Compare an operation with the one that the masked model carried out here."""
        for step in self.left:
            difference = self._difference(step, operation)
            if difference is None:
                return
            if not step.optional:
                self.refuse(difference)
        self.refuse(f"it goes on with {operation.name!r} in {self.where()}")

    def end(self) -> None:
        """Refuse if the masked model did more."""
        step = next((one for one in self.left if not one.optional), None)
        if step is not None:
            self.refuse(f"it ends before {step.name!r} in {step.where}")

    def _difference(self, step: Step, operation: Operation) -> str | None:
        name, numbers, given, found, before = operation
        if step.name != name or len(step.seen) != len(found):
            return f"it goes another way, from {name!r} in {self.where()} on"
        place = f"{name!r} in {self.where()}"
        number = _other_number(step, numbers, found)
        if number is not None:
            return f"{place} is given {number[0]} where the masked model gives {number[1]}"

        def base() -> float:
            if name in _RELATIVE:
                return 0.0
            return largest(given) if before is None else before

        for (followed, shape, values, steps), tensor in zip(step.seen, found, strict=True):
            if values is None or (not followed and tuple(tensor.shape) != shape):
                continue  # as wide as the layer; what becomes of it is compared
            if steps and len(steps) != tensor.ndim:
                return f"{place} has another number of dimensions"
            tensor = tensor[tuple(slice(None, None, one) for one in steps)]
            if followed and shape != (tensor.numel(),):
                return f"{place} has {tensor.numel()} entries where {shape[0]} are expected"
            entries = sampled(tensor.detach().flatten())
            if not alike(entries, values, _features(tensor), self.tolerance, base):
                return f"{place} gives other values"
        return None


def _other_number(step: Step, numbers: list[Any], found: list[Tensor]) -> tuple[Any, Any] | None:
    """Return a number that differs, and what it should be, unless it may be a size."""
    pairs = zip(numbers, step.numbers, strict=False)
    other = [(a, b) for a, b in pairs if a != b and not (a != a and b != b)]
    if not other or len(numbers) != len(step.numbers):
        return None  # of sizes there may be more or fewer, and what comes of them is compared
    sized = any(
        step.name in _SIZED if followed else shape != tuple(tensor.shape)
        for (followed, shape, *_), tensor in zip(step.seen, found, strict=True)
    )
    for pair in other:
        if not sized or not all(isinstance(one, int) for one in pair):
            return pair
    return None


def alike(
    found: Tensor,
    expected: Tensor,
    features: Tensor,
    tolerance: Tolerance,
    base: Callable[[], float] = float,
) -> bool:
    """Return whether two flat tensors are equal but for rounding.

    Parameters
    ----------
    found, expected : Tensor (n,)
    features : LongTensor (n,)
        Which feature an entry belongs to. How far it may be off is measured by those of its
        feature that differ at all: a constant that fills others up says nothing about it.
    tolerance : Tolerance
    base : callable
        Gives the largest number that went into a sum.
    """
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if not found.is_floating_point():
        if not found.is_complex():
            return torch.equal(found, expected)
        found, expected = (torch.view_as_real(one).flatten() for one in (found, expected))
        features = features.repeat_interleave(2)
    found, expected = found.double(), expected.double()
    other = (found != expected) & ~(found.isnan() & expected.isnan())
    if not bool(other.any()):
        return True
    ours, theirs, of = found[other], expected[other], features.to(found.device)[other]
    if not bool((ours.isfinite() & theirs.isfinite()).all()):
        return False
    size = theirs.abs()
    spread = size.new_zeros(int(of.max()) + 1).scatter_reduce(0, of, size, "amax")
    allowed = tolerance.spread * spread[of] + tolerance.rounding * size + tolerance.given * base()
    return bool(((ours - theirs).abs() <= allowed).all())


def compare_results(
    found: Sequence[Leaf],
    expected: Sequence[Leaf],
    tolerance: Tolerance,
    refuse: Callable[[str], NoReturn],
    *,
    all_of_it: bool = True,
) -> None:
    """Compare what two models give.

    Parameters
    ----------
    found, expected : as `examples.parts` lists them
    tolerance : Tolerance
    refuse : callable
        Called with what differs; raises.
    all_of_it : bool
        Whether what only one of them gives, what has another shape there and what cannot be
        compared is a difference. Else it is left out.
    """
    if all_of_it and [where for where, _ in found] != [where for where, _ in expected]:
        refuse("what it returns is of another kind")
    for where, ours, theirs in _pairs(found, expected):
        if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray) and _is_number(ours):
            ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
        if not isinstance(ours, Tensor) or not isinstance(theirs, Tensor):
            _compare_object(where, ours, theirs, tolerance, refuse, all_of_it)
            continue
        if ours.shape != theirs.shape:
            if not all_of_it:
                continue
            refuse(f"{where} has shape {tuple(ours.shape)} where {tuple(theirs.shape)} is expected")
        ours, theirs = (_dense(one).detach() for one in (ours, theirs))
        if not alike(ours.flatten(), theirs.flatten(), _features(ours, ours.numel()), tolerance):
            refuse(f"{where} is another one")


def compare_kinds(
    found: Sequence[Leaf], expected: Sequence[Leaf], refuse: Callable[[str], NoReturn]
) -> None:
    """Compare shapes and dtypes alone."""
    kinds = [
        [
            (where, tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else (where,)
            for where, leaf in each
        ]
        for each in (found, expected)
    ]
    for ours, theirs in zip(*kinds, strict=False):
        if ours != theirs:
            refuse(f"it returns {_described(ours)} where {_described(theirs)} is expected")
    if len(kinds[0]) != len(kinds[1]):
        refuse("what it returns is of another kind")


def _described(kind: tuple[Any, ...]) -> str:
    where, *rest = kind
    return f"{where} of shape {rest[0]} and {rest[1]}" if rest else where


def _pairs(found: Sequence[Leaf], expected: Sequence[Leaf]) -> Iterator[tuple[str, Any, Any]]:
    theirs = dict(expected)
    for where, leaf in found:
        if where in theirs:
            yield where, leaf, theirs[where]


def _compare_object(
    where: str,
    ours: Any,
    theirs: Any,
    tolerance: Tolerance,
    refuse: Callable[[str], NoReturn],
    all_of_it: bool,
) -> None:
    if type(ours) is not type(theirs):
        refuse(f"{where} is a {type(ours).__name__}, expected a {type(theirs).__name__}")
    if isinstance(ours, float | complex | np.generic) and not isinstance(ours, np.character):
        one, other = (torch.as_tensor(number).reshape(1) for number in (ours, theirs))
        if not alike(one, other, torch.zeros(1, dtype=torch.int64), tolerance):
            refuse(f"{where} is {ours}, expected {theirs}")
        return
    if isinstance(ours, nn.Module) or ours is theirs:
        return
    if isinstance(ours, Iterator) or getattr(type(ours), "__eq__", None) is object.__eq__:
        if not all_of_it:
            return
        raise ValueError(
            f"{where}, a {type(ours).__name__}, holds nothing that could be compared; have the "
            "model return tensors, or name the consumers"
        )
    if not bool(np.all(ours == theirs)):
        refuse(f"{where} is {ours!r:.60}, expected {theirs!r:.60}")


@contextmanager
def whole(
    model: nn.Module, names: Iterable[str], watching: Watching, path: list[str]
) -> Iterator[None]:
    """Deal with some modules as a whole, and keep the path to where the model is.

    Parameters
    ----------
    model : nn.Module
        Gets hooks for the time of this.
    names : iterable of str
        Of its modules that are seen as one operation each.
    watching : Watching
    path : list of str
        What is running, the innermost last; changed in place.
    """
    modules = dict(model.named_modules())
    chosen = {id(modules[name]): name for name in names if name in modules}

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        path.append(titles[id(module)])
        watching.inside += id(module) in chosen

    def leave(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        path.pop()
        if id(module) not in chosen:
            return
        watching.inside -= 1
        if not watching.inside and result is not None:
            with unseen():
                see_module(watching, chosen[id(module)], args, kwargs, result)

    titles = {id(module): title(name, module) for name, module in modules.items()}
    with hooked(model, enter, leave):
        yield


def see_module(watching: Watching, name: str, args: Any, kwargs: Any, result: Any) -> None:
    """Look at a module as if it were one operation, at the first of what it is given and gives.

    The others may be states of recurrent layers, of which there are several for one where widths
    differ.
    """
    given = tensors((args, kwargs))
    watching.see(Operation(f"what {name} is given", [], given, given[:1]))
    watching.see(Operation(name, [], given, tensors(result)[:1]))


@contextmanager
def hooked(model: nn.Module, enter: Any, leave: Any) -> Iterator[None]:
    """Have hooks called around the forward pass of every module, within those it has already."""
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # takes no hooks
            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(
                module.register_forward_hook(
                    leave, with_kwargs=True, prepend=True, always_call=True
                ).remove
            )
        yield


class Script(nn.Module):
    """A scripted module, which takes no hooks, in one that does."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def __getattr__(self, name: str) -> Any:
        """Have what the scripted module has."""
        if name == "script":
            return super().__getattr__(name)
        return getattr(self.script, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the scripted module does."""
        return self.script(*args, **kwargs)


def scripts_wrapped(model: nn.Module) -> nn.Module:
    """Put scripted modules of a model into such as take hooks, in place."""
    for module in list(model.modules()):
        if isinstance(module, torch.jit.ScriptModule):
            continue
        for name, inner in module.named_children():
            if isinstance(inner, torch.jit.ScriptModule):
                setattr(module, name, Script(inner))
    return model


def title(name: str, module: nn.Module) -> str:
    """Return what messages call a module."""
    return f"{name!r} ({type(module).__name__})" if name else "the model itself"


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


def largest(given: Iterable[Tensor]) -> float:
    """Return the largest finite absolute value in tensors."""
    return max(map(_magnitude, given), default=0.0)


def _thinned(labels: Tensor) -> tuple[int, ...]:
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


def _plain(tensor: Tensor) -> bool:
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


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind in "biufc"


def _is_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _magnitude(tensor: Tensor) -> float:
    """Return the largest finite absolute value."""
    if not _plain(tensor) or not tensor.is_floating_point() or not tensor.numel():
        return 0.0
    low, high = (float(one) for one in tensor.detach().aminmax())
    if math.isfinite(low) and math.isfinite(high):
        return max(-low, high)
    size = tensor.detach().abs()
    return float(size.where(size.isfinite(), 0.0).max())
