"""Examples that models run on: given or made up, always on copies, with the random state kept."""

import inspect
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from tefast.nn._layers.recurrent import Layer, weights
from tefast.nn._runs.modes import in_mode
from tefast.nn._trace.copies import deep_copy
from tefast.nn._trace.nested import Leaf, frozen, parts, tensors_in

_TRIED = 4
"""Widths of other modules that are tried for a model's input."""


class Arguments:
    """Arguments of a model, by place and by name: ``Arguments(x, lengths=n)``.

    `prune` and other functions take it as `example`, for calls that a tuple or a mapping cannot
    express.

    Parameters
    ----------
    *args
        The arguments by place: ``model(*args, **kwargs)``.
    **kwargs
        The arguments by name.
    """

    method: str | None = None
    """Name of the method that is called; None for the model itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    @classmethod
    def of(cls, method: str, *args: Any, **kwargs: Any) -> "Arguments":
        """Return arguments of a method of the model: ``Arguments.of("generate", x)``.

        Parameters
        ----------
        method : str
            The name of the method.
        *args
            The arguments by place.
        **kwargs
            The arguments by name.

        Returns
        -------
        Arguments
        """
        arguments = cls(*args, **kwargs)
        arguments.method = method
        return arguments

    def __repr__(self) -> str:
        """Say what they are, cut short."""
        named = [f"{name}={value!r:.40}" for name, value in self.kwargs.items()]
        return f"Arguments({', '.join([f'{value!r:.40}' for value in self.args] + named)})"


def as_arguments(example: Any, model: nn.Module) -> Arguments:
    """Return what `model` is called with for an `example` as `prune` takes it.

    A plain tuple holds all arguments by place. A mapping holds them by name if its keys are names
    of arguments of ``model.forward``. All else is the only argument, so also a mapping with other
    keys, a named tuple and a ``PackedSequence``.
    """
    if isinstance(example, Arguments):
        return example
    if type(example) is tuple:
        return Arguments(*example)
    if isinstance(example, Mapping) and all(isinstance(key, str) for key in example):
        try:
            inspect.signature(model.forward).bind(**example)
        except TypeError:
            return Arguments(example)
        except ValueError:  # there is no signature to be read
            pass
        return Arguments(**example)
    return Arguments(example)


def called(model: nn.Module, arguments: Arguments) -> Any:
    """Call a model, or a method of it."""
    call = model if arguments.method is None else getattr(model, arguments.method)
    return call(*arguments.args, **arguments.kwargs)


@contextmanager
def same_random() -> Iterator[None]:
    """Give the global random numbers of torch, NumPy and Python back as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    on_gpu = torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if on_gpu else None
    cpu = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Run `model` in evaluation mode, without gradients; random numbers start alike every time."""
    with same_random(), in_mode(model, training=False), _uncompiled():
        yield


def _uncompiled() -> AbstractContextManager[Any]:
    """Have compiled functions run as they are written, so that it can be seen what they do."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and it takes long to import
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def first_that_runs(
    model: nn.Module, layer: Layer, example: Any, name: str
) -> tuple[Arguments, list[Leaf]]:
    """Find arguments that a model runs on.

    Parameters
    ----------
    model : nn.Module
        Copied for every run.
    layer : recurrent layer of `model`
    example
        As `prune` takes it; None to have it made up: two sequences of five steps, of features as
        wide as the layer's input or that of another module, and of tokens.
    name : str
        What errors call the layer.

    Returns
    -------
    arguments : Arguments
    result : list of what the model gives, as `parts` lists it

    Raises
    ------
    ValueError
        If the model does not run on what is made up. What it raises on a given example is raised.
    """
    given = None if example is None else as_arguments(example, model)
    failures = []
    for arguments in made_up(model, layer) if given is None else [given]:
        try:
            own = deep_copy(arguments, name="example")
            twin = deep_copy(model, alone=True)
            with evaluated(twin):
                return arguments, frozen(parts(called(twin, own)))
        except Exception as error:
            if given is not None:
                raise
            shapes = [tuple(one.shape) for one in tensors_in(arguments.args)]
            text = f"on {', '.join(map(str, shapes))}: {type(error).__name__}: {error!s:.150}"
            failures.append(text)
    raise ValueError(
        f"what reads {name!r} could not be found: the model does not run on an input made up for "
        f"it ({'; '.join(failures)}); give example=(its arguments), or name the consumers"
    )


def made_up(model: nn.Module, layer: Layer) -> Iterator[Arguments]:
    """Yield inputs that a model may take: features as wide as some module's, then tokens.

    Where a second argument is called after lengths, those of the two sequences are 5 and 3.
    """
    like = next(layer.parameters())
    own = weights(layer)[0, 0]["weight_ih"].shape[1]
    others = [
        getattr(module, name)
        for module in model.modules()
        for name in ("input_size", "in_features")
        if isinstance(getattr(module, name, None), int)
    ]
    inputs = []
    for width in dict.fromkeys([own, *others[:_TRIED]]):
        generator = torch.Generator().manual_seed(0)
        inputs.append(torch.randn(2, 5, width, generator=generator).to(like))
    known = [m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)]
    tokens = torch.arange(10).remainder(min(known, default=1)).view(2, 5)
    inputs.append(tokens.to(like.device))
    beside = (torch.tensor([5, 3]),) if _takes_lengths(model) else ()
    for one in inputs:
        yield Arguments(one, *beside)


def _takes_lengths(model: nn.Module) -> bool:
    try:
        names = list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        return False
    return len(names) > 1 and "len" in names[1].lower()
