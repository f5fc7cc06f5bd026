"""Files in which a data set says which of its clips are for training and which for the test."""

from __future__ import annotations

from pathlib import Path

from tefast.experiment.datasets.base import DatasetError


def folder_of_lists(root: Path, *names: str) -> Path:
    """The first folder of these names in `root` or beside it."""
    for place in (root, root.parent):
        for name in names:
            if (place / name).is_dir():
                return place / name
    raise DatasetError(
        f"an official split needs the set's lists: no folder {' or '.join(names)} in {root}"
    )


def lines_of(path: Path) -> list[str]:
    """The lines of a list, without the empty ones."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DatasetError(f"an official split needs {path}, which is not there") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
