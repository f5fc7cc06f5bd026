"""Copies of models and examples: what deepcopy refuses, and modules in the place of others.

A copy is what ``copy.deepcopy`` makes, but for three things. A tensor that autograd has computed
(attention weights that a model keeps, the state after a training step) is copied as a plain one. A
function that holds modules of the model in its closure holds their copies in the copy. And all
floating tensors may be brought to another dtype on the way, wherever they are kept.
"""

import copy
import types
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.overrides import TorchFunctionMode

from tefast.nn._trace.kinds import smallest

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")

_HOOKS = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_is_full_backward_hook",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_REPLACED = ("forward", "_call_impl", "_wrapped_call_impl")
_RAISED: dict[torch.dtype | None, dict[torch.dtype, torch.dtype]] = {
    None: {},
    torch.float32: dict.fromkeys((torch.float16, torch.bfloat16), torch.float32),
    torch.float64: {
        **dict.fromkeys((torch.float16, torch.bfloat16, torch.float32), torch.float64),
        **dict.fromkeys((torch.complex32, torch.complex64), torch.complex128),
    },
}


def raised(dtype: torch.dtype, to: torch.dtype | None) -> torch.dtype:
    """Return what a dtype becomes where floats of less precision are brought to another one."""
    return _RAISED[to].get(dtype, dtype)


def deep_copy(
    value: T,
    memo: dict[int, Any] | None = None,
    *,
    dtype: torch.dtype | None = None,
    name: str = "model",
    alone: bool = False,
) -> T:
    """Copy a model, an example or what they hold.

    Parameters
    ----------
    value
        Not changed.
    memo : dict, optional
        As in ``copy.deepcopy``.
    dtype : torch.dtype, optional
        ``torch.float64`` or ``torch.float32``: what floating tensors of less precision are
        brought to.
    name : str
        What errors call `value`.
    alone : bool
        Copy also what functions hold in their closures, so that hooks that collect outputs in a
        list do so in a list of their own.

    Raises
    ------
    TypeError
        If something cannot be copied, such as a lock or a generator; its name is in the message.
    """
    memo = {} if memo is None else memo
    if isinstance(value, nn.Module):
        _spare(value, memo)
    try:
        with torch.inference_mode(False), torch.no_grad(), _Copying(dtype):
            twin = copy.deepcopy(value, memo)
    except (TypeError, RuntimeError, ValueError) as error:
        place = _culprit(value) if isinstance(value, nn.Module) else ""
        raise TypeError(f"{name}: {place}cannot be copied: {error}") from error
    if isinstance(twin, nn.Module):
        for module in twin.modules():
            if isinstance(module, torch.jit.ScriptModule) and dtype == torch.float64:
                module.double()
            for held in vars(module).values():
                _rebind(held, memo, alone)
            _rebind(vars(module), memo, alone)
    return twin


def copy_with(model: M, replaced: Mapping[nn.Module, nn.Module]) -> M:
    """Copy a model with other modules in the place of some of its own.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    replaced : mapping of modules of `model` to those that take their place
        They get the hooks of the former, and what was set on them beside what their class has.

    Raises
    ------
    TypeError
        As in `deep_copy`.
    """
    # deepcopy takes what its memo holds, so the large layers are never copied whole.
    memo: dict[int, Any] = {id(old): new for old, new in replaced.items()}
    twin = deep_copy(model, memo)
    for old, new in replaced.items():
        carry_over(old, new, memo)
    return twin


