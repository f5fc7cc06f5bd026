"""Significance: is it more than chance gives? Surrogates, chi-square, false discoveries."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast import measures
from tefast._counting import evaluation
from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._significance.chi_square import Estimate, import_scipy
from tefast._significance.drawing import METHODS, Source, check_tested
from tefast._significance.false_discoveries import benjamini_hochberg
from tefast._significance.persistence import warn_of_memory
from tefast._significance.result import (
    FIELDS,
    Significance,
    check_alpha,
    too_few,
)
from tefast._support.parameters import documented
from tefast._support.progress import Bar, Progress
from tefast._support.warn import warn
from tefast._tables.states import check_not_negative, check_positive
from tefast.measures import TRANSFER_ENTROPY, Measure
from tefast.typing import BackendName, BinningLike, Method, NanPolicy

__all__ = ["METHODS", "Progress", "Significance", "benjamini_hochberg", "significance"]

WITHOUT_MEMORY = ("shuffle", "conditional", "chi2")
"""Methods that take the steps of the source for independent."""
LEAST = 200
"""Surrogates, if nobody says how many."""
PATIENCE = 10.0
"""Seconds up to which there are as many as q < alpha takes, if nobody says how many."""
RATES = {"steps": 3e8, "conditional": 1.5e8, "windows": 5e6}
"""Transitions that one thread measures in a second, by the way they are counted: fixed, so that no
result depends on the machine."""
PIECE = 1.0
"""Seconds between two calls of `progress`, by the same rates."""
BAR_AFTER = 2.0
"""Seconds that surrogates take before a bar is shown."""

Floats = npt.NDArray[np.float64]


@documented
def significance(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    method: Method = "auto",
    surrogates: int | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    target_history: int = 1,
    source_history: int = 1,
    delay: int | None = None,
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
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    measure: str | Measure = "transfer_entropy",
) -> Significance:
    """Test transfer entropy from `y` to every unit of `h` against its absence, or another measure.

    Parameters
    ----------
    {h, y, bins}
    method : {"auto", "trials", "circular", "shuffle", "conditional", "chi2"}, default "auto"
        What the estimate is compared with.

        - "auto" is "trials" if, on average, ten or more sequences share the same length and gaps
          and their sources differ. Otherwise it is "circular". Both keep the source's memory. The
          result's `method` says which one was taken.
        - "trials" gives each sequence the source of another sequence of the same length and gaps.
          It keeps every source as it is. A sequence that is like no other keeps its own source.
        - "circular" turns the source of every sequence by a random number of steps, around its end.
          It is right for stationary sources. A short series can be turned in few ways.
        - "shuffle" permutes the source's states among all transitions. It is right if the source
          has no memory and `source_history` is 1, or if the target has none beyond its history.
        - "conditional" permutes the source's states among the transitions with the same past of the
          unit. Use it if the source often agrees with the target's present; the other methods then
          miss what the source adds. It is right if the source or the unit has no memory beyond the
          histories.
        - "chi2" needs no surrogates: ``2 N T`` (nats) follows a chi-square law with as many degrees
          of freedom as the values that target and source take beside each past leave (with
          Williams' factor). It is right if the source or the unit has no memory beyond the
          histories and there are some 30 transitions for every cell that can occur. It needs SciPy.
    surrogates : int, optional
        The number of surrogates. The least p-value is ``1 / (surrogates + 1)``. Default:
        ``max(200, U / alpha)``, which can find one unit among U; or 200 if that would take too
        long. If there are fewer different surrogates, all of them are taken: a series of T steps
        can be turned in ``T - 1`` ways.
    seed : int, default 0
        Surrogate i depends on `seed` and i alone, not on the number of threads.
    {alpha}
    {target_history, source_history, delay, target_step, source_step, joint}
    {binning, h_range, y_range, lengths, mask, layout, nan_policy, base, backend, threads}
    progress : callable, optional
        ``progress(done, surrogates)`` is called after every batch of surrogates. Default: a bar of
        tqdm for long jobs, if it is installed and standard error is a terminal.
    measure : str or tefast.measures.Measure, default "transfer_entropy"
        One of `tefast.measures.NAMED` by its name, or a definition. It must say what steps of the
        source tell of one step of a unit, alone or beyond other steps of it. The result's `te`
        holds it, whichever it is.

    Returns
    -------
    Significance

    Raises
    ------
    {errors}
    ImportError
        If `method` is "chi2" and SciPy is not installed.

    Warns
    -----
    RuntimeWarning
        If the method assumes independent steps, and both the source and a unit have memory beyond
        the histories. If "chi2" has few transitions. If units exceed all surrogates, but these are
        too few for any q below `alpha`.

    Notes
    -----
    ``p = (1 + number of surrogates with as much or more) / (1 + surrogates)``. The target is binned
    once for as many surrogates as take 64 MB, and each surrogate costs one pass of counting. A
    surrogate of "conditional" is one random order of all transitions, which all units share. For
    each unit, the transitions with the same past form a group. Within a group, the source's states
    are handed out anew, one after the other, to the transitions in the random order (the local
    permutation of J. Runge, AISTATS 2018, for discrete values).

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
    defined = measures.find(measure)
    embedding = defined.embedding(target_history, source_history, delay, target_step, source_step)
    check_tested(defined, embedding)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known are {', '.join(map(repr, METHODS))}")
    count = None if surrogates is None else check_positive(surrogates, "surrogates")
    root, level = check_not_negative(seed, "seed"), check_alpha(alpha)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    if method == "chi2":
        import_scipy()
    inputs = evaluation.read(
        defined, embedding, options, {"h": h, "y": y}, {"h": h_range, "y": y_range},
        lengths=lengths, mask=mask, layout=layout, joint=joint,
        window=embedding.transition if defined is TRANSFER_ENTROPY else None,
    )  # fmt: skip
    target = inputs.target
    if method == "trials" and target.array.shape[0] < 2:
        raise ValueError(
            "method='trials' exchanges the sources of sequences, and there is one sequence alone; "
            "use 'circular' or 'shuffle'"
        )
    found = _test(inputs, Source(inputs, embedding, method, defined), count, root, level, progress)
    return replace(found, **{name: target.wrap(getattr(found, name)) for name in FIELDS})


def _test(
    inputs: Inputs,
    source: Source,
    count: int | None,
    seed: int,
    alpha: float,
    progress: Progress | None,
) -> Significance:
    options, units = inputs.options, inputs.target.array.shape[2]
    found = Estimate.of(source.measure, inputs.binned().tables(source.counted), units)
    if np.isnan(found.te).all():
        evaluation.raise_nothing_left()
    if source.method in WITHOUT_MEMORY:
        warn_of_memory(source)
    told = {"method": source.method, "alpha": alpha}
    if source.method == "chi2":
        found.warn_of_few()
        return found.against(found.chi_square(), options.base, **told)
    each = _seconds_each(source, units)
    count = int(min(_chosen(units, alpha, each) if count is None else count, source.ways - 1))
    nulls = Nulls(found.te)
    with ExitStack() as stack:
        watch: Progress | None = progress
        if watch is None:
            bar = stack.enter_context(Bar("surrogates", after=BAR_AFTER))
            watch = bar if bar.can_show else None
        # Fewer at a time would lose what many have in common, but for windows, which have nothing.
        fewest = 1 if source.rate == "windows" else 16
        at_once = count if watch is None else max(fewest, math.ceil(PIECE / each))
        for some in source.surrogates(count, seed, at_once):
            nulls.add(some)
            if watch is not None:
                watch(nulls.count, count)
    null = nulls.result()
    reason = too_few(null[0], count, alpha, source.ways)
    if reason is not None:
        warn(f"method={source.method!r}: {reason}")
    return found.against(null, options.base, surrogates=count, **told)


def _seconds_each(source: Source, units: int) -> float:
    """What a surrogate takes, about: one thread, which draws it and counts it for all units."""
    return 5e-5 + source.transitions * (3e-8 + units / RATES[source.rate])


def _chosen(units: int, alpha: float, each: float) -> int:
    """How many surrogates, where each takes so many seconds."""
    wanted = max(LEAST, math.ceil(units / alpha))
    return wanted if wanted * each <= PATIENCE else LEAST


class Nulls:
    """What is kept of surrogates' transfer entropies: how many reached `te`, mean and variance.

    Parameters
    ----------
    te : ndarray, shape (U,)
        In nats.
    """

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
