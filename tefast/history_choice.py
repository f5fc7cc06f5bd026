"""The history that a unit remembers, chosen by what each further step tells beyond chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._counting import evaluation
from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._counting.windows import Windows
from tefast._inputs import values
from tefast._significance import hypergeometric
from tefast._support.parameters import documented
from tefast._tables import entropies
from tefast._tables.states import check_positive, check_steps
from tefast.typing import BackendName, BinningLike, NanPolicy

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class ChosenHistory:
    """The result of `choose_history`, in NumPy arrays.

    If `h` has no axis of units, `history` and `step` are integers, and the others have the shape
    (most,).

    Attributes
    ----------
    history : ndarray of int, shape (U,)
        k, the number of steps of its past that each unit needs; 1 for a unit without memory.
    step : ndarray of int, shape (U,)
        s, the steps from one entry of the history to the next.
    active_information : ndarray of float64, shape (U, most)
        ``I(h[t+1]; h[t], .. h[t-(k-1)s])`` for every k, with that step, less what chance gives.
    noise : ndarray of float64, shape (U, most)
        The standard deviation of what the k-th step alone would add by chance.
    """

    history: Any
    step: Any
    active_information: Any
    noise: Any

    def __repr__(self) -> str:
        chosen = (
            np.array2string(np.asarray(each), threshold=20, separator=", ")
            for each in (self.history, self.step)
        )
        named = ", ".join(map("=".join, zip(("history", "step"), chosen, strict=True)))
        return f"ChosenHistory({named}, most={np.shape(self.active_information)[-1]})"

    @documented
    def plot(self, title: str = "Active information") -> Any:
        """Plot active information against the history, with a mark at the chosen one.

        Parameters
        ----------
        title : str, default "Active information"
            The title of the figure.

        {sections:plot}
        """
        from tefast import plot

        curves = np.atleast_2d(self.active_information)
        return plot.histories(curves, np.atleast_1d(self.history), title=title)


@documented
def choose_history(
    h: Any,
    bins: int = 16,
    most: int = 8,
    *,
    steps: Sequence[int] = (1,),
    deviations: float = 3.0,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> ChosenHistory:
    """Choose for every unit how many steps of its past tell about its next value.

    It is the shortest history for which every longer one has at most as much active information,
    apart from differences that chance makes likely. The bias is subtracted before. A unit without
    memory has the history 1, the least that there is; `active_information` shows whether that one
    step tells anything.

    Parameters
    ----------
    {h:alone, bins}
    most : int, default 8
        The longest history that is tried.
    steps : sequence of int, default (1,)
        The steps from one entry of a history to the next that are tried. The one with the highest
        active information is taken, and the smallest of them if several are equal.
    deviations : float, default 3
        A longer history is taken if it tells more by this many standard deviations of chance.
    {binning, h_range, lengths, mask:alone, layout:alone, nan_policy, base, backend, threads}

    Returns
    -------
    ChosenHistory

    Raises
    ------
    {errors}

    Notes
    -----
    All histories are compared on the same transitions: those that have all steps of the longest
    one.

    The k-th step adds ``I(h[t+1]; h[t-(k-1)s] | h[t], .. h[t-(k-2)s])``. From this its mean by
    chance is subtracted. That is the exact mean over all permutations of the step's values among
    the transitions that share the later steps (the mean of ``n ln n`` in every cell by the
    hypergeometric law). It is exact even if every cell holds one transition. Corrections by the
    number of cells fail there: with that of Miller and Madow the longest history seems the best.
    The variance is that of the chi-square law with as many degrees of freedom as the permutations
    leave.

    Asking of each further step whether it tells more than chance is how A. Papapetrou and
    D. Kugiumtzis choose the order of a Markov chain (Physica A 392, 1593, 2013).

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> x = rng.integers(0, 2, (5000, 2))
    >>> for t in range(3, 5000):
    ...     x[t, 1] = x[t - 1, 1] ^ x[t - 3, 1] ^ (rng.random() < 0.2)
    >>> tefast.choose_history(x, bins=2)
    ChosenHistory(history=[1, 3], step=[1, 1], most=8)
    """
    longest, apart = check_positive(most, "most"), _check_tried(steps)
    level = _check_deviations(deviations)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    target = values.alone(h, layout)
    reach = 1 + (longest - 1) * max(apart)
    check_steps(target, reach + 1, f"a history of most={longest} with steps={apart}")
    inputs = Inputs.check(options, target, [], lengths, {"h": h_range}, mask)
    found = [_chosen(unit, longest, apart, level) for unit in _units(inputs, longest, apart)]
    if np.isnan([curve for _, _, curve, _ in found]).all():
        evaluation.raise_nothing_left()
    history, step, curves, noise = (np.array(each) for each in zip(*found, strict=True))
    arrays = [history, step, *(each / math.log(options.base) for each in (curves, noise))]
    if "U" not in target.layout:
        arrays = [int(each[0]) for each in arrays[:2]] + [each[0] for each in arrays[2:]]
    return ChosenHistory(*arrays)


def _check_tried(steps: Any) -> tuple[int, ...]:
    try:
        given = [steps] if isinstance(steps, (str, bytes)) else [*steps]
    except TypeError:
        raise TypeError(f"steps must be a sequence of positive integers, got {steps!r}") from None
    tried = sorted({check_positive(step, "each of steps") for step in given})
    if not tried:
        raise ValueError("steps must hold at least one step, got none")
    return tuple(tried)


def _check_deviations(deviations: Any) -> float:
    try:
        if isinstance(deviations, (bool, str, bytes)):
            raise TypeError
        level = float(deviations)
    except (TypeError, ValueError):
        raise TypeError(f"deviations must be a number, 0 or more, got {deviations!r}") from None
    if not 0 <= level < math.inf:
        raise ValueError(f"deviations must be a finite number, 0 or more, got {deviations!r}")
    return level


@dataclass(frozen=True)
class _Unit:
    """What occurs of one unit: its next value beside some earlier steps, and how often.

    Attributes
    ----------
    next : ndarray of int64, shape (cells,)
    back : dict
        The values so many steps before the next, (cells,).
    counts : ndarray of int64, shape (cells,)
    """

    next: Counts
    back: dict[int, Counts]
    counts: Counts


def _units(inputs: Inputs, most: int, apart: tuple[int, ...]) -> Iterator[_Unit]:
    """All units, one after the other."""
    back = sorted({1 + j * step for step in apart for j in range(most)})
    own = {"next": (0,)} | {str(steps): (steps,) for steps in back}
    for _, table in inputs.binned().tables(Windows(inputs.bins, own, {})):
        for cells, counts in table.occurring():
            following, *earlier = cells
            yield _Unit(following, dict(zip(back, earlier, strict=True)), counts)


def _chosen(
    unit: _Unit, most: int, apart: tuple[int, ...], level: float
) -> tuple[int, int, Floats, Floats]:
    """History, step, and along that step active information and noise in nats (most,)."""
    best: tuple[int, int, Floats, Floats] | None = None
    for step in apart:
        added, noise = _added(unit, [1 + j * step for j in range(most)])
        curve = added.cumsum()
        k = _shortest(curve, noise, level)
        if best is None or curve[k - 1] > best[2][best[0] - 1]:
            best = k, step, curve, noise
    assert best is not None
    return best


def _shortest(curve: Floats, noise: Floats, level: float) -> int:
    """The shortest history that no longer one exceeds by more than `level` times the noise."""
    variance = (noise**2).cumsum()
    for k in range(len(curve)):
        likely = level * np.sqrt(np.maximum(variance[k:] - variance[k], 0.0))
        # What is left of numbers that are equal, such as where nothing can be added, is no gain.
        if (curve[k:] - curve[k] <= likely + 1e-12).all():
            return k + 1
    return 1  # nothing was counted: all is NaN


def _added(unit: _Unit, back: list[int]) -> tuple[Floats, Floats]:
    """What each further step adds, less its mean by chance, and its deviation, in nats (most,)."""
    total = unit.counts.sum()
    added, noise = np.zeros((2, len(back)))
    if not total:
        return added * np.nan, noise * np.nan
    kept, past = np.arange(len(unit.counts)), np.zeros(len(unit.counts), np.int64)
    for i, steps in enumerate(back):
        # Where only one next value is left nothing can be added.
        kept, past = _open(unit.next, kept, past)
        if not len(kept):
            break
        following, one, counts = unit.next[kept], unit.back[steps][kept], unit.counts[kept]
        moves, _, move_counts = _groups([past, following], counts)
        longer, place, longer_counts = _groups([past, one], counts)
        _, _, cell_counts = _groups([place, following], counts)
        beyond = hypergeometric.mean_sum(move_counts, moves[0], longer_counts, longer[0])
        added[i] = entropies.sums_of(cell_counts[np.newaxis]).nats[0] - beyond
        free = (np.bincount(moves[0]) - 1) * (np.bincount(longer[0]) - 1)
        noise[i] = math.sqrt(free.sum() / 2)
        past = place
    return added / total, noise / total


def _open(following: Counts, kept: Counts, past: Counts) -> tuple[Counts, Counts]:
    """The cells with a past that several next values follow, and their pasts numbered anew."""
    moves, _, _ = _groups([past, following[kept]], np.ones(len(kept), np.int64))
    several = np.bincount(moves[0]) > 1
    left = several[past]
    return kept[left], (several.cumsum() - 1)[past[left]]


def _groups(keys: list[Counts], counts: Counts) -> tuple[list[Counts], Counts, Counts]:
    """The pairs of keys that occur, rising; which one each entry is; and how often each is."""
    size = int(keys[1].max()) + 1
    key = keys[0] * size + keys[1]
    many = int(key.max()) + 1
    if many <= 2**16 + 16 * len(key):
        there = np.zeros(many, bool)
        there[key] = True
        pairs, place = np.flatnonzero(there), (there.cumsum() - 1)[key]
    else:  # sorting costs less
        pairs, place = np.unique(key, return_inverse=True)
    found = np.zeros(len(pairs), np.int64)
    np.add.at(found, place, counts)
    return list(np.divmod(pairs, size)), place, found
