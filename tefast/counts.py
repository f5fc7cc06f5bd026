"""Counts: the sufficient statistic.

Integers, so they add up exactly over batches, files, threads and machines, in any order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tefast.backends import Backend, Counts, Lengths
from tefast.binning import Binning
from tefast.values import Values

BLOCK_BYTES = 64 * 2**20
"""What the counts of units that are worked on together may take."""


def values(
    backend: Backend, target: Values, binning: Binning, lengths: Lengths, threads: int | None
) -> Counts:
    """Counts (U, bins) of every bin of every unit."""
    counts = allocate((target.array.shape[2], binning.bins))
    backend.count_values(target, binning, lengths, counts, threads)
    return counts


def allocate(shape: tuple[int, ...]) -> Counts:
    """Zeros of `shape`, or a ValueError that says how large they would have been."""
    cells = 1
    for size in shape:
        cells *= size  # Python's integers: the product may be beyond 64 bits
    available = memory_limit()
    if cells * 8 > available:
        raise ValueError(
            f"joint counts of shape {shape} take {cells * 8 / 2**30:.1f} GiB, more than the "
            f"{available / 2**30:.1f} GiB of memory here; use fewer bins or fewer units at a time"
        )
    return np.zeros(shape, np.int64)


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
