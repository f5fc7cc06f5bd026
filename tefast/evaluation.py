"""Evaluation: from checked inputs to scores, by the way that is shortest for what is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast import binning as binnings
from tefast import masks, measures, values, windows
from tefast.backends import Lengths, Steps
from tefast.binning import Binning
from tefast.counts import Dense, Table
from tefast.measures import Scores, Sums
from tefast.options import Options, check_scan
from tefast.states import Embedding, JointState, history, together
from tefast.values import Values
from tefast.windows import MOST_STATES, Windows

Measure = Callable[[Table, bool], Sums]
"""N times a measure, from a table, and whether logarithms are Grassberger's."""

Series = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Inputs:
    """Target and other series, checked, where the backend reads them.

    Attributes
    ----------
    options : Options
    target : Values
    others : list of Values
    lengths : ndarray of int64, shape (N,), or None
    ranges : dict
        Of each role, as (low, high), or None.
    """

    options: Options
    target: Values
    others: list[Values]
    lengths: Lengths
    ranges: dict[str, Any]
    _binnings: dict[str, Binning] = field(default_factory=dict)

    @classmethod
    def check(
        cls,
        options: Options,
        target: Values,
        others: list[Values],
        lengths: Any,
        ranges: Any,
        mask: Any = None,
    ) -> Inputs:
        """Raise ValueError or TypeError for what does not go together."""
        valid = values.sequence_lengths(lengths, target)
        counted = masks.check_mask(mask, target)
        given = [target, *others]
        binnings.check_combination(given, options.binning, ranges)
        columns = {each.role: each.array.shape[2] for each in given}
        limits = {
            role: binnings.check_range(given, role, columns[role]) for role, given in ranges.items()
        }
        known: dict[str, Binning] = {}
        if counted is not None:
            given = [_masked(options, data, counted, valid, known) for data in given]
            options = replace(options, omit=True)
        placed, first, *rest = options.placed(*given)
        return cls(placed, first, rest, valid, limits, known)

    @property
    def bins(self) -> int:
        """Number of bins, or of symbols."""
        return self.options.bins

    def learned(self, data: Values) -> Binning:
        """The bins of an input, which is scanned once; raise if it must not be counted."""
        if data.role not in self._binnings:
            limits = self.ranges[data.role]
            self._binnings[data.role] = self.options.learn(data, self.lengths, limits)
        return self._binnings[data.role]

    def known_or_learned(self, data: Values) -> Binning:
        """The same, but where the bins do not depend on the data these are not looked at."""
        known = self._binnings.get(data.role)
        known = known or self.options.known_binning(data, self.ranges[data.role])
        return known or self.learned(data)

    def codes(self, i: int = 0) -> Series:
        """Codes (N, T, columns) of another series than the target, in the host's memory."""
        data, options = self.others[i], self.options
        found = options.backend.encode(data, self.learned(data), self.lengths, options.threads)
        return np.asarray(values.to_numpy(found))


def _masked(
    options: Options, data: Values, mask: masks.Mask, lengths: Lengths, known: dict[str, Binning]
) -> Values:
    """An input without what is masked; raise if what is left must not be counted."""
    counts = mask.of(data)
    found = masks.scan_unmasked(data, counts, lengths, options.bins)
    check_scan(found, data, options.bins, options.omit)
    if data.is_symbols:
        known[data.role] = masks.half_way(options.bins)
    return masks.masked(data, counts)


def of_steps(inputs: Inputs) -> Any:
    """Transfer entropy in nats (U,) from one step of the source over one step: the fastest way."""
    options, target, (source,) = inputs.options, inputs.target, inputs.others
    found = options.backend.transfer_entropy(
        target,
        inputs.known_or_learned(target),
        source,
        inputs.known_or_learned(source),
        inputs.lengths,
        options.omit,
        options.threads,
    )
    if not found.clean:
        options.scan(target, inputs.lengths)
        options.scan(source, inputs.lengths)
    if not found.counted:
        raise_nothing_left()
    return found.nats


def of_states(inputs: Inputs, states: npt.NDArray[Any], size: int) -> Any:
    """Transfer entropies in nats (S, U) from rows of states (S, N, T) over one step of the target.

    size: how many states there are, no more than `MOST_STATES`.
    """
    options, target = inputs.options, inputs.target
    nats, clean = options.backend.transfer_entropies(
        target,
        inputs.known_or_learned(target),
        inputs.lengths,
        np.ascontiguousarray(states, dtype=np.int16),
        size,
        options.omit,
        options.threads,
    )
    if not clean:
        options.scan(target, inputs.lengths)
    return nats


def of_windows(inputs: Inputs, counted: Windows, measure: Measure, bias: str | None) -> Scores:
    """Whatever can be measured of windows, (U,), in units of the base."""
    scores: Scores = several_of_windows(inputs, counted, [measure], bias)[0]
    return scores


