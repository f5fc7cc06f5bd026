"""Entropy and information of every unit: alone, in time, and beside a series."""

from __future__ import annotations

from typing import Any, Unpack, overload

from tefast._counting import evaluation
from tefast._counting.options import Options
from tefast._support.parameters import documented
from tefast._tables.states import Embedding, own_embedding
from tefast.measures import ACTIVE_INFORMATION, ENTROPY, ENTROPY_RATE, MUTUAL_INFORMATION, Measure
from tefast.typing import (
    ArrayLike,
    BackendName,
    Bias,
    BinningLike,
    EntropyOptions,
    MutualOptions,
    NanPolicy,
    OwnOptions,
    Scores,
    TensorLike,
)


@overload
def entropy(h: ArrayLike, bins: int = ..., **options: Unpack[EntropyOptions]) -> Scores: ...
@overload
def entropy(h: TensorLike, bins: int = ..., **options: Unpack[EntropyOptions]) -> TensorLike: ...
@overload
def entropy(h: Any, bins: int = ..., **options: Unpack[EntropyOptions]) -> Any: ...
@documented
def entropy(
    h: Any,
    bins: int = 16,
    *,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Shannon entropy of every unit of `h`, over all sequences and steps.

    Parameters
    ----------
    {h:alone, bins, binning, h_range, lengths, mask:alone, layout:alone, nan_policy}
    {base, backend, threads}

    Returns
    -------
    {scores}
        The plug-in entropy ``-sum p log p``. 0 for a unit that is constant.

    Raises
    ------
    {errors}
    """
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    return evaluation.evaluated(
        ENTROPY, Embedding(), options, {"h": h}, {"h": h_range},
        lengths=lengths, mask=mask, layout=layout,
    )  # fmt: skip


@overload
def mutual_information(
    h: ArrayLike, y: Any, bins: int = ..., **options: Unpack[MutualOptions]
) -> Scores: ...
@overload
def mutual_information(
    h: TensorLike, y: Any, bins: int = ..., **options: Unpack[MutualOptions]
) -> TensorLike: ...
@overload
def mutual_information(
    h: Any, y: Any, bins: int = ..., **options: Unpack[MutualOptions]
) -> Any: ...
@documented
def mutual_information(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    delay: int = 0,
    joint: bool = False,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Mutual information of every unit and the source: ``I(h[t]; y[t - delay])``.

    Parameters
    ----------
    {h, y, bins, delay:mutual, joint, binning, h_range, y_range, lengths, mask, layout}
    {nan_policy, bias, base, backend, threads}

    Returns
    -------
    {scores}

    Raises
    ------
    {errors}
    """
    embedding = Embedding.check(1, 1, delay)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    return evaluation.evaluated(
        MUTUAL_INFORMATION, embedding, options, {"h": h, "y": y}, {"h": h_range, "y": y_range},
        bias=bias, lengths=lengths, mask=mask, layout=layout, joint=joint,
        window=f"h[t] beside y[t - delay] with delay={embedding.delay}",
    )  # fmt: skip


@overload
def active_information(h: ArrayLike, bins: int = ..., **options: Unpack[OwnOptions]) -> Scores: ...
@overload
def active_information(
    h: TensorLike, bins: int = ..., **options: Unpack[OwnOptions]
) -> TensorLike: ...
@overload
def active_information(h: Any, bins: int = ..., **options: Unpack[OwnOptions]) -> Any: ...
@documented
def active_information(
    h: Any,
    bins: int = 16,
    *,
    history: int = 1,
    step: int = 1,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Active information storage of every unit: ``I(h[t+1]; h[t], .. h[t-(k-1)s])``.

    What a unit's own past tells about its next value (J. Lizier et al., "Local measures of
    information storage in complex distributed computation", Inf. Sci. 208, 39, 2012).

    Parameters
    ----------
    {h:alone, bins, history, step, binning, h_range, lengths, mask:alone, layout:alone}
    {nan_policy, bias, base, backend, threads}

    Returns
    -------
    {scores}

    Raises
    ------
    {errors}
    """
    given = (h, bins, history, step, binning, h_range, lengths, mask, layout, nan_policy, bias)
    return _of_units(ACTIVE_INFORMATION, *given, base, backend, threads)


@overload
def entropy_rate(h: ArrayLike, bins: int = ..., **options: Unpack[OwnOptions]) -> Scores: ...
@overload
def entropy_rate(h: TensorLike, bins: int = ..., **options: Unpack[OwnOptions]) -> TensorLike: ...
@overload
def entropy_rate(h: Any, bins: int = ..., **options: Unpack[OwnOptions]) -> Any: ...
@documented
def entropy_rate(
    h: Any,
    bins: int = 16,
    *,
    history: int = 1,
    step: int = 1,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Entropy rate of every unit: ``H(h[t+1] | h[t], .. h[t-(k-1)s])``.

    It is the uncertainty that is left about a unit's next value when its past is known.

    Parameters
    ----------
    {h:alone, bins, history, step, binning, h_range, lengths, mask:alone, layout:alone}
    {nan_policy, bias, base, backend, threads}

    Returns
    -------
    {scores}

    Raises
    ------
    {errors}
    """
    given = (h, bins, history, step, binning, h_range, lengths, mask, layout, nan_policy, bias)
    return _of_units(ENTROPY_RATE, *given, base, backend, threads)


def _of_units(
    measure: Measure, h: Any, bins: Any, history: Any, step: Any, binning: Any,
    h_range: Any, lengths: Any, mask: Any, layout: Any, nan_policy: Any, bias: Any, base: Any,
    backend: Any, threads: Any,
) -> Any:  # fmt: skip
    """A measure of (past, next) of every unit alone."""
    embedding = own_embedding(history, step)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    return evaluation.evaluated(
        measure, embedding, options, {"h": h}, {"h": h_range}, bias=bias, lengths=lengths,
        mask=mask, layout=layout, window=embedding.own_transition,
    )  # fmt: skip
