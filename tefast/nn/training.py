"""Training a sequence classifier, stopped and resumed to the same bits."""

import copy
import math
import operator
from collections.abc import Callable
from typing import Any, TypedDict, get_args

import numpy as np
import torch
from torch import Tensor, nn

from tefast.nn._parameters import documented
from tefast.nn._runs.modes import in_mode
from tefast.nn.objectives import LossSteps, Penalty, objective

_MAX_NORM = 1.0
_WARMUP = 0.1


class TrainingState(TypedDict):
    """What `fit` needs to go on after an epoch: plain values and tensors.

    ``torch.save`` writes it and ``torch.load(..., weights_only=True)`` reads it.
    """

    epoch: int
    """Epochs done."""
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    losses: list[float]
    """Mean loss of every epoch done."""
    settings: dict[str, Any]
    """What determines the run; `fit` refuses to resume under other settings."""


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the learning rate of a step: a linear rise over the first tenth, then a cosine.

    Parameters
    ----------
    step : int
        From 0 to steps - 1.
    steps : int
        Steps of the whole training.
    peak : float
        The highest rate, which is reached at the end of the rise.

    Returns
    -------
    float
    """
    rise = max(1, round(_WARMUP * steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - rise + 1) / (steps - rise + 1)))


@documented
def fit(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int = 64,
    lr: float = 1e-3,
    penalty: Penalty | None = None,
    weight: float = 0.0,
    seed: int = 0,
    loss: LossSteps = "last",
    on_epoch: Callable[[TrainingState], None] | None = None,
    resume: TrainingState | None = None,
) -> list[float]:
    """Train `model` in place with Adam.

    The order of the sequences in an epoch, and what dropout draws, depend on `seed` and the
    epoch's number alone. A run resumed after any epoch therefore ends in the same bits as one
    that was never stopped (on the same machine, with the same number of threads).

    Parameters
    ----------
    model : nn.Module
        Maps (n, T, D) to logits (n, T, C). Its training mode is restored at the end.
    {x:sequences, labels:classes}
    epochs : int
        Epochs of the whole run, those before `resume` included.
    batch_size : int, default 64
        Sequences a step; the last step of an epoch takes what is left.
    lr : float, default 0.001
        Peak of `learning_rate`. Gradients are clipped to norm 1.
    penalty : {None, "l1", "l2", "group"}, default None
        What is added to the loss, as `objective` does.
    weight : float, default 0
        The penalty's factor, lambda; 0 without a penalty.
    seed : int, default 0
        0 or more.
    loss : {"last", "all"}, default "last"
        Learn the class at the last step, or at every step.
    on_epoch : callable, optional
        Gets a `TrainingState` after every epoch: a copy, to keep or to write.
    resume : TrainingState, optional
        Go on from there; `model` takes its weights. Not changed.

    Returns
    -------
    list of float
        The mean loss of every epoch, penalty included.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; nothing has been changed then.
    FloatingPointError
        If the loss or its gradient stops being finite. The model keeps the last weights from
        before that step.
    """
    _check_labels(x, labels)
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "penalty": penalty,
        "weight": weight,
        "seed": seed,
        "loss": loss,
        "sequences": len(x),
    }
    _check_settings(settings)
    _check_data(model, x, labels)
    _check_resume(model, resume, settings)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=lr, fused=True)
    losses: list[float] = []
    if resume is not None:
        model.load_state_dict(resume["model"])
        # The optimiser would otherwise work on the state's own tensors.
        optimizer.load_state_dict(copy.deepcopy(resume["optimizer"]))
        losses = list(resume["losses"])
    with in_mode(model, training=True):
        for epoch in range(len(losses), epochs):
            losses.append(_run_epoch(model, optimizer, x, labels, epoch, settings))
            if on_epoch is not None:
                on_epoch(_state(model, optimizer, losses, settings))
    optimizer.zero_grad()
    return losses


@documented
def predict(model: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Return the class of every sequence, read at its last step.

    Parameters
    ----------
    {model:evaluated, x:sequences, batch_size:pass}

    Returns
    -------
    LongTensor of shape (N,), on the device of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` or `batch_size` is not as described.
    """
    _check_x(x)
    _check_count("batch_size", batch_size)
    device = _device(model)
    with in_mode(model, training=False):
        logits = [model(part.to(device))[:, -1] for part in torch.split(x, batch_size)]
    return torch.cat(logits).argmax(dim=1).to(x.device)


