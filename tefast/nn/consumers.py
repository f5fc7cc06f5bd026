"""What reads the units of a recurrent layer, found by running the model on an example."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tefast.nn.flow import BASE, OTHER, Fields, Flow, leaves, same, unknown
from tefast.nn.modes import as_it_was, in_mode
from tefast.nn.narrow import NarrowAttention, NarrowLayerNorm
from tefast.nn.recurrent import Cell, Layer, Recurrent, Sizes, sizes, weights
from tefast.nn.reductions import along
from tefast.nn.stack import Part, RecurrentStack
from tefast.nn.watching import watching

RECURRENT = (*get_args(Recurrent), *get_args(Cell), RecurrentStack)
_ATTENTION = (nn.MultiheadAttention, NarrowAttention)
READERS = (nn.Linear, nn.BatchNorm1d, *RECURRENT, nn.LayerNorm, NarrowLayerNorm, *_ATTENTION)
"""Modules that can do with fewer input features, of exactly these classes."""
_TRIED = 4
"""Widths of other modules that are tried for a model's input."""

Readings: TypeAlias = dict[nn.Module, dict[str, "Reading"]]
"""What each module reads, by the name of its input."""


Example: TypeAlias = tuple[Any, ...] | Mapping[str, Any]


@dataclass(frozen=True)
class Normed:
    """A LayerNorm behind the units, and what of it reaches its outputs.

    Attributes
    ----------
    module : nn.LayerNorm or NarrowLayerNorm
    weight, bias : float64 Tensor (features,)
        Its factor and shift for every label.
    """

    module: nn.Module
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Reading:
    """The input features of a module.

    Attributes
    ----------
    features : int
        How many labels of units there are.
    labels : LongTensor (n,)
        For every input feature: `OTHER`; a unit's label, 0..features-1; with
        ``features * (1 + i)`` added where it went through ``norms[i]``; or ``-2 - i`` where it is
        what ``norms[i]`` gives for all removed units.
    masked : float64 Tensor (n,)
        What the feature is when its unit is masked; of no meaning behind a LayerNorm.
    norms : list of Normed
    """

    features: int
    labels: Tensor
    masked: Tensor
    norms: list[Normed]


class Numbering:
    """Numbers for the features of a layer: its outputs, and with projections its units too."""

    def __init__(self, layer: Layer) -> None:
        self.sizes: Sizes = sizes(weights(layer))
        self.projected = any("weight_hr" in named for named in weights(layer).values())
        self.outputs, count = _ranges(self.sizes.outputs, 0)
        self.hidden, self.count = self.outputs, count
        if self.projected:
            self.hidden, self.count = _ranges(self.sizes.hidden, count)

    def last(self) -> Tensor:
        """Return the labels of the last layer's features, both directions concatenated."""
        number = max(layer for layer, _ in self.outputs)
        return torch.cat([labels for part, labels in self.outputs.items() if part[0] == number])

    def flags(self, outputs: Mapping[Part, Tensor], hidden: Mapping[Part, Tensor]) -> Tensor:
        """Return a bool Tensor (count,), True for the units named."""
        flags = torch.zeros(self.count, dtype=torch.bool)
        for labels, chosen in ((self.outputs, outputs), (self.hidden, hidden)):
            for part, units in chosen.items():
                flags[labels[part][units]] = True
        return flags


