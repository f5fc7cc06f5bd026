"""Measurements of the sweep: rows, their CSV file, and their mean and spread over seeds."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tefast._support.files import whole_file
from tefast.experiment.config import NO_ORDER, ORDERS, RECOVERIES, REGULARIZERS


@dataclass(frozen=True)
class Row:
    """One measurement, with the columns of results.csv in their order.

    Attributes
    ----------
    criterion, order : str
        "random" and "from_scratch" have the order "none".
    draw : int
        The number of a random order; 0 for all else.
    recovery : {"none", "reconstruction", "fine_tuning"}
        What was done after the removal.
    removed_fraction, removed_units
        What was asked for, and how many units that was, or gates where these are removed.
    accuracy : float
        Of the test clips, in [0, 1].
    calibration_error : float
        Expected calibration error of the test clips, in [0, 1].
    parameters : int
        Of the smaller network.
    seconds_per_clip : float
        Of its forward pass over the test clips.
    """

    dataset: str
    split: str
    seed: int
    regularizer: str
    criterion: str
    order: str
    draw: int
    recovery: str
    removed_fraction: float
    removed_units: int
    accuracy: float
    calibration_error: float
    parameters: int
    seconds_per_clip: float


COLUMNS = tuple(field.name for field in fields(Row))
_READ = {"str": str, "int": int, "float": float}
_TYPES = [_READ[str(field.type)] for field in fields(Row)]
# The columns up to here say which measurement a row is.
_KEY = COLUMNS.index("removed_fraction") + 1
_KNOWN = {
    "regularizer": REGULARIZERS,
    "order": (*ORDERS, NO_ORDER),
    "recovery": RECOVERIES,
}
_MOST = {
    "seed": math.inf,
    "draw": math.inf,
    "removed_fraction": 1,
    "removed_units": math.inf,
    "accuracy": 1,
    "calibration_error": 1,
    "parameters": math.inf,
    "seconds_per_clip": math.inf,
}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV with a header; floats read back as they were."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in rows)


def read_rows(path: Path) -> list[Row]:
    """Read what `write_rows` wrote; ValueError names the file and the line that is wrong."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise ValueError(f"{path}: expected the header {','.join(COLUMNS)}")
    rows: list[Row] = []
    seen: set[tuple[object, ...]] = set()
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = _parse(line)
            key = astuple(row)[:_KEY]
            if key in seen:
                raise ValueError(f"a second measurement of {key}")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        seen.add(key)
        rows.append(row)
    return rows


def _parse(line: Sequence[str]) -> Row:
    if len(line) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} values, got {len(line)}")
    row = Row(*(read(text) for read, text in zip(_TYPES, line, strict=True)))
    for name, known in _KNOWN.items():
        if getattr(row, name) not in known:
            raise ValueError(f"{name} must be one of {known}, got {getattr(row, name)!r}")
    for name, most in _MOST.items():
        value = getattr(row, name)
        # Also false for NaN.
        if not (0 <= value <= most and math.isfinite(value)):
            raise ValueError(f"{name} must be in [0, {most}] and finite, got {value}")
    return row


@dataclass(frozen=True)
class Curve:
    """Which curve of a figure; that of the random orders is one."""

    regularizer: str
    criterion: str
    order: str
    recovery: str = "none"


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; None where there is one seed alone."""

    mean: float
    deviation: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of the given values, with n - 1 in the deviation."""
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation, len(values))

    @classmethod
    def between(cls, first: dict[int, float], second: dict[int, float]) -> Spread | None:
        """Of the first less the second, seed by seed; None without a seed that has both."""
        pairs = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
        return cls.of(pairs) if pairs else None


class StudyResults:
    """Accuracies by curve, fraction and seed; a seed's random orders count as one, their mean.

    Parameters
    ----------
    rows : iterable of Row
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        draws: dict[Curve, dict[float, dict[int, list[float]]]] = {}
        for row in self.rows:
            curve = Curve(row.regularizer, row.criterion, row.order, row.recovery)
            at = draws.setdefault(curve, {}).setdefault(row.removed_fraction, {})
            at.setdefault(row.seed, []).append(row.accuracy)
        self._accuracy: dict[Curve, dict[float, dict[int, float]]] = {
            curve: {
                fraction: {seed: statistics.fmean(each) for seed, each in seeds.items()}
                for fraction, seeds in at.items()
            }
            for curve, at in draws.items()
        }
        self._draws = draws

    @property
    def curves(self) -> list[Curve]:
        """In order of appearance."""
        return list(self._accuracy)

    def fractions(self, curve: Curve) -> list[float]:
        """The measured fractions of a curve, sorted; empty if there is none."""
        return sorted(self._accuracy.get(curve, {}))

    def accuracies(self, curve: Curve, fraction: float) -> dict[int, float]:
        """By seed; empty where nothing was measured."""
        return self._accuracy.get(curve, {}).get(fraction, {})

    def draws(self, curve: Curve, fraction: float) -> list[float]:
        """Of every seed and random order; empty where nothing was measured."""
        at = self._draws.get(curve, {}).get(fraction, {})
        return [accuracy for each in at.values() for accuracy in each]

    def spread(self, curve: Curve, fraction: float) -> Spread | None:
        """Over seeds; None where nothing was measured."""
        values = self.accuracies(curve, fraction)
        return Spread.of(list(values.values())) if values else None

    def difference(self, one: tuple[Curve, float], other: tuple[Curve, float]) -> Spread | None:
        """Of the accuracies of two points, seed by seed; None without a seed that has both."""
        return Spread.between(self.accuracies(*one), self.accuracies(*other))

    def nearest(self, curve: Curve, fraction: float) -> float | None:
        """The measured fraction nearest to the one asked for, the smaller of two as near."""
        return min(
            self.fractions(curve),
            # Rounded, so that 0.6 - 0.5 and 0.7 - 0.6 tie although their last bits differ.
            key=lambda measured: (round(abs(measured - fraction), 9), measured),
            default=None,
        )
