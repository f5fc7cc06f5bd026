"""What reads the clips of a study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tefast.experiment.config import Config
from tefast.experiment.datasets.base import Features, Found
from tefast.experiment.datasets.videos import Clip
from tefast.experiment.features.backbones import Backbone, load_backbone
from tefast.experiment.features.extraction import extract


@dataclass(frozen=True)
class FrameReader:
    """Reads the features of clips: frames of theirs through a network.

    Attributes
    ----------
    backbone : Backbone
    inputs : tuple of Path
        The file of weights, if the user gave one.
    frames : int
    size : (int, int)
    width : int
        Features of a frame.
    workers : int
        Processes; 0: as many as there are cores.
    """

    backbone: Backbone
    inputs: tuple[Path, ...]
    frames: int
    size: tuple[int, int]
    width: int
    workers: int

    @classmethod
    def of(cls, config: Config) -> FrameReader:
        """The reader of these settings.

        Raises
        ------
        WeightsError
            If there are no such weights.
        ConfigError
            If there is no such network or device, or it cannot take frames of this size.
        """
        backbone = load_backbone(config)
        size = (config.height, config.width)
        weights = Path(config.weights)
        inputs = (weights,) if weights.exists() else ()
        width = backbone.width(size)
        return cls(backbone, inputs, config.frames, size, width, config.workers)

    @property
    def described(self) -> str:
        """The network and its weights."""
        return self.backbone.described

    @property
    def pins(self) -> dict[str, str]:
        """What may not change during a run, by the name that a message has for it."""
        return {
            "weights of the backbone": self.backbone.digest(),
            "devices that features are computed on": self.backbone.device,
        }

    def read(
        self, found: Found[Clip], *, cache_dir: Path, progress: Callable[[int, int], None]
    ) -> Features:
        """The features of all clips: see `extract`."""
        return extract(
            found,
            self.backbone,
            frames=self.frames,
            size=self.size,
            cache_dir=cache_dir,
            workers=self.workers,
            progress=progress,
        )
