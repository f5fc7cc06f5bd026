"""Transfer entropy between all pairs of series."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._backends.build import build_info
from tefast._counting import evaluation
from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._counting.pairs import PairCounter, Pairs, Tile
from tefast._inputs import values
from tefast._inputs.kinds import PAIRED, unit_names
from tefast._inputs.values import Values
from tefast._significance.chi_square import import_scipy
from tefast._significance.pairs import METHODS, PairTest, fewest_ways, tested, warn_of_doubts
from tefast._significance.result import benjamini_hochberg, check_alpha, too_few
from tefast._support.memory import memory_limit
from tefast._support.parameters import documented
from tefast._support.progress import Bar, Progress
from tefast._support.tiles import TiledResults
from tefast._support.warn import warn
from tefast._tables import entropies
from tefast._tables.states import Embedding, check_not_negative, check_positive
from tefast.networks import NO_DELAY, Network
from tefast.typing import BackendName, Bias, BinningOfOne, NanPolicy

BAR_AFTER = 2.0
"""Seconds before a bar is shown."""

Floats = npt.NDArray[np.float64]


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
    sources : sequence of int or of names, optional
        Which series are sources. Default: all.
    delays : int or sequence of int, default 1
        d, the steps from the last step of the source to the next step of the target; 0 or more.
        With several, each pair has the highest value over all of them.
    {target_history, source_history, target_step, source_step}
    binning : {"uniform", "quantile", "symbols"}, array_like or Binning, default "uniform"
        How values become codes; see `tefast.transfer_entropy`.
    {x_range, lengths, mask:pairs, layout:pairs, nan_policy, bias, base}
    significance : {"chi2", "circular", "trials", "shuffle", "conditional"}, optional
        What every pair is held against; see `tefast.significance`, which says when each of them is
        right. Default: nothing is tested. The best of several delays is held against the best of
        the same delays of each surrogate; "circular" turns a single sequence by multiples of the
        span of the delays. For "chi2" p at the best of D delays counts as ``1 - (1 - p)**D``.
    surrogates : int, default 200
        Surrogates of each source, at most as many as there are.
    seed : int, default 0
        Surrogate i of a source depends on `seed` and i alone.
    {alpha:pairs}
    by_delay : bool, default False
        Keep transfer entropy at every delay.
    {backend, threads}
    out : ndarray of float64, shape (S, U), optional
        An array that gets `te`, such as one that is mapped from a file.
    checkpoint : str or Path, optional
        A folder for the results as files that are mapped into memory. Stopped anywhere, the same
        call goes on with what is there.
    progress : callable, optional
        ``progress(done, pairs)`` is called after every tile. Default: a bar of tqdm for long jobs,
        if it is installed and standard error is a terminal.

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
    (np.float64(1.0), np.int64(3))
    """
    lags = _check_delays(delays)
    embedding = Embedding.check(target_history, source_history, max(lags), target_step, source_step)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    options = replace(options, binning={PAIRED: options.binning["h"]})
    correction = entropies.check_bias(bias)
    test = _check_test(significance, surrogates, seed)
    level = check_alpha(alpha)
    target = values.paired(x, layout)
    if target.array.shape[2] < 2:
        raise ValueError(
            f"{PAIRED} must hold two series or more, got one: {target.name} {target.reading}"
        )
    embedding.check_steps(target)
    names = _names(target)
    numbers = _numbers(sources, names)
    shape = len(numbers), target.array.shape[2]
    shapes = _shapes(shape, lags, test, bool(by_delay))
    given = _check_room(shapes, out, checkpoint)
    inputs = Inputs.check(options, target, [], lengths, {PAIRED: x_range}, mask)
    inputs.learned(inputs.target)
    base_embedding = replace(embedding, delay=lags[0])
    work = Pairs(inputs, base_embedding, lags, numbers, str(build_info()["instruction_set"]))
    if test is not None:
        test = replace(test, ways=fewest_ways(work, test))
        warn_of_doubts(work, test, names)
    results = TiledResults(
        shapes, given, None if checkpoint is None else Path(checkpoint),
        _settings(work, correction, test) if checkpoint is not None else {},
    )  # fmt: skip
    results.ready()
    _fill(results, work, correction, test, progress)
    return _network(results, work, names, test, level)


