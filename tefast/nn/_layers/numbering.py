"""Numbers for the units of layers that lose some together."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tefast.nn._layers.recurrent import Layer, LayerSizes, sizes, weights
from tefast.nn._layers.stack import Part, part_name
from tefast.nn._trace.consumers import UnfitError
from tefast.nn._trace.flow import Tie

Flags = Mapping[Part, Tensor]


def widths(module: nn.Module) -> LayerSizes:
    """Return how many units and outputs a layer has, in every direction of each of its layers.

    The units of an ``nn.Linear`` are its output features, those of an ``nn.Embedding`` the
    entries of its vectors.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        weight = module.weight
        one = {(0, 0): weight.shape[0] if isinstance(module, nn.Linear) else weight.shape[1]}
        return LayerSizes(one, one)
    layer: Layer = module  # type: ignore[assignment]
    return sizes(weights(layer))


class Numbering:
    """Numbers for the units of layers: their outputs, and with projections their units too.

    Parameters
    ----------
    layers : mapping of name to layer

    Attributes
    ----------
    outputs, hidden : dict of name to dict of (layer, direction) to LongTensor
        The numbers.
    count : int
        How many there are.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.count = 0
        self.outputs: dict[str, dict[Part, Tensor]] = {}
        self.hidden: dict[str, dict[Part, Tensor]] = {}
        for name, layer in layers.items():
            wide = widths(layer)
            self.outputs[name] = self.hidden[name] = self._ranges(wide.outputs)
            if (
                wide.outputs is not wide.hidden
                and isinstance(layer, nn.Module)
                and _projects(layer)
            ):
                self.hidden[name] = self._ranges(wide.hidden)

    def last(self, name: str) -> Tensor:
        """Return the numbers of a layer's output features, both directions concatenated."""
        outputs = self.outputs[name]
        number = max(layer for layer, _ in outputs)
        return torch.cat([labels for part, labels in outputs.items() if part[0] == number])

    def flags(self, name: str, outputs: Flags, hidden: Flags) -> Tensor:
        """Return a bool Tensor (count,), True for the units of a layer that are named."""
        flags = torch.zeros(self.count, dtype=torch.bool)
        for labels, chosen in ((self.outputs[name], outputs), (self.hidden[name], hidden)):
            for part, units in chosen.items():
                flags[labels[part][units]] = True
        return flags

    def units(self, name: str, flags: Tensor) -> tuple[dict[Part, Tensor], dict[Part, Tensor]]:
        """Return the outputs and units of a layer for which a bool Tensor (count,) is True."""
        outputs, hidden = (
            {part: flags[labels].nonzero().flatten() for part, labels in each[name].items()}
            for each in (self.outputs, self.hidden)
        )
        return outputs, hidden

    def title(self, label: int) -> str:
        """Return what messages call a unit."""
        for name in self.outputs:
            for each in (self.outputs[name], self.hidden[name]):
                for part, labels in each.items():
                    if labels[0] <= label <= labels[-1]:
                        where = f" {part_name(part)}" if len(each) > 1 else ""
                        return f"unit {label - int(labels[0])} of {name!r}{where}"
        raise AssertionError(label)

    def name(self, label: int) -> str:
        """Return the name of the layer that a unit is of."""
        for name in self.outputs:
            for each in (self.outputs[name], self.hidden[name]):
                if any(labels[0] <= label <= labels[-1] for labels in each.values()):
                    return name
        raise AssertionError(label)

    def _ranges(self, sizes: Mapping[Part, int]) -> dict[Part, Tensor]:
        found = {}
        for part, width in sizes.items():
            found[part] = torch.arange(self.count, self.count + width)
            self.count += width
        return found


def _projects(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Linear | nn.Embedding):
        return False
    every: Layer = layer  # type: ignore[assignment]
    return any("weight_hr" in named for named in weights(every).values())


def classes(count: int, ties: list[Tie]) -> Tensor:
    """Return for every unit the lowest number of those that can only go together with it.

    Parameters
    ----------
    count : int
    ties : list of Tie

    Returns
    -------
    LongTensor (count,)
    """
    lowest = list(range(count))

    def root(label: int) -> int:
        while lowest[label] != label:
            lowest[label] = lowest[lowest[label]]
            label = lowest[label]
        return label

    for tie in ties:
        one, other = sorted((root(tie.one), root(tie.other)))
        lowest[other] = one
    return torch.tensor([root(label) for label in range(count)], dtype=torch.int64)


def closed(gone: Tensor, together: Tensor) -> Tensor:
    """Return `gone` with all units that can only go together with those.

    Parameters
    ----------
    gone : bool Tensor (count,)
    together : LongTensor (count,)
        As `classes` gives it.
    """
    some = torch.zeros_like(gone)
    some[together[gone]] = True
    return some[together]


def check_together(numbering: Numbering, tie: Tie, gone: Tensor) -> None:
    """Raise UnfitError if units met of which only one is removed."""
    if bool(gone[tie.one]) != bool(gone[tie.other]):
        raise UnfitError(
            f"{numbering.title(tie.one)} and {numbering.title(tie.other)} meet in {tie.where}, and "
            "only one of them is removed; have both go or none (select makes the same choice for "
            "both from one score, which tied_scores makes of several)"
        )
