"""Training a sequence classifier, stopped and resumed to the same bits."""

import copy
import math
from collections.abc import Callable
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from tefast.nn._parameters import documented
from tefast.nn._runs.checks import (
    check_count,
    check_data,
    check_labels,
    check_lengths,
    check_result,
    check_x,
    device_of,
)
from tefast.nn._runs.modes import in_mode
from tefast.nn.objectives import LossSteps, Penalty, last_logits, objective

Precision = Literal["float32", "bfloat16"]

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
    lengths: Tensor | None = None,
    batch_size: int = 64,
    lr: float = 1e-3,
    penalty: Penalty | None = None,
    weight: float = 0.0,
    seed: int = 0,
    loss: LossSteps = "last",
    on_epoch: Callable[[TrainingState], None] | None = None,
    resume: TrainingState | None = None,
    precision: Precision = "float32",
    group: Any = None,
) -> list[float]:
    """Train `model` in place with Adam.

    The order of the sequences in an epoch, and what dropout draws, depend on `seed` and the
    epoch's number alone. A run resumed after any epoch therefore ends in the same bits as one
    that was never stopped (on the same machine, with the same number of threads).

    Parameters
    ----------
    model : nn.Module
        Maps (n, T, D) to logits (n, T, C), or to one result a sequence, (n, C). Its training mode
        is restored at the end.
    {x:sequences, labels:classes}
    epochs : int
        Epochs of the whole run, those before `resume` included.
    {lengths:sequences}
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
        Learn the class at the last valid step, or at every valid step. "all" needs (n, T, C).
    on_epoch : callable, optional
        Gets a `TrainingState` after every epoch: a copy, to keep or to write.
    resume : TrainingState, optional
        Go on from there; `model` takes its weights. Not changed.
    precision : {"float32", "bfloat16"}, default "float32"
        "bfloat16" runs the model under ``torch.autocast``; its weights stay as they are.
    group : torch.distributed.ProcessGroup, optional
        Processes that train together, such as ``torch.distributed.group.WORLD``. Each passes the
        same model and all the data, and works on its part of every step's sequences. All end with
        the same weights. These differ from those of one process in the last digits, because sums
        of floats depend on their order; a model that normalises over its batch differs by more.

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
    check_labels(x, labels)
    check_lengths(x, lengths)
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
    if lengths is not None:
        settings["valid_steps"] = int(lengths.sum())
    if precision != "float32":
        settings["precision"] = precision
    _check_settings(settings)
    check_data(model, x, labels, lengths, loss)
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
            data = (x, labels, lengths)
            losses.append(_run_epoch(model, optimizer, data, epoch, settings, group))
            if on_epoch is not None:
                on_epoch(_state(model, optimizer, losses, settings))
    optimizer.zero_grad()
    return losses


@documented
def predict(
    model: nn.Module, x: Tensor, batch_size: int = 256, *, lengths: Tensor | None = None
) -> Tensor:
    """Return the class of every sequence, read at its last valid step.

    Parameters
    ----------
    {model:evaluated, x:sequences, batch_size:pass, lengths:sequences}

    Returns
    -------
    LongTensor of shape (N,), on the device of `x`

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the model gives something else than logits.
    """
    check_x(x)
    check_lengths(x, lengths)
    check_count("batch_size", batch_size)
    device = device_of(model)
    classes = []
    with in_mode(model, training=False):
        for part in torch.split(torch.arange(len(x)), batch_size):
            result = model(x[part[0] : part[-1] + 1].to(device))
            check_result(result, len(part), x.shape[1], lengths)
            valid = None if lengths is None else lengths[part.to(lengths.device)]
            classes.append(last_logits(result, valid).argmax(dim=1))
    return torch.cat(classes).to(x.device)


@documented
def accuracy(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    batch_size: int = 256,
    *,
    lengths: Tensor | None = None,
) -> float:
    """Return the fraction of sequences whose class is predicted right, in [0, 1].

    Parameters
    ----------
    {model:evaluated, x:sequences, labels:classes, batch_size:pass, lengths:sequences}

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    check_labels(x, labels)
    right = predict(model, x, batch_size, lengths=lengths) == labels.to(x.device)
    return int(right.sum()) / len(labels)


def _run_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: tuple[Tensor, Tensor, Tensor | None],
    epoch: int,
    settings: dict[str, Any],
    group: Any,
) -> float:
    x, labels, lengths = data
    rank, size = (0, 1) if group is None else (dist.get_rank(group), dist.get_world_size(group))
    rng = np.random.default_rng([settings["seed"], epoch])
    order = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    batches = torch.split(order, settings["batch_size"])
    steps = settings["epochs"] * len(batches)
    device = device_of(model)
    total = 0.0
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(2**63)))
        for number, whole in enumerate(batches):
            batch = whole[rank::size]
            step = epoch * len(batches) + number
            for some in optimizer.param_groups:
                some["lr"] = learning_rate(step, steps, settings["lr"])
            inputs = x[batch].to(device)
            targets = labels[batch.to(labels.device)].to(device, torch.int64)
            valid = None if lengths is None else lengths[batch.to(lengths.device)].to(device)
            where = f"epoch {epoch + 1}, step {number + 1}"
            part = inputs, targets, valid
            share = _share(batch, whole, lengths if settings["loss"] == "all" else None)
            total += len(whole) * _step(model, optimizer, part, settings, where, share, group)
    return total / len(x)


def _share(part: Tensor, whole: Tensor, lengths: Tensor | None) -> float:
    """How much of the mean loss of a step's sequences is that of a part of them."""
    if lengths is None:
        return len(part) / len(whole)
    steps = [int(lengths[some.to(lengths.device)].sum()) for some in (part, whole)]
    return steps[0] / steps[1]


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: tuple[Tensor, Tensor, Tensor | None],
    settings: dict[str, Any],
    where: str,
    share: float,
    group: Any,
) -> float:
    x, labels, lengths = data
    optimizer.zero_grad()
    kind, weight, loss = (settings[name] for name in ("penalty", "weight", "loss"))
    value = torch.zeros((), device=x.device)
    if len(x):  # of a step of few sequences some processes have none
        mixed = settings.get("precision", "float32") != "float32"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed):
            value = share * objective(model, x, labels, kind, weight, loss, lengths)
        value.backward()  # type: ignore[no-untyped-call]
    if group is not None:
        value = _summed(model, value.detach(), group)
    norm = nn.utils.clip_grad_norm_(model.parameters(), _MAX_NORM)
    if not (value.isfinite() and norm.isfinite()):
        raise FloatingPointError(
            f"training diverged in {where}: loss {value.item():g}, norm of its gradient "
            f"{norm.item():g}; a lower lr (now {settings['lr']:g}) may help"
        )
    optimizer.step()
    return value.item()


def _summed(model: nn.Module, value: Tensor, group: Any) -> Tensor:
    """The sum of a loss over all processes; the gradients become such sums, too."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    flat = torch.cat([value.reshape(1), *(one.flatten() for one in gradients)])
    dist.all_reduce(flat, group=group)
    sizes = [1, *(one.numel() for one in gradients)]
    value, *parts = torch.split(flat, sizes)
    for weight, part in zip(weights, parts, strict=True):
        weight.grad = part.view_as(weight).clone()
    return value[0]


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


def _check_settings(settings: dict[str, Any]) -> None:
    check_count("epochs", settings["epochs"])
    check_count("batch_size", settings["batch_size"])
    check_count("seed", settings["seed"], least=0)
    choices = {
        "penalty": (None, *get_args(Penalty)),
        "loss": get_args(LossSteps),
        "precision": get_args(Precision),
    }
    for name, known in choices.items():
        if name in settings and settings[name] not in known:
            named = ", ".join(map(str, known))
            raise ValueError(f"{name}: expected one of {named}, got {settings[name]!r}")
    if not (math.isfinite(settings["lr"]) and settings["lr"] > 0):
        raise ValueError(f"lr: expected a finite number above 0, got {settings['lr']}")
    if not (math.isfinite(settings["weight"]) and settings["weight"] >= 0):
        raise ValueError(f"weight: expected a finite number, 0 or more, got {settings['weight']}")
    if settings["penalty"] is None and settings["weight"] != 0:
        raise ValueError(f"weight: expected 0 without a penalty, got {settings['weight']}")


def _check_resume(model: nn.Module, state: TrainingState | None, settings: dict[str, Any]) -> None:
    if state is None:
        return
    missing = [key for key in TrainingState.__annotations__ if key not in state]
    if missing:
        raise ValueError(f"resume: expected a TrainingState, {missing[0]!r} is missing")
    for name in {**settings, **state["settings"]}:
        before, now = (each.get(name) for each in (state["settings"], settings))
        if before != now:
            raise ValueError(f"resume: {name} was {before!r} and is {now!r} now")
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in state["model"].items()}
    if ours != theirs:
        name = next(n for n in [*ours, *theirs] if ours.get(n) != theirs.get(n))
        raise ValueError(
            f"resume: {name!r} has shape {theirs.get(name)} there and {ours.get(name)} here"
        )
