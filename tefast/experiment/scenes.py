"""What the embedded clips show: one thing that moves before a still background.

A class is a motion; most come in pairs that are each other's film played backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
class Scene:
    """What stands still.

    `x` and `y`, shape (H, W), run from -1 to 1; `albedo` and `light` have shape (H, W, 3).
    """

    x: Array
    y: Array
    albedo: Array
    light: Array

    @classmethod
    def random(cls, rng: Generator, height: int, width: int) -> Scene:
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
class Thing:
    """What moves."""

    shape: Callable[[Array, Array], Array]
    radius: float
    colour: Array
    angle: float
    spin: float

    @classmethod
    def random(cls, rng: Generator) -> Thing:
        """Draw one."""
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
