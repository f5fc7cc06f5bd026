"""The stages of a run, from clips to the report, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tefast.experiment.architecture import STANDARD, Architecture
from tefast.experiment.class_results import (
    ClassResults,
    ClassRow,
    read_class_rows,
    write_class_rows,
)
from tefast.experiment.config import Config
from tefast.experiment.criteria import criteria_of, digest_of
from tefast.experiment.datasets import DatasetError, Found, find_clips, named
from tefast.experiment.datasets.base import Features, Reader
from tefast.experiment.figures import figures
from tefast.experiment.looking import draw_training, look_at_units
from tefast.experiment.naming import printable
from tefast.experiment.plan import curves_of
from tefast.experiment.processes import here, joined
from tefast.experiment.progress import Bar
from tefast.experiment.report import CAPTIONS, write_report
from tefast.experiment.results import Row, StudyResults, read_rows, write_rows
from tefast.experiment.shuffling import shuffled_accuracy
from tefast.experiment.splits import Split, group_overlap, split, unknown_groups
from tefast.experiment.summary import build_summary, write_summary
from tefast.experiment.sweep import ModelSweep, Trained
from tefast.experiment.trainings import train_all
from tefast.experiment.workspace import Workspace
from tefast.nn.criteria import Criterion

MOST_UNREADABLE = 0.01
"""A run stops where more than this part of the clips cannot be read, unless it is told to go on."""
FEWEST_UNREADABLE = 2
"""So many unreadable clips are needed for that: one stops no run."""


def run(
    config: Config,
    out: Path,
    *,
    fresh: bool = False,
    must_resume: bool = False,
    feature_cache: Path | None = None,
    command: Sequence[str] = (),
    criteria: Mapping[str, Criterion] | None = None,
    architecture: Architecture = STANDARD,
) -> None:
    """Run the study, or go on with it, and leave its results in `out`.

    Parameters
    ----------
    config : Config
    out : Path
        See `tefast.experiment.workspace.Workspace`.
    fresh : bool
        Delete the run that is there.
    must_resume : bool
        Fail if there is none.
    feature_cache : Path, optional
        Default: a folder in `out`.
    command : sequence of str
        What the user typed, for the report.
    criteria : mapping of str to callable, optional
        Criteria of one's own by their names, which are among `config.criteria`.
    architecture : Architecture, optional
        What networks are trained.

    Raises
    ------
    ValueError
        For data, weights or settings that cannot be run, before anything is written.

    Notes
    -----
    Processes that torchrun started share the work: they train each model together, count the
    samples together, and measure some curves each. The first of them writes what all have made.
    """
    with joined():
        _run(config, out, fresh, must_resume, feature_cache, command, criteria, architecture)


def _run(
    config: Config,
    out: Path,
    fresh: bool,
    must_resume: bool,
    feature_cache: Path | None,
    command: Sequence[str],
    criteria: Mapping[str, Criterion] | None,
    architecture: Architecture,
) -> None:
    resolved = criteria_of(config, criteria)
    architecture.check(config)
    space = Workspace(out)
    # What may be wrong with weights and clips is found out before anything is written or deleted.
    dataset = named(config.dataset)
    given = dataset.where(config)
    root = space.data if given is None else given
    reader, make = dataset.reader(config), dataset.maker(config)
    is_users = given is not None and make is None
    space.refuse_inputs(*reader.inputs, *([root] if is_users else []))
    if make is None:
        _find_and_split(config, root)
    with space.locked():
        space.begin(config, fresh=fresh, must_resume=must_resume)
        if make is not None:
            with space.stage("clips"), Bar("rendering", "clip") as progress:
                here().first(partial(make, root, progress))
        found, splits = _find_and_split(config, root)
        what = f"{len(found.clips)} {dataset.samples} of {len(found.classes)} classes"
        _say(f"{what} in {printable(found.root)}")
        _warn_of_unknown_groups(found)
        _warn_of_a_split(config, found)
        for name, value in getattr(reader, "pins", {}).items():
            space.pin(name, value)
        with space.stage("features"):
            features = _features(found, reader, feature_cache or space.features)
        _check_unreadable(features, config.allow_unreadable)
        splits = {seed: _usable(part, features.usable) for seed, part in splits.items()}
        of_lengths = () if features.lengths is None else (features.lengths,)
        names = [clip.name for clip in found.clips]
        space.pin("clips", _digest(features.values, names, *of_lengths))
        for seed, part in splits.items():
            space.pin(f"training and test clips of seed {seed}", _digest(part.train, part.test))
        for name, one in resolved.items():
            if not isinstance(one, str):
                space.pin(f"lines of the criterion {name}", digest_of(one))
        config = _sized(config, space, architecture, features, len(found.classes))
        trained, choices = train_all(config, space, found, features, splits, resolved, architecture)
        rows, shuffled = _sweep(config, space, trained, found.classes)
        if not here().is_first:
            return
        units, gates = (
            StudyResults(rows["unit"]),
            StudyResults(rows["gate"]) if "gate" in rows else None,
        )
        samples = min(len(part.test) for part in splits.values())
        with space.stage("units"), Bar("readings", "reading") as progress:
            looked, readings = look_at_units(config, space, trained, progress, samples=samples)
        with space.stage("report"):
            drawn = figures(rows, space.out, classes=len(found.classes), samples=samples)
            drawn |= looked | draw_training(config, space)
        space.discard(*(f"{name}.png" for name in CAPTIONS if name not in drawn))
        summary = build_summary(
            config,
            units,
            gates,
            by_class=ClassResults(read_class_rows(space.classes)),
            readings=readings,
            command=command,
            backbone=reader.described,
            dataset=_described(found, features, splits),
            shuffled=shuffled,
            chosen_weights=[choice.described() for choice in choices],
            problems=[asdict(problem) for problem in features.problems],
            seconds=space.seconds,
        )
        write_summary(space.summary, summary)
        write_report(space.report, summary, drawn)
    print(f"report: {space.report}")


def _find_and_split(config: Config, root: Path) -> tuple[Found[Any], dict[int, Split]]:
    """Find the clips and split them for every seed."""
    found = find_clips(config.dataset, root)
    return found, {
        seed: split(found, config.split, seed, root, allow_leak=config.allow_leak)
        for seed in config.seeds
    }


def _warn_of_unknown_groups(found: Found[Any]) -> None:
    unknown = unknown_groups(found)
    if unknown is not None:
        _say(f"warning: {unknown}; so it is unknown whether the split keeps videos apart")


def _warn_of_a_split(config: Config, found: Found[Any]) -> None:
    """Say so where a file of one's own gives a split that is not used."""
    given = getattr(found.clips[0], "is_test", None)
    if config.dataset == "arrays" and given is not None and config.split != "official-1":
        _say(
            f"warning: {printable(found.root)} gives a split, which --split {config.split} leaves "
            "aside; --split official-1 takes it"
        )