def find_readings(model: nn.Module, layer: Layer, name: str, example: Example | None) -> Readings:
    """Run `model` once and return what reads the outputs and final states of `layer`.

    Parameters
    ----------
    model : nn.Module
        Run in evaluation mode, without gradients; its mode is restored.
    layer : recurrent layer of `model`
    name : str
        What errors call the layer.
    example : tuple or mapping, optional
        Arguments of `model` by place or name; small, as every value has a label in memory. By
        default two sequences of five steps are made up: of features as wide as the layer's
        input or that of another module, and of tokens.

    Returns
    -------
    dict of module to dict of input name to Reading, in the order of execution

    Raises
    ------
    ValueError
        If the model does not run on what is made up, the layer does not run or is given an
        initial state of its own, or its outputs reach something that cannot do with fewer of
        them: the message names it.
    """
    if example is not None:
        return _Trace(model, layer, name).run(example)
    failures = []
    for made_up in made_up_inputs(model, layer):
        try:
            return _Trace(model, layer, name).run(made_up)
        except _UnfitError:
            raise
        except Exception as error:
            shape = tuple(made_up[0].shape)
            failures.append(f"on {shape}: {type(error).__name__}: {error!s:.150}")
    raise ValueError(
        f"what reads {name!r} could not be found: the model does not run on an input made up for "
        f"it ({'; '.join(failures)}); give example=(its arguments), or name the consumers"
    )


def called(model: nn.Module, example: Example) -> Any:
    """Call a model with arguments by place or by name."""
    return model(**example) if isinstance(example, Mapping) else model(*example)


def made_up_inputs(model: nn.Module, layer: Layer) -> Iterator[tuple[Tensor]]:
    """Yield inputs that a model may take: features as wide as some module's, then tokens."""
    like = next(layer.parameters())
    own = weights(layer)[0, 0]["weight_ih"].shape[1]
    others = [
        getattr(module, name)
        for module in model.modules()
        for name in ("input_size", "in_features")
        if isinstance(getattr(module, name, None), int)
    ]
    for width in dict.fromkeys([own, *others[:_TRIED]]):
        generator = torch.Generator().manual_seed(0)
        yield (torch.randn(2, 5, width, generator=generator).to(like),)
    known = [m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)]
    tokens = torch.arange(10).remainder(min(known, default=1)).view(2, 5)
    yield (tokens.to(like.device),)


class _UnfitError(ValueError):
    """Something that reads the units cannot do with fewer of them."""


