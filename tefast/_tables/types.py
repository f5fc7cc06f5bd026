"""Types that backends and tables have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Booleans = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int16]
Counts = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int64] | None
Orders = npt.NDArray[np.uint32]
Recent = npt.NDArray[np.uint16]
Axes = tuple[str, ...]
"""Names of axes of a table of counts."""
Steps = Sequence[int]
"""Steps back from some step, the earliest first: (3, 2, 1) are the three steps before it."""
Nats = npt.NDArray[np.float64]
BackendTable: TypeAlias = Any
"""Codes, counts or nats where the backend keeps them: an ndarray, or a tensor on a device."""

MISSING = -1
"""The code of a value that is NaN or lies past its sequence's length."""


@dataclass(frozen=True)
class Scan:
    """What one pass over an input found: see `Backend.scan`."""

    nan: int
    infinite: int
    outside: int
    first_nan: int
    first_bad: int
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
