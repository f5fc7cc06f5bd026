"""Criteria: what scores the units of a recurrent layer, all through one interface.

A criterion is a function of a `Context` that returns a score for every unit, shape (units,). Those
here are plain functions; their options are given with ``functools.partial``.

All modules of this package are imported. A criterion that its decorator gives a name is known by it
to `score` and to what else takes names, whichever file it lies in.
"""

from importlib import import_module
from pkgutil import iter_modules

# Messages name the criteria in the order of these imports.
# isort: off
from tefast.nn.criteria.registry import NAMED, Criterion, UnitScores, criterion, order_of
from tefast.nn.criteria.counting import count, counter_of
from tefast.nn.criteria.transfer import (
    effective_transfer_entropy,
    q_value,
    reverse_transfer_entropy,
    significance,
    significant_transfer_entropy,
    transfer_entropy,
)
from tefast.nn.criteria.information import active_information, entropy, mutual_information
from tefast.nn.criteria.weights import group_norm, l1_norm, l2_norm
from tefast.nn.criteria.outputs import activation_magnitude, redundancy, spectral, taylor
from tefast.nn.criteria.chance import random
# isort: on

__all__ = [
    "NAMED",
    "Criterion",
    "UnitScores",
    "activation_magnitude",
    "active_information",
    "count",
    "counter_of",
    "criterion",
    "effective_transfer_entropy",
    "entropy",
    "group_norm",
    "l1_norm",
    "l2_norm",
    "mutual_information",
    "order_of",
    "q_value",
    "random",
    "redundancy",
    "reverse_transfer_entropy",
    "significance",
    "significant_transfer_entropy",
    "spectral",
    "taylor",
    "transfer_entropy",
]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
