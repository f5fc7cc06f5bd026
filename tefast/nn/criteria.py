"""Criteria: what scores the units of a recurrent layer, all through one interface.

A criterion is a function of a `Context` that returns a score for every unit, shape (units,). Those
here are plain functions; their options are given with ``functools.partial``.
"""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import tefast
from tefast._streaming.accumulation import Accumulated
from tefast.nn._layers.grams import RIDGE, Gram, eliminated
from tefast.nn._parameters import documented
from tefast.nn._runs.ranges import valid_steps
from tefast.nn.context import Context
from tefast.typing import Bias, Method

UnitScores: TypeAlias = Any
"""A tensor or array of shape (units,)."""

Criterion: TypeAlias = Callable[[Context], UnitScores]

F = TypeVar("F", bound=Callable[..., Any])


def criterion(*, descending: bool) -> Callable[[F], F]:
    """Say of a criterion which units `select` takes first, unless the caller says otherwise.

    Parameters
    ----------
    descending : bool
        True for the units with the highest scores, False for those with the lowest.

    Returns
    -------
    callable
        A decorator of the criterion.

    Examples
    --------
    >>> @criterion(descending=False)
    ... def spread(context):
    ...     return torch.cat([h.flatten(0, 1) for h, _ in context.outputs()]).std(0)
    """

    def decorate(function: F) -> F:
        function.descending = descending  # type: ignore[attr-defined]
        return function

    return decorate


def order_of(given: Criterion) -> bool | None:
    """Return whether the highest scores of a criterion go first; None where it does not say.

    Parameters
    ----------
    given : callable
        A criterion, or a ``functools.partial`` of one.

    Returns
    -------
    bool or None
    """
    found: bool | None = getattr(given, "descending", None)
    if found is None and isinstance(given, partial):
        return order_of(given.func)
    return found


def _counted(
    *, descending: bool
) -> Callable[[Callable[..., Accumulated]], Callable[..., UnitScores]]:
    """Make a criterion of a function that gives what counts for it."""

    def decorate(counter: Callable[..., Accumulated]) -> Callable[..., UnitScores]:
        @criterion(descending=descending)
        @wraps(counter)
        def scores(context: Context, **options: Any) -> UnitScores:
            found = counter(context, **options)
            count(context, [found])
            return found.compute()

        scores.counter = counter  # type: ignore[attr-defined]
        return scores

    return decorate


def counter_of(given: Criterion) -> Callable[[Context], Accumulated] | None:
    """Return what makes the counter of a criterion that only counts; None for others.

    Parameters
    ----------
    given : callable
        A criterion, or a ``functools.partial`` of one.

    Returns
    -------
    callable or None
    """
    if isinstance(given, partial):
        found = counter_of(given.func)
        return None if found is None else partial(found, *given.args, **given.keywords)
    return getattr(given, "counter", None)


@documented
def count(context: Context, counters: Sequence[Any]) -> None:
    """Fill several counters in one pass over the batches.

    Parameters
    ----------
    {context}
    counters : sequence of streaming objects
        Such as `tefast.TransferEntropy`, for as many units as the context has.
    """
    if any("y" in counter.measure.roles for counter in counters):
        for h, y, lengths in context.observed():
            for counter in counters:
                given = (h, y) if "y" in counter.measure.roles else (h,)
                counter.update(*given, lengths=lengths)
    else:
        for h, lengths in context.outputs():
            for counter in counters:
                counter.update(h, lengths=lengths)


@_counted(descending=True)
@documented
def transfer_entropy(
    context: Context,
    *,
    bias: Bias | None = None,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
) -> Accumulated:
    """Transfer entropy in bits from the series to every unit.

    Parameters
    ----------
    {context, bias, target_history, source_history, delay, target_step, source_step}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return tefast.TransferEntropy(
        context.units,
        bias=bias,
        target_history=target_history,
        source_history=source_history,
        delay=delay,
        target_step=target_step,
        source_step=source_step,
        **_binning(context),
    )


@_counted(descending=False)
@documented
def reverse_transfer_entropy(
    context: Context,
    *,
    bias: Bias | None = None,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
) -> Accumulated:
    """Transfer entropy in bits from every unit to the series.

    Each unit is a source, and the series is the target.

    Parameters
    ----------
    {context, bias, target_history, source_history, delay, target_step, source_step}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return tefast.ReverseTransferEntropy(
        context.units,
        bias=bias,
        target_history=target_history,
        source_history=source_history,
        delay=delay,
        target_step=target_step,
        source_step=source_step,
        **_binning(context),
    )


