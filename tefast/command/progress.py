"""Progress on standard error."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any


class Told:
    """A bar on a terminal, with tqdm; elsewhere a line now and then.

    Parameters
    ----------
    what : str
        Is counted.
    quiet : bool
        Say nothing.
    """

    def __init__(self, what: str, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._bar: Any = None
        self._tenth = 0

    def __enter__(self) -> Told:
        if not self._quiet and sys.stderr.isatty():
            with suppress(ModuleNotFoundError):
                from tqdm import tqdm

                self._bar = tqdm(desc=self._what, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.total = total
            self._bar.n = done
            self._bar.refresh()
        elif not self._quiet and 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            print(f"{self._what}: {done} of {total}", file=sys.stderr)
