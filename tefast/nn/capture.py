"""What the units say and how well the true label is recognised, batch by batch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tefast.nn.modes import in_mode
from tefast.nn.recurrent import Recurrent, find_single

Batch = Sequence[Tensor]


def capture(
    model: nn.Module, batches: Iterable[Batch], *, rnn: str = "rnn"
) -> Iterator[tuple[Tensor, ...]]:
    """Run `model` over `batches` and yield the units' outputs and the true label's probability.

    The model runs in evaluation mode without gradients. Mode and hook are set for one batch at a
    time and put back before the batch is yielded, so the generator may be left at any point.
    Only the current batch is in memory.

    Parameters
    ----------
    model : nn.Module
        Maps x (n, T, D) to logits (n, T, C).
    batches : iterable of (x, labels) or (x, labels, lengths)
        x : Tensor (n, T, D); labels : integer Tensor (n,), classes 0..C-1;
        lengths : integer Tensor (n,), valid steps of each sequence. They are brought to the
        model's device.
    rnn : str
        Name of the recurrent layer in `model`, with dots for nesting; it must be batch_first.

    Yields
    ------
    h : Tensor (n, T, U)
        Outputs of the recurrent units.
    y : Tensor (n, T)
        Softmax probability of the true label at every step, in [0, 1].
    lengths : Tensor (n,)
        As it came, and only if it came: ``te.update(*captured)`` fits either way.

    Raises
    ------
    TypeError
        If the submodule is not recurrent, or a batch is not made of such tensors.
    ValueError
        If there is no such submodule, it is not batch_first, or the shapes or labels of a batch
        do not fit.
    """
    layer = find_single(model, rnn)
    if not layer.batch_first:
        raise ValueError(f"submodule {rnn!r}: expected batch_first=True, got False")
    return _captured(model, layer, batches)


def _captured(
    model: nn.Module, layer: Recurrent, batches: Iterable[Batch]
) -> Iterator[tuple[Tensor, ...]]:
    device = next(model.parameters()).device
    for batch in batches:
        _check_batch(batch)
        # No name is bound to the outputs: the caller alone keeps them alive.
        yield _run(model, layer, *(tensor.to(device) for tensor in batch))


def _run(
    model: nn.Module, layer: Recurrent, x: Tensor, labels: Tensor, *lengths: Tensor
) -> tuple[Tensor, ...]:
    outputs: list[Any] = []
    handle = layer.register_forward_hook(lambda _module, _args, output: outputs.append(output[0]))
    try:
        with in_mode(model, training=False):
            logits = model(x)
    finally:
        handle.remove()
    h = _check_outputs(outputs, layer, x)
    _check_logits(logits, h, labels)
    # Half precision would round the probabilities of the batch to few values.
    wide = logits if logits.dtype == torch.float64 else logits.float()
    picked = labels.long()[:, None, None].expand(-1, h.shape[1], 1)
    return (h, wide.softmax(dim=2).gather(2, picked)[:, :, 0], *lengths)


def _check_batch(batch: Batch) -> None:
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        got = f"{len(batch)} items" if isinstance(batch, tuple | list) else type(batch).__name__
        raise TypeError(f"batch: expected (x, labels) or (x, labels, lengths), got {got}")
    for name, tensor in zip(("x", "labels", "lengths"), batch, strict=False):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    x, *others = batch
    if x.ndim != 3:
        raise ValueError(f"x: expected shape (n, T, D), got {tuple(x.shape)}")
    for name, tensor in zip(("labels", "lengths"), others, strict=False):
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
            raise TypeError(f"{name}: expected integers, got {tensor.dtype}")
        if tensor.shape != (len(x),):
            raise ValueError(f"{name}: expected shape ({len(x)},), got {tuple(tensor.shape)}")


def _check_outputs(outputs: list[Any], layer: Recurrent, x: Tensor) -> Tensor:
    if len(outputs) != 1:
        raise ValueError(f"the recurrent layer ran {len(outputs)} times for one batch, expected 1")
    h = outputs[0]
    expected = (len(x), x.shape[1], layer.hidden_size)
    if not isinstance(h, Tensor) or h.shape != expected:
        got = tuple(h.shape) if isinstance(h, Tensor) else type(h).__name__
        raise ValueError(f"recurrent layer: expected output of shape {expected}, got {got}")
    return h


def _check_logits(logits: Any, h: Tensor, labels: Tensor) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != h.shape[:2]:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"model: expected logits of shape ({len(h)}, {h.shape[1]}, C), got {got}")
    outside = labels[(labels < 0) | (labels >= logits.shape[2])]
    if len(outside):
        raise ValueError(f"labels: expected 0..{logits.shape[2] - 1}, got {int(outside[0])}")
