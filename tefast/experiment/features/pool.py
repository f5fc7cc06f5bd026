"""Processes that read clips. They end with the one that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from tefast.experiment.config import ConfigError
from tefast.experiment.features.work import Job, Outcome, do, one_thread

TRIED = 4
"""So many clips are read before it is known how long the others would take."""
WORTH_SECONDS = 10.0
"""Other processes are started for work that takes one longer than this."""
AHEAD = 2
"""Clips that each process has been given, so that none waits for the next."""

Task = tuple[int, Path]


class PoolError(ChildProcessError):
    """A process that read clips ended before its time."""


def outcomes(
    tasks: Sequence[Task], job: Job, workers: int
) -> Generator[tuple[int, Outcome, int], None, None]:
    """Do the job on every clip.

    Parameters
    ----------
    tasks : sequence of (int, Path)
        Numbers of one's own, and clips.
    job : Job
    workers : int
        Processes at most.

    Yields
    ------
    (int, Outcome, int)
        The number, what came of the clip, and how many processes were at work; in the order in
        which they are done.

    Raises
    ------
    PoolError
        If a process ends, such as for want of memory.
    """
    rest, spent = deque(tasks), 0.0
    while rest and (workers == 1 or not _worth(spent, len(tasks) - len(rest), len(rest))):
        number, path = rest.popleft()
        start = time.monotonic()
        with one_thread():
            outcome = do(job, path)
        spent += time.monotonic() - start
        yield number, outcome, 1
    workers = min(workers, len(rest))
    if not rest:
        return
    pool = _Pool(job, workers)
    try:
        for number, outcome in pool.run(rest):
            yield number, outcome, workers
    finally:
        pool.end()


def _worth(spent: float, done: int, left: int) -> bool:
    """Whether to start other processes, after so many seconds for the clips that are done."""
    return done >= TRIED and left * spent / max(done, 1) >= WORTH_SECONDS


class _Pool:
    """Processes, each at the other end of a pipe."""

    def __init__(self, job: Job, workers: int) -> None:
        # Spawned, as threads of torch and locks of others do not survive a fork.
        context = multiprocessing.get_context("spawn")
        # As bytes: torch would otherwise lay tensors into shared memory, which may be small.
        try:
            pickled = pickle.dumps(job)
        except Exception as error:  # modules refuse it each in a way of its own
            raise ConfigError(
                f"the backbone cannot be given to other processes ({error}); --workers 1 needs none"
            ) from error
        self._processes: dict[Connection, Any] = {}
        self._under_way: dict[Connection, deque[Task]] = {}
        try:
            for _ in range(workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, pickled), daemon=True)
                process.start()
                theirs.close()
                self._processes[ours] = process
                self._under_way[ours] = deque()
        except BaseException:
            self.end()
            raise

    def run(self, rest: deque[Task]) -> Iterator[tuple[int, Outcome]]:
        for _ in range(AHEAD):
            for pipe in self._processes:
                self._give(pipe, rest)
        while any(self._under_way.values()):
            busy = [pipe for pipe, tasks in self._under_way.items() if tasks]
            for pipe in cast(list[Connection], wait(busy)):
                try:
                    answer = pipe.recv()
                except (EOFError, OSError):
                    raise self._ended(pipe) from None
                number, _ = self._under_way[pipe].popleft()
                self._give(pipe, rest)
                if isinstance(answer, BaseException):
                    raise answer
                yield number, answer

    def end(self) -> None:
        """End all processes at once; what they are at is lost."""
        for pipe, process in self._processes.items():
            process.kill()
            pipe.close()
        for process in self._processes.values():
            process.join()

    def _give(self, pipe: Connection, rest: deque[Task]) -> None:
        if rest:
            task = rest.popleft()
            self._under_way[pipe].append(task)
            with suppress(OSError):  # it has ended, which shows when its answer is read
                pipe.send(task[1])

    def _ended(self, pipe: Connection) -> PoolError:
        process = self._processes[pipe]
        process.join()
        code = process.exitcode
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        path = self._under_way[pipe][0][1]
        return PoolError(
            f"a process ended {how} while it read {path}; if memory ran out, --workers 1 needs "
            "the least, and a script that starts a study needs 'if __name__ == \"__main__\":'"
        )


def _serve(pipe: Connection, pickled: bytes) -> None:
    """Do what is asked through the pipe, until it is closed."""
    # An interrupt from the keyboard reaches the whole group; the first process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = pickle.loads(pickled)
    with one_thread():
        while True:
            try:
                path = pipe.recv()
            except EOFError:
                return
            try:
                answer: Outcome | Exception = do(job, path)
            except Exception as error:  # it is raised in the first process
                answer = error
            pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
