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
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tefast.files import whole_file, write_text

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

QUANTIZER = 3  # of MPEG-4: 1 is the finest, 31 the coarsest
GAMMA = 1.8
NOISE = 0.01
SPLITS = 3
HELD_OUT = 7 / 25  # each list of UCF101 holds 7 of the 25 groups out


class Track(NamedTuple):
    """Where the object is at every step.

    Coordinates run from -1 to 1 over the picture, x to the right and y down; `size` is a factor.
    """

    x: Array
    y: Array
    size: Array


class Motion(NamedTuple):
    """A class: a path over time from 0 to 1, perhaps played backwards."""

    path: Callable[[Array, Generator], Track]
    backwards: bool = False


def _still(t: Array, value: float) -> Array:
    return np.full_like(t, value)


def _aside(t: Array, rng: Generator) -> Array:
    """Return a coordinate that does not move."""
    return _still(t, rng.uniform(-0.5, 0.5))


def _sweep(t: Array, rng: Generator) -> Array:
    """Return a coordinate that rises steadily."""
    length = rng.uniform(1.0, 1.6)
    return rng.uniform(-0.9, 0.9 - length) + length * t


def _swing(t: Array, rng: Generator) -> Array:
    """Return a coordinate that goes to and fro."""
    turns, phase = rng.uniform(1.5, 2.5), rng.uniform(0, 2 * np.pi)
    middle, reach = rng.uniform(-0.15, 0.15), rng.uniform(0.5, 0.75)
    return middle + reach * np.sin(2 * np.pi * turns * t + phase)


def _right(t: Array, rng: Generator) -> Track:
    return Track(_sweep(t, rng), _aside(t, rng), _still(t, 1))


def _down(t: Array, rng: Generator) -> Track:
    return Track(_aside(t, rng), _sweep(t, rng), _still(t, 1))


def _swing_horizontal(t: Array, rng: Generator) -> Track:
    return Track(_swing(t, rng), _aside(t, rng), _still(t, 1))


def _swing_vertical(t: Array, rng: Generator) -> Track:
    return Track(_aside(t, rng), _swing(t, rng), _still(t, 1))


def _clockwise(t: Array, rng: Generator) -> Track:
    angle = rng.uniform(0, 2 * np.pi) + 2 * np.pi * rng.uniform(0.9, 1.5) * t
    radius = rng.uniform(0.4, 0.65)
    x, y = rng.uniform(-0.15, 0.15, size=2)
    # y points down, so a rising angle is clockwise.
    return Track(x + radius * np.cos(angle), y + radius * np.sin(angle), _still(t, 1))


def _grow(t: Array, rng: Generator) -> Track:
    size = rng.uniform(0.4, 0.7) + rng.uniform(0.8, 1.4) * t
    return Track(_aside(t, rng), _aside(t, rng), size)


MOTIONS = {
    "CircleClockwise": Motion(_clockwise),
    "CircleCounterclockwise": Motion(_clockwise, backwards=True),
    "Grow": Motion(_grow),
    "MoveDown": Motion(_down),
    "MoveLeft": Motion(_right, backwards=True),
    "MoveRight": Motion(_right),
    "MoveUp": Motion(_down, backwards=True),
    "Shrink": Motion(_grow, backwards=True),
    "SwingHorizontal": Motion(_swing_horizontal),
    "SwingVertical": Motion(_swing_vertical),
}


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
        Gets ``UCF-101/``, ``ucfTrainTestlist/`` and ``rendering.json``, the settings.
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
            with whole_file(path) as part:
                _encode(part, draw(settings, name, group, clip), settings)
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
    scene = _Scene.random(np.random.default_rng(identity), settings.height, settings.width)
    thing = _Thing.random(rng)
    shortest, longest = settings.frames
    t = np.linspace(0, 1, int(rng.integers(shortest, longest + 1)))
    motion = MOTIONS[name]
    track = motion.path(1 - t if motion.backwards else t, rng)
    for moment, x, y, size in zip(t, *track, strict=True):
        cover = thing.cover(scene.x, scene.y, (x, y), size, moment)[..., None]
        light = (scene.albedo * (1 - cover) + thing.colour * cover) * scene.light
        light += NOISE * rng.standard_normal(light.shape)
        yield np.rint(255 * np.clip(light, 0, 1) ** (1 / GAMMA)).astype(np.uint8)


