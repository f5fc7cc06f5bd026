"""Memory: how much of it this process may have."""

from __future__ import annotations

import os
from pathlib import Path


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


def check_copy(size: int, what: str, instead: str) -> None:
    """Raise a ValueError if a copy of `size` bytes is beyond memory.

    Parameters
    ----------
    size : int
    what : str
        What is copied.
    instead : str
        What the caller can do instead.
    """
    limit = memory_limit()
    if size > limit:
        raise ValueError(
            f"{what} takes {size / 2**30:.1f} GiB, more than the {limit / 2**30:.1f} GiB of memory "
            f"here; {instead}"
        )
