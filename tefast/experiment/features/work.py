"""The work on one clip: decoding it, and running its frames through the network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tefast.experiment.features.backbones import Backbone
from tefast.experiment.video import ClipError, sample_frames


@dataclass(frozen=True)
class Job:
    """What is done with every clip.

    Attributes
    ----------
    frames : int
    size : (int, int)
    backbone : Backbone or None
        None: the clip is decoded only.
    """

    frames: int
    size: tuple[int, int]
    backbone: Backbone | None


@dataclass(frozen=True)
class Outcome:
    """What came of one clip.

    Attributes
    ----------
    values : ndarray or None
        Features (T, D), or frames (T, H, W, 3) where there was no backbone; None: it cannot be
        read.
    problem : str or None
        Why it cannot be read, or what is wrong with it.
    decoding, network, processor : float
        Seconds of the two steps, and of processor time.
    short : int or None
        The frames that the clip has, where these are fewer than are taken of it.
    """

    values: npt.NDArray[Any] | None
    problem: str | None
    decoding: float
    network: float = 0.0
    processor: float = 0.0
    short: int | None = None


def do(job: Job, path: Path) -> Outcome:
    """Read a clip: its features, or its frames if the job has no backbone."""
    start, processor = time.perf_counter(), time.process_time()
    try:
        # To FFmpeg, a relative path with a colon is an address.
        sampled = sample_frames(path.absolute(), job.frames, job.size)
    except ClipError as error:
        return Outcome(None, str(error), time.perf_counter() - start)
    decoded = time.perf_counter()
    values: npt.NDArray[np.generic] = sampled.frames
    if job.backbone is not None:
        values = job.backbone.run(sampled.frames)
    return Outcome(
        values,
        sampled.damaged,
        decoded - start,
        time.perf_counter() - decoded,
        time.process_time() - processor,
        sampled.decoded if sampled.decoded < job.frames else None,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Have networks run in one thread, so that features do not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
