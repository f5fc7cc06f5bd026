"""Entropy and information of every unit: alone, in time, and beside a series."""

from __future__ import annotations

from typing import Any, Unpack, overload

from tefast._counting import evaluation
from tefast._counting.options import Options
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
    h : array_like, shape (N, T, U), (T, U) or (T,)
        Floats are binned, integers are symbols; see `transfer_entropy`, also for the other
        parameters. ``(N, T)`` takes ``layout="NT"``.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
        Plug-in entropy ``-sum p log p`` in units of ``log(base)``, in the kind of array that `h`
        is; 0 for a constant unit, NaN for one that is NaN throughout.

    Raises
    ------
    ValueError, TypeError
        Before any counting, saying what was expected and what came.
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
    h, y
        As in `transfer_entropy`, and so are all others.
    delay : int, default 0
        Steps from the source to the unit, not negative.
    joint : bool, default False
        Take `y` as several sources at once, (N, T, S) or (T, S).

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    embedding = Embedding.check(1, 1, delay, least_delay=0)
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
    h
        As in `transfer_entropy`, and so are all others. ``(N, T)`` takes ``layout="NT"``.
    history : int, default 1
        k, steps of the past; `choose_history` finds it.
    step : int, default 1
        s, steps from one entry of the history to the next.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    given = (h, bins, history, step, binning, h_range, lengths, mask, layout, nan_policy, bias)
    return _of_units(ACTIVE_INFORMATION, *given, base, backend, threads)


@overload
def entropy_rate(h: ArrayLike, bins: int = ..., **options: Unpack[OwnOptions]) -> Scores: ...
@overload
def entropy_rate(h: TensorLike, bins: int = ..., **options: Unpack[OwnOptions]) -> TensorLike: ...
@overload
def entropy_rate(h: Any, bins: int = ..., **options: Unpack[OwnOptions]) -> Any: ...
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
    h, history, step
        As in `active_information`, and so are all others.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
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
