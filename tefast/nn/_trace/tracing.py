"""Runs of a masked model in which the units of some of its layers are followed."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tefast.nn._trace.consumers import UnfitError
from tefast.nn._trace.examples import Arguments
from tefast.nn._trace.found import Found, Returned
from tefast.nn._trace.masked_run import Trace


def find_readings(
    masked: nn.Module,
    names: Sequence[str],
    gone: Tensor,
    examples: Sequence[Arguments],
    returned: Returned = None,
    *,
    once: bool = False,
) -> Found:
    """Run a masked model and return what reads the outputs and final states of layers.

    It is run in float64, or where that cannot be in float32: on every example twice in a row, for
    what it keeps from call to call; on the same values in another order; and on shorter
    sequences, if it packs some of equal lengths.

    Parameters
    ----------
    masked : nn.Module
        Copied for every run.
    names : sequence of str
        Of the layers in it.
    gone : bool Tensor (labels,)
        Which of the labels of `Numbering` are masked.
    examples : sequence of Arguments
        Small, as every value has a label in memory.
    returned : {"states", "all"}, optional
        Which units' outputs may be among what the model returns.
    once : bool
        Run a model that is not masked, and once on each example, to see which units meet.

    Raises
    ------
    UnfitError
        If a layer does not run or is given an initial state that is not 0, or its outputs reach
        something that cannot do with fewer of them: the message names it.
    """
    failures = []
    for dtype in (torch.float64, torch.float32):
        try:
            trace = Trace(masked, names, gone, dtype, returned, once)
            for arguments in examples:
                trace.on(arguments)
            trace.end()
            return trace.found
        except UnfitError:
            raise
        except Exception as error:
            failures.append(f"in {dtype}: {type(error).__name__}: {error!s:.150}")
    raise ValueError(
        f"what reads {names[0]!r} could not be found: the model runs on the example, but not in "
        f"the precision in which it is compared with the masked one ({'; '.join(failures)}); name "
        "the consumers, which leaves the comparison to you"
    )
