"""Evaluation: from checked inputs to scores, by the way that is shortest for what is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast import binning as binnings
from tefast import counts, masks, measures, symbols, values, windows
from tefast.backends import Lengths, Scan, Steps
from tefast.binning import MAX_BINS, Binning, How
from tefast.counts import Dense, Table
from tefast.measures import Scores, Sums
from tefast.options import Options, check_scan
from tefast.states import Embedding, JointState, history, together
from tefast.values import Values
from tefast.warn import warn
from tefast.windows import MOST_STATES, Windows

Measure = Callable[[Table, bool], Sums]
"""N times a measure, from a table, and whether logarithms are Grassberger's."""

Series = npt.NDArray[np.int16]

MOST_AT_ONCE = 2**28
"""Cells of a unit up to which the kernels of single steps pass over all states of a source."""


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
        given = [target, *others]
        refuse_labels(given, options.binning)
        valid = values.sequence_lengths(lengths, target)
        left = masks.check_mask(mask, target)
        binnings.check_combination(given, options.binning, ranges)
        by_role = {each.role: each for each in given}
        limits = {
            role: binnings.check_range(limit, role, by_role[role].array.shape[2], by_role[role])
            for role, limit in ranges.items()
        }
        known: dict[str, Binning] = {}
        given = [_labelled(options, data, left, valid, known) for data in given]
        for data in given:
            masks.check_missing(data, left, valid, options.omit)
        if left is not None or any(data.missing is not None for data in given):
            given = [_masked(options, data, left, valid, known) for data in given]
            options = replace(options, omit=True)
        placed, first, *rest = options.placed(*given)
        return cls(placed, first, rest, valid, limits, known)

    @property
    def bins(self) -> int:
        """Number of the target's bins, or of its symbols."""
        return self.bins_of(self.target)

    @property
    def source_bins(self) -> int:
        """Number of bins, or of symbols, of the first series beside the target."""
        return self.bins_of(self.others[0])

    def bins_of(self, data: Values) -> int:
        """Number of an input's bins, or of its symbols."""
        known = self._binnings.get(data.role)
        return self.options.bins_of(data.role) if known is None else known.bins

    def learned(self, data: Values) -> Binning:
        """The bins of an input, which is scanned once; raise if it must not be counted."""
        if data.role not in self._binnings:
            self._learn()
        return self._binnings[data.role]

    def _learn(self) -> None:
        """Learn the bins of all inputs; one warning says of which there are fewer than asked."""
        remarks = []
        for data in (self.target, *self.others):
            if data.role not in self._binnings:
                limits = self.ranges[data.role]
                found, remark = self.options.learn(data, self.lengths, limits)
                self._binnings[data.role] = found
                remarks += [remark] if remark else []
        if remarks:
            asked = f"binning='quantile' with bins={self.options.bins}"
            warn(f"{asked}: {'; '.join(remarks)}")

    def known_or_learned(self, data: Values) -> Binning:
        """The same, but where the bins do not depend on the data these are not looked at."""
        known = self._binnings.get(data.role)
        known = known or self.options.known_binning(data, self.ranges[data.role])
        return known or self.learned(data)

    def scan(self, data: Values) -> None:
        """Look for what must not be counted, where a kernel may have met it; raise if it did."""
        self.options.scan(data, self.lengths, self.bins_of(data))

    def codes(self, i: int = 0) -> Series:
        """Codes (N, T, columns) of another series than the target, in the host's memory."""
        data, options = self.others[i], self.options
        found = counts.encoded(
            options.backend, data, self.learned(data), self.lengths, options.threads
        )
        return np.asarray(values.to_numpy(found))


def refuse_labels(given: Sequence[Values], binning: Mapping[str, How]) -> None:
    """Raise a TypeError for inputs that hold labels where their binning takes none."""
    for data in given:
        if data.is_labels and not binnings.takes_labels(binning[data.role]):
            first = 0 if data.missing is None else int(np.argmin(data.missing))
            label = data.array.flat[first]
            label = label.item() if isinstance(label, np.generic) else label
            numbers = "; x.astype(float) makes numbers of digits" if _is_number(label) else ""
            raise TypeError(
                f"{data.name} holds labels, such as {data.index(first)} = {label!r}; "
                "binning='symbols' numbers them, and so does np.unique(x, return_inverse=True)[1]"
                + numbers
            )


