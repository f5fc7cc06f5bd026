"""Handwritten digits of scikit-learn, a row of pixels a step."""

from __future__ import annotations

from pathlib import Path

from tefast.experiment.datasets.sequences import SequenceDataset, Sequences


class Digits(SequenceDataset):
    """1797 images of 8 x 8 pixels, UCI's test part of "Optical Recognition of Handwritten Digits".

    It does not say who wrote which, so there are no groups.
    """

    name = "digits"
    place = 3
    samples = "images of handwritten digits"
    steps = "rows"
    settings = {  # noqa: RUF012
        "hidden": 512,
        "fc": 128,
        "epochs": 30,
        "batch_size": 64,
        "lr": 1e-3,
    }

    def load(self, root: Path) -> tuple[Sequences, Path]:
        """Take the images that scikit-learn comes with."""
        import sklearn.datasets

        found = sklearn.datasets.load_digits()
        where = Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
        return Sequences(found.images, found.target), where
