"""Measurements of the readings: rows and their CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tefast._support.files import whole_file


@dataclass(frozen=True)
class ReadingRow:
    """One reading, order and fraction on one model, with the columns of readings.csv in order.

    Attributes
    ----------
    y, direction, binning, bins, bias, history
        As a `tefast.experiment.readings.Reading` has them.
    order : {"descending", "ascending"}
        Which end of the scores goes first.
    accuracy : float
        Of the test samples, in [0, 1].
    random_mean, random_deviation : float
        Of the accuracies that random orders leave, on the same model; 0 for a single order.
    """

    dataset: str
    split: str
    seed: int
    y: str
    direction: str
    binning: str
    bins: int
    bias: str
    history: int
    order: str
    removed_fraction: float
    removed_units: int
    accuracy: float
    random_mean: float
    random_deviation: float

    @property
    def reading(self) -> tuple[object, ...]:
        """What tells its reading from others, the order apart."""
        return self.y, self.direction, self.binning, self.bins, self.bias, self.history


READING_COLUMNS = tuple(field.name for field in fields(ReadingRow))
_READ = {"str": str, "int": int, "float": float}
_TYPES = [_READ[str(field.type)] for field in fields(ReadingRow)]


def write_reading_rows(path: Path, rows: Iterable[ReadingRow]) -> None:
    """Write rows as CSV with a header; floats read back as they were."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(READING_COLUMNS)
        writer.writerows(astuple(row) for row in rows)


def read_reading_rows(path: Path) -> list[ReadingRow]:
    """Read what `write_reading_rows` wrote; a ValueError names the file and the wrong line."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if not lines or tuple(lines[0]) != READING_COLUMNS:
        raise ValueError(f"{path}: expected the header {','.join(READING_COLUMNS)}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            if len(line) != len(READING_COLUMNS):
                raise ValueError(f"expected {len(READING_COLUMNS)} values, got {len(line)}")
            row = ReadingRow(*(read(text) for read, text in zip(_TYPES, line, strict=True)))
            if not 0 <= row.accuracy <= 1:
                raise ValueError(f"accuracy must be in [0, 1], got {row.accuracy}")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        rows.append(row)
    return rows
