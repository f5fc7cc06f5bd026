"""The trial of a pruned model: it runs beside its masked twin before anybody gets it."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NoReturn, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tefast.nn._layers.recurrent import Layer
from tefast.nn._trace.comparison import TOLERANCES, Follower
from tefast.nn._trace.copies import deep_copy
from tefast.nn._trace.derived import other_batches
from tefast.nn._trace.examples import Arguments, called, evaluated, first_that_runs
from tefast.nn._trace.found import Returned
from tefast.nn._trace.group import Group
from tefast.nn._trace.kinds import is_reader
from tefast.nn._trace.members import whole
from tefast.nn._trace.nested import Leaf, frozen, parts
from tefast.nn._trace.outcomes import compare_kinds, compare_results
from tefast.nn._trace.precision import Raised
from tefast.nn._trace.sight import Run
from tefast.nn._trace.states import StateLabels, cut_states, joined_entries, kept_entries
from tefast.nn._trace.tracing import find_readings

M = TypeVar("M", bound=nn.Module)


class MisfitError(ValueError):
    """A pruned model does not do what its masked twin does.

    Attributes
    ----------
    runs : bool
        Whether it runs at all.
    """

    runs: bool = True


def check_ready(model: nn.Module) -> None:
    """Raise ValueError unless all weights of a model are there."""
    for name, module in model.named_modules():
        for kind in (module._parameters, module._buffers):
            for of, tensor in kind.items():
                if tensor is not None and (is_lazy(tensor) or tensor.is_meta):
                    raise ValueError(
                        f"submodule {name!r} ({type(module).__name__}): its {of!r} has no values "
                        "yet; run the model once, or load its weights"
                    )


class Trial(Generic[M]):
    """A masked model on examples, and then the pruned one beside it.

    Parameters
    ----------
    model : nn.Module
        Not changed, and never run itself.
    group : Group
        The layers that lose units. Which units some of them lose is found out if it is open.
    example, examples
        As `prune` takes them.
    returned : {"states", "all"}, optional
        As `prune` takes it.

    Attributes
    ----------
    readings : Readings
        What reads the layers.

    Raises
    ------
    ValueError
        As in `tracing.find_readings` and in `Group.check`.
    """

    def __init__(
        self, model: M, group: Group, example: Any, examples: Any, returned: Returned
    ) -> None:
        self.model, self.group = model, group
        name, layer = group.names[0], cast(Layer, model.get_submodule(group.names[0]))
        given = _given(example, examples)
        if group.open:
            arguments = [first_that_runs(model, layer, one, name)[0] for one in given]
            found = find_readings(model, group.names, group.gone, arguments, returned, once=True)
            group.follow(found.ties)
        masked = self.masked = group.masked(model)
        self.examples = [first_that_runs(masked, layer, one, name) for one in given]
        arguments = [one for one, _ in self.examples]
        self.found = find_readings(masked, group.names, group.gone, arguments, returned)
        group.check(self.found.ties)
        self.readings = self.found.readings
        self.whole = [
            of for of, module in masked.named_modules() if is_reader(module) or of in group.names
        ]

    def check(self, pruned: M, build: Callable[[M], M]) -> None:
        """Raise ValueError unless the pruned model does what the masked one did.

        Parameters
        ----------
        pruned : nn.Module
            Copied to be run.
        build : callable
            Prunes a copy of the model in the precision that is compared in.
        """
        found = self.found
        twin = build(deep_copy(self.model, dtype=found.dtype))
        for run, states, labels in zip(found.runs, found.states, found.returned, strict=True):
            self._follow(deep_copy(twin, alone=True), run, states, labels)
        for arguments, expected in self.examples:
            of = next(n for n, run in enumerate(found.runs) if run.example is arguments)
            states, labels = found.states[of], found.returned[of]
            own = cut_states(arguments, states, self.group.gone)
            (result,) = _results(pruned, own, None, 1)
            theirs = kept_entries(expected, labels, self.group.gone)
            compare_kinds(joined_entries(result, labels), theirs, _refuse)
            if not states and not labels:  # of other sizes it is not known what is narrower
                self._compare_others(twin, found.runs[of])

    def _compare_others(self, twin: M, run: Run) -> None:
        """Compare what the models return for batches of other sizes and values."""
        # On a GPU an index that is out of range, as of a position, ends all that runs there.
        larger = all(tensor.device.type == "cpu" for tensor in self.model.parameters())
        for count, steps in run.sizes:
            for what, arguments in other_batches(run.example, count, steps, larger):
                try:
                    (expected,) = _results(self.masked, arguments, self.found.dtype, 1)
                except Exception:  # not every model takes what was made of its example
                    continue
                self._compare(twin, arguments, expected, what)

    def _compare(self, twin: M, arguments: Arguments, expected: list[Leaf], what: str) -> None:
        dtype = self.found.dtype
        try:
            (found,) = _results(twin, arguments, dtype, 1)
        except Exception as error:
            raise _fails(error, "the model itself", what) from error
        compare_results(found, expected, TOLERANCES[dtype], functools.partial(_refuse, what=what))

    def _follow(self, twin: M, run: Run, states: StateLabels, labels: Mapping[str, Tensor]) -> None:
        refusals: list[ValueError] = []

        def refuse(reason: str) -> NoReturn:
            try:
                _refuse(reason, run.what)
            except ValueError as error:
                refusals.append(error)  # the model's own code may catch it
                raise

        path, dtype = ["the model itself"], self.found.dtype
        follower = Follower(run.steps, lambda: path[-1], TOLERANCES[dtype], refuse)
        given = cut_states(run.arguments, states, self.group.gone)
        for expected in run.results:
            arguments = deep_copy(given, dtype=dtype, name="example")
            try:
                with (
                    evaluated(twin),
                    whole(twin, self.whole, follower, path),
                    follower,
                    Raised(dtype),
                ):
                    result = called(twin, arguments)
            except Exception as error:
                if not refusals:
                    raise _fails(error, path[-1], run.what) from error
            if refusals:
                raise refusals[0]
            found = joined_entries(parts(result), labels)
            compare_results(found, expected, TOLERANCES[dtype], refuse)
        follower.end()


def _given(example: Any, examples: Any) -> list[Any]:
    if examples is None:
        return [example]
    if example is not None:
        raise ValueError("expected one of example and examples, got both")
    if isinstance(examples, str | Tensor) or not isinstance(examples, Iterable):
        raise TypeError(f"examples: expected a sequence, got {type(examples).__name__}")
    given = list(examples)
    if not given:
        raise ValueError("examples: expected at least one")
    return given


def check_outputs(model: M, masked: M, name: str, example: Any, build: Callable[[M], M]) -> None:
    """Raise ValueError if a model whose consumers were named runs and gives something else.

    What it returns in other shapes is left out, and so is a model that does not run on the
    example, or on what is made up; that it says itself when it is used.

    Parameters
    ----------
    model, masked, name, example
        As in `Trial`.
    build : callable
        As in `Trial.check`.
    """
    try:
        arguments, _ = first_that_runs(
            masked, cast(Layer, masked.get_submodule(name)), example, name
        )
    except Exception:
        return
    for dtype in (torch.float64, torch.float32):
        try:
            expected = _results(masked, arguments, dtype, 2)
        except Exception:
            continue
        try:
            found = _results(build(deep_copy(model, dtype=dtype)), arguments, dtype, 2)
        except Exception:
            return
        for ours, theirs in zip(found, expected, strict=True):
            compare_results(ours, theirs, TOLERANCES[dtype], _refuse, all_of_it=False)
        return


def _results(
    model: nn.Module, arguments: Arguments, dtype: torch.dtype | None, calls: int
) -> list[list[Leaf]]:
    twin = deep_copy(model, dtype=dtype, alone=True)
    found = []
    for _ in range(calls):
        own = deep_copy(arguments, dtype=dtype, name="example")
        with evaluated(twin), Raised(dtype):
            found.append(frozen(parts(called(twin, own))))
    return found


def _refuse(reason: str, what: str = "the example") -> NoReturn:
    raise MisfitError(
        f"the pruned model does not give on {what} what the masked one gives: {reason}; does "
        "the model's code hold the layer's size as a number, or draw random numbers of that size?"
    )


def _fails(error: Exception, where: str, what: str = "the example") -> MisfitError:
    failure = MisfitError(
        f"the pruned model does not run on {what}, in {where}; does its code hold the layer's "
        "size as a number, or does what it computes pass something that shows nothing of it, such "
        "as a scripted function or torch.vmap? "
        f"{type(error).__name__}: {str(error)[:300].rstrip('.')}"
    )
    failure.runs = False
    return failure
