"""Criteria of transfer entropy, and of how surely it is more than chance gives."""

from functools import partial

import numpy as np

import tefast
from tefast._streaming.accumulation import Accumulated
from tefast.nn._parameters import documented
from tefast.nn.context import Context
from tefast.nn.criteria.counting import codes, count, counted, of_both
from tefast.nn.criteria.registry import UnitScores, criterion
from tefast.typing import Bias, Method


@counted(descending=True, name="transfer_entropy")
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

    {sections:criterion}
    """
    return tefast.TransferEntropy(
        context.units,
        bias=bias,
        target_history=target_history,
        source_history=source_history,
        delay=delay,
        target_step=target_step,
        source_step=source_step,
        **of_both(context),
    )


criterion(descending=True, name="corrected_transfer_entropy")(
    partial(transfer_entropy, bias="miller_madow")
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
        h, y, lengths = codes(context)
        return tefast.significance(
            h, y, context.bins, method=method, surrogates=surrogates, seed=context.seed,
            lengths=lengths, backend=context.backend, threads=context.threads,
        )  # fmt: skip
    kind = tefast.ReverseTransferEntropy if reverse else tefast.TransferEntropy
    counter = kind(context.units, **of_both(context))
    count(context, [counter])
    return counter.significance()


@criterion(descending=True, name="effective_transfer_entropy")
@documented
def effective_transfer_entropy(
    context: Context, *, reverse: bool = False, method: Method = "auto"
) -> UnitScores:
    """Transfer entropy less what chance alone gives; may be negative.

    Parameters
    ----------
    {context, reverse, method}

    {sections:criterion}
    """
    return significance(context, reverse=reverse, method=method).effective_te


@criterion(descending=True, name="significant_transfer_entropy")
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

    {sections:criterion}
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

    {sections:criterion}
    """
    return significance(context, reverse=reverse, method=method).q_value


@counted(descending=False, name="reverse_transfer_entropy")
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

    {sections:criterion}
    """
    return tefast.ReverseTransferEntropy(
        context.units,
        bias=bias,
        target_history=target_history,
        source_history=source_history,
        delay=delay,
        target_step=target_step,
        source_step=source_step,
        **of_both(context),
    )


criterion(descending=False, name="corrected_reverse_transfer_entropy")(
    partial(reverse_transfer_entropy, bias="miller_madow")
)
criterion(descending=False, name="effective_reverse_transfer_entropy")(
    partial(effective_transfer_entropy, reverse=True)
)
criterion(descending=False, name="significant_reverse_transfer_entropy")(
    partial(significant_transfer_entropy, reverse=True)
)
