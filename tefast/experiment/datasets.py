"""Clips on disk: UCF101's layout, which the rendered set shares, and HMDB-51's."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

UCF101_FOLDER = "UCF-101"
# Both sets name the video a clip was cut from: UCF101 as a group, HMDB-51 by what stands before
# this tail of the file name.
_UCF_GROUP = re.compile(r"_g(\d+)_c\d+$")
_HMDB_TAIL = re.compile(r"_[hufl]_(cm|nm)_np\d+_(fr|ba|le|ri)_(bad|med|goo)_\d+$")


class DatasetError(ValueError):
    """A folder that does not hold the clips, or the lists, that it should."""


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes
    ----------
    name : str
        ``Class/file.avi``, as UCF101's lists name it.
    label : int
        Index of its class.
    group : str
        What it shares with clips cut from the same video; unique within its class.
    """

    path: Path
    name: str
    label: int
    group: str


@dataclass(frozen=True)
class Dataset:
    """Clips in the order of their names, and the classes in that of theirs."""

    name: str
    root: Path
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]


def find_clips(dataset: str, root: Path) -> Dataset:
    """Find the clips of a data set.

    Parameters
    ----------
    dataset : {"rendered", "ucf101", "hmdb51"}
    root : Path
        The folder of the classes, or the folder that holds it as ``UCF-101``.

    Raises
    ------
    DatasetError
        If the folder is not there or holds no clip.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder; expected one with a folder for every class")
    # Scanned, not globbed: names of HMDB-51 hold characters that mean something in a pattern.
    top = root / UCF101_FOLDER if (root / UCF101_FOLDER).is_dir() else root
    found = {name: _avi_files(top / name) for name in _folders(top)}
    classes = tuple(name for name, files in found.items() if files)
    if not classes:
        raise DatasetError(
            f"{top} holds no clip; expected .avi files in a folder for every class, found "
            f"{len(found)} folders without any"
        )
    clips = tuple(
        Clip(top / name / file, f"{name}/{file}", label, _group(dataset, Path(file).stem))
        for label, name in enumerate(classes)
        for file in found[name]
    )
    return Dataset(dataset, top, classes, clips)


def _folders(top: Path) -> list[str]:
    with os.scandir(top) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _avi_files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            # A link that leads nowhere stays in: it is a clip that cannot be read.
            if not entry.is_dir()
            and entry.name.lower().endswith(".avi")
            and not entry.name.startswith(".")
        )


def _group(dataset: str, stem: str) -> str:
    if dataset == "hmdb51":
        return _HMDB_TAIL.sub("", stem)
    match = _UCF_GROUP.search(stem)
    # A clip of no known group shares its video with nobody.
    return match.group(1) if match else stem
