"""Transfer entropy from a source to every unit, and what is made of it."""

from __future__ import annotations

import math
from typing import Any, Unpack, overload

from tefast._counting import evaluation
from tefast._counting.options import Options
from tefast._support.parameters import documented
from tefast._tables.states import Embedding
from tefast.measures import (
    CONDITIONAL_TRANSFER_ENTROPY,
    RATE_BESIDE_SOURCE,
    REVERSE_TRANSFER_ENTROPY,
    TRANSFER_ENTROPY,
)
from tefast.typing import (
    ArrayLike,
    BackendName,
    Bias,
    BinningLike,
    ConditionalOptions,
    NanPolicy,
    NormalizedOptions,
    Scores,
    TensorLike,
    TransferOptions,
)


@overload
def transfer_entropy(
    h: ArrayLike, y: Any, bins: int = ..., **options: Unpack[TransferOptions]
) -> Scores: ...
@overload
def transfer_entropy(
    h: TensorLike, y: Any, bins: int = ..., **options: Unpack[TransferOptions]
) -> TensorLike: ...
@overload
def transfer_entropy(
    h: Any, y: Any, bins: int = ..., **options: Unpack[TransferOptions]
) -> Any: ...
@documented
def transfer_entropy(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
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
    """Transfer entropy from the source `y` to every unit of the target `h`.

    How much the source's present tells about a unit's next value beyond what the unit's own
    present tells: ``I(h[t+1]; y[t] | h[t])``, estimated from a histogram of
    ``(h[t+1], h[t], y[t])``; or with longer histories k and l, their steps s and r and a delay d
    ``I(h[t+1]; y[t+1-d], .. y[t+1-d-(l-1)r] | h[t], .. h[t-(k-1)s])``.

    Parameters
    ----------
    {h, y, bins}
    {target_history, source_history, delay, target_step, source_step, joint}
    {binning, h_range, y_range, lengths, mask, layout, nan_policy}
    {bias, base, backend, threads}

    Returns
    -------
    {scores}
        Never negative without `bias`. 0 for a unit that is constant.

    Raises
    ------
    {errors}

    Notes
    -----
    A transition never crosses from one sequence into the next. The plug-in estimate is biased
    upwards: on independent data with B bins its mean is about ``B (B - 1)**2 / (2 n)`` nats for
    n transitions.

    References
    ----------
    T. Schreiber, "Measuring information transfer", Phys. Rev. Lett. 85, 461 (2000).

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (100, 50))          # source: 100 sequences of 50 steps
    >>> h = rng.integers(0, 2, (100, 50, 2))       # target: two units
    >>> h[:, 1:, 0] = y[:, :-1]                    # unit 0 copies the source one step later
    >>> tefast.transfer_entropy(h, y, bins=2).round(3)
    array([1., 0.])
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    return evaluation.evaluated(
        TRANSFER_ENTROPY, embedding, options, {"h": h, "y": y}, {"h": h_range, "y": y_range},
        bias=bias, lengths=lengths, mask=mask, layout=layout, joint=joint,
        window=embedding.transition,
    )  # fmt: skip


@overload
def conditional_transfer_entropy(
    h: ArrayLike, y: Any, z: Any, bins: int = ..., **options: Unpack[ConditionalOptions]
) -> Scores: ...
@overload
def conditional_transfer_entropy(
    h: TensorLike, y: Any, z: Any, bins: int = ..., **options: Unpack[ConditionalOptions]
) -> TensorLike: ...
@overload
def conditional_transfer_entropy(
    h: Any, y: Any, z: Any, bins: int = ..., **options: Unpack[ConditionalOptions]
) -> Any: ...
@documented
def conditional_transfer_entropy(
    h: Any,
    y: Any,
    z: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
    joint: bool = False,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    z_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Transfer entropy from `y` to every unit of `h` beyond what the conditions `z` tell.

    ``I(h[t+1]; y[t+1-d], .. y[t+1-d-(l-1)r] | h[t], .. h[t-(k-1)s], z[t])``: what goes by way of
    `z`, or comes from it to both, is not counted.

    Parameters
    ----------
    {h, y, z, bins}
    {target_history, source_history, delay, target_step, source_step, joint}
    {binning, h_range, y_range, z_range, lengths, mask, layout, nan_policy}
    {bias, base, backend, threads}

    Returns
    -------
    {scores}

    Raises
    ------
    {errors}
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    ranges = {"h": h_range, "y": y_range, "z": z_range}
    return evaluation.evaluated(
        CONDITIONAL_TRANSFER_ENTROPY, embedding, options, {"h": h, "y": y, "z": z}, ranges,
        bias=bias, lengths=lengths, mask=mask, layout=layout, joint=joint,
        window=embedding.transition,
    )  # fmt: skip


@overload
def normalized_transfer_entropy(
    h: ArrayLike, y: Any, bins: int = ..., **options: Unpack[NormalizedOptions]
) -> Scores: ...
@overload
def normalized_transfer_entropy(
    h: TensorLike, y: Any, bins: int = ..., **options: Unpack[NormalizedOptions]
) -> TensorLike: ...
@overload
def normalized_transfer_entropy(
    h: Any, y: Any, bins: int = ..., **options: Unpack[NormalizedOptions]
) -> Any: ...
@documented
def normalized_transfer_entropy(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
    joint: bool = False,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """The fraction of every unit's entropy rate that the source explains, 0 to 1.

    Transfer entropy over ``H(h[t+1] | h[t], .. h[t-(k-1)s])``; 0 where the entropy rate is 0.

    Parameters
    ----------
    {h, y, bins}
    {target_history, source_history, delay, target_step, source_step, joint}
    {binning, h_range, y_range, lengths, mask, layout, nan_policy, backend, threads}

    Returns
    -------
    {scores}

    Raises
    ------
    {errors}
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    options = Options.check(bins, binning, nan_policy, math.e, backend, threads)
    inputs = evaluation.read(
        TRANSFER_ENTROPY, embedding, options, {"h": h, "y": y}, {"h": h_range, "y": y_range},
        lengths=lengths, mask=mask, layout=layout, joint=joint, window=embedding.transition,
    )  # fmt: skip
    counted = inputs.windows(TRANSFER_ENTROPY, embedding)
    both = TRANSFER_ENTROPY, RATE_BESIDE_SOURCE
    te, rate = evaluation.of_windows(inputs, counted, both, None)
    return inputs.target.wrap(evaluation.normalized(te, rate))


@overload
def reverse_transfer_entropy(
    h: ArrayLike, y: Any, bins: int = ..., **options: Unpack[TransferOptions]
) -> Scores: ...
@overload
def reverse_transfer_entropy(
    h: TensorLike, y: Any, bins: int = ..., **options: Unpack[TransferOptions]
) -> TensorLike: ...
@overload
def reverse_transfer_entropy(
    h: Any, y: Any, bins: int = ..., **options: Unpack[TransferOptions]
) -> Any: ...
@documented
def reverse_transfer_entropy(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
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
    """Transfer entropy the other way: from every unit of `h` to the series `y`.

    ``I(y[t+1]; h[t+1-d], .. h[t+1-d-(l-1)r] | y[t], .. y[t-(k-1)s])``. Here each unit is a
    **source** and `y` is the **target**: `target_history` and `target_step` are those of `y`,
    `source_history` and `source_step` those of the units. With `joint` the series of `y` are one
    target whose values are those of all of them.

    Parameters
    ----------
    h : array_like, shape (N, T, U), (T, U) or (T,); or (N, T) where `y` has that shape
        The **sources**: N sequences of T steps of U units, each of which is a source of its own.
        `transfer_entropy` says which kinds of arrays are taken.
    y : array_like, shape (N, T), or (T,) where `h` has no axis of sequences
        The **target**: one series. With `joint` it has one more axis at the end, (N, T, S) or
        (T, S), and the S series are one target.
    bins : int, default 16
        Number of bins, or of symbols; 2 to 256.
    target_history : int, default 1
        k, the number of steps of the past of `y`; 1 or more.
    source_history : int, default 1
        l, the number of steps of the unit; 1 or more.
    delay : int, default 1
        d, the steps from the last step of the unit to the next step of `y`; 0 or more.
    target_step : int, default 1
        s, the steps from one entry of the history of `y` to the next; 1 or more.
    source_step : int, default 1
        r, the steps from one entry of the history of the unit to the next; 1 or more.
    joint : bool, default False
        Take `y` as several series at once, whose values together are those of the target.
    {binning}
    h_range : (low, high), optional
        The range of the units that uniform bins divide: two numbers, or two arrays (U,) with one
        for each unit. Values outside fall into the end bins. Default: each unit's own range.
    y_range : (low, high), optional
        The range of `y` that uniform bins divide: two numbers, or two arrays (S,) with one for each
        of several series. Values outside fall into the end bins. Default: the range of the data.
    {lengths, mask, layout, nan_policy, bias, base, backend, threads}

    Returns
    -------
    {scores}

    Raises
    ------
    {errors}
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    return evaluation.evaluated(
        REVERSE_TRANSFER_ENTROPY, embedding, options, {"h": h, "y": y},
        {"h": h_range, "y": y_range}, bias=bias, lengths=lengths, mask=mask, layout=layout,
        joint=joint, window=embedding.transition,
    )  # fmt: skip
