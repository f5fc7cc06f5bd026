"""Series that lie in files or in pieces: known by their shape, and read some at a time."""

from __future__ import annotations

import mmap
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._counting.pairs import runs
from tefast._inputs import values
from tefast._inputs.kinds import Kind
from tefast._inputs.layouts import moved
from tefast._inputs.values import Values

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ZarrFile:
    """An array of Zarr, which can be sent as it is."""

    array: Any

    def open(self, stack: ExitStack) -> Any:
        """The array, until the stack is left."""
        return self.array


@dataclass(frozen=True)
class HDF5File:
    """A dataset in a file of HDF5, whose handles cannot be sent."""

    path: Path
    dataset: str

    def open(self, stack: ExitStack) -> Any:
        """See `ZarrFile.open`."""
        import h5py

        return stack.enter_context(h5py.File(self.path, "r"))[self.dataset]


@dataclass(frozen=True)
class MappedFile:
    """A file that NumPy maps into memory."""

    path: Path
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    order: str

    def open(self, stack: ExitStack) -> Any:
        """See `ZarrFile.open`."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)  # type: ignore[call-overload]


def file_of(x: Any) -> ZarrFile | HDF5File | MappedFile | None:
    """Where others can read an array; None if it is in memory alone."""
    zarr, h5py = sys.modules.get("zarr"), sys.modules.get("h5py")
    if zarr is not None and isinstance(x, zarr.Array):
        return ZarrFile(x)
    if h5py is not None and isinstance(x, h5py.Dataset):
        return HDF5File(Path(x.file.filename).absolute(), x.name)
    # A part of a map does not say which one it is.
    whole = isinstance(x, np.memmap) and isinstance(x.base, mmap.mmap) and x.mode != "c"
    if whole and x.filename is not None and (x.flags.c_contiguous or x.flags.f_contiguous):
        if x.mode != "r":
            x.flush()
        order = "C" if x.flags.c_contiguous else "F"
        return MappedFile(Path(x.filename), x.dtype, x.offset, x.shape, order)
    return None


def is_dask_array(x: Any) -> bool:
    """Whether it is an array of Dask."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(x, module.Array)


def inner(x: Any) -> Any:
    """The array of Dask in a DataArray of xarray, or what was given."""
    within = getattr(x, "data", None) if hasattr(x, "coords") else None
    return within if is_dask_array(within) else x


def stand_in(x: Any, layout: str | None) -> Values:
    """What `values.paired` would make of an array if it held zeros; that takes no memory."""
    dtype = np.dtype(x.dtype).newbyteorder("=")
    one = np.zeros((), "U1" if dtype.kind in "OST" else dtype)
    zeros = np.broadcast_to(one, tuple(x.shape))
    return values.paired(x.copy(data=zeros) if hasattr(x, "coords") else zeros, layout)


def read_units(array: Any, axis: int, numbers: Numbers) -> npt.NDArray[Any]:
    """Some series of an array, whose `axis` is that of series; neighbours are read together."""
    before = (slice(None),) * axis
    # Not above the highest number, so that a run of one is as long as it is.
    parts = [np.asarray(array[(*before, some)]) for some in runs(numbers, len(numbers))]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)


@dataclass(frozen=True)
class SomeOf(Kind):
    """Some series of an array; messages name places in the whole.

    Attributes
    ----------
    layout : str
        What the axes of the whole hold.
    numbers : list of int
        Which of the series they are.
    """

    layout: str
    numbers: list[int]

    def place(self, index: list[int]) -> str:
        """See `Kind.place`; `index` has the axes (N, T, U)."""
        n, t, u = index
        places = {"N": n, "T": t, "U": self.numbers[u]}
        return str([places[letter] for letter in self.layout])


def taken(part: Any, layout: str, numbers: Numbers) -> Values:
    """Some series of an array with the axes of `layout` as values (N, T, U)."""
    found = values.paired(moved(part, layout), "NTU")
    return replace(found, kind=SomeOf(layout, numbers.tolist()))
