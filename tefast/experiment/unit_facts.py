"""What the units of a model are like: what the scores may only be a reflection of."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import tefast
from tefast._support.files import whole_file, write_text
from tefast.experiment.captured import Captured
from tefast.experiment.readings import BINNINGS, DIRECTIONS, PAPERS, Reading
from tefast.experiment.sweep import Trained
from tefast.nn import score

SATURATED = 0.9
"""Beyond this, an output counts as saturated."""

FACTS = {
    "occupied_bins": "occupied bins",
    "null_bias": "null bias",
    "saturation": f"|h| > {SATURATED}",
    "l1": "L1 norm",
    "entropy": "entropy",
}
"""What is known of each unit, and what tables call it."""

MAP_COLUMNS = (
    "dataset", "split", "seed", "regularizer", "unit", "transfer_entropy", *FACTS,
    "removed_at_half",
)  # fmt: skip

EXPLAINED = tuple(
    replace(PAPERS, direction=direction, binning=binning)
    for direction, binning in product(DIRECTIONS, BINNINGS)
)
"""The readings whose scores are held beside the facts."""


def facts(of: Captured, trained: Trained, reading: Reading, rnn: str) -> dict[str, list[float]]:
    """The score of every unit by a reading, and what is known of the unit.

    Returns
    -------
    dict of str to list of float
        ``score`` and the names in `FACTS`. ``null_bias`` is the bias of first order, in bits, by
        the numbers of occupied cells: what the transfer entropy of independent series with as
        many occupied cells is expected to be.
    """
    plain = replace(reading, bias="none").scores(of)
    corrected = replace(reading, bias="miller_madow").scores(of)
    how: dict[str, Any] = {
        "binning": "quantile" if reading.binning == "quantile" else "uniform",
        "h_range": (-1, 1) if reading.binning == "fixed_range" else None,
        "lengths": of.lengths,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # saturated units leave bins empty
        codes = of.valid(np.asarray(tefast.encode(of.h, reading.bins, **how)))
        entropy = np.asarray(tefast.entropy(of.h, reading.bins, **how))
    norms = score(trained.model, [], "l1", rnn=rnn)[0, 0]
    found: dict[str, npt.NDArray[Any]] = {
        "score": plain if reading.bias == "none" else corrected,
        "occupied_bins": np.array([len(np.unique(unit)) for unit in codes.T]),
        "null_bias": plain - corrected,
        "saturation": (np.abs(of.valid(of.h)) > SATURATED).mean(axis=0),
        "l1": norms.detach().cpu().numpy(),
        "entropy": entropy,
    }
    return {name: [float(value) for value in values] for name, values in found.items()}


def facts_of_model(
    capture: Callable[[], Captured], trained: Trained, rnn: str, path: Path, *, every: bool
) -> list[dict[str, Any]]:
    """Facts beside the paper's reading, or `every` one in `EXPLAINED`; read from `path` if there.

    Returns
    -------
    list of dict
        ``reading``, a list of its settings, and ``facts``, as `facts` gives them.
    """
    wanted = EXPLAINED if every else (PAPERS,)
    known: list[dict[str, Any]] = []
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    names = [settings(one) for one in wanted]
    if any(name not in [one["reading"] for one in known] for name in names):
        of = capture()
        known = [
            {"reading": settings(one), "facts": facts(of, trained, one, rnn)} for one in wanted
        ]
        write_text(path, json.dumps(known) + "\n")
    return [one for one in known if one["reading"] in names]


def settings(reading: Reading) -> list[Any]:
    """A reading as JSON has it."""
    return [
        reading.y, reading.direction, reading.binning, reading.bins, reading.bias, reading.history,
    ]  # fmt: skip


def of_paper(known: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """The facts beside the paper's reading."""
    found: dict[str, list[float]] = next(
        one["facts"] for one in known if one["reading"] == settings(PAPERS)
    )
    return found


def first_half(scores: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Which units go first, highest score first, half of all."""
    count = int(0.5 * len(scores) + 0.5)
    gone = np.zeros(len(scores), dtype=bool)
    gone[np.argsort(-np.array(scores), kind="stable")[:count]] = True
    return gone


def write_maps(
    path: Path,
    models: Sequence[tuple[Trained, dict[str, list[float]]]],
    *,
    dataset: str,
    split: str,
) -> None:
    """Write maps.csv: a row for each unit of each model."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(MAP_COLUMNS)
        for trained, known in models:
            gone = first_half(known["score"])
            for unit, score_of_unit in enumerate(known["score"]):
                writer.writerow(
                    [
                        dataset, split, trained.seed, trained.regularizer, unit, score_of_unit,
                        *(known[name][unit] for name in FACTS), int(gone[unit]),
                    ]
                )  # fmt: skip
