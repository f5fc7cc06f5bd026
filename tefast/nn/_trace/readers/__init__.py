"""Modules that read the units: a class for each kind, and the list of all kinds.

Adding a kind means adding one subclass of `ReaderKind` here.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from tefast.nn._layers.recurrent import check_recurrent
from tefast.nn._trace.consumers import Reading
from tefast.nn._trace.copies import check_own
from tefast.nn._trace.kinds import KINDS, kind_of
from tefast.nn._trace.readers import attention, convolutions, dense, elementwise, norms, recurrent

for _group in (dense, convolutions, elementwise, recurrent, norms, attention):
    KINDS.extend(_group.KINDS)


def check_reader(module: nn.Module) -> None:
    """Raise ValueError unless all parameters of a reader are plain ones of its class."""
    check_own(module)
    kind = kind_of(module)
    if kind is None:
        check_recurrent(module)  # says what is expected
    else:
        kind.check(module)


def narrow(module: nn.Module, readings: Mapping[str, Reading], kept: Tensor) -> nn.Module:
    """Build what computes the same as `module` from the kept units alone.

    Parameters
    ----------
    module : nn.Module
        Of one of `KINDS`; not changed.
    readings : dict of input name to Reading
    kept : bool Tensor (features,)
        For every label of a unit, whether it stays.

    Returns
    -------
    Module with the dtype, device, requires_grad and training mode of `module`

    Raises
    ------
    ValueError
        If removed units leave something behind that belongs into a bias, and there is none.
    """
    kind = kind_of(module)
    assert kind is not None
    twin = kind.narrow(module, readings, kept)
    for one in twin.modules():
        one.training = module.training
    return twin
