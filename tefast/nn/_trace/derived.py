"""Arguments made of an example: of other lengths, of more or fewer sequences, of other values."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from tefast.nn._trace.copies import deep_copy
from tefast.nn._trace.examples import Arguments
from tefast.nn._trace.nested import changed

SHORT = 12
"""Steps of an example that is traced with twice as many too."""
_LENGTHS = 8
"""Lengths of sequences that are added to an example's."""

Along = Callable[[Tensor, int], Tensor]
"""``along(tensor, axis)`` gives a tensor with other entries along an axis."""


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


def _as_it_is(tensor: Tensor, axis: int) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Resized:
    """Makes arguments of other steps or of another number of sequences.

    Attributes
    ----------
    what : str
        What the made arguments are, for messages.
    steps : Along
        Changes the steps of a tensor.
    sequences : Along
        Changes the sequences of a tensor.
    length : callable
        Says what a length becomes.
    lengths : callable
        Says what a list of changed lengths becomes.
    """

    what: str
    steps: Along = _as_it_is
    sequences: Along = _as_it_is
    length: Callable[[int], int] = int
    lengths: Callable[[list[int]], list[int]] = list

    def of(self, arguments: Arguments, count: int, steps: int) -> Arguments | None:
        """Return changed arguments; None if nothing would change, or they cannot be made.

        Parameters
        ----------
        arguments : Arguments
            Not changed.
        count, steps : int
            Sequences that a recurrent layer ran for, and their steps. What has these axes first,
            in any order, is changed. Integers up to so many steps, one a sequence, are lengths.
        """
        change = _Change(self, count, steps)
        try:
            made = changed(deep_copy(arguments, name="example"), change)
        except (RuntimeError, ValueError, IndexError):  # what seemed to be steps is something else
            return None
        return cast(Arguments, made) if change.made else None


class _Change:
    """Changes one argument as a `Resized` says."""

    def __init__(self, how: Resized, count: int, steps: int) -> None:
        self.how, self.count, self.steps = how, count, steps
        self.made = False

    def __call__(self, value: Any) -> Any:
        new = self._changed(value)
        self.made |= new is not value
        return new

    def _changed(self, value: Any) -> Any:
        if isinstance(value, PackedSequence):
            if (int(value.batch_sizes[0]), len(value.batch_sizes)) != (self.count, self.steps):
                return value
            padded, lengths = pad_packed_sequence(value)
            others = torch.tensor(self._lengths(lengths.tolist()))
            padded = self.how.sequences(self.how.steps(padded, 0), 1)
            ordered = value.sorted_indices is None
            return pack_padded_sequence(padded, others, enforce_sorted=ordered)
        if type(value) in (list, tuple) and value and all(type(one) is int for one in value):
            return type(value)(self._lengths(value)) if self._are_lengths(value) else value
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
            found = value.tolist()
            return (
                np.array(self._lengths(found), value.dtype) if self._are_lengths(found) else value
            )
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            return value
        return self._tensor(value)

    def _tensor(self, value: Tensor) -> Tensor:
        if value.ndim == 1 and not value.is_floating_point() and value.dtype != torch.bool:
            found = value.tolist()
            if self._are_lengths(found):
                return torch.tensor(self._lengths(found)).to(value)
        if value.shape[:2] == (self.count, self.steps):
            return self.how.sequences(self.how.steps(value, 1), 0)
        if value.shape[:2] == (self.steps, self.count):
            return self.how.sequences(self.how.steps(value, 0), 1)
        for axis in (0, 1):  # one value a sequence, or states of several layers
            if value.ndim > axis and value.shape[axis] == self.count:
                return self.how.sequences(value, axis)
        return value

    def _are_lengths(self, values: Sequence[int]) -> bool:
        return len(values) == self.count and 1 <= min(values) <= max(values) <= self.steps

    def _lengths(self, values: Sequence[int]) -> list[int]:
        return self.how.lengths([self.how.length(one) for one in values])


ONE_STEP = Resized(
    "the first step of the example",
    lambda x, axis: x.narrow(axis, 0, 1).contiguous(),
    length=lambda n: 1,
)


