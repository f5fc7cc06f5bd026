"""Files of named arrays, told apart by their content: npz, safetensors and HDF5."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from tefast.experiment.datasets.base import DatasetError

Arrays = dict[str, Callable[[], npt.NDArray[Any]]]
"""What reads each array of a file, by its name."""

ZIP, NPY, HDF5 = b"PK\x03\x04", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n"
HDF5_PLACES = (0, 512, 1024, 2048)


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file.

    Raises
    ------
    DatasetError
        If it is not there, or is none of these files.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            head = file.read(HDF5_PLACES[-1] + len(HDF5))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    if head.startswith(ZIP):
        return _npz(path)
    if any(head[place:].startswith(HDF5) for place in HDF5_PLACES):
        return _hdf5(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _safetensors(path)
    what = "one array alone" if head.startswith(NPY) else "none of these"
    raise DatasetError(
        f"{path}: expected an npz file (numpy.savez), safetensors or HDF5, got {what}"
    )


def _npz(path: Path) -> Arrays:
    try:
        file = np.load(path, allow_pickle=False)
        names = list(file.files)
    except (BadZipFile, ValueError, OSError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    return {name: partial(_of_npz, path, file, name) for name in names}


def _of_npz(path: Path, file: Any, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(file[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise DatasetError(f"{path}: {name} cannot be read: {error}") from None
        raise DatasetError(
            f"{path}: {name} is an array of objects, which are not unpickled; save strings as "
            "numpy.array(..., dtype=str), and sequences of unequal lengths padded beside lengths"
        ) from None
    except (BadZipFile, OSError, EOFError) as error:
        raise DatasetError(f"{path}: {name} cannot be read: {error}") from None


def _hdf5(path: Path) -> Arrays:
    try:
        import h5py
    except ModuleNotFoundError:
        raise DatasetError(f"{path} is HDF5, which needs h5py: pip install h5py") from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    found = {name: each for name, each in file.items() if isinstance(each, h5py.Dataset)}
    return {name: partial(_of_hdf5, path, each, name) for name, each in found.items()}


def _of_hdf5(path: Path, given: Any, name: str) -> npt.NDArray[Any]:
    import h5py

    try:
        if h5py.check_string_dtype(given.dtype) is not None:
            return np.asarray(given.asstr()[...], dtype=np.str_)
        return np.asarray(given[...])
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(f"{path}: {name} cannot be read: {error}") from None


def _safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="pt")
        names = list(file.keys())
    except SafetensorError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    return {name: partial(_of_safetensors, file, name) for name in names}


def _of_safetensors(file: Any, name: str) -> npt.NDArray[Any]:
    tensor = file.get_tensor(name)
    # NumPy has no bfloat16; the networks read float32 anyway.
    return np.asarray((tensor.float() if tensor.is_floating_point() else tensor).numpy())
