"""Other measures of the same kind: conditional, local, normalised, reverse, and of one series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast import evaluation, measures, values, windows
from tefast.backends import MISSING
from tefast.counts import Table
from tefast.evaluation import Inputs
from tefast.measures import Sums
from tefast.options import Options
from tefast.states import (
    Embedding,
    check_not_negative,
    check_positive,
    check_steps,
    history,
    together,
)
from tefast.windows import Windows


def conditional_transfer_entropy(
    h: Any,
    y: Any,
    z: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    binning: Any = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    z_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: str = "raise",
    bias: str | None = None,
    base: float = 2,
    backend: str = "auto",
    threads: int | None = None,
) -> Any:
    """Transfer entropy from `y` to every unit of `h` beyond what the conditions `z` tell.

    ``I(h[t+1]; y[t+1-d-l+1 .. t+1-d] | h[t-k+1 .. t], z[t])``: what goes by way of `z`, or comes
    from it to both, is not counted.

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
    target_history, source_history, delay
        k, l and d, as in `transfer_entropy`.
    bins, binning, h_range, y_range, lengths, mask, layout, nan_policy, bias, base, backend, threads
        As in `transfer_entropy`.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    embedding = Embedding.check(target_history, source_history, delay)
    target, source = values.read(h, y, layout)
    others = [source, values.conditions(z, target)]
    embedding.check_steps(target)
    ranges = {"h": h_range, "y": y_range, "z": z_range}
    bias = measures.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, others, lengths, ranges, mask)
    plain, given = evaluation.transitions(inputs, embedding), inputs.codes(1)
    # A window ends at the next step, where the conditions are one step back.
    of_each = inputs.bins_of(inputs.others[1])
    parts = [history(given[:, :, i], of_each, 1, shift=1) for i in range(given.shape[2])]
    conditions = together(parts, [of_each] * len(parts))
    counted = Windows.joined(
        plain.length,
        plain.own,
        [conditions, plain.shared],
        (of_each ** len(parts), *plain.beside),
        ("past", "next", "condition", "source"),
    )
    return target.wrap(evaluation.of_windows(inputs, counted, _conditional, bias))


def normalized_transfer_entropy(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    binning: Any = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: str = "raise",
    backend: str = "auto",
    threads: int | None = None,
) -> Any:
    """The part of what is open about every unit's next value that the source tells, 0 to 1.

    Transfer entropy over ``H(h[t+1] | h[t-k+1 .. t])``; 0 where nothing is open.

    Parameters
    ----------
    h, y
        **Target** and **source**, as in `transfer_entropy`, and so are all others.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    embedding = Embedding.check(target_history, source_history, delay)
    target, source = values.read(h, y, layout)
    embedding.check_steps(target)
    options = Options.check(bins, binning, nan_policy, math.e, backend, threads)
    ranges = {"h": h_range, "y": y_range}
    inputs = Inputs.check(options, target, [source], lengths, ranges, mask)
    counted = evaluation.transitions(inputs, embedding)
    both = evaluation.transferred, _rate
    te, rate = evaluation.several_of_windows(inputs, counted, both, None)
    with np.errstate(invalid="ignore", divide="ignore"):
        return target.wrap(np.where(rate > 0, te / rate, te * 0.0))


def reverse_transfer_entropy(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    binning: Any = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: str = "raise",
    bias: str | None = None,
    base: float = 2,
    backend: str = "auto",
    threads: int | None = None,
) -> Any:
    """Transfer entropy the other way: from every unit of `h` to the series `y`.

    ``I(y[t+1]; h[t+1-d-l+1 .. t+1-d] | y[t-k+1 .. t])``. Here each unit is a **source** and `y` is
    the **target**: `target_history` is that of `y`, `source_history` that of the units.

    Parameters
    ----------
    h, y
        Shapes as in `transfer_entropy`, and so are all others.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    embedding = Embedding.check(target_history, source_history, delay)
    units, series = values.read(h, y, layout)
    embedding.check_steps(units)
    bias = measures.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, units, [series], lengths, {"h": h_range, "y": y_range}, mask)
    codes, number, of_unit = inputs.codes()[:, :, 0], inputs.source_bins, inputs.bins
    # A window of a unit ends `delay` steps before the next step of y.
    past = history(codes, number, target_history, shift=1 - delay)
    following = history(codes, number, 1, shift=-delay)
    counted = Windows.joined(
        source_history,
        (of_unit**source_history,),
        [past, following],
        (number**target_history, number),
        ("source", "past", "next"),
    )
    return units.wrap(evaluation.of_windows(inputs, counted, evaluation.transferred, bias))


