"""Transfer entropy between all pairs of series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tefast._backends.build import build_info
from tefast._counting.inputs import Inputs
from tefast._counting.pairs import PairCounter, Pairs, Tile
from tefast._inputs import values
from tefast._inputs.kinds import PAIRED
from tefast._pairing.asked import Asked
from tefast._pairing.measuring import code_settings, measured
from tefast._pairing.plan import Found, Plan
from tefast._significance.pairs import fewest_ways, warn_of_doubts
from tefast._support.parameters import documented
from tefast._support.progress import Progress
from tefast.networks import Network
from tefast.typing import BackendName, Bias, BinningOfOne, NanPolicy


@documented
def pairwise_transfer_entropy(
    x: Any,
    bins: int = 16,
    *,
    sources: Any = None,
    delays: int | Sequence[int] = 1,
    target_history: int = 1,
    source_history: int = 1,
    target_step: int = 1,
    source_step: int = 1,
    binning: BinningOfOne = "uniform",
    x_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    significance: str | None = None,
    surrogates: int = 200,
    seed: int = 0,
    alpha: float = 0.05,
    by_delay: bool = False,
    backend: BackendName = "auto",
    threads: int | None = None,
    out: Any = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> Network:
    """Transfer entropy from every series to every other one, at one delay or the best of several.

    Each value is, to the last bit, what ``transfer_entropy(x, x[..., s])`` gives for the source s
    and the target u.

    Parameters
    ----------
    {x, bins}
    {sources:pairs, delays:pairs}
    {target_history, source_history, target_step, source_step, binning:pairs}
    {x_range, lengths, mask:pairs, layout:pairs, nan_policy, bias, base}
    {significance:pairs, surrogates:pairs, seed:pairs, alpha:pairs, by_delay:pairs}
    {backend, threads, out:pairs, checkpoint:pairs, progress:pairs}

    Returns
    -------
    Network

    Raises
    ------
    {errors}
        Also if there are fewer than two series, if the result is beyond memory and neither `out`
        nor `checkpoint` is given, or if a source is unknown.
    ImportError
        If `significance` is "chi2" and SciPy is not installed.

    Notes
    -----
    Of few symbols the counts of a pair are products of rows of bits, hundreds of steps at a time;
    of many they are made one by one. Which way takes less time follows from the number of symbols,
    the histories and the steps; the result is the same.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> x = np.random.default_rng(0).integers(0, 2, (5000, 4))
    >>> x[3:, 2] = x[:-3, 0]                       # series 2 copies series 0 three steps later
    >>> found = tefast.pairwise_transfer_entropy(x, bins=2, delays=range(1, 6))
    >>> found.te.round(1)[0, 2], found.delay[0, 2]
    (np.float64(1.0), np.int16(3))
    """
    asked = Asked.check(
        bins=bins, delays=delays, histories=(target_history, source_history),
        between=(target_step, source_step), binning=binning, nan_policy=nan_policy, bias=bias,
        base=base, significance=significance, surrogates=surrogates, seed=seed, alpha=alpha,
        by_delay=by_delay, backend=backend, threads=threads,
    )  # fmt: skip
    target = values.paired(x, layout)
    plan = Plan.check(asked, target, sources, out, checkpoint)
    inputs = Inputs.check(asked.options, target, [], lengths, {PAIRED: x_range}, mask)
    inputs.learned(inputs.target)
    level = str(build_info()["instruction_set"])
    work = Pairs(inputs, asked.embedding, asked.delays, plan.sources, level)
    test = asked.test
    if test is not None:
        test = replace(test, ways=fewest_ways(work, test))
        warn_of_doubts(work, test, plan.names)
    tiles = work.tiles(0 if test is None else test.drawn)
    results = plan.results(tiles, {} if checkpoint is None else code_settings(inputs))
    plan.fill(results, tiles, partial(_one_by_one, plan, work, tiles), progress)
    return plan.network(results, test)


def _one_by_one(
    plan: Plan, work: Pairs, tiles: list[Tile], numbers: list[int]
) -> Iterable[tuple[int, Found]]:
    """Measure tiles of these numbers."""
    counter = PairCounter(work)
    for i in numbers:
        yield i, measured(counter, tiles[i], plan.asked, plan.itself(tiles[i]))