@documented
def significance(
    context: Context,
    *,
    reverse: bool = False,
    method: Method = "auto",
    surrogates: int | None = None,
) -> tefast.Significance:
    """Test transfer entropy against its absence; see `tefast.significance`.

    Parameters
    ----------
    {context, reverse, method}
    surrogates : int, optional
        The number of surrogates. Default: as many as `tefast.significance` chooses.

    Returns
    -------
    tefast.Significance
        Its arrays have shape (units,).

    Raises
    ------
    ValueError
        If `reverse` is given with another method than "chi2".
    ImportError
        If the method is "chi2" and SciPy is not installed.
    """
    if reverse and method == "auto":
        method = "chi2"
    if method != "chi2":
        if reverse:
            raise ValueError(f"reverse: expected method='chi2', got {method!r}")
        h, y, lengths = _codes(context)
        return tefast.significance(
            h, y, context.bins, method=method, surrogates=surrogates, seed=context.seed,
            lengths=lengths, backend=context.backend, threads=context.threads,
        )  # fmt: skip
    kind = tefast.ReverseTransferEntropy if reverse else tefast.TransferEntropy
    counter = kind(context.units, **_binning(context))
    count(context, [counter])
    return counter.significance()


@criterion(descending=True)
@documented
def effective_transfer_entropy(
    context: Context, *, reverse: bool = False, method: Method = "auto"
) -> UnitScores:
    """Transfer entropy less what chance alone gives; may be negative.

    Parameters
    ----------
    {context, reverse, method}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return significance(context, reverse=reverse, method=method).effective_te


@criterion(descending=True)
@documented
def significant_transfer_entropy(
    context: Context, *, reverse: bool = False, method: Method = "auto", level: float = 0.05
) -> UnitScores:
    """Effective transfer entropy where the false discovery rate is up to `level`, else 0.

    Parameters
    ----------
    {context, reverse, method}
    level : float, default 0.05
        The highest false discovery rate of a significant unit.

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    found = significance(context, reverse=reverse, method=method)
    return np.where(found.q_value <= level, np.maximum(found.effective_te, 0.0), 0.0)


@criterion(descending=True)
@documented
def q_value(context: Context, *, reverse: bool = False, method: Method = "auto") -> UnitScores:
    """The false discovery rate at which transfer entropy is significant, 0 to 1.

    Parameters
    ----------
    {context, reverse, method}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return significance(context, reverse=reverse, method=method).q_value


@_counted(descending=False)
@documented
def entropy(context: Context) -> Accumulated:
    """Entropy in bits of every unit's binned output.

    Parameters
    ----------
    {context}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return tefast.Entropy(context.units, context.bins, **_own(context))


@_counted(descending=False)
@documented
def mutual_information(
    context: Context, *, bias: Bias | None = None, delay: int = 0
) -> Accumulated:
    """Mutual information in bits of every unit and the series.

    Parameters
    ----------
    {context, bias, delay:mutual}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return tefast.MutualInformation(context.units, bias=bias, delay=delay, **_binning(context))


@_counted(descending=False)
@documented
def active_information(
    context: Context, *, bias: Bias | None = None, history: int = 1, step: int = 1
) -> Accumulated:
    """Active information storage in bits of every unit: what its past tells of its next value.

    Parameters
    ----------
    {context, bias, history, step}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return tefast.ActiveInformation(
        context.units, context.bins, history=history, step=step, bias=bias, **_own(context)
    )


@criterion(descending=False)
@documented
def l1_norm(context: Context) -> UnitScores:
    """Sum of ``|w|`` over a unit's rows in ``weight_ih`` and ``weight_hh``, of all gates.

    Parameters
    ----------
    {context}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return _row_sums(context, Tensor.abs)


@criterion(descending=False)
@documented
def l2_norm(context: Context) -> UnitScores:
    """Root of the sum of ``w**2`` over the rows that `l1_norm` sums.

    Parameters
    ----------
    {context}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    return _row_sums(context, Tensor.square).sqrt()


@criterion(descending=False)
@documented
def activation_magnitude(context: Context) -> UnitScores:
    """Mean of a unit's ``|output|`` over all valid steps.

    Parameters
    ----------
    {context}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    total, steps = torch.zeros(context.units, dtype=torch.float64), 0
    for h, lengths in context.outputs():
        valid = h.flatten(0, 1) if lengths is None else h[valid_steps(h, lengths)]
        total += valid.double().abs().sum(0).cpu()
        steps += len(valid)
    if steps == 0:
        raise ValueError("batches: expected a valid step, got none")
    return total / steps


@criterion(descending=False)
@documented
def redundancy(context: Context, *, ridge: float = RIDGE) -> UnitScores:
    """How much of a unit's output the units that stay leave open when its turn to go comes.

    The unit that the others tell best by a linear function goes first, then the one that the rest
    tell best, and so on. Scores are mean squared residuals, each direction of a layer by itself.
    The lowest are those of units for which others can stand in, as `prune` has them do with
    `moments`.

    Parameters
    ----------
    {context}
    ridge : float, default 0.001
        What is added to the diagonal of the second moments, as a fraction of their mean.

    Returns
    -------
    Tensor (units,)
        Mean squared residuals.
    """
    widths = list(context.parts.values())
    widths = widths if sum(widths) == context.units else [context.units]
    grams = [Gram(width) for width in widths]
    for h, lengths in context.outputs():
        valid = h.flatten(0, 1) if lengths is None else h[valid_steps(h, lengths)]
        for gram, rows in zip(grams, torch.split(valid, widths, dim=1), strict=True):
            gram.add(rows)
    if not all(gram.count for gram in grams):
        raise ValueError("batches: expected a valid step, got none")
    return torch.cat([eliminated(gram.whole() / gram.count, ridge) for gram in grams])


@criterion(descending=False)
@documented
def taylor(context: Context) -> UnitScores:
    """``|sum over steps of output times the loss's gradient|``, its mean over sequences.

    It is the change of the loss of a sequence, to first order, when the modules that read the unit
    get 0 from it (P. Molchanov et al., ICLR 2017). It leaves out what the unit does inside the
    layer at later steps, and what reads an LSTM's cell state.

    Parameters
    ----------
    {context}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    total, sequences = torch.zeros(context.units, dtype=torch.float64), 0
    for h, gradient in context.gradients():
        # A batch's loss is a mean, so each sequence has its share of the gradient.
        total += (h.double() * gradient.double()).sum(1).abs().sum(0).cpu() * len(h)
        sequences += len(h)
    return total / sequences


