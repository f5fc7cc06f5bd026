"""HDF5: any datasets, those of NWB, and which kind of file it is that came as HDF5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tefast._cli.recordings import anndata
from tefast._cli.recordings.recording import (
    Recording,
    Recordings,
    TextTable,
    needed,
    of_objects,
    readable,
    structured,
)
from tefast._cli.recordings.scaling import stored_scaled

MAGIC = b"\x89HDF\r\n\x1a\n"
WHAT = "HDF5 file"


@contextmanager
def hdf5(path: Path) -> Iterator[Recordings]:
    """All datasets by their paths; of an NWB file also ``acquisition/NAME`` for its ``/data``."""
    with _opened(path) as file:
        found: dict[str, Recording | TextTable] = {}

        def visit(name: str, item: Any) -> None:
            if hasattr(item, "shape") and item.shape is not None:
                found[name] = dataset(name, item)

        file.visititems(visit)
        if "nwb_version" in file.attrs:  # NWB's description of itself is no data
            found = {n: each for n, each in found.items() if not n.startswith("specifications/")}
        yield Recordings(found)


@contextmanager
def h5ad(path: Path) -> Iterator[Recordings]:
    """AnnData: X and layers, whose columns are named by var."""
    with _opened(path) as file:
        yield anndata.recordings(file)


def dataset(name: str, item: Any) -> Recording | TextTable:
    """A dataset of h5py."""
    import h5py

    if h5py.check_string_dtype(item.dtype) is not None:
        return Recording(name, item.shape, "str", item.asstr().__getitem__)
    if h5py.check_vlen_dtype(item.dtype) is not None:
        return of_objects(name, item.shape, "sequences of unequal length")
    if item.dtype.hasobject and item.dtype.names is None:
        return of_objects(name, item.shape, "references")
    note = stored_scaled(name, item.attrs)
    recording = Recording(
        name, item.shape, item.dtype, item.__getitem__, chunks=item.chunks, note=note
    )
    return structured(recording)


def root_says(path: Path, question: Callable[[Any], bool]) -> bool:
    """Whether a question about the root of an HDF5 file has the answer yes."""
    try:
        import h5py

        with h5py.File(path, "r") as file:
            return question(file)
    except (ImportError, OSError):  # which the reader of HDF5 will say
        return False


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with needed("h5py"):
        import h5py
    with readable(path, WHAT, OSError):
        file = h5py.File(path, "r")
    with file:
        yield file
