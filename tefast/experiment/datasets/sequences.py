"""What data sets share that are arrays from the start: sequences checked, named and read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast.experiment.config import Config
from tefast.experiment.datasets.base import (
    PAPERS_DATA,
    Dataset,
    DatasetError,
    Features,
    Found,
    Progress,
    Sample,
)

PARTS = {"train": False, "test": True}
"""The words of a split, and whether they stand for the test."""


@dataclass(frozen=True)
class Sequences:
    """Sequences with a class each, as `Study` and files of arrays give them.

    Attributes
    ----------
    x : array of shape (N, T, D), or list of N arrays of shape (T, D)
        Numbers. In a list the sequences may have lengths of their own.
    labels : array of shape (N,)
        The class of each sequence, as an integer or a string.
    lengths : array of int of shape (N,), optional
        Valid steps of each sequence, from the first on. Default: all are.
    groups : array of shape (N,), optional
        What sequences have in common, such as the person recorded, as integers or strings.
        ``split="group"`` keeps the sequences of a group together.
    split : array of shape (N,), optional
        0 or "train", 1 or "test": what ``split="official-1"`` takes.
    """

    x: Any
    labels: Any
    lengths: Any = None
    groups: Any = None
    split: Any = None


@dataclass(frozen=True)
class SequenceSample(Sample):
    """One sequence: its valid steps, and whether it is for the test if that is given."""

    x: npt.NDArray[np.float32]
    is_test: bool | None


class SequenceDataset(Dataset[SequenceSample]):
    """A data set of sequences that need no network to be read."""

    needs_root = False
    groups_span_classes = True

    @abstractmethod
    def load(self, root: Path) -> tuple[Sequences, Path]:
        """The sequences, and the file or folder that they come from.

        Parameters
        ----------
        root : Path
            As `find` gets it.

        Raises
        ------
        DatasetError
            If they are not there.
        """

    def find(self, root: Path) -> Found[SequenceSample]:
        """Load and check the sequences."""
        sequences, where = self.load(root)
        classes, samples = checked(sequences, str(where))
        return Found(self.name, where, classes, samples, sequences.groups is not None)

    def reader(self, config: Config) -> SequenceReader:
        """Takes the sequences as they are."""
        return SequenceReader(f"the values of the {self.samples} themselves")

    def official(self, found: Found[Any], number: int, root: Path) -> Sequence[tuple[str, bool]]:
        """The split that comes with the sequences, which is number 1."""
        if number != 1 or found.clips[0].is_test is None:
            return super().official(found, number, root)  # type: ignore[return-value]
        return [(sample.name, sample.is_test) for sample in found.clips]

    def caveats(self, summary: dict[str, Any]) -> list[str]:
        """What the sequences are."""
        return [f"The networks read {self.samples}, not features of video frames. {PAPERS_DATA}"]


@dataclass(frozen=True)
class SequenceReader:
    """Puts sequences into one array."""

    described: str
    inputs: tuple[Path, ...] = ()

    def read(
        self, found: Found[SequenceSample], *, cache_dir: Path, progress: Progress
    ) -> Features:
        """All sequences, with zeros behind those that are shorter than the longest."""
        lengths = np.array([len(sample.x) for sample in found.clips], dtype=np.int64)
        width = found.clips[0].x.shape[1]
        values = np.zeros((len(lengths), int(lengths.max()), width), np.float32)
        for i, sample in enumerate(found.clips):
            values[i, : len(sample.x)] = sample.x
        progress(len(lengths), len(lengths))
        usable = np.ones(len(lengths), dtype=np.bool_)
        same = bool((lengths == lengths[0]).all())
        return Features(values, usable, [], None if same else lengths)


def checked(given: Sequences, where: str) -> tuple[tuple[str, ...], tuple[SequenceSample, ...]]:
    """The classes and the samples.

    Parameters
    ----------
    given : Sequences
    where : str
        What errors call it.

    Raises
    ------
    DatasetError
        For the first mistake.
    """
    try:
        x = _steps(given.x, given.lengths)
        classes, labels = _classes(given.labels, len(x))
        groups = None if given.groups is None else _names("groups", given.groups, len(x))
        is_test = None if given.split is None else _test_part(given.split, labels, classes)
        if groups is not None and is_test is not None:
            _refuse_leaks(groups, is_test)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None
    digits = len(str(len(x) - 1))
    samples = []
    for i, one in enumerate(x):
        name = f"{classes[labels[i]]}/{i:0{digits}d}"
        group = f"sequence {i}" if groups is None else groups[i]
        part = None if is_test is None else bool(is_test[i])
        samples.append(SequenceSample(name, int(labels[i]), group, one, part))
    return classes, tuple(samples)


def _steps(given: Any, lengths: Any) -> list[npt.NDArray[np.float32]]:
    """The valid steps of every sequence."""
    if isinstance(given, list | tuple):
        if lengths is not None:
            raise DatasetError("lengths: expected none beside a list, whose arrays have their own")
        x = [_numbers(one, f"x[{i}]", "(T, D)") for i, one in enumerate(given)]
    else:
        array = _numbers(given, "x", "(N, T, D)")
        x = [one[:n] for one, n in zip(array, _lengths(lengths, array), strict=True)]
    if not x:
        raise DatasetError("x: expected one or more sequences, got none")
    for i, one in enumerate(x):
        if one.shape[1] != x[0].shape[1]:
            raise DatasetError(
                f"x: expected {x[0].shape[1]} features a step as in the first sequence, got "
                f"{one.shape[1]} in sequence {i}"
            )
        wrong = ~np.isfinite(one)
        if wrong.any():
            step, feature = np.argwhere(wrong)[0]
            raise DatasetError(
                f"x: expected finite numbers within float32 at valid steps, got "
                f"{one[step, feature]} at sequence {i}, step {step}, feature {feature}"
            )
    return x


def _numbers(given: Any, name: str, shape: str) -> npt.NDArray[np.float32]:
    array = _array(given, name)
    if array.dtype.kind not in "fiu":
        raise DatasetError(f"{name}: expected floats, got {array.dtype}")
    if array.ndim != shape.count(",") + 1 or 0 in array.shape:
        raise DatasetError(
            f"{name}: expected shape {shape}, no axis empty, got {array.shape}"
            + ("; one feature a step is x[..., None]" if array.ndim == shape.count(",") else "")
        )
    with np.errstate(over="ignore"):  # infinities are told by their place
        return array.astype(np.float32)


def _lengths(given: Any, x: npt.NDArray[np.float32]) -> list[int]:
    if given is None:
        return [x.shape[1]] * len(x)
    lengths = _array(given, "lengths")
    _check_shape("lengths", lengths, len(x))
    if lengths.dtype.kind not in "iu":
        raise DatasetError(f"lengths: expected integers, got {lengths.dtype}")
    wrong = np.flatnonzero((lengths < 1) | (lengths > x.shape[1]))
    if wrong.size:
        raise DatasetError(
            f"lengths: expected 1..{x.shape[1]}, got {lengths[wrong[0]]} for sequence {wrong[0]}"
        )
    return [int(n) for n in lengths]


def _classes(given: Any, count: int) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The names of the classes in their order, and the index of each sequence's class."""
    names = _labels("labels", given, count)
    values, index = np.unique(names, return_inverse=True)
    if len(values) < 2:
        raise DatasetError(f"labels: expected two classes or more, got {values[0]!s} alone")
    return tuple(str(value) for value in values), index.astype(np.int64)