def _check_unreadable(features: Features, allowed: bool) -> None:
    """Raise if too many clips cannot be read for the rest to stand for the set."""
    count, total = int((~features.usable).sum()), len(features.usable)
    if allowed or count < FEWEST_UNREADABLE or count <= MOST_UNREADABLE * total:
        return
    first = next(problem for problem in features.problems if problem.kind == "unreadable")
    raise DatasetError(
        f"{count} of {total} clips cannot be read, more than {MOST_UNREADABLE:.0%}; the first is "
        f"{first.name}: {first.reason}; --allow-unreadable goes on without them"
    )


def _features(found: Found[Any], reader: Reader[Any], cache: Path) -> Features:
    with Bar("features", "clip") as progress:
        features = reader.read(found, cache_dir=cache, progress=progress)
    if features.extraction.get("computed"):
        _say(_cost(features.extraction))
    for problem in features.problems:
        _say(f"{problem.kind} clip {problem.name}: {problem.reason}")
    return features


def _cost(extraction: dict[str, Any]) -> str:
    """What computing the features cost, in one line."""
    return (
        "{clips_per_second:.3g} clips a second, bound by {bound_by}: {decoding_seconds:.1f} s of "
        "decoding and {network_seconds:.1f} s of the network in {processes} processes, which were "
        "busy for {busy:.0%} of the time"
    ).format(**extraction)


