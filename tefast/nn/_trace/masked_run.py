"""Runs of a masked model in which the outputs of some layers are followed."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from tefast.nn._layers.numbering import Numbering, check_together
from tefast.nn._layers.recurrent import Cell
from tefast.nn._trace.comparison import TOLERANCES, Recorder
from tefast.nn._trace.computed import computed_weights, own_parameter
from tefast.nn._trace.consumers import RECURRENT, Normed, UnfitError
from tefast.nn._trace.copies import deep_copy
from tefast.nn._trace.derived import ONE_STEP, SHORT, shortened, shuffled, twice
from tefast.nn._trace.examples import Arguments, called, evaluated
from tefast.nn._trace.fields import OTHER, Fields, address, places_of
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.found import Found, Returned
from tefast.nn._trace.kinds import is_reader, kind_of
from tefast.nn._trace.members import hooked, scripts_wrapped, see_module, title
from tefast.nn._trace.nested import Leaf, frozen, parts, tensors_in
from tefast.nn._trace.precision import Raised
from tefast.nn._trace.reading import Reader
from tefast.nn._trace.sight import Run
from tefast.nn._trace.states import (
    StateLabels,
    given_states,
    kept_entries,
    starts,
    tensors_of,
    zeroed_states,
)
from tefast.nn._trace.watching import unseen, watching


class _StartError(UnfitError):
    """A layer gets an initial state that nothing is known about."""


class _NoRunError(Exception):
    """A model does not run on an example that was derived from its own."""


class Trace(Reader):
    """Runs of a masked model."""

    def __init__(
        self,
        masked: nn.Module,
        names: Sequence[str],
        gone: Tensor,
        dtype: torch.dtype,
        returned: Returned,
        once: bool,
    ) -> None:
        self.masked, self.members, self.dtype = masked, list(names), dtype
        self.gone = torch.zeros_like(gone) if once else gone
        self.returned, self.once = returned, once
        self.numbering = Numbering({name: masked.get_submodule(name) for name in names})
        self.found = Found({}, [], dtype=dtype)
        self.readings = self.found.readings
        self.norms: list[Normed] = []
        self.ran: set[str] = set()
        self.elsewhere: dict[str, str] = {}
        """Modules that read something else, and the error that says so."""
        self.empty: set[str] = set()
        """Modules that read an empty tensor, which would hold units' outputs if it had entries."""
        self.states: StateLabels = {}
        self.sizes: set[tuple[int, int]] = set()
        """Sequences that the layers ran for, and their steps."""
        self.counts: set[int] = set()
        """Sequences that they ran for; a cell is not told of steps."""

    def on(self, arguments: Arguments) -> None:
        """Run the model on an example and on others made of it."""
        self.states = {}
        try:
            self.run(arguments, calls=1 if self.once else 2)
        except _StartError as error:
            self.states = self._starts(arguments, error)
            self.run(arguments, calls=1 if self.once else 2)
        if self.once:
            return
        packed, run = self.watching.packed, self.found.runs[-1]
        with suppress(_NoRunError):
            self._another(shuffled(arguments))
        for lengths in packed:
            if len(set(lengths)) == 1:
                self._on_shorter(arguments, lengths)
        run.sizes = sorted(self.sizes | self._sizes_of(arguments))
        for count, steps in run.sizes:
            more = twice(steps).of(arguments, count, steps) if steps <= SHORT else None
            if more is not None:  # what changes with the steps may not show on so few
                with suppress(_NoRunError):
                    self._another(more)
            first = ONE_STEP.of(arguments, count, steps) if steps > 1 else None
            if first is not None:
                self._on_one_step(first)

    def _sizes_of(self, arguments: Arguments) -> set[tuple[int, int]]:
        """Return the numbers of sequences and steps that the tensors of an example may have."""
        pairs = [one.shape[:2] for one in tensors_of(arguments) if one.ndim > 1]
        both = [pair for one in pairs for pair in (one, one[::-1])]
        return {(int(n), int(steps)) for n, steps in both if n in self.counts}

    def _on_shorter(self, arguments: Arguments, lengths: list[int]) -> None:
        for shorter in shortened(arguments, lengths):
            with suppress(_NoRunError):
                self._another(shorter)
                if any(len(set(each)) > 1 for each in self.watching.packed):
                    return
                for each in (self.found.runs, self.found.states, self.found.returned):
                    each.pop()

    def _on_one_step(self, arguments: Arguments) -> None:
        """Run the model on sequences of one step, whose first step is their last.

        The pruned model is compared there as well. What modules read is not learned from it:
        sequences so short may have no values, such as a deviation over steps or differences.
        """
        found = self.found
        readings = {name: dict(one) for name, one in found.readings.items()}
        runs, ties, norms = len(found.runs), len(found.ties), len(self.norms)
        elsewhere, empty = dict(self.elsewhere), set(self.empty)
        found.readings.clear()
        try:
            self._another(arguments)
            found.runs[-1].what = ONE_STEP.what
        except (_NoRunError, UnfitError):
            for each in (found.runs, found.states, found.returned):
                del each[runs:]
        found.readings.clear()
        found.readings.update(readings)
        del found.ties[ties:], self.norms[norms:]
        self.elsewhere, self.empty = elsewhere, empty

    def _another(self, arguments: Arguments) -> None:
        try:
            self.run(arguments, calls=1)
        except UnfitError:
            raise
        except Exception as error:  # not every model takes what was made of its example
            raise _NoRunError from error

    def _starts(self, arguments: Arguments, error: _StartError) -> StateLabels:
        """Return which arguments are the states that layers start from."""
        found = given_states(self.masked, self.members, self.numbering, arguments, self.dtype)
        if not found:
            raise error
        if self.returned is None:
            raise UnfitError(
                f"{self.members[0]!r} starts from a state among the model's arguments, which "
                'would be narrower; if that is meant, pass returned="states": the smaller model '
                "takes and returns narrower states, and slice_state makes them of the others"
            )
        return found

    def end(self) -> None:
        """Refuse what can be seen only after all runs."""
        for name in self.members:
            if name not in self.ran:
                raise UnfitError(f"submodule {name!r} did not run; expected the model to call it")
        for name in sorted(self.empty - self.found.readings.keys() - self.elsewhere.keys()):
            raise UnfitError(
                f"{name!r} is given outputs of {self.members[0]!r} of no step at all, so that it "
                "is not known what it reads; give an example, or examples=, in which some reach it"
            )
        for name, reading in list(self.found.readings.items()):
            if not any(bool((one.labels != OTHER).any()) for one in reading.values()):
                del self.found.readings[name]
            elif name in self.elsewhere:
                raise UnfitError(
                    f"{name!r} reads the outputs of {self.members[0]!r} and at another call "
                    f"something else, which needs all of its columns ({self.elsewhere[name]})"
                )

    def run(self, arguments: Arguments, calls: int) -> None:
        """Run the model; raise what refuses it, also if its own code has caught that."""
        example = arguments
        if self.states:
            arguments = zeroed_states(arguments, self.states, self.gone)
        self.model = scripts_wrapped(deep_copy(self.masked, dtype=self.dtype, alone=True))
        self.layers = {self.model.get_submodule(name): name for name in self.members}
        self.names = {module: name for name, module in self.model.named_modules()}
        self.path: list[str] = ["the model itself"]
        self.flow = Flow(self.numbering.count, self.refuse)
        self.flow.parameters = {
            address(parameter): own_parameter(module, self.names[module], name)
            for module in self.names
            for name, parameter in module.named_parameters(recurse=False)
        }
        self.flow.ties, self.flow.path = self.found.ties, lambda: self.path[-1]
        if not self.once:
            self.flow.met = lambda tie: check_together(self.numbering, tie, self.gone)
        self.watching = Recorder(
            self.flow, self.gone, lambda: self.path[-1], TOLERANCES[self.dtype]
        )
        self.labels: dict[str, Tensor] = {}
        results: list[list[Leaf]] = []
        try:
            for _ in range(calls):
                self._call(deep_copy(arguments, dtype=self.dtype, name="example"), results)
        except Exception:
            if self.flow.refusal is not None:
                raise self.flow.refusal from None
            if not results:
                raise
        self.found.runs.append(Run(example, arguments, self.watching.steps, results))
        self.found.states.append(self.states)
        self.found.returned.append(self.labels)

    def _call(self, arguments: Arguments, results: list[list[Leaf]]) -> None:
        done = len(self.watching.steps)
        self._follow_states(arguments)
        try:
            with (
                evaluated(self.model),
                hooked(self.model, self._enter, self._leave),
                watching(self.flow),
                self.watching,
                Raised(self.dtype),
            ):
                result = called(self.model, arguments)
        except Exception:
            del self.watching.steps[done:]  # the second call of a model that can be called once
            raise
        found = parts(result)
        for where, leaf in found:
            known = self.flow.of(leaf)
            if known is not None:
                self._check_returned(known)
                self.labels[where] = known.labels.clone()
        results.append(frozen(kept_entries(found, self.labels, self.gone)))

    def _follow_states(self, arguments: Arguments) -> None:
        for place, tensor in enumerate(tensors_of(arguments)):
            if place in self.states:
                self._begin(tensor, self.states[place], state=True)

    def _check_returned(self, known: Fields) -> None:
        count, name = self.numbering.count, self.members[0]
        if bool(((known.labels >= count) | (known.labels < OTHER)).any()):
            raise UnfitError(
                f"what a LayerNorm makes of the outputs of {name!r} is among what the model "
                "returns, and has one feature more when units are removed; prune it as a part of "
                "the model that reads what it returns"
            )
        if self.returned == "all" or (self.returned == "states" and known.state):
            return
        what = "final states" if known.state else "outputs"
        raise UnfitError(
            f"the {what} of {name!r} are among what the model returns, which would be narrower; "
            f'if that is meant, pass returned="{"states" if known.state else "all"}"'
        )

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.path.append(title(self.names.get(module, ""), module))
        computed = parametrize.is_parametrized(module) and kind_of(module) is not None
        with unseen():
            if computed and self.flow.any_of((args, kwargs)) is not None:
                self.refuse(computed_weights(module))
        for one in (self.flow, self.watching):
            one.inside += self._is_whole(module)

    def _is_whole(self, module: nn.Module) -> bool:
        return is_reader(module) or module in self.layers

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if self._is_whole(module):
            for one in (self.flow, self.watching):
                one.inside -= 1
            if not self.flow.inside and result is not None:
                with unseen():
                    self._read(module, args, kwargs, result)
                    see_module(self.watching, self.names[module], args, kwargs, result)
        if isinstance(module, (*RECURRENT, nn.Linear, nn.Embedding)) and not self.flow.inside:
            with unseen():
                for tensor in tensors_in(result):
                    self.flow.produced[address(tensor)] = (self.names[module], tensor)
        self.path.pop()

    def _read(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        kind = kind_of(module)
        if module in self.layers:
            self._member(module, args, kwargs, result)
        elif kind is not None:
            kind.follow(self, module, args, kwargs, result)

    def _member(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        """Check the initial state and the input of a pruned layer, and follow its outputs."""
        name = self.layers[module]
        self.ran.add(name)
        first = args[0] if args else next(iter(kwargs.values()))
        first = first.data if isinstance(first, PackedSequence) else first
        if isinstance(module, RECURRENT):
            self._note_size(module, args[0] if args else next(iter(kwargs.values())))
            state = args[1] if len(args) > 1 else kwargs.get("hx")
            for tensor, labels in starts(module, self.numbering, name, state):
                self._start(name, tensor, labels)
        if not isinstance(module, nn.Embedding):
            self.reads(module, first)
        last = self.numbering.last(name)
        if not isinstance(module, RECURRENT):
            self._begin(result, last.expand(result.shape))
            return
        if isinstance(module, Cell):
            for tensor, labels in starts(module, self.numbering, name, result):
                self._begin(tensor, labels, state=True)
            return
        output, state = result
        if isinstance(output, PackedSequence):
            self._begin(output.data, last.expand(output.data.shape))
        else:
            self._begin(output, last.expand(output.shape), places_of(output, module.batch_first))
        for tensor, labels in starts(module, self.numbering, name, state):
            self.watching.states[id(tensor)] = tensor
            self._begin(tensor, labels, state=True)

    def _note_size(self, module: nn.Module, given: Any) -> None:
        """Note for how many sequences a layer runs, and of how many steps."""
        if isinstance(given, PackedSequence):
            self.sizes.add((int(given.batch_sizes[0]), len(given.batch_sizes)))
            self.counts.add(int(given.batch_sizes[0]))
        elif given.ndim == 3:
            count, steps = given.shape[:2] if module.batch_first else given.shape[1::-1]
            self.sizes.add((int(count), int(steps)))
            self.counts.add(int(count))
        elif isinstance(module, Cell) and given.ndim == 2:
            self.counts.add(len(given))

    def _start(self, name: str, tensor: Tensor, labels: Tensor) -> None:
        """Check that a layer starts from 0 where its units are masked."""
        known = self.flow.fields(tensor)
        nothing = known is None or bool((known.masked.isnan() & ~known.units()).any())
        if nothing:
            error = _StartError(
                f"submodule {name!r} is given an initial state that is not 0, and what starts from "
                "something else is not 0 when masked; expected zeros that the code makes, a state "
                "of the layer itself, or an argument of the model"
            )
            error.partner = self.flow.partner(tensor)
            self.flow.refusal = self.flow.refusal or error
            raise error
        assert known is not None
        units = known.units()
        met = units & (known.labels != labels)
        if bool(((known.labels >= self.numbering.count) | (known.labels < OTHER)).any()):
            self.refuse("an initial state that a LayerNorm gives")
        if bool(met.any()):
            self.flow.calling.append("the initial state")
            self.flow.unite(known.labels[met], labels[met])
            self.flow.calling.pop()
        if bool(known.masked.ne(0).any() | known.other.ne(0).any()):
            self.refuse("an initial state that is not 0 when masked")

    def _begin(
        self, tensor: Tensor, labels: Tensor, places: Tensor | None = None, state: bool = False
    ) -> None:
        """Follow the outputs of a layer, which are 0 for a masked unit."""
        zeros = torch.where(labels >= 0, 0.0, torch.nan).double()
        steps = 0 if places is None else tensor.shape[-2]
        places = torch.full((), OTHER).expand(labels.shape) if places is None else places
        self.flow.follow(tensor, Fields(labels, zeros, zeros, places, steps, 0, state))