def _names(name: str, given: Any, count: int) -> list[str]:
    return [str(value) for value in _labels(name, given, count)]


def _labels(name: str, given: Any, count: int) -> npt.NDArray[Any]:
    """Integers or strings, one for each sequence."""
    array = _array(given, name)
    _check_shape(name, array, count)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array):
        return array.astype(np.str_)
    if array.dtype.kind not in "iubUT":
        raise DatasetError(f"{name}: expected integers or strings, got {array.dtype}")
    return array


def _test_part(
    given: Any, labels: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> npt.NDArray[np.bool_]:
    words = {"0": False, "1": True, "False": False, "True": True, **PARTS}
    names = _names("split", given, len(labels))
    for i, name in enumerate(names):
        if name not in words:
            raise DatasetError(
                f"split: expected 0 or 'train', 1 or 'test', got {name!r} for sequence {i}"
            )
    is_test = np.array([words[name] for name in names])
    for part, mine in (("training", ~is_test), ("test", is_test)):
        if not mine.any():
            raise DatasetError(f"split: expected sequences for the {part}, got none")
    for label in np.unique(labels[is_test]):
        if not (labels[~is_test] == label).any():
            raise DatasetError(f"split: class {classes[label]} has no sequence for the training")
    return is_test


def _refuse_leaks(groups: list[str], is_test: npt.NDArray[np.bool_]) -> None:
    parts = [{g for g, test in zip(groups, is_test, strict=True) if test == of} for of in (0, 1)]
    both = sorted(parts[0] & parts[1])
    if both:
        raise DatasetError(
            f"groups: expected each in one part of the split alone, got {len(both)} that have "
            f"sequences in both, the first {both[0]!r}"
        )


def _array(given: Any, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{name}: expected an array, got {type(given).__name__} ({error})"
                           ) from None  # fmt: skip


def _check_shape(name: str, array: npt.NDArray[Any], count: int) -> None:
    if array.shape != (count,):
        raise DatasetError(
            f"{name}: expected shape ({count},), one for each sequence of x, got {array.shape}"
        )
