"""Which clips are for training and which for the test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from tefast.experiment.datasets import DatasetError, Found, named
from tefast.experiment.datasets.layouts import stem_of
from tefast.experiment.naming import printable

TEST_SHARE = 0.2
ESCAPED = re.compile(r"\\x([0-9a-f]{2})")

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices into a data set's clips, rising, and how many clips of the lists are not there."""

    train: Indices
    test: Indices
    missing: int = 0


def split(
    found: Found[Any], how: str, seed: int, data_root: Path, *, allow_leak: bool = False
) -> Split:
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
    allow_leak : bool
        Take lists that have clips of one group in both parts.

    Raises
    ------
    DatasetError
        If a list is not there or cannot be read, one of the two parts would be empty, a clip or a
        group would be in both, or the groups of a split by groups are not known.
    """
    if how == "random":
        order = np.random.default_rng(seed).permutation(len(found.clips))
        held = set(order[: round(TEST_SHARE * len(order))].tolist())
        return _parts(found, held)
    if how == "group":
        if not found.grouped:
            root = printable(found.root)
            raise DatasetError(f"{root} has no groups; choose another --split than group")
        _refuse_unknown_groups(found)
        spans = named(found.name).groups_span_classes
        return _parts(found, (_held_of_all if spans else _held_groups)(found, seed))
    number = int(how.removeprefix("official-"))
    part = _official(found, named(found.name).official(found, number, data_root))
    if not allow_leak:
        _refuse_leak(found, how, part)
    return part


def group_overlap(found: Found[Any], train: Indices, test: Indices) -> float | None:
    """The fraction of test clips beside a training clip of their own group.

    Groups of the same name are one in all classes if they span these. None: it is not known, as the
    group of a clip is not.
    """
    groups = _groups(found)
    if any(found.clips[i].group is None for i in (*train, *test)):
        return None
    known = {groups[i] for i in train}
    return sum(groups[i] in known for i in test) / len(test)


def unknown_groups(found: Found[Any]) -> str | None:
    """A sentence on clips whose group is not known, with an example; None if all are."""
    unknown = [clip.name for clip in found.clips if clip.group is None]
    if not unknown:
        return None
    return (
        f"the names of {len(unknown)} of {len(found.clips)} clips in {printable(found.root)} do "
        f"not tell which video they were cut from, as names of {found.name} do; one is "
        f"{unknown[0]}"
    )


def _refuse_unknown_groups(found: Found[Any]) -> None:
    unknown = unknown_groups(found)
    if unknown is not None:
        raise DatasetError(f"{unknown}; a split by groups needs that of every clip")


def _refuse_leak(found: Found[Any], how: str, part: Split) -> None:
    """Raise if clips of one group are in both parts."""
    if not found.grouped:
        return
    each = _groups(found)
    groups = [{each[i] for i in indices} for indices in (part.train, part.test)]
    both = sorted(
        group if label is None else f"{found.classes[label]}/{group}"
        for label, group in groups[0] & groups[1]
        if group is not None
    )
    if both:
        shown = ", ".join(both[:5]) + (", ..." if len(both) > 5 else "")
        raise DatasetError(
            f"the split {how} of {printable(found.root)} has clips of {len(both)} videos in both "
            f"parts: {shown}; --allow-leak goes on with it"
        )


def _parts(
    found: Found[Any], held: set[int], missing: int = 0, used: set[int] | None = None
) -> Split:
    everything = range(len(found.clips)) if used is None else sorted(used)
    train = np.array([i for i in everything if i not in held], dtype=np.int64)
    test = np.array([i for i in everything if i in held], dtype=np.int64)
    if not train.size or not test.size:
        raise DatasetError(
            f"the split of {printable(found.root)} has {train.size} clips for training and "
            f"{test.size} for the test; it needs at least one of each"
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


def _groups(found: Found[Any]) -> list[tuple[int | None, str | None]]:
    """The group of every clip; one of each class, unless groups span classes."""
    spans = named(found.name).groups_span_classes
    return [(None if spans else clip.label, clip.group) for clip in found.clips]


def _held_of_all(found: Found[Any], seed: int) -> set[int]:
    """The samples of a fifth of all groups."""
    groups = sorted({clip.group for clip in found.clips})
    if len(groups) < 2:
        root = printable(found.root)
        raise DatasetError(f"{root} has one group alone; a split by groups needs two")
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


def _official(found: Found[Any], listed: Iterable[tuple[str, bool]]) -> Split:
    """The split of a list of names, each with whether it is for the test."""
    exact = {_key(clip.name): i for i, clip in enumerate(found.clips)}
    # The lists of UCF101 write HandstandPushups in two ways.
    folded = {key.casefold(): i for key, i in exact.items()}
    for_test: dict[int, bool] = {}
    names: list[str] = []  # of clips that are not there
    for name, is_test in listed:
        key = _key(name)
        i = exact.get(key, folded.get(key.casefold()))
        if i is None:
            names.append(name)
        elif for_test.setdefault(i, is_test) != is_test:
            raise DatasetError(
                f"the lists name {found.clips[i].name} both for training and for the test"
            )
    if not for_test:
        first = f"; the first is {names[0]}" if names else ""
        raise DatasetError(
            f"none of the {len(names)} clips that the lists name is in "
            f"{printable(found.root)}{first}"
        )
    held = {i for i, is_test in for_test.items() if is_test}
    return _parts(found, held, len(names), set(for_test))


def _key(name: str) -> str:
    """A clip's class and name without its suffix, however its letters are encoded."""
    # Bytes of a file's name that are no UTF-8 are most likely Latin-1, as the list is then.
    name = ESCAPED.sub(lambda match: chr(int(match[1], 16)), name)
    folder, _, file = normalize("NFC", name).rpartition("/")
    return f"{folder.rpartition('/')[2]}/{stem_of(file)}"
