"""Files in which a data set says which of its clips are for training and which for the test."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tefast.experiment.datasets.base import DatasetError

NEWLINE = re.compile(r"\r\n|\n|\r")  # splitlines would also break at letters of Latin-1
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Line(NamedTuple):
    """One line of a list: its text, and where it stands, as messages have it."""

    text: str
    where: str


def folder_of_lists(root: Path, top: Path, names: Sequence[str], file: re.Pattern[str]) -> Path:
    """The first folder that holds lists.

    Parameters
    ----------
    root, top : Path
        The folder that the user names, and that of the classes, which may be the same. Lists lie
        in them or beside them, in a folder of one of the names, or in one that this folder holds.
    names : sequence of str
    file : pattern
        Matches the name of any list, whole.

    Raises
    ------
    DatasetError
        If there is none.
    """
    for place in _around(root, top):
        for name in names:
            for folder in _with_inner(place / name):
                if _holds(folder, file):
                    return folder
    for place in dict.fromkeys((root, top)):
        for folder in _with_inner(place)[1:]:
            for name in names:
                if _holds(folder / name, file):
                    return folder / name
    raise DatasetError(
        f"an official split needs the set's lists: no folder {' or '.join(names)} with files "
        f"such as {_example(file)} in {root} or beside it"
    )


def lines_of(path: Path) -> Iterator[Line]:
    r"""The lines of a list, without the empty ones; a backslash in a name is a slash.

    Lists that went through other programs may be in UTF-8 with or without a byte order mark, in
    UTF-16 or in Latin-1.

    Raises
    ------
    DatasetError
        If the list is not there, or it is no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else f"says {error.strerror}"
        raise DatasetError(f"an official split needs {path}, which {why}") from None
    for number, line in enumerate(NEWLINE.split(_text(path, content)), start=1):
        if "\0" in line:
            raise DatasetError(f"{path}, line {number}: expected text, got a zero byte")
        if line.strip():
            yield Line(line.strip().replace("\\", "/"), f"{path}, line {number}")


def _example(file: re.Pattern[str]) -> str:
    """The pattern of a list's name as messages show it."""
    return file.pattern.replace(r"\.", ".").replace(r"\d", "1").replace("[^.].*", "CLASS")


def _text(path: Path, content: bytes) -> str:
    if content.startswith(UTF16):
        encoding = "utf-16"
    elif content[1::2].count(0) > len(content) // 4:  # most characters are ASCII
        encoding = "utf-16-le"
    elif content[::2].count(0) > len(content) // 4:
        encoding = "utf-16-be"
    else:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("latin-1")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].decode(encoding, "ignore").count("\n")
        raise DatasetError(f"{path}, line {line}: it is not whole as {encoding.upper()}") from None


def _around(root: Path, top: Path) -> list[Path]:
    """Both folders, and what holds them: also where a link to them lies."""
    whole = [Path(os.path.abspath(place)) for place in (root, top)]
    parents = [each.parent for place in whole for each in (place, place.resolve())]
    return list(dict.fromkeys([*whole, *parents]))


def _with_inner(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return [folder]
    with os.scandir(folder) as entries:
        return [folder, *sorted(folder / entry.name for entry in entries if entry.is_dir())]


def _holds(folder: Path, file: re.Pattern[str]) -> bool:
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(file.fullmatch(entry.name) for entry in entries)
