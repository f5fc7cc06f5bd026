"""What is measured: activations of the sizes that people have.

Values are multiples of 2**-23, so that even the shortest way to a bin, a multiplication, puts each
of them where tefast's edges do.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

Y_RANGE = (0.0, 1.0)
H_RANGE = (-1.0, 1.0)


@dataclass(frozen=True)
class Workload:
    """One target and one source.

    `h` is float32 of shape (N, T, U), `y` float32 of shape (N, T).
    """

    name: str
    shape: tuple[int, int, int]
    bins: int = 16
    ranges_given: bool = True
    kind: str = "uniform"

    @property
    def transitions(self):
        n, t, u = self.shape
        return n * (t - 1) * u

    @property
    def options(self):
        """Keyword arguments for tefast."""
        given = {"h_range": H_RANGE} if self.ranges_given else {}
        return {"bins": self.bins, "y_range": Y_RANGE, **given}

    @property
    def h(self):
        return activations(self.shape, self.kind)

    @property
    def y(self):
        return source(self.shape[:2])

    @cached_property
    def codes(self):
        """h and y binned beforehand: int32 of shape (U, N, T), each unit contiguous, and (N, T)."""
        h = np.empty((self.shape[2], *self.shape[:2]), np.int32)
        for u, unit in enumerate(h):
            unit[:] = bin_of(self.h[:, :, u], *H_RANGE, self.bins)
        return h, self.codes_of_y

    @property
    def codes_of_y(self):
        """y binned beforehand: int32 of shape (N, T)."""
        return bin_of(self.y, *Y_RANGE, self.bins)


WORKLOADS = {
    w.name: w
    for w in (
        Workload("paper", (5413, 25, 1024)),
        Workload("range", (5413, 25, 1024), ranges_given=False),
        Workload("skewed", (5413, 25, 1024), kind="saturated"),
        Workload("wide", (5413, 25, 1024), bins=64),
        Workload("long", (1, 200_000, 64)),
        Workload("small", (64, 25, 256)),
    )
}


def bin_of(values, low, high, bins):
    """Codes (int32) of equal-width bins, by multiplication."""
    scaled = (values - np.float32(low)) * np.float32(bins / (high - low))
    return np.clip(scaled, 0, bins - 1).astype(np.int32)


@cache
def _uniform(shape):
    rng = np.random.default_rng(0)
    h = np.empty(shape, np.float32)
    for block in np.array_split(h.reshape(-1), max(1, h.size // 2**22)):
        rng.random(out=block, dtype=np.float32)
        block *= 2
        block -= 1
    return h


@cache
def activations(shape, kind):
    """ "uniform" in -1 .. 1, or "saturated": nine values in ten at an end or at 0, every eighth
    unit constant."""
    h = _uniform(shape)
    if kind == "uniform":
        return h
    h = h.copy()
    ends = np.array([-1, 0, 1], np.float32)
    rng = np.random.default_rng(1)
    for row in h:
        stuck = rng.random(row.shape, dtype=np.float32) < 0.9
        row[stuck] = np.broadcast_to(ends[np.arange(row.shape[1]) % 3], row.shape)[stuck]
        row[:, ::8] = 1
    return h


@cache
def source(shape):
    return np.random.default_rng(2).random(shape, dtype=np.float32)
