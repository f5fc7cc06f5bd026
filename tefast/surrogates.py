"""Significance: is it more than chance gives? Surrogates, chi-square, false discoveries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast import evaluation, measures, values, windows
from tefast.backends import MISSING, Lengths
from tefast.evaluation import Inputs
from tefast.options import Options
from tefast.states import Embedding, JointState, States, check_not_negative, check_positive
from tefast.values import Values
from tefast.warn import warn
from tefast.windows import MOST_STATES

METHODS = ("shuffle", "trials", "circular", "chi2")
FEW = 20
"""Transitions a cell below which the chi-square law is not followed well."""
BATCH_BYTES = 64 * 2**20
"""Of surrogates that are in memory together."""

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator], JointState]
Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@dataclass(frozen=True)
class Significance:
    """What `significance` found; every field but the last has shape (U,), in the kind of `h`.

    Attributes
    ----------
    te : array
        Transfer entropy, in units of ``log(base)``.
    p_value : array
        The chance of as much or more without a coupling.
    q_value : array
        p adjusted for the number of units: rejecting all units with q up to 0.05 keeps the expected
        share of false ones at 5 % (`benjamini_hochberg`).
    null_mean, null_std : array
        Mean and standard deviation of transfer entropy without a coupling.
    effective_te : array
        ``te - null_mean``. Without a coupling the bias has been taken off; with a strong one, which
        leaves cells empty, the null's bias is more than that of `te`, and this is too low.
    standard_error : array
        Of `te`, from the spread of its local values over transitions, as if these were independent.
    method : str
    """

    te: Any
    p_value: Any
    q_value: Any
    null_mean: Any
    null_std: Any
    effective_te: Any
    standard_error: Any
    method: str


def significance(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    method: str = "shuffle",
    surrogates: int = 200,
    seed: int = 0,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
    joint: bool = False,
    binning: Any = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    nan_policy: str = "raise",
    base: float = 2,
    backend: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Significance:
    """Test transfer entropy from `y` to every unit of `h` against its absence.

    Parameters
    ----------
    h, y
        **Target** and **source**, as in `transfer_entropy`, and so are all parameters that are not
        described here.
    method : {"shuffle", "trials", "circular", "chi2"}, default "shuffle"
        "shuffle" permutes the source's states among all transitions: right where the source has no
        memory and `source_history` is 1, or the target has none beyond its history. "circular"
        turns the source of every sequence by a random number of steps, around its end, which keeps
        its memory. "trials" permutes the sources of sequences, which keeps whatever a source is,
        and needs several that could be exchanged; those of another length or other gaps than
        all others stay. "chi2" needs no surrogates: ``2 N T`` (nats) follows a chi-square law with
        as many degrees of freedom as the values leave that target and source take beside each
        past (with Williams' factor); it needs SciPy, the same absence of memory as "shuffle", and
        some 30 transitions for every cell: with 5 it rejects too often, and a warning says so.
    surrogates : int, default 200
        The least p-value is ``1 / (surrogates + 1)``, or as often as few exchanges repeat
        themselves. To find one unit among U at a false discovery rate of 5 %, take ``20 U``.
    seed : int, default 0
        Surrogate i is drawn from (seed, i): the same whatever the threads and batches.
    progress : callable, optional
        Called as ``progress(done, surrogates)`` after every batch of surrogates.

    Returns
    -------
    Significance

    Raises
    ------
    ValueError, TypeError
        Before any counting, saying what was expected and what came.

    Notes
    -----
    ``p = (1 + number of surrogates with as much or more) / (1 + surrogates)``. The target is
    binned once for as many surrogates as take 64 MB; each costs one pass of counting.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(2)
    >>> y = rng.integers(0, 2, (100, 50))
    >>> h = rng.integers(0, 2, (100, 50, 3))
    >>> h[:, 1:, 1] = np.where(rng.random((100, 49)) < 0.1, y[:, :-1], h[:, 1:, 1])
    >>> (tefast.significance(h, y, bins=2).q_value < 0.05).nonzero()[0]
    array([1])
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known are {', '.join(map(repr, METHODS))}")
    count, root = check_positive(surrogates, "surrogates"), check_not_negative(seed, "seed")
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    target = values.target(h)
    source = values.source(y, target, joint)
    embedding.check_steps(target)
    if method == "trials" and target.array.shape[0] < 2:
        raise ValueError(
            "method='trials' exchanges the sources of sequences, and there is one sequence alone; "
            "use 'circular' or 'shuffle'"
        )
    if method == "chi2":
        _import_scipy()
    inputs = Inputs.check(options, target, [source], lengths, {"h": h_range, "y": y_range}, mask)
    found = _test(inputs, embedding, method, count, root, progress)
    fields = {name: target.wrap(value) for name, value in found.items()}
    return Significance(**fields, method=method)


def benjamini_hochberg(p_value: Any) -> Floats:
    """Adjusted p-values that control the false discovery rate over all of them.

    Parameters
    ----------
    p_value : array_like of any shape
        NaN stays NaN and does not count.

    Returns
    -------
    float64 ndarray of the same shape
        ``q = min over j >= i of p(j) m / j``, with p(1) .. p(m) rising (Y. Benjamini and
        Y. Hochberg, J. R. Stat. Soc. B 57, 289, 1995).
    """
    p = np.asarray(p_value, dtype=np.float64)
    known = ~np.isnan(p)
    some = p[known]
    if some.size and not ((some >= 0) & (some <= 1)).all():
        raise ValueError(f"p-values must lie in 0 .. 1, got {some.min()} .. {some.max()}")
    order = np.argsort(some)
    adjusted = some[order] * some.size / np.arange(1, some.size + 1)
    q = np.full(p.shape, np.nan)
    ranked = np.empty_like(some)
    ranked[order] = np.minimum(np.minimum.accumulate(adjusted[::-1])[::-1], 1.0)
    q[known] = ranked
    return q


def _test(
    inputs: Inputs,
    embedding: Embedding,
    method: str,
    count: int,
    seed: int,
    progress: Progress | None,
) -> dict[str, Floats]:
    te, error, freedom, excess, total = _estimate(inputs, embedding)
    if method == "chi2":
        cells = inputs.bins ** (1 + embedding.target_history + embedding.source_history)
        _warn_of_few(total, cells)
        p, mean, deviation = _chi_square(te, freedom, excess, total)
    else:
        nulls = _Nulls(te)
        for some in _drawn(inputs, embedding, method, count, seed):
            nulls.add(some)
            if progress is not None:
                progress(nulls.count, count)
        p, mean, deviation = nulls.result()
    unit = math.log(inputs.options.base)
    return {
        "te": te / unit,
        "p_value": p,
        "q_value": benjamini_hochberg(p),
        "null_mean": mean / unit,
        "null_std": deviation / unit,
        "effective_te": (te - mean) / unit,
        "standard_error": error / unit,
    }


def _estimate(inputs: Inputs, embedding: Embedding) -> tuple[Floats, ...]:
    """Transfer entropy and its standard error in nats, what chi-square takes, transitions; (U,)."""
    options, target = inputs.options, inputs.target
    te, error, freedom, excess, total = np.empty((5, target.array.shape[2]))
    counted = evaluation.transitions(inputs, embedding)
    tables = windows.tables(
        options.backend, target, inputs.learned(target), inputs.lengths, counted, options.threads
    )
    for some, table in tables:
        sums = evaluation.transferred(table, False)
        total[some] = table.total
        te[some] = measures.mean(sums, table.total, math.e)
        axes = ("next",), ("source",), ("past",)
        error[some] = measures.standard_error(table, *axes)
        freedom[some], excess[some] = measures.law_of_g(table, *axes)
    if np.isnan(te).all():
        evaluation.raise_nothing_left()
    return te, error, freedom, excess, total


def _warn_of_few(total: Floats, cells: int) -> None:
    """Say that chi-square is not to be trusted with so few transitions (U,) for so many cells."""
    least = min(total[total > 0]) / cells
    if least < FEW:
        warn(
            f"method='chi2' with {least:.2g} transitions for each of {cells} cells rejects too "
            f"often; it takes some 30. Use fewer bins, or surrogates"
        )


def _chi_square(
    te: Floats, freedom: Floats, excess: Floats, total: Floats
) -> tuple[Floats, Floats, Floats]:
    """p, mean and standard deviation, ``2 N T`` being chi-square; p is 1 where nothing is free.

    Its mean exceeds the degrees of freedom where cells hold few transitions each, which Williams'
    factor takes back.
    """
    chi2 = _import_scipy()
    free = freedom > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = 1 + excess / freedom
        p = chi2.sf(2 * total * te / factor, np.where(free, freedom, np.nan))
        mean, deviation = (
            np.where(free, law, 0.0) * np.where(free, factor, 1.0) / (2 * total)
            for law in (freedom, np.sqrt(2 * freedom))
        )
    return np.where(free, p, np.where(total > 0, 1.0, np.nan)), mean, deviation


class _Nulls:
    """What is kept of surrogates' transfer entropies: how many reached `te`, mean and variance."""

    def __init__(self, te: Floats) -> None:
        self._te, self.count = te, 0
        self._more = np.zeros(te.shape, np.int64)
        self._mean, self._squares = np.zeros((2, *te.shape))

    def add(self, nulls: Floats) -> None:
        """Some more, (some, U)."""
        # Ties are frequent in small data, and rounding must not break them.
        self._more += (nulls >= self._te - 1e-12).sum(axis=0)
        for null in nulls:  # B. P. Welford's recurrence: the same whatever comes together
            self.count += 1
            off = null - self._mean
            self._mean += off / self.count
            self._squares += off * (null - self._mean)

    def result(self) -> tuple[Floats, Floats, Floats]:
        """p, mean and standard deviation, (U,)."""
        p = np.where(np.isnan(self._te), np.nan, (1.0 + self._more) / (1.0 + self.count))
        with np.errstate(invalid="ignore", divide="ignore"):
            deviation = np.sqrt(self._squares / np.float64(self.count - 1))
        return p, self._mean, deviation


def _drawn(
    inputs: Inputs, embedding: Embedding, method: str, count: int, seed: int
) -> Iterator[Floats]:
    """Transfer entropies in nats of surrogates, (some, U) at a time."""
    draw = _drawing(inputs, embedding, method)
    size = evaluation.source_series(inputs).size ** embedding.source_history
    at_once = embedding.target_history == 1 and size <= MOST_STATES
    sequences, steps, _ = inputs.target.array.shape
    batch = max(1, BATCH_BYTES // (2 * sequences * steps)) if at_once else 1
    for first in range(0, count, batch):
        generators = (
            np.random.default_rng([seed, i]) for i in range(first, min(first + batch, count))
        )
        if at_once:
            states = np.stack([draw(rng).codes.astype(np.int16) for rng in generators])
            yield values.to_numpy(evaluation.of_states(inputs, states, size))
        else:
            yield np.stack([_of_windows(inputs, embedding, draw(rng)) for rng in generators])


def _of_windows(inputs: Inputs, embedding: Embedding, states: JointState) -> Floats:
    counted = evaluation.transitions(inputs, embedding, states)
    nats = evaluation.of_windows(inputs, counted, evaluation.transferred, None)
    return nats * math.log(inputs.options.base)


def _drawing(inputs: Inputs, embedding: Embedding, method: str) -> Draw:
    """A function that draws the source's states (N, T) anew, for transitions that start at t."""
    series = evaluation.source_series(inputs)
    valid = _valid(inputs.target, inputs.lengths)
    states = evaluation.source_states(series, embedding)

    def others(codes: States) -> JointState:
        return JointState(codes, states.size)

    if method == "shuffle":
        # Where a transition can start: its next step is there, and so are both histories.
        starts = np.zeros_like(valid)
        starts[:, embedding.first : -1] = valid[:, embedding.first + 1 :]
        places = starts & (states.codes != MISSING)
        drawn = states.codes[places]
        return lambda rng: others(_replaced(states.codes, places, rng.permutation(drawn)))
    if method == "trials":
        alike = _alike(states.codes)
        return lambda rng: others(_exchanged(states.codes, alike, rng))
    there = valid & (series.codes != MISSING)
    order, many = np.argsort(~there, axis=1, kind="stable"), there.sum(axis=1)

    def turned(rng: np.random.Generator) -> JointState:
        codes = _turned(series.codes, order, many, rng)
        return evaluation.source_states(JointState(codes, series.size), embedding)

    return turned


def _valid(target: Values, lengths: Lengths) -> npt.NDArray[np.bool_]:
    sequences, steps, _ = target.array.shape
    if lengths is None:
        return np.ones((sequences, steps), bool)
    return np.asarray(np.arange(steps) < lengths[:, np.newaxis])


def _replaced(states: States, places: npt.NDArray[np.bool_], by: States) -> States:
    out = np.full_like(states, MISSING)
    out[places] = by
    return out


def _alike(states: States) -> list[npt.NDArray[np.int64]]:
    """Groups of sequences whose states are there at the same steps: these can be exchanged."""
    there = states != MISSING
    _, kinds = np.unique(there, axis=0, return_inverse=True)
    groups = [np.flatnonzero(kinds == kind) for kind in range(int(kinds.max()) + 1)]
    groups = [group for group in groups if len(group) > 1 and there[group[0]].any()]
    if not groups:
        raise ValueError(
            "method='trials' exchanges the sources of sequences of the same length and gaps, and "
            "no two are so; use 'circular' or 'shuffle'"
        )
    return groups


def _exchanged(
    states: States, groups: list[npt.NDArray[np.int64]], rng: np.random.Generator
) -> States:
    out = states.copy()
    for group in groups:
        out[group] = states[rng.permutation(group)]
    return out


def _turned(
    codes: States,
    order: npt.NDArray[np.int64],
    many: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> States:
    """Every sequence's codes, those that are there, turned by a random number of them.

    order: (N, T), the steps that have a code before those that have none; many: (N,), how many
    have one. Gaps stay where they are.
    """
    length = np.maximum(many, 1)[:, np.newaxis]
    by = rng.integers(0, length)
    rank = np.arange(codes.shape[1])
    source = np.where(rank < length, (rank - by) % length, rank)
    turned = np.take_along_axis(codes, np.take_along_axis(order, source, axis=1), axis=1)
    out = np.empty_like(codes)
    np.put_along_axis(out, order, turned, axis=1)
    return out


def _import_scipy() -> Any:
    try:
        from scipy.stats import chi2
    except ModuleNotFoundError as error:
        raise ImportError(
            "method='chi2' needs SciPy: pip install \"tefast[significance]\""
        ) from error
    return chi2
