"""Layers of a model that lose units together, and all that is built without them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from tefast.nn._layers.layers import Chosen, check_enough, keep, shrink, zeroed
from tefast.nn._layers.numbering import Numbering, check_together, classes, closed, widths
from tefast.nn._layers.recurrent import (
    Cell,
    Recurrent,
    check_plain,
    check_recurrent,
    check_untied,
    find_module,
)
from tefast.nn._layers.stack import RecurrentStack, part_name
from tefast.nn._layers.units import Selection, choose, others
from tefast.nn._trace.copies import check_own, copy_with
from tefast.nn._trace.flow import Tie
from tefast.nn._trace.readers import check_reader, narrow

M = TypeVar("M", bound=nn.Module)
_RECURRENT = (*get_args(Recurrent), *get_args(Cell), RecurrentStack)


class Group:
    """A recurrent layer and those that lose units with it.

    Parameters
    ----------
    model : nn.Module
    rnn : str
        Name of the layer.
    kept : Chosen
        Its units that stay.
    tied : iterable of names, or mapping of names to units, optional
        Further recurrent layers, ``nn.Linear`` or ``nn.Embedding`` of the model. Which units they
        lose is said, or follows from those they meet, see `follow`.

    Attributes
    ----------
    names : list of str
    numbering : Numbering
        Of their units.
    gone : bool Tensor
        For every number, whether the unit is removed.
    open : bool
        Whether it is not known yet which units some of the layers lose.

    Raises
    ------
    TypeError, ValueError
        If a name is not that of such a layer, or units are not its own.
    """

    def __init__(
        self,
        model: nn.Module,
        rnn: str,
        kept: Chosen,
        tied: Iterable[str] | Mapping[str, Selection] | None = None,
    ) -> None:
        if isinstance(tied, str):
            raise TypeError(f"tied: expected a sequence of names, got the string {tied!r}")
        further = list(tied or ())
        self.names = [rnn, *further]
        layers = {name: find_module(model, name) for name in self.names}
        if len(set(layers.values())) < len(self.names):
            raise ValueError(f"tied: expected distinct layers beside {rnn!r}, got {further}")
        for name in further:
            with about(f"tied {name!r}"):
                check_member(layers[name])
        self.numbering = Numbering(layers)
        self.given = {rnn: kept}
        if isinstance(tied, Mapping):
            for name, units in tied.items():
                with about(f"tied {name!r}"):
                    self.given[name] = _kept(layers[name], units)
        self.open = len(self.given) < len(self.names)
        stay = torch.ones(self.numbering.count, dtype=torch.bool)
        for name, some in self.given.items():
            own = self.numbering.flags(name, *_everything(layers[name]))
            left = self.numbering.flags(name, some.outputs, some.hidden)
            stay &= ~own | left
        self.gone = ~stay

    def follow(self, ties: list[Tie]) -> None:
        """Find which units the other layers lose: those that can only go together.

        Raises
        ------
        ValueError
            If further units of layers whose units are given would have to go.
        """
        together = classes(self.numbering.count, ties)
        self.gone = closed(self.gone, together)
        self.open = False
        self.check(ties)

    def check(self, ties: list[Tie]) -> None:
        """Raise ValueError unless units that meet go together, and some of each layer stay."""
        for tie in ties:
            check_together(self.numbering, tie, self.gone)
        for name in self.names:
            outputs, hidden = self.numbering.units(name, ~self.gone)
            for part, left in (*outputs.items(), *hidden.items()):
                if not len(left):
                    raise ValueError(f"all units of {name!r} {part_name(part)} would be removed")

    def left(self, name: str) -> Chosen:
        """Return the units of a layer that stay."""
        outputs, hidden = self.numbering.units(name, ~self.gone)
        return Chosen(hidden, outputs)

    def masked(self, model: M) -> M:
        """Copy a model with the removed units masked."""
        replaced = {}
        for name in self.names:
            layer = find_module(model, name)
            outputs, hidden = self.numbering.units(name, self.gone)
            replaced[layer] = zeroed(layer, Chosen(hidden, outputs))
        check_untied(model, replaced)
        return copy_with(model, replaced)

    def without(self, model: M, readings: Any) -> M:
        """Copy a model with smaller layers and with what reads them narrowed."""
        modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
        smaller: dict[nn.Module, nn.Module] = {}
        for name in readings:
            with about(f"consumer {name!r}"):
                check_reader(modules[name])
        check_untied(model, [modules[name] for name in {*self.names, *readings}])
        for name in self.names:
            left = self.left(name)
            if isinstance(modules[name], _RECURRENT):
                with about(f"submodule {name!r}"):
                    check_enough(cast(Any, modules[name]), left)
            smaller[modules[name]] = shrink(modules[name], left)
        for name, reading in readings.items():
            with about(f"consumer {name!r}"):
                module = smaller.get(modules[name], modules[name])
                smaller[modules[name]] = narrow(module, reading, ~self.gone)
        return copy_with(model, smaller)


def check_member(module: nn.Module) -> None:
    """Raise TypeError or ValueError unless units of a module can be removed."""
    if type(module) in (nn.Linear, nn.Embedding):
        check_own(module)
        biased = isinstance(module, nn.Linear) and module.bias is not None
        check_plain(module, ["weight", "bias"] if biased else ["weight"])
        if isinstance(module, nn.Embedding) and module.max_norm is not None:
            raise ValueError(
                "expected an nn.Embedding without max_norm, which depends on the width"
            )
    elif type(module) not in _RECURRENT:
        raise TypeError(
            "expected a recurrent layer, an nn.Linear or an nn.Embedding, got "
            f"{type(module).__name__}"
        )
    else:
        check_recurrent(module)


def _kept(layer: nn.Module, units: Selection) -> Chosen:
    if isinstance(layer, _RECURRENT):
        return keep(cast(Any, layer), units, None)
    wide = widths(layer)
    left = others(choose(units, wide.hidden, "units", may_be_all=False), wide.hidden)
    return Chosen(left, left)


def _everything(layer: nn.Module) -> tuple[dict[Any, Tensor], dict[Any, Tensor]]:
    wide = widths(layer)
    outputs, hidden = (
        {p: torch.arange(n) for p, n in s.items()} for s in (wide.outputs, wide.hidden)
    )
    return outputs, hidden


@contextmanager
def about(what: str) -> Iterator[None]:
    """Say what an error is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from None
