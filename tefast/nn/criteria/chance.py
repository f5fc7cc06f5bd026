"""The criterion that looks at nothing: what the others are held to."""

import torch

from tefast.nn._parameters import documented
from tefast.nn.context import Context
from tefast.nn.criteria.registry import UnitScores, criterion


@criterion(descending=False, name="random")
@documented
def random(context: Context) -> UnitScores:
    """Uniform numbers in [0, 1) from the context's seed.

    Parameters
    ----------
    {context}

    {sections:criterion}
    """
    generator = torch.Generator().manual_seed(context.seed)
    return torch.rand(context.units, generator=generator, dtype=torch.float64)
