"""Arrays of NumPy: floats, integers, booleans, labels, with a mask or without."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs.kinds import FLOATS, LABELS, Array, Kind, Taken, wrong_dtype

Booleans = npt.NDArray[np.bool_]

NO_VALUE = ("NoneType", "NAType", "NaTType")
"""Types whose objects say that there is no value: None and those of pandas."""
ADVICE: dict[tuple[type, ...], str] = {
    (float, np.floating, Decimal, Fraction): "convert them: np.asarray(x, dtype=float)",
    (complex, np.complexfloating): "take their real part, imaginary part or magnitude",
    (
        datetime.date,
        datetime.time,
        datetime.timedelta,
        np.datetime64,
        np.timedelta64,
    ): "leave them out, or pass numbers such as seconds",
    (list, dict, set, np.ndarray): "pass one array, or a list of arrays, one for each sequence",
}
"""What to do about objects that are no labels."""
OF_KIND = {
    "c": "complex numbers; take their real part, imaginary part or magnitude",
    "M": "dates ({name}), which are no values to score; leave them out, or pass numbers",
    "m": "time differences ({name}); pass them as numbers, such as x / np.timedelta64(1, 's')",
    "V": "records of the fields {fields}; pass the fields as columns of one array, such as "
    "numpy.lib.recfunctions.structured_to_unstructured(x)",
}
"""What to do about arrays of other types."""


def take_array(array: Array, what: str) -> Taken:
    """An array of NumPy, also one with a mask.

    Parameters
    ----------
    array : ndarray
    what : str
        What it is, for messages.
    """
    if isinstance(array, np.ma.MaskedArray):
        return _take_masked(array, what)
    array = np.asarray(array)  # no subclass: a matrix has two axes whatever is taken of it
    if array.dtype == bool:
        array = array.view(np.uint8)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    name, kind = array.dtype.name, array.dtype.kind
    if name == "bfloat16":  # ml_dtypes, which JAX uses
        return Taken(array.view(np.uint16), name, Kind())
    if kind in "USOT":
        missing = _missing_labels(array, what)
        if missing is not None and kind == "T":  # whose missing strings NumPy does not compare
            array = array.astype(object)
        return Taken(array, LABELS, Kind(), missing)
    if kind in OF_KIND:
        fields = ", ".join(map(repr, array.dtype.names or ()))
        raise TypeError(f"{what} holds {OF_KIND[kind].format(name=name, fields=fields)}")
    if name not in FLOATS and kind not in "iu":
        raise TypeError(wrong_dtype(what, name))
    return Taken(array, name, Kind())


def _take_masked(array: np.ma.MaskedArray[Any, Any], what: str) -> Taken:
    """An array of `numpy.ma`: what is masked is missing."""
    mask = np.ma.getmaskarray(array)
    taken = take_array(np.ma.getdata(array), what)
    return without(taken, mask) if mask.any() else taken


def without(taken: Taken, missing: Booleans) -> Taken:
    """The same without some of its values: in floats, of which that takes a copy, these are NaN."""
    if taken.missing is not None:
        missing = missing | taken.missing
    if taken.dtype not in FLOATS:
        return Taken(taken.array, taken.dtype, taken.kind, missing)
    nan = 0x7FC0 if taken.dtype == "bfloat16" else np.nan
    return Taken(
        np.where(missing, taken.array.dtype.type(nan), taken.array), taken.dtype, taken.kind
    )


def common_dtype(parts: list[Taken], names: list[str], what: str) -> np.dtype[Any]:
    """The type that holds all of several arrays exactly; raise where they do not go together.

    Parameters
    ----------
    parts : list of Taken
    names : list of str
        What each is called, for messages.
    what : str
        What they are parts of.
    """
    groups: dict[str, str] = {}
    for part, name in zip(parts, names, strict=True):
        groups.setdefault(_group(part), name)
    if len(groups) > 1:
        named = " and ".join(f"{group} ({name})" for group, name in groups.items())
        raise TypeError(
            f"{what} holds {named}; floats are binned and others are symbols, so that they "
            "cannot be mixed: convert one of them"
        )
    if not parts:
        return np.dtype(float)
    dtype = np.result_type(*(part.array.dtype for part in parts))
    if "integers" in groups and dtype.kind not in "iu":  # uint64 beside a signed one
        most = max(int(part.array.max(initial=0)) for part in parts)
        if most > np.iinfo(np.int64).max:
            raise TypeError(f"{what} holds negative integers and {most}, for which no type is wide")
        dtype = np.dtype(np.int64)
    return dtype


def _group(taken: Taken) -> str:
    if taken.dtype == LABELS:
        return "labels"
    if taken.dtype == "bfloat16":  # whose bits NumPy cannot mix with other floats
        return "floats of type bfloat16"
    return "floats" if taken.dtype in FLOATS else "integers"


def _missing_labels(array: Array, what: str) -> Booleans | None:
    """Where labels are missing; raise for objects that are no labels."""
    if array.dtype.kind in "US":
        return None
    if array.ndim == 0:
        raise TypeError(f"{what} must be an array, got {type(array.item()).__name__}")
    objects = array.ravel().tolist()
    types = set(map(type, objects))
    if types <= {str}:
        return None
    missing = np.fromiter(map(_is_missing, objects), bool, len(objects))
    present = {type(each) for each, gone in zip(objects, missing, strict=True) if not gone}
    _check_types(present, what)
    return missing.reshape(array.shape) if missing.any() else None


def _is_missing(one: Any) -> bool:
    if isinstance(one, (float, np.floating)):
        return bool(one != one)
    return type(one).__name__ in NO_VALUE


def _check_types(types: set[type], what: str) -> None:
    """Raise a TypeError for objects that are no labels."""
    for kind in sorted(types, key=lambda each: each.__name__):
        for bad, advice in ADVICE.items():
            if issubclass(kind, bad):
                raise TypeError(f"{what} holds objects of type {kind.__name__}; {advice}")
        if kind.__hash__ is None:
            raise TypeError(
                f"{what} holds objects of type {kind.__name__}, which cannot be told apart as "
                "labels"
            )