def carry_over(old: nn.Module, new: nn.Module, memo: dict[int, Any]) -> None:
    """Give `new`, which stands for `old` in a copy, its hooks and what else was set on it.

    Masks of ``torch.nn.utils.prune`` are no such thing: what they mask is in the weights of `new`.
    """
    memo.setdefault(id(old), new)
    kind: Any = type(old)
    buffers, modules, attributes = _names(kind)
    for name in _HOOKS:
        hooks = vars(old)[name]
        if isinstance(hooks, dict) and not hooks:
            vars(new)[name] = type(hooks)()
        elif isinstance(hooks, dict):
            masks = [k for k, hook in hooks.items() if isinstance(hook, BasePruningMethod)]
            hooks = deep_copy(hooks, memo, name=f"hooks of a {type(old).__name__}")
            vars(new)[name] = hooks
            _rebind(hooks, memo, False)
            for key in masks:
                del hooks[key]
        else:
            vars(new)[name] = hooks
    for name, value in vars(old).items():
        # Masked weights lie among the attributes.
        taken = name in attributes or name in new._parameters
        if not taken and name not in (*_HOOKS, "_non_persistent_buffers_set"):
            vars(new)[name] = deep_copy(value, memo, name=name)
    for name, buffer in old._buffers.items():
        if name not in buffers and name.removesuffix("_mask") not in new._parameters:
            persistent = name not in old._non_persistent_buffers_set
            new.register_buffer(name, deep_copy(buffer, memo), persistent=persistent)
    for name, module in old._modules.items():
        if name not in modules:
            new.register_module(name, deep_copy(module, memo))


def check_own(module: nn.Module) -> None:
    """Raise ValueError if what a module computes was replaced on this one module."""
    for name in _REPLACED:
        if name in vars(module):
            raise ValueError(
                f"its {name!r} was replaced on the module itself, so what it computes is not what "
                f"{type(module).__name__} computes; remove the replacement, or make it a hook"
            )


def _spare(model: nn.Module, memo: dict[int, Any]) -> None:
    """Spare deepcopy the empty mappings, of which a module has a dozen for hooks alone."""
    for module in model.modules():
        for held in vars(module).values():
            if type(held) in (dict, OrderedDict) and not held:
                memo.setdefault(id(held), type(held)())


class _Copying(TorchFunctionMode):
    """Lets deepcopy copy what autograd has computed, and raises the dtype on the way."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__:
            tensor, memo = args
            dtype = raised(tensor.dtype, self.dtype)
            if id(tensor) not in memo and (not tensor.is_leaf or dtype != tensor.dtype):
                own = tensor.detach().clone().to(dtype)
                memo[id(tensor)] = own.requires_grad_(tensor.is_leaf and tensor.requires_grad)
            if id(tensor) in memo:
                return memo[id(tensor)]
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") == "clone":  # how parameters copy themselves
            return result.to(raised(result.dtype, self.dtype))
        return result


@cache
def _names(kind: Any) -> tuple[frozenset[str], ...]:
    """Return what every module of a class has: buffers, modules, attributes."""
    one = kind(*smallest(kind), device="meta")
    return tuple(frozenset(held) for held in (one._buffers, one._modules, vars(one)))


def _rebind(held: Any, memo: dict[int, Any], alone: bool) -> None:
    """Have functions in a list or mapping of the copy hold copies of the model's modules."""
    if not isinstance(held, dict | list):
        return
    for key, value in list(held.items() if isinstance(held, dict) else enumerate(held)):
        if isinstance(value, types.FunctionType) and value.__closure__:
            held[key] = _bound(value, memo, alone)


def _bound(function: types.FunctionType, memo: dict[int, Any], alone: bool) -> Any:
    cells = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # empty as yet
            cells.append(cell)
            continue
        if isinstance(value, nn.Module) and id(value) in memo:
            cells.append(types.CellType(memo[id(value)]))
        elif alone and isinstance(value, list | dict | set | Tensor):
            cells.append(types.CellType(deep_copy(value, memo, name=function.__name__)))
        else:
            cells.append(cell)
    twin = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(cells),
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__dict__.update(function.__dict__)
    twin.__qualname__ = function.__qualname__
    return twin


def _culprit(model: nn.Module) -> str:
    """Name the attribute that cannot be copied."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            try:
                with _Copying(None):
                    copy.deepcopy(value, {id(one): one for one in model.modules()})
            except Exception:
                of = f" of {path!r}" if path else ""
                return f"its attribute {name!r}{of} ({type(value).__name__}) "
    return ""
