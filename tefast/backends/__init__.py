"""Backends by name. Each is a module with the functions of `Backend`."""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from tefast.binning import Binning
from tefast.values import Values

NAMES = ("reference", "cpu", "cuda")

Codes = npt.NDArray[np.int16]
Counts = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int64] | None
Nats = npt.NDArray[np.float64]

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


class Backend(Protocol):
    """What a backend module offers. All counts are exact; they are added to what is passed in."""

    def missing(self) -> str | None:
        """Why this backend cannot run here, and what would give it; None if it can."""

    def scan(self, values: Values, bins: int, lengths: Lengths, threads: int | None) -> Scan:
        """Count NaN, infinities and symbols outside ``0 .. bins - 1``, and find unit ranges.

        Positions are flat (N, T, U) ones, -1 where there is none; `first_bad` is that of the
        first infinity or outside symbol. `low` and `high` (U,) span the finite values.
        """

    def encode(
        self, values: Values, binning: Binning, lengths: Lengths, threads: int | None
    ) -> Codes:
        """Codes of shape (N, T, U)."""

    def count_values(
        self,
        values: Values,
        binning: Binning,
        lengths: Lengths,
        counts: Counts,
        threads: int | None,
    ) -> None:
        """Add to counts (U, bins) the occupancy of every bin."""

    def count_transitions(
        self,
        target: Values,
        binning: Binning,
        lengths: Lengths,
        source: Codes,
        counts: Counts,
        threads: int | None,
    ) -> None:
        """Add to counts (U, next, past, state) every step of every unit.

        `source` (N, T) holds the source's state at each step. What touches a NaN is left out.
        """

    def score_counts(self, counts: Counts, threads: int | None) -> Nats:
        """Transfer entropy (U,) of such counts; NaN for a unit without transitions."""

    def transfer_entropy(
        self,
        target: Values,
        binning: Binning,
        lengths: Lengths,
        source: Codes,
        omit: bool,
        threads: int | None,
    ) -> tuple[Nats, bool]:
        """Both of the above, without keeping the counts; and whether every value could count.

        The second is False where a value is NaN, infinite or a symbol outside ``0 .. bins - 1``;
        the first is then of use only if these were all NaN, and `omit` was true.
        """


def resolve(name: Any) -> str:
    """The name of a backend that can run here; "auto" gives the fastest."""
    if name == "auto":
        reason = load("cpu").missing()
        if reason is None:
            return "cpu"
        warnings.warn(
            f"tefast counts with NumPy, which is far slower than its kernel: {reason}",
            RuntimeWarning,
            stacklevel=4,
        )
        return "reference"
    if name not in NAMES:
        known = ", ".join(map(repr, ("auto", *NAMES)))
        raise ValueError(f"unknown backend {name!r}; known are {known}")
    reason = load(name).missing()
    if reason is not None:
        raise ValueError(f"backend {name!r} is not available: {reason}")
    return str(name)


def check_threads(threads: Any) -> int | None:
    """`threads` as a positive int; None, for all that OpenMP would use, stays None."""
    if threads is None:
        return None
    try:
        if isinstance(threads, (bool, np.bool_)):
            raise TypeError
        number = operator.index(threads)
    except TypeError:
        raise TypeError(f"threads must be a positive integer or None, got {threads!r}") from None
    if not 1 <= number <= 4096:
        raise ValueError(f"threads must lie in 1 .. 4096, got {number}")
    return number


def load(name: str) -> Backend:
    """The module of a backend by its name."""
    return cast(Backend, import_module(f"tefast.backends.{name}"))
