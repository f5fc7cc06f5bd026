"""Sliding windows: transfer entropy along time, from counts that are added and taken away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from tefast._counting import evaluation
from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._counting.windows import DENSE_CELLS, Windows
from tefast._inputs import values
from tefast._support.parameters import documented
from tefast._tables import entropies
from tefast._tables.counts import allocate, blocks
from tefast._tables.entropies import Scores, Sums
from tefast._tables.states import Embedding, JointState, check_positive, together
from tefast._tables.types import MISSING, Axes
from tefast.measures import TRANSFER_ENTROPY
from tefast.typing import (
    ArrayLike,
    BackendName,
    Bias,
    BinningLike,
    NanPolicy,
    TensorLike,
    TransferOptions,
)

CELLS_A_ROW = 2**8
"""Cells of tables that are measured in the time in which a row of data enters and leaves by itself.
Where the tables of all windows have more, windows go by rows."""
CELLS_A_WINDOW = 2**15
"""Cells that are measured in the time that every window takes beside those of its own tables."""

Counts = npt.NDArray[np.int64]


@overload
def windowed_transfer_entropy(
    h: ArrayLike, y: Any, width: int, step: int, bins: int = ..., **options: Unpack[TransferOptions]
) -> Scores: ...
@overload
def windowed_transfer_entropy(
    h: TensorLike,
    y: Any,
    width: int,
    step: int,
    bins: int = ...,
    **options: Unpack[TransferOptions],
) -> TensorLike: ...
@overload
def windowed_transfer_entropy(
    h: Any, y: Any, width: int, step: int, bins: int = ..., **options: Unpack[TransferOptions]
) -> Any: ...
@documented
def windowed_transfer_entropy(
    h: Any,
    y: Any,
    width: int,
    step: int,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
    joint: bool = False,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Transfer entropy from `y` to every unit of `h` in windows that slide along time.

    Window i holds the steps ``i * step .. i * step + width - 1`` of all sequences, and the
    transitions that lie entirely within them. Its value is that of `transfer_entropy` for ``h[i *
    step : i * step + width]`` and the same part of `y`, in the same bins. When a window moves, the
    counts of new data are added and those of old data are subtracted. So the time does not grow
    with the overlap of windows.

    Parameters
    ----------
    {h, y}
    width : int
        The number of steps of a window: at least as many as a transition takes, and at most T.
    step : int
        The steps from the start of one window to the start of the next. The last window is the last
        one that lies entirely within the T steps.
    {bins}
    {target_history, source_history, delay, target_step, source_step, joint}
    {binning, h_range, y_range, lengths, mask, layout, nan_policy}
    {bias, base, backend, threads}

    Returns
    -------
    float64 array, shape (windows, U), or (windows,) where `h` has no axis of units
        There are ``(T - width) // step + 1`` windows, which start at the steps
        ``numpy.arange(windows) * step``. NaN where a window holds no transition of a unit.

    Raises
    ------
    {errors}

    Notes
    -----
    Bins are those of all data, the same for every window.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> h, y = rng.integers(0, 2, (2, 3000))
    >>> h[1001:2000] = y[1000:1999]                # coupled in the middle third
    >>> tefast.windowed_transfer_entropy(h, y, width=1000, step=500, bins=2).round(1)
    array([0. , 0.2, 1. , 0.2, 0. ])
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    long, apart = check_positive(width, "width"), check_positive(step, "step")
    bias = entropies.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    target, source = values.read(h, y, layout, joint)
    embedding.check_steps(target)
    plan = _Plan.check(long, apart, target.array.shape[1], embedding)
    inputs = Inputs.check(options, target, [source], lengths, {"h": h_range, "y": y_range}, mask)
    counted = inputs.windows(TRANSFER_ENTROPY, embedding)
    scores = np.empty((plan.windows, target.array.shape[2]))
    if plan.goes_by_rows(counted, inputs):
        _by_rows(inputs, counted, plan, bias, scores)
    else:
        _by_tables(inputs, counted, plan, bias, scores)
    if np.isnan(scores).all():
        evaluation.raise_nothing_left()
    return target.wrap(scores, "window")


@dataclass(frozen=True)
class _Plan:
    """Where windows lie.

    Attributes
    ----------
    width, step : int
    windows : int
        How many there are.
    reach : int
        The first step of a sequence that a transition can lead to.
    """

    width: int
    step: int
    windows: int
    reach: int

    @classmethod
    def check(cls, width: int, step: int, steps: int, embedding: Embedding) -> _Plan:
        """Raise a ValueError for windows that hold no transition, or do not fit."""
        least = embedding.first + 2
        if not least <= width <= steps:
            raise ValueError(
                f"width must lie between the {least} steps of a transition and the {steps} of the "
                f"sequences, got {width}"
            )
        return cls(width, step, (steps - width) // step + 1, least - 1)

    def goes_by_rows(self, counted: Windows, inputs: Inputs) -> bool:
        """Whether tables would be too large, or too many."""
        sequences, steps, units = inputs.target.array.shape
        cells = self.windows * (units * counted.cells + CELLS_A_WINDOW)
        return counted.cells > DENSE_CELLS or cells > CELLS_A_ROW * units * sequences * steps

    def first(self, t: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The first window that holds the transitions that lead to step t, if there is one."""
        return np.maximum(-((self.width - 1 - t) // self.step), 0)

    def last(self, t: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The last one."""
        return np.minimum((t - self.reach) // self.step, self.windows - 1)


def _by_tables(
    inputs: Inputs, counted: Windows, plan: _Plan, bias: str | None, scores: Scores
) -> None:
    """Fill scores (windows, U) from tables of all that was before the end and the start of each."""
    of = partial(evaluation.of_counts, TRANSFER_ENTROPY, inputs.options, bias=bias)
    units = inputs.target.array.shape[2]
    for some in blocks(units, 8 * counted.cells):
        entered, left = (_Before(inputs, counted, plan.reach, some) for _ in range(2))
        for i in range(plan.windows):
            entered.move_to(i * plan.step + plan.width)
            left.move_to(i * plan.step + plan.reach)
            scores[i, some] = values.to_numpy(of(entered.counts - left.counts))


class _Before:
    """Counts of the transitions of some units that lead to a step before one that moves on."""

    def __init__(self, inputs: Inputs, counted: Windows, reach: int, some: slice) -> None:
        self._binned, self._counted, self._reach = inputs.binned().units(some), counted, reach
        past, following, source = counted.shape
        table = allocate((some.stop - some.start, following, past, source))
        self.counts = inputs.options.backend.table(table, self._binned.values)
        self._to = reach

    def move_to(self, to: int) -> None:
        """Add those that lead to the steps up to `to`."""
        if to <= self._to:
            return
        start = self._to - self._reach
        source = self._counted.beside["source"]
        # Those that lead to earlier steps of the strip are there already.
        states = source.codes[:, start:to].copy()
        states[:, : self._reach] = MISSING
        strip = replace(self._counted, beside={"source": JointState(states, source.size)})
        self._binned.steps(start, to).add(strip, self.counts)
        self._to = to


def _by_rows(
    inputs: Inputs, counted: Windows, plan: _Plan, bias: str | None, scores: Scores
) -> None:
    """Fill scores (windows, U) from what every transition changes as it enters and leaves."""
    binned = inputs.binned()
    for u in range(scores.shape[1]):
        codes = binned.units(slice(u, u + 1)).codes()
        sums, total = _sums(plan, bias == "grassberger", counted.states(codes[:, :, 0]))
        scores[:, u] = entropies.mean(sums, total, inputs.options.base, bias)


def _sums(plan: _Plan, grassberger: bool, states: dict[str, JointState]) -> tuple[Sums, Counts]:
    """N times transfer entropy in every window, and N, from the states (N, T) of one unit."""
    joint = together(states.values())
    places = np.nonzero(joint.codes != MISSING)
    first, last = plan.first(places[1]), plan.last(places[1])
    held = first <= last  # between windows that do not touch there are transitions of none
    places = tuple(place[held] for place in places)
    when = np.concatenate([first[held], last[held] + 1])

    def of(axes: Axes) -> Sums:
        state = together(states[axis] for axis in axes)
        return _slid(state.codes[places], when, plan.windows, grassberger)

    total = np.zeros(plan.windows + 1, np.int64)
    np.add.at(total, when, np.repeat([1, -1], len(when) // 2))
    return TRANSFER_ENTROPY.combined(of), total.cumsum()[:-1]


def _slid(codes: Counts, when: Counts, many: int, grassberger: bool) -> Sums:
    """Sums of ``n ln n`` over how often each code is in every window, (windows,).

    Every code comes with the window where it enters, and then all with that where they have left.
    """
    _, rank = np.unique(codes, return_inverse=True)
    key = np.concatenate([rank, rank]) * (many + 1) + when
    order = np.argsort(key, kind="stable")
    changes, first = np.unique(key[order], return_index=True)
    by = np.repeat([1, -1], len(codes))[order]
    change = np.add.reduceat(by, first) if len(by) else by
    # All that enters leaves, so that the numbers of each code begin anew from 0.
    after = change.cumsum()
    before = after - change
    moves = entropies.terms(after, grassberger) - entropies.terms(before, grassberger)
    limbs, cells = np.zeros((3, many + 1), np.int64), np.zeros(many + 1, np.int64)
    window = changes % (many + 1)
    for limb, move in zip(limbs, moves, strict=True):
        np.add.at(limb, window, move)
    np.add.at(cells, window, (after > 0).astype(np.int64) - (before > 0))
    return Sums(limbs.cumsum(axis=1)[:, :-1], cells.cumsum()[:-1])
