"""Arrays in files of NumPy's format npy, of which tiles are written without mapping the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tefast._support.files import settle, writing


@dataclass(frozen=True)
class ArrayFile:
    """An array in a file.

    Attributes
    ----------
    path : Path
    shape : tuple of int
    dtype : dtype
    offset : int
        Where in the file the values begin.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @classmethod
    def new(cls, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Self:
        """A file of zeros, most of which take no place on the disk before they are written."""
        with writing(path):
            mapped = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        return cls(path, shape, dtype, mapped.offset)

    def reserve(self) -> None:
        """Take the place on the disk, for want of which a write by way of a map would fail."""
        with writing(self.path), self.path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)

    @classmethod
    def there(cls, path: Path) -> Self:
        """The array of a file that is there."""
        with writing(path):
            mapped = np.lib.format.open_memmap(path, mode="r")
        return cls(path, mapped.shape, mapped.dtype, mapped.offset)

    def mapped(self) -> Any:
        """The array, mapped into memory; changes reach the file."""
        with writing(self.path):
            return np.lib.format.open_memmap(self.path, mode="r+")

    def write(self, place: tuple[slice, slice], values: Any) -> None:
        """Write a tile of the last two axes.

        Not by way of a map: on a full disk that would kill the process.
        """
        rows, columns = place
        width, part = self.shape[-1], np.ascontiguousarray(values, dtype=self.dtype)
        whole = columns.stop - columns.start == width
        with writing(self.path), self.path.open("r+b") as file:
            for before in np.ndindex(self.shape[:-2]):
                start = int(np.ravel_multi_index((*before, rows.start, columns.start), self.shape))
                runs = [part[before].ravel()] if whole else part[before]
                for i, run in enumerate(runs):
                    file.seek(self.offset + (start + i * width) * self.dtype.itemsize)
                    file.write(run.data)

    def settle(self) -> None:
        """Wait until all that was written is on the disk."""
        with writing(self.path):
            settle(self.path)
