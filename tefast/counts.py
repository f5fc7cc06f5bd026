"""Counts: the sufficient statistic.

Integers, so they add up exactly over batches, files, threads and machines, in any order.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tefast.backends import Backend, Counts, Lengths
from tefast.binning import Binning
from tefast.values import Values, to_numpy

BLOCK_BYTES = 64 * 2**20
"""What the counts of units that are worked on together may take."""


def values(
    backend: Backend, target: Values, binning: Binning, lengths: Lengths, threads: int | None
) -> Counts:
    """Counts (U, bins) of every bin of every unit."""
    counts = backend.table(allocate((target.array.shape[2], binning.bins)), target)
    backend.count_values(target, binning, lengths, counts, threads)
    return to_numpy(counts)


def allocate(shape: tuple[int, ...]) -> Counts:
    """Zeros of `shape`, or a ValueError that says how large they would have been."""
    check_room(shape, memory_limit(), "of memory here")
    return np.zeros(shape, np.int64)


def check_room(shape: tuple[int, ...], available: int, where: str) -> None:
    """Raise a ValueError if counts of `shape` are larger than `available` bytes."""
    size = 8 * math.prod(shape)  # Python's integers: the product may be beyond 64 bits
    if size > available:
        raise ValueError(
            f"joint counts of shape {shape} take {size / 2**30:.1f} GiB, more than the "
            f"{available / 2**30:.1f} GiB {where}; use fewer bins or fewer units at a time"
        )


def memory_limit() -> int:
    """Bytes of memory this process may have: the machine's, or the control group's if smaller."""
    try:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        limit = 2**62  # unknown: let the allocation itself fail
    try:
        group = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        return min(limit, int(group))
    except (OSError, ValueError):
        return limit


def unit_blocks(units: int, cells: int) -> Iterator[tuple[int, int]]:
    """Ranges of units whose tables of `cells` counts fit in `BLOCK_BYTES` together."""
    size = max(1, BLOCK_BYTES // (8 * cells))
    for start in range(0, units, size):
        yield start, min(start + size, units)
