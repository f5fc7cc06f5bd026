"""UCF101: 101 classes of filmed human actions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tefast.experiment.datasets.base import Found, PaperFigure
from tefast.experiment.datasets.lists import folder_of_lists, lines_of
from tefast.experiment.datasets.videos import Videos

LISTS = "ucfTrainTestlist"
GROUP = re.compile(r"_g(\d+)_c\d+$")


class UCF101Layout(Videos):
    """Clips whose names tell their group, and lists of all classes in one file."""

    def group(self, stem: str) -> str:
        """The number in the name of the file."""
        match = GROUP.search(stem)
        # A clip of no known group shares its video with nobody.
        return match.group(1) if match else stem

    def official(self, found: Found[Any], number: int, root: Path) -> Iterator[tuple[str, bool]]:
        """The split of ``trainlist0N.txt`` and ``testlist0N.txt``."""
        folder = folder_of_lists(root, LISTS)
        for kind in ("train", "test"):
            path = folder / f"{kind}list{number:02d}.txt"
            for line in lines_of(path):
                # Names hold no blanks; training lines go on with a label, which the folder says
                # too.
                yield line.split()[0], kind == "test"


class UCF101(UCF101Layout):
    """The data set itself."""

    name = "ucf101"
    place = 1
    paper = (PaperFigure("UCF101 (figure 2)", "none", 98.3, 98.3, 0.5),)
