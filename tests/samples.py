"""Random series with gaps, as tefast takes them and as the loops of naive.py do."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


@dataclass
class Sample:
    """Codes, -1 where there is none: h (N, T, U), y (N, T), z (N, T, Z)."""

    h: np.ndarray
    y: np.ndarray
    z: np.ndarray
    bins: int
    lengths: list | None
    dtype: str

    def values(self, name):
        """One of the series as tefast takes it: symbols, or floats with NaN."""
        codes = getattr(self, name)
        if self.dtype.startswith("int"):
            return codes.astype(self.dtype)
        return np.where(codes < 0, np.nan, codes).astype(self.dtype)

    @property
    def options(self):
        """Of any of tefast's functions."""
        options = {"bins": self.bins, "lengths": self.lengths, "nan_policy": "omit"}
        if not self.dtype.startswith("int"):
            options["binning"] = [i + 0.5 for i in range(self.bins - 1)]
        return options

    @property
    def units(self):
        """The target's units, each a list of sequences with None in its gaps."""
        return [listed(self.h[:, :, u]) for u in range(self.h.shape[2])]

    @property
    def series(self):
        """The source likewise."""
        return listed(self.y)

    @property
    def conditions(self):
        """The conditions likewise."""
        return [listed(self.z[:, :, i]) for i in range(self.z.shape[2])]


def listed(codes):
    return [[None if code < 0 else code for code in row] for row in codes.tolist()]


@st.composite
def samples(draw, steps=1, most=9):
    """Samples of at least `steps` steps."""
    bins = draw(st.integers(2, 4))
    dtype = draw(st.sampled_from(["int8", "int64", "float16", "float32", "float64"]))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(steps, steps + most), st.integers(1, 3)))
    codes = st.integers(0 if dtype.startswith("int") else -1, bins - 1)
    return Sample(
        h=draw(hnp.arrays(np.int64, shape, elements=codes)),
        y=draw(hnp.arrays(np.int64, shape[:2], elements=codes)),
        z=draw(hnp.arrays(np.int64, (*shape[:2], draw(st.integers(1, 2))), elements=codes)),
        bins=bins,
        lengths=draw(
            st.none() | st.lists(st.integers(0, shape[1]), min_size=shape[0], max_size=shape[0])
        ),
        dtype=dtype,
    )


def example(seed=0, sequences=6, steps=30, units=3, bins=3, dtype="float32"):
    """One sample of some size, in which the units follow y and z at different delays."""
    rng = np.random.default_rng(seed)
    h = rng.integers(0, bins, (sequences, steps, units))
    y = rng.integers(0, bins, (sequences, steps))
    z = rng.integers(0, bins, (sequences, steps, 2))
    for u in range(units):
        follows = rng.random((sequences, steps - u - 1)) < 0.6
        h[:, u + 1 :, u] = np.where(follows, (y + z[..., 0])[:, : -u - 1] % bins, h[:, u + 1 :, u])
    if not dtype.startswith("int"):
        for codes in (h, y, z):
            codes[rng.random(codes.shape) < 0.03] = -1
    lengths = [steps, 0, 1, *rng.integers(steps // 2, steps + 1, sequences - 3).tolist()]
    return Sample(h, y, z, bins, lengths, dtype)


def scores(sample, rows_of, measure):
    """A twin's scores of all units, NaN for one without rows."""
    found = []
    for unit in sample.units:
        rows = rows_of(unit)
        found.append(measure(rows) if rows else float("nan"))
    return np.array(found)
