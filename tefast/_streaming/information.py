"""Entropy and information of data that comes in batches."""

from __future__ import annotations

from typing import Any

from tefast import measures
from tefast._streaming.updates import Alone, Beside
from tefast._support.parameters import documented
from tefast._tables.states import Embedding, own_embedding
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
        embedding = Embedding.check(1, 1, delay)
        super().__init__(
            units, bins, embedding=embedding,
            ranges={"h": h_range, "y": y_range}, bias=bias, sources=sources,
            binning=binning, nan_policy=nan_policy, base=base, backend=backend, threads=threads,
        )  # fmt: skip

    def _window(self) -> str:
        return f"h[t] beside y[t - delay] with delay={self._embedding.delay}"


class _OfOwnPast(Alone):
    """A measure of the next value of a unit and of its own past."""

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

    def _window(self) -> str:
        return self._embedding.own_transition


@documented
class ActiveInformation(_OfOwnPast):
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


@documented
class EntropyRate(_OfOwnPast):
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
