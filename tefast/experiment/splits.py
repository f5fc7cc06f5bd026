"""Which clips are for training and which for the test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tefast.experiment.datasets import Dataset, DatasetError

TEST_SHARE = 0.2
UCF101_LISTS = "ucfTrainTestlist"
HMDB51_LISTS = ("testTrainMulti_7030_splits", "splits")

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices into a data set's clips, rising, and how many clips of the lists are not there."""

    train: Indices
    test: Indices
    missing: int = 0


def split(dataset: Dataset, how: str, seed: int, data_root: Path) -> Split:
    """Divide the clips.

    Parameters
    ----------
    how : {"random", "group", "official-1", "official-2", "official-3"}
        "random": 80 % of all clips for training, as in the paper. "group": a fifth of each class's
        groups for the test, so that no group is in both. "official-N": the set's own lists.
    seed : int
        Of the first two.
    data_root : Path
        Where the lists lie: ``ucfTrainTestlist`` for UCF101 and the rendered set,
        ``testTrainMulti_7030_splits`` for HMDB-51.

    Raises
    ------
    DatasetError
        If a list is not there or cannot be read, or one of the two parts would be empty.
    """
    if how == "random":
        order = np.random.default_rng(seed).permutation(len(dataset.clips))
        held = set(order[: round(TEST_SHARE * len(order))].tolist())
        return _parts(dataset, held)
    if how == "group":
        return _parts(dataset, _held_groups(dataset, seed))
    number = int(how.removeprefix("official-"))
    read = _hmdb51_lists if dataset.name == "hmdb51" else _ucf101_lists
    return _official(dataset, read(dataset, number, data_root))


def group_overlap(dataset: Dataset, train: Indices, test: Indices) -> float:
    """The fraction of test clips beside a training clip of their own class and group."""
    groups = [(clip.label, clip.group) for clip in dataset.clips]
    known = {groups[i] for i in train}
    return sum(groups[i] in known for i in test) / len(test)


def _parts(
    dataset: Dataset, held: set[int], missing: int = 0, used: set[int] | None = None
) -> Split:
    everything = range(len(dataset.clips)) if used is None else sorted(used)
    train = np.array([i for i in everything if i not in held], dtype=np.int64)
    test = np.array([i for i in everything if i in held], dtype=np.int64)
    if not train.size or not test.size:
        raise DatasetError(
            f"the split of {dataset.root} has {train.size} clips for training and {test.size} for "
            "the test; it needs at least one of each"
        )
    return Split(train, test, missing)


def _held_groups(dataset: Dataset, seed: int) -> set[int]:
    rng = np.random.default_rng(seed)
    held: set[int] = set()
    for label in range(len(dataset.classes)):
        mine = [i for i, clip in enumerate(dataset.clips) if clip.label == label]
        groups = sorted({dataset.clips[i].group for i in mine})
        if len(groups) < 2:
            raise DatasetError(
                f"class {dataset.classes[label]} has one group alone; a split by groups needs two"
            )
        count = max(1, round(TEST_SHARE * len(groups)))
        chosen = {groups[g] for g in rng.permutation(len(groups))[:count]}
        held |= {i for i in mine if dataset.clips[i].group in chosen}
    return held


def _official(dataset: Dataset, named: Iterable[tuple[str, bool]]) -> Split:
    """The split of a list of names, each with whether it is for the test."""
    # The lists of UCF101 write HandstandPushups in two ways, so case does not count.
    index = {clip.name.casefold(): i for i, clip in enumerate(dataset.clips)}
    held, used, missing = set(), set(), 0
    for name, is_test in named:
        i = index.get(name.casefold())
        if i is None:
            missing += 1
            continue
        used.add(i)
        if is_test:
            held.add(i)
    return _parts(dataset, held, missing, used)


def _ucf101_lists(dataset: Dataset, number: int, data_root: Path) -> Iterator[tuple[str, bool]]:
    folder = _folder([data_root, data_root.parent], (UCF101_LISTS,))
    for kind in ("train", "test"):
        path = folder / f"{kind}list{number:02d}.txt"
        for line in _lines(path):
            # Names hold no blanks; training lines go on with a label, which the folder says too.
            yield line.split()[0], kind == "test"


def _hmdb51_lists(dataset: Dataset, number: int, data_root: Path) -> Iterator[tuple[str, bool]]:
    folder = _folder([data_root, data_root.parent], HMDB51_LISTS)
    for name in dataset.classes:
        path = folder / f"{name}_test_split{number}.txt"
        for line in _lines(path):
            file, _, flag = line.rpartition(" ")
            if flag not in ("0", "1", "2") or not file.strip():
                raise DatasetError(
                    f"{path}: expected lines 'name flag', flag 0, 1 or 2, got {line!r}"
                )
            if flag != "0":  # 0: in neither part
                yield f"{name}/{file.strip()}", flag == "2"


def _folder(places: list[Path], names: tuple[str, ...]) -> Path:
    for place in places:
        for name in names:
            if (place / name).is_dir():
                return place / name
    raise DatasetError(
        f"an official split needs the set's lists: no folder {' or '.join(names)} in {places[0]}"
    )


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DatasetError(f"an official split needs {path}, which is not there") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
