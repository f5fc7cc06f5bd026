"""The rendered set, which a run makes itself: one moving object before a still background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tefast.experiment.config import Config, ConfigError
from tefast.experiment.datasets.base import PAPERS_DATA, Maker, Progress
from tefast.experiment.datasets.ucf101 import UCF101Layout


class Rendered(UCF101Layout):
    """Clips of `tefast.experiment.rendering`, which lays them out as UCF101 does."""

    name = "rendered"
    place = 0
    needs_root = False
    own_settings = ("groups", "clips_per_group", *UCF101Layout.own_settings)

    def maker(self, config: Config) -> Maker:
        """Render the clips in the sizes of the settings.

        A folder of the user's is taken only if clips were rendered into it before.
        """
        from tefast.experiment.rendering import MARK, RenderSettings, render

        root = config.data_root
        if root is not None and not (Path(root) / MARK).is_file():
            raise ConfigError(
                f"--data-root {root} goes with --dataset ucf101 or hmdb51; --dataset rendered "
                "makes its clips in --out, or takes a folder with clips that it rendered before"
            )
        settings = RenderSettings(
            groups=config.groups,
            clips_per_group=config.clips_per_group,
            height=config.height,
            width=config.width,
        )

        def make(root: Path, progress: Progress) -> None:
            render(root, settings, progress)

        return make

    def caveats(self, summary: dict[str, Any]) -> list[str]:
        """What these clips show, and how they are read."""
        return [
            "The clips are rendered: one moving shape before a still background, "
            f"{len(summary['dataset']['classes'])} classes that differ in motion alone. "
            f"{PAPERS_DATA}",
            *super().caveats(summary),
        ]
