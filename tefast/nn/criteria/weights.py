"""Criteria that read the weights alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from tefast.nn._layers.recurrent import weights
from tefast.nn._parameters import documented
from tefast.nn.context import Context
from tefast.nn.criteria.registry import UnitScores, criterion
from tefast.nn.unit_norms import readers_of, squared_norms


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


@criterion(descending=False, name="group")
@documented
def group_norm(context: Context) -> UnitScores:
    """Root of the sum of ``w**2`` over all weights that belong to a unit.

    It is the norm that the penalty "group" of `tefast.nn.penalty` sums: of the unit's rows in
    ``weight_ih`` and ``weight_hh`` of all gates, its biases, the column by which its output is read
    in the layer, and in a `SequenceClassifier` its column in ``fc1``. In other models, what reads
    the units outside the layer is not counted.

    Parameters
    ----------
    {context}

    {sections:criterion}
    """
    if context.what != "units":
        raise ValueError(
            f"criterion 'group': expected of='units', whose weights are known, got "
            f"of={context.what!r}"
        )
    readers = readers_of(context.model, context.layer)
    named = weights(context.layer)
    found = [
        squared_norms({role: one.detach().cpu().double() for role, one in named[part].items()},
                      [reader.detach().cpu().double() for reader in readers])
        for part in context.parts
    ]  # fmt: skip
    return torch.cat(found).sqrt()


def _row_sums(context: Context, of: Callable[[Tensor], Tensor]) -> Tensor:
    sums = [
        torch.stack([of(rows.cpu().double()).sum((0, 2)) for rows in named.values()]).sum(0)
        for named in context.rows()
    ]
    return torch.cat(sums)
