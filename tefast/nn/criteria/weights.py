"""Criteria that read the weights alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from tefast.nn._parameters import documented
from tefast.nn.context import Context
from tefast.nn.criteria.registry import UnitScores, criterion


@criterion(descending=False, name="l1")
@documented
def l1_norm(context: Context) -> UnitScores:
    """Sum of ``|w|`` over a unit's rows in ``weight_ih`` and ``weight_hh``, of all gates.

    Parameters
    ----------
    {context}

    {sections:criterion}
    """
    return _row_sums(context, Tensor.abs)


@criterion(descending=False, name="l2")
@documented
def l2_norm(context: Context) -> UnitScores:
    """Root of the sum of ``w**2`` over the rows that `l1_norm` sums.

    Parameters
    ----------
    {context}

    {sections:criterion}
    """
    return _row_sums(context, Tensor.square).sqrt()


def _row_sums(context: Context, of: Callable[[Tensor], Tensor]) -> Tensor:
    sums = [
        torch.stack([of(rows.cpu().double()).sum((0, 2)) for rows in named.values()]).sum(0)
        for named in context.rows()
    ]
    return torch.cat(sums)
