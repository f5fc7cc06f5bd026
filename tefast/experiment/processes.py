"""The processes of one run: one alone, or those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

T = TypeVar("T")

PATIENCE = timedelta(days=30)
"""How long a process waits for the others."""


@dataclass(frozen=True)
class Processes:
    """One process among those of a run.

    Attributes
    ----------
    rank, size : int
        Its number, from 0, and how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def group(self) -> Any:
        """All of them, a ``torch.distributed.ProcessGroup``; None of a process that is alone."""
        if self.size == 1:
            return None
        import torch.distributed as dist

        # Not kept: a group that outlives its end takes the process down with it.
        return dist.group.WORLD

    @property
    def is_first(self) -> bool:
        """Whether this one writes the files, and speaks to the user."""
        return self.rank == 0

    def share(self, things: Sequence[T]) -> Sequence[T]:
        """The part of `things` that falls to this process; every one has another."""
        return things[self.rank :: self.size]

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.group is not None:
            import torch.distributed as dist

            dist.barrier(self.group)

    def first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, where alone it is called.

        All get it. If it raises an error there, all raise that error: one that went on would wait
        for the others.
        """
        if self.group is None:
            return make()
        import torch.distributed as dist

        answer: list[Any] = [None, None]
        if self.is_first:
            try:
                answer[0] = make()
            except Exception as error:
                answer[1] = error
        dist.broadcast_object_list(answer, src=0, group=self.group)
        found, failure = answer
        if failure is not None:
            raise failure
        return cast(T, found)


def here() -> Processes:
    """The process itself among those that were joined; alone without any."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return Processes()
    return Processes(dist.get_rank(), dist.get_world_size())


def speaks() -> bool:
    """Whether this process speaks to the user: the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started; without it this one is alone."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    import torch
    import torch.distributed as dist

    ours = not dist.is_initialized()
    if ours:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # Gloo beside NCCL carries the objects, which are on the host.
        # The others wait for what the first does alone, such as the readings.
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE
        )
    try:
        yield here()
        # One that went first would take the others' connections with it.
        dist.barrier()
    finally:
        if ours:
            dist.destroy_process_group()
