"""What data sets of videos share: clips in a folder for every class, read frame by frame."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tefast.experiment.config import Config
from tefast.experiment.datasets.base import Dataset, Found, Reader, Sample
from tefast.experiment.datasets.layouts import find_classes, stem_of
from tefast.experiment.naming import printable


@dataclass(frozen=True)
class Clip(Sample):
    """One clip: a video file, or a folder of numbered pictures.

    Its name is ``Class/file.avi``, as UCF101's lists have it.
    """

    path: Path


class Videos(Dataset[Clip]):
    """A data set of videos.

    Attributes
    ----------
    folders : tuple of str
        How the folder of its classes is usually called.
    """

    samples = "video clips"
    steps = "frames"
    shared_by_group = "the background"
    own_settings: ClassVar[tuple[str, ...]] = (
        "data_root",
        "frames",
        "height",
        "width",
        "backbone",
        "weights",
    )
    folders: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def group(self, stem: str) -> str | None:
        """The video that a clip was cut from, by the name of its file without the suffix.

        None where the name does not tell.
        """

    def find(self, root: Path) -> Found[Clip]:
        """Find the clips.

        Parameters
        ----------
        root : Path
            The folder of the classes, or a folder that holds it, up to two further down.

        Raises
        ------
        DatasetError
            See `tefast.experiment.datasets.layouts.find_classes`.
        """
        top, classes = find_classes(root, self.folders)
        clips = tuple(
            self._clip(name, label, place / file)
            for label, (name, (place, files)) in enumerate(classes.items())
            for file in files
        )
        return Found(self.name, top, tuple(printable(name) for name in classes), clips)

    def _clip(self, folder: str, label: int, path: Path) -> Clip:
        group = self.group(printable(stem_of(path.name)))
        return Clip(printable(f"{folder}/{path.name}"), label, group, path)

    def reader(self, config: Config) -> Reader[Clip]:
        """Features of sampled frames by a network for pictures."""
        from tefast.experiment.features import FrameReader

        return FrameReader.of(config)

    def features(self, described: str) -> str:
        """The network, and its weights."""
        return described

    def caveats(self, summary: dict[str, Any]) -> list[str]:
        """How the frames, and the network that reads them, differ from the paper's."""
        config = summary["config"]
        found = []
        if (config["backbone"], config["weights"]) != ("resnet18", "imagenet"):
            found.append(
                f"The features come from {summary['backbone']}. The paper's come from a ResNet-18 "
                "trained on ImageNet."
            )
        if (config["height"], config["width"]) != (240, 320):
            found.append(
                f"Frames have {config['height']} x {config['width']} pixels, the paper's 240 x 320."
            )
        if config["frames"] != 25:
            found.append(f"{config['frames']} frames of a clip are used, 25 in the paper.")
        return found
