"""The arguments with which a model is called for a batch, as an example of few sequences."""

from typing import Any

import torch
from torch import Tensor, nn

from tefast.nn._runs.batches import Batch, Forward
from tefast.nn._runs.observe import fresh
from tefast.nn._runs.restore import as_it_was
from tefast.nn._trace.examples import Arguments, evaluated


class _KnownError(Exception):
    """The arguments are known, and the model need not run."""


def arguments_of(model: nn.Module, batch: Batch, forward: Forward) -> Arguments | None:
    """Return what ``forward(model, batch)`` calls the model with, of two sequences if it can be.

    Parameters
    ----------
    model : nn.Module
    batch : Batch
        Not changed.
    forward : callable

    Returns
    -------
    Arguments, or None if the model is not called
    """
    found: list[Any] = []

    def note(_model: nn.Module, args: Any, kwargs: Any) -> None:
        found.append((args, kwargs))
        raise _KnownError

    handle = model.register_forward_pre_hook(note, prepend=True, with_kwargs=True)
    try:
        with as_it_was(model), evaluated(model):
            forward(model, fresh(batch, model))
    except _KnownError:
        pass
    finally:
        handle.remove()
    if not found:
        return None
    args, kwargs = found[0]
    few = _few(args, kwargs)
    return few if few is not None and _runs(model, few) else Arguments(*args, **kwargs)


def _few(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
    """Arguments of two sequences; None where the tensors are not all of as many."""
    values = [*args, *kwargs.values()]
    tensors = [value for value in values if isinstance(value, Tensor)]
    sizes = {tensor.shape[:1] for tensor in tensors}
    nested = any(isinstance(value, tuple | list | dict) for value in values)
    if len(sizes) != 1 or nested or not tensors[0].ndim or len(tensors[0]) < 3:
        return None
    rows = torch.tensor([0, 1])
    for tensor in tensors:
        # Two lengths that differ say more than two that do not.
        unlike = tensor.ndim == 1 and bool((tensor != tensor[0]).any())
        if unlike and not tensor.is_floating_point():
            rows = torch.stack([tensor.argmax(), tensor.argmin()]).cpu()
            break

    def cut(value: Any) -> Any:
        return value[rows.to(value.device)] if isinstance(value, Tensor) else value

    return Arguments(*map(cut, args), **{name: cut(value) for name, value in kwargs.items()})


def _runs(model: nn.Module, arguments: Arguments) -> bool:
    args, kwargs = fresh((arguments.args, arguments.kwargs), model)
    try:
        with as_it_was(model), evaluated(model):
            model(*args, **kwargs)
    except Exception:
        return False
    return True
