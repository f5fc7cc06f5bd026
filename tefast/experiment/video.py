"""Frames of a clip, evenly spaced over what can really be decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tefast.experiment.decoding import Decoding, upright
from tefast.experiment.naming import printable


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
        What of it could not be decoded, and why.
    """

    frames: npt.NDArray[np.uint8]
    decoded: int
    damaged: str | None


def sample_frames(path: Path, frames: int = 25, size: tuple[int, int] = (240, 320)) -> SampledClip:
    """Decode a clip and take evenly spaced frames of it, from the first to the last.

    Frames are spaced by their number, not by their time. A clip of fewer than `frames` frames
    repeats some. The number of frames that a file declares can be wrong, and some may be damaged.
    So one pass counts what decodes, and a second one converts the frames that were chosen: memory
    does not grow with the length of the clip.

    Parameters
    ----------
    path : Path
        A video file, or a folder with one numbered picture for every frame.
    frames : int
        T.
    size : (int, int)
        Height and width, to which frames are scaled, whatever their ratio was.

    Raises
    ------
    ClipError
        If no frame can be read.
    """
    name = printable(path.name)
    first = Decoding(path)
    decoded = sum(1 for _ in first.frames())
    damaged = first.damage(decoded)
    if not decoded:
        raise ClipError(f"{name}: no frame can be read ({damaged or 'it holds none'})")
    wanted = np.floor(np.linspace(0, decoded - 1, frames) + 0.5).astype(int)
    out = np.empty((frames, *size, 3), np.uint8)
    places = iter(enumerate(wanted.tolist()))
    place, number = next(places)
    for current, frame in enumerate(Decoding(path).frames()):
        if current != number:
            continue
        picture = upright(frame, *size)
        while current == number:
            out[place] = picture
            place, number = next(places, (frames, -1))
        if place == frames:
            break
    if place != frames:
        raise ClipError(f"{name}: it changed while it was read")
    return SampledClip(out, decoded, damaged)
