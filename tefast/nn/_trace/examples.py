"""Examples that models run on: given or made up, always on copies, with the random state kept."""

import functools
import inspect
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from tefast.nn._layers.recurrent import Layer, weights
from tefast.nn._runs.modes import in_mode
from tefast.nn._trace.copies import deep_copy
from tefast.nn._trace.nested import Leaf, changed, frozen, parts, tensors_in

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


def shuffled(arguments: Arguments) -> Arguments:
    """Return the same values in another order, in all tensors of two or more dimensions."""
    generator = torch.Generator().manual_seed(0)

    def change(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim < 2 or value.layout != torch.strided:
            return value
        order = torch.randperm(value.numel(), generator=generator).to(value.device)
        return value.detach().flatten()[order].view(value.shape)

    return cast(Arguments, changed(deep_copy(arguments, name="example"), change))


def shortened(arguments: Arguments, lengths: Sequence[int]) -> Iterator[Arguments]:
    """Yield arguments in which sequences of equal lengths may be of unequal ones.

    Parameters
    ----------
    arguments : Arguments
        Not changed.
    lengths : sequence of int
        Steps of the sequences that the model packs, all equal.

    Yields
    ------
    Arguments: with shorter lengths and packed sequences, and with masks that end earlier; then
    also with tokens that end earlier, in 0; then with features that do.
    """
    count, steps = len(lengths), lengths[0] if lengths else 0
    if count < 2 or steps < 2:
        return
    shorter = [steps, *(max(1, steps // 2) for _ in lengths[1:])]

    def change(value: Any, kinds: str) -> Any:
        if isinstance(value, PackedSequence) and value.batch_sizes.tolist() == [count] * steps:
            padded, _ = pad_packed_sequence(value)
            return pack_padded_sequence(padded, shorter, enforce_sorted=False)
        if isinstance(value, list) and value == list(lengths):
            return list(shorter)
        if isinstance(value, np.ndarray) and value.tolist() == list(lengths):
            return np.array(shorter, dtype=value.dtype)
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            return value
        if value.ndim == 1 and value.tolist() == list(lengths):
            return torch.tensor(shorter, dtype=value.dtype, device=value.device)
        kind = "b" if value.dtype == torch.bool else "f" if value.is_floating_point() else "i"
        axes = [(0, 1)] if value.shape[:2] == (count, steps) else []
        axes += [(1, 0)] if value.shape[:2] == (steps, count) else []
        if not axes or kind not in kinds:
            return value
        value = value.detach().clone()
        for number, length in enumerate(shorter):
            value.select(axes[0][0], number).narrow(0, length, steps - length).zero_()
        return value

    for kinds in ("b", "bi", "bif"):
        own = deep_copy(arguments, name="example")
        yield changed(own, functools.partial(change, kinds=kinds))


def of_one_step(arguments: Arguments, count: int, steps: int) -> Arguments:
    """Return arguments in which sequences end after their first step; see `_of_other_steps`."""
    return _of_other_steps(
        arguments, count, steps, lambda x, axis: x.narrow(axis, 0, 1).contiguous(), lambda n: 1
    )


def of_more_steps(arguments: Arguments, count: int, steps: int) -> Arguments:
    """Return arguments whose steps come twice, one after the other; see `_of_other_steps`."""
    return _of_other_steps(
        arguments, count, steps, lambda x, axis: torch.cat([x, x], axis), lambda n: n + steps
    )


def _of_other_steps(
    arguments: Arguments,
    count: int,
    steps: int,
    along: Callable[[Tensor, int], Tensor],
    length: Callable[[int], int],
) -> Arguments:
    """Return arguments in which sequences have other steps.

    Parameters
    ----------
    arguments : Arguments
        Not changed.
    count, steps : int
        Sequences that a recurrent layer ran for, and their steps: what has these axes first, in any
        order, is changed, and numbers up to so many steps are lengths.
    along : callable
        ``along(tensor, axis)`` changes the steps.
    length : callable
        Says what a length becomes.
    """

    def of_lengths(values: list[int]) -> list[int] | None:
        are = len(values) == count and 1 <= min(values) <= max(values) <= steps
        return [length(one) for one in values] if are else None

    def change(value: Any) -> Any:
        if isinstance(value, PackedSequence):
            padded, lengths = pad_packed_sequence(value)
            others = torch.tensor([length(one) for one in lengths.tolist()])
            ordered = value.sorted_indices is None
            return pack_padded_sequence(along(padded, 0), others, enforce_sorted=ordered)
        if isinstance(value, list) and value and all(type(one) is int for one in value):
            return of_lengths(value) or value
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
            found = of_lengths(value.tolist())
            return value if found is None else np.array(found, value.dtype)
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            return value
        if value.ndim == 1 and not value.is_floating_point() and value.dtype != torch.bool:
            found = of_lengths(value.tolist())
            return value if found is None else torch.tensor(found).to(value)
        if value.shape[:2] == (count, steps):
            return along(value, 1)
        return along(value, 0) if value.shape[:2] == (steps, count) else value

    return cast(Arguments, changed(deep_copy(arguments, name="example"), change))
