"""Shoulder exercises recorded by a smartwatch, which the package seglearn has."""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tefast.experiment.datasets.base import DatasetError
from tefast.experiment.datasets.packages import file_of
from tefast.experiment.datasets.sequences import SequenceDataset, Sequences

PACKAGE, VERSION = "seglearn", "1.2.5"
FILE = ("data", "watch_dataset.npy")
AVERAGED = 4
"""Samples of 50 a second that become one step."""
STEPS = 50
"""Steps of a window: four seconds, two repetitions of an exercise."""
TEST_SUBJECTS = (9, 10)


class Exercises(SequenceDataset):
    """Windows of 140 recordings of ten people who did seven exercises of the shoulder each.

    D. M. Burns et al., "Shoulder physiotherapy exercise recognition: machine learning the inertial
    signals from a smartwatch", Physiological Measurement 39 (2018). A step has the means of three
    axes of acceleration and three of rotation over 0.08 seconds. Windows do not overlap. What is
    left at the end of a recording is left out. The person is the group. The official split is not
    the authors' but ours: subjects 9 and 10 are the test.
    """

    name = "exercises"
    place = 5
    samples = "windows of smartwatch recordings"
    shared_by_group = "the person who was recorded"
    settings = {  # noqa: RUF012
        "split": "group",
        "hidden": 256,
        "fc": 128,
        "epochs": 40,
        "batch_size": 64,
        "lr": 2e-3,
    }

    def load(self, root: Path) -> tuple[Sequences, Path]:
        """Read the recordings, and cut them."""
        path = file_of(PACKAGE, VERSION, *FILE)
        recorded = read_recordings(path)
        x, labels, groups = [], [], []
        for recording, label, subject in zip(
            recorded["X"], recorded["y"], recorded["subject"], strict=True
        ):
            for window in windows(np.asarray(recording)):
                x.append(window)
                labels.append(str(recorded["y_labels"][int(label)]))
                groups.append(int(subject))
        split = np.isin(groups, TEST_SUBJECTS).astype(np.int64)
        return Sequences(x, labels, groups=groups, split=split), path


def windows(recording: npt.NDArray[Any]) -> list[npt.NDArray[np.float32]]:
    """Cut a recording (samples, D) into windows (`STEPS`, D) of means, one after the other."""
    count = len(recording) // (AVERAGED * STEPS)
    used = recording[: count * AVERAGED * STEPS]
    shape = (count, STEPS, AVERAGED, recording.shape[1])
    return list(used.reshape(shape).mean(axis=2).astype(np.float32))


def read_recordings(path: Path) -> dict[str, Any]:
    """The dict that the file holds as a pickle in a NumPy array.

    A pickle may run any code, so nothing but arrays is unpickled.

    Raises
    ------
    DatasetError
        If it holds something else, or not the recordings.
    """
    try:
        with path.open("rb") as file:
            header = np.lib.format.read_magic(file)
            if header != (1, 0):
                raise ValueError(f"expected version 1.0 of the npy format, got {header}")
            np.lib.format.read_array_header_1_0(file)
            found = _ArraysOnly(file).load().item()
        wanted = ("X", "y", "y_labels", "subject")
        missing = [name for name in wanted if name not in found]
        if missing:
            raise ValueError(f"expected {', '.join(wanted)}, {missing[0]} is not there")
    except (ValueError, TypeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    return cast(dict[str, Any], found)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays of NumPy, and what Python needs no function for."""

    _KNOWN = {  # noqa: RUF012
        # By way of an array, as the function moved to another module with NumPy 2.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        # How older pickles hold the bytes of an array.
        ("_codecs", "encode"): codecs.encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return what is known; no other name of any module."""
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"expected arrays alone, got {module}.{name}")
        return self._KNOWN[module, name]
