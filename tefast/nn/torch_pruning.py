"""Recurrent layers for Torch-Pruning (``pip install torch-pruning``): a pruner and an importance.

Torch-Pruning follows a model's channels itself and prunes in place; what it needs to know of
recurrent layers is here::

    pruner = tp.pruner.BasePruner(
        model, example_inputs, importance=UnitImportance(model, batches, "transfer_entropy"),
        customized_pruners={nn.LSTM: RecurrentPruner()}, root_module_types=[nn.LSTM], ...
    )
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tefast.nn.criteria import Criterion
from tefast.nn.batches import Batch
from tefast.nn.recurrent import check_single
from tefast.nn.removal import remove_units
from tefast.nn.scores import layer_scores

try:
    import torch_pruning as tp
except ModuleNotFoundError as error:
    if error.name != "torch_pruning":
        raise
    raise ImportError("tefast.nn.torch_pruning needs it: pip install torch-pruning") from error

__all__ = ["RecurrentPruner", "UnitImportance"]

_KINDS = (nn.LSTM, nn.GRU, nn.RNN)


class RecurrentPruner(tp.pruner.BasePruningFunc):  # type: ignore[misc]
    """Prunes units and inputs of a one-layer, one-way ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``.

    In place, as Torch-Pruning wants it. Layers of other kinds are refused with ValueError: what is
    left of them may not be of PyTorch's class; use `tefast.nn.prune`.
    """

    TARGET_MODULES = _KINDS

    def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> nn.Module:
        """Remove units."""
        smaller = remove_units(check_single(layer), list(idxs))
        layer.hidden_size = layer.hidden_size - len(idxs)
        return _take(layer, dict(smaller.named_parameters()))

    def prune_in_channels(self, layer: Any, idxs: Sequence[int]) -> nn.Module:
        """Remove input features."""
        check_single(layer)
        kept = torch.ones(layer.input_size, dtype=torch.bool)
        kept[list(idxs)] = False
        columns = layer.weight_ih_l0.detach()[:, kept.to(layer.weight_ih_l0.device)]
        layer.input_size = layer.input_size - len(idxs)
        return _take(layer, {"weight_ih_l0": columns})

    def get_out_channels(self, layer: Any) -> int:
        """Return the number of units."""
        return int(layer.hidden_size)

    def get_in_channels(self, layer: Any) -> int:
        """Return the number of input features."""
        return int(layer.input_size)


class UnitImportance(tp.importance.Importance):  # type: ignore[misc]
    """Scores of units by any criterion of tefast, as an importance: the least goes first.

    Parameters
    ----------
    model : nn.Module
        The one that is pruned; scored anew when a layer has changed.
    batches, criterion
        As in `layer_scores`.
    descending : bool
        Whether units with the highest scores go first, as in `select_units`.
    **options
        Other arguments of `layer_scores`.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        criterion: str | Criterion,
        *,
        descending: bool = True,
        **options: Any,
    ) -> None:
        self.model, self.batches, self.criterion = model, batches, criterion
        self.sign, self.options = -1.0 if descending else 1.0, options
        self._scores: dict[str, Tensor] = {}

    def __call__(self, group: Any) -> Tensor | None:
        """Return the importance of a group's channels; None where no recurrent unit is in it."""
        for item in group:
            layer = item.dep.target.module
            out = item.dep.handler.__name__ == "prune_out_channels"
            if isinstance(layer, _KINDS) and out:
                return self.sign * self._of(layer)[list(item.idxs)]
        return None

    def _of(self, layer: nn.LSTM | nn.GRU | nn.RNN) -> Tensor:
        name = next(name for name, module in self.model.named_modules() if module is layer)
        if len(self._scores.get(name, ())) != layer.hidden_size:
            found = layer_scores(self.model, self.batches, self.criterion, rnn=name, **self.options)
            self._scores[name] = found[0, 0]
        return self._scores[name]


def _take(layer: Any, tensors: dict[str, Tensor]) -> nn.Module:
    for name, tensor in tensors.items():
        old = getattr(layer, name)
        setattr(layer, name, nn.Parameter(tensor.detach(), requires_grad=old.requires_grad))
    layer.flatten_parameters()
    found: nn.Module = layer
    return found
