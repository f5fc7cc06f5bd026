"""Backends by name. Each is a module with the functions of `Backend`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast, get_args

import numpy as np

from tefast._backends.inputs import (
    ONE_STEP,
    BinnedValues,
    CodeWindows,
    LocalSource,
    PairStates,
    StepWindows,
)
from tefast._inputs.values import Values
from tefast._support.warn import warn
from tefast._tables.logarithms import LogUnit
from tefast._tables.types import (
    BackendTable,
    Booleans,
    Codes,
    Counts,
    Lengths,
    Nats,
    Orders,
    Recent,
    Scan,
    Steps,
)
from tefast.binning import Edges
from tefast.typing import BackendName

NAMES: tuple[str, ...] = get_args(BackendName)[1:]
"""All but "auto"."""


class BackendScores(NamedTuple):
    """What one pass over the data gave.

    Attributes
    ----------
    nats : array, shape (U,)
        NaN for a unit without transitions.
    counted : bool
        Whether there was a transition at all.
    clean : bool
        False where a value may have been among them that must not be there: NaN (unless they are
        left out), infinite, or a symbol outside ``0 .. bins - 1``. Then only a scan can tell
        whether the nats are of use.
    """

    nats: BackendTable
    counted: bool
    clean: bool


class BackendValues(NamedTuple):
    """Local values, in the host's memory.

    Attributes
    ----------
    values : ndarray of float64, shape (N, T - first - 1, U)
        NaN where a transition was left out.
    counted, clean : bool
        As of `BackendScores`.
    """

    values: Nats
    counted: bool
    clean: bool


class Backend(Protocol):
    """What a backend module offers. All counts are exact; they are added to what is passed in.

    Attributes
    ----------
    LONG_PASTS : int
        Up to so many states of a target's past and next value `transfer_entropies` takes windows
        other than `ONE_STEP`; 0: it does not.
    LOCAL_MOVES : int
        Up to so many states of a target's past and next value there are `local_values`; 0: this
        backend has none, and they are found from its codes.
    RECENT_ROWS : int
        Up to so many rows are counted by `count_recent` between two calls of `move_recent`; 0:
        this backend has neither.
    ROUNDING : str
        How terms are rounded and summed. Results of backends with the same are equal to the last
        bit.
    """

    LONG_PASTS: int
    LOCAL_MOVES: int
    RECENT_ROWS: int
    ROUNDING: str

    def missing(self) -> str | None:
        """Why this backend cannot run here, and what would give it; None if it can."""

    def place(self, *inputs: Values) -> list[Values]:
        """The inputs where this backend reads them, all in one place, copied if need be."""

    def table(self, counts: BackendTable, beside: Values) -> BackendTable:
        """Counts, or codes, of any backend where this one takes them: beside placed values."""

    def quantile_edges(
        self, values: Values, bins: int, lengths: Lengths, threads: int | None
    ) -> Edges:
        """See `tefast._tables.quantiles.quantile_edges`."""

    def scan(self, values: Values, bins: int, lengths: Lengths, threads: int | None) -> Scan:
        """Count NaN, infinities and symbols outside ``0 .. bins - 1``, and find unit ranges.

        Positions are flat (N, T, U) ones, -1 where there is none; `first_bad` is that of the
        first infinity or outside symbol. `low` and `high` (U,) span the finite values.
        """

    def encode(self, data: BinnedValues, threads: int | None) -> BackendTable:
        """Codes of shape (N, T, U)."""

    def count_values(self, data: BinnedValues, counts: BackendTable, threads: int | None) -> None:
        """Add to counts (U, bins) the occupancy of every bin."""

    def count_transitions(
        self,
        target: BinnedValues,
        source: BackendTable,
        counts: BackendTable,
        threads: int | None,
    ) -> None:
        """Add to counts (U, next, past, state) every step of every unit.

        `source` (N, T) holds the source's state at each step. What touches a NaN is left out.
        """

    def recent(self, units: int, bins: int, states: int, most: int) -> Recent | None:
        """Empty counters of 16 bits for the transitions of short batches.

        None if they would take more than `most` bytes.
        """

    def count_recent(
        self,
        target: BinnedValues,
        source: Codes,
        states: int,
        omit: bool,
        recent: Recent,
        threads: int | None,
    ) -> bool:
        """Add every step of every unit to such counters, as `count_transitions` does to counts.

        False, and nothing is added, where a value is NaN, infinite or an outside symbol, unless
        `omit` says to count the others all the same.
        """

    def move_recent(self, recent: Recent, counts: Counts, threads: int | None) -> None:
        """Add such counters to counts (U, next, past, state), and clear them."""

    def count_windows(self, windows: CodeWindows, counts: Counts, threads: int | None) -> None:
        """Add to counts (U, bins**len(back), states) a window for every step.

        Windows that touch a missing code, or a step before the first, are left out.
        """

    def score_counts(self, counts: BackendTable, threads: int | None) -> BackendTable:
        """Transfer entropy (U,) of such counts; NaN for a unit without transitions."""

    def transfer_entropy(
        self, target: BinnedValues, source: BinnedValues, omit: bool, threads: int | None
    ) -> BackendScores:
        """All of the above from values to scores, without keeping the counts."""

    def transfer_entropies(
        self,
        target: BinnedValues,
        sources: Codes,
        states: int,
        omit: bool,
        threads: int | None,
        windows: StepWindows = ONE_STEP,
    ) -> tuple[BackendTable, bool]:
        """Scores (S, U) from each of many sources (S, N, T), for one quantising of the target.

        `windows` may be other than `ONE_STEP` only up to `LONG_PASTS`. The sources then have no
        state before the past begins.

        `states` is how many a source has, which need not be the bins of the target. The second
        is False where a value may have been there that must not be, as in `BackendScores.clean`.
        """

    def local_values(
        self,
        target: BinnedValues,
        source: LocalSource,
        unit: LogUnit,
        omit: bool,
        threads: int | None,
        back: Steps = (),
    ) -> BackendValues:
        """Local transfer entropy; `back` as of `transfer_entropies`."""

    def pair_states(self, codes: Codes, bins: int, back: Steps, threads: int | None) -> PairStates:
        """At which steps each series of codes (N, T, U) is in which state.

        A state holds the codes of the steps `back` from a step, the last of them the least
        significant. It is missing where one of them is missing or lies before the first step.
        """

    def moved_states(
        self, states: PairStates, steps: int, kept: Booleans, threads: int | None
    ) -> PairStates:
        """The same, `steps` later in the row of all steps, where `kept` (N * T,) has it."""

    def score_pairs(
        self, targets: PairStates, sources: Sequence[PairStates], nexts: int, threads: int | None
    ) -> BackendTable:
        """Transfer entropy (sets, S, U) in nats; NaN where two series have no step in common.

        `sources` are some sets of as many series, such as the same ones with several delays.

        A target's states are ``past * nexts + next``.
        """

    def count_pairs(
        self, targets: PairStates, sources: PairStates, nexts: int, threads: int | None
    ) -> BackendTable:
        """Counts (S, U, past, next, state), of which `score_pairs` is a measure."""

    def conditional_surrogates(
        self, own: Counts, nexts: int, source: Counts, orders: Orders, threads: int | None
    ) -> Nats:
        """Scores (S, U) of surrogates that exchange states of the source within each past.

        All of it lies in the host's memory. `own` (M, U) holds ``past * nexts + next`` of each
        transition of each unit, below 0 where it is missing; `source` (M,) the source's state
        there, 0 or more; `orders` (S, M) a permutation of ``0 .. M - 1`` for each surrogate. A
        unit's transitions are walked through in that order. One with the past p is given the next
        unused entry of the list of `source` at the unit's transitions with the past p.
        """


def check_name(name: Any) -> str:
    """`name` if it is "auto", or that of a backend that can run here."""
    if name == "auto":
        return "auto"
    if name not in NAMES:
        known = ", ".join(map(repr, ("auto", *NAMES)))
        raise ValueError(f"unknown backend {name!r}; known are {known}")
    reason = load(name).missing()
    if reason is not None:
        raise ValueError(f"backend {name!r} is not available: {reason}")
    return str(name)


def fastest(device: Any, name: str = "") -> str:
    """What "auto" means for data called `name` that lie on `device`; None is the host's memory."""
    reason: str | None
    if device is not None and device.type == "cuda":
        reason = load("cuda").missing()
        if reason is None:
            return "cuda"
        warn(f"tefast copies {name} from {device} to count on the CPU: {reason}")
    reason = load("cpu").missing()
    if reason is None:
        return "cpu"
    warn(f"tefast counts with NumPy, which is far slower than its kernel: {reason}")
    return "reference"


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


@cache
def load(name: str) -> Backend:
    """The module of a backend by its name."""
    return cast(Backend, import_module(f"tefast._backends.{name}"))
