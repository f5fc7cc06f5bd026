"""Symbols: labels of any kind become the codes ``0 .. bins - 1`` of the "symbols" binning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs.numbers import as_float64
from tefast._inputs.values import Values
from tefast.binning import MAX_SYMBOLS

Labels = npt.NDArray[Any]
Codes = npt.NDArray[np.int16]
Booleans = npt.NDArray[np.bool_]

MISSING = -1
TABLE_SIZE = 2**20
"""Integers of a range up to this are looked up in a table instead of being searched for."""


def found_labels(data: Values, counted: Booleans) -> Labels:
    """The distinct labels of an input, sorted, without those that are missing.

    Parameters
    ----------
    data : Values
    counted : ndarray of bool, (N or 1, T or 1, U or 1)
        Which values count; others give no label.

    Raises
    ------
    ValueError
        If there are more than `MAX_SYMBOLS`.
    """
    array, missing = _labels_of(data)
    labels = _distinct(array[np.broadcast_to(counted, array.shape) & ~missing])
    if labels.size > MAX_SYMBOLS:
        raise ValueError(
            f"{data.name} holds {labels.size} different values, binning='symbols' takes at most "
            f"{MAX_SYMBOLS}; numbers of many values are binned by 'uniform' or 'quantile'"
        )
    return labels


def relabelled(data: Values, labels: Labels, counted: Booleans) -> tuple[Values, Booleans]:
    """The input as codes of `labels`, and which of its counted values are missing.

    A code is -1 where a value is missing or does not count.

    Raises
    ------
    ValueError
        For the first counted value that is none of the labels.
    """
    array, missing = _labels_of(data)
    codes, known = _codes(array, labels, missing)
    unknown = np.broadcast_to(counted, array.shape) & ~missing & ~known
    if unknown.any():
        first = int(unknown.argmax())
        raise ValueError(
            f"{data.index(first)} = {array.flat[first]!r} is none of the {labels.size} labels of "
            f"the binning; {int(unknown.sum())} values are not"
        )
    found = np.broadcast_to(counted, array.shape) & missing
    return replace(data, array=codes, dtype="int16", missing=None), found


def _labels_of(data: Values) -> tuple[Labels, Booleans]:
    """The values (N, T, U) on the host, and where they are missing: NaN, None, NA or NaT."""
    array = data.on_host().array
    if data.dtype == "bfloat16":
        array = as_float64(array, data.dtype)
    missing = np.zeros(array.shape, bool) if data.missing is None else data.missing
    return array, (missing | np.isnan(array) if array.dtype.kind == "f" else missing)


def _distinct(array: Labels) -> Labels:
    if array.dtype.kind in "iu" and array.size:
        low, high = int(array.min()), int(array.max())
        if high - low < TABLE_SIZE:
            seen = np.zeros(high - low + 1, bool)
            seen[_offsets(array, low)] = True
            return np.asarray(np.flatnonzero(seen).astype(np.int64) + low).astype(array.dtype)
    if array.dtype.kind != "O":
        return np.unique(array)
    different = list(dict.fromkeys(array.tolist()))
    try:
        different.sort()
    except TypeError:  # of several kinds, which have no order
        different.sort(key=lambda label: (type(label).__name__, str(label)))
    labels = np.empty(len(different), object)
    labels[:] = different
    return labels


def _codes(array: Labels, labels: Labels, missing: Booleans) -> tuple[Codes, Booleans]:
    """Codes of all values, `MISSING` where there is none, and where there is one."""
    if not labels.size:
        return np.full(array.shape, MISSING, np.int16), np.zeros(array.shape, bool)
    if array.dtype.kind == "O" or labels.dtype.kind == "O":
        place = {label: code for code, label in enumerate(labels.tolist())}
        found = np.array(
            [MISSING if gap else place.get(each, MISSING)
             for each, gap in zip(array.flat, missing.flat, strict=True)],
            np.int16,
        ).reshape(array.shape)  # fmt: skip
        return found, found != MISSING
    span = labels[-1].item() - labels[0].item() if labels.dtype.kind in "iu" else TABLE_SIZE
    if array.dtype.kind in "iu" and span < TABLE_SIZE:
        low = labels[0].item()
        table = np.full(span + 1, MISSING, np.int16)
        table[_offsets(labels, low)] = np.arange(labels.size)
        inside = (array >= low) & (array <= labels[-1].item())
        codes = np.where(inside, table[_offsets(np.where(inside, array, labels[0]), low)], MISSING)
        return codes.astype(np.int16), codes != MISSING
    place_of = np.minimum(np.searchsorted(labels, array), labels.size - 1)
    known = ~missing & (labels[place_of] == array)
    return np.where(known, place_of, MISSING).astype(np.int16), known


def _offsets(array: Labels, low: int) -> npt.NDArray[np.int64]:
    """Integers of any width as their distances from the least of them."""
    if array.dtype.itemsize < 8:
        return array.astype(np.int64) - low
    offsets: npt.NDArray[np.int64] = (array - array.dtype.type(low)).astype(np.int64)
    return offsets
