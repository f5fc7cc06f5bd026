"""What the units of every layer and direction say, and the loss's gradient there."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from tefast.nn.modes import in_mode
from tefast.nn.recurrent import Recurrent, rebuild, weights
from tefast.nn.stack import Part, RecurrentStack, part_name

Layer: TypeAlias = Recurrent | RecurrentStack
Batch: TypeAlias = Sequence[Any]
Forward: TypeAlias = Callable[[nn.Module, Batch], Any]
FromResult: TypeAlias = Callable[[Any, Batch], Tensor]
Seen: TypeAlias = tuple[Tensor, Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Observer:
    """Runs a model and looks at one of its recurrent layers.

    Attributes
    ----------
    model : nn.Module
    layer : nn.LSTM, nn.GRU, nn.RNN or RecurrentStack in `model`
    parts : sequence of (layer, direction)
        Whose outputs are looked at.
    forward : callable
        ``forward(model, batch)`` runs the model.
    """

    model: nn.Module
    layer: Layer
    parts: Sequence[Part]
    forward: Forward

    def run(self, batch: Batch) -> tuple[Any, Tensor]:
        """Return what the model gives, and the outputs (n, T, U) of all parts side by side.

        The model is in evaluation mode meanwhile, without gradients. Layers and directions do not
        show themselves in a module of several: the layer is then run once more, one by one, and
        that result is what the model goes on with.
        """
        result, seen = self._run(batch, gradient=False)
        return result, torch.cat([turn(output) for output, turn in seen], dim=-1)

    def gradient(self, batch: Batch, loss: FromResult) -> tuple[Tensor, Tensor]:
        """Return the outputs (n, T, U) of all parts and the loss's gradient at them."""
        result, seen = self._run(batch, gradient=True)
        value = loss(result, batch)
        if value.ndim or not value.requires_grad:
            raise ValueError("loss: expected a number that depends on the layer's outputs")
        found = torch.autograd.grad(value, [output for output, _ in seen], materialize_grads=True)
        turned = [turn(grad) for grad, (_, turn) in zip(found, seen, strict=True)]
        outputs = [turn(output.detach()) for output, turn in seen]
        return torch.cat(outputs, dim=-1), torch.cat(turned, dim=-1)

    def _run(self, batch: Batch, *, gradient: bool) -> tuple[Any, list[Seen]]:
        seen: list[dict[Part, Seen]] = []
        handle = self.layer.register_forward_hook(
            lambda _layer, args, kwargs, output: self._look(args, kwargs, output, seen),
            with_kwargs=True,
        )
        # cuDNN's recurrent layers have no gradient in evaluation mode.
        cudnn = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not gradient)
        try:
            with in_mode(self.model, training=False), torch.set_grad_enabled(gradient), cudnn:
                result = self.forward(self.model, _placed(batch, self.model))
        finally:
            handle.remove()
        if len(seen) != 1:
            raise ValueError(f"the recurrent layer ran {len(seen)} times for one batch, expected 1")
        return result, [seen[0][part] for part in self.parts]

    def _look(self, args: Any, kwargs: Any, output: Any, seen: list[dict[Part, Seen]]) -> Any:
        if len(weights(self.layer)) == 1:
            batch_first = self.layer.batch_first
            seen.append({(0, 0): _seen(output[0], (0, 0), batch_first)})
            return _by_way_of_outputs(output, batch_first)
        stack = self.layer if isinstance(self.layer, RecurrentStack) else _stack(self.layer)
        with _outputs_of(stack) as found:
            output = stack.forward(*args, **kwargs)  # not a call, which would run this hook again
        seen.append(found)
        return output


def _seen(output: Any, part: Part, batch_first: bool) -> Seen:
    """Return a tensor that is in the graph, and how it is turned into (n, T, U)."""
    if isinstance(output, PackedSequence):
        if part[1]:
            raise ValueError("expected no packed sequences where a direction is reverse")
        sizes = output[1:]
        data, turn = output.data, lambda x: pad_packed_sequence(PackedSequence(x, *sizes), True)[0]
    elif output.ndim != 3:
        raise ValueError(f"expected a batch of sequences, got an output {tuple(output.shape)}")
    elif batch_first:
        data, turn = output, lambda x: x
    elif part[1]:
        data, turn = output, lambda x: x.flip(0).transpose(0, 1)
    else:
        data, turn = output, lambda x: x.transpose(0, 1)
    if torch.is_grad_enabled() and not data.requires_grad:
        data.requires_grad_()  # of a frozen layer
    return data, turn


