"""Series that units are compared with, and losses, for classification and for regression."""

from typing import Any

import torch
from torch import Tensor, nn

from tefast.nn._parameters import documented
from tefast.nn._runs.batches import Batch, FromResult

_IGNORED = -100
"""The label that PyTorch's cross-entropy leaves out."""


@documented
def label_probability(result: Any, batch: Batch) -> Tensor:
    """Return the softmax probability of the true label at every step, (n, T), in [0, 1].

    Parameters
    ----------
    result : Tensor of shape (n, T, C)
        Logits.
    {batch}

    Raises
    ------
    {errors:series}
    """
    logits, labels, _ = _labelled(result, batch)
    if logits.ndim != 3:
        raise ValueError(
            f"model: expected logits of shape (n, T, C), got {tuple(logits.shape)}; a series that "
            "units are compared with can be given as source=function(result, batch) -> (n, T)"
        )
    if (labels == _IGNORED).any():
        raise ValueError(
            f"labels: expected one at every step, got {_IGNORED}, which stands for none; steps "
            "that do not count can be left out by lengths=, or give source=function(result, batch)"
        )
    return _wide(logits).softmax(-1).gather(2, labels[..., None])[..., 0]


@documented
def binary_probability(result: Any, batch: Batch) -> Tensor:
    """Return the sigmoid probability of the true label at every step, (n, T), in [0, 1].

    Parameters
    ----------
    result : Tensor of shape (n, T) or (n, T, 1)
        Logits of label 1.
    batch : (x, labels) or (x, labels, lengths)
        labels : Tensor (n,) or (n, T) of zeros and ones.

    Raises
    ------
    {errors:series}
    """
    logits, labels, _ = _binary(result, batch, steps=True)
    if logits.shape[-1] != 1:
        raise ValueError(f"model: expected one logit a step, got {logits.shape[-1]}")
    return torch.where(labels > 0, logits, -logits).sigmoid()[..., 0]


@documented
def squared_error(result: Any, batch: Batch) -> Tensor:
    """Return the squared error at every step, (n, T), its mean over features.

    Parameters
    ----------
    result : Tensor of shape (n, T) or (n, T, D)
        What the model predicts.
    {batch:targets}

    Raises
    ------
    {errors:series}
    """
    predicted, targets, _ = _pair(result, batch, steps=True)
    return (predicted - targets).square().mean(-1)


@documented
def target(result: Any, batch: Batch) -> Tensor:
    """Return the target itself at every step, (n, T), where it is one number a step.

    Parameters
    ----------
    result : Tensor of shape (n, T) or (n, T, 1)
        Only its shape is read.
    {batch:targets}

    Raises
    ------
    {errors:series}
    """
    _, targets, _ = _pair(result, batch, steps=True)
    if targets.shape[-1] != 1:
        raise ValueError(
            f"target: expected one number a step, got {targets.shape[-1]}; choose one by "
            "source=function(result, batch) -> (n, T)"
        )
    return targets[..., 0]


@documented
def cross_entropy(result: Any, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of logits (n, C) or (n, T, C) and labels (n,) or (n, T).

    Steps beyond `lengths`, if the batch has them, and labels of -100 are left out.

    Parameters
    ----------
    result : Tensor of shape (n, C) or (n, T, C)
        Logits.
    {batch}

    Returns
    -------
    Tensor of shape ()

    Raises
    ------
    {errors:series}
    """
    logits, labels, valid = _labelled(result, batch)
    if valid is not None:
        labels = labels.masked_fill(~valid, _IGNORED)
    return nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())


@documented
def binary_cross_entropy(result: Any, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of logits and labels of 0 and 1.

    Steps beyond `lengths`, if the batch has them, are left out.

    Parameters
    ----------
    result : Tensor of shape (n, T), (n, T, D), (n,) or (n, D)
        Logits of label 1.
    batch : (x, labels) or (x, labels, lengths)
        labels : Tensor of zeros and ones, of the shape of `result`, or (n,) or (n, D) for all steps
        of a sequence.

    Returns
    -------
    Tensor of shape ()

    Raises
    ------
    {errors:series}
    """
    logits, labels, valid = _binary(result, batch, steps=_has_steps(result, batch))
    each = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return _mean(each, valid)


@documented
def mean_squared_error(result: Any, batch: Batch) -> Tensor:
    """Return the mean squared error.

    Steps beyond `lengths`, if the batch has them, are left out.

    Parameters
    ----------
    result : Tensor of shape (n, T), (n, T, D), (n,) or (n, D)
        What the model predicts.
    batch : (x, targets) or (x, targets, lengths)
        targets : Tensor of the shape of `result`, or (n,) or (n, D) for all steps of a sequence.

    Returns
    -------
    Tensor of shape ()

    Raises
    ------
    {errors:series}
    """
    predicted, targets, valid = _pair(result, batch, steps=_has_steps(result, batch))
    return _mean((predicted - targets).square(), valid)


SOURCES: dict[str, FromResult] = {
    "label_probability": label_probability,
    "binary_probability": binary_probability,
    "squared_error": squared_error,
    "target": target,
}
"""Series that can be asked for by name."""

LOSSES: dict[str, FromResult] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "squared_error": mean_squared_error,
}
"""Losses that can be asked for by name."""


def named(given: str | FromResult, known: dict[str, FromResult], name: str) -> FromResult:
    """Return the function that is meant.

    Parameters
    ----------
    given : str or callable
        A function, or the name of one.
    known : dict of str to callable
        The functions by name: `SOURCES` or `LOSSES`.
    name : str
        What the argument is called in an error.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If there is no function of that name.
    """
    if callable(given):
        return given
    if not isinstance(given, str) or given not in known:
        raise ValueError(
            f"{name}: expected one of {', '.join(known)} or a function(result, batch), "
            f"got {given!r}"
        )
    return known[given]


