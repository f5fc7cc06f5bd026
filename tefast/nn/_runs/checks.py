"""What the training and the evaluation of a classifier get, checked."""

import operator

import torch
from torch import Tensor, nn

from tefast.nn._runs.modes import in_mode
from tefast.nn.objectives import LossSteps

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's weights."""
    return next(model.parameters()).device


def check_count(name: str, value: int, least: int = 1) -> None:
    """Raise unless a number is an integer, and not below the least."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if operator.index(value) < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def check_x(x: Tensor) -> None:
    """Raise unless sequences are a floating tensor (N, T, D)."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x: expected a floating tensor, got {got}")
    if x.ndim != 3 or 0 in x.shape:
        raise ValueError(f"x: expected shape (N, T, D), no axis empty, got {tuple(x.shape)}")


def _check_integers(name: str, given: Tensor, count: int) -> None:
    if not isinstance(given, Tensor) or given.dtype not in _INTEGERS:
        got = given.dtype if isinstance(given, Tensor) else type(given).__name__
        raise TypeError(f"{name}: expected an integer tensor, got {got}")
    if given.shape != (count,):
        raise ValueError(f"{name}: expected shape ({count},), got {tuple(given.shape)}")


def check_labels(x: Tensor, labels: Tensor) -> None:
    """Raise unless there is an integer for each sequence."""
    check_x(x)
    _check_integers("labels", labels, len(x))


def check_lengths(x: Tensor, lengths: Tensor | None) -> None:
    """Raise unless there is a number of valid steps for each sequence."""
    if lengths is None:
        return
    _check_integers("lengths", lengths, len(x))
    wrong = (lengths < 1) | (lengths > x.shape[1])
    if wrong.any():
        first = int(wrong.nonzero()[0, 0])
        raise ValueError(
            f"lengths: expected 1..{x.shape[1]}, got {int(lengths[first])} for sequence {first}"
        )


def check_result(result: object, count: int, steps: int, lengths: Tensor | None) -> None:
    """Raise unless a model gave logits, of every step where there are lengths."""
    got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
    if isinstance(result, Tensor) and result.ndim == 2 and len(result) == count:
        if lengths is None:
            return
        raise ValueError(
            f"model: expected logits of shape ({count}, {steps}, C), as one result a sequence "
            f"would depend on what lies beyond its length; got {got}"
        )
    if not isinstance(result, Tensor) or result.ndim != 3 or result.shape[:2] != (count, steps):
        raise ValueError(
            f"model: expected logits of shape ({count}, {steps}, C) or ({count}, C), got {got}"
        )


def check_data(
    model: nn.Module, x: Tensor, labels: Tensor, lengths: Tensor | None, loss: LossSteps
) -> None:
    """Raise unless a model can be trained on sequences and labels."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model: expected a parameter that requires a gradient, found none")
    wrong = ~x.isfinite()
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(f"x: {int(wrong.sum())} values not finite, the first at {first}")
    with in_mode(model, training=False):
        logits = model(x[:1].to(device_of(model)))
    check_result(logits, 1, x.shape[1], lengths)
    if loss == "all" and logits.ndim == 2:
        raise ValueError(
            f"loss 'all': expected logits of shape (1, {x.shape[1]}, C), got {tuple(logits.shape)}"
        )
    classes = logits.shape[-1]
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        raise ValueError(f"labels: expected 0..{classes - 1}, got {int(outside[0])}")
