"""How far a stage is: a bar on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tqdm import tqdm

from tefast.experiment.processes import here

EVERY = 30.0
"""Seconds from one line to the next."""


class Bar:
    """Progress that is told (done, total).

    Parameters
    ----------
    what : str
        The stage.
    unit : str
        What is counted.
    """

    def __init__(self, what: str, unit: str) -> None:
        disable = None if here().is_first else True
        self._bar = tqdm(desc=what, unit=f" {unit}", disable=disable, leave=False)
        self._lines = Lines(what, unit) if self._bar.disable else None

    def __enter__(self) -> Callable[[int, int], None]:
        if self._lines is None or not here().is_first:
            return self._show
        self._lines.start()
        return self._lines.tell

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        if self._lines is not None and self._lines.started:
            self._lines.stop()

    def _show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)


class Lines:
    """Lines on standard output, also while a step takes longer than the time between two."""

    def __init__(self, what: str, unit: str, every: float | None = None) -> None:
        self._what, self._unit = what, unit
        self._every = EVERY if every is None else every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._first: tuple[int, float] | None = None
        self._now: tuple[int, int] | None = None

    @property
    def started(self) -> bool:
        """Whether lines are printed."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Print no more lines."""
        self._stopped.set()
        self._thread.join()

    def tell(self, done: int, total: int) -> None:
        """Take up how many are done, and of how many."""
        if self._first is None or (self._now is not None and done < self._now[0]):
            self._first = (done, time.monotonic())  # also where the next of several begins
        self._now = (done, total)

    def line(self, at: float) -> str | None:
        """The line at a time of `time.monotonic`; None as long as nothing was told."""
        if self._now is None or self._first is None:
            return None
        done, total = self._now
        begun, start = self._first
        # What was done before this start, or before the first word, says nothing about the pace.
        pace = (done - begun) / (at - start) if at > start else 0.0
        left = f", about {duration((total - done) / pace)} left" if pace > 0 else ""
        return f"{self._what}: {self._unit} {done} of {total}{left}"

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            line = self.line(time.monotonic())
            if line is not None:
                try:
                    print(line, flush=True)
                except OSError:  # a full disk; the stage itself will meet it
                    return


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min" or "3 h 5 min"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