@criterion(descending=False)
@documented
def random(context: Context) -> UnitScores:
    """Uniform numbers in [0, 1) from the context's seed.

    Parameters
    ----------
    {context}

    Returns
    -------
    Tensor or ndarray, shape (units,)

    Raises
    ------
    {errors:criterion}
    """
    generator = torch.Generator().manual_seed(context.seed)
    return torch.rand(context.units, generator=generator, dtype=torch.float64)


def _lowest(of: Criterion, **options: Any) -> Criterion:
    """A criterion with options, of which the lowest scores go first."""
    found = partial(of, **options)
    found.descending = False  # type: ignore[attr-defined]
    return found


NAMED: dict[str, Criterion] = {
    "transfer_entropy": transfer_entropy,
    "corrected_transfer_entropy": partial(transfer_entropy, bias="miller_madow"),
    "effective_transfer_entropy": effective_transfer_entropy,
    "significant_transfer_entropy": significant_transfer_entropy,
    "reverse_transfer_entropy": reverse_transfer_entropy,
    "corrected_reverse_transfer_entropy": partial(reverse_transfer_entropy, bias="miller_madow"),
    "effective_reverse_transfer_entropy": _lowest(effective_transfer_entropy, reverse=True),
    "significant_reverse_transfer_entropy": _lowest(significant_transfer_entropy, reverse=True),
    "entropy": entropy,
    "mutual_information": mutual_information,
    "active_information": active_information,
    "l1": l1_norm,
    "l2": l2_norm,
    "activation_magnitude": activation_magnitude,
    "redundancy": redundancy,
    "taylor": taylor,
    "random": random,
}
"""Criteria that can be asked for by name."""


def _binning(context: Context) -> dict[str, Any]:
    return {"bins": context.bins, **_ranges(context)}


def _ranges(context: Context) -> dict[str, Any]:
    units, of_series = context.ranges
    how = {"backend": context.backend, "threads": context.threads}
    return {"h_range": units, "y_range": of_series, **how}


def _own(context: Context) -> dict[str, Any]:
    """How units are binned where no series is beside them."""
    how = {"backend": context.backend, "threads": context.threads}
    return {"h_range": context.unit_range, **how}


def _row_sums(context: Context, of: Callable[[Tensor], Tensor]) -> Tensor:
    sums = [
        torch.stack([of(rows.cpu().double()).sum((0, 2)) for rows in named.values()]).sum(0)
        for named in context.rows()
    ]
    return torch.cat(sums)


def _codes(context: Context) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Codes of all outputs (N, T, units) and of the series (N, T); valid steps (N,)."""
    every_h, every_y, every_length = [], [], []
    units, of_series = context.ranges
    for h, y, lengths in context.observed():
        steps = torch.full(h.shape[:1], h.shape[1]) if lengths is None else lengths.cpu()
        how: Any = {"backend": context.backend, "threads": context.threads}
        codes = tefast.encode(h, context.bins, h_range=units, lengths=steps, **how)
        every_h.append(codes.cpu().numpy())
        codes = tefast.encode(y, context.bins, h_range=of_series, lengths=steps, layout="NT", **how)
        every_y.append(codes.cpu().numpy())
        every_length.append(steps.numpy().astype(np.int64))
    longest = max(h.shape[1] for h in every_h)
    return _joined(every_h, longest), _joined(every_y, longest), np.concatenate(every_length)


def _joined(parts: list[NDArray[Any]], longest: int) -> NDArray[Any]:
    """Sequences of all batches, the shorter ones filled up."""
    filled = [
        np.pad(part, [(0, 0), (0, longest - part.shape[1]), *[(0, 0)] * (part.ndim - 2)])
        for part in parts
    ]
    return np.concatenate(filled)