def _labelled(result: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits, a label for each of them, and which of (n, T) count, if there are lengths."""
    if not isinstance(result, Tensor) or result.ndim not in (2, 3):
        raise ValueError(
            f"model: expected logits of shape (n, C) or (n, T, C), got {_shape(result)}; what the "
            "model gives can be taken apart in forward=function(model, batch)"
        )
    labels = batch[1].to(result.device)
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(
            f"labels: expected integers, got {labels.dtype}; for regression give "
            'source="squared_error" or "target" and loss="squared_error", for logits of label 1 '
            'source="binary_probability" and loss="binary_cross_entropy"'
        )
    if result.shape[-1] == 1:
        raise ValueError(
            "model: expected logits of two classes or more, got one; for a logit of label 1 give "
            'source="binary_probability" and loss="binary_cross_entropy", for regression '
            'source="squared_error" and loss="squared_error"'
        )
    steps = result.shape[1] if result.ndim == 3 else None
    valid = None if steps is None else _valid(batch, steps, result.device)
    labels = _over_steps(labels.long(), result.shape, valid is not None)
    outside = (labels < 0) | (labels >= result.shape[-1])
    if valid is not None:  # whatever padding holds
        labels = labels.masked_fill(outside & ~valid, 0)
        outside = outside & valid
    if (wrong := labels[outside & (labels != _IGNORED)]).numel():
        raise ValueError(
            f"labels: expected 0..{result.shape[-1] - 1}, got {int(wrong[0])}; labels= says where "
            "they lie in a batch"
        )
    return result, labels, valid


def _over_steps(labels: Tensor, logits: torch.Size, padded: bool) -> Tensor:
    """Labels of the shape of the logits: (n,) or (n, T)."""
    if labels.ndim == 1 and len(labels) == logits[0]:
        return labels if len(logits) == 2 else labels[:, None].expand(logits[:2])
    if labels.ndim == 2 and len(logits) == 3 and len(labels) == logits[0]:
        if labels.shape[1] == logits[1]:
            return labels
        if padded and labels.shape[1] > logits[1]:  # padded further than the batch needs
            return labels[:, : logits[1]]
    expected = f"({logits[0]},)" + (f" or {tuple(logits[:2])}" if len(logits) == 3 else "")
    raise ValueError(
        f"labels: expected shape {expected}, got {tuple(labels.shape)}; labels= says where they "
        "lie in a batch"
    )


def _binary(result: Any, batch: Batch, *, steps: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    logits, labels, valid = _pair(result, batch, steps=steps)
    wrong = (labels != 0) & (labels != 1)
    wrong = wrong if valid is None else wrong & valid[..., None]
    if wrong.any():
        raise ValueError(f"labels: expected zeros and ones, got {labels[wrong][0].item():g}")
    return logits, labels, valid


def _pair(result: Any, batch: Batch, *, steps: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """What is predicted and the targets, each (n, T, D), and which of (n, T) count.

    Without steps T is 1.
    """
    known = isinstance(result, Tensor) and result.is_floating_point()
    if not known or result.ndim not in ((2, 3) if steps else (1, 2)):
        expected = "(n, T) or (n, T, D)" if steps else "(n,) or (n, D)"
        raise ValueError(f"model: expected floats of shape {expected}, got {_shape(result)}")
    predicted = _wide(result)
    if predicted.ndim < 3:
        predicted = predicted[..., None] if steps else predicted.reshape(len(predicted), 1, -1)
    valid = _valid(batch, predicted.shape[1], result.device) if steps else None
    targets = batch[1].to(result.device)
    if targets.is_complex():
        raise TypeError(f"targets: expected real numbers, got {targets.dtype}")
    targets = targets.to(predicted.dtype)
    found = _target_shape(targets, predicted.shape, steps, valid is not None)
    if found is None:
        raise ValueError(
            f"targets: expected some for what the model gives, {tuple(result.shape)}, got "
            f"{tuple(targets.shape)}; labels= says where they lie in a batch"
        )
    return predicted, found.expand(predicted.shape), valid


def _target_shape(targets: Tensor, shape: torch.Size, steps: bool, padded: bool) -> Tensor | None:
    """Targets (n, T or 1, D); None if they do not fit."""
    n, length, features = shape
    if targets.ndim == 0 or len(targets) != n or targets.ndim > 3:
        return None
    if targets.ndim == 1:
        return targets[:, None, None] if features == 1 else None
    fits = targets.shape[1] == length or (padded and targets.shape[1] > length)
    if targets.ndim == 3:
        return targets[:, :length] if steps and fits and targets.shape[2] == features else None
    if steps and fits and features == 1:
        return targets[:, :length, None]
    return targets[:, None] if targets.shape[1] == features else None


def _valid(batch: Batch, steps: int, device: torch.device) -> Tensor | None:
    if len(batch) < 3 or batch[2] is None:
        return None
    lengths: Tensor = batch[2]
    return torch.arange(steps, device=device) < lengths.to(device)[:, None]


def _has_steps(result: Any, batch: Batch) -> bool:
    """Whether the second axis of a result is that of steps: it is if lengths are given."""
    if not isinstance(result, Tensor):
        return False
    return result.ndim == 3 or (result.ndim == 2 and len(batch) > 2 and batch[2] is not None)


def _mean(each: Tensor, valid: Tensor | None) -> Tensor:
    return each.mean() if valid is None else each[valid].mean()


def _wide(x: Tensor) -> Tensor:
    # Half precision would round the values of a batch to few.
    return x if x.dtype == torch.float64 else x.float()


def _shape(result: Any) -> Any:
    return tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
