"""Frames of a clip, evenly spaced over what can really be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
import numpy.typing as npt

# FFmpeg would write about damaged clips to stderr itself; here they are reported by name.
av.logging.set_level(av.logging.PANIC)


WHOLE = 0.9
"""A clip with fewer than this part of the frames it declares counts as damaged."""


class ClipError(ValueError):
    """A clip of which no frame can be read."""


@dataclass(frozen=True)
class SampledClip:
    """Frames of one clip.

    Attributes
    ----------
    frames : ndarray of uint8, shape (T, H, W, 3)
        RGB.
    decoded : int
        Frames that the clip really has.
    damaged : str or None
        What went wrong after the last of them.
    """

    frames: npt.NDArray[np.uint8]
    decoded: int
    damaged: str | None


def sample_frames(path: Path, frames: int = 25, size: tuple[int, int] = (240, 320)) -> SampledClip:
    """Decode a clip and take evenly spaced frames of it, from the first to the last.

    A clip of fewer than `frames` frames repeats some. The number of frames that the container
    declares can be wrong, so one pass counts what decodes, and a second one converts the frames
    that were chosen: memory does not grow with the length of the clip.

    Parameters
    ----------
    path : Path
    frames : int
        T.
    size : (int, int)
        Height and width, to which frames are scaled.

    Raises
    ------
    ClipError
        If no frame can be read.
    """
    decoded, damaged = _count(path)
    if not decoded:
        raise ClipError(f"{path.name}: no frame can be read ({damaged or 'it holds none'})")
    wanted = np.floor(np.linspace(0, decoded - 1, frames) + 0.5).astype(int)
    height, width = size
    out = np.empty((frames, height, width, 3), np.uint8)
    places = iter(enumerate(wanted.tolist()))
    place, number = next(places)
    for current, frame in enumerate(_decode(path)):
        if current != number:
            continue
        picture = frame.to_ndarray(
            format="rgb24", width=width, height=height, interpolation="BILINEAR"
        )
        while current == number:
            out[place] = picture
            place, number = next(places, (frames, -1))
        if place == frames:
            break
    if place != frames:
        raise ClipError(f"{path.name}: it changed while it was read")
    return SampledClip(out, decoded, damaged)


def _count(path: Path) -> tuple[int, str | None]:
    """How many frames decode, and what ended them if it was not the end of the clip."""
    count = 0
    try:
        with _opened(path) as container:
            declared = _declared(container)
            for _ in container.decode(video=0):
                count += 1
    except (av.FFmpegError, OSError, IndexError) as error:
        return count, _reason(error)
    # A clip that was cut off often just ends, and only what it declares tells of it. A few frames
    # less are no damage: encoders of old AVI files count some that hold no picture.
    if count < WHOLE * declared:
        return count, f"{count} of {declared} declared frames can be read"
    return count, None


def _decode(path: Path) -> Iterator[Any]:
    with suppress(av.FFmpegError), _opened(path) as container:
        yield from container.decode(video=0)


def _opened(path: Path) -> Any:
    # One of HMDB-51's clips has a title that is not UTF-8.
    container = av.open(str(path), metadata_errors="ignore")
    if not container.streams.video:
        container.close()
        raise IndexError("it has no video stream")
    # Frames then come in the same order on every machine, and a second thread saves little here.
    container.streams.video[0].thread_type = "NONE"
    return container


def _declared(container: Any) -> int:
    return int(container.streams.video[0].frames)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
