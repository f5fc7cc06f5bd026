"""Arrays of NumPy, safetensors and Zarr."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from tefast._cli.recordings import anndata
from tefast._cli.recordings.recording import (
    Array,
    Recording,
    Recordings,
    TextTable,
    needed,
    of_objects,
    readable,
    structured,
)
from tefast._cli.recordings.scaling import stored_scaled


@contextmanager
def npy(path: Path) -> Iterator[Recordings]:
    """One array, mapped rather than read."""
    name = path.stem
    with readable(path, "NumPy array", ValueError), path.open("rb") as file:
        shape, dtype = _header(file)
    if dtype.hasobject:
        yield Recordings({name: of_objects(name, shape)})
        return
    with readable(path, "NumPy array", ValueError):
        array = np.lib.format.open_memmap(path, mode="r")
    recording = Recording(name, array.shape, array.dtype, array.__getitem__, at_hand=True)
    yield Recordings({name: structured(recording)})


@contextmanager
def npz(path: Path) -> Iterator[Recordings]:
    """The arrays of an archive."""
    with readable(path, "NumPy archive", zipfile.BadZipFile):
        archive = zipfile.ZipFile(path)
    with archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        found = {
            (name := member.removesuffix(".npy")): _member(path, archive, member, name)
            for member in members
        }
        yield Recordings(found)


def _member(path: Path, archive: zipfile.ZipFile, member: str, name: str) -> Recording | TextTable:
    """An array of an archive, which is read and unpacked whole and once, when first asked for."""
    damage = (zipfile.BadZipFile, zlib.error, ValueError)
    with readable(path, "NumPy archive", *damage), archive.open(member) as file:
        shape, dtype = _header(file)
    if dtype.hasobject:
        return of_objects(name, shape)
    read: list[Array] = []

    def slice_of(key: Any) -> Array:
        if not read:
            with readable(path, "NumPy archive", *damage), archive.open(member) as file:
                read.append(np.lib.format.read_array(file, allow_pickle=False))
        return np.asarray(read[0][key])

    return structured(Recording(name, shape, dtype, slice_of))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], Any]:
    version = np.lib.format.read_magic(file)
    first = np.lib.format.read_array_header_1_0
    shape, _, dtype = (first if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    return shape, dtype


@contextmanager
def safetensors(path: Path) -> Iterator[Recordings]:
    """The tensors of a file."""
    with needed("safetensors"):
        from safetensors import SafetensorError, safe_open
    with readable(path, "safetensors file", SafetensorError):
        file = safe_open(path, framework="numpy")
    with file as tensors:
        names = list(tensors.keys())
        yield Recordings({name: _tensor(name, tensors.get_slice(name)) for name in names})


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
            with needed("ml_dtypes", "ml_dtypes"):
                import ml_dtypes  # noqa: F401  NumPy knows bfloat16 from then on
        return np.asarray(tensor[key if key != () else slice(None)])

    return Recording(name, tuple(tensor.get_shape()), dtype or stored, read)


@contextmanager
def zarr(path: Path) -> Iterator[Recordings]:
    """The arrays of a store; those of AnnData by AnnData's names."""
    with needed("zarr"):
        import zarr
    with readable(path, "Zarr array or group", ValueError):
        store = zarr.open(path, mode="r")
    if isinstance(store, zarr.Array):
        yield Recordings({path.stem: _chunked(path.stem, store)})
    elif anndata.is_anndata(store):
        yield anndata.recordings(store)
    else:
        members = sorted(store.members(max_depth=None))
        yield Recordings(
            {name: _chunked(name, item) for name, item in members if isinstance(item, zarr.Array)}
        )


def _chunked(name: str, array: Any) -> Recording | TextTable:
    read = partial(_slice, array)
    note = stored_scaled(name, array.attrs)
    recording = Recording(name, array.shape, array.dtype, read, chunks=array.chunks, note=note)
    return structured(recording)


def _slice(array: Any, key: Any) -> Array:
    return np.asarray(array[key])
