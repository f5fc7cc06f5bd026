"""Whether two models return the same: tensors, numbers, text, and the kinds of what holds them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from tefast.nn._trace.comparison import Tolerance, alike
from tefast.nn._trace.nested import Leaf
from tefast.nn._trace.sight import _dense, _features, is_number


def compare_results(
    found: Sequence[Leaf],
    expected: Sequence[Leaf],
    tolerance: Tolerance,
    refuse: Callable[[str], NoReturn],
    *,
    all_of_it: bool = True,
) -> None:
    """Compare what two models give.

    Parameters
    ----------
    found, expected : as `nested.parts` lists them
    tolerance : Tolerance
    refuse : callable
        Called with what differs; raises.
    all_of_it : bool
        Whether what only one of them gives, what has another shape there and what cannot be
        compared is a difference. Else it is left out.
    """
    if all_of_it and [where for where, _ in found] != [where for where, _ in expected]:
        refuse("what it returns is of another kind")
    for where, ours, theirs in _pairs(found, expected):
        if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray) and is_number(ours):
            ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
        if not isinstance(ours, Tensor) or not isinstance(theirs, Tensor):
            _compare_object(where, ours, theirs, tolerance, refuse, all_of_it)
            continue
        if ours.shape != theirs.shape:
            if not all_of_it:
                continue
            refuse(f"{where} has shape {tuple(ours.shape)} where {tuple(theirs.shape)} is expected")
        ours, theirs = (_dense(one).detach() for one in (ours, theirs))
        features = _features(ours, ours.numel())
        if not alike(ours.flatten(), theirs.flatten(), features, tolerance, about_mean=True):
            refuse(f"{where} is another one")


def compare_kinds(
    found: Sequence[Leaf], expected: Sequence[Leaf], refuse: Callable[[str], NoReturn]
) -> None:
    """Compare shapes and dtypes alone."""
    kinds = [
        [
            (where, tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else (where,)
            for where, leaf in each
        ]
        for each in (found, expected)
    ]
    for ours, theirs in zip(*kinds, strict=False):
        if ours != theirs:
            refuse(f"it returns {_described(ours)} where {_described(theirs)} is expected")
    if len(kinds[0]) != len(kinds[1]):
        refuse("what it returns is of another kind")


def _described(kind: tuple[Any, ...]) -> str:
    where, *rest = kind
    return f"{where} of shape {rest[0]} and {rest[1]}" if rest else where


def _pairs(found: Sequence[Leaf], expected: Sequence[Leaf]) -> Iterator[tuple[str, Any, Any]]:
    theirs = dict(expected)
    for where, leaf in found:
        if where in theirs:
            yield where, leaf, theirs[where]


def _compare_object(
    where: str,
    ours: Any,
    theirs: Any,
    tolerance: Tolerance,
    refuse: Callable[[str], NoReturn],
    all_of_it: bool,
) -> None:
    if type(ours) is not type(theirs):
        refuse(f"{where} is a {type(ours).__name__}, expected a {type(theirs).__name__}")
    if isinstance(ours, float | complex | np.generic) and not isinstance(ours, np.character):
        one, other = (torch.as_tensor(number).reshape(1) for number in (ours, theirs))
        if not alike(one, other, torch.zeros(1, dtype=torch.int64), tolerance):
            refuse(f"{where} is {ours}, expected {theirs}")
        return
    if isinstance(ours, nn.Module) or ours is theirs:
        return
    if isinstance(ours, Iterator) or getattr(type(ours), "__eq__", None) is object.__eq__:
        if not all_of_it:
            return
        raise ValueError(
            f"{where}, a {type(ours).__name__}, holds nothing that could be compared; have the "
            "model return tensors, or name the consumers"
        )
    if not bool(np.all(ours == theirs)):
        refuse(f"{where} is {ours!r:.60}, expected {theirs!r:.60}")
