"""Evaluation: from checked inputs to scores, by the way that is shortest for what is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._backends.inputs import ONE_STEP, StepWindows
from tefast._counting.at_once import AtOnce
from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._counting.windows import Windows
from tefast._inputs import values
from tefast._tables import entropies
from tefast._tables.counts import Dense
from tefast._tables.entropies import Scores
from tefast._tables.states import Embedding, check_steps
from tefast._tables.types import MISSING
from tefast.binning import MAX_BINS
from tefast.measures import ENTROPY, TRANSFER_ENTROPY, Measure


def read(
    measure: Measure,
    embedding: Embedding,
    options: Options,
    given: Mapping[str, Any],
    ranges: Mapping[str, Any],
    *,
    lengths: Any = None,
    mask: Any = None,
    layout: Any = None,
    joint: Any = False,
    window: str | None = None,
) -> Inputs:
    """What was given for each role that a measure has, checked; `window` names one in messages."""
    target, others = values.take_all(given, layout, joint, values.alone)
    check_steps(target, measure.reach(embedding) + 1, window or measure.window(embedding))
    return Inputs.check(options, target, others, lengths, ranges, mask)


def evaluated(
    measure: Measure,
    embedding: Embedding,
    options: Options,
    given: Mapping[str, Any],
    ranges: Mapping[str, Any],
    *,
    bias: Any = None,
    **told: Any,
) -> Any:
    """A measure of what was given for each role, in the caller's kind: see `read`."""
    bias = entropies.check_bias(bias)
    inputs = read(measure, embedding, options, given, ranges, **told)
    return inputs.target.wrap(scores(measure, inputs, embedding, bias))


def scores(measure: Measure, inputs: Inputs, embedding: Embedding, bias: str | None) -> Any:
    """A measure (U,) in units of the base."""
    if bias is None and measure is ENTROPY:
        found = entropies.entropy(inputs.binned().value_counts(), inputs.options.base)
        if np.isnan(found).all():
            raise ValueError("no value is left to count: every one lies past `lengths` or is NaN")
        return found
    if bias is None and measure is TRANSFER_ENTROPY and _is_of_one_step(inputs, embedding):
        return of_steps(inputs) / math.log(inputs.options.base)
    counted = inputs.windows(measure, embedding)
    if bias is None:
        way = at_once(inputs, measure, counted)
        if way is not None:
            nats = scored_at_once(inputs, way, [counted])[0]
            if not bool((nats == nats).any()):
                raise_nothing_left()
            return nats / math.log(inputs.options.base)
    return of_windows(inputs, counted, [measure], bias)[0]


def _is_of_one_step(inputs: Inputs, embedding: Embedding) -> bool:
    """Whether it is transfer entropy in its shortest form, as `of_steps` measures it."""
    one, size = inputs.others[0].array.shape[2] == 1, inputs.symbols["y"]
    return embedding == Embedding() and one and inputs.bins == size <= MAX_BINS


def at_once(inputs: Inputs, measure: Measure, counted: Windows) -> AtOnce | None:
    """How the kernels of single steps score such windows, if they do."""
    most = inputs.options.backend.LONG_PASTS
    way = AtOnce.of(measure, counted, most or MAX_BINS**2)
    plain = way is not None and way.windows == ONE_STEP and measure is TRANSFER_ENTROPY
    return way if most or plain else None


def scored_at_once(inputs: Inputs, way: AtOnce, several: Iterable[Windows]) -> Any:
    """A measure in nats (S, U) of windows that differ in their shared states alone."""
    sequences, steps, _ = inputs.target.array.shape
    codes, size = [], 1
    for each in several:
        state = way.state(each, sequences, steps)
        codes.append(state.codes.astype(np.int16))
        size = state.size
    return of_states(inputs, np.stack(codes), size, way.windows)


def of_steps(inputs: Inputs) -> Any:
    """Transfer entropy in nats (U,) from one step of the source over one step: the fastest way."""
    options, target, (source,) = inputs.options, inputs.target, inputs.others
    found = options.backend.transfer_entropy(
        inputs.unscanned(target), inputs.unscanned(source), options.omit, options.threads
    )
    if not found.clean:
        inputs.scan(target)
        inputs.scan(source)
    if not found.counted:
        raise_nothing_left()
    return found.nats


def of_states(inputs: Inputs, states: npt.NDArray[Any], size: int, windows: StepWindows) -> Any:
    """Transfer entropies in nats (S, U) from states (S, N, T) where transitions start.

    Or what else is measured of such windows. size: how many states there are, no more than
    `tefast._counting.windows.MOST_STATES`.
    """
    options, target = inputs.options, inputs.target
    given = np.ascontiguousarray(states, dtype=np.int16)
    early = max(windows.back, default=0)
    if (given[:, :, :early] != MISSING).any():
        given = given.copy() if given is states else given
        given[:, :, :early] = MISSING  # the past would begin before the first step
    nats, clean = options.backend.transfer_entropies(
        inputs.unscanned(target), given, size, options.omit, options.threads, windows
    )
    if not clean:
        inputs.scan(target)
    return nats


def takes_past(inputs: Inputs, embedding: Embedding) -> bool:
    """Whether the kernels of single steps take the target's past."""
    moves = inputs.bins ** (embedding.target_history + 1)
    return inputs.bins <= MAX_BINS and (
        embedding.target_history == 1 or moves <= inputs.options.backend.LONG_PASTS
    )


def of_windows(
    inputs: Inputs, counted: Windows, several: Sequence[Measure], bias: str | None
) -> Scores:
    """Several measures of the same counts, (measures, U), in units of the base."""
    found = np.empty((len(several), inputs.target.array.shape[2]))
    for some, table in inputs.binned().tables(counted):
        for row, measure in zip(found, several, strict=True):
            sums = measure.sums(table, bias == "grassberger")
            row[some] = entropies.mean(sums, table.total, inputs.options.base, bias)
    if np.isnan(found).all():
        raise_nothing_left()
    return found


def count(measure: Measure, inputs: Inputs, embedding: Embedding, counts: Any) -> None:
    """Add all windows to counts (U, ...) with the axes as they are kept, where the backend is."""
    if measure is ENTROPY:
        counts += inputs.options.backend.table(inputs.binned().value_counts(), inputs.target)
    else:
        inputs.binned().add(inputs.windows(measure, embedding), counts)


def of_counts(measure: Measure, options: Options, counts: Any, bias: str | None) -> Any:
    """A measure (U,) in units of the base, from counts (U, ...) with the axes as they are kept."""
    if bias is None and measure is ENTROPY:
        return entropies.entropy(values.to_numpy(counts), options.base)
    # The kernel's own sum, for one step of past.
    if bias is None and measure is TRANSFER_ENTROPY and counts.shape[1] == counts.shape[2]:
        nats = options.backend_of(counts).score_counts(counts, options.threads)
        return nats / math.log(options.base)
    return summed(measure, options, counts, bias)


def summed(measure: Measure, options: Options, counts: Any, bias: str | None) -> Scores:
    """The same by sums that are exact in any order, as `of_windows` makes them."""
    dense = Dense(values.to_numpy(counts), measure.kept)
    sums = measure.sums(dense, bias == "grassberger")
    return entropies.mean(sums, dense.total, options.base, bias)


def normalized(te: Scores, rate: Scores) -> Scores:
    """Transfer entropy over the entropy rate; 0 where the entropy rate is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(rate > 0, te / rate, te * 0.0)


def raise_nothing_left() -> None:
    """Raise the ValueError for data in which nothing can be counted."""
    raise ValueError(
        "no transition is left to count: every one lies past `lengths` or touches a NaN"
    )