@dataclass(frozen=True)
class _Scene:
    """What stands still.

    `x` and `y`, shape (H, W), run from -1 to 1; `albedo` and `light` have shape (H, W, 3).
    """

    x: Array
    y: Array
    albedo: Array
    light: Array

    @classmethod
    def random(cls, rng: Generator, height: int, width: int) -> _Scene:
        """Draw a dark background under coloured light.

        Red comes from the left, green from the top and blue from the right in every scene. The
        ranges are narrow: were scenes to differ more than a move changes a picture, a network
        would learn the few hundred scenes by heart rather than the moves.
        """
        x = np.broadcast_to((np.arange(width) + 0.5) / width * 2 - 1, (height, width))
        y = np.broadcast_to(((np.arange(height) + 0.5) / height * 2 - 1)[:, None], (height, width))
        waves = np.zeros((height, width))
        for fx, fy, phase in rng.uniform((-6, -6, 0), (6, 6, 2 * np.pi), size=(3, 3)):
            waves += np.sin(fx * x + fy * y + phase)
        slope_x, slope_y = rng.uniform(-0.06, 0.06, size=2)
        shade = (1 + 0.06 * waves) * (1 + slope_x * x + slope_y * y)
        albedo = shade[..., None] * rng.uniform(0.1, 0.13, size=3)
        red, green, blue = 0.45 * rng.uniform(0.94, 1.06, size=3)
        light = 0.55 + np.stack([-red * x, -green * y, blue * x], axis=-1)
        return cls(x, y, albedo, light)


@dataclass(frozen=True)
class _Thing:
    """What moves."""

    shape: Callable[[Array, Array], Array]
    radius: float
    colour: Array
    angle: float
    spin: float

    @classmethod
    def random(cls, rng: Generator) -> _Thing:
        colour = rng.uniform(0.75, 1, size=3)
        return cls(
            shape=SHAPES[rng.integers(len(SHAPES))],
            radius=rng.uniform(0.36, 0.5),
            colour=colour / colour.max(),
            angle=rng.uniform(0, 2 * np.pi),
            spin=rng.uniform(-2, 2),
        )

    def cover(
        self, x: Array, y: Array, centre: tuple[float, float], size: float, moment: float
    ) -> Array:
        """Return how much of each pixel it covers, shape (H, W), from 0 to 1."""
        height, width = x.shape
        # One unit is half the height in both directions, or a disc would come out as an ellipse.
        right, down = (x - centre[0]) * (width / height), y - centre[1]
        angle = self.angle + self.spin * moment
        cos, sin = np.cos(angle), np.sin(angle)
        radius = self.radius * size
        u, v = (cos * right + sin * down) / radius, (cos * down - sin * right) / radius
        # The edge is one pixel wide, which smooths it.
        cover: Array = np.clip(0.5 - self.shape(u, v) * radius * height / 2, 0, 1)
        return cover


# Signed distances, in radii, from the outline of a shape of radius about 1: negative inside.


def _disc(u: Array, v: Array) -> Array:
    return np.hypot(u, v) - 1


def _ring(u: Array, v: Array) -> Array:
    return np.abs(np.hypot(u, v) - 0.8) - 0.3


def _square(u: Array, v: Array) -> Array:
    edge: Array = np.maximum(np.abs(u), np.abs(v))
    return edge - 0.86


def _triangle(u: Array, v: Array) -> Array:
    slanted = 0.5 * np.sqrt(3) * np.abs(v) - 0.5 * u
    edge: Array = np.maximum(u, slanted)
    return edge - 0.7


def _cross(u: Array, v: Array) -> Array:
    u, v = np.abs(u), np.abs(v)
    return np.minimum(np.maximum(u - 1, v - 0.4), np.maximum(v - 1, u - 0.4))


SHAPES = (_disc, _ring, _square, _triangle, _cross)


def _claim(root: Path, settings: RenderSettings) -> None:
    """Make sure that what lies below `root` is this set or nothing."""
    # Through JSON, so that tuples compare with what was read.
    ours = json.loads(json.dumps(dataclasses.asdict(settings)))
    path = root / "rendering.json"
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


def _encode(path: Path, frames: Iterator[Picture], settings: RenderSettings) -> None:
    """Write frames as MPEG-4 in AVI, to the same bytes every time.

    Bit-exact code paths and one thread leave no choice to the encoder, and no version of it in
    the file.
    """
    with av.open(str(path), "w", format="avi", options={"fflags": "+bitexact"}) as container:
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
