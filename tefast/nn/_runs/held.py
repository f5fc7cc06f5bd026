"""What a model that answers once for a sequence would answer after each of its steps.

The model runs once for every step t. Its recurrent layers do not run again: their outputs, at all
steps, and their final states are then those that they had at step t, so that whatever reads them,
last outputs, final states, means over steps, is applied to step t alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tefast.nn._layers.recurrent import Cell, Layer, check_recurrent
from tefast.nn._layers.stack import Part, RecurrentStack, join_state
from tefast.nn._runs.batches import Batch, Forward
from tefast.nn._runs.inside import like
from tefast.nn._runs.modes import in_mode
from tefast.nn._runs.observe import Calls, chains, fresh, joined, watching
from tefast.nn._runs.restore import Snapshot
from tefast.nn._runs.seen import LayerCall, Watch


@dataclass(frozen=True)
class _Held:
    """A layer, its calls in one run, and its states at every step of them."""

    layer: Layer
    calls: list[LayerCall]
    h: Mapping[Part, Tensor]
    """(n, T, features) of every part."""
    c: Mapping[Part, Tensor]
    """(n, T, U) of an LSTM's parts."""
    lengths: Tensor
    """(n,)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sequences and steps."""
        return tuple(next(iter(self.h.values())).shape[:2])

    def at(self, step: int) -> list[Any]:
        """Return what every call returns if all steps are this one."""
        rows = torch.arange(len(self.lengths), device=self.lengths.device)
        last = self.lengths.clamp(max=step + 1) - 1
        h = {part: one[rows, last] for part, one in self.h.items()}
        c = {part: one[rows, last] for part, one in self.c.items()}
        if isinstance(self.layer, Cell):
            return [_of_cell(h[0, 0], c.get((0, 0)), len(call.returned)) for call in self.calls]
        top = max(layer for layer, _ in h)
        features = torch.cat([one for (layer, _), one in h.items() if layer == top], dim=-1)
        state: Any = join_state(list(h.values()))
        state = (state, join_state(list(c.values()))) if c else state
        return [(self._repeated(features, call.result[0]), state) for call in self.calls]

    def begun(self) -> list[Any]:
        """Return what every call returns if there are numbers at the first step alone."""
        blank = {part: torch.full_like(one, torch.nan) for part, one in self.h.items()}
        nothing = replace(self, h=blank, c={p: one + torch.nan for p, one in self.c.items()})
        found = nothing.at(0)
        if isinstance(self.layer, Cell):
            found[0] = self.at(0)[0]
            return found
        (output, _), first = found[0], self.at(0)[0][0]
        if isinstance(output, PackedSequence):
            count = int(output.batch_sizes[0])
            output.data[:count] = first.data[:count]
        else:
            time = 1 if self.layer.batch_first else 0
            output.narrow(time, 0, 1).copy_(first.narrow(time, 0, 1))
        return found

    def shortened(self) -> list[Any]:
        """Return what every call returned, without the last step; as it was, of several calls."""
        results = [call.result for call in self.calls]
        if isinstance(self.layer, Cell) or len(results) > 1:
            return results
        output, state = results[0]
        if not isinstance(output, PackedSequence):
            time = 1 if self.layer.batch_first else 0
            return [(output.narrow(time, 0, output.shape[time] - 1), state)]
        sizes = output.batch_sizes[:-1]
        rows = output.data[: int(sizes.sum())]
        return [(PackedSequence(rows, sizes, *output[2:]), state)]

    def _repeated(self, features: Tensor, output: Any) -> Any:
        """The features (n, F) of one step at all steps of an output."""
        if isinstance(output, PackedSequence):
            if output.sorted_indices is not None:
                features = features[output.sorted_indices]
            sizes = output.batch_sizes.tolist()
            return like(torch.cat([features[:size] for size in sizes]), output)
        time = 1 if self.layer.batch_first else 0
        shape = list(features.shape)
        shape.insert(time, output.shape[time])
        return features.unsqueeze(time).expand(shape).contiguous()


def _of_cell(h: Tensor, c: Tensor | None, n: int) -> Any:
    return h[:n] if c is None else (h[:n], c[:n])


@dataclass(frozen=True)
class Question:
    """A model that is asked once more about a batch.

    Attributes
    ----------
    model : nn.Module
        Gives a tensor (n, ...).
    layer : recurrent layer or cell in `model`
        Whose steps are meant. Other layers with as many sequences and steps are held with it.
    forward, calls, batch
        As in `Observer`.
    before : Snapshot
        Of the model before it ran on the batch; every further run starts from there.
    """

    model: nn.Module
    layer: Layer
    forward: Forward
    calls: Calls
    batch: Batch
    before: Snapshot

    def ask(self) -> Any:
        """Run the model, in evaluation mode without gradients."""
        with in_mode(self.model, training=False):
            return self.forward(self.model, fresh(self.batch, self.model))


def over_steps(question: Question) -> Tensor:
    """Return what a model gives for a batch after every step, (n, T, ...).

    Raises
    ------
    ValueError
        If the layer runs for several sets of sequences, or the model does not run with it held.
    """
    held = _beside(question)
    n, steps = held[0].shape
    return torch.stack(
        [_result(question, held, [one.at(step) for one in held], n) for step in range(steps)], dim=1
    )


