"""Pairs of series held against chance, the best of several delays against the best by chance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from tefast._counting.inputs import Inputs
from tefast._counting.pairs import CODE_BYTES, MOVED_BYTES, PairCounter, Pairs, Tile
from tefast._inputs.values import Values
from tefast._significance import persistence
from tefast._significance.chi_square import Estimate
from tefast._significance.drawing import Source, shuffled
from tefast._significance.significance import WITHOUT_MEMORY, Nulls
from tefast._support.warn import warn
from tefast.measures import TRANSFER_ENTROPY

METHODS = ("chi2", "circular", "trials", "shuffle", "conditional")
"""Those of `tefast.significance` but "auto", since one method is for all pairs."""
LOOKED_AT = 8
"""Sources, and targets of each, that are looked at before a test; both are evenly spaced."""
AT_ONCE = 64
"""Surrogates of a source that are counted together: as many as a block of products has rows, or
fewer of long series."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairTest:
    """How pairs are tested.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    surrogates, seed : int
        Those of `tefast.significance`.
    ways : float
        What `fewest_ways` said.
    """

    method: str
    surrogates: int
    seed: int
    ways: float = math.inf

    @property
    def drawn(self) -> int:
        """How many surrogates are drawn of the source that has the fewest; 0 for "chi2"."""
        return 0 if self.method == "chi2" else int(min(self.surrogates, self.ways - 1))


def fewest_ways(work: Pairs, test: PairTest) -> float:
    """How many different surrogates the source with the fewest has, itself among them.

    Raises
    ------
    ValueError
        If a source cannot be tested in this way.
    """
    if test.method not in ("circular", "trials"):
        return math.inf
    # Without gaps what can be exchanged or turned is the same for all.
    numbers = range(len(work.sources)) if work.inputs.options.omit else (0,)
    try:
        return min(_ways(_sources(work, i, slice(0, 1), test)) for i in numbers)
    except ValueError as error:
        raise ValueError(str(error).replace("method=", "significance=")) from None


def warn_of_doubts(work: Pairs, test: PairTest, names: Sequence[object]) -> None:
    """Say where some pairs that are looked at do not have what the test takes for granted."""
    numbers = persistence.looked_at(len(work.sources), LOOKED_AT)
    if test.method in WITHOUT_MEMORY:
        _warn_of_memory(work, numbers, test, names)
    if test.method != "chi2":
        return
    counter, targets = PairCounter(work), work.tiles()[0].targets
    for number in numbers:
        source = int(work.sources[number])
        tables = counter.tables_of(number, work.delays[0], targets)
        estimate = Estimate.of(TRANSFER_ENTROPY, tables, targets.stop - targets.start)
        if targets.start <= source < targets.stop:
            estimate.freedom[source - targets.start] = 0
        doubt = estimate.doubt()
        if doubt is not None:
            warn(f"significance='chi2', source {names[source]}: it {doubt}")
            return


def _warn_of_memory(
    work: Pairs, numbers: Sequence[int], test: PairTest, names: Sequence[object]
) -> None:
    rates: dict[tuple[int, int], float] = {}
    pairs = 0
    for number in numbers:
        source = int(work.sources[number])
        targets = persistence.looked_at(work.units, LOOKED_AT)
        some = [u for u in targets if u != source]
        (first, *_) = _sources(work, number, slice(0, work.units), test)
        found = persistence.rates_of_false(first, some)
        rates |= {(source, u): rate for u, rate in found.items()}
        pairs += len(some)
    if rates:
        source, target = worst = max(rates, key=lambda pair: rates[pair])
        warn(
            f"significance={test.method!r} takes steps for independent, but {len(rates)} of "
            f"{pairs} pairs looked at have memory beyond the histories: of pairs like "
            f"{names[source]} -> {names[target]} that are not coupled, some "
            f"{100 * rates[worst]:.0f} % have p below 0.05. Use 'trials' or 'circular', which keep "
            "the sources' memory"
        )


def _sources(work: Pairs, number: int, targets: slice, test: PairTest) -> Iterator[Source]:
    """A source beside some targets, at each delay.

    A source that is turned by less than the delays span has, at another delay, what it had before:
    a coupling would be held against itself. All turns are as far apart as that, so that each
    of them, and the source as it is, could as well have been any other of them by chance.
    """
    inputs, apart = beside(work, number, targets), work.delays[-1] - work.delays[0] + 1
    for number_of, delay in enumerate(work.delays):
        # With the same random numbers, permutations of nearly as many states are nearly the same.
        stream = (number_of,) if number_of else ()
        yield Source(inputs, work.at(delay), test.method, apart=apart, stream=stream)


def _ways(sources: Iterable[Source]) -> float:
    """How many different surrogates a source has at every delay."""
    return min((source.ways for source in sources if source.transitions), default=math.inf)


def tested(counter: PairCounter, tile: Tile, best: Floats, test: PairTest) -> Iterator[Floats]:
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
    counter: PairCounter, number: int, targets: slice, te: Floats, test: PairTest
) -> Floats:
    with_any = (s for s in _sources(counter.work, number, targets, test) if s.transitions)
    # A turned series is the same at every delay.
    each = list(islice(with_any, 1 if test.method == "circular" else None))
    if not each:
        return np.full((3, len(te)), np.nan)
    count = int(min(test.surrogates, _ways(each) - 1))
    nulls = Nulls(te)
    work = counter.work
    room = min(CODE_BYTES // (2 * work.steps), MOVED_BYTES // work.moved_bytes)
    at_once = max(1, min(AT_ONCE, room))
    for first in range(0, count, at_once):
        some = range(first, min(first + at_once, count))
        nulls.add(_best_of(counter, each, targets, test, some))
    return np.stack(nulls.result())


def _best_of(
    counter: PairCounter, each: Sequence[Source], targets: slice, test: PairTest, some: range
) -> Floats:
    """The highest transfer entropy over all delays (surrogates, U), in nats."""
    best = np.full((len(some), targets.stop - targets.start), np.nan)
    if test.method == "circular":
        turned = np.stack([each[0].turned(test.seed, i).astype(np.int16) for i in some], axis=2)
        for scores in counter.of_series(turned, targets):
            best = np.fmax(best, scores)
        return best
    if test.method == "shuffle":
        for drawn in zip(*(shuffled(each, test.seed, i) for i in some), strict=True):
            best = np.fmax(best, counter.of_drawn(drawn, targets))
        return best
    for source in each:
        if source.method == "conditional":
            scores = source.exchanged(test.seed, some)
        else:
            scores = counter.of_drawn([source.beside(test.seed, i) for i in some], targets)
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