def _is_number(label: Any) -> bool:
    """Whether a label is a number that was read as text."""
    try:
        return isinstance(label, str | bytes) and math.isfinite(float(label))
    except ValueError:
        return False


def _labelled(
    options: Options,
    data: Values,
    mask: masks.Mask | None,
    lengths: Lengths,
    known: dict[str, Binning],
) -> Values:
    """An input with codes in place of labels, if these are to be taken; its binning is then known.

    Missing labels become NaN among codes that are floats where bytes hold the codes, else they are
    -1; raise if they must not be there.
    """
    how = options.binning[data.role]
    if not binnings.takes_labels(how):
        return data
    counted = np.ones((1, 1, 1), bool) if mask is None else mask.of(data)
    if lengths is not None:
        within = np.arange(data.array.shape[1]) < lengths[:, np.newaxis]
        counted = counted & within[..., np.newaxis]
    given = how.labels if isinstance(how, Binning) else None
    labels = symbols.found_labels(data, counted) if given is None else given
    codes, missing = symbols.relabelled(data, labels, counted)
    many = max(2, labels.size)
    if missing.any():
        gaps = Scan(int(missing.sum()), 0, 0, int(missing.argmax()), -1, np.empty(0), np.empty(0))
        check_scan(gaps, data, many, options.omit)
    known[data.role] = Binning(many, None, labels)
    if missing.any() and many <= MAX_BINS:
        known[data.role] = replace(masks.half_way(many), labels=labels)
        return masks.masked(codes, ~missing)
    return codes


def _masked(
    options: Options,
    data: Values,
    mask: masks.Mask | None,
    lengths: Lengths,
    known: dict[str, Binning],
) -> Values:
    """An input without what is masked or missing; raise if what is left must not be counted."""
    counts, binning = masks.counted(data, mask), known.get(data.role)
    if counts is None:
        return data
    if binning is not None:
        if binning.bins > MAX_BINS:
            return data  # what is masked is -1 among the codes already
        if data.is_symbols:
            known[data.role] = replace(masks.half_way(binning.bins), labels=binning.labels)
        return masks.masked(data, counts)
    bins = options.bins_of(data.role)
    found = masks.scan_unmasked(data, counts, lengths, bins)
    check_scan(found, data, bins, options.omit)
    if data.is_symbols:
        known[data.role] = masks.half_way(bins)
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
        inputs.scan(target)
        inputs.scan(source)
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
        inputs.scan(target)
    return nats


def goes_at_once(inputs: Inputs, embedding: Embedding) -> bool:
    """Whether the kernels of single steps score the source's states, as `of_states` has them do."""
    bins, size = inputs.bins, source_size(inputs) ** embedding.source_history
    return (
        embedding.target_history == 1
        and bins <= MAX_BINS
        and size <= MOST_STATES
        and bins * bins * size <= MOST_AT_ONCE
    )


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


def source_size(inputs: Inputs) -> int:
    """How many states a source can have at a step, or several sources at once."""
    columns: int = inputs.others[0].array.shape[2]
    return int(inputs.source_bins**columns)


def source_series(inputs: Inputs) -> JointState:
    """The source as a state at every step, (N, T): its code, or the codes of several sources."""
    return _joined(inputs.codes(), inputs.source_bins)


def _joined(codes: Series, bins: int) -> JointState:
    """Series (N, T, columns) in one."""
    parts = codes.astype(np.int64)
    return together(JointState(parts[:, :, i], bins) for i in range(parts.shape[2]))


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
    plain = transitions(inputs, embedding)
    conditions = _joined(inputs.codes(1), inputs.bins_of(inputs.others[1]))
    beside = {"condition": conditions.moved(1), **plain.beside}
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
    options, one = inputs.options, inputs.others[0].array.shape[2] == 1
    at_once = bias is None and goes_at_once(inputs, embedding)
    if at_once and embedding == Embedding() and one and inputs.bins == inputs.source_bins:
        return of_steps(inputs) / math.log(options.base)
    states = source_states(source_series(inputs), embedding)
    if at_once:
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
