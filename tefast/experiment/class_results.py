"""Right answers class by class: rows, their CSV file, and what a removal changes for each class."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tefast._support.files import whole_file
from tefast.experiment.results import Curve, Spread


@dataclass(frozen=True)
class ClassRow:
    """The test samples of one class and one network, with the columns of classes.csv in order.

    Attributes
    ----------
    class_name : str
        The column ``class``.
    right, total : int
        Test samples of the class that are told right, and all of them.
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
    class_name: str
    right: int
    total: int


CLASS_COLUMNS = tuple(
    "class" if field.name == "class_name" else field.name for field in fields(ClassRow)
)
_READ = {"str": str, "int": int, "float": float}
_TYPES = [_READ[str(field.type)] for field in fields(ClassRow)]


def write_class_rows(path: Path, rows: Iterable[ClassRow]) -> None:
    """Write rows as CSV with a header."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CLASS_COLUMNS)
        writer.writerows(astuple(row) for row in rows)


def read_class_rows(path: Path) -> list[ClassRow]:
    """Read what `write_class_rows` wrote; ValueError names the file and the line that is wrong."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if not lines or tuple(lines[0]) != CLASS_COLUMNS:
        raise ValueError(f"{path}: expected the header {','.join(CLASS_COLUMNS)}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            if len(line) != len(CLASS_COLUMNS):
                raise ValueError(f"expected {len(CLASS_COLUMNS)} values, got {len(line)}")
            row = ClassRow(*(read(text) for read, text in zip(_TYPES, line, strict=True)))
            if not 0 <= row.right <= row.total:
                raise ValueError(f"right must be in [0, {row.total}], got {row.right}")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        rows.append(row)
    return rows


class ClassResults:
    """Shares of right answers by curve, fraction, class and seed.

    A seed's random orders count together.

    Parameters
    ----------
    rows : iterable of ClassRow
    """

    def __init__(self, rows: Iterable[ClassRow]) -> None:
        self.rows = list(rows)
        self._counts: dict[tuple[Curve, float], dict[str, dict[int, tuple[int, int]]]] = {}
        for row in self.rows:
            curve = Curve(row.regularizer, row.criterion, row.order, row.recovery)
            at = self._counts.setdefault((curve, row.removed_fraction), {})
            seeds = at.setdefault(row.class_name, {})
            right, total = seeds.get(row.seed, (0, 0))
            seeds[row.seed] = right + row.right, total + row.total

    @property
    def classes(self) -> list[str]:
        """In order of appearance."""
        return list(dict.fromkeys(row.class_name for row in self.rows))

    def fractions(self, curve: Curve) -> list[float]:
        """The fractions of a curve, sorted, from 0 on; empty if there is none."""
        return sorted(fraction for one, fraction in self._counts if one == curve)

    def shares(self, curve: Curve, fraction: float) -> dict[str, dict[int, float]]:
        """By class and seed; a class without test samples in a seed has none there."""
        at = self._counts.get((curve, fraction), {})
        return {
            name: {seed: right / total for seed, (right, total) in seeds.items() if total}
            for name, seeds in at.items()
        }

    def change(self, curve: Curve, fraction: float) -> dict[str, Spread]:
        """How much higher the share of each class is than that of the whole networks, over seeds.

        Parameters
        ----------
        curve : Curve
        fraction : float
            One of `fractions`.

        Returns
        -------
        dict of str to Spread
            A class without test samples is left out, and so is all where nothing was measured.
        """
        before, after = self.shares(curve, 0.0), self.shares(curve, fraction)
        changes = {
            name: Spread.between(seeds, before.get(name, {})) for name, seeds in after.items()
        }
        return {name: change for name, change in changes.items() if change is not None}
