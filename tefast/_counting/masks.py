"""Masks: values that are not to be counted, wherever they lie.

A masked value becomes NaN in a copy, and what touches a NaN is left out. Symbols become floats for
that, with an edge half-way between any two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs import layouts
from tefast._inputs.kinds import PAIRED
from tefast._inputs.numbers import as_float64
from tefast._inputs.sequences import padded
from tefast._inputs.values import Values, series_shape
from tefast._support.mistakes import MistakeError
from tefast._tables.types import Scan
from tefast.binning import Binning

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Mask:
    """Which values count.

    Attributes
    ----------
    counts : ndarray of bool, shape (N, T, 1) or (N, T, U)
    of_all : bool
        Of all inputs, or of the target alone.
    """

    counts: Booleans
    of_all: bool

    def of(self, data: Values) -> Booleans:
        """What of an input counts, in a shape that goes with its values."""
        own = data.role in ("h", PAIRED)
        return self.counts if self.of_all or own else np.ones((1, 1, 1), bool)


def counted(data: Values, mask: Mask | None) -> Booleans | None:
    """What of an input counts: what the mask says, and has a value; None for all of it."""
    if data.missing is None:
        return None if mask is None else mask.of(data)
    there = ~data.missing
    return there if mask is None else np.asarray(there & mask.of(data))


def check_missing(data: Values, mask: Mask | None, lengths: Any, omit: bool) -> None:
    """Raise a ValueError for symbols that are missing, unless they are left out."""
    if data.missing is None or omit:
        return
    gone = data.missing if mask is None else data.missing & mask.of(data)
    if lengths is not None:
        gone = gone & _within(lengths, gone.shape[1])
    if gone.any():
        raise MistakeError(
            f"{data.name} must have all its values, got {int(gone.sum())} missing ones, the first "
            f"at {data.index(_first(gone))}; nan_policy='omit' leaves out what touches them"
        )


def check_mask(mask: Any, target: Values) -> Mask | None:
    """`mask` of all inputs where it has the shape of one series, else of the target.

    Parameters
    ----------
    mask : array_like of bool, the shape of one series or that of the target
        True where a value counts.
    """
    if mask is None:
        return None
    array = _as_array(mask, target)
    if array.dtype != bool:
        raise TypeError(f"mask must hold booleans, True where a value counts, got {array.dtype}")
    layout = layout_of(array.shape, target)
    return Mask(layouts.moved(array, layout), layout != target.layout or "U" not in layout)


def layout_of(shape: tuple[int, ...], target: Values) -> str:
    """What the axes of a mask of this shape hold; raise a ValueError if it does not fit."""
    if shape == series_shape(target):
        return layouts.of_series(target.layout)
    if shape == target.shape:
        return target.layout
    raise ValueError(
        f"mask must have shape {series_shape(target)}, or {target.shape} for the target alone, to "
        f"go with {target.name} of shape {target.shape}, got {shape}; {target.name} was read "
        f"as {layouts.reading(target.shape, target.layout)}"
    )


def _as_array(mask: Any, target: Values) -> npt.NDArray[Any]:
    """A mask as an array; a list of unequal ones beside such a target as one."""
    if target.own_lengths is not None and isinstance(mask, list | tuple):
        parts = [np.asarray(each) for each in mask]
        for layout in (layouts.of_series(target.layout), target.layout):
            shapes = _shapes(target, layout)
            if [part.shape for part in parts] == shapes:
                return padded(parts, tuple(max(sizes) for sizes in zip(*shapes, strict=True)))
        raise ValueError(
            f"mask is a list beside {target.name}, one of sequences of unequal lengths; masks must "
            "have the shape of each sequence or that of its steps, such as "
            f"{_shapes(target, target.layout)[0]} for the first, got {parts[0].shape}"
        )
    return np.asarray(mask.cpu() if hasattr(mask, "cpu") else mask)


def _shapes(target: Values, layout: str) -> list[tuple[int, ...]]:
    """The shapes of sequences of unequal lengths, with the axes of a layout that begins with N."""
    sizes = dict(zip(target.layout, target.shape, strict=True))
    lengths = [] if target.own_lengths is None else target.own_lengths.tolist()
    return [
        tuple(length if letter == "T" else sizes[letter] for letter in layout[1:])
        for length in lengths
    ]


def masked(data: Values, mask: Booleans) -> Values:
    """A copy in which what is masked is NaN."""
    array: Any
    if isinstance(data.array, np.ndarray):
        floats = data.dtype in ("float32", "float64")
        # bfloat16 is held as bits, and NumPy's float16 would gain nothing.
        wide = data.array if floats else _widened(data)
        array = np.where(mask, wide, wide.dtype.type(np.nan))
        return replace(data, array=array, dtype=array.dtype.name, missing=None)
    import torch

    array = data.array.float() if data.is_symbols else data.array
    left_out = torch.from_numpy(~mask).to(array.device)
    array = array.masked_fill(left_out, torch.nan)
    return data.with_array(array, str(array.dtype).removeprefix("torch."))


def _widened(data: Values) -> npt.NDArray[Any]:
    if data.is_symbols:
        return np.asarray(data.array, dtype=np.float64)
    return as_float64(data.array, data.dtype).astype(np.float32)


def half_way(bins: int) -> Binning:
    """The binning under which symbols held as floats keep their codes."""
    return Binning(bins, np.arange(1, bins, dtype=np.float64)[np.newaxis] - 0.5)


def scan_unmasked(data: Values, mask: Booleans, lengths: Any, bins: int) -> Scan:
    """What a scan finds where the mask is True; without ranges."""
    host = data.on_host()
    sequences, steps, units = host.array.shape
    counts = np.broadcast_to(mask, (sequences, steps, units)).copy()
    if lengths is not None:
        counts &= _within(lengths, steps)
    if data.is_symbols:
        outside = ((host.array < 0) | (host.array > bins - 1)) & counts
        nan = infinite = np.zeros_like(counts)
    else:
        numbers = as_float64(host.array, host.dtype)
        nan, infinite = np.isnan(numbers) & counts, np.isinf(numbers) & counts
        outside = np.zeros_like(counts)
    bad = infinite | outside
    many = [int(each.sum()) for each in (nan, infinite, outside)]
    none = np.empty(0)
    return Scan(many[0], many[1], many[2], _first(nan), _first(bad), none, none)


def _within(lengths: npt.NDArray[np.int64], steps: int) -> Booleans:
    """Which steps (N, T, 1) sequences have."""
    return np.asarray(np.arange(steps) < lengths[:, np.newaxis])[..., np.newaxis]


def _first(where: Booleans) -> int:
    return int(where.argmax()) if where.any() else -1