def _sized(
    config: Config, space: Workspace, architecture: Architecture, features: Features, classes: int
) -> Config:
    """The settings with the units that the networks have; pins models of one's own."""
    width = features.values.shape[2]
    sized = architecture.sized(config, torch.from_numpy(features.values[:2]), classes)
    if architecture.own is not None:
        for seed in config.seeds:
            space.pin(f"modules and first weights of the model of seed {seed}",
                      architecture.digest(sized, width, classes, seed))  # fmt: skip
    return sized


def _sweep(
    config: Config, space: Workspace, trained: list[Trained], classes: Sequence[str]
) -> tuple[dict[str, list[Row]], list[dict[str, Any]]]:
    """Measure every curve of every model, and what shuffling the frames costs it.

    The rows come by granularity; those of the one that was asked for go to results.csv, and what
    they say class by class goes to classes.csv.
    """
    rows: dict[str, list[Row]] = {granularity: [] for granularity in config.granularities}
    by_class: list[ClassRow] = []
    shuffled: list[dict[str, Any]] = []
    every = [
        (one, granularity, list(curves_of(config, one.regularizer, granularity)))
        for one in trained
        for granularity in rows
    ]
    total, done = sum(len(here().share(curves)) for *_, curves in every), 0
    with space.stage("sweep"), Bar("sweep", "curve") as progress:
        for one, granularity, curves in every:
            sweep = ModelSweep(config, one, classes, granularity)
            for curve in here().share(curves):
                sweep.curve(curve, *space.sweep(one.regularizer, one.seed, granularity, curve))
                done += 1
                progress(done, total)
        here().wait()
        for one, granularity, curves in every:
            for curve in curves:
                paths = space.sweep(one.regularizer, one.seed, granularity, curve)
                rows[granularity] += curve.of_rows(read_rows(paths[0]))
                if granularity == config.granularity:
                    by_class += curve.of_classes(read_class_rows(paths[1]))
        for one in trained:
            path = space.shuffled(one.regularizer, one.seed)
            accuracies = shuffled_accuracy(one.model, one.material, one.seed, path)
            shuffled.append({"seed": one.seed, "regularizer": one.regularizer, **accuracies})
    if not here().is_first:
        return rows, shuffled
    space.discard("units.csv")  # of an earlier start that was about gates
    write_class_rows(space.classes, by_class)
    write_rows(space.results, rows[config.granularity])
    if config.granularity != "unit":
        write_rows(space.units, rows["unit"])
    return rows, shuffled


def _described(found: Found[Any], features: Features, splits: dict[int, Split]) -> dict[str, Any]:
    """The clips as the summary has them."""
    parts = [
        {
            "seed": seed,
            "train": len(part.train),
            "test": len(part.test),
            "group_overlap": "unknown" if overlap is None or not found.grouped else overlap,
        }
        for seed, part in splits.items()
        for overlap in [group_overlap(found, part.train, part.test)]
    ]
    return {
        "name": found.name,
        "classes": list(found.classes),
        "clips": len(found.clips),
        "grouped": found.grouped,
        "usable": int(features.usable.sum()),
        "missing": max(part.missing for part in splits.values()),
        "splits": parts,
        "extraction": features.extraction,
    }


def _usable(part: Split, usable: npt.NDArray[np.bool_]) -> Split:
    """The split without the clips that could not be read."""
    train, test = part.train[usable[part.train]], part.test[usable[part.test]]
    if not train.size or not test.size:
        raise ValueError(
            f"the split has {train.size} readable clips for training and {test.size} for the "
            "test; it needs at least one of each"
        )
    return Split(train, test, part.missing)


def _say(text: str) -> None:
    """Print a line, in the first process alone."""
    if here().is_first:
        print(text, flush=True)


def _digest(*parts: Any) -> str:
    """A hash of arrays and lists: what models were trained on."""
    digest = hashlib.sha256()
    for part in parts:
        is_array = isinstance(part, np.ndarray)
        digest.update(np.ascontiguousarray(part).data if is_array else repr(part).encode())
    return digest.hexdigest()
