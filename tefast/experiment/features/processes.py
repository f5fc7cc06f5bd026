"""Several processes of one run, as torchrun starts them: who does what, and what all must know."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from torch import distributed

Key = TypeVar("Key")
Value = TypeVar("Value")


def ranks() -> tuple[int, int]:
    """The number of this process, and how many there are."""
    if not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def cores() -> int:
    """The cores of this process; those of a machine are shared by its processes."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (there or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def all_know(work: Callable[[], dict[Key, Value]]) -> dict[Key, Value]:
    """Do this process's part of some work, and return what all parts found, in one dict.

    If the work fails in one process, it fails in all, rather than that others wait for ever.
    """
    _, world = ranks()
    if world == 1:
        return work()
    found: dict[Key, Value] = {}
    failed: Exception | None = None
    try:
        found = work()
    except Exception as error:
        failed = error
    told: list[tuple[dict[Key, Value], str | None]] = [({}, None)] * world
    distributed.all_gather_object(told, (found, None if failed is None else str(failed)))
    if failed is not None:
        raise failed
    for number, (_, reason) in enumerate(told):
        if reason is not None:
            raise ChildProcessError(f"process {number} of {world} failed: {reason}")
    return {key: value for part, _ in told for key, value in part.items()}
