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


def objective(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    kind: Penalty | None = None,
    weight: float = 0.0,
    loss: LossSteps = "last",
) -> Tensor:
    """Return the loss that `fit` lowers: mean cross-entropy plus ``weight * penalty``.

    Parameters
    ----------
    model : nn.Module
        Maps (n, T, D) to logits (n, T, C).
    x : Tensor of shape (n, T, D)
        The sequences.
    labels : LongTensor of shape (n,)
        The classes, 0..C-1.
    kind : {None, "l1", "l2"}, default None
        The penalty.
    weight : float, default 0
        The factor of the penalty, lambda.
    loss : {"last", "all"}, default "last"
        The cross-entropy of the last step, or its mean over all steps.

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
        value = nn.functional.cross_entropy(logits[:, -1], labels)
    else:
        every = labels[:, None].expand(logits.shape[:2])
        value = nn.functional.cross_entropy(logits.flatten(0, 1), every.flatten())
    return value if kind is None else value + weight * penalty(model, kind)
