"""Transfer entropy from a source to every unit, and what is made of it."""

from __future__ import annotations

import math
from typing import Any, Unpack, overload

from tefast._counting import evaluation
from tefast._counting.options import Options
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
    h : array_like, shape (N, T, U), (T, U) or (T,); or (N, T) where `y` has that shape
        The **target**: N sequences of T steps of U units. NumPy array, torch tensor, table of
        pandas or polars, xarray, or anything with ``__dlpack__`` or ``__array__``; or a list of N
        arrays ``(T, U)``, or ``(T,)``, of unequal lengths. Floats (float16, bfloat16, float32,
        float64) are binned; integers are symbols ``0 .. bins - 1``. Read where it lies, never
        changed.
    y : array_like, shape (N, T), or (T,) where `h` has no axis of sequences
        The **source**, one series that is compared with every unit: the axes of `h` without that of
        units. With `joint` an axis more at the end, for several.
    bins : int, default 16
        Number of bins, or of symbols; 2 to 256.
    target_history : int, default 1
        k, steps of the unit's own past.
    source_history : int, default 1
        l, steps of the source.
    delay : int, default 1
        d, steps from the source's last one to the unit's next.
    target_step, source_step : int, default 1
        s and r, steps from one entry of a history to the next.
    joint : bool, default False
        Take `y` as several sources at once, (N, T, S) or (T, S): what all of them tell together.
        Each is binned on its own, in as many bins.
    binning : {"uniform", "quantile", "symbols"}, array_like, Binning or mapping, default "uniform"
        "uniform" makes bins of equal width. "quantile" makes bins that hold equally many of each
        unit's own values. Where ties leave fewer distinct values than bins, fewer bins are filled,
        and a warning says so. "symbols" takes every distinct value of an input as a symbol, be it
        an integer, a string or another label, up to 32,767 of them. `bins` is then the number
        found. An array holds inner edges, shape (bins - 1,), or (U, bins - 1) for edges of each
        unit. Bin i is ``[edge i-1, edge i)``; values beyond the outermost edges fall into the end
        bins. A `Binning` that `learn_binning` returned is used as it is. A mapping such as
        ``{"h": "quantile", "y": [0.5]}`` says it for each input.
    h_range, y_range : (low, high), optional
        The range that uniform bins divide: two numbers, or one pair for each unit, or for each of
        several sources. Values outside fall into the end bins. None: each unit's own range.
    lengths : array_like of int, shape (N,), optional
        Valid steps of each sequence; what lies beyond is not looked at.
    mask : array_like of bool, shape (N, T) or that of `h`, optional
        False marks steps of target and source, or values of the target, that are left out. So is
        every transition that touches one of them. This works on a copy of the data.
    layout : str, optional
        What the axes of `h` hold, one letter for each in their order: N sequences, T steps, U
        units. Default: "NTU", "TU" or "T", or "NT" where `y` has the two axes of `h`. "NUT" is for
        channels before time, "UT" for a transposed ``(T, U)``. `y` and `mask` follow it.
    nan_policy : {"raise", "omit"}, default "raise"
        "omit" leaves out every transition that touches a NaN, or a missing value of a masked array
        or a table.
    bias : {None, "miller_madow", "grassberger"}, default None
        A correction of the plug-in estimate's bias, see `tefast._tables.entropies.mean` and
        `tefast._tables.entropies.grassberger_log`; with one the result may be negative.
    base : float, default 2
        Base of the logarithm: 2 gives bits, ``math.e`` nats.
    backend : {"auto", "cpu", "cuda", "reference"}, default "auto"
        "auto" counts where `h` lies: on its GPU, if this build of tefast has CUDA, else on the
        CPU. Only "auto" falls back to another. "cuda" copies what lies elsewhere to the GPU.
    threads : int, optional
        Default: as many as OpenMP would use (``OMP_NUM_THREADS``), fewer for little data. In a
        process that was forked after tefast had been imported it is always 1, since OpenMP does
        not survive a fork. Of no effect on a GPU.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
        NumPy for NumPy, a tensor on its own device for a tensor, a Series of pandas for a table.
        Never negative; 0 for a unit that is constant; NaN for a unit that `nan_policy` left
        without a transition.

    Raises
    ------
    ValueError, TypeError
        Before any counting, saying what was expected and what came.

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
    h : array_like, shape (N, T, U), (T, U) or (T,); or (N, T) where `y` has that shape
        The **target**.
    y : array_like, shape (N, T), or (T,) where `h` has no axis of sequences
        The **source**.
    z : array_like, of the shape of `y`, or (N, T, Z) or (T, Z) for Z conditions at once
        The **conditions**, each in as many bins.
    z_range : (low, high), optional
        As `y_range`; scalars or one value a condition.
    target_history, source_history, delay, target_step, source_step
        k, l, d, s and r, as in `transfer_entropy`.
    joint, bins, binning, h_range, y_range, lengths, mask, layout, nan_policy, bias, base, backend
    threads
        As in `transfer_entropy`.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
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
    h, y
        **Target** and **source**, as in `transfer_entropy`, and so are all others.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
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
    h, y
        Shapes as in `transfer_entropy`, and so are all others.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    return evaluation.evaluated(
        REVERSE_TRANSFER_ENTROPY, embedding, options, {"h": h, "y": y},
        {"h": h_range, "y": y_range}, bias=bias, lengths=lengths, mask=mask, layout=layout,
        joint=joint, window=embedding.transition,
    )  # fmt: skip