@documented
def accuracy(model: nn.Module, x: Tensor, labels: Tensor, batch_size: int = 256) -> float:
    """Return the fraction of sequences whose class is predicted right, in [0, 1].

    Parameters
    ----------
    {model:evaluated, x:sequences, labels:classes, batch_size:pass}

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    _check_labels(x, labels)
    right = predict(model, x, batch_size) == labels.to(x.device)
    return int(right.sum()) / len(labels)


def _run_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    labels: Tensor,
    epoch: int,
    settings: dict[str, Any],
) -> float:
    rng = np.random.default_rng([settings["seed"], epoch])
    order = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    batches = torch.split(order, settings["batch_size"])
    steps = settings["epochs"] * len(batches)
    device = _device(model)
    total = 0.0
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(2**63)))
        for number, batch in enumerate(batches):
            step = epoch * len(batches) + number
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, settings["lr"])
            inputs = x[batch].to(device)
            targets = labels[batch.to(labels.device)].to(device, torch.int64)
            where = f"epoch {epoch + 1}, step {number + 1}"
            total += len(batch) * _step(model, optimizer, inputs, targets, settings, where)
    return total / len(x)


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    labels: Tensor,
    settings: dict[str, Any],
    where: str,
) -> float:
    optimizer.zero_grad()
    value = objective(model, x, labels, settings["penalty"], settings["weight"], settings["loss"])
    value.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(model.parameters(), _MAX_NORM)
    if not (value.isfinite() and norm.isfinite()):
        raise FloatingPointError(
            f"training diverged in {where}: loss {value.item():g}, norm of its gradient "
            f"{norm.item():g}; a lower lr (now {settings['lr']:g}) may help"
        )
    optimizer.step()
    return value.item()


def _state(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: list[float],
    settings: dict[str, Any],
) -> TrainingState:
    return TrainingState(
        epoch=len(losses),
        model={name: t.detach().clone() for name, t in model.state_dict().items()},
        optimizer=copy.deepcopy(optimizer.state_dict()),
        losses=list(losses),
        settings=dict(settings),
    )


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _check_count(name: str, value: int, least: int = 1) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if operator.index(value) < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def _check_settings(settings: dict[str, Any]) -> None:
    _check_count("epochs", settings["epochs"])
    _check_count("batch_size", settings["batch_size"])
    _check_count("seed", settings["seed"], least=0)
    for name, known in {"penalty": (None, *get_args(Penalty)), "loss": get_args(LossSteps)}.items():
        if settings[name] not in known:
            named = ", ".join(map(str, known))
            raise ValueError(f"{name}: expected one of {named}, got {settings[name]!r}")
    if not (math.isfinite(settings["lr"]) and settings["lr"] > 0):
        raise ValueError(f"lr: expected a finite number above 0, got {settings['lr']}")
    if not (math.isfinite(settings["weight"]) and settings["weight"] >= 0):
        raise ValueError(f"weight: expected a finite number, 0 or more, got {settings['weight']}")
    if settings["penalty"] is None and settings["weight"] != 0:
        raise ValueError(f"weight: expected 0 without a penalty, got {settings['weight']}")


def _check_x(x: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x: expected a floating tensor, got {got}")
    if x.ndim != 3 or 0 in x.shape:
        raise ValueError(f"x: expected shape (N, T, D), no axis empty, got {tuple(x.shape)}")


def _check_labels(x: Tensor, labels: Tensor) -> None:
    _check_x(x)
    if not isinstance(labels, Tensor) or labels.dtype not in (
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
    ):
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels: expected an integer tensor, got {got}")
    if labels.shape != (len(x),):
        raise ValueError(f"labels: expected shape ({len(x)},), got {tuple(labels.shape)}")


def _check_data(model: nn.Module, x: Tensor, labels: Tensor) -> None:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model: expected a parameter that requires a gradient, found none")
    wrong = ~x.isfinite()
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(f"x: {int(wrong.sum())} values not finite, the first at {first}")
    with in_mode(model, training=False):
        logits = model(x[:1].to(_device(model)))
    if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != (1, x.shape[1]):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"model: expected logits of shape (1, {x.shape[1]}, C), got {got}")
    outside = labels[(labels < 0) | (labels >= logits.shape[2])]
    if len(outside):
        raise ValueError(f"labels: expected 0..{logits.shape[2] - 1}, got {int(outside[0])}")


def _check_resume(model: nn.Module, state: TrainingState | None, settings: dict[str, Any]) -> None:
    if state is None:
        return
    missing = [key for key in TrainingState.__annotations__ if key not in state]
    if missing:
        raise ValueError(f"resume: expected a TrainingState, {missing[0]!r} is missing")
    for name, value in settings.items():
        if state["settings"].get(name) != value:
            raise ValueError(
                f"resume: {name} was {state['settings'].get(name)!r} and is {value!r} now"
            )
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in state["model"].items()}
    if ours != theirs:
        name = next(n for n in [*ours, *theirs] if ours.get(n) != theirs.get(n))
        raise ValueError(
            f"resume: {name!r} has shape {theirs.get(name)} there and {ours.get(name)} here"
        )
