"""What the training of a classifier lowers: the cross-entropy under an explicit penalty.

The loss is ``L = f(x) + lambda * sum |w|``, ``L = f(x) + lambda * sum w**2`` or, with a norm for
each recurrent unit, ``L = f(x) + lambda * sum norm``, with the cross-entropy as f. The penalty is a
term of the loss, so Adam scales its gradient like any other; decoupled weight decay would be
another method.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from tefast.nn._layers.recurrent import find_recurrent, weights
from tefast.nn.unit_norms import readers_of, squared_norms

Penalty = Literal["l1", "l2", "group"]
LossSteps = Literal["last", "all"]

_NONE = -100
"""Stands for the label of a step that does not count."""


def penalty(model: nn.Module, kind: Penalty) -> Tensor:
    """Return a sum over the parameters of a model that training keeps small.

    "l1" is the sum of ``|w|`` and "l2" that of ``w**2``, both over all parameters, biases too.

    "group" is the group Lasso over recurrent units of W. Wen et al., "Learning intrinsic sparse
    structures within long short-term memory", ICLR 2018: the sum over units of the Euclidean norm
    of all weights that belong to the unit. These are its rows in ``weight_ih`` and ``weight_hh`` of
    every gate, its biases, its column in ``weight_hh``, and in a `SequenceClassifier` its column in
    ``fc1``. In other models, what reads the units outside the layer is not counted. Where a norm is
    0, its gradient is 0.

    Parameters
    ----------
    model : nn.Module
        The model whose parameters are summed. For "group" its recurrent layer is named ``rnn`` and
        has one layer and one direction, without a projection.
    kind : {"l1", "l2", "group"}
        The penalty.

    Returns
    -------
    Tensor of shape (), with its gradient

    Raises
    ------
    TypeError, ValueError
        If `kind` is unknown, or the model has no such layer.
    """
    if kind == "group":
        return _group(model)
    if kind == "l1":
        terms = [parameter.abs().sum() for parameter in model.parameters()]
    elif kind == "l2":
        terms = [parameter.square().sum() for parameter in model.parameters()]
    else:
        raise ValueError(f"penalty: expected one of {', '.join(get_args(Penalty))}, got {kind!r}")
    return torch.stack(terms).sum()


def _group(model: nn.Module) -> Tensor:
    """Return the sum of the norms of all units; its gradient is 0 where a norm is."""
    layer = find_recurrent(model, "rnn")
    named = weights(layer)
    if len(named) > 1 or "weight_hr" in named[0, 0]:
        got = "a projection" if len(named) == 1 else f"{len(named)} layers and directions"
        raise ValueError(
            "penalty 'group': expected a recurrent layer of one layer and one direction, without "
            f"a projection, got one with {got}"
        )
    squared = squared_norms(named[0, 0], readers_of(model, layer))
    # The root's slope at 0 is infinite, so it is taken of the others alone.
    return squared[squared > 0].sqrt().sum()


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
    kind : {None, "l1", "l2", "group"}, default None
        The penalty, as `penalty` takes it.
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
