"""The embedded dataset: clips of one moving object, as AVI files in UCF101's layout.

Classes differ in how the object moves, and in nothing else. Most come in pairs that are each
other's film played backwards, so no single frame, and no set of frames without its order, tells
them apart. Shape, colour, size, speed, place and phase are drawn per clip, without regard to the
class. The clips of a class and group share a background, as clips cut from one video do in UCF101.

A network that averages over the picture does not see where a thing is. So the light has a colour
that changes across the picture, and an object that moves changes its colour.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tefast._support.files import whole_file, write_text
from tefast.experiment.scenes import MOTIONS, Scene, Thing

Picture = NDArray[np.uint8]

MARK = "rendering.json"  # the settings of a rendered set, which tell its folder from others
QUANTIZER = 3  # of MPEG-4: 1 is the finest, 31 the coarsest
GAMMA = 1.8
NOISE = 0.01
SPLITS = 3
HELD_OUT = 7 / 25  # each list of UCF101 holds 7 of the 25 groups out


@dataclass(frozen=True)
class RenderSettings:
    """What the rendered set is made of.

    Attributes
    ----------
    classes : tuple of str
        Names of `MOTIONS`.
    groups, clips_per_group : int
        Groups of every class, at least 2, and clips of every group.
    frames : (int, int)
        Frames of the shortest and the longest clip.
    height, width : int
        In pixels; even, as colour is stored at half the resolution.
    fps : int
        Frames per second; it changes the files' headers only.
    seed : int

    Raises
    ------
    ValueError
        If a setting is not as described.
    """

    classes: tuple[str, ...] = tuple(MOTIONS)
    groups: int = 12
    clips_per_group: int = 4
    frames: tuple[int, int] = (30, 45)
    height: int = 48
    width: int = 64
    fps: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.classes if name not in MOTIONS]
        if unknown:
            raise ValueError(f"classes: unknown {unknown[0]!r}; known are {', '.join(MOTIONS)}")
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes: expected different names, got {self.classes}")
        limits = {"groups": (2, 99), "clips_per_group": (1, 99), "fps": (1, 240), "seed": (0, None)}
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                span = f"{least} or more" if most is None else f"{least} to {most}"
                raise ValueError(f"{name}: expected {span}, got {value}")
        for name in ("height", "width"):
            value = getattr(self, name)
            if value < 16 or value % 2:
                raise ValueError(f"{name}: expected an even number from 16 on, got {value}")
        shortest, longest = self.frames
        if not 1 <= shortest <= longest:
            raise ValueError(f"frames: expected 1 <= shortest <= longest, got {self.frames}")


def render(
    root: Path,
    settings: RenderSettings,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the set's clips and lists below `root`, except those that are there already.

    A clip depends on its class, group, number and the settings alone, so a set that was
    interrupted, or lost files, is completed to the same bytes.

    Parameters
    ----------
    root : Path
        Gets ``UCF-101/``, ``ucfTrainTestlist/`` and `MARK`, the settings.
    settings : RenderSettings
    progress : callable, optional
        Called with the clips done and their number.

    Raises
    ------
    ValueError
        If `root` holds a set of other settings, or clips that were not rendered.
    """
    _claim(root, settings)
    clips = [
        (name, group, clip)
        for name in settings.classes
        for group in range(1, settings.groups + 1)
        for clip in range(1, settings.clips_per_group + 1)
    ]
    for done, (name, group, clip) in enumerate(clips, start=1):
        path = root / "UCF-101" / clip_name(name, group, clip)
        if not path.exists():
            clip_bytes = _encode(draw(settings, name, group, clip), settings)
            with whole_file(path) as part:
                part.write_bytes(clip_bytes)
        if progress is not None:
            progress(done, len(clips))
    for name, text in _lists(settings).items():
        path = root / "ucfTrainTestlist" / name
        if not path.exists():
            write_text(path, text)


def clip_name(name: str, group: int, clip: int) -> str:
    """Return a clip's path below the folder of classes, as UCF101 writes it."""
    return f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi"


def draw(settings: RenderSettings, name: str, group: int, clip: int) -> Iterator[Picture]:
    """Yield the frames of a clip, uint8 RGB pictures of shape (H, W, 3), before compression."""
    # A class is seeded by its name: the clips don't change with the other classes.
    identity = [settings.seed, zlib.crc32(name.encode()), group]
    rng = np.random.default_rng([*identity, clip])
    scene = Scene.random(np.random.default_rng(identity), settings.height, settings.width)
    thing = Thing.random(rng)
    shortest, longest = settings.frames
    t = np.linspace(0, 1, int(rng.integers(shortest, longest + 1)))
    motion = MOTIONS[name]
    track = motion.path(1 - t if motion.backwards else t, rng)
    for moment, x, y, size in zip(t, *track, strict=True):
        cover = thing.cover(scene.x, scene.y, (x, y), size, moment)[..., None]
        light = (scene.albedo * (1 - cover) + thing.colour * cover) * scene.light
        light += NOISE * rng.standard_normal(light.shape)
        yield np.rint(255 * np.clip(light, 0, 1) ** (1 / GAMMA)).astype(np.uint8)


def _claim(root: Path, settings: RenderSettings) -> None:
    """Make sure that what lies below `root` is this set or nothing."""
    # Through JSON, so that tuples compare with what was read.
    ours = json.loads(json.dumps(dataclasses.asdict(settings)))
    path = root / MARK
    if not path.exists():
        if (root / "UCF-101").exists():
            raise ValueError(f"{root / 'UCF-101'} was not rendered here; choose another folder")
        write_text(path, json.dumps(ours, indent=2) + "\n")
        return
    try:
        theirs = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); choose another folder") from None
    different = [name for name in ours if theirs.get(name) != ours[name]]
    if different:
        name = different[0]
        raise ValueError(
            f"{root} holds a rendered set of other settings: {name} is {theirs.get(name)} there, "
            f"and {ours[name]} is wanted; choose another folder, or delete that one"
        )


def _encode(frames: Iterator[Picture], settings: RenderSettings) -> bytes:
    """Frames as MPEG-4 in AVI, the same bytes every time.

    Bit-exact code paths and one thread leave no choice to the encoder, and no version of it in
    the file. They are made in memory, so that it is Python who writes and sees whether it can.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="avi", options={"fflags": "+bitexact"}) as container:
        quantizer = {"qmin": str(QUANTIZER), "qmax": str(QUANTIZER)}
        stream = container.add_stream(
            "mpeg4", rate=settings.fps, options={"flags": "+bitexact", **quantizer}
        )
        stream.width, stream.height = settings.width, settings.height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _lists(settings: RenderSettings) -> dict[str, str]:
    """Return the texts of the class index and of the lists of three splits."""
    labels = {name: label for label, name in enumerate(sorted(settings.classes), start=1)}
    texts = {"classInd.txt": "".join(f"{label} {name}\n" for name, label in labels.items())}
    held = max(1, round(HELD_OUT * settings.groups))
    for number in range(1, SPLITS + 1):
        first = (number - 1) * held
        test_groups = {(first + i) % settings.groups + 1 for i in range(held)}
        train, test = [], []
        for name, label in labels.items():
            for group in range(1, settings.groups + 1):
                for clip in range(1, settings.clips_per_group + 1):
                    path = clip_name(name, group, clip)
                    if group in test_groups:
                        test.append(f"{path}\n")
                    else:
                        train.append(f"{path} {label}\n")
        texts[f"trainlist{number:02d}.txt"] = "".join(train)
        texts[f"testlist{number:02d}.txt"] = "".join(test)
    return texts