def are_steps(question: Question) -> bool:
    """Return whether the columns of a model's result (n, T) are its steps.

    The model runs twice more: with layers held whose outputs end one step earlier, and with some
    that are NaN but for those of the first step. Steps become fewer in the first, and in the second
    the first column alone is a number, unless others are mixed into it.

    Raises
    ------
    ValueError
        If neither is so, and yet not all columns are read from later steps.
    """
    held = _beside(question)
    n, steps = held[0].shape
    try:
        fewer = _result(question, held, [one.shortened() for one in held], n)
    except ValueError:
        fewer = None
    begun = _result(question, held, [one.begun() for one in held], n)
    longer = held[0].lengths > 1
    if begun.isfinite()[:, 0].all() and begun[longer, 1].isnan().all():
        return True
    if fewer is not None and fewer.ndim == 2 and fewer.shape[1] == steps - 1:
        return True
    if fewer is not None and fewer.shape == begun.shape and begun[longer].isnan().all():
        return False
    raise ValueError(
        f"model: expected a result over steps, got {tuple(begun.shape)}, whose columns may be "
        "steps or not; give source= and loss= as functions(result, batch), or have "
        "forward=function(model, batch) return (n, T, 1)"
    )


def steps_first(question: Question) -> bool:
    """Return whether a model's result, of as many steps as sequences, has the steps first.

    The model runs twice more, as in `are_steps`.
    """
    held = _beside(question)
    n, steps = held[0].shape
    try:
        fewer = _result(question, held, [one.shortened() for one in held], None)
    except ValueError:
        fewer = None
    if fewer is not None and tuple(fewer.shape[:2]) in ((n, steps - 1), (steps - 1, n)):
        return fewer.shape[0] < n
    begun = _result(question, held, [one.begun() for one in held], None)
    known = begun.isfinite().flatten(2).all(2)
    return bool(known[0].all() and not known[1:].any())


def _result(
    question: Question, held: Sequence[_Held], instead: Sequence[list[Any]], sequences: int | None
) -> Tensor:
    """What the model gives where layers return something instead of running."""
    question.before.restore()
    try:
        with _holding(held, instead):
            result = question.ask()
    except Exception as error:
        raise ValueError(
            "a series over steps cannot be made, since the model does not run where the states of "
            f"one step stand for all ({type(error).__name__}: {error!s:.150}); give "
            "source=function(result, batch) -> (n, T)"
        ) from error
    wrong = sequences is not None and isinstance(result, Tensor) and len(result) != sequences
    if not isinstance(result, Tensor) or not result.ndim or wrong:
        got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise ValueError(
            f"model: expected a result for each of the {sequences} sequences that the recurrent "
            f"layer runs for, got {got}; give source=function(result, batch) -> (n, T)"
        )
    return result


def _recurrent(model: nn.Module) -> list[Layer]:
    """The layers that can be watched, but for those within one another."""
    found: list[Layer] = []
    inner: set[nn.Module] = set()
    for module in model.modules():
        if module in inner:
            continue
        try:
            found.append(check_recurrent(module))
        except (TypeError, ValueError):
            continue
        inner.update(module.modules() if isinstance(module, RecurrentStack) else ())
    return found


def _beside(question: Question) -> list[_Held]:
    """The layer, and others with as many sequences and steps, to be held."""
    question.before.restore()
    with watching(_recurrent(question.model)) as watches, torch.no_grad():
        question.ask()
        held = [one for each in watches if each.calls for one in _held(each, question.calls)]
    own = [one for one in held if one.layer is question.layer]
    if not own:
        raise ValueError(
            "a series over steps cannot be made where the recurrent layer runs for several sets of "
            "sequences; give source=function(result, batch) -> (n, T), or a list of one for each"
        )
    shape = own[0].shape
    others = [one for one in held if one.layer is not question.layer and one.shape == shape]
    return own + others


def _held(watch: Watch, calls: Calls) -> list[_Held]:
    """What a layer is held with; nothing if its calls are not those of the same sequences."""
    try:
        (chain,) = chains(watch.calls, calls)
        parts = chain[0].seen
        h = {part: joined([call.seen[part].outputs() for call in chain], chain) for part in parts}
        c = {}
        if isinstance(watch.layer, nn.LSTMCell) or getattr(watch.layer, "mode", None) == "LSTM":
            c = {p: joined([call.seen[p].cells() for call in chain], chain).h for p in parts}
    except ValueError:
        return []
    run = next(iter(h.values()))
    n, steps = run.h.shape[:2]
    lengths = torch.full((n,), steps) if run.lengths is None else run.lengths
    outputs = {part: one.h for part, one in h.items()}
    return [_Held(watch.layer, chain, outputs, c, lengths.to(run.h.device))]


def _returning(results: Sequence[Any]) -> Callable[..., Any]:
    """Return a function of any arguments that gives one of several results after the other."""
    left = iter(results)
    return lambda *_args, **_kwargs: next(left)


@contextmanager
def _holding(held: Sequence[_Held], results: Sequence[list[Any]]) -> Iterator[None]:
    """Have layers return these results, call by call, instead of running."""
    before = [(one.layer, vars(one.layer).get("forward")) for one in held]
    try:
        for one, each in zip(held, results, strict=True):
            vars(one.layer)["forward"] = _returning(each)
        yield
    finally:
        for layer, own in before:
            vars(layer).pop("forward", None)
            if own is not None:
                vars(layer)["forward"] = own
