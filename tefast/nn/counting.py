"""Counts of units beside a series that comes in batches, for further measures."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tefast import evaluation, measures, values, windows
from tefast.backends import Steps
from tefast.counts import Dense, Table
from tefast.evaluation import Inputs
from tefast.measures import Sums
from tefast.states import Embedding
from tefast.streaming import _Streaming
from tefast.typing import BackendName, Bias
from tefast.windows import Windows

Arrange = Callable[[Inputs], Windows]
Measure = Callable[[Table, bool], Sums]


class Beside(_Streaming):
    """A measure of every unit's codes beside states that all units share, added up over batches.

    Parameters
    ----------
    units, bins, h_range, y_range, backend, threads
        As in `tefast.TransferEntropy`.
    arrange : callable
        Gives the `Windows` to count of a batch's `Inputs`; their axes must not vary.
    axes : dict of str to int
        The names and sizes of these axes.
    measure : callable
        ``measure(table, grassberger)`` gives sums.
    bias : {None, "miller_madow", "grassberger"}
    """

    def __init__(
        self,
        units: int,
        bins: int,
        arrange: Arrange,
        axes: dict[str, int],
        measure: Measure,
        *,
        h_range: Any,
        y_range: Any,
        bias: Bias | None = None,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        self._axes, self._arrange = axes, arrange
        self._of, self._bias = measure, measures.check_bias(bias)
        ranges = {"h": h_range, "y": y_range}
        super().__init__(units, bins, "uniform", "raise", 2, backend, threads, ranges)

    @property
    def table(self) -> Dense:
        """All counts so far, with their axes' names."""
        return Dense(np.asarray(self.counts), tuple(self._axes))

    def update(self, h: Any, y: Any, lengths: Any = None) -> None:
        """Count a batch of sequences, units (N, T, U) beside a series (N, T)."""
        target, source = self._read(h, y, None)
        symbols = {"h": target.is_symbols, "y": source.is_symbols}
        inputs = self._inputs(target, [source], lengths, None, symbols)
        counted, options = self._arrange(inputs), inputs.options
        # Never more codes in memory than a few units of a batch have.
        for unit in range(0, self.units, 64):
            some = slice(unit, min(unit + 64, self.units))
            codes = windows.codes_of(
                options.backend,
                inputs.target,
                inputs.learned(inputs.target),
                inputs.lengths,
                some,
                options.threads,
            )
            table = windows.count_dense(options.backend, codes, counted, options.threads)
            self._counts[some] += table.counts
        self._symbols, self._wrap = symbols, target.wrap_units

    def _shape(self) -> tuple[int, ...]:
        return (self.units, *self._axes.values())

    def _measure(self, table: Any) -> Any:
        dense = Dense(values.to_numpy(table), tuple(self._axes))
        sums = self._of(dense, self._bias == "grassberger")
        return measures.mean(sums, dense.total, 2, self._bias)


def reverse_transfer_entropy(units: int, bins: int, embedding: Embedding, **options: Any) -> Beside:
    """What each unit tells about the series: `tefast.reverse_transfer_entropy` over batches."""

    def arrange(inputs: Inputs) -> Windows:
        return evaluation.reverse_transitions(inputs, embedding)

    own, past = bins**embedding.source_history, bins**embedding.target_history
    axes = {"source": own, "past": past, "next": bins}
    return Beside(units, bins, arrange, axes, evaluation.transferred, **options)


def mutual_information(units: int, bins: int, delay: int, **options: Any) -> Beside:
    """What unit and series share: `tefast.mutual_information` over batches."""

    def arrange(inputs: Inputs) -> Windows:
        return evaluation.pairs(inputs, delay)

    axes = {"unit": bins, "source": bins}
    return Beside(units, bins, arrange, axes, evaluation.shared, **options)


def active_information(units: int, bins: int, past: Steps, **options: Any) -> Beside:
    """What a unit's past tells of its next value: `tefast.active_information` over batches."""

    def arrange(inputs: Inputs) -> Windows:
        return evaluation.own_transitions(inputs, past)

    axes = {"past": bins ** len(past), "next": bins}
    return Beside(units, bins, arrange, axes, evaluation.stored, **options)
