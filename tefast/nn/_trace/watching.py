"""A block in which all that PyTorch does is followed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tefast.nn._trace import products  # noqa: F401 - its rules are registered
from tefast.nn._trace.fillings import FUNCTIONS
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.operations import apply

# Give what is no tensor, and are no operations.
_LEAVING = frozenset(["numpy", "tolist", "array", "data_ptr", "dlpack"])


@contextmanager
def watching(flow: Flow) -> Iterator[None]:
    """Follow what is done in the block, and raise what was refused there.

    The code of a model may catch an error that is raised within it, or TorchScript may make
    another of it; what was refused is raised all the same.
    """
    try:
        with _uncompiled(), _Calls(flow), _Operations(flow):
            yield
    except Exception:
        if flow.refusal is None:
            raise
    if flow.refusal is not None:
        raise flow.refusal


@contextmanager
def unseen() -> Iterator[None]:
    """Do something with tensors that is not followed."""
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        yield


def _uncompiled() -> Any:
    """Have compiled code run operation by operation; without it, its compiler is not imported."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, by whatever name or from whatever code it was called."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flow = flow

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch imports its compiler, which takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.flow.inside:
            return func(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():
            return apply(self.flow, func, args, kwargs or {}, lambda: self)


class _Calls(TorchFunctionMode):
    """Knows what a user called, and follows as one what is made of many operations."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        flow, kwargs = self.flow, kwargs or {}
        if flow.inside:
            if types:  # what a kind of tensor of its own does is seen by itself
                return func(*args, **kwargs)
            with torch._C._DisableTorchDispatch():
                return func(*args, **kwargs)
        flow.calling.append(flow.bare(func))
        try:
            special = FUNCTIONS.get(getattr(func, "__name__", ""))
            name = flow.calling[-1]
            plain = flow.lenient or (special is None and name not in _LEAVING)
            if plain or not self._any((args, kwargs)):
                return func(*args, **kwargs)
            if special is None:
                flow.refuse(f"{name!r}, after which they cannot be followed")
            return special(flow, func, args, kwargs)
        finally:
            flow.calling.pop()

    def _any(self, value: Any) -> bool:
        with torch._C._DisableTorchDispatch():
            return self.flow.any_of(value) is not None