def _fill(
    results: TiledResults,
    work: Pairs,
    bias: str | None,
    test: PairTest | None,
    progress: Progress | None,
) -> None:
    """Measure every tile that is not done."""
    tiles, counter = work.tiles(), PairCounter(work)
    sizes = [_pairs_of(tile) for tile in tiles]
    total = sum(sizes)
    done = sum(size for i, size in enumerate(sizes) if i in results.done)
    with ExitStack() as stack:
        watch = progress or stack.enter_context(Bar("pairs", after=BAR_AFTER))
        for i, tile in enumerate(tiles):
            if i in results.done:
                continue
            found = measured(counter, tile, bias, test, by_delay="te_by_delay" in results.arrays)
            results.put(i, (tile.sources, tile.targets), found)
            done += sizes[i]
            watch(done, total)


def measured(
    counter: PairCounter, tile: Tile, bias: str | None, test: PairTest | None, *, by_delay: bool
) -> dict[str, npt.NDArray[Any]]:
    """All that is asked of the pairs of a tile, by the names of the fields of `Network`."""
    work = counter.work
    delays = np.array(work.delays)
    scores = list(counter.scores(tile, bias))
    itself = work.sources[tile.sources, np.newaxis] == np.arange(
        tile.targets.start, tile.targets.stop
    )
    nats, at, best = _best(scores)
    unit = math.log(work.inputs.options.base)
    found: dict[str, npt.NDArray[Any]] = {"te": best / unit}
    found["delay"] = np.where(itself, NO_DELAY, delays[at])
    if len(delays) > 1:
        found["coincidence"] = _coincidence(nats, delays, at)
    if by_delay:
        found["te_by_delay"] = nats / unit
    if test is not None:
        p, mean, deviation = np.stack(list(tested(counter, tile, best, test)), axis=1)
        found["p_value"] = np.where(np.isnan(best), np.nan, p)
        found["null_mean"], found["null_std"] = mean / unit, deviation / unit
        found["effective_te"] = (best - mean) / unit
    for matrix in found.values():
        if matrix.dtype.kind == "f":
            matrix[..., itself] = np.nan
    return found


def _best(scores: Sequence[Floats]) -> tuple[Floats, npt.NDArray[Any], Floats]:
    """All scores (D, S, U), where the highest over delays is, the first of equal ones, and it."""
    if len(scores) == 1:
        return scores[0][np.newaxis], np.zeros(scores[0].shape, np.intp), scores[0]
    nats = np.stack(scores)
    at = np.where(np.isnan(nats), -np.inf, nats).argmax(axis=0)
    return nats, at, np.take_along_axis(nats, at[np.newaxis], axis=0)[0]


def _coincidence(nats: Floats, delays: npt.NDArray[Any], at: npt.NDArray[Any]) -> Floats:
    """The share of all delays' transfer entropy (D, S, U) at the best one and a step beside it."""
    near = np.abs(delays[:, np.newaxis, np.newaxis] - delays[at]) <= 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((nats * near).sum(axis=0) / nats.sum(axis=0))


def _network(
    results: TiledResults,
    work: Pairs,
    names: tuple[Any, ...],
    test: PairTest | None,
    alpha: float,
) -> Network:
    arrays = dict(results.arrays)
    if bool(np.isnan(arrays["te"]).all()):
        evaluation.raise_nothing_left()
    if test is not None:
        arrays["q_value"] = benjamini_hochberg(arrays["p_value"])
        _warn_of_few(arrays["p_value"], test, alpha)
    return Network(
        names=names,
        source_names=tuple(names[i] for i in work.sources.tolist()),
        delays=work.delays,
        method=None if test is None else test.method,
        surrogates=0 if test is None else test.drawn,
        alpha=alpha,
        base=work.inputs.options.base,
        **arrays,
    )


def _warn_of_few(p: Floats, test: PairTest, alpha: float) -> None:
    if test.method == "chi2":
        return
    reason = too_few(p, test.drawn, alpha, test.ways, "pairs")
    if reason is not None:
        warn(f"significance={test.method!r}: {reason}")


def _pairs_of(tile: Tile) -> int:
    sources, targets = tile.sources, tile.targets
    return int((sources.stop - sources.start) * (targets.stop - targets.start))


def _check_delays(delays: Any) -> tuple[int, ...]:
    several = [delays] if np.ndim(delays) == 0 else list(delays)
    found = [check_not_negative(each, "delays") for each in several]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"delays must be one or more different integers, got {several}")
    return tuple(sorted(found))


