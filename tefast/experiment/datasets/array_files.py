"""Files of named arrays, told apart by their content: npz, safetensors and HDF5."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from tefast.experiment.datasets.base import DatasetError

Arrays = dict[str, npt.NDArray[Any]]

ZIP, NPY, HDF5 = b"PK\x03\x04", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n"
HDF5_PLACES = (0, 512, 1024, 2048)


def read_arrays(path: Path, wanted: Sequence[str]) -> tuple[Arrays, list[str]]:
    """Read some arrays of a file, as far as they are there, and the names of all.

    Raises
    ------
    DatasetError
        If it is not there, is none of these files, or one of the arrays cannot be read.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    with _naming(path), path.open("rb") as file:
        head = file.read(HDF5_PLACES[-1] + len(HDF5))
    if head.startswith(ZIP):
        return _npz(path, wanted)
    if any(head[place:].startswith(HDF5) for place in HDF5_PLACES):
        return _hdf5(path, wanted)
    if head[8:9] == b"{":
        return _safetensors(path, wanted)
    what = "one array alone" if head.startswith(NPY) else "none of these"
    raise DatasetError(
        f"{path}: expected an npz file (numpy.savez), safetensors or HDF5, got {what}"
    )


def _npz(path: Path, wanted: Sequence[str]) -> tuple[Arrays, list[str]]:
    arrays: Arrays = {}
    with _naming(path), path.open("rb") as file, np.load(file, allow_pickle=False) as found:
        for name in found.files:
            if name not in wanted:
                continue
            try:
                arrays[name] = found[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                raise DatasetError(
                    f"{path}: {name} is an array of objects, which are not unpickled; save strings "
                    "as numpy.array(..., dtype=str), and sequences of unequal lengths padded "
                    "beside lengths"
                ) from None
        return arrays, list(found.files)


def _hdf5(path: Path, wanted: Sequence[str]) -> tuple[Arrays, list[str]]:
    try:
        import h5py
    except ModuleNotFoundError:
        raise DatasetError(f"{path} is HDF5, which needs h5py: pip install h5py") from None
    arrays: Arrays = {}
    with _naming(path), h5py.File(path, "r") as file:
        found = {name: each for name, each in file.items() if isinstance(each, h5py.Dataset)}
        for name in found.keys() & set(wanted):
            is_text = h5py.check_string_dtype(found[name].dtype) is not None
            given = found[name].asstr() if is_text else found[name]
            arrays[name] = np.asarray(given[...], dtype=np.str_ if is_text else None)
        return arrays, list(found)


def _safetensors(path: Path, wanted: Sequence[str]) -> tuple[Arrays, list[str]]:
    from safetensors import safe_open

    arrays: Arrays = {}
    with _naming(path), safe_open(path, framework="pt") as file:
        names = list(file.keys())
        for name in set(names) & set(wanted):
            tensor = file.get_tensor(name)
            # NumPy has no bfloat16; the networks read float32 anyway.
            arrays[name] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        return arrays, names


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong with it."""
    from safetensors import SafetensorError

    try:
        yield
    except DatasetError:
        raise
    except (BadZipFile, SafetensorError, OSError, EOFError, ValueError, TypeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
