"""What the training of a classifier lowers: the cross-entropy under an explicit penalty.

The loss is ``L = f(x) + lambda * sum |w|`` or ``L = f(x) + lambda * sum w**2``, with the
cross-entropy as f. The penalty is a term of the loss, so Adam scales its gradient like any other;
decoupled weight decay would be another method.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Penalty = Literal["l1", "l2"]
LossSteps = Literal["last", "all"]

_NONE = -100
"""Stands for the label of a step that does not count."""


def penalty(model: nn.Module, kind: Penalty) -> Tensor:
    """Return the sum of ``|w|`` ("l1") or of ``w**2`` ("l2") over all parameters, biases too.

    Parameters
    ----------
    model : nn.Module
        The model whose parameters are summed.
    kind : {"l1", "l2"}
        The penalty.

    Returns
    -------
    Tensor of shape (), with its gradient

    Raises
    ------
    ValueError
        If `kind` is unknown.
    """
    if kind == "l1":
        terms = [parameter.abs().sum() for parameter in model.parameters()]
    elif kind == "l2":
        terms = [parameter.square().sum() for parameter in model.parameters()]
    else:
        raise ValueError(f"penalty: expected one of l1, l2, got {kind!r}")
    return torch.stack(terms).sum()


def last_logits(result: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return the logits by which a sequence is classified: those of its last valid step.

    Parameters
    ----------
    result : Tensor of shape (n, T, C) or (n, C)
        What the model gives: logits of every step, or of every sequence, which stay as they are.
    lengths : LongTensor of shape (n,), optional
        Valid steps of each sequence. Default: all are.

    Returns
    -------
    Tensor of shape (n, C)
    """
    if result.ndim == 2:
        return result
    if lengths is None:
        return result[:, -1]
    every = torch.arange(len(result), device=result.device)
    return result[every, lengths.to(result.device, torch.int64) - 1]


def objective(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    kind: Penalty | None = None,
    weight: float = 0.0,
    loss: LossSteps = "last",
    lengths: Tensor | None = None,
) -> Tensor:
    """Return the loss that `fit` lowers: mean cross-entropy plus ``weight * penalty``.

    Parameters
    ----------
    model : nn.Module
        Maps (n, T, D) to logits (n, T, C), or for the loss "last" to (n, C).
    x : Tensor of shape (n, T, D)
        The sequences.
    labels : LongTensor of shape (n,)
        The classes, 0..C-1.
    kind : {None, "l1", "l2"}, default None
        The penalty.
    weight : float, default 0
        The factor of the penalty, lambda.
    loss : {"last", "all"}, default "last"
        The cross-entropy of the last valid step, or its mean over all valid steps.
    lengths : LongTensor of shape (n,), optional
        Valid steps of each sequence. Default: all are.

    Returns
    -------
    Tensor of shape (), in nats

    Raises
    ------
    ValueError
        If `kind` is unknown.
    """
    logits = model(x)
    if loss == "last":
        value = nn.functional.cross_entropy(last_logits(logits, lengths), labels)
    else:
        every = labels[:, None].expand(logits.shape[:2])
        if lengths is not None:
            steps = torch.arange(logits.shape[1], device=lengths.device)
            every = every.masked_fill((steps >= lengths[:, None]).to(every.device), _NONE)
        value = nn.functional.cross_entropy(
            logits.flatten(0, 1), every.flatten(), ignore_index=_NONE
        )
    return value if kind is None else value + weight * penalty(model, kind)