class _Trace:
    """One run of a model."""

    def __init__(self, model: nn.Module, layer: Layer, name: str) -> None:
        self.model, self.layer, self.name = model, layer, name
        self.numbering = Numbering(layer)
        self.readings: Readings = {}
        self.norms: list[Normed] = []
        self.path: list[str] = []
        self.runs = 0
        self.flow = Flow(self.numbering.count, self._refuse)

    def run(self, example: Example) -> Readings:
        with (
            as_it_was(self.model),
            in_mode(self.model, training=False),
            self._hooks(),
            watching(self.flow),
        ):
            result = called(self.model, example)
        if not self.runs:
            raise _UnfitError(f"submodule {self.name!r} did not run; expected the model to call it")
        if self.flow.any_of(tensors_in(result)) is not None:
            raise _UnfitError(
                f"the outputs of {self.name!r} are among what the model returns, which would "
                "change shape; name the consumers if that is meant"
            )
        return self.readings

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        with ExitStack() as stack:
            for path, module in self.model.named_modules():
                stack.callback(
                    module.register_forward_pre_hook(self._enter(path), with_kwargs=True).remove
                )
                stack.callback(module.register_forward_hook(self._leave, with_kwargs=True).remove)
            yield

    def _enter(self, path: str) -> Any:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.path.append(f"{path!r} ({type(module).__name__})" if path else "the model itself")
            self.flow.inside += type(module) in READERS

        return enter

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if type(module) in READERS:
            self.flow.inside -= 1
            if not self.flow.inside:
                self.flow.inside += 1  # what is found out here is not followed itself
                try:
                    with torch._C.DisableTorchFunction():
                        self._read(module, tensors_in((args, kwargs)), args, kwargs, result)
                finally:
                    self.flow.inside -= 1
        self.path.pop()

    def _read(
        self, module: nn.Module, given: list[Tensor], args: Any, kwargs: Any, result: Any
    ) -> None:
        if module is self.layer:
            self._check_start(given)
            self.runs += 1
            self._follow(result)
        elif self.flow.any_of(given) is None:
            return
        elif isinstance(module, _ATTENTION):
            self._attend(module, args, kwargs)
        else:
            channels = isinstance(module, nn.BatchNorm1d) and given[0].ndim == 3
            reading = self._reading(given[0], -2 if channels else -1)
            if sum(self.flow.of(one) is not None for one in given) > 1:
                self._refuse("an initial state made of them")
            self._note(module, {"input": reading})
            if isinstance(module, nn.LayerNorm | NarrowLayerNorm):
                self._norm(module, reading, result)
            elif isinstance(module, nn.BatchNorm1d):
                known = cast(Fields, self.flow.of(given[0]))
                self._scale(module, known, result)

    def _check_start(self, given: list[Tensor]) -> None:
        first, *rest = given
        if self.flow.of(first) is not None:
            self._refuse("the layer itself")
        for leaf in rest:
            if not leaf.is_floating_point():
                continue
            known = self.flow.fields(leaf)
            if known is None or bool((known.masked.isnan() & ~known.units()).any()):
                raise _UnfitError(
                    f"submodule {self.name!r} is given an initial state, which would not fit; "
                    "expected it to start from its own zeros"
                )
            if bool(known.masked.ne(0).any() | known.other.ne(0).any()):
                self._refuse("an initial state that is not 0 when masked")

    def _follow(self, result: Any) -> None:
        numbers, last = self.numbering, self.numbering.last()
        if isinstance(self.layer, Cell):
            for state in tensors_in(result):
                self._start(state, last.expand(state.shape), state=True)
            return
        output, state = result
        if isinstance(output, PackedSequence):
            self._start(output.data, last.expand(output.data.shape))
        else:
            self._start(output, last.expand(output.shape), _places(output, self.layer.batch_first))
        states = state if self.layer.mode == "LSTM" else (state,)
        for tensors, labels in zip(states, (numbers.outputs, numbers.hidden), strict=False):
            if isinstance(tensors, Tensor):
                each = torch.stack(list(labels.values()))
                each = each[:, None] if tensors.ndim == 3 else each
                self._start(tensors, each.expand(tensors.shape), state=True)
                continue
            for one, label in zip(tensors, labels.values(), strict=True):
                self._start(one, label.expand(one.shape), state=True)

    def _start(
        self, tensor: Tensor, labels: Tensor, places: Tensor | None = None, state: bool = False
    ) -> None:
        """Follow what the layer gives, which is 0 for a masked unit."""
        zeros = torch.zeros((), dtype=torch.float64).expand(labels.shape)
        steps = 0 if places is None else tensor.shape[-2]
        places = torch.full((), OTHER).expand(labels.shape) if places is None else places
        self.flow.follow(tensor, Fields(labels, zeros, zeros, places, steps, 0, state))

    def _reading(self, tensor: Any, axis: int = -1) -> Reading:
        known = self.flow.of(tensor)
        if known is None:
            self._refuse("an initial state made of them")
        found = along(self.flow, known, axis)
        units = found.units()
        unsure = found.uncertain() & units
        if bool(unsure.any()):
            value = float(found.other[unsure][0])
            what = "something else" if math.isnan(value) else f"{value:g}"
            self._refuse(
                f"steps that may hold {what} (padding, a mask or what was written there) where a "
                f"masked unit gives {float(found.masked[unsure][0]):g}"
            )
        inner = units & (found.labels >= 0) & (found.labels < self.numbering.count)
        if not found.masked[inner].isfinite().all():
            self._refuse("values that are not finite when masked")
        return Reading(self.numbering.count, found.labels, found.masked, self.norms)

    def _note(self, module: nn.Module, readings: dict[str, Reading]) -> None:
        before = self.readings.setdefault(module, readings)
        alike = before.keys() == readings.keys() and all(
            torch.equal(before[role].labels, one.labels)
            and bool(same(before[role].masked, one.masked).all())
            for role, one in readings.items()
        )
        if not alike:
            self._refuse("a module that reads them in two ways")

    def _attend(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs = {**dict(zip(("query", "key", "value"), args, strict=False)), **kwargs}
        roles = {"query", "key", "value"}
        if any(self.flow.of(one) is not None for role, one in inputs.items() if role not in roles):
            self._refuse("a mask made of them")
        self._note(
            module,
            {r: self._reading(inputs[r]) for r in sorted(roles) if self.flow.of(inputs[r])},
        )

    def _norm(
        self, module: nn.LayerNorm | NarrowLayerNorm, reading: Reading, result: Tensor
    ) -> None:
        count, labels = self.numbering.count, reading.labels
        several = len(module.normalized_shape) > 1
        units = labels != OTHER
        if several or bool((labels >= count).any() or reading.masked[units].ne(0).any()):
            self._refuse("a LayerNorm over more than units that are 0 when masked")
        units = labels[labels != OTHER]
        if len(units) > len(set(units.tolist())):
            self._refuse("a LayerNorm that reads a unit twice")
        number = self._number(module, units, labels)
        if isinstance(module, NarrowLayerNorm):
            rest = torch.tensor([OTHER - 1 - number])
            labels = torch.cat([labels[: module.rest], rest, labels[module.rest :]])
        out = torch.where(labels >= 0, labels + count * (1 + number), labels)
        nothing = unknown(tuple(result.shape))
        self.flow.follow(result, replace(nothing, labels=out.expand(result.shape)))

    def _number(self, module: nn.LayerNorm | NarrowLayerNorm, units: Tensor, labels: Tensor) -> int:
        """Return the place of a LayerNorm in the list, which it may have from an earlier call."""
        for number, norm in enumerate(self.norms):
            if norm.module is module:
                return number
        weight = torch.ones(self.numbering.count, dtype=torch.float64)
        bias = torch.zeros_like(weight)
        for target, parameter in ((weight, module.weight), (bias, module.bias)):
            if parameter is not None:
                target[units] = parameter.detach().cpu().double()[labels != OTHER]
        self.norms.append(Normed(module, weight, bias))
        return len(self.norms) - 1

    def _scale(self, module: nn.BatchNorm1d, known: Fields, result: Tensor) -> None:
        if bool((known.labels >= self.numbering.count).any()):
            self._refuse("a BatchNorm1d behind a LayerNorm")
        masked, other = (_batch_normed(module, v) for v in (known.masked, known.other))
        self.flow.follow(result, replace(known, masked=masked, other=other))

    def _refuse(self, reason: str) -> NoReturn:
        raise _UnfitError(
            f"the outputs of {self.name!r} reach {reason} in {self.path[-1]}, which cannot be "
            "narrowed exactly"
        )


def _places(output: Tensor, batch_first: bool) -> Tensor:
    """Return sequence and step of every entry of a layer's output."""
    if output.ndim == 2:
        return torch.arange(len(output))[:, None].expand(output.shape)
    sequence, step = (0, 1) if batch_first else (1, 0)
    each = torch.arange(output.shape[sequence])[:, None] * BASE + torch.arange(output.shape[step])
    return (each if batch_first else each.T)[..., None].expand(output.shape)


def _batch_normed(module: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Return what a BatchNorm1d makes in evaluation mode of `x`, the same for all steps."""
    options = [module.running_mean, module.running_var, module.weight, module.bias]
    mean, var, weight, bias = (None if o is None else o.detach().cpu().double() for o in options)
    if mean is None or var is None:  # the batch's own: of what is the same everywhere, its value
        mean, var = x.movedim(1, -1).flatten(0, -2)[0], torch.ones(x.shape[1]).double()
    return nn.functional.batch_norm(x, mean, var, weight, bias, False, 0.0, module.eps)


def _ranges(widths: Mapping[Part, int], start: int) -> tuple[dict[Part, Tensor], int]:
    found = {}
    for part, width in widths.items():
        found[part] = torch.arange(start, start + width)
        start += width
    return found, start


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists, mappings and dataclasses."""
    found = []
    for leaf in leaves(value):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            found += tensors_in(list(vars(leaf).values()))
    return found
