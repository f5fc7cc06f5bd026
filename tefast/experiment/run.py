"""The stages of a run, from clips to the report, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tefast.experiment.config import ORDERS, Config
from tefast.experiment.datasets import Found, find_clips, named
from tefast.experiment.datasets.base import Features, Reader
from tefast.experiment.figures import figure2, figure3, figure4
from tefast.experiment.progress import Bar
from tefast.experiment.report import write_report
from tefast.experiment.results import Row, StudyResults, write_rows
from tefast.experiment.splits import Split, group_overlap, split
from tefast.experiment.summary import build_summary, write_summary
from tefast.experiment.sweep import ModelSweep, scores_of, shuffled_accuracy
from tefast.experiment.training import Material, prepare, train_model
from tefast.experiment.workspace import Workspace
from tefast.nn import SequenceClassifier


@dataclass(frozen=True)
class Trained:
    """One model of the study, the clips it was made for, and its scores by granularity."""

    regularizer: str
    seed: int
    model: SequenceClassifier
    material: Material
    scores: dict[str, dict[str, torch.Tensor]]


def run(
    config: Config,
    out: Path,
    *,
    fresh: bool = False,
    must_resume: bool = False,
    feature_cache: Path | None = None,
    command: Sequence[str] = (),
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

    Raises
    ------
    ValueError
        For data, weights or settings that cannot be run, before anything is written.
    """
    space = Workspace(out)
    root = Path(config.data_root) if config.data_root is not None else space.data
    # What may be wrong with weights and clips is found out before anything is written or deleted.
    dataset = named(config.dataset)
    reader, make = dataset.reader(config), dataset.maker(config)
    is_users = config.data_root is not None and make is None
    space.refuse_inputs(*reader.inputs, *([root] if is_users else []))
    if make is None:
        _find_and_split(config, root)
    with space.locked():
        space.begin(config, fresh=fresh, must_resume=must_resume)
        if make is not None:
            with space.stage("clips"), Bar("rendering", "clip") as progress:
                make(root, progress)
        found, splits = _find_and_split(config, root)
        print(f"{len(found.clips)} clips of {len(found.classes)} classes in {found.root}")
        for name, value in getattr(reader, "pins", {}).items():
            space.pin(name, value)
        with space.stage("features"):
            features = _features(found, reader, feature_cache or space.features)
        splits = {seed: _usable(part, features.usable) for seed, part in splits.items()}
        space.pin("clips", _digest(features.values, [clip.name for clip in found.clips]))
        for seed, part in splits.items():
            space.pin(f"training and test clips of seed {seed}", _digest(part.train, part.test))
        trained = _train(config, space, found, features, splits)
        rows, shuffled = _sweep(config, space, trained)
        units, gates = (
            StudyResults(rows["unit"]),
            StudyResults(rows["gate"]) if "gate" in rows else None,
        )
        with space.stage("report"):
            figures = _figures(space, rows, classes=len(found.classes))
        summary = build_summary(
            config,
            units,
            gates,
            command=command,
            backbone=reader.described,
            dataset=_described(found, features, splits),
            shuffled=shuffled,
            problems=[asdict(problem) for problem in features.problems],
            seconds=space.seconds,
        )
        write_summary(space.summary, summary)
        write_report(space.report, summary, units, figures, gates)
    print(f"report: {space.report}")


def _find_and_split(config: Config, root: Path) -> tuple[Found[Any], dict[int, Split]]:
    """Find the clips and split them for every seed."""
    found = find_clips(config.dataset, root)
    return found, {seed: split(found, config.split, seed, root) for seed in config.seeds}


def _features(found: Found[Any], reader: Reader[Any], cache: Path) -> Features:
    with Bar("features", "clip") as progress:
        features = reader.read(found, cache_dir=cache, progress=progress)
    if features.extraction.get("computed"):
        print(_cost(features.extraction), flush=True)
    for problem in features.problems:
        print(f"{problem.kind} clip {problem.name}: {problem.reason}", flush=True)
    return features


def _cost(extraction: dict[str, Any]) -> str:
    """What computing the features cost, in one line."""
    return (
        "{clips_per_second:.3g} clips a second, bound by {bound_by}: {decoding_seconds:.1f} s of "
        "decoding and {network_seconds:.1f} s of the network in {processes} processes, which were "
        "busy for {busy:.0%} of the time"
    ).format(**extraction)


