"""Transfer entropy of data that comes in batches."""

from __future__ import annotations

import math
from typing import Any

from tefast import measures
from tefast._counting import evaluation
from tefast._streaming.accumulation import Accumulated
from tefast._streaming.updates import Beside
from tefast._support.parameters import documented
from tefast._tables.states import Embedding, check_positive
from tefast.typing import BackendName, Bias, BinningLike, NanPolicy


class OfTransitions(Accumulated):
    """A measure whose windows are transitions."""

    def _window(self) -> str:
        return self._embedding.transition


class _BesideWithHistories(OfTransitions, Beside):
    """A measure of units beside a series that takes all options of transfer entropy."""

    def __init__(
        self,
        units: int,
        bins: int = 16,
        *,
        target_history: int = 1,
        source_history: int = 1,
        delay: int = 1,
        target_step: int = 1,
        source_step: int = 1,
        sources: int | None = None,
        binning: BinningLike = "uniform",
        h_range: Any = None,
        y_range: Any = None,
        nan_policy: NanPolicy = "raise",
        bias: Bias | None = None,
        base: float = 2,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
        super().__init__(
            units, bins, embedding=embedding,
            ranges={"h": h_range, "y": y_range}, bias=bias, sources=sources,
            binning=binning, nan_policy=nan_policy, base=base, backend=backend, threads=threads,
        )  # fmt: skip


@documented
class TransferEntropy(_BesideWithHistories):
    """Transfer entropy of data that comes in batches, exactly that of all data at once.

    Parameters
    ----------
    {units, bins}
    {target_history, source_history, delay, target_step, source_step}
    {sources, binning:batches, h_range:batches, y_range:batches}
    {nan_policy, bias, base, backend, threads}

    Raises
    ------
    {errors:made}

    Notes
    -----
    Counts of all joint states are kept. They take 8 bytes for each of
    ``units * bins**(1 + target_history + S * source_history)``. On the CPU, those of the last short
    batches take up to as much again, and no more than 256 MB.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> te = tefast.TransferEntropy(units=3, bins=4, h_range=(0, 1), y_range=(0, 1))
    >>> for _ in range(10):
    ...     te.update(rng.random((8, 25, 3)), rng.random((8, 25)))
    >>> te.compute().shape
    (3,)
    """

    measure = measures.TRANSFER_ENTROPY


@documented
class ReverseTransferEntropy(_BesideWithHistories):
    """Transfer entropy the other way, from every unit to the series, of data in batches.

    Each unit is a **source**, and the series is the **target**. So `target_history` and
    `target_step` are those of the series, and `source_history` and `source_step` are those of the
    units.

    Parameters
    ----------
    {units, bins}
    {target_history, source_history, delay, target_step, source_step}
    sources : int, optional
        S, the number of series that are taken at once, as one target. They then have the shape
        (N, T, S) or (T, S). Default: one series without such an axis.
    {binning:batches, h_range:batches, y_range:batches}
    {nan_policy, bias, base, backend, threads}

    Raises
    ------
    {errors:made}
    """

    measure = measures.REVERSE_TRANSFER_ENTROPY


@documented
class NormalizedTransferEntropy(OfTransitions, Beside):
    """The fraction of every unit's entropy rate that the source explains, of data in batches.

    It is transfer entropy divided by the entropy rate of the unit: see
    `normalized_transfer_entropy`.

    Parameters
    ----------
    {units, bins}
    {target_history, source_history, delay, target_step, source_step}
    {sources, binning:batches, h_range:batches, y_range:batches}
    {nan_policy, backend, threads}

    Raises
    ------
    {errors:made}
    """

    measure = measures.TRANSFER_ENTROPY

    def __init__(
        self,
        units: int,
        bins: int = 16,
        *,
        target_history: int = 1,
        source_history: int = 1,
        delay: int = 1,
        target_step: int = 1,
        source_step: int = 1,
        sources: int | None = None,
        binning: BinningLike = "uniform",
        h_range: Any = None,
        y_range: Any = None,
        nan_policy: NanPolicy = "raise",
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
        super().__init__(
            units, bins, embedding=embedding,
            ranges={"h": h_range, "y": y_range}, sources=sources,
            binning=binning, nan_policy=nan_policy, backend=backend, base=math.e, threads=threads,
        )  # fmt: skip

    def _measure(self, table: Any) -> Any:
        both = measures.TRANSFER_ENTROPY, measures.RATE_BESIDE_SOURCE
        found = (evaluation.summed(measure, self._options, table, None) for measure in both)
        return evaluation.normalized(*found)


@documented
class ConditionalTransferEntropy(OfTransitions):
    """Transfer entropy beyond what conditions tell, of data in batches.

    Parameters
    ----------
    {units, bins}
    {target_history, source_history, delay, target_step, source_step}
    {sources, conditions, binning:batches, h_range:batches, y_range:batches, z_range:batches}
    {nan_policy, bias, base, backend, threads}

    Raises
    ------
    {errors:made}

    Notes
    -----
    Counts take ``bins**conditions`` times as much memory as those of `TransferEntropy`.
    """

    measure = measures.CONDITIONAL_TRANSFER_ENTROPY

    def __init__(
        self,
        units: int,
        bins: int = 16,
        *,
        target_history: int = 1,
        source_history: int = 1,
        delay: int = 1,
        target_step: int = 1,
        source_step: int = 1,
        sources: int | None = None,
        conditions: int = 1,
        binning: BinningLike = "uniform",
        h_range: Any = None,
        y_range: Any = None,
        z_range: Any = None,
        nan_policy: NanPolicy = "raise",
        bias: Bias | None = None,
        base: float = 2,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
        super().__init__(
            units, bins, embedding=embedding,
            ranges={"h": h_range, "y": y_range, "z": z_range}, bias=bias, sources=sources,
            conditions=check_positive(conditions, "conditions"),
            binning=binning, nan_policy=nan_policy, base=base, backend=backend, threads=threads,
        )  # fmt: skip

    @documented
    def update(
        self,
        h: Any,
        y: Any,
        z: Any,
        lengths: Any = None,
        mask: Any = None,
        layout: str | None = None,
    ) -> None:
        """Count a batch of sequences; if it raises, nothing was counted.

        Parameters
        ----------
        {h:batch, y:batch}
        z : array_like, shape (N, T) or (T,); with several `conditions` (N, T, Z) or (T, Z)
            The conditions.
        {lengths, mask, layout}

        Raises
        ------
        {errors:batch}
        """
        self._take({"h": h, "y": y, "z": z}, lengths, mask, layout)

    @documented
    def update_from(
        self,
        h: Any,
        y: Any,
        z: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        rows: int | None = None,
        layout: str | None = None,
    ) -> None:
        """Count arrays that need not fit into memory, slice by slice; if it raises, none of them.

        To take everything back in that case, a copy of the counts so far is kept meanwhile.

        Parameters
        ----------
        {h:pieces}
        y : array, shape (N, T) or (T,)
            The source, which is read in the same slices.
        z : array, shape (N, T) or (T,); with several `conditions` (N, T, Z) or (T, Z)
            The conditions, likewise.
        {lengths, mask, rows, layout}

        Raises
        ------
        {errors:batch}
            The message names the slice.
        """
        self._update_from({"h": h, "y": y, "z": z}, lengths, mask, rows, layout)
