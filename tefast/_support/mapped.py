"""Large matrices, mapped from files or not: gone through in parts, each let go of afterwards."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

PART = 2**22
"""Values that are looked at together."""


def by_rows(*matrices: Any) -> Iterator[slice]:
    """Some rows of matrices of one shape at a time; mapped ones are let go of after each."""
    rows, columns = matrices[0].shape
    most = max(1, PART // max(1, columns))
    for start in range(0, rows, most):
        yield slice(start, min(start + most, rows))
        for each in matrices:
            let_go(each)


def in_parts(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """All values of a contiguous array, some at a time; a mapped one is let go of after each."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, PART):
        yield flat[start : start + PART]
        let_go(array)


def let_go(array: Any) -> None:
    """Give back the memory that holds a mapped file; what was written reaches the file.

    Nothing happens to other arrays, nor to a map whose changes live in memory alone (NumPy's mode
    "c").
    """
    shared, base = False, array
    while isinstance(base, np.ndarray):
        shared = shared or (isinstance(base, np.memmap) and base.mode in ("r", "r+", "w+"))
        base = base.base
    if shared and isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
