"""What data sets of videos share: AVI files in a folder for every class, read frame by frame."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tefast.experiment.config import Config
from tefast.experiment.datasets.base import Dataset, DatasetError, Found, Reader, Sample

UCF101_FOLDER = "UCF-101"


@dataclass(frozen=True)
class Clip(Sample):
    """One clip; its name is ``Class/file.avi``, as UCF101's lists have it."""

    path: Path


class Videos(Dataset[Clip]):
    """A data set of videos."""

    samples = "video clips"
    steps = "frames"
    shared_by_group = "the background"

    @abstractmethod
    def group(self, stem: str) -> str:
        """The video that a clip was cut from, by the name of its file without ``.avi``."""

    def find(self, root: Path) -> Found[Clip]:
        """Find the clips.

        Parameters
        ----------
        root : Path
            The folder of the classes, or the folder that holds it as ``UCF-101``.

        Raises
        ------
        DatasetError
            If the folder is not there or holds no clip.
        """
        if not root.is_dir():
            raise DatasetError(
                f"{root} is not a folder; expected one with a folder for every class"
            )
        # Scanned, not globbed: names of HMDB-51 hold characters that mean something in a pattern.
        top = root / UCF101_FOLDER if (root / UCF101_FOLDER).is_dir() else root
        found = {name: _avi_files(top / name) for name in _folders(top)}
        classes = tuple(name for name, files in found.items() if files)
        if not classes:
            raise DatasetError(
                f"{top} holds no clip; expected .avi files in a folder for every class, found "
                f"{len(found)} folders without any"
            )
        clips = tuple(
            Clip(f"{name}/{file}", label, self.group(Path(file).stem), top / name / file)
            for label, name in enumerate(classes)
            for file in found[name]
        )
        return Found(self.name, top, classes, clips)

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


def _folders(top: Path) -> list[str]:
    with os.scandir(top) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _avi_files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            # A link that leads nowhere stays in: it is a clip that cannot be read.
            if not entry.is_dir()
            and entry.name.lower().endswith(".avi")
            and not entry.name.startswith(".")
        )
