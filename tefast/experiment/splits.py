"""Which clips are for training and which for the test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast.experiment.datasets import DatasetError, Found, named

TEST_SHARE = 0.2

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices into a data set's clips, rising, and how many clips of the lists are not there."""

    train: Indices
    test: Indices
    missing: int = 0


def split(found: Found[Any], how: str, seed: int, data_root: Path) -> Split:
    """Divide the clips.

    Parameters
    ----------
    how : {"random", "group", "official-1", "official-2", "official-3"}
        "random": 80 % of all clips for training, as in the paper. "group": a fifth of each class's
        groups for the test, so that no group is in both, or a fifth of all groups where these span
        classes. "official-N": the set's own lists.
    seed : int
        Of the first two.
    data_root : Path
        Where `Dataset.official` looks for the lists.

    Raises
    ------
    DatasetError
        If a list is not there or cannot be read, or one of the two parts would be empty.
    """
    if how == "random":
        order = np.random.default_rng(seed).permutation(len(found.clips))
        held = set(order[: round(TEST_SHARE * len(order))].tolist())
        return _parts(found, held)
    if how == "group":
        if not found.grouped:
            raise DatasetError(f"{found.root} has no groups; choose another --split than group")
        spans = named(found.name).groups_span_classes
        return _parts(found, (_held_of_all if spans else _held_groups)(found, seed))
    number = int(how.removeprefix("official-"))
    return _official(found, named(found.name).official(found, number, data_root))


def group_overlap(found: Found[Any], train: Indices, test: Indices) -> float:
    """The fraction of test clips beside a training clip of their own group.

    Groups of the same name are one in all classes if they span these.
    """
    spans = named(found.name).groups_span_classes
    groups = [(None if spans else clip.label, clip.group) for clip in found.clips]
    known = {groups[i] for i in train}
    return sum(groups[i] in known for i in test) / len(test)


def _parts(
    found: Found[Any], held: set[int], missing: int = 0, used: set[int] | None = None
) -> Split:
    everything = range(len(found.clips)) if used is None else sorted(used)
    train = np.array([i for i in everything if i not in held], dtype=np.int64)
    test = np.array([i for i in everything if i in held], dtype=np.int64)
    if not train.size or not test.size:
        raise DatasetError(
            f"the split of {found.root} has {train.size} clips for training and {test.size} for "
            "the test; it needs at least one of each"
        )
    return Split(train, test, missing)


def _held_groups(found: Found[Any], seed: int) -> set[int]:
    rng = np.random.default_rng(seed)
    held: set[int] = set()
    for label in range(len(found.classes)):
        mine = [i for i, clip in enumerate(found.clips) if clip.label == label]
        groups = sorted({found.clips[i].group for i in mine})
        if len(groups) < 2:
            raise DatasetError(
                f"class {found.classes[label]} has one group alone; a split by groups needs two"
            )
        count = max(1, round(TEST_SHARE * len(groups)))
        chosen = {groups[g] for g in rng.permutation(len(groups))[:count]}
        held |= {i for i in mine if found.clips[i].group in chosen}
    return held


def _held_of_all(found: Found[Any], seed: int) -> set[int]:
    """The samples of a fifth of all groups."""
    groups = sorted({clip.group for clip in found.clips})
    if len(groups) < 2:
        raise DatasetError(f"{found.root} has one group alone; a split by groups needs two")
    count = max(1, round(TEST_SHARE * len(groups)))
    drawn = np.random.default_rng(seed).permutation(len(groups))[:count]
    chosen = {groups[g] for g in drawn}
    held = {i for i, clip in enumerate(found.clips) if clip.group in chosen}
    kept = {clip.label for i, clip in enumerate(found.clips) if i not in held}
    for label, name in enumerate(found.classes):
        if label not in kept:
            raise DatasetError(
                f"class {name} has samples of the groups {', '.join(sorted(chosen))} alone, which "
                f"the split of seed {seed} holds out for the test; choose another seed or split"
            )
    return held


def _official(found: Found[Any], named: Iterable[tuple[str, bool]]) -> Split:
    """The split of a list of names, each with whether it is for the test."""
    # The lists of UCF101 write HandstandPushups in two ways, so case does not count.
    index = {clip.name.casefold(): i for i, clip in enumerate(found.clips)}
    held, used, missing = set(), set(), 0
    for name, is_test in named:
        i = index.get(name.casefold())
        if i is None:
            missing += 1
            continue
        used.add(i)
        if is_test:
            held.add(i)
    return _parts(found, held, missing, used)