def twice(steps: int) -> Resized:
    """Return the way to twice the steps: those of the example, one time after the other."""
    return Resized(
        "the example with twice its steps",
        lambda x, axis: torch.cat([x, x], axis),
        length=lambda n: n + steps,
    )


def other_batches(
    arguments: Arguments, count: int, steps: int, larger: bool = True
) -> Iterator[tuple[str, Arguments]]:
    """Yield arguments of other sizes and values than an example's.

    Parameters
    ----------
    arguments : Arguments
        Not changed.
    count, steps : int
        Sequences that a recurrent layer ran for, and their steps.
    larger : bool
        Whether there may be more steps and sequences than in the example.

    Yields
    ------
    what : str
        What the arguments are, for messages.
    arguments : Arguments
        Of one step less, half the steps and one step more; with further sequences of other lengths,
        and of one sequence, as far as they can be made. Their values are shuffled; those of the
        last have the other sign too.
    """
    ways = [_first(fewer) for fewer in sorted({steps - 1, steps // 2} - {0}, reverse=True)]
    ways += [_ONE_STEP_MORE, _of_all_lengths(steps)] if larger else []
    ways += [_ONE_SEQUENCE] if count > 1 else []
    last: tuple[str, Arguments, int] | None = None
    for number, how in enumerate(ways):
        made = how.of(arguments, count, steps)
        if made is None:
            continue
        if last is not None:
            yield last[0], _with_other_values(*last[1:], signs=False)
        last = how.what, made, number
    if last is not None:
        yield last[0], _with_other_values(*last[1:], signs=True)


def _first(steps: int) -> Resized:
    return Resized(
        f"the first {steps} steps of the example",
        lambda x, axis: x.narrow(axis, 0, steps).contiguous(),
        length=lambda n: min(n, steps),
    )


def _of_all_lengths(steps: int) -> Resized:
    """Return what adds sequences of all lengths, or of some from all over where steps are many."""
    lengths = np.linspace(steps, 1, min(steps, _LENGTHS)).round().astype(int).tolist()

    def sequences(tensor: Tensor, axis: int) -> Tensor:
        first = tensor.narrow(axis, 0, 1)
        added = first.repeat_interleave(len(lengths), axis)
        if tensor.dtype == torch.bool and tensor.ndim == 2 and tensor.shape[1 - axis] == steps:
            there = torch.arange(steps) < torch.tensor(lengths)[:, None]
            added = added & (there if axis == 0 else there.T).to(tensor.device)
        return torch.cat([tensor, added], axis)

    def of(before: list[int]) -> list[int]:
        both = [*before, *lengths]
        falling = before == sorted(before, reverse=True)  # as enforce_sorted=True wants them
        return sorted(both, reverse=True) if falling else both

    return Resized("the example with more sequences", sequences=sequences, lengths=of)


_ONE_STEP_MORE = Resized(
    "the example with one step more",
    lambda x, axis: torch.cat([x.narrow(axis, 0, 1), x], axis),
    length=lambda n: n + 1,
)
_ONE_SEQUENCE = Resized(
    "one sequence of the example",
    sequences=lambda x, axis: x.narrow(axis, 0, 1).contiguous(),
    lengths=lambda before: before[:1],
)


def _with_other_values(arguments: Arguments, seed: int, signs: bool) -> Arguments:
    """Shuffle the features and tokens in arguments, which are changed; flags stay as they are."""
    generator = torch.Generator().manual_seed(seed)

    def shuffle(value: Tensor) -> Tensor:
        order = torch.randperm(value.numel(), generator=generator).to(value.device)
        value = value.flatten()[order].view(value.shape)
        return -value if signs and value.is_floating_point() else value

    def change(value: Any) -> Any:
        if isinstance(value, PackedSequence):
            return value._replace(data=shuffle(value.data))
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            return value
        return value if value.ndim < 2 or value.dtype == torch.bool else shuffle(value)

    return cast(Arguments, changed(arguments, change))
