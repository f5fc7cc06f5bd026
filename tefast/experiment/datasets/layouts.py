"""Where the clips of a data set lie: the folder of its classes, and the clips in each."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from tefast.experiment.datasets.base import DatasetError
from tefast.experiment.naming import printable
from tefast.experiment.pictures import is_picture

VIDEOS = (".avi", ".mp4", ".webm", ".mkv", ".mov", ".mpg", ".mpeg")
ARCHIVES = (".rar", ".zip", ".7z")
NOT_OURS = {"lost+found", "__MACOSX"}  # folders that systems and archives leave behind
DEEPEST = 2
"""How far below the folder that the user names the folder of the classes may lie."""

Classes = dict[str, tuple[Path, list[str]]]
"""For every class the folder that holds its clips, and their names."""


def stem_of(name: str) -> str:
    """The name of a clip without its suffix, which re-encoded clips have another one of."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in VIDEOS else name


def find_classes(root: Path, known: Sequence[str]) -> tuple[Path, Classes]:
    """The folder that holds a folder for every class, and these.

    Parameters
    ----------
    root : Path
        That folder, or one that holds it, up to `DEEPEST` further down.
    known : sequence of str
        How it is usually called: it then goes before others.

    Raises
    ------
    DatasetError
        If there is none or more than one, it is still packed, or a clip is there twice.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder; expected one with a folder for every class")
    for places in _places(root, known):
        found = {place: classes for place in places if (classes := _classes(place))}
        if len(found) > 1:
            raise DatasetError(
                f"{root} holds {len(found)} folders with a folder for every class: "
                f"{', '.join(str(place) for place in sorted(found))}; give one to --data-root"
            )
        if found:
            top, classes = found.popitem()
            _refuse_packed(top, classes, known)
            _refuse_twins(top, classes)
            return top, classes
    for place in (root, *_below(root)):
        packed = _packed(place)
        if packed:
            raise DatasetError(f"{place} holds {packed[0]} and no clips; {_unpacking(place)}")
    raise DatasetError(
        f"{root} holds no clip; expected {', '.join(VIDEOS)} files, or folders of numbered "
        f"pictures, in a folder for every class, found {len(_below(root))} folders without any"
    )


def _places(root: Path, known: Sequence[str]) -> Iterator[list[Path]]:
    """Folders that may hold the classes; a later list counts where the ones before have none."""
    for name in known:
        yield [root / name] if (root / name).is_dir() else []
    level = [root]
    for depth in range(1 + DEEPEST):
        yield level
        if depth < DEEPEST:
            level = [below for place in level for below in _below(place)]
            for name in known:
                yield [place for place in level if place.name == name]


def _classes(top: Path) -> Classes:
    found = {}
    for folder in _below(top):
        files = _clips(folder)
        inner = folder / folder.name
        if not files and inner.is_dir():  # as unpackers make them: Class/Class/clip.avi
            folder, files = inner, _clips(inner)
        if files:
            found[folder.name] = (folder, files)
    return found


def _clips(folder: Path) -> list[str]:
    """The video files of a folder; where there are none, its folders of pictures."""
    with os.scandir(folder) as entries:
        listed = [entry for entry in entries if not entry.name.startswith(".")]
    # Scanned, not globbed: names of HMDB-51 hold characters that mean something in a pattern. A
    # link that leads nowhere stays in: it is a clip that cannot be read.
    videos = [e.name for e in listed if e.name.lower().endswith(VIDEOS) and not e.is_dir()]
    return sorted(videos or [e.name for e in listed if e.is_dir() and _holds_pictures(e.path)])


def _holds_pictures(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(is_picture(entry.name) for entry in entries)


def _below(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(
            folder / entry.name
            for entry in entries
            if entry.is_dir() and not entry.name.startswith(".") and entry.name not in NOT_OURS
        )


def _packed(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.name.lower().endswith(ARCHIVES) and e.is_file())


def _unpacking(folder: Path) -> str:
    """What to type to unpack the archives of a folder."""
    kinds = {os.path.splitext(name)[1].lower() for name in _packed(folder)}
    tool = {".rar": "unrar x", ".zip": "unzip", ".7z": "7z x"}[min(kinds, key=ARCHIVES.index)]
    files = " ".join(f"*{kind}" for kind in sorted(kinds))
    command = f'cd {shlex.quote(str(folder))} && for f in {files}; do {tool} "$f"; done'
    return f"unpack with: {command}" + (" (or 7z x, or unar)" if tool == "unrar x" else "")


def _refuse_packed(top: Path, classes: Classes, known: Sequence[str]) -> None:
    """Raise if the archive of a class lies beside the classes, and the class is not there."""
    for name in _packed(top):
        stem, suffix = os.path.splitext(name)
        others = "split" in stem.lower() or stem.lower().startswith(tuple(map(str.lower, known)))
        if suffix.lower() == ".rar" and stem not in classes and not others:
            raise DatasetError(
                f"{top / name} is not unpacked: there is no class {stem}; {_unpacking(top)}"
            )


def _refuse_twins(top: Path, classes: Classes) -> None:
    for name, (_, files) in classes.items():
        first: dict[str, str] = {}
        for file in files:
            other = first.setdefault(stem_of(file), file)
            if other != file:
                raise DatasetError(
                    f"{printable(top / name)} holds one clip twice, as {printable(other)} and as "
                    f"{printable(file)}; keep one of them"
                )
