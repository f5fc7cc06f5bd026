"""Streaming: each measure of data that comes in batches, with the habits of torchmetrics."""

from __future__ import annotations

import math
from typing import Any

from tefast import measures
from tefast._accumulation import Accumulated
from tefast._counting import evaluation
from tefast._counting.inputs import Inputs
from tefast._counting.pieces import slices
from tefast._inputs import values
from tefast._inputs.values import Values
from tefast._tables.states import (
    Embedding,
    check_not_negative,
    check_own_steps,
    check_positive,
    check_steps,
    own_embedding,
)
from tefast.typing import BackendName, Bias, BinningLike, NanPolicy

EMBEDDED = ("target_history", "source_history", "delay", "target_step", "source_step")


class _Beside(Accumulated):
    """A measure of units beside a series."""

    def update(
        self, h: Any, y: Any, lengths: Any = None, mask: Any = None, layout: str | None = None
    ) -> None:
        """Count a batch of sequences; if it raises, nothing was counted.

        Parameters
        ----------
        h : array_like, shape (N, T, U), (T, U) or (T,)
            The target.
        y : array_like, shape (N, T) or (T,); with `sources` (N, T, S) or (T, S)
            The source.
        lengths : array_like of int, shape (N,), optional
            Valid steps of each sequence.
        mask : array_like of bool, shape (N, T) or that of `h`, optional
            True where something counts, as in `transfer_entropy`.
        layout : str, optional
            What the axes of `h` hold, as in `transfer_entropy`.
        """
        target, source = self._read(h, y, layout)
        self._count(target, [source], lengths, mask)

    def update_from(
        self,
        h: Any,
        y: Any,
        lengths: Any = None,
        *,
        rows: int | None = None,
        layout: str | None = None,
    ) -> None:
        """Count arrays that need not fit into memory, slice by slice; if it raises, none of it.

        For that a copy of the counts so far is kept meanwhile.

        Parameters
        ----------
        h : array, shape (N, T, U), (T, U) or (T,); or a list of sequences of unequal lengths
            The target: anything with a shape that slices can be taken of, such as a memory map or a
            dataset of HDF5 or Zarr. Sequences are read some at a time; steps, where one sequence
            alone is too large.
        y : array, shape (N, T) or (T,); with `sources` (N, T, S) or (T, S)
            The source.
        lengths : array_like of int, shape (N,), optional
            Valid steps of each sequence.
        rows : int, optional
            Sequences in a slice, or steps where `h` has no axis of sequences. Default: as many as
            take 64 MiB. Counts are the same for any.
        layout : str, optional
            What the axes of `h` hold, as in `transfer_entropy`.
        """
        joint, reach = self._sources is not None, self.measure.reach(self._embedding)
        self._update_all(slices(h, y, lengths, rows, reach, layout, joint))


class _Alone(Accumulated):
    """A measure of units alone."""

    def update(
        self, h: Any, lengths: Any = None, mask: Any = None, layout: str | None = None
    ) -> None:
        """Count a batch (N, T, U), (T, U) or (T,); if it raises, nothing was counted."""
        self._count(self._target(h, layout), [], lengths, mask)

    def update_from(
        self, h: Any, lengths: Any = None, *, rows: int | None = None, layout: str | None = None
    ) -> None:
        """Count an array that need not fit into memory: see `TransferEntropy.update_from`."""
        reach = self.measure.reach(self._embedding)
        self._update_all(slices(h, None, lengths, rows, reach, layout))


class TransferEntropy(_Beside):
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
    embedded = EMBEDDED

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


class ReverseTransferEntropy(_Beside):
    """Transfer entropy the other way, from every unit to the series, of data in batches.

    See `reverse_transfer_entropy` for which history is whose.

    Parameters
    ----------
    units, bins, binning, h_range, y_range, sources, bias, nan_policy, base, backend, threads
    target_history, source_history, delay, target_step, source_step
        As in `TransferEntropy`.
    """

    measure = measures.REVERSE_TRANSFER_ENTROPY
    embedded = EMBEDDED

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


class NormalizedTransferEntropy(_Beside):
    """The part of what is open about every unit's next value that the source tells, in batches.

    See `normalized_transfer_entropy`.

    Parameters
    ----------
    units, bins, binning, h_range, y_range, sources, nan_policy, backend, threads
    target_history, source_history, delay, target_step, source_step
        As in `TransferEntropy`.
    """

    measure = measures.TRANSFER_ENTROPY
    embedded = EMBEDDED

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


