"""What reads the units of a recurrent layer, found by running the model on an example."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tefast.nn.comparison import (
    TOLERANCES,
    Recorder,
    Run,
    Script,
    hooked,
    scripts_wrapped,
    see_module,
    title,
)
from tefast.nn.copies import deep_copy
from tefast.nn.examples import (
    Arguments,
    Leaf,
    called,
    evaluated,
    frozen,
    parts,
    shortened,
    shuffled,
    tensors_in,
)
from tefast.nn.flow import OTHER, Flow, Tracked, row
from tefast.nn.narrow import NarrowAttention, NarrowLayerNorm
from tefast.nn.precision import Raised
from tefast.nn.recurrent import Cell, Layer, Recurrent, Sizes, sizes, weights
from tefast.nn.stack import Part, RecurrentStack

RECURRENT = (*get_args(Recurrent), *get_args(Cell), RecurrentStack)
_ATTENTION = (nn.MultiheadAttention, NarrowAttention)
READERS = (nn.Linear, nn.BatchNorm1d, *RECURRENT, nn.LayerNorm, NarrowLayerNorm, *_ATTENTION)
"""Modules that can do with fewer input features, of exactly these classes."""
Readings: TypeAlias = dict[str, dict[str, "Reading"]]
"""What each module reads, by its own name and that of its input."""


@dataclass(frozen=True)
class Normed:
    """A LayerNorm behind the units, and what of it reaches its outputs.

    Attributes
    ----------
    name : str
        Of the module.
    weight, bias : float64 Tensor (features,)
        Its factor and shift for every label.
    """

    name: str
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


@dataclass(frozen=True)
class Found:
    """What a run of the masked model showed.

    Attributes
    ----------
    readings : Readings
    runs : list of Run
        What the masked model did on the example and others made of it.
    dtype : torch.dtype
        What it was done in.
    """

    readings: Readings
    runs: list[Run]
    dtype: torch.dtype


def find_readings(masked: nn.Module, name: str, gone: Tensor, arguments: Arguments) -> Found:
    """Run a masked model and return what reads the outputs and final states of a layer.

    It is run in float64, or where that cannot be in float32: on the example twice in a row, for
    what it keeps from call to call; on the same values in another order; and on shorter
    sequences, if it packs some of equal lengths.

    Parameters
    ----------
    masked : nn.Module
        Copied for every run.
    name : str
        Of the layer in it.
    gone : bool Tensor (labels,)
        Which of the labels of `Numbering` are masked.
    arguments : Arguments
        Small, as every value has a label in memory.

    Raises
    ------
    ValueError
        If the layer does not run or is given an initial state of its own, or its outputs reach
        something that cannot do with fewer of them: the message names it.
    """
    failures = []
    for dtype in (torch.float64, torch.float32):
        try:
            trace = _Trace(masked, name, gone, dtype)
            return Found(trace.readings, trace.all_runs(arguments), dtype)
        except _UnfitError:
            raise
        except Exception as error:
            failures.append(f"in {dtype}: {type(error).__name__}: {error!s:.150}")
    raise ValueError(
        f"what reads {name!r} could not be found: the model runs on the example, but not in the "
        f"precision in which it is compared with the masked one ({'; '.join(failures)}); name the "
        "consumers, which leaves the comparison to you"
    )


class _UnfitError(ValueError):
    """Something that reads the units cannot do with fewer of them."""


class _NoRunError(Exception):
    """A model does not run on what was made of its example."""


class _Trace:
    """Runs of a masked model."""

    def __init__(self, masked: nn.Module, name: str, gone: Tensor, dtype: torch.dtype) -> None:
        self.masked, self.name, self.gone, self.dtype = masked, name, gone, dtype
        self.numbering = Numbering(cast(Layer, masked.get_submodule(name)))
        self.readings: Readings = {}
        self.norms: list[Normed] = []

    def all_runs(self, arguments: Arguments) -> list[Run]:
        """Run the model on the example and on others made of it."""
        runs = [self.run(arguments, calls=2)]
        doubt, packed = self.doubt, self.watching.packed
        with suppress(_NoRunError):
            runs.append(self._another(shuffled(arguments)))
        for lengths in packed:
            if len(set(lengths)) > 1:
                continue
            for shorter in shortened(arguments, lengths):
                with suppress(_NoRunError):
                    run = self._another(shorter)
                    if any(len(set(each)) > 1 for each in self.watching.packed):
                        runs.append(run)
                        doubt = self.doubt
                        break
        if doubt is not None:
            raise doubt
        return runs

    def _another(self, arguments: Arguments) -> Run:
        try:
            return self.run(arguments, calls=1)
        except _UnfitError:
            raise
        except Exception as error:  # not every model takes what was made of its example
            raise _NoRunError from error

    def run(self, arguments: Arguments, calls: int) -> Run:
        """Run the model; raise what refuses it, also if its own code has caught that."""
        self.model = scripts_wrapped(deep_copy(self.masked, dtype=self.dtype, alone=True))
        self.layer = self.model.get_submodule(self.name)
        self.names = {module: name for name, module in self.model.named_modules()}
        self.path: list[str] = ["the model itself"]
        self.times = 0
        self.refusal: _UnfitError | None = None
        self.doubt: _UnfitError | None = None
        self.flow = Flow(self.numbering.count, self._refuse, self._doubt)
        self.watching = Recorder(
            self.flow, self.gone, lambda: self.path[-1], TOLERANCES[self.dtype]
        )
        results: list[list[Leaf]] = []
        try:
            for _ in range(calls):
                self._call(deep_copy(arguments, dtype=self.dtype, name="example"), results)
        except Exception:
            if self.refusal is None and not results:
                raise
        if self.refusal is not None:
            raise self.refusal
        return Run(arguments, self.watching.steps, results)

    def _call(self, arguments: Arguments, results: list[list[Leaf]]) -> None:
        done = len(self.watching.steps)
        try:
            with (
                evaluated(self.model),
                hooked(self.model, self._enter, self._leave),
                self.flow,
                self.watching,
                Raised(self.dtype),
            ):
                result = called(self.model, arguments)
        except Exception:
            del self.watching.steps[done:]  # the second call of a model that can be called once
            raise
        if not self.times:
            raise _UnfitError(f"submodule {self.name!r} did not run; expected the model to call it")
        found = parts(result)
        if self.flow.any_of([leaf for _, leaf in found]) is not None:
            raise _UnfitError(
                f"the outputs of {self.name!r} are among what the model returns, which would "
                "change shape; name the consumers if that is meant"
            )
        results.append(frozen(found))

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.path.append(title(self.names.get(module, ""), module))
        if isinstance(module, Script) and self.flow.any_of((args, kwargs)) is not None:
            self._refuse("a scripted module")
        for watching in (self.flow, self.watching):
            watching.inside += type(module) in READERS

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if type(module) in READERS:
            for watching in (self.flow, self.watching):
                watching.inside -= 1
            if not self.flow.inside and result is not None:
                self._see(module, args, kwargs, result)
        self.path.pop()

    def _see(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        try:
            with torch._C.DisableTorchFunction():
                self._read(module, tensors_in((args, kwargs)), args, kwargs, result)
                see_module(self.watching, self.names[module], args, kwargs, result)
        except _UnfitError as error:
            self.refusal = error
            raise

    def _read(
        self, module: nn.Module, given: list[Tensor], args: Any, kwargs: Any, result: Any
    ) -> None:
        if module is self.layer:
            self._check_start(given)
            self.times += 1
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
                known = cast(Tracked, self.flow.of(given[0]))
                self._scale(module, known, result)

    def _check_start(self, given: list[Tensor]) -> None:
        first, *rest = given
        if self.flow.of(first) is not None:
            self._refuse("the layer itself")
        for leaf in rest:
            known = self.flow.of(leaf)
            if leaf.is_floating_point() and known is None:
                raise _UnfitError(
                    f"submodule {self.name!r} is given an initial state, which would not fit; "
                    "expected it to start from its own zeros"
                )
            if known is not None and bool(known.masked.any()):
                self._refuse("an initial state that is not 0 when masked")

    def _follow(self, result: Any) -> None:
        numbers, last = self.numbering, self.numbering.last()
        if isinstance(self.layer, Cell):
            for state in tensors_in(result):
                self.flow.follow(state, last.expand(state.shape))
            return
        output, state = result
        data = output.data if isinstance(output, PackedSequence) else output
        self.flow.follow(data, last.expand(data.shape))
        states = state if self.layer.mode == "LSTM" else (state,)
        for tensors, labels in zip(states, (numbers.outputs, numbers.hidden), strict=False):
            if isinstance(tensors, Tensor):
                each = torch.stack(list(labels.values()))
                each = each[:, None] if tensors.ndim == 3 else each
                self.watching.states[id(tensors)] = tensors
                self.flow.follow(tensors, each.expand(tensors.shape))
                continue
            for one, label in zip(tensors, labels.values(), strict=True):
                self.flow.follow(one, label.expand(one.shape))

    def _reading(self, tensor: Any, axis: int = -1) -> Reading:
        known = self.flow.of(tensor)
        if known is None:
            self._refuse("an initial state made of them")
        labels, masked = (t.transpose(axis, -1) for t in (known.labels, known.masked))
        found = row(Tracked(tensor, labels, masked))
        if found is None:
            self._refuse("an input whose features are not along the expected axis")
        labels, masked = found
        if self.flow.is_padded(tensor):
            self._refuse("steps that are padded with what no masked unit gives")
        if not masked.isfinite().all():
            self._refuse("values that are not finite when masked")
        return Reading(self.numbering.count, labels, masked, self.norms)

    def _note(self, module: nn.Module, readings: dict[str, Reading]) -> None:
        before = self.readings.setdefault(self.names[module], readings)
        same = before.keys() == readings.keys() and all(
            torch.equal(before[role].labels, one.labels)
            and torch.equal(before[role].masked, one.masked)
            for role, one in readings.items()
        )
        if not same:
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
        if several or bool((labels >= count).any() or reading.masked.any()):
            self._refuse("a LayerNorm over more than units that are 0 when masked")
        units = labels[labels != OTHER]
        if len(units) > len(set(units.tolist())):
            self._refuse("a LayerNorm that reads a unit twice")
        number = self._number(module, units, labels)
        if isinstance(module, NarrowLayerNorm):
            rest = torch.tensor([OTHER - 1 - number])
            labels = torch.cat([labels[: module.rest], rest, labels[module.rest :]])
        out = torch.where(labels >= 0, labels + count * (1 + number), labels)
        self.flow.follow(result, out.expand(result.shape))

    def _number(self, module: nn.LayerNorm | NarrowLayerNorm, units: Tensor, labels: Tensor) -> int:
        """Return the place of a LayerNorm in the list, which it may have from an earlier call."""
        name = self.names[module]
        for number, norm in enumerate(self.norms):
            if norm.name == name:
                return number
        weight = torch.ones(self.numbering.count, dtype=torch.float64)
        bias = torch.zeros_like(weight)
        for target, parameter in ((weight, module.weight), (bias, module.bias)):
            if parameter is not None:
                target[units] = parameter.detach().cpu().double()[labels != OTHER]
        self.norms.append(Normed(name, weight, bias))
        return len(self.norms) - 1

    def _scale(self, module: nn.BatchNorm1d, known: Tracked, result: Tensor) -> None:
        if bool((known.labels >= self.numbering.count).any()):
            self._refuse("a BatchNorm1d behind a LayerNorm")
        self.flow.follow(result, known.labels, _batch_normed(module, known.masked))

    def _refuse(self, reason: str) -> NoReturn:
        self.refusal = self._error(reason)
        raise self.refusal

    def _doubt(self, reason: str) -> None:
        """Refuse unless another run shows what this one does not."""
        self.doubt = self.doubt or self._error(reason)

    def _error(self, reason: str) -> _UnfitError:
        return _UnfitError(
            f"the outputs of {self.name!r} reach {reason} in {self.path[-1]}, which cannot be "
            "narrowed exactly"
        )


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