def several_of_windows(
    inputs: Inputs, counted: Windows, several: Sequence[Measure], bias: str | None
) -> Scores:
    """Several measures of the same counts, (measures, U)."""
    options, target = inputs.options, inputs.target
    scores = np.empty((len(several), target.array.shape[2]))
    tables = windows.tables(
        options.backend, target, inputs.learned(target), inputs.lengths, counted, options.threads
    )
    for some, table in tables:
        for row, measure in zip(scores, several, strict=True):
            sums = measure(table, bias == "grassberger")
            row[some] = measures.mean(sums, table.total, options.base, bias)
    if np.isnan(scores).all():
        raise_nothing_left()
    return scores


def source_series(inputs: Inputs) -> JointState:
    """The source as a state at every step, (N, T): its code, or the codes of several sources."""
    codes = inputs.codes().astype(np.int64)
    return together(JointState(codes[:, :, i], inputs.bins) for i in range(codes.shape[2]))


def source_states(series: JointState, embedding: Embedding) -> JointState:
    """The source's state for the transitions that start at each step."""
    return history(series, [back - 1 for back in embedding.source])


def transitions(inputs: Inputs, embedding: Embedding, states: JointState | None = None) -> Windows:
    """The windows (past, next) of the target beside the source's states, or beside others.

    A window belongs to the step that its transition leads to.
    """
    if states is None:
        states = source_states(source_series(inputs), embedding)
    own = {"past": embedding.past, "next": (0,)}
    return Windows(inputs.bins, own, {"source": states.moved(1)})


def conditional_transitions(inputs: Inputs, embedding: Embedding) -> Windows:
    """The same beside the states of the conditions, one step before the next, as well."""
    plain, given = transitions(inputs, embedding), inputs.codes(1).astype(np.int64)
    parts = (JointState(given[:, :, i], inputs.bins) for i in range(given.shape[2]))
    beside = {"condition": together(parts).moved(1), **plain.beside}
    return Windows(plain.bins, plain.own, beside)


def reverse_transitions(inputs: Inputs, embedding: Embedding) -> Windows:
    """The transitions of the series, beside windows of the units' histories as sources."""
    series = source_series(inputs)
    beside = {"past": history(series, embedding.past), "next": series}
    return Windows(inputs.bins, {"source": embedding.source}, beside)


def own_transitions(inputs: Inputs, past: Steps) -> Windows:
    """The windows (past, next) of the target alone."""
    return Windows(inputs.bins, {"past": past, "next": (0,)}, {})


def pairs(inputs: Inputs, delay: int) -> Windows:
    """Values of the target beside what the source was `delay` steps earlier."""
    return Windows(inputs.bins, {"unit": (0,)}, {"source": source_series(inputs).moved(delay)})


def transfer_entropy(inputs: Inputs, embedding: Embedding, bias: str | None) -> Any:
    """Transfer entropy (U,) in units of the base."""
    options, single = inputs.options, inputs.others[0].array.shape[2] == 1
    if bias is None and embedding == Embedding() and single:
        return of_steps(inputs) / math.log(options.base)
    states = source_states(source_series(inputs), embedding)
    if bias is None and embedding.target_history == 1 and states.size <= MOST_STATES:
        nats = of_states(inputs, states.codes[np.newaxis], states.size)[0]
        if not bool((nats == nats).any()):
            raise_nothing_left()
        return nats / math.log(options.base)
    return of_windows(inputs, transitions(inputs, embedding, states), transferred, bias)


def of_counts(options: Options, counts: Any, bias: str | None) -> Any:
    """Transfer entropy (U,) in units of the base, from counts (U, next, past, source)."""
    if bias is None and counts.shape[1] == counts.shape[2]:  # one step of past
        nats = options.backend_of(counts).score_counts(counts, options.threads)
        return nats / math.log(options.base)
    dense = Dense(values.to_numpy(counts), ("next", "past", "source"))
    sums = transferred(dense, bias == "grassberger")
    return measures.mean(sums, dense.total, options.base, bias)


def transferred(table: Table, grassberger: bool) -> Sums:
    """N times transfer entropy, of tables with the axes next, source and past."""
    return measures.conditional_information(table, ("next",), ("source",), ("past",), grassberger)


def transferred_beyond(table: Table, grassberger: bool) -> Sums:
    """N times transfer entropy beyond conditions, of tables with the axis condition as well."""
    given = ("past", "condition")
    return measures.conditional_information(table, ("next",), ("source",), given, grassberger)


def shared(table: Table, grassberger: bool) -> Sums:
    """N times mutual information, of tables with the axes unit and source."""
    return measures.conditional_information(table, ("unit",), ("source",), (), grassberger)


def stored(table: Table, grassberger: bool) -> Sums:
    """N times active information, of tables with the axes next and past."""
    return measures.conditional_information(table, ("next",), ("past",), (), grassberger)


def rate(table: Table, grassberger: bool) -> Sums:
    """N times the entropy rate, of tables with the axes next and past."""
    return measures.conditional_entropy(table, ("next",), ("past",), grassberger)


def raise_nothing_left() -> None:
    """Raise the ValueError for data in which nothing can be counted."""
    raise ValueError(
        "no transition is left to count: every one lies past `lengths` or touches a NaN"
    )
