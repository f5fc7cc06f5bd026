"""The readings of the paper's definition of the score, and what removing units by each leaves.

The paper does not say which end of the order goes first, what y is, which way the transfer entropy
runs, how values are binned, or whether its bias is corrected. Every combination is a reading.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import tefast
from tefast.experiment.captured import SERIES, SYMBOLS, Captured
from tefast.experiment.config import ORDERS, Config
from tefast.experiment.measuring import last_logits
from tefast.experiment.reading_rows import ReadingRow, read_reading_rows, write_reading_rows
from tefast.experiment.scoring import random_scores
from tefast.experiment.sweep import Trained
from tefast.nn import SequenceClassifier, prune, select_units

FRACTIONS = (0.5, 0.6)
DIRECTIONS = ("y_to_unit", "unit_to_y")
BINNINGS = ("own_range", "fixed_range", "quantile")
BINS = (4, 8, 16, 32, 64)
HISTORIES = {4: (1, 2), 8: (1, 2), 16: (1,), 32: (1,), 64: (1,)}
"""Longer histories need few bins: the counts are spread over a power of them."""
BIASES = ("none", "miller_madow")
KEPT_SECONDS = 20.0
"""How often what is measured is written while it goes on."""


@dataclass(frozen=True)
class Reading:
    """One way to score units; which end goes first comes on top of it.

    Attributes
    ----------
    y : {"probability", "correct", "loss", "rank"}
    direction : {"y_to_unit", "unit_to_y"}
    binning : {"own_range", "fixed_range", "quantile"}
        Of the unit, and of y where it is not a symbol: bins of equal width over the range of the
        data or over (-1, 1), or bins that are equally full. The fixed range of a probability is
        (0, 1); that of a loss is that of the data.
    bins : int
    bias : {"none", "miller_madow"}
    history : int
        Steps of the past, of both.
    """

    y: str
    direction: str
    binning: str
    bins: int
    bias: str
    history: int

    def scores(self, of: Captured) -> npt.NDArray[np.float64]:
        """The score of each unit, (U,)."""
        function = (
            tefast.transfer_entropy
            if self.direction == "y_to_unit"
            else tefast.reverse_transfer_entropy
        )
        own = "quantile" if self.binning == "quantile" else "uniform"
        is_fixed = self.binning == "fixed_range"
        with warnings.catch_warnings():
            # Saturated units have fewer distinct values than bins; they are scored all the same.
            warnings.simplefilter("ignore")
            found = function(
                of.h,
                of.series[self.y],
                self.bins,
                target_history=self.history,
                source_history=self.history,
                binning=cast(Any, {"h": own, "y": "symbols" if self.y in SYMBOLS else own}),
                h_range=(-1, 1) if is_fixed else None,
                y_range=(0, 1) if is_fixed and self.y == "probability" else None,
                lengths=of.lengths,
                bias=cast(
                    Literal["miller_madow"] | None, None if self.bias == "none" else self.bias
                ),
            )
        return np.asarray(found, dtype=np.float64)


PAPERS = Reading("probability", "y_to_unit", "fixed_range", 16, "none", 1)
"""As the study reads the paper everywhere else, with the highest first."""


def every_reading() -> Iterator[Reading]:
    """All of them, in the order in which they are measured."""
    for y, direction, binning, bins in product(SERIES, DIRECTIONS, BINNINGS, BINS):
        for bias, history in product(BIASES, HISTORIES[bins]):
            yield Reading(y, direction, binning, bins, bias, history)


def undefined(of: Captured) -> dict[str, str]:
    """The series that a model gives no reading for, and why."""
    return {
        name: f"y = {name}, which is the same at all steps"
        for name, values in of.series.items()
        if len(values) and (flat := of.valid(values)).min() == flat.max()
    }


class ReadingSweep:
    """What the readings come to for one trained model."""

    def __init__(self, config: Config, trained: Trained) -> None:
        self._config = config
        self._trained = trained
        is_ours = type(trained.model) is SequenceClassifier
        example = None if is_ours else trained.material.train_x[:2]
        self._where: dict[str, Any] = {"rnn": config.rnn, "example": example}
        self._known: dict[frozenset[int], float] = {}

    def measure(
        self, capture: Callable[[], Captured], path: Path, progress: Callable[[int, int], None]
    ) -> list[ReadingRow]:
        """Measure all readings.

        Rows that `path` has are taken from there, and it has all of them in the end. Random orders
        are the same for all readings.

        Parameters
        ----------
        capture : callable
            Gives what the model puts out; called only if something is missing.
        progress : callable
            Told the readings done and their number.
        """
        readings = list(every_reading())
        rows = read_reading_rows(path) if path.exists() else []
        known = {row.reading for row in rows}
        missing = [one for one in readings if _key(one) not in known]
        if not missing:
            return rows
        of = capture()
        skipped = undefined(of)
        chance = {fraction: self._chance(fraction) for fraction in FRACTIONS}
        written = time.monotonic()
        for number, reading in enumerate(readings, start=1):
            if _key(reading) not in known and reading.y not in skipped:
                rows += self._rows(reading, reading.scores(of), chance)
                if time.monotonic() - written >= KEPT_SECONDS:
                    write_reading_rows(path, rows)
                    written = time.monotonic()
            progress(number, len(readings))
        write_reading_rows(path, rows)
        return rows

    def _rows(
        self,
        reading: Reading,
        scores: npt.NDArray[np.float64],
        chance: dict[float, list[float]],
    ) -> list[ReadingRow]:
        found = []
        for order, fraction in product(ORDERS, FRACTIONS):
            units = _selected(torch.from_numpy(scores), fraction, order)
            draws = np.array(chance[fraction])
            found.append(
                ReadingRow(
                    dataset=self._config.dataset,
                    split=self._config.split,
                    seed=self._trained.seed,
                    y=reading.y,
                    direction=reading.direction,
                    binning=reading.binning,
                    bins=reading.bins,
                    bias=reading.bias,
                    history=reading.history,
                    order=order,
                    removed_fraction=fraction,
                    removed_units=len(units),
                    accuracy=self._without(units),
                    random_mean=float(draws.mean()),
                    random_deviation=float(draws.std(ddof=1)) if len(draws) > 1 else 0.0,
                )
            )
        return found

    def _chance(self, fraction: float) -> list[float]:
        """Accuracies that random orders leave: those of the criterion "random"."""
        found = []
        for draw in range(self._config.random_orders):
            scores = random_scores(
                self._trained.model, self._trained.seed, draw, "unit", self._config.rnn
            )
            found.append(self._without(_selected(scores, fraction, "descending")))
        return found

    def _without(self, units: Tensor) -> float:
        """Test accuracy without some units; equal sets are measured once."""
        key = frozenset(units.tolist())
        if key not in self._known:
            material = self._trained.material
            smaller = prune(self._trained.model, units, **self._where) if key else None
            model = self._trained.model if smaller is None else smaller
            logits = last_logits(model, material.test_x, material.test_lengths)
            right = int((logits.argmax(dim=1) == material.test_labels).sum())
            self._known[key] = right / len(material.test_labels)
        return self._known[key]


def _key(reading: Reading) -> tuple[object, ...]:
    return (
        reading.y, reading.direction, reading.binning, reading.bins, reading.bias, reading.history,
    )  # fmt: skip


def _selected(scores: Tensor, fraction: float, order: str) -> Tensor:
    with warnings.catch_warnings():
        # Equal scores are many for a coarse reading; the index decides then, in all readings alike.
        warnings.simplefilter("ignore")
        return select_units(scores, fraction, descending=order == "descending")
