"""Lists of sequences, which need not be equally long."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs.arrays import common_dtype
from tefast._inputs.kinds import LABELS, KeptAxes, Kind, Taken
from tefast._support.memory import check_copy

Take = Callable[[Any, str], Taken]


@dataclass(frozen=True)
class Listed(Kind):
    """A list of arrays.

    Attributes
    ----------
    of : tuple of Kind
        Those of all of them.
    time : int
        The axis of each along which their sizes differ, if they do.
    lengths : tuple of int, or None
        Their sizes there.
    """

    of: tuple[Kind, ...]
    time: int = 0
    lengths: tuple[int, ...] | None = None

    def back(self, result: Any, axes: KeptAxes) -> Any:
        """See `Kind.back`: values of steps as a list, scores as one of the arrays would have."""
        if 0 not in axes:
            return self.of[0].back(result, _inner(axes))
        if len(axes) == 1:
            return self.of[0].back(result, ("unit",))
        parts, inner = [], _inner(axes[1:])
        for i, part in enumerate(result):
            if self.lengths is not None:
                padding = max(self.lengths) - self.lengths[i]
                axis = inner.index(self.time)
                kept = [slice(None)] * part.ndim
                kept[axis] = slice(0, max(0, part.shape[axis] - padding))
                part = part[tuple(kept)]
            parts.append(self.of[i].back(part, inner))
        return parts

    def place(self, index: list[int]) -> str:
        """See `Kind.place`."""
        return f"[{index[0]}]{self.of[index[0]].place(index[1:])}"


def _inner(axes: KeptAxes) -> KeptAxes:
    """Axes of the list as those of an array in it."""
    return tuple(axis if isinstance(axis, str) else axis - 1 for axis in axes)


def is_of_arrays(x: Any) -> bool:
    """Whether `x` is a list of arrays or tables, or an array of such objects."""
    if isinstance(x, np.ndarray):
        return x.dtype == object and x.ndim == 1 and len(x) > 0 and _is_array(x[0])
    return isinstance(x, list | tuple) and len(x) > 0 and _is_array(x[0], lists=False)


def _is_array(x: Any, lists: bool = True) -> bool:
    return len(getattr(x, "shape", ())) > 0 or (lists and isinstance(x, list))


def is_unequal(x: Any) -> bool:
    """Whether `x` is a list of sequences that are not all of one shape."""
    if is_of_arrays(x):
        return len({np.shape(each) for each in x}) > 1
    lists = isinstance(x, list | tuple) and all(isinstance(each, list | tuple) for each in x)
    return lists and len({len(each) for each in x}) > 1


def take_sequences(x: Sequence[Any], what: str, take: Take) -> Taken:
    """A list of sequences, in one array; shorter ones are padded, in a copy.

    Parameters
    ----------
    x : sequence of array_like, shape (T,) or (T, U), or all of another one
    what : str
    take : callable
        Takes one of them.

    Returns
    -------
    Taken
        (sequences, T) or (sequences, T, U), with `lengths` where they are not equally long.
    """
    parts = [take(each, f"sequence {i} of {what}") for i, each in enumerate(x)]
    shapes, kinds = [part.shape for part in parts], tuple(part.kind for part in parts)
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        raise ValueError(f"{what} is a list of sequences of different numbers of axes: {shapes}")
    if len(set(shapes)) == 1:
        return _joined(parts, what, shapes[0], Listed(kinds))
    differing = [
        axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1
    ]
    if len(shapes[0]) > 2 or len(differing) > 1:
        i = next(i for i, shape in enumerate(shapes) if shape != shapes[0])
        raise ValueError(
            f"{what} is a list of sequences, which may differ in their steps alone: of shape (T,) "
            f"or (T, U) with the same U; got {shapes[0]} first and {shapes[i]} for sequence {i}"
        )
    lengths = tuple(shape[differing[0]] for shape in shapes)
    whole = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    return _joined(parts, what, whole, Listed(kinds, differing[0], lengths))


def padded(parts: Sequence[npt.NDArray[Any]], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Arrays in one, (parts, *shape), each at the beginning of its part and zeros behind it."""
    dtype = np.result_type(*(part.dtype for part in parts))
    out: Any = np.zeros((len(parts), *shape), dtype)
    for row, part in zip(out, parts, strict=True):
        row[tuple(map(slice, part.shape))] = part
    return np.asarray(out)


def _joined(parts: list[Taken], what: str, shape: tuple[int, ...], kind: Listed) -> Taken:
    lengths = None if kind.lengths is None else np.array(kind.lengths, dtype=np.int64)
    if not isinstance(parts[0].array, np.ndarray):
        return Taken(_joined_tensors(parts, what, shape), parts[0].dtype, kind, None, lengths)
    if not all(isinstance(part.array, np.ndarray) for part in parts):
        raise TypeError(f"{what} is a list of tensors of which only some lie in the host's memory")
    dtype = common_dtype(parts, [f"sequence {i}" for i in range(len(parts))], what)
    size = len(parts) * math.prod(shape) * dtype.itemsize
    check_copy(size, f"{what}, as one array,", "pass the list to tefast.stream")
    array = padded([part.array.astype(dtype, copy=False) for part in parts], shape)
    name = parts[0].dtype if parts[0].dtype in (LABELS, "bfloat16") else dtype.name
    missing = None
    if any(part.missing is not None for part in parts):
        gone = [
            np.zeros(part.shape, bool) if part.missing is None else part.missing for part in parts
        ]
        missing = padded(gone, shape)
    return Taken(array, name, kind, missing, lengths)


def _joined_tensors(parts: list[Taken], what: str, shape: tuple[int, ...]) -> Any:
    found = {(part.dtype, str(getattr(part.array, "device", "cpu"))) for part in parts}
    if len(found) > 1:
        raise TypeError(f"{what} is a list of tensors of several types or devices: {sorted(found)}")
    out = parts[0].array.new_zeros((len(parts), *shape))
    for row, part in zip(out, parts, strict=True):
        row[tuple(map(slice, part.shape))] = part.array
    return out
