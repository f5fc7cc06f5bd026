"""One run at a time in a folder, also on file systems that cannot lock."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tefast._support.files import writing
from tefast.experiment.config import ConfigError

TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
"""What the system says where another process has the lock."""
UNABLE = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""What it says where the file system has no locks, such as NFS without its lock server."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs.

    The lock goes with the process, however it ends. Where the file system has no locks, a file
    ``.owner`` takes its place, which names the process. If that process is gone, the next run
    takes the file over.

    Raises
    ------
    ConfigError
        If another run has the folder.
    """
    path = folder / ".lock"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TAKEN:
                raise ConfigError(f"another run is at work in {folder}") from None
            if error.errno not in UNABLE:
                raise ConfigError(f"{path} cannot be locked: {error.strerror}") from error
            with _owned(folder):
                yield
        else:
            yield


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    path = folder / ".owner"
    _take(path, folder)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def _take(path: Path, folder: Path) -> None:
    while not _made(path):
        owner = _read(path)
        if owner is None:  # it went meanwhile
            continue
        if not _is_gone(owner):
            raise ConfigError(
                f"another run is at work in {folder}: process {owner.get('process')} on "
                f"{owner.get('host')}; if it is not, delete {path}"
            )
        # Of two that find it gone, one renames the file that both have read; the other may then
        # rename a newer one, and gives it back.
        mine = path.with_name(f"{path.name}-{os.getpid()}")
        with suppress(FileNotFoundError):
            os.rename(path, mine)
            if _read(mine) != owner:
                with suppress(FileExistsError):
                    os.link(mine, path)
            mine.unlink()


def _made(path: Path) -> bool:
    """Make the file, if it is not there, with the name of this process in it."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    with writing(path), os.fdopen(handle, "w") as file:
        json.dump(_self(), file)
    return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:  # it is just being written, or was left empty
        owner = {}
    return owner if isinstance(owner, dict) else {}


def _is_gone(owner: dict[str, Any]) -> bool:
    """Whether the process is known to have ended."""
    process = owner.get("process")
    if owner.get("host") != socket.gethostname() or not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # of another user
        return False
    return _started(process) != owner.get("started")  # another process has its number now


def _self() -> dict[str, Any]:
    process = os.getpid()
    return {"host": socket.gethostname(), "process": process, "started": _started(process)}


def _started(process: int) -> str | None:
    """When a process was started, in ticks since the system was; None if that is not told."""
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return told.rpartition(")")[2].split()[19]