def _by_way_of_outputs(result: Any, batch_first: bool) -> Any:
    """Return the result of one direction with h_n taken from its outputs.

    The values are the same, and so the gradient at the outputs is that of all that reads them.
    """
    output, state = result
    if not torch.is_grad_enabled():
        return result
    if isinstance(output, PackedSequence):
        sizes = output.batch_sizes
        sequence = torch.arange(int(sizes[0]))
        lengths = (sizes[:, None] > sequence).sum(0)
        h = output.data[((sizes.cumsum(0) - sizes)[lengths - 1] + sequence).to(output.data.device)]
        h = h if output.unsorted_indices is None else h[output.unsorted_indices]
    else:
        h = output[:, -1] if batch_first else output[-1]
    return output, (h[None], state[1]) if isinstance(state, tuple) else h[None]


def run_model(model: nn.Module, batch: Batch) -> Any:
    """Run a model on the first of a batch."""
    return model(batch[0])


def label_probability(result: Any, batch: Batch) -> Tensor:
    """Return the softmax probability of the true label at every step, (n, T), in [0, 1].

    Parameters
    ----------
    result : Tensor of shape (n, T, C)
        Logits.
    batch : (x, labels, ...)
        labels : integer Tensor (n,) or (n, T), 0..C-1.
    """
    logits, labels = _labelled(result, batch)
    if logits.ndim != 3:
        raise ValueError(
            f"model: expected logits of shape (n, T, C), got {tuple(logits.shape)}; a series that "
            "units are compared with can be given as source=function(result, batch) -> (n, T)"
        )
    each = labels if labels.ndim == 2 else labels[:, None].expand(logits.shape[:2])
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return wide.softmax(-1).gather(2, each[..., None])[..., 0]


def cross_entropy(result: Any, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of logits (n, C) or (n, T, C) and labels (n,) or (n, T)."""
    logits, labels = _labelled(result, batch)
    each = labels
    if logits.ndim == 3 and labels.ndim == 1:
        each = labels[:, None].expand(logits.shape[:2])
    return nn.functional.cross_entropy(logits.flatten(0, -2), each.flatten())


def _labelled(result: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    if not isinstance(result, Tensor) or result.ndim not in (2, 3):
        got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise ValueError(f"model: expected logits of shape (n, C) or (n, T, C), got {got}")
    labels = batch[1].to(result.device).long()
    if labels.shape not in (result.shape[:1], result.shape[:2]):
        raise ValueError(
            f"labels: expected shape {tuple(result.shape[:1])} or {tuple(result.shape[:-1])}, "
            f"got {tuple(labels.shape)}"
        )
    outside = labels[(labels < 0) | (labels >= result.shape[-1])]
    if len(outside):
        raise ValueError(f"labels: expected 0..{result.shape[-1] - 1}, got {int(outside[0])}")
    return result, labels


def read_again(batches: Iterable[Batch]) -> None:
    """Raise TypeError if `batches` can be read only once."""
    if isinstance(batches, Iterator):
        raise TypeError(
            "batches: they are read more than once; expected an iterable that can be read again, "
            f"such as a list, got {type(batches).__name__}"
        )


def _placed(batch: Batch, model: nn.Module) -> Batch:
    if not isinstance(batch, tuple | list) or not batch:
        raise TypeError(f"batch: expected a tuple such as (x, labels), got {type(batch).__name__}")
    device = next(model.parameters()).device
    return [one.to(device) if isinstance(one, Tensor) else one for one in batch]


def _stack(layer: Recurrent) -> RecurrentStack:
    """Return the layer as a stack, on the same memory."""
    named = weights(layer)
    tensors = {
        part: {role: p.detach() for role, p in roles.items()} for part, roles in named.items()
    }
    stack = rebuild(layer, tensors, stacked=True)
    assert isinstance(stack, RecurrentStack)
    return stack


@contextmanager
def _outputs_of(stack: RecurrentStack) -> Iterator[dict[Part, Seen]]:
    """Outputs of every part of a run; inside, time comes first and reverse runs backwards."""
    found: dict[Part, Seen] = {}

    def keep(part: Part) -> Any:
        def hook(_cell: nn.Module, _args: Any, output: Any) -> Any:
            found[part] = _seen(output[0], part, False)
            return _by_way_of_outputs(output, False)

        return hook

    handles = [
        stack.layers[part_name(part)].register_forward_hook(keep(part))
        for part in stack.hidden_sizes
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
