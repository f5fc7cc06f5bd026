"""Recordings: the arrays of a file by name, read when they are asked for and only as far."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recording:
    """An array of an open file: slices of it are arrays.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : numpy.dtype, or str where NumPy has no such type
    read : callable
        From a slice, or a tuple of slices, to an array.
    mapped : bool
        Whether all of it is a view of the file that takes no memory.
    chunks : tuple of int, or None
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    read: Callable[[Any], Array]
    mapped: bool = False
    chunks: tuple[int, ...] | None = None

    def __getitem__(self, key: Any) -> Array:
        return self.read(key)

    def whole(self) -> Array:
        """All of it."""
        return self.read(())

    def as_floats(self) -> Recording:
        """The same, integers as floats that hold them exactly, up to 2**53."""
        if isinstance(self.dtype, str) or self.dtype.kind not in "iu":
            return self
        kind = np.dtype(np.float32 if self.dtype.itemsize <= 2 else np.float64)
        read = self.read
        return replace(self, dtype=kind, mapped=False, read=lambda key: read(key).astype(kind))


Recordings = Mapping[str, Recording]


def opened(path: Path) -> AbstractContextManager[Recordings]:
    """Open a file of arrays, of a kind that its suffix tells.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, or not what its suffix says.
    ImportError
        If a package is missing that reads it, with the command that installs it.
    """
    opener = KINDS.get(path.suffix.lower())
    if opener is None:
        raise ValueError(f"{path}: expected a file that ends in {', '.join(KINDS)}")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    return opener(path)


def find(recordings: Recordings, name: str | None, path: Path, option: str) -> Recording:
    """The array of a name, which `option` gives, or the only one where there is no name."""
    if name is None and len(recordings) == 1:
        return next(iter(recordings.values()))
    if name is not None and name in recordings:
        return recordings[name]
    some = [f"{known} {each.shape}" for known, each in recordings.items()]
    shown = ", ".join(some[:12]) + (f" and {len(some) - 12} more" if len(some) > 12 else "")
    what = f"several arrays, choose by {option}" if name is None else f"no array {name!r}"
    raise ValueError(f"{path} holds {what}; it has {shown}" if some else f"{path} holds no array")


@contextmanager
def _npy(path: Path) -> Iterator[Recordings]:
    with _readable(path, "NumPy array", ValueError):
        array = np.lib.format.open_memmap(path, mode="r")
    yield {
        path.stem: Recording(path.stem, array.shape, array.dtype, array.__getitem__, mapped=True)
    }


@contextmanager
def _npz(path: Path) -> Iterator[Recordings]:
    with _readable(path, "NumPy archive", zipfile.BadZipFile):
        archive = zipfile.ZipFile(path)
    with archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        yield {
            (name := member.removesuffix(".npy")): _member(path, archive, member, name)
            for member in members
        }


def _member(path: Path, archive: zipfile.ZipFile, member: str, name: str) -> Recording:
    """An array of an archive, which is read and unpacked whole and once, when first asked for."""
    damage = (zipfile.BadZipFile, zlib.error)
    with _readable(path, "NumPy archive", *damage), archive.open(member) as file:
        shape, dtype = _header(file)
    read: list[Array] = []

    def slice_of(key: Any) -> Array:
        if not read:
            with _readable(path, "NumPy archive", *damage), archive.open(member) as file:
                read.append(np.lib.format.read_array(file, allow_pickle=False))
        return np.asarray(read[0][key])

    return Recording(name, shape, dtype, slice_of)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], Any]:
    version = np.lib.format.read_magic(file)
    first = np.lib.format.read_array_header_1_0
    shape, _, dtype = (first if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    return shape, dtype


@contextmanager
def _safetensors(path: Path) -> Iterator[Recordings]:
    with _needed("safetensors"):
        from safetensors import SafetensorError, safe_open
    with _readable(path, "safetensors file", SafetensorError):
        file = safe_open(path, framework="numpy")
    with file as tensors:
        yield {name: _tensor(name, tensors.get_slice(name)) for name in tensors.keys()}  # noqa: SIM118


def _tensor(name: str, tensor: Any) -> Recording:
    known = {"F16": "float16", "F32": "float32", "F64": "float64", "BOOL": "bool"}
    integers = {f"{kind[0].upper()}{bits}": f"{kind}{bits}"
                for kind in ("int", "uint") for bits in (8, 16, 32, 64)}  # fmt: skip
    stored = tensor.get_dtype()
    dtype: Any = (known | integers).get(stored)
    if dtype is not None:
        dtype = np.dtype(dtype)

    def read(key: Any) -> Array:
        if stored == "BF16":
            with _needed("ml_dtypes", "ml_dtypes"):
                import ml_dtypes  # noqa: F401  NumPy knows bfloat16 from then on
        return np.asarray(tensor[key if key != () else slice(None)])

    return Recording(name, tuple(tensor.get_shape()), dtype or stored, read)


@contextmanager
def _hdf5(path: Path) -> Iterator[Recordings]:
    with _needed("h5py"):
        import h5py
    with _readable(path, "HDF5 file", OSError):
        file = h5py.File(path, "r")
    with file:
        found: dict[str, Recording] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.shape is not None:
                found[name] = Recording(
                    name, item.shape, item.dtype, item.__getitem__, chunks=item.chunks
                )

        file.visititems(visit)
        yield found


@contextmanager
def _zarr(path: Path) -> Iterator[Recordings]:
    with _needed("zarr"):
        import zarr
    with _readable(path, "Zarr array or group", ValueError):
        store = zarr.open(path, mode="r")
    arrays: dict[str, Any] = (
        {path.stem: store} if isinstance(store, zarr.Array)
        else {name: item for name, item in store.members(max_depth=None)
              if isinstance(item, zarr.Array)}
    )  # fmt: skip
    yield {
        name: Recording(
            name,
            array.shape,
            array.dtype,
            partial(_slice, array),
            chunks=array.chunks,
        )
        for name, array in sorted(arrays.items())
    }


def _slice(array: Any, key: Any) -> Array:
    return np.asarray(array[key])


@contextmanager
def _needed(package: str, install: str = '"tefast[files]"') -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(f"this file needs {package}: pip install {install}") from error


@contextmanager
def _readable(path: Path, what: str, *errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise
    except errors as error:
        raise ValueError(f"{path} cannot be read as a {what}: {error}") from None


KINDS: dict[str, Callable[[Path], AbstractContextManager[Recordings]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".nwb": _hdf5,
    ".zarr": _zarr,
}