def _check_test(method: Any, surrogates: Any, seed: Any) -> PairTest | None:
    count, root = check_positive(surrogates, "surrogates"), check_not_negative(seed, "seed")
    if method is None:
        return None
    if method not in METHODS:
        known = ", ".join(map(repr, METHODS))
        raise ValueError(f"unknown significance {method!r}; known are {known}, and None")
    if method == "chi2":
        import_scipy()
    return PairTest(method, count, root)


def _names(target: Values) -> tuple[Any, ...]:
    units = target.array.shape[2]
    found = unit_names(target.wrap(np.zeros(units)))
    return tuple(range(units)) if found is None else tuple(found)


def _numbers(sources: Any, names: tuple[Any, ...]) -> npt.NDArray[np.int64]:
    """The numbers of the series that are sources, which may be given by names."""
    if sources is None:
        return np.arange(len(names))
    if isinstance(sources, str) or np.ndim(sources) != 1:
        raise TypeError(f"sources must be a sequence of series, got {sources!r}")
    place = {name: i for i, name in enumerate(names)}
    numbers = []
    for source in np.asarray(sources, dtype=object).tolist():
        number = place.get(source, source)
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise ValueError(f"sources: {source!r} is no series; known are {_few(names)}")
        number = int(number.__index__())
        if not -len(names) <= number < len(names):
            raise ValueError(f"sources: there is no series {source!r} among {len(names)}")
        numbers.append(number % len(names))
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"sources must be one or more different series, got {list(sources)}")
    return np.array(numbers)


def _few(names: tuple[Any, ...]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown}, ... ({len(names)} of them)"


def _shapes(
    shape: tuple[int, int], delays: tuple[int, ...], test: PairTest | None, by_delay: bool
) -> dict[str, tuple[tuple[int, ...], Any]]:
    floats, integers = np.dtype(np.float64), np.dtype(np.int64)
    found: dict[str, tuple[tuple[int, ...], Any]] = {
        "te": (shape, floats),
        "delay": (shape, integers),
    }
    several = [
        *(["coincidence"] if len(delays) > 1 else []),
        *(["p_value", "null_mean", "null_std", "effective_te"] if test is not None else []),
    ]
    found |= dict.fromkeys(several, (shape, floats))
    if by_delay:
        found["te_by_delay"] = ((len(delays), *shape), floats)
    return found


def _check_room(
    shapes: dict[str, tuple[tuple[int, ...], Any]], out: Any, checkpoint: Any
) -> dict[str, npt.NDArray[Any]]:
    """Arrays of the caller's by name; raise where those that are to be made are beyond memory."""
    given = {} if out is None else {"te": _check_out(out, shapes["te"][0])}
    needed = sum(8 * math.prod(shape) for name, (shape, _) in shapes.items() if name not in given)
    limit = memory_limit()
    if checkpoint is None and needed > limit:
        raise ValueError(
            f"the result takes {needed / 2**30:.1f} GiB, more than the {limit / 2**30:.1f} GiB of "
            "memory here; pass checkpoint=, a folder in which it is kept in files, or fewer sources"
        )
    return given


def _check_out(out: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if not isinstance(out, np.ndarray) or out.dtype != np.float64 or not out.flags.writeable:
        got = f"{out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"out must be an array of float64 that can be written to, got {got}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    return out


def _settings(work: Pairs, bias: str | None, test: PairTest | None) -> dict[str, Any]:
    """What the results of a checkpoint depend on."""
    inputs, embedding = work.inputs, work.embedding
    digest = hashlib.blake2b(digest_size=16)
    sequences, steps, units = inputs.target.array.shape
    for u in range(units):
        digest.update(inputs.binned().units(slice(u, u + 1)).codes().tobytes())
    return {
        "shape": [sequences, steps, units],
        "codes": digest.hexdigest(),
        "bins": inputs.bins,
        "sources": hashlib.blake2b(work.sources.tobytes(), digest_size=16).hexdigest(),
        "delays": list(work.delays),
        "histories": [
            embedding.target_history, embedding.source_history,
            embedding.target_step, embedding.source_step,
        ],
        "bias": bias,
        "base": inputs.options.base,
        "test": None if test is None else [test.method, test.surrogates, test.seed],
        "tiles": len(work.tiles()),
    }  # fmt: skip
