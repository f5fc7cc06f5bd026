"""Features on disk: one entry a clip, in files that only grow.

A process appends to a file of its own, so that any number of them share a folder without a lock.
An entry is a head (magic, a CRC-32 of all that follows it, two lengths), notes in JSON and the
features; it begins at a multiple of 64 bytes. An entry that is damaged or cut short is passed
over, and the next one is found by its magic.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tefast._support.files import writing

MAGIC = b"TEFEAT\x01\n"
SUFFIX = ".entries"
ALIGNED = 64
HEAD = struct.Struct("<8sIIQ")
SETTLED_EVERY = 1.0
"""Seconds after which entries are waited for to be on the disk, not only with the system."""


@dataclass(frozen=True)
class Entry:
    """The features of one clip, and what was noted of them.

    Attributes
    ----------
    values : ndarray of float32, shape (T, D)
        A view of the file, which is mapped into memory.
    notes : dict
    """

    values: npt.NDArray[np.float32]
    notes: dict[str, Any]


@dataclass(frozen=True)
class Contents:
    """What `Store.read` found.

    Attributes
    ----------
    entries : dict of str to Entry
    bad : dict of Path to int
        Entries that are damaged or cut short, by file.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    bad: dict[Path, int] = field(default_factory=dict)


class Store:
    """Entries in a folder.

    Parameters
    ----------
    folder : Path
        It is made with the first entry.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._path = folder
        self._settled = time.monotonic()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            with writing(self._path), self._file as file:
                os.fsync(file.fileno())
            self._file = None

    def read(self, wanted: Collection[str]) -> Contents:
        """The entries of these keys, as far as they are there and whole."""
        contents = Contents()
        if not self._folder.is_dir():
            return contents
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            bad = _scan(path, set(wanted), contents.entries)
            if bad:
                contents.bad[path] = bad
        return contents

    def put(self, key: str, values: npt.NDArray[np.float32], notes: dict[str, Any]) -> None:
        """Append an entry.

        Raises
        ------
        WriteError
            If it cannot be written; nothing of it is left then.
        """
        said = json.dumps({**notes, "key": key, "shape": values.shape}).encode()
        data = np.ascontiguousarray(values, np.float32).tobytes()
        said += b" " * (-(HEAD.size + len(said)) % ALIGNED)
        head = HEAD.pack(MAGIC, _checksum(said, data), len(said), len(data))
        entry = head + said + data
        entry += bytes(-len(entry) % ALIGNED)
        file = self._opened()
        before = file.tell()
        try:
            with writing(self._path):
                rest = memoryview(entry)
                while rest:
                    rest = rest[file.write(rest) :]
                if time.monotonic() >= self._settled + SETTLED_EVERY or not before:
                    os.fsync(file.fileno())
                    self._settled = time.monotonic()
        except BaseException:
            self._take_back(before)
            raise

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            with writing(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(dir=self._folder, suffix=SUFFIX, prefix="features-")
                self._path = Path(name)
                # mkstemp makes files private; give it the mode that open() would give.
                umask = os.umask(0)
                os.umask(umask)
                os.fchmod(handle, 0o666 & ~umask)
                self._file = os.fdopen(handle, "wb", buffering=0)
        return self._file

    def _take_back(self, end: int) -> None:
        """Cut off what was written of an entry, and the file if it holds no other."""
        assert self._file is not None
        with suppress(OSError):  # else the half entry stays, and is passed over
            self._file.truncate(end)
            self._file.seek(end)
            if not end:
                self._path.unlink()
                self._file.close()
                self._file = None


def _scan(path: Path, wanted: set[str], into: dict[str, Entry]) -> int:
    """Collect the wanted entries of a file; return how many are damaged or cut short."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return 0
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    bad = at = 0
    while at < size:
        end = _entry(mapped, at, size, wanted, into)
        if end is None:
            bad += 1
            end = _next_head(mapped, at + ALIGNED)
        at = end
    return bad


def _entry(
    mapped: mmap.mmap, at: int, size: int, wanted: set[str], into: dict[str, Entry]
) -> int | None:
    """Take up the entry at a place and return where it ends; None if there is no whole one."""
    if at + HEAD.size > size:
        return None
    magic, checksum, said_bytes, data_bytes = HEAD.unpack_from(mapped, at)
    begin = at + HEAD.size
    middle, end = begin + said_bytes, begin + said_bytes + data_bytes
    if magic != MAGIC or end > size:
        return None
    said = mapped[begin:middle]
    data = memoryview(mapped)[middle:end]
    if _checksum(said, data) != checksum:
        return None
    notes = json.loads(said)
    key, shape = notes.pop("key"), notes.pop("shape")
    if key in wanted:
        into[key] = Entry(np.frombuffer(data, np.float32).reshape(shape), notes)
    return int(end + -end % ALIGNED)


def _next_head(mapped: mmap.mmap, start: int) -> int:
    """Where the next entry may begin; the end if there is none."""
    at = mapped.find(MAGIC, start)
    while at >= 0 and at % ALIGNED:
        at = mapped.find(MAGIC, at + 1)
    return at if at >= 0 else len(mapped)


def _checksum(said: bytes, data: bytes | memoryview) -> int:
    lengths = struct.pack("<IQ", len(said), len(data))
    return zlib.crc32(data, zlib.crc32(said, zlib.crc32(lengths)))
