"""Transfer entropy of data that comes in batches."""

from __future__ import annotations

import math
from typing import Any

from tefast import measures
from tefast._counting import evaluation
from tefast._streaming.accumulation import Accumulated
from tefast._streaming.updates import Beside
from tefast._tables.states import Embedding, check_positive
from tefast.typing import BackendName, Bias, BinningLike, NanPolicy


class OfTransitions(Accumulated):
    """A measure whose windows are transitions."""

    def _window(self) -> str:
        return self._embedding.transition


class TransferEntropy(OfTransitions, Beside):
    """Transfer entropy of data that comes in batches, exactly that of all data at once.

    Parameters
    ----------
    units : int
        Number of units of the target.
    bins : int, default 16
    binning : "uniform", array_like or mapping
        As in `transfer_entropy`, but for "quantile", which needs all data at once: learn edges on
        a part of them (`learn_edges`).
    h_range, y_range : (low, high), optional
        Needed for floats with uniform bins: the range of data that is still to come is unknown.
    sources : int, optional
        Take S sources at once, (N, T, S) or (T, S), as `transfer_entropy` does with ``joint=True``.
    target_history, source_history, delay, target_step, source_step
        As in `transfer_entropy`. Counts of all joint states are kept, 8 bytes for each of
        ``units * bins**(1 + target_history + S * source_history)``.
    bias, nan_policy, base, backend, threads
        As in `transfer_entropy`.

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


class ReverseTransferEntropy(OfTransitions, Beside):
    """Transfer entropy the other way, from every unit to the series, of data in batches.

    See `reverse_transfer_entropy` for which history is whose.

    Parameters
    ----------
    units, bins, binning, h_range, y_range, sources, bias, nan_policy, base, backend, threads
    target_history, source_history, delay, target_step, source_step
        As in `TransferEntropy`.
    """

    measure = measures.REVERSE_TRANSFER_ENTROPY

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


class NormalizedTransferEntropy(OfTransitions, Beside):
    """The fraction of every unit's entropy rate that the source explains, of data in batches.

    See `normalized_transfer_entropy`.

    Parameters
    ----------
    units, bins, binning, h_range, y_range, sources, nan_policy, backend, threads
    target_history, source_history, delay, target_step, source_step
        As in `TransferEntropy`.
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


class ConditionalTransferEntropy(OfTransitions):
    """Transfer entropy beyond what conditions tell, of data in batches.

    Parameters
    ----------
    conditions : int, default 1
        Take Z conditions at once, (N, T, Z) or (T, Z), each in as many bins.
    z_range : (low, high), optional
        As `y_range`, of the conditions.
    units, bins, binning, h_range, y_range, sources, bias, nan_policy, base, backend, threads
    target_history, source_history, delay, target_step, source_step
        As in `TransferEntropy`. Counts take ``bins**conditions`` times as much.
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

    def update(
        self,
        h: Any,
        y: Any,
        z: Any,
        lengths: Any = None,
        mask: Any = None,
        layout: str | None = None,
    ) -> None:
        """Count a batch; `z` holds the conditions, and all else is as in `TransferEntropy`."""
        self._take({"h": h, "y": y, "z": z}, lengths, mask, layout)

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
        """Count arrays that need not fit into memory: see `TransferEntropy.update_from`."""
        self._update_from({"h": h, "y": y, "z": z}, lengths, mask, rows, layout)
