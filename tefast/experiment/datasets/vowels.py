"""Vowels of nine speakers (JapaneseVowels), whose files the package aeon has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tefast.experiment.datasets.base import DatasetError
from tefast.experiment.datasets.packages import file_of
from tefast.experiment.datasets.sequences import SequenceDataset, Sequences

PACKAGE, VERSION = "aeon", "1.6.0"
FOLDER = ("datasets", "data", "JapaneseVowels")


class Vowels(SequenceDataset):
    """640 utterances of two vowels, to be told apart by speaker: 12 coefficients a step.

    M. Kudo, J. Toyama and M. Shimbo, "Multidimensional curve classification using passing-through
    regions", Pattern Recognition Letters 20 (1999). The split is UCI's: the 370 test utterances
    were recorded at other times than the 270 for training.
    """

    name = "vowels"
    place = 4
    samples = "utterances"
    settings = {  # noqa: RUF012
        "split": "official-1",
        "hidden": 512,
        "fc": 128,
        "epochs": 30,
        "batch_size": 64,
        "lr": 1e-3,
    }

    def load(self, root: Path) -> tuple[Sequences, Path]:
        """Read the two files of the package."""
        paths = {part: file_of(PACKAGE, VERSION, *FOLDER, f"JapaneseVowels_{part}.ts")
                 for part in ("TRAIN", "TEST")}  # fmt: skip
        parts = {part: read_ts(path) for part, path in paths.items()}
        x = [one for sequences, _ in parts.values() for one in sequences]
        labels = [label for _, given in parts.values() for label in given]
        split = [part.lower() for part, (sequences, _) in parts.items() for _ in sequences]
        return Sequences(x, labels, split=split), paths["TRAIN"].parent


def read_ts(path: Path) -> tuple[list[npt.NDArray[np.float32]], list[str]]:
    """Return the sequences (T, D) and the labels of a file in aeon's format, a line each.

    A line has the channels, with ``:`` between them and before the label. A channel has the numbers
    of its steps, with commas between them.

    Raises
    ------
    DatasetError
        For a line that is not like this.
    """
    x, labels = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line[0] in "@#":
            continue
        *channels, label = line.split(":")
        try:
            x.append(np.array([one.split(",") for one in channels], dtype=np.float32).T)
        except ValueError as error:
            raise DatasetError(
                f"{path}, line {number}: expected channels of as many numbers each, and a label "
                f"({error})"
            ) from None
        labels.append(label.strip())
    return x, labels
