"""Other measures of the same kind: conditional, local, normalised, reverse, and of one series."""

from __future__ import annotations

import math
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from tefast import evaluation, measures, values, windows
from tefast.backends import MISSING
from tefast.definitions import (
    ACTIVE_INFORMATION,
    CONDITIONAL_TRANSFER_ENTROPY,
    ENTROPY_RATE,
    MUTUAL_INFORMATION,
    RATE_BESIDE_SOURCE,
    REVERSE_TRANSFER_ENTROPY,
    TRANSFER_ENTROPY,
    Measure,
)
from tefast.inputs import Inputs
from tefast.options import Options
from tefast.states import (
    Embedding,
    JointState,
    check_not_negative,
    check_own_steps,
    check_steps,
    own_embedding,
)
from tefast.typing import (
    ArrayLike,
    BackendName,
    Bias,
    BinningLike,
    ConditionalOptions,
    LocalOptions,
    MutualOptions,
    NanPolicy,
    NormalizedOptions,
    OwnOptions,
    Scores,
    TensorLike,
    TransferOptions,
)


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
    target, source = values.read(h, y, layout, joint)
    others = [source, values.conditions(z, target)]
    embedding.check_steps(target)
    ranges = {"h": h_range, "y": y_range, "z": z_range}
    bias = measures.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, others, lengths, ranges, mask)
    return target.wrap(evaluation.scores(CONDITIONAL_TRANSFER_ENTROPY, inputs, embedding, bias))


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
    """The part of what is open about every unit's next value that the source tells, 0 to 1.

    Transfer entropy over ``H(h[t+1] | h[t], .. h[t-(k-1)s])``; 0 where nothing is open.

    Parameters
    ----------
    h, y
        **Target** and **source**, as in `transfer_entropy`, and so are all others.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    target, source = values.read(h, y, layout, joint)
    embedding.check_steps(target)
    options = Options.check(bins, binning, nan_policy, math.e, backend, threads)
    ranges = {"h": h_range, "y": y_range}
    inputs = Inputs.check(options, target, [source], lengths, ranges, mask)
    counted = inputs.windows(TRANSFER_ENTROPY, embedding)
    both = TRANSFER_ENTROPY, RATE_BESIDE_SOURCE
    te, rate = evaluation.of_windows(inputs, counted, both, None)
    return target.wrap(evaluation.normalized(te, rate))


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
    units, series = values.read(h, y, layout, joint)
    embedding.check_steps(units)
    bias = measures.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, units, [series], lengths, {"h": h_range, "y": y_range}, mask)
    return units.wrap(evaluation.scores(REVERSE_TRANSFER_ENTROPY, inputs, embedding, bias))


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
    delay = check_not_negative(delay, "delay")
    target, source = values.read(h, y, layout, joint)
    check_steps(target, delay + 1, f"h[t] beside y[t - delay] with delay={delay}")
    bias = measures.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, [source], lengths, {"h": h_range, "y": y_range}, mask)
    embedding = Embedding(delay=delay)
    return target.wrap(evaluation.scores(MUTUAL_INFORMATION, inputs, embedding, bias))


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
    """What is open about every unit's next value: ``H(h[t+1] | h[t], .. h[t-(k-1)s])``.

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


@overload
def local_transfer_entropy(
    h: ArrayLike, y: Any, bins: int = ..., **options: Unpack[LocalOptions]
) -> Scores: ...
@overload
def local_transfer_entropy(
    h: TensorLike, y: Any, bins: int = ..., **options: Unpack[LocalOptions]
) -> TensorLike: ...
@overload
def local_transfer_entropy(
    h: Any, y: Any, bins: int = ..., **options: Unpack[LocalOptions]
) -> Any: ...
def local_transfer_entropy(
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
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Transfer entropy at every single transition; its mean over them is `transfer_entropy`.

    ``log( p(h[t+1] | past, source) / p(h[t+1] | past) )``, which is negative where the source
    misleads (J. Lizier et al., Phys. Rev. E 77, 026110, 2008).

    Parameters
    ----------
    h, y
        **Target** and **source**, as in `transfer_entropy`, and so are all others.

    Returns
    -------
    float64 array, shape (N, T - f, U), (T - f, U) or (T - f,), in the axes of `h`
        With f = max(1 + (k - 1) s, d + (l - 1) r) the first step that a transition leads to: entry
        i belongs to the transition to step f + i. NaN where that was left out.
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    target, source = values.read(h, y, layout, joint)
    embedding.check_steps(target)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, [source], lengths, {"h": h_range, "y": y_range}, mask)
    counted, binned = inputs.windows(TRANSFER_ENTROPY, embedding), inputs.binned()
    found = np.empty(inputs.target.array.shape)
    for u in range(found.shape[2]):
        codes = binned.units(slice(u, u + 1)).codes()
        found[:, :, u] = _local(**counted.states(codes[:, :, 0]))
    if np.isnan(found).all():
        evaluation.raise_nothing_left()
    local = found[:, embedding.first + 1 :] / math.log(inputs.options.base)
    return target.wrap_steps(local)


def _local(past: JointState, source: JointState, next: JointState) -> npt.NDArray[np.float64]:
    """Nats of every transition (N, T) of one unit."""
    start, move = past.beside(source), past.beside(next)
    joint = start.beside(next)
    seen = joint.codes != MISSING
    counts = (_occurrences(each, seen) for each in (joint, start, move, past))
    n, of_start, of_move, of_past = counts
    local = np.full(seen.shape, np.nan)
    local[seen] = np.log((n / of_start) / (of_move / of_past))
    return local


def _occurrences(state: JointState, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How often the state of each step that is seen is there, among those."""
    codes = state.codes[seen]
    if state.size > windows.DENSE_CELLS:
        _, codes = np.unique(codes, return_inverse=True)
    return np.bincount(codes, minlength=1)[codes].astype(np.float64)


def _of_units(
    measure: Measure, h: Any, bins: Any, history: Any, step: Any, binning: Any,
    h_range: Any, lengths: Any, mask: Any, layout: Any, nan_policy: Any, bias: Any, base: Any,
    backend: Any, threads: Any,
) -> Any:  # fmt: skip
    """A measure of (past, next) of every unit alone."""
    target = values.alone(h, layout)
    embedding = own_embedding(history, step)
    check_own_steps(target, embedding)
    bias = measures.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, [], lengths, {"h": h_range}, mask)
    return target.wrap(evaluation.scores(measure, inputs, embedding, bias))
