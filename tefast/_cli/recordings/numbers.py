"""Chosen columns as one array of numbers, or an error that names the column that is none."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tefast._cli.recordings.choice import ColumnChoice
from tefast._cli.recordings.recording import Array, Recording, TextTable, of_array, row_of
from tefast._support.warn import warn

SYMBOLS = (
    "or take every distinct value of all columns, of texts and integers too, as a symbol by "
    "--binning symbols"
)
CLOCK_ROWS = 10
"""Of fewer rows nobody can say whether they are counted."""


def as_target(choice: ColumnChoice, option: str, *, numbers: bool, symbols: bool) -> Recording:
    """The target, its columns along the last axis.

    Parameters
    ----------
    choice : Choice
    option : str
        Which chose it, for messages.
    numbers : bool
        Take integers for numbers, which are binned.
    symbols : bool
        Take texts too.
    """
    holder = choice.of
    if isinstance(holder, Recording):
        recording = holder
        if choice.places is not None:
            recording = holder.columns(choice.places, choice.axis)
        return _of_array(recording, numbers)
    places = tuple(range(holder.shape[1])) if choice.places is None else choice.places
    arrays = holder.read(places)
    _refuse_clocks(holder, places, arrays, option, chosen=choice.named)
    return _joined(holder, places, arrays, option, numbers=numbers, symbols=symbols)


def as_source(
    choice: ColumnChoice,
    target: Recording,
    option: str,
    *,
    numbers: bool,
    symbols: bool,
    joint: bool = False,
) -> Recording:
    """The source: one column, or an array without columns; `joint` several, along an axis more."""
    if joint:
        return as_target(choice, option, numbers=numbers, symbols=symbols)
    holder, places = choice.of, choice.places
    if places is not None or isinstance(holder, TextTable):
        many = holder.shape[choice.axis] if places is None else len(places)
        if many != 1:
            raise ValueError(
                f"{option} takes one column, got {many} of {holder.name}; --joint takes several "
                "at once"
            )
    if isinstance(holder, TextTable):
        place = (0 if places is None else places[0],)
        arrays = holder.read(place)
        _refuse_clocks(holder, place, arrays, option, chosen=True)
        column = _joined(holder, place, arrays, option, numbers=numbers, symbols=symbols)
        if len(column.shape) > 2 or column.shape[-1] != 1:
            raise ValueError(
                f"{option} takes one series, got {holder.label(place[0])} of {holder.name}, "
                f"of shape {arrays[0].shape}"
            )
        return _renamed(column.column(0), holder, place[0])
    if places is not None:
        recording = holder.column(places[0], choice.axis)
    elif len(holder.shape) == len(target.shape) and holder.shape[-1] == 1:
        recording = holder.column(0)  # (steps, 1) beside a target (steps, units)
    else:
        recording = holder
    return _of_array(recording, numbers)


def _renamed(recording: Recording, holder: TextTable, place: int) -> Recording:
    return replace(recording, name=holder.name if holder.names is None else holder.names[place])


def _of_array(recording: Recording, numbers: bool) -> Recording:
    if recording.note is not None:
        warn(recording.note)
    return recording.as_floats() if numbers else recording


def _joined(
    table: TextTable,
    places: Sequence[int],
    arrays: list[Array],
    option: str,
    *,
    numbers: bool,
    symbols: bool,
) -> Recording:
    """Columns of a table side by side, all of one kind."""
    if table.note is not None:
        warn(table.note)
    kinds = [_kind(array) for array in arrays]
    for place, array, kind in zip(places, arrays, kinds, strict=True):
        if kind == "other" and not symbols:
            raise ValueError(
                f"{table.name}: {table.label(place)} holds {_sample(array)}, no numbers; leave it "
                f"out by {option}{_advice(table, option, places, [place])}"
                + ("" if array.dtype.kind in "Mm" else f"; {SYMBOLS}")
            )
    if numbers or symbols:
        arrays = [(_codes if symbols else _floats)(array) for array in arrays]
    else:
        _refuse_mixture(table, places, kinds)
        _refuse_missing(table, places, arrays)
    flat = [array[:, np.newaxis] if array.ndim == 1 else array for array in arrays]
    joined = np.concatenate(flat, axis=-1)
    # A field of a structured array may hold several columns.
    each = [
        (place, f"[{i}]" if part.shape[1] > 1 else "")
        for place, part in zip(places, flat, strict=True)
        for i in range(part.shape[1])
    ]
    known = table.names
    names = None if known is None else tuple(known[place] + part for place, part in each)
    labels = [table.label(place) + part for place, part in each]
    return of_array(table.name, joined, names=names, where=lambda at: row_of(at[0], labels[at[1]]))


def _kind(array: Array) -> str:
    kind = array.dtype.kind
    return "integers" if kind in "iub" else "floats" if kind == "f" else "other"


def _floats(array: Array) -> Array:
    """Numbers as floats, missing ones as NaN."""
    if isinstance(array, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(array), np.nan, array.data.astype(np.float64))
    return array.astype(np.float64) if array.dtype.kind in "iub" else array


def _codes(array: Array) -> Array:
    """Symbols as numbers, missing ones as NaN; of texts their places in a sorted list of them."""
    missing = np.ma.getmaskarray(array)
    if _kind(array) == "other":
        import pandas

        missing = np.asarray(pandas.isna(array))
        codes = np.zeros(array.shape, np.int64)
        codes[~missing] = np.unique(array[~missing].astype(str), return_inverse=True)[1]
        array = codes
    plain = np.asarray(array.data if isinstance(array, np.ma.MaskedArray) else array)
    return np.where(missing, np.nan, plain) if missing.any() else plain


def _refuse_mixture(table: TextTable, places: Sequence[int], kinds: list[str]) -> None:
    if len(set(kinds)) > 1:
        shown = "; ".join(
            f"{kind} in {', '.join(table.label(p) for p, k in zip(places, kinds, strict=True) if k == kind)}"  # noqa: E501
            for kind in dict.fromkeys(kinds)
        )
        raise ValueError(
            f"{table.name} has {shown}: integers are symbols and floats are binned; "
            "--bin-integers bins them all, --binning symbols takes every distinct value as a "
            "symbol, or choose columns of one kind"
        )


def _refuse_missing(table: TextTable, places: Sequence[int], arrays: list[Array]) -> None:
    for place, array in zip(places, arrays, strict=True):
        if isinstance(array, np.ma.MaskedArray):
            missing = int(np.ma.getmaskarray(array).sum())
            raise ValueError(
                f"{table.name}: {table.label(place)} holds integers, which are symbols, and "
                f"{missing} missing values; --bin-integers --nan-policy omit bins them as numbers "
                "and leaves out what touches a missing one, and --binning symbols in place of "
                "--bin-integers takes them as symbols"
            )


def _refuse_clocks(
    table: TextTable, places: Sequence[int], arrays: list[Array], option: str, *, chosen: bool
) -> None:
    """Say so where a column counts the rows or holds their times."""
    for place, array in zip(places, arrays, strict=True):
        if not _is_clock(array):
            continue
        what = (
            f"{table.name}: {table.label(place)} rises evenly ({array[0]}, {array[1]}, "
            f"{array[2]}, ...), as row numbers and times do"
        )
        if not chosen:
            raise ValueError(
                f"{what}; leave it out by {option}{_advice(table, option, places, [place])}"
            )
        warn(what)


def _is_clock(array: Any) -> bool:
    """Whether the values rise in even steps."""
    if array.ndim != 1 or len(array) < CLOCK_ROWS or array.dtype.kind not in "iuf":
        return False
    steps = np.diff(np.asarray(array, dtype=np.float64))
    step = (float(array[-1]) - float(array[0])) / (len(array) - 1)
    return bool(step > 0 and (np.abs(steps - step) < 0.1 * step).all())


def _sample(array: Array) -> str:
    if array.dtype.kind == "M":
        return f"dates ({array[0]}, ...)"
    if array.dtype.kind == "m":
        return f"durations ({array[0]}, ...)"
    return f"{'texts' if isinstance(array[0], str) else 'objects'} ({str(array[0])!r}, ...)"


def _advice(table: TextTable, option: str, places: Sequence[int], without: Sequence[int]) -> str:
    """How to name columns of numbers: of those that were chosen, or else of all, but for some."""
    every = [
        i for i, kind in enumerate(table.types)
        if kind.startswith(("int", "uint", "float", "double", "half", "bool")) and i not in without
    ]  # fmt: skip
    numeric = [i for i in every if i in places] or every
    if not numeric:
        return ""
    names = [str(i) if table.names is None else shlex.quote(table.names[i]) for i in numeric]
    most = 1 if option == "--source" else 6
    shown = " ".join(names[:most]) + (" ..." if 1 < most < len(names) else "")
    return f", such as {option} {shown}"
