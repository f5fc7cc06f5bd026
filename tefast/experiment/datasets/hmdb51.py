"""HMDB-51: 51 classes of filmed human actions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tefast.experiment.datasets.base import DatasetError, Found, PaperFigure
from tefast.experiment.datasets.lists import folder_of_lists, lines_of
from tefast.experiment.datasets.videos import Videos

LISTS = ("testTrainMulti_7030_splits", "splits")
# What stands before this tail of a file's name is the video that the clip was cut from.
TAIL = re.compile(r"_[hufl]_(cm|nm)_np\d+_(fr|ba|le|ri)_(bad|med|goo)_\d+$")


class HMDB51(Videos):
    """The data set, with lists of every class in a file of its own."""

    name = "hmdb51"
    place = 2
    paper = (PaperFigure("HMDB-51 (figure 2)", "none", 89.4, 89.6, 0.5),)

    def group(self, stem: str) -> str:
        """The name of the file up to what it says of the picture."""
        return TAIL.sub("", stem)

    def official(self, found: Found[Any], number: int, root: Path) -> Iterator[tuple[str, bool]]:
        """The split of the files ``CLASS_test_splitN.txt``."""
        folder = folder_of_lists(root, *LISTS)
        for name in found.classes:
            path = folder / f"{name}_test_split{number}.txt"
            for line in lines_of(path):
                file, _, flag = line.rpartition(" ")
                if flag not in ("0", "1", "2") or not file.strip():
                    raise DatasetError(
                        f"{path}: expected lines 'name flag', flag 0, 1 or 2, got {line!r}"
                    )
                if flag != "0":  # 0: in neither part
                    yield f"{name}/{file.strip()}", flag == "2"
