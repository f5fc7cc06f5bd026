"""What command lines share: errors in one line, warnings in one line, how they end."""

from __future__ import annotations

import os
import sys
from typing import Any

INTERRUPTED = 130
"""The status of a command that was interrupted from the keyboard."""
MISTAKE = 2
"""The status of a command that the user must mend."""


def complain(program: str, error: Any) -> int:
    """Print an error as one line on standard error; return the status that goes with it."""
    release_output()
    line = " ".join(str(error).split())
    print(f"{program}: error: {line}", file=sys.stderr)
    return MISTAKE


def warn_in_one_line(program: str) -> Any:
    """A function for `warnings.showwarning` that says each once, without the place in the code."""
    said: set[str] = set()

    def show(message: Warning | str, category: Any, filename: str, lineno: int, *_: Any) -> None:
        if str(message) not in said:
            said.add(str(message))
            print(f"{program}: warning: {message}", file=sys.stderr)

    return show


def release_output() -> None:
    """Give standard output up if it takes no more, so that the end of Python does not fail on it.

    Its reader, such as head, may have had enough; or it is a file on a full disk.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
