"""Criteria that read the numbers that units give, without bins."""

import torch
from torch import Tensor

from tefast.nn._layers.grams import RIDGE, Gram, eliminated, selected
from tefast.nn._parameters import documented
from tefast.nn._runs.ranges import valid_steps
from tefast.nn.context import Context
from tefast.nn.criteria.registry import UnitScores, criterion


@criterion(descending=False, name="activation_magnitude")
@documented
def activation_magnitude(context: Context) -> UnitScores:
    """Mean of a unit's ``|output|`` over all valid steps.

    Parameters
    ----------
    {context}

    {sections:criterion}
    """
    total, steps = torch.zeros(context.units, dtype=torch.float64), 0
    for h, lengths in context.outputs():
        valid = h.flatten(0, 1) if lengths is None else h[valid_steps(h, lengths)]
        total += valid.double().abs().sum(0).cpu()
        steps += len(valid)
    if steps == 0:
        raise ValueError("batches: expected a valid step, got none")
    return total / steps


@criterion(descending=False, name="redundancy")
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
    return torch.cat([eliminated(second, ridge) for second in _second_moments(context)])


@criterion(descending=False, name="spectral")
@documented
def spectral(context: Context, *, ridge: float = RIDGE) -> UnitScores:
    """How early a greedy selection takes a unit, so that linear functions of it tell the others.

    It is the selection of T. Furuya et al., "Spectral pruning for recurrent neural networks",
    AISTATS 2022, by the loss of what all units of the layer say. At each step the unit is taken
    that lowers most the mean squared residual of all units, summed, when those taken tell them by
    ridge regression. The first of U units scores U, the last 1, each direction of a layer by
    itself.

    `redundancy` goes the other way: from all units it takes away the one that the rest tell best.
    The residual of that unit alone decides there, whereas here that of all units does. Neither
    way finds the best set of units for sure.

    Parameters
    ----------
    {context}
    ridge : float, default 0.001
        What is added to the diagonal of the second moments, as a fraction of their mean over all
        units.

    Returns
    -------
    Tensor (units,)
        Whole numbers, the highest for the unit that is taken first.
    """
    found = []
    for second in _second_moments(context):
        order, units = selected(second, ridge), len(second)
        scores = torch.empty(units, dtype=torch.float64)
        scores[order] = torch.arange(units, 0, -1, dtype=torch.float64)
        found.append(scores)
    return torch.cat(found)


@criterion(descending=False, name="taylor")
@documented
def taylor(context: Context) -> UnitScores:
    """``|sum over steps of output times the loss's gradient|``, its mean over sequences.

    It is the change of the loss of a sequence, to first order, when the modules that read the unit
    get 0 from it (P. Molchanov et al., ICLR 2017). It leaves out what the unit does inside the
    layer at later steps, and what reads an LSTM's cell state.

    Parameters
    ----------
    {context}

    {sections:criterion}
    """
    total, sequences = torch.zeros(context.units, dtype=torch.float64), 0
    for h, gradient in context.gradients():
        # A batch's loss is a mean, so each sequence has its share of the gradient.
        total += (h.double() * gradient.double()).sum(1).abs().sum(0).cpu() * len(h)
        sequences += len(h)
    return total / sequences


def _second_moments(context: Context) -> list[Tensor]:
    """Mean outer products of the units' outputs, of each layer and direction."""
    widths = list(context.parts.values())
    widths = widths if sum(widths) == context.units else [context.units]
    grams = [Gram(width) for width in widths]
    for h, lengths in context.outputs():
        valid = h.flatten(0, 1) if lengths is None else h[valid_steps(h, lengths)]
        for gram, rows in zip(grams, torch.split(valid, widths, dim=1), strict=True):
            gram.add(rows)
    if not all(gram.count for gram in grams):
        raise ValueError("batches: expected a valid step, got none")
    return [gram.whole() / gram.count for gram in grams]
