"""Progress of long jobs, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


class Bar:
    """A bar of tqdm on standard error.

    It is never shown where standard error is no terminal (files, pipes, notebooks) or tqdm is not
    installed.

    Parameters
    ----------
    what : str
        What is counted.
    after : float, default 0
        Seconds that a job takes before its bar appears, so that short ones have none.
    """

    def __init__(self, what: str, after: float = 0.0) -> None:
        self._kind: Any = _tqdm() if sys.stderr is not None and sys.stderr.isatty() else None
        self._what, self._start = what, time.monotonic() + after
        self._bar: Any = None

    @property
    def can_show(self) -> bool:
        """Whether there is a terminal and something to draw a bar with."""
        return self._kind is not None

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        """Say how much is done, and of how much."""
        if self._bar is None and self.can_show and time.monotonic() >= self._start:
            self._bar = self._kind(desc=self._what, leave=False)
        if self._bar is not None:
            self._bar.total, self._bar.n = total, done
            self._bar.refresh()


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm
