"""Pairs of series held against chance, the best of several delays against the best by chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tefast._counting.inputs import Inputs
from tefast._counting.pairs import PairCounter, Pairs, Tile
from tefast._inputs.values import Values
from tefast._significance.chi_square import Estimate
from tefast._significance.drawing import Source
from tefast._significance.significance import Nulls
from tefast._tables.states import JointState
from tefast.measures import TRANSFER_ENTROPY

METHODS = ("chi2", "circular", "trials", "shuffle", "conditional")
"""Those of `tefast.significance` but "auto", since one method is for all pairs."""
AT_ONCE = 64
"""Surrogates of a source that are counted together: as many as a block of products has rows."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Test:
    """How pairs are tested.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    surrogates, seed : int
        Those of `tefast.significance`.
    """

    method: str
    surrogates: int
    seed: int


def tested(counter: PairCounter, tile: Tile, best: Floats, test: Test) -> Iterator[Floats]:
    """For each source of a tile p, mean and standard deviation (3, U) of what chance gives.

    Parameters
    ----------
    best : ndarray, shape (S, U)
        The highest transfer entropy over all delays, in nats.
    """
    numbers = range(tile.sources.start, tile.sources.stop)
    for number, te in zip(numbers, best, strict=True):
        if test.method == "chi2":
            yield _chi_square(counter, number, tile.targets)
        else:
            yield _surrogates(counter, number, tile.targets, te, test)


def _chi_square(counter: PairCounter, number: int, targets: slice) -> Floats:
    """By the chi-square law at the best delay; p for the number of delays by Šidák's formula.

    That is exact for delays that are independent of each other, and too high for others.
    """
    work = counter.work
    units = targets.stop - targets.start
    found = np.full((len(work.delays), 4, units), np.nan)
    for row, delay in zip(found, work.delays, strict=True):
        tables = counter.tables_of(number, delay, targets)
        estimate = Estimate.of(TRANSFER_ENTROPY, tables, units)
        row[0], row[1:] = estimate.te, estimate.chi_square()
    at = np.where(np.isnan(found[:, 0]), -np.inf, found[:, 0]).argmax(axis=0)
    chosen = np.take_along_axis(found, at[np.newaxis, np.newaxis], axis=0)[0, 1:]
    if len(work.delays) > 1:
        most = np.minimum(chosen[0], 1 - 2**-53)
        chosen[0] = -np.expm1(len(work.delays) * np.log1p(-most))
    return chosen


def _surrogates(
    counter: PairCounter, number: int, targets: slice, te: Floats, test: Test
) -> Floats:
    inputs = beside(counter.work, number, targets)
    each = [Source(inputs, counter.work.at(delay), test.method) for delay in counter.work.delays]
    count = int(min(test.surrogates, min(source.ways for source in each) - 1))
    nulls = Nulls(te)
    for first in range(0, count, AT_ONCE):
        some = range(first, min(first + AT_ONCE, count))
        nulls.add(_best_of(counter, each, targets, test.seed, some))
    return np.stack(nulls.result())


def _best_of(
    counter: PairCounter, each: Sequence[Source], targets: slice, seed: int, some: range
) -> Floats:
    """The highest transfer entropy over all delays (surrogates, U), in nats."""
    best = np.full((len(some), targets.stop - targets.start), -np.inf)
    for source in each:
        if source.method == "conditional":
            scores = source.exchanged(seed, some)
        else:
            drawn: list[JointState] = [source.beside(seed, i) for i in some]
            scores = counter.of_drawn(drawn, targets)
        best = np.fmax(best, scores)
    return best


def beside(work: Pairs, number: int, targets: slice) -> Inputs:
    """Some targets, and beside them the source of this number."""
    inputs, i = work.inputs, int(work.sources[number])
    binning = inputs.learned(inputs.target)
    series: Values = replace(inputs.target.units(i, i + 1), role="y")
    known = {
        "y": binning.units(i, i + 1),
        inputs.target.role: binning.units(targets.start, targets.stop),
    }
    part = inputs.target.units(targets.start, targets.stop)
    ranges = {inputs.target.role: None, "y": None}
    return Inputs(inputs.options, part, [series], inputs.lengths, ranges, known)
