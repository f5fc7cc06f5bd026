"""Clips that lie as folders of pictures: one numbered picture for every frame."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tefast.experiment.naming import printable

SUFFIXES = (".jpg", ".jpeg", ".png")
NUMBERED = re.compile(r"(.*?)(\d+)\.\w+", re.DOTALL)


def is_picture(name: str) -> bool:
    """Whether a file of this name counts as a picture."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their numbers.

    Raises
    ------
    ValueError
        If one has no number, or they are of several kinds, such as ``img_1.jpg`` and
        ``flow_x_1.jpg``: these are not frames of one film.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_picture(entry.name)]
    found = {}
    kinds = set()
    for name in names:
        match = NUMBERED.fullmatch(name)
        if match is None:
            raise ValueError(f"its picture {printable(name)} has no number")
        kinds.add(match[1])
        found[name] = int(match[2])
    if len(kinds) > 1:
        shown = ", ".join(f"{printable(kind)}N" for kind in sorted(kinds)[:3])
        raise ValueError(f"it holds pictures of {len(kinds)} kinds ({shown}); expected one")
    return [folder / name for name in sorted(found, key=lambda name: (found[name], name))]