def _train(
    config: Config,
    space: Workspace,
    found: Found[Any],
    features: Features,
    splits: dict[int, Split],
) -> list[Trained]:
    """Train every model, and score its units, and gates, on its own training clips."""
    values = torch.from_numpy(features.values)
    labels = torch.tensor([clip.label for clip in found.clips])
    trained = []
    for seed, part in splits.items():
        material = prepare(values, labels, part.train, part.test, space.scaling(seed))
        for regularizer in config.regularizers:
            detail = f"regularizer {regularizer}, seed {seed}"
            with space.stage("training", detail), Bar("training", "epoch") as progress:
                model = train_model(
                    config,
                    material,
                    len(found.classes),
                    regularizer,
                    seed,
                    space.model(regularizer, seed),
                    space.checkpoint(regularizer, seed),
                    progress,
                )
            scores = {}
            with space.stage("scores", detail):
                for granularity in config.granularities:
                    path = space.scores(regularizer, seed, granularity)
                    scores[granularity] = scores_of(
                        config, model, material, seed, granularity, path
                    )
            trained.append(Trained(regularizer, seed, model, material, scores))
    return trained


def _sweep(
    config: Config, space: Workspace, trained: list[Trained]
) -> tuple[dict[str, list[Row]], list[dict[str, Any]]]:
    """Measure every curve of every model, and what shuffling the frames costs it.

    The rows come by granularity; those of the one that was asked for go to results.csv.
    """
    rows: dict[str, list[Row]] = {granularity: [] for granularity in config.granularities}
    shuffled: list[dict[str, Any]] = []
    total = len(trained) * len(rows) * len(config.criteria) * len(ORDERS)
    done = 0
    with space.stage("sweep"), Bar("sweep", "curve") as progress:
        for one in trained:
            for granularity, measured in rows.items():
                for curve in _curves(config, space, one, granularity):
                    measured += curve
                    done += 1
                    progress(done, total)
            path = space.shuffled(one.regularizer, one.seed)
            accuracies = shuffled_accuracy(one.model, one.material, one.seed, path)
            shuffled.append({"seed": one.seed, "regularizer": one.regularizer, **accuracies})
    for path in (space.units, space.gate_figure):  # of an earlier start that was about gates
        path.unlink(missing_ok=True)
    write_rows(space.results, rows[config.granularity])
    if config.granularity != "unit":
        write_rows(space.units, rows["unit"])
    return rows, shuffled


def _curves(
    config: Config, space: Workspace, one: Trained, granularity: str
) -> Iterator[list[Row]]:
    """Measure the curves of one model."""
    sweep = ModelSweep(
        config,
        one.model,
        one.scores[granularity],
        one.material,
        regularizer=one.regularizer,
        seed=one.seed,
        granularity=granularity,
    )
    for criterion in config.criteria:
        for order in ORDERS:
            path = space.sweep(one.regularizer, one.seed, granularity, criterion, order)
            yield sweep.curve(criterion, order, path)


def _figures(space: Workspace, rows: dict[str, list[Row]], *, classes: int) -> list[Path]:
    """Draw the figures and return where they are."""
    figure2(rows["unit"], space.figures[0], classes=classes)
    figure3(rows["unit"], space.figures[1], classes=classes)
    if "gate" not in rows:
        return list(space.figures)
    figure4(rows["unit"], rows["gate"], space.gate_figure, classes=classes)
    return [*space.figures, space.gate_figure]


def _described(found: Found[Any], features: Features, splits: dict[int, Split]) -> dict[str, Any]:
    """The clips as the summary has them."""
    parts = [
        {
            "seed": seed,
            "train": len(part.train),
            "test": len(part.test),
            "group_overlap": group_overlap(found, part.train, part.test),
        }
        for seed, part in splits.items()
    ]
    return {
        "name": found.name,
        "classes": list(found.classes),
        "clips": len(found.clips),
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


def _digest(*parts: Any) -> str:
    """A hash of arrays and lists: what models were trained on."""
    digest = hashlib.sha256()
    for part in parts:
        is_array = isinstance(part, np.ndarray)
        digest.update(np.ascontiguousarray(part).data if is_array else repr(part).encode())
    return digest.hexdigest()
