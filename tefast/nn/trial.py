"""The trial of a pruned model: it runs beside its masked twin before anybody gets it."""

from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tefast.nn.comparison import (
    TOLERANCES,
    Follower,
    Run,
    compare_kinds,
    compare_results,
    whole,
)
from tefast.nn.consumers import READERS, find_readings
from tefast.nn.copies import deep_copy
from tefast.nn.examples import (
    Arguments,
    Leaf,
    called,
    evaluated,
    first_that_runs,
    frozen,
    parts,
)
from tefast.nn.precision import Raised
from tefast.nn.recurrent import Layer

M = TypeVar("M", bound=nn.Module)


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
    """A masked model on an example, and then the pruned one beside it.

    Parameters
    ----------
    model : nn.Module
        Not changed, and never run itself.
    masked : nn.Module
        Its twin with masked units.
    name : str
        Of the recurrent layer.
    gone : bool Tensor (labels,)
        Which labels of `consumers.Numbering` are removed.
    example
        As `prune` takes it.

    Attributes
    ----------
    readings : Readings
        What reads the layer.

    Raises
    ------
    ValueError
        As in `consumers.find_readings`.
    """

    def __init__(self, model: M, masked: M, name: str, gone: Tensor, example: Any) -> None:
        layer = cast(Layer, masked.get_submodule(name))
        self.model = model
        self.arguments, self.expected = first_that_runs(masked, layer, example, name)
        self.found = find_readings(masked, name, gone, self.arguments)
        self.readings = self.found.readings
        self.whole = [of for of, module in masked.named_modules() if type(module) in READERS]

    def check(self, pruned: M, build: Callable[[M], M]) -> None:
        """Raise ValueError unless the pruned model does what the masked one did.

        Parameters
        ----------
        pruned : nn.Module
            Copied to be run.
        build : callable
            Prunes a copy of the model in the precision that is compared in.
        """
        twin = build(deep_copy(self.model, dtype=self.found.dtype))
        for run in self.found.runs:
            self._follow(deep_copy(twin, alone=True), run)
        (found,) = _results(pruned, self.arguments, None, 1)
        compare_kinds(found, self.expected, _refuse)

    def _follow(self, twin: M, run: Run) -> None:
        refusals: list[ValueError] = []

        def refuse(reason: str) -> NoReturn:
            try:
                _refuse(reason)
            except ValueError as error:
                refusals.append(error)  # the model's own code may catch it
                raise

        path, dtype = ["the model itself"], self.found.dtype
        follower = Follower(run.steps, lambda: path[-1], TOLERANCES[dtype], refuse)
        for expected in run.results:
            arguments = deep_copy(run.arguments, dtype=dtype, name="example")
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
                    raise _fails(error, path[-1]) from error
            if refusals:
                raise refusals[0]
            compare_results(parts(result), expected, TOLERANCES[dtype], refuse)
        follower.end()


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


def _refuse(reason: str) -> NoReturn:
    raise ValueError(
        f"the pruned model does not give on the example what the masked one gives: {reason}; does "
        "the model's code hold the layer's size as a number, or draw random numbers of that size?"
    )


def _fails(error: Exception, where: str) -> ValueError:
    return ValueError(
        f"the pruned model does not run on the example, in {where}; does its code hold the layer's "
        "size as a number, or does what it computes pass something that shows nothing of it, such "
        f"as a scripted function? {type(error).__name__}: {error!s:.300}"
    )
