"""MATLAB's files of both kinds, with the shapes and classes that MATLAB shows.

A vector, 1 x n or n x 1, is a series (n,). Fields of a struct are named ``struct.field``. A cell
array of equally large arrays is one array with an axis more in front.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tefast._cli.recordings.hdf5 import WHAT
from tefast._cli.recordings.recording import (
    Array,
    Recording,
    Recordings,
    needed,
    of_array,
    of_objects,
    readable,
)

NUMBERS = {"double": "float64", "single": "float32", "logical": "bool"} | {
    name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
                            "uint64")
}  # fmt: skip
UNEQUAL = (
    "is a cell array whose cells differ in size or class. In MATLAB, fill numbers up to one array "
    "(sequences, steps, units) and keep how long each was, for --lengths: n = cellfun(@(s) "
    "size(s, 1), c); h = zeros(numel(c), max(n), size(c{1}, 2)); for i = 1:numel(c), "
    "h(i, 1:n(i), :) = c{i}; end, save('filled.mat', 'h', 'n')"
)
STRUCTS = "is an array of structs; take one of its elements, or a field of all, in MATLAB"
COMPLEX = "holds complex numbers, which are not binned: take real, imag or abs of them in MATLAB"


@contextmanager
def version5(path: Path) -> Iterator[Recordings]:
    """Files of versions 4 to 7, read by SciPy: each variable when it is asked for."""
    with needed("scipy"):
        from scipy.io import loadmat, matlab, whosmat
    damage = (matlab.MatReadError, ValueError, TypeError, NotImplementedError, zlib.error, OSError)

    def load(name: str, **how: Any) -> Any:
        with readable(path, "MATLAB file", *damage):
            return loadmat(path, variable_names=[name], **how)[name]

    with readable(path, "MATLAB file", *damage):
        variables = whosmat(path)
    found: dict[str, Recording] = {}
    for name, shape, kind in variables:
        if name.startswith("__"):  # where MATLAB keeps functions
            continue
        if kind in NUMBERS or kind == "sparse":
            found[name] = _lazy(name, shape, NUMBERS.get(kind, "float64"), partial(load, name))
        elif kind in ("struct", "cell", "char", "object"):
            with warnings.catch_warnings():
                # It leaves out imaginary parts, which the second reading tells of.
                warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
                found |= _unfolded(name, load(name, mat_dtype=True), load(name))
    yield Recordings(found)


def _lazy(name: str, shape: Sequence[int], dtype: str, load: Callable[[], Any]) -> Recording:
    """A variable in the class that MATLAB shows, which packs doubles that are whole into integers.

    As integers they would be taken for symbols.
    """
    read: list[Array] = []

    def slice_of(key: Any) -> Array:
        if not read:
            array = load()
            array = array.toarray() if hasattr(array, "toarray") else array
            if array.dtype.kind == "c":
                raise ValueError(f"{name} {COMPLEX}")
            read.append(_series(array.astype(dtype, copy=False)))
        return np.asarray(read[0][key])

    return Recording(name, _series_shape(tuple(shape)), np.dtype(dtype), slice_of)


def _unfolded(name: str, value: Any, plain: Any) -> dict[str, Recording]:
    """What a variable that is no array of numbers holds, by name.

    Parameters
    ----------
    value, plain
        It in MATLAB's classes, and as it is stored, complex numbers too.
    """
    if not isinstance(value, np.ndarray):  # sparse, or of a class that SciPy does not know
        known = hasattr(value, "toarray") and plain.dtype.kind != "c"
        return {name: _array(name, value.toarray())} if known else {}
    if value.dtype.names is not None:
        if value.size != 1:
            return {name: of_objects(name, value.shape, "struct array", STRUCTS)}
        inside, stored = value.reshape(-1)[0], plain.reshape(-1)[0]
        parts = (_unfolded(f"{name}.{field}", inside[field], stored[field])
                 for field in value.dtype.names)  # fmt: skip
        return {key: part for found in parts for key, part in found.items()}
    if plain.dtype.kind == "c":
        return {name: Recording(name, _series_shape(plain.shape), "complex", _refuse,
                                problem=COMPLEX)}  # fmt: skip
    if value.dtype != object:
        return {name: _array(name, value)}
    return {name: _cells(name, list(value.reshape(-1, order="F")), value.shape)}


def _array(name: str, value: Array) -> Recording:
    return of_array(name, _series(value.astype(value.dtype.newbyteorder("="), copy=False)))


def _cells(name: str, cells: list[Any], shape: tuple[int, ...]) -> Recording:
    """A cell array as one array, if its cells are alike: numbers of one size, or texts."""
    if cells and all(isinstance(cell, np.ndarray) for cell in cells):
        if all(cell.dtype.kind == "U" and cell.size <= 1 for cell in cells):
            return of_array(name, np.array(["".join(cell.reshape(-1)) for cell in cells]))
        kinds = {(cell.shape, cell.dtype) for cell in cells}
        if len(kinds) == 1 and cells[0].dtype.kind in "fiub":
            return of_array(name, np.stack([_series(cell) for cell in cells]))
    return of_objects(name, shape, "cells of unequal size", UNEQUAL)


def _series(array: Array) -> Array:
    """A vector of MATLAB as a series; any other array as it is."""
    return array.reshape(_series_shape(array.shape))


def _series_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 2 or 1 not in shape:
        return shape
    return () if shape == (1, 1) else (max(shape) if 0 not in shape else 0,)


@contextmanager
def version73(path: Path) -> Iterator[Recordings]:
    """Files of version 7.3, which are HDF5 with every array transposed, read by h5py."""
    with needed("h5py"):
        import h5py
    with readable(path, WHAT, OSError):
        file = h5py.File(path, "r")
    with file:
        found: dict[str, Recording] = {}
        for name, item in file.items():
            if not name.startswith("#"):  # what references point to
                found |= _stored(name, item, file)
        yield Recordings(found)


def is_version73(file: Any) -> bool:
    """Whether the items of an HDF5 file have MATLAB's classes."""
    return any("MATLAB_class" in item.attrs for item in file.values())


