"""Progress on standard error."""

from __future__ import annotations

import sys

from tefast._support.progress import Bar


class Told:
    """A bar on a terminal; elsewhere a line now and then.

    Parameters
    ----------
    what : str
        Is counted.
    quiet : bool
        Say nothing.
    """

    def __init__(self, what: str, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._bar = Bar(what)
        self._tenth = 0

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__(None, None, None)

    def __call__(self, done: int, total: int) -> None:
        if self._quiet:
            return
        if self._bar.can_show:
            self._bar(done, total)
        elif 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            print(f"{self._what}: {done} of {total}", file=sys.stderr)