class ConditionalTransferEntropy(Accumulated):
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
    embedded = EMBEDDED

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
        target, source = self._read(h, y, layout)
        others = values.conditions(z, target)
        if others.array.shape[2] != self._columns["z"]:
            raise ValueError(
                f"{others.name} must hold conditions={self._columns['z']} series, got "
                f"{others.array.shape[2]} in shape {others.shape}"
            )
        self._count(target, [source, others], lengths, mask)


class MutualInformation(_Beside):
    """Mutual information of every unit and the source, ``I(h[t]; y[t - delay])``, in batches.

    Parameters
    ----------
    delay : int, default 0
        Steps from the source to the unit, not negative.
    units, bins, binning, h_range, y_range, sources, bias, nan_policy, base, backend, threads
        As in `TransferEntropy`.
    """

    measure = measures.MUTUAL_INFORMATION
    embedded = ("delay",)

    def __init__(
        self,
        units: int,
        bins: int = 16,
        *,
        delay: int = 0,
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
        embedding = Embedding(delay=check_not_negative(delay, "delay"))
        super().__init__(
            units, bins, embedding=embedding,
            ranges={"h": h_range, "y": y_range}, bias=bias, sources=sources,
            binning=binning, nan_policy=nan_policy, base=base, backend=backend, threads=threads,
        )  # fmt: skip

    def _check_steps(self, target: Values) -> None:
        delay = self._embedding.delay
        check_steps(target, delay + 1, f"h[t] beside y[t - delay] with delay={delay}")


class ActiveInformation(_Alone):
    """Active information storage of every unit, of data in batches.

    Parameters
    ----------
    history, step : int, default 1
        As in `active_information`.
    units, bins, binning, h_range, bias, nan_policy, base, backend, threads
        As in `TransferEntropy`.
    """

    measure = measures.ACTIVE_INFORMATION
    embedded = ("target_history", "target_step")

    def __init__(
        self,
        units: int,
        bins: int = 16,
        *,
        history: int = 1,
        step: int = 1,
        binning: BinningLike = "uniform",
        h_range: Any = None,
        nan_policy: NanPolicy = "raise",
        bias: Bias | None = None,
        base: float = 2,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        embedding = own_embedding(history, step)
        super().__init__(
            units, bins, embedding=embedding,
            ranges={"h": h_range}, bias=bias,
            binning=binning, nan_policy=nan_policy, base=base, backend=backend, threads=threads,
        )  # fmt: skip

    def _check_steps(self, target: Values) -> None:
        check_own_steps(target, self._embedding)


class EntropyRate(_Alone):
    """What is open about every unit's next value, the entropy rate, of data in batches.

    Parameters
    ----------
    history, step : int, default 1
        As in `entropy_rate`.
    units, bins, binning, h_range, bias, nan_policy, base, backend, threads
        As in `TransferEntropy`.
    """

    measure = measures.ENTROPY_RATE
    embedded = ("target_history", "target_step")

    def __init__(
        self,
        units: int,
        bins: int = 16,
        *,
        history: int = 1,
        step: int = 1,
        binning: BinningLike = "uniform",
        h_range: Any = None,
        nan_policy: NanPolicy = "raise",
        bias: Bias | None = None,
        base: float = 2,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        embedding = own_embedding(history, step)
        super().__init__(
            units, bins, embedding=embedding,
            ranges={"h": h_range}, bias=bias,
            binning=binning, nan_policy=nan_policy, base=base, backend=backend, threads=threads,
        )  # fmt: skip

    def _check_steps(self, target: Values) -> None:
        check_own_steps(target, self._embedding)


class Entropy(_Alone):
    """Shannon entropy of units whose values come in batches.

    Parameters
    ----------
    units, bins, binning, h_range, nan_policy, base, backend, threads
        As in `TransferEntropy`.
    """

    measure = measures.ENTROPY
    embedded = ()

    def __init__(
        self,
        units: int,
        bins: int = 16,
        *,
        binning: BinningLike = "uniform",
        h_range: Any = None,
        nan_policy: NanPolicy = "raise",
        base: float = 2,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            units, bins, embedding=Embedding(),
            ranges={"h": h_range},
            binning=binning, nan_policy=nan_policy, base=base, backend=backend, threads=threads,
        )  # fmt: skip

    def _check_steps(self, target: Values) -> None:
        """A value is enough."""

    def _add(self, inputs: Inputs) -> None:
        self._counts += inputs.options.backend.table(inputs.binned().value_counts(), inputs.target)