def _stored(name: str, item: Any, file: Any) -> dict[str, Recording]:
    """What a variable of version 7.3 holds, by name."""
    kind = _class(item)
    if not hasattr(item, "shape"):
        if "MATLAB_sparse" in item.attrs:
            return {name: _sparse(name, item)}
        parts = (_stored(f"{name}.{field}", part, file) for field, part in item.items())
        return {key: part for found in parts for key, part in found.items()}
    if item.dtype.names == ("real", "imag"):
        return {name: Recording(name, item.shape[::-1], "complex", _refuse, problem=COMPLEX)}
    if item.dtype.hasobject:
        if kind != "cell":
            return {name: of_objects(name, item.shape[::-1], "struct array", STRUCTS)}
        cells = [_read(file[each]) for each in item[()].reshape(-1)]
        return {name: _cells(name, cells, item.shape[::-1])}
    if kind == "char" or "MATLAB_empty" in item.attrs:
        return {name: of_array(name, _series(_read(item)))}
    return {name: _transposed(name, item, kind)}


def _class(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _transposed(name: str, item: Any, kind: str) -> Recording:
    """A dataset with its axes as MATLAB shows them."""
    shape = item.shape[::-1]
    dtype = np.dtype(NUMBERS.get(kind, item.dtype.name))
    if _series_shape(shape) != shape:
        series = _series_shape(shape)
        return Recording(
            name, series, dtype, lambda key: item[()].reshape(series)[key].astype(dtype, copy=False)
        )

    def slice_of(key: Any) -> Array:
        lead = key if isinstance(key, tuple) else (key,)
        full = (*lead, *[slice(None)] * (len(shape) - len(lead)))
        return np.asarray(item[full[::-1]].T.astype(dtype, copy=False))

    chunks = None if item.chunks is None else item.chunks[::-1]
    return Recording(name, shape, dtype, slice_of, chunks=chunks)


def _read(item: Any) -> Any:
    """The array of a dataset as MATLAB shows it, a text as one string; None for anything else."""
    kind = _class(item)
    if not hasattr(item, "shape") or item.dtype.hasobject or item.dtype.names is not None:
        return None
    if "MATLAB_empty" in item.attrs:
        shape = tuple(int(n) for n in item[()])
        return np.array([""]) if kind == "char" else np.zeros(shape, NUMBERS.get(kind, "float64"))
    if kind == "char":
        return np.array(["".join(map(chr, row)) for row in item[()].T])
    array = item[()].T
    return array.astype(NUMBERS.get(kind, array.dtype), copy=False)


def _sparse(name: str, item: Any) -> Recording:
    with needed("scipy"):
        from scipy import sparse
    columns = item["jc"].shape[0] - 1
    rows = int(item.attrs["MATLAB_sparse"])
    data = item["data"][()] if "data" in item else np.zeros(0)
    indices = item["ir"][()] if "ir" in item else np.zeros(0, int)
    matrix = sparse.csc_array((data, indices, item["jc"][()]), shape=(rows, columns))
    dense = matrix.toarray().astype(NUMBERS.get(_class(item), "float64"), copy=False)
    return of_array(name, _series(dense))


def _refuse(_: Any) -> Array:
    raise ValueError(COMPLEX)
