"""Sequences of the user's own, in one file of arrays."""

from __future__ import annotations

from pathlib import Path

from tefast.experiment.config import Config
from tefast.experiment.datasets.array_files import read_arrays
from tefast.experiment.datasets.base import DatasetError
from tefast.experiment.datasets.sequences import SequenceDataset, Sequences


class Arrays(SequenceDataset):
    """A file with `x`, `labels`, and optional `groups`, `split` and `lengths`."""

    name = "arrays"
    place = 10
    needs_data = True
    own_settings = ("data",)

    def where(self, config: Config) -> Path | None:
        """The file."""
        return Path(config.data) if config.data is not None else None

    def load(self, root: Path) -> tuple[Sequences, Path]:
        """Read the file."""
        arrays, names = read_arrays(root, list(Sequences.__dataclass_fields__))
        missing = [name for name in ("x", "labels") if name not in arrays]
        if missing:
            raise DatasetError(
                f"{root}: expected x (N, T, D) and labels (N,), {' and '.join(missing)} not there; "
                f"the file holds {', '.join(sorted(names)) or 'nothing'}"
            )
        return Sequences(**arrays), root
