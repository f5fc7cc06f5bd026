"""UCF101: 101 classes of filmed human actions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tefast.experiment.datasets.base import DatasetError, Found, PaperFigure
from tefast.experiment.datasets.lists import folder_of_lists, lines_of
from tefast.experiment.datasets.videos import Videos

LISTS = ("ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask", "splits", "annotations")
LIST = re.compile(r"trainlist0\d\.txt")
LABEL = re.compile(r"\s+\d+$")  # at the end of training lines; the folder says it too
GROUP = re.compile(r"_g(\d+)_c\d+$")


class UCF101Layout(Videos):
    """Clips whose names tell their group, and lists of all classes in one file."""

    folders = ("UCF-101", "UCF101")

    def group(self, stem: str) -> str | None:
        """The number in the name of the file."""
        match = GROUP.search(stem)
        return match.group(1) if match else None

    def official(self, found: Found[Any], number: int, root: Path) -> Iterator[tuple[str, bool]]:
        """The split of ``trainlist0N.txt`` and ``testlist0N.txt``."""
        folder = folder_of_lists(root, found.root, LISTS, LIST)
        for kind in ("train", "test"):
            for line in lines_of(folder / f"{kind}list{number:02d}.txt"):
                name = LABEL.sub("", line.text)
                if "/" not in name:
                    raise DatasetError(
                        f"{line.where}: expected 'Class/file.avi', got {line.text!r}"
                    )
                yield name, kind == "test"


class UCF101(UCF101Layout):
    """The data set itself."""

    name = "ucf101"
    place = 1
    paper = (PaperFigure("UCF101 (figure 2)", "none", 98.3, 98.3, 0.5),)