def mutual_information(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    delay: int = 0,
    binning: Any = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: str = "raise",
    bias: str | None = None,
    base: float = 2,
    backend: str = "auto",
    threads: int | None = None,
) -> Any:
    """Mutual information of every unit and the source: ``I(h[t]; y[t - delay])``.

    Parameters
    ----------
    h, y
        As in `transfer_entropy`, and so are all others.
    delay : int, default 0
        Steps from the source to the unit, not negative.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    delay = check_not_negative(delay, "delay")
    target, source = values.read(h, y, layout)
    check_steps(target, delay + 1, f"h[t] beside y[t - delay] with delay={delay}")
    bias = measures.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, [source], lengths, {"h": h_range, "y": y_range}, mask)
    shared = history(inputs.codes()[:, :, 0], inputs.source_bins, 1, shift=delay)
    counted = Windows(1, (inputs.bins,), shared, (inputs.source_bins,), ("unit", "source"))
    return target.wrap(evaluation.of_windows(inputs, counted, _mutual, bias))


def active_information(
    h: Any,
    bins: int = 16,
    *,
    history: int = 1,
    binning: Any = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: str = "raise",
    bias: str | None = None,
    base: float = 2,
    backend: str = "auto",
    threads: int | None = None,
) -> Any:
    """Active information storage of every unit: ``I(h[t+1]; h[t-k+1 .. t])``.

    What a unit's own past tells about its next value (J. Lizier et al., "Local measures of
    information storage in complex distributed computation", Inf. Sci. 208, 39, 2012).

    Parameters
    ----------
    h
        As in `transfer_entropy`, and so are all others. ``(N, T)`` takes ``layout="NT"``.
    history : int, default 1
        k, steps of the past.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    given = (h, bins, history, binning, h_range, lengths, mask, layout, nan_policy, bias, base)
    return _of_units(_stored, *given, backend, threads)


def entropy_rate(
    h: Any,
    bins: int = 16,
    *,
    history: int = 1,
    binning: Any = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: str = "raise",
    bias: str | None = None,
    base: float = 2,
    backend: str = "auto",
    threads: int | None = None,
) -> Any:
    """What is open about every unit's next value given its past: ``H(h[t+1] | h[t-k+1 .. t])``.

    Parameters
    ----------
    h, history
        As in `active_information`, and so are all others.

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units
    """
    given = (h, bins, history, binning, h_range, lengths, mask, layout, nan_policy, bias, base)
    return _of_units(_rate, *given, backend, threads)


def local_transfer_entropy(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    binning: Any = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: str = "raise",
    base: float = 2,
    backend: str = "auto",
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
        With f = max(k, d + l - 1) the first step that a transition leads to: entry i belongs to the
        transition to step f + i. NaN where that was left out.
    """
    embedding = Embedding.check(target_history, source_history, delay)
    target, source = values.read(h, y, layout)
    embedding.check_steps(target)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, [source], lengths, {"h": h_range, "y": y_range}, mask)
    counted = evaluation.transitions(inputs, embedding)
    counted.check()
    data, cuts = inputs.target, inputs.learned(inputs.target)
    sequences, steps, units = data.array.shape
    found = np.empty((sequences, steps, units))
    for u in range(units):
        codes = windows.codes_of(
            inputs.options.backend, data, cuts, inputs.lengths, slice(u, u + 1), threads
        )
        found[:, :, u] = _local(windows.keys(codes[:, :, 0], counted, inputs.bins), counted)
    if np.isnan(found).all():
        evaluation.raise_nothing_left()
    local = found[:, embedding.first + 1 :] / math.log(inputs.options.base)
    return target.wrap_steps(local)


def _local(cell: npt.NDArray[np.int64], counted: Windows) -> npt.NDArray[np.float64]:
    """Nats of every cell (N, T) of one unit."""
    seen = cell != MISSING
    state = math.prod(counted.beside)
    own, source = np.divmod(cell[seen], state)
    past = own // counted.own[-1]
    joint, move, start, only = (
        _occurrences(*part)
        for part in (
            (cell[seen], math.prod(counted.shape)),
            (own, math.prod(counted.own)),
            (past * state + source, counted.own[0] * state),
            (past, counted.own[0]),
        )
    )
    local = np.full(cell.shape, np.nan)
    local[seen] = np.log((joint / start) / (move / only))
    return local


def _occurrences(of: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.float64]:
    """How often each entry, 0 .. size - 1, is there."""
    if size > windows.DENSE_CELLS:
        _, of, counts = np.unique(of, return_inverse=True, return_counts=True)
        return counts[of].astype(np.float64)
    return np.bincount(of, minlength=1)[of].astype(np.float64)


def _of_units(
    measure: evaluation.Measure, h: Any, bins: Any, steps: Any, binning: Any, h_range: Any,
    lengths: Any, mask: Any, layout: Any, nan_policy: Any, bias: Any, base: Any, backend: Any,
    threads: Any,
) -> Any:  # fmt: skip
    """A measure of (past, next) of every unit alone."""
    past = check_positive(steps, "history")
    target = values.alone(h, layout)
    check_steps(target, past + 1, f"a transition with history={past}")
    bias = measures.check_bias(bias)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, [], lengths, {"h": h_range}, mask)
    everywhere = np.zeros(target.array.shape[:2], np.int64)
    counted = Windows(past + 1, (inputs.bins**past, inputs.bins), everywhere, (), ("past", "next"))
    return target.wrap(evaluation.of_windows(inputs, counted, measure, bias))


def _conditional(table: Table, grassberger: bool) -> Sums:
    given = ("past", "condition")
    return measures.conditional_information(table, ("next",), ("source",), given, grassberger)


def _mutual(table: Table, grassberger: bool) -> Sums:
    return measures.conditional_information(table, ("unit",), ("source",), (), grassberger)


def _stored(table: Table, grassberger: bool) -> Sums:
    return measures.conditional_information(table, ("next",), ("past",), (), grassberger)


def _rate(table: Table, grassberger: bool) -> Sums:
    return measures.conditional_entropy(table, ("next",), ("past",), grassberger)
