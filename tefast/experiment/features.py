"""Features of every clip, computed once and kept in files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from tefast._support.files import whole_file
from tefast.experiment.config import Config
from tefast.experiment.datasets.base import ClipProblem, DatasetError, Features, Found
from tefast.experiment.datasets.videos import Clip
from tefast.experiment.resnet import FEATURES, load_backbone, normalize
from tefast.experiment.video import ClipError, SampledClip, sample_frames

SHARD = 16
"""Clips a file: what is lost at most when a run is killed."""


@dataclass(frozen=True)
class FrameReader:
    """Reads the features of clips: frames of theirs through a ResNet-18."""

    backbone: nn.Module
    described: str
    inputs: tuple[Path, ...]
    frames: int
    size: tuple[int, int]

    @classmethod
    def of(cls, config: Config) -> FrameReader:
        """The reader of these settings; raises WeightsError if there are no such weights."""
        backbone, described = load_backbone(config.weights)
        weights = Path(config.weights)
        inputs = (weights,) if weights.exists() else ()
        return cls(backbone, described, inputs, config.frames, (config.height, config.width))

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
            progress=progress,
        )


def extract(
    found: Found[Clip],
    backbone: nn.Module,
    *,
    frames: int,
    size: tuple[int, int],
    cache_dir: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Run every clip's frames through the backbone, or read what was computed before.

    One clip is one pass, so a clip's features depend on nothing else. They are kept in files of
    `SHARD` clips whose names hash the backbone's weights, `frames`, `size`, and the clips' names,
    sizes and times of change; whatever of that changes leads to another file.

    Parameters
    ----------
    frames : int
        T, sampled from every clip.
    size : (int, int)
        Height and width of a frame.
    progress : callable, optional
        Told (clips done, clips).

    Raises
    ------
    DatasetError
        If no clip can be read.
    """
    key = _backbone_key(backbone, frames, size)
    clips = found.clips
    values = np.zeros((len(clips), frames, FEATURES), np.float32)
    problems: list[ClipProblem] = []

    def tell(shard: int, within: int) -> None:
        if progress is not None:
            progress(shard + within, len(clips))

    for start in range(0, len(clips), SHARD):
        part = clips[start : start + SHARD]
        path = cache_dir / f"{_shard_key(key, part)}.safetensors"
        shard = _read(path, part, frames)
        if shard is None:
            shard = _compute(backbone, part, frames, size, partial(tell, start))
            _write(path, *shard)
        values[start : start + len(part)], told = shard
        problems += told
        tell(start, len(part))
    unreadable = {problem.name for problem in problems if problem.kind == "unreadable"}
    usable = np.array([clip.name not in unreadable for clip in clips])
    if not usable.any():
        raise DatasetError(
            f"none of the {len(clips)} clips in {found.root} can be read; the first: "
            f"{problems[0].reason}"
        )
    return Features(values, usable, problems)


def _compute(
    backbone: nn.Module,
    clips: tuple[Clip, ...],
    frames: int,
    size: tuple[int, int],
    tell: Callable[[int], None],
) -> tuple[npt.NDArray[np.float32], list[ClipProblem]]:
    values = np.zeros((len(clips), frames, FEATURES), np.float32)
    problems = []
    for i, (clip, decoded) in enumerate(_ahead(clips, frames, size)):
        tell(i)
        try:
            sampled = decoded.result()
        except ClipError as error:
            problems.append(ClipProblem(clip.name, "unreadable", str(error)))
            continue
        if sampled.damaged is not None:
            problems.append(ClipProblem(clip.name, "damaged", sampled.damaged))
        values[i] = run_backbone(backbone, sampled.frames)
    return values, problems


def run_backbone(backbone: nn.Module, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Features (T, 512) of frames (T, H, W, 3)."""
    with torch.inference_mode():
        features = backbone(normalize(torch.from_numpy(frames)))
        return cast(npt.NDArray[np.float32], features.numpy())


def _ahead(
    clips: tuple[Clip, ...], frames: int, size: tuple[int, int]
) -> Iterator[tuple[Clip, Future[SampledClip]]]:
    """Clips in order, the next one being decoded while the network has the last."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: list[tuple[Clip, Future[SampledClip]]] = []
        for clip in clips:
            waiting.append((clip, pool.submit(sample_frames, clip.path, frames, size)))
            if len(waiting) > 1:
                yield waiting.pop(0)
        yield from waiting


def _backbone_key(backbone: nn.Module, frames: int, size: tuple[int, int]) -> str:
    digest = hashlib.sha256(repr((frames, size)).encode())
    for name, tensor in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _shard_key(key: str, clips: tuple[Clip, ...]) -> str:
    digest = hashlib.sha256(key.encode())
    for clip in clips:
        try:
            status = clip.path.stat()
            state = (status.st_size, status.st_mtime_ns)
        except OSError:  # it will be reported as a clip that cannot be read
            state = (-1, -1)
        digest.update(repr((clip.name, *state)).encode())
    return digest.hexdigest()[:32]


def _write(path: Path, values: npt.NDArray[np.float32], problems: list[ClipProblem]) -> None:
    listed = json.dumps([(p.name, p.kind, p.reason) for p in problems])
    with whole_file(path) as part:
        save_file({"features": torch.from_numpy(values)}, part, metadata={"problems": listed})


def _read(
    path: Path, clips: tuple[Clip, ...], frames: int
) -> tuple[npt.NDArray[np.float32], list[ClipProblem]] | None:
    """What `_write` wrote; None if it is not there or not whole, and is to be computed again."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="np") as file:
            values = file.get_tensor("features")
            listed = json.loads(file.metadata()["problems"])
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None
    if values.shape != (len(clips), frames, FEATURES):
        return None
    return values, [ClipProblem(*problem) for problem in listed]
