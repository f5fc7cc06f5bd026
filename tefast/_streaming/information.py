"""Entropy and information of data that comes in batches."""

from __future__ import annotations

from typing import Any

from tefast import measures
from tefast._counting.inputs import Inputs
from tefast._inputs.values import Values
from tefast._streaming.updates import Alone, Beside
from tefast._support.parameters import documented
from tefast._tables.states import (
    Embedding,
    check_not_negative,
    check_own_steps,
    check_steps,
    own_embedding,
)
from tefast.typing import BackendName, Bias, BinningLike, NanPolicy


@documented
class MutualInformation(Beside):
    """Mutual information of every unit and the source, ``I(h[t]; y[t - delay])``, in batches.

    Parameters
    ----------
    {units, bins, delay:mutual, sources, binning:batches, h_range:batches, y_range:batches}
    {nan_policy, bias, base, backend, threads}

    Raises
    ------
    {errors:made}
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


@documented
class ActiveInformation(Alone):
    """Active information storage of every unit, of data in batches.

    Parameters
    ----------
    {units, bins, history, step, binning:batches, h_range:batches, nan_policy, bias, base}
    {backend, threads}

    Raises
    ------
    {errors:made}
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


@documented
class EntropyRate(Alone):
    """Entropy rate of every unit, of data in batches.

    Parameters
    ----------
    {units, bins, history, step, binning:batches, h_range:batches, nan_policy, bias, base}
    {backend, threads}

    Raises
    ------
    {errors:made}
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


@documented
class Entropy(Alone):
    """Shannon entropy of units whose values come in batches.

    Parameters
    ----------
    {units, bins, binning:batches, h_range:batches, nan_policy, base, backend, threads}

    Raises
    ------
    {errors:made}
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
