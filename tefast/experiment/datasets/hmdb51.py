"""HMDB-51: 51 classes of filmed human actions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tefast.experiment.datasets.base import DatasetError, Found, PaperFigure
from tefast.experiment.datasets.lists import folder_of_lists, lines_of
from tefast.experiment.datasets.videos import Videos

LISTS = ("testTrainMulti_7030_splits", "test_train_splits", "splits", "annotations")
LIST = re.compile(r"[^.].*_test_split\d\.txt")
# What stands before this tail of a file's name is the video that the clip was cut from.
TAIL = re.compile(r"_[hufl]_(cm|nm)_np\d+_(fr|ba|le|ri)_(bad|med|goo)_\d+$")


class HMDB51(Videos):
    """The data set, with lists of every class in a file of its own."""

    name = "hmdb51"
    place = 2
    folders = ("hmdb51_org", "hmdb51")
    paper = (PaperFigure("HMDB-51 (figure 2)", "none", 89.4, 89.6, 0.5),)

    def group(self, stem: str) -> str | None:
        """The name of the file up to what it says of the picture."""
        match = TAIL.search(stem)
        return stem[: match.start()] if match else None

    def official(self, found: Found[Any], number: int, root: Path) -> Iterator[tuple[str, bool]]:
        """The split of the files ``CLASS_test_splitN.txt``.

        Lists of classes that are not there are read too, as their clips are missing.
        """
        folder = folder_of_lists(root, found.root, LISTS, LIST)
        tail = f"_test_split{number}.txt"
        files = [name for name in os.listdir(folder) if LIST.fullmatch(name)]
        listed = [name.removesuffix(tail) for name in files if name.endswith(tail)]
        for name in sorted({*found.classes, *listed}):
            for line in lines_of(folder / f"{name}{tail}"):
                file, _, flag = line.text.rpartition(" ")
                if flag not in ("0", "1", "2") or not file.strip():
                    raise DatasetError(
                        f"{line.where}: expected 'name flag', flag 0, 1 or 2, got {line.text!r}"
                    )
                if flag != "0":  # 0: in neither part
                    yield f"{name}/{file.strip()}", flag == "2"
