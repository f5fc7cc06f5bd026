"""What the units of every layer and direction say, and the loss's gradient there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from tefast.nn._layers.recurrent import Layer
from tefast.nn._layers.stack import Part
from tefast.nn._runs.batches import Batch, Forward, moved
from tefast.nn._runs.modes import in_mode
from tefast.nn._runs.seen import LayerCall, SeenLayer, Watch

Calls: TypeAlias = Literal["auto", "steps", "sequences"]
What: TypeAlias = Literal["units", "outputs", "gates"]
Loss: TypeAlias = Callable[[Any, "list[LayerRun]"], Any]


class LayerRun(NamedTuple):
    """What a layer gave for some sequences."""

    h: Tensor
    """(n, T, U), or (n, T, U, G) of gates."""
    lengths: Tensor | None
    """Valid steps of each sequence (n,), where the layer was told of them."""
    reordered: bool
    """Whether they may have been put into another order than that of the batch."""


@dataclass(frozen=True)
class Observer:
    """Runs a model and looks at one of its recurrent layers.

    Attributes
    ----------
    model : nn.Module
    layer : recurrent layer or cell in `model`
    parts : sequence of (layer, direction)
        Whose outputs are looked at.
    forward : callable
        ``forward(model, batch)`` runs the model.
    calls : {"auto", "steps", "sequences"}
        What several calls of the layer in one run are; see `score`.
    what : {"units", "outputs", "gates"}
        "outputs" are what others read: the projected ones of an LSTM with a projection.
    """

    model: nn.Module
    layer: Layer
    parts: Sequence[Part]
    forward: Forward
    calls: Calls = "auto"
    what: What = "units"

    def run(self, batch: Batch) -> tuple[Any, list[LayerRun]]:
        """Return what the model gives, and the outputs of all parts side by side.

        The model is in evaluation mode meanwhile, without gradients. Layers and directions do not
        show themselves in a module of several: the layer is then run once more, one by one, and
        that result is what the model goes on with.
        """
        result, found = self._run(batch, gradient=False)
        return result, [joined([self._side_by_side(call) for call in c], c) for c in found]

    def gradient(self, batch: Batch, loss: Loss) -> tuple[list[LayerRun], list[Tensor]]:
        """Return the outputs (n, T, U) of all parts and the loss's gradient at them.

        It is the gradient by way of what reads the outputs; what they do inside the layer at later
        steps is not in it.

        Parameters
        ----------
        batch : Batch
        loss : callable
            ``loss(result, runs)`` gives a number.
        """
        # Whatever the caller's mode is: tensors made in inference mode have no gradient.
        with torch.inference_mode(False):
            result, found = self._run(batch, gradient=True)
            runs = [joined([self._side_by_side(call) for call in c], c) for c in found]
            with torch.enable_grad():
                value = loss(result, runs)
            if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
                raise ValueError("loss: expected a number that depends on the layer's outputs")
            if not value.isfinite():
                raise ValueError(f"loss: expected a finite number, got {value.item()}")
            seen = [call.seen[part] for c in found for call in c for part in self.parts]
            each = iter(
                torch.autograd.grad(value, [one.data for one in seen], materialize_grads=True)
            )
            gradients = []
            for c in found:
                turned = [
                    torch.cat([self._turned(call.seen[p], next(each)) for p in self.parts], 2)
                    for call in c
                ]
                gradients.append(joined(turned, c).h)
        return runs, gradients

    def _run(self, batch: Batch, *, gradient: bool) -> tuple[Any, list[list[LayerCall]]]:
        # cuDNN's recurrent layers have no gradient in evaluation mode.
        cudnn = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not gradient)
        with (
            watching([self.layer]) as (watch,),
            in_mode(self.model, training=False),
            torch.set_grad_enabled(gradient),
            cudnn,
        ):
            result = self.forward(self.model, fresh(batch, self.model))
        if not watch.calls:
            raise ValueError("the recurrent layer did not run for a batch, expected a call")
        return result, chains(watch.calls, self.calls)

    def _side_by_side(self, call: LayerCall) -> Tensor:
        return torch.cat([self._of(call.seen[part]) for part in self.parts], dim=2)

    def _of(self, seen: SeenLayer) -> Tensor:
        if self.what == "gates":
            return seen.gates()
        return seen.units() if self.what == "units" else seen.outputs()

    def _turned(self, seen: SeenLayer, gradient: Tensor) -> Tensor:
        if self.what == "units" and seen.projection is not None:
            gradient = gradient @ seen.projection
        return seen.turn(gradient)


def fresh(batch: Batch, model: nn.Module) -> Batch:
    """Return a copy of a batch on the model's device, which a forward pass may change."""
    return moved(batch, next(model.parameters()).device, copied=True)


@contextmanager
def watching(layers: Sequence[Layer]) -> Iterator[list[Watch]]:
    """Note every call of some layers meanwhile."""
    watches = [Watch(layer) for layer in layers]
    try:
        for watch in watches:
            watch.start()
        yield watches
    finally:
        for watch in watches:
            watch.stop()


def chains(calls: Sequence[LayerCall], kind: Calls) -> list[list[LayerCall]]:
    """Return the calls that go on from one another, together.

    Raises
    ------
    ValueError
        By "auto", where a call is given a state of which it is not clear whose it is.
    """
    if kind == "steps":
        return [list(calls)]
    found: list[list[LayerCall]] = []
    for call in calls:
        chain = None if kind == "sequences" or call.reverse else _before(call, found)
        if chain is None:
            found.append([call])
        else:
            chain.append(call)
    return found


def _before(call: LayerCall, found: list[list[LayerCall]]) -> list[LayerCall] | None:
    """The chain that a call goes on from; None if it begins one."""
    given = call.given
    if given is None or not found:
        return None
    for chain in reversed(found):
        if chain[-1].gave(given):
            return chain
    starts = [chain[0].given for chain in found]
    if not given.count_nonzero() or any(s is not None and _equal(s, given) for s in starts):
        return None
    raise ValueError(
        "the recurrent layer ran several times for one batch, and was given a state that none of "
        'its calls returned as it is: calls="steps" takes every call for the next steps of the '
        'same sequences, calls="sequences" for sequences of their own'
    )


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def joined(each: list[Tensor], chain: list[LayerCall]) -> LayerRun:
    """Return the steps of a chain of calls, one after the other, given what each shows."""
    seen = [next(iter(call.seen.values())) for call in chain]
    if len(each) == 1:
        return LayerRun(each[0], seen[0].lengths, seen[0].reordered)
    for one, h in zip(seen, each, strict=True):
        if one.lengths is not None and (one.lengths != h.shape[1]).any():
            raise ValueError(
                "expected no packed sequences of unequal lengths where calls of the recurrent "
                'layer go on from one another; calls="sequences" takes them one by one'
            )
    counts = [len(h) for h in each]
    if counts != sorted(counts, reverse=True):
        raise ValueError(
            f"the recurrent layer ran for {', '.join(map(str, counts))} sequences in turn; "
            "expected as many in every call, or fewer, where they go on from one another"
        )
    if counts[0] == counts[-1]:
        return LayerRun(torch.cat(each, dim=1), None, False)
    # The first sequences go on when the others have ended.
    steps = torch.tensor([h.shape[1] for h in each])
    going = torch.arange(counts[0])[:, None] < torch.tensor(counts)
    filled = [nn.functional.pad(h, (0, 0) * (h.ndim - 1) + (0, counts[0] - len(h))) for h in each]
    return LayerRun(torch.cat(filled, dim=1), (going * steps).sum(1), False)
