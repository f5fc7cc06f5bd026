"""The modules of a model, entered and left: hooks around them, scripts among them, their names."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from tefast.nn._trace.sight import Operation, Watching, tensors
from tefast.nn._trace.watching import unseen


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
