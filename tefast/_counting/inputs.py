"""Inputs: target and other series, checked, with their bins, where the backend reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tefast._backends.inputs import BinnedValues
from tefast._counting import masks, symbols
from tefast._counting.bins import check_combination, check_range
from tefast._counting.options import Options, check_scan
from tefast._counting.windows import Binned, Windows
from tefast._inputs import values
from tefast._inputs.values import Values
from tefast._support.warn import warn
from tefast._tables.states import Embedding, JointState, history, together
from tefast._tables.types import Lengths, Scan, Steps
from tefast.binning import MAX_BINS, Binning, Rule
from tefast.measures import Measure


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
        valid, left, limits = check_together(options, given, lengths, ranges, mask)
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
    def symbols(self) -> dict[str, int]:
        """How many states each input can have at a step, or several series of it at once."""
        found = {"h": self.bins}
        for data in self.others:
            found[data.role] = int(self.bins_of(data) ** data.array.shape[2])
        return found

    def bins_of(self, data: Values) -> int:
        """Number of an input's bins, or of its symbols."""
        known = self._binnings.get(data.role)
        return self.options.bins_of(data.role) if known is None else known.bins

    def learned(self, data: Values) -> Binning:
        """The bins of an input, which is scanned once; raise if it must not be counted."""
        if data.role not in self._binnings:
            limits = self.ranges[data.role]
            if self.options.known_binning(data, limits) is None:
                self._learn()
            else:  # bins that do not depend on the data, so that no other input need be looked at
                self._learn_alone(data)
        return self._binnings[data.role]

    def _learn_alone(self, data: Values) -> None:
        try:
            found, _ = self.options.learn(data, self.lengths, self.ranges[data.role])
        except (TypeError, ValueError):
            if data is not self.target:
                self.learned(self.target)  # whose mistakes are named before those of others
            raise
        self._binnings[data.role] = found

    def _learn(self) -> None:
        """Learn the bins of all inputs; one warning says of which there are fewer than asked."""
        remarks = self.remarks()
        if remarks:
            asked = f"binning='quantile' with bins={self.options.bins}"
            warn(f"{asked}: {'; '.join(remarks)}")

    def remarks(self) -> list[str]:
        """Learn the bins of all inputs, and say of which there are fewer than asked."""
        remarks = []
        for data in (self.target, *self.others):
            if data.role not in self._binnings:
                limits = self.ranges[data.role]
                found, remark = self.options.learn(data, self.lengths, limits)
                self._binnings[data.role] = found
                remarks += [remark] if remark else []
        return remarks

    def scan(self, data: Values) -> None:
        """Look for what must not be counted, where a kernel may have met it; raise if it did."""
        self.options.scan(data, self.lengths, self.bins_of(data))

    def binned(self, data: Values | None = None) -> Binned:
        """The target, or another input, with its bins."""
        data, options = self.target if data is None else data, self.options
        return Binned(data, self.learned(data), self.lengths, options.backend, options.threads)

    def unscanned(self, data: Values) -> BinnedValues:
        """The same, but the data are looked at only where their bins depend on them."""
        known = self._binnings.get(data.role)
        known = known or self.options.known_binning(data, self.ranges[data.role])
        return BinnedValues(data, known or self.learned(data), self.lengths)

    def series(self, role: str) -> JointState:
        """Another input than the target as a state at every step (N, T).

        That is its code, or the codes of several series in one.
        """
        data = next(each for each in self.others if each.role == role)
        codes, bins = self.binned(data).codes().astype(np.int64), self.bins_of(data)
        return together(JointState(codes[:, :, i], bins) for i in range(codes.shape[2]))

    def windows(self, measure: Measure, embedding: Embedding, **states: JointState) -> Windows:
        """What a measure counts. States (N, T) of an axis may be given, such as a surrogate's."""
        own: dict[str, Steps] = {}
        beside: dict[str, JointState] = {}
        series: dict[str, JointState] = {}
        for name, axis in measure.axes.items():
            back = axis.back(embedding)
            if axis.role == "h":
                own[name] = back
            elif name in states:
                beside[name] = states[name]
            else:
                if axis.role not in series:
                    series[axis.role] = self.series(axis.role)
                beside[name] = history(series[axis.role], back)
        return Windows(self.bins, own, beside)


def check_together(
    options: Options, given: Sequence[Values], lengths: Any, ranges: Any, mask: Any
) -> tuple[Lengths, masks.Mask | None, dict[str, Any]]:
    """Raise for arguments that do not go together, whatever the values of the inputs are.

    Returns
    -------
    tuple
        The lengths, the mask and the ranges, checked.
    """
    refuse_labels(given, options.binning)
    target = given[0]
    valid = values.sequence_lengths(lengths, target)
    left = masks.check_mask(mask, target)
    check_combination(list(given), options.binning, ranges)
    by_role = {each.role: each for each in given}
    limits = {
        role: check_range(limit, role, by_role[role].array.shape[2], by_role[role])
        for role, limit in ranges.items()
    }
    return valid, left, limits


def refuse_labels(given: Sequence[Values], binning: Mapping[str, Rule]) -> None:
    """Raise a TypeError for inputs that hold labels where their binning takes none."""
    for data in given:
        if data.is_labels and not binning[data.role].takes_labels:
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
    if not how.takes_labels:
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
