"""Which series are read together, and which tiles they make, on many machines."""

from __future__ import annotations

import math
from typing import Any

from tefast._counting.pairs import Tile
from tefast._counting.pieces import aligned
from tefast._pairing.plan import Plan

GROUP_BYTES = 2**26
"""Of the codes of series that are read together."""
TILE_STEPS = 2**33
"""Transitions of all pairs of a tile, at all delays and of all surrogates: seconds of work."""
TILE_VALUES = 2**22
"""Values of a tile at all delays, each of which is in memory a few times."""
WIDEST = 512
"""Series that are read together."""


def width(plan: Plan, x: Any = None, axis: int = 0) -> int:
    """How many series are read together; whole chunks of a file if these are smaller.

    It follows from the job alone, so that the same call on other machines goes on where one
    stopped.
    """
    sequences, steps, units = plan.sizes
    asked, rows = plan.asked, sequences * steps
    drawn = 0 if asked.test is None or asked.test.method == "chi2" else asked.test.surrogates
    each = len(asked.delays) * (1 + drawn)
    most = min(
        WIDEST,
        units,
        GROUP_BYTES // rows,
        math.isqrt(TILE_STEPS // (rows * each)),
        math.isqrt(TILE_VALUES // len(asked.delays)),
    )
    return max(1, aligned(max(1, most), x, axis))


def tiles_of(plan: Plan, wide: int) -> list[Tile]:
    """All tiles, those of the same targets after one another."""
    many, units = len(plan.sources), plan.sizes[2]
    return [
        Tile(slice(s, min(s + wide, many)), slice(u, min(u + wide, units)))
        for u in range(0, units, wide)
        for s in range(0, many, wide)
    ]
