"""What is measured on each shape: tefast, by the ways that it has, and what else one could use.

A way is prepared for a shape, and the function that this gives is called again and again. It
returns bits (S, U), the highest of all delays. From a series to itself it may return anything.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

import tefast
from tefast import pairwise
from tefast._counting import pairs

THREADS = len(os.sched_getaffinity(0))
PART_SECONDS = 4
"""Of a job that is too long for a way, it gets a part that takes about so long."""


def options(shape):
    """Keyword arguments for tefast, but the delays."""
    return {
        "bins": shape.symbols,
        "target_history": shape.target_history,
        "source_history": shape.source_history,
        "threads": THREADS,
    }


def of_pairs(x, shape):
    """tefast's answer to a shape, whose series x (steps, series) are."""
    sources = None if shape.many == shape.series else range(shape.many)
    return tefast.pairwise_transfer_entropy(
        x, delays=shape.delays, sources=sources, backend="cpu", **options(shape)
    ).te


def series(shape):
    """(steps, series), as people have them, and nothing else of the data in memory."""
    x = np.ascontiguousarray(shape.codes.T)
    shape.forget()
    return x


def prepare(shape):
    x = series(shape)
    return lambda: of_pairs(x, shape)


def prepare_sparse(shape):
    from scipy import sparse

    x = sparse.csc_array(shape.codes.T)
    shape.forget()
    return lambda: of_pairs(x, shape)


def prepare_single_steps(shape):
    """The kernel of one source, source by source, whatever takes the least time."""
    x = series(shape)

    def run():
        chosen = pairs.Pairs.by_bits
        pairs.Pairs.by_bits = False
        try:
            return of_pairs(x, shape)
        finally:
            pairs.Pairs.by_bits = chosen

    return run


def chosen(shape):
    """How tefast counts a shape here: (whether by products of rows of bits, instruction set)."""
    seen = []

    class Watched(pairs.Pairs):
        def tiles(self, drawn=0):
            seen.append(self)
            return super().tiles(drawn)

    before = pairwise.Pairs
    pairwise.Pairs = Watched
    try:
        # Two series are enough: the choice does not depend on their number.
        of_pairs(np.zeros((shape.steps, 2), np.uint8), replace(shape, series=2, sources=0))
    finally:
        pairwise.Pairs = before
    return seen[0].by_bits, seen[0].level


def of_rival(module):
    """The function `prepare` of a module of this folder, which may need a package."""
    return lambda shape: importlib.import_module(f"pairs.{module}").prepare(shape)


@dataclass(frozen=True)
class Way:
    """One way to all pairs.

    `refuses(shape)` says why it cannot do a shape, or None.
    """

    name: str
    label: str
    prepare: Callable
    pair_seconds: Callable | None = None
    """About how long a pair of a shape takes, for the size of the part; None: it gets the job."""
    refuses: Callable = lambda shape: None
    environment: dict = field(default_factory=dict)
    absolute: float = 1e-12
    """How far from tefast's its values may be, in bits; and a part in 10**9 of the value."""
    seconds: float = 2
    """Rounds go on for so long; what takes longer has one."""

    def part(self, shape):
        """As much of a job as takes about `PART_SECONDS`."""
        if self.pair_seconds is None:
            return shape
        return shape.part(PART_SECONDS / self.pair_seconds(shape) * shape.counted)


def unless_single_steps(shape):
    return None if chosen(shape)[0] else "tefast takes this way by itself"


# Of an idle machine of two cores, roughly: a part may take a few times as long or as short.
def by_steps(shape):
    if shape.target_history > 1:  # by windows
        return 4e-9 * shape.counted + 1e-8 * shape.cells
    return 5e-10 * shape.counted + 4e-10 * shape.cells


def by_numba(shape):
    from pairs.with_numba import MOST_PRODUCTS

    if shape.products <= MOST_PRODUCTS:
        return 1e-11 * shape.products * shape.counted + 2e-9 * shape.cells
    return 1e-9 * shape.counted + 3e-9 * shape.cells


def by_numpy(shape):
    return (2e-10 + 1.2e-11 * shape.products) * shape.counted + 3e-8 * shape.cells


def by_pyinform(shape):
    return 5e-9 * shape.counted + 2.5e-5


def by_tnx(shape):
    return 1.2e-7 * shape.counted + 1e-4


def tnx_refuses(shape):
    if shape.delays[:1] != (1,) or (shape.target_history, shape.source_history) != (1, 1):
        return "it has one step of history, and delays of one step or more"
    return None


WAYS = {
    way.name: way
    for way in (
        Way("tefast", "tefast", prepare, seconds=6),
        Way("sparse", "tefast, from a sparse matrix of SciPy", prepare_sparse),
        Way("avx2", "tefast, with AVX2", prepare, environment={"TEFAST_SIMD_LEVEL": "avx2"}),
        Way(
            "steps", "tefast, one source after another", prepare_single_steps,
            by_steps, unless_single_steps,
        ),
        Way("numba", "Numba, parallel", of_rival("with_numba"), by_numba),
        Way("numpy", "NumPy, one-hot matrix products", of_rival("with_numpy"), by_numpy),
        Way(
            "pyinform", "PyInform, pair by pair, one thread", of_rival("with_pyinform"),
            by_pyinform,
        ),
        # float32, so that it may differ by more.
        Way(
            "tnx", "TENEX (tnx) on the CPU", of_rival("with_tnx"), by_tnx, tnx_refuses,
            absolute=1e-5,
        ),
    )
}  # fmt: skip

BESIDE_SHAPES = {
    "Ito": ("sparse", "avx2"),
}
"""Ways that a shape has besides."""


def plan(shapes):
    """(shape, way) of all measurements: rivals where their kind of job is, not at every size."""
    for shape in shapes:
        yield shape, WAYS["tefast"]
        for name in BESIDE_SHAPES.get(shape.name, ()):
            yield shape, WAYS[name]
        yield shape, WAYS["steps"]
        if shape.kind != "uniform" or shape.series == 1000:
            for name in ("numba", "numpy", "pyinform", "tnx"):
                yield shape, WAYS[name]
