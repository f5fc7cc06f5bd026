"""Criteria of other information: of a unit, in its past, and in common with the series."""

import tefast
from tefast._streaming.accumulation import Accumulated
from tefast.nn._parameters import documented
from tefast.nn.context import Context
from tefast.nn.criteria.counting import counted, of_both, of_units
from tefast.typing import Bias


@counted(descending=False, name="entropy")
@documented
def entropy(context: Context) -> Accumulated:
    """Entropy in bits of every unit's binned output.

    Parameters
    ----------
    {context}

    {sections:criterion}
    """
    return tefast.Entropy(context.units, **of_units(context))


@counted(descending=False, name="mutual_information")
@documented
def mutual_information(
    context: Context, *, bias: Bias | None = None, delay: int = 0
) -> Accumulated:
    """Mutual information in bits of every unit and the series.

    Parameters
    ----------
    {context, bias, delay:mutual}

    {sections:criterion}
    """
    return tefast.MutualInformation(context.units, bias=bias, delay=delay, **of_both(context))


@counted(descending=False, name="active_information")
@documented
def active_information(
    context: Context, *, bias: Bias | None = None, history: int = 1, step: int = 1
) -> Accumulated:
    """Active information storage in bits of every unit: what its past tells of its next value.

    Parameters
    ----------
    {context, bias, history, step}

    {sections:criterion}
    """
    return tefast.ActiveInformation(
        context.units, history=history, step=step, bias=bias, **of_units(context)
    )
