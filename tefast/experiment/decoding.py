"""The frames of a clip, one after another, past whatever cannot be decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type

from tefast.experiment.pictures import pictures

# FFmpeg would write about damaged clips to stderr itself; here they are reported by name.
av.logging.set_level(av.logging.PANIC)

WHOLE = 0.9
"""A clip with fewer than this part of the frames it declares counts as damaged."""


class Decoding:
    """One pass over a clip, and what was lost on the way.

    A clip is a video file, or a folder of numbered pictures.

    Attributes
    ----------
    declared : int
        Frames that the file says it has; 0: it says nothing.
    parts, lost : int
        Packets of the file, or pictures of the folder, and how many of them cannot be decoded.
    reason : str or None
        Why the first of them cannot, or why the clip cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.declared = self.parts = self.lost = 0
        self.reason: str | None = None
        self._path = path
        self._is_folder = os.path.isdir(path)  # False too where the path cannot be followed

    def frames(self) -> Iterator[Any]:
        """The frames that can be decoded, in the order in which they are shown."""
        yield from self._of_pictures() if self._is_folder else self._of_video()

    def damage(self, decoded: int) -> str | None:
        """What is wrong with a clip of which so many frames were decoded, or None."""
        told = []
        if self.lost:
            what = "pictures" if self._is_folder else "packets"
            told.append(f"{self.lost} of {self.parts} {what} cannot be decoded ({self.reason})")
        elif self.reason is not None:
            told.append(self.reason)
        # A clip that was cut off often just ends, and only what it declares tells of it. A few
        # frames less are no damage: encoders of old AVI files count some that hold no picture.
        if decoded < WHOLE * self.declared:
            told.append(f"{decoded} of {self.declared} declared frames can be read")
        return "; ".join(told) or None

    def _of_pictures(self) -> Iterator[Any]:
        try:
            paths = pictures(self._path)
        except (OSError, ValueError) as error:
            self._note(error)
            return
        for path in paths:
            self.parts += 1
            frame = None
            try:
                # An open file, as FFmpeg would take a % in a name for a pattern of names.
                with path.open("rb") as file, av.open(file, "r") as container:
                    frame = next(container.decode(video=0), None)
            except (av.FFmpegError, OSError, IndexError) as error:
                self._note(error)
            if frame is None:
                self.lost += 1
                self._note("it holds no picture")
            else:
                yield frame

    def _of_video(self) -> Iterator[Any]:
        try:
            container = _opened(self._path)
        except (av.FFmpegError, OSError) as error:
            self._note(error)
            return
        with container:
            if not container.streams.video:
                self._note("it has no video stream")
                return
            stream = container.streams.video[0]
            # Frames then come in the same order on every machine, and a second thread saves
            # little here.
            stream.thread_type = "NONE"
            self.declared = int(stream.frames)
            for packet in self._packets(container, stream):
                yield from self._decoded(stream, packet)

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """The packets of a stream, and None at the end, for frames that the decoder holds back."""
        failed = False
        while True:
            try:
                for packet in container.demux(stream):
                    if packet.size:
                        failed = False
                        yield packet
                break
            except av.FFmpegError as error:
                self._note(error)
                if failed:  # twice with no packet between: there is no way on
                    break
                failed = True
        yield None

    def _decoded(self, stream: Any, packet: Any) -> list[Any]:
        self.parts += packet is not None
        try:
            return list(stream.decode(packet))
        except av.FFmpegError as error:
            self.lost += packet is not None
            self._note(error)
            return []

    def _note(self, error: Any) -> None:
        if self.reason is None:
            self.reason = str(getattr(error, "strerror", None) or error)


def upright(frame: Any, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A frame scaled to a size, RGB of shape (H, W, 3), turned as its file asks players to.

    Phones film in one direction and write down how the picture is to be turned: a matrix that
    says where the axes of the picture go.
    """
    a, b, c, d = _axes(frame)
    lies = abs(a) + abs(d) < abs(b) + abs(c)
    if lies:  # rows become columns
        height, width = width, height
    picture: npt.NDArray[np.uint8] = frame.to_ndarray(
        format="rgb24", width=width, height=height, interpolation="BILINEAR"
    )
    if lies:
        picture = picture.transpose(1, 0, 2)
        a, d = c, b
    return picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _axes(frame: Any) -> tuple[int, int, int, int]:
    """Where a step to the right goes, (a, b), and a step down, (c, d): right, down."""
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return 1, 0, 0, 1
    values = np.frombuffer(matrix, np.int32).tolist()
    return values[0], values[1], values[3], values[4]


def _opened(path: Path) -> Any:
    # The whole path: FFmpeg would take a colon in the first part of a shorter one for a protocol.
    # One of HMDB-51's clips has a title that is not UTF-8.
    return av.open(os.path.abspath(path), metadata_errors="ignore")
