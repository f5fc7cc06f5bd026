"""Recurrent layers for Torch-Pruning (``pip install torch-pruning``): a pruner and an importance.

Torch-Pruning follows a model's channels itself and prunes in place; what it needs to know of
recurrent layers is here::

    with traceable(model):  # for layers in both directions
        pruner = tp.pruner.BasePruner(
            model, example_inputs, importance=UnitImportance(model, batches, "transfer_entropy"),
            customized_pruners={nn.LSTM: RecurrentPruner()}, root_module_types=[nn.LSTM], ...
        )
    pruner.step()
"""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tefast.nn._parameters import documented
from tefast.nn._runs.batches import Batch
from tefast.nn.criteria import Criterion
from tefast.nn.removal import remove_units
from tefast.nn.scores import score

try:
    import torch_pruning as tp
except ModuleNotFoundError as error:
    if error.name != "torch_pruning":
        raise
    raise ImportError(f"{__name__} needs it: pip install torch-pruning") from error

__all__ = ["RecurrentPruner", "UnitImportance", "traceable"]

_KINDS = (nn.LSTM, nn.GRU, nn.RNN)
_traced: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()
"""Layers of both directions that have been seen by Torch-Pruning as one operation."""


@contextmanager
def traceable(model: nn.Module) -> Iterator[nn.Module]:
    """Have recurrent layers of both directions be one operation each, while a pruner is built.

    Torch-Pruning follows what autograd records, and takes what such a layer does inside for
    operations of the model.

    Parameters
    ----------
    model : nn.Module
        As before when the block ends.
    """
    layers = [m for m in model.modules() if type(m) in _KINDS and m.bidirectional]
    before = [vars(layer).get("forward") for layer in layers]
    try:
        for layer in layers:
            vars(layer)["forward"] = _as_one(layer)
            _traced.add(layer)
        yield model
    finally:
        for layer, own in zip(layers, before, strict=True):
            vars(layer).pop("forward", None)
            if own is not None:
                vars(layer)["forward"] = own


class RecurrentPruner(tp.pruner.BasePruningFunc):  # type: ignore[misc]
    """Prunes units and inputs of an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` of one layer.

    In place, as Torch-Pruning wants it. Of a layer in both directions, whose pruner has to be built
    within `traceable`, channels are the units of both, and units of equal number go in both:
    PyTorch's class has as many in each. Layers of other kinds, stacked ones for instance, are
    refused with ValueError: what is left of them may not be of PyTorch's class; use
    `tefast.nn.prune`.
    """

    TARGET_MODULES = _KINDS

    def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> nn.Module:
        """Remove units."""
        _check(layer)
        width, units = layer.hidden_size, sorted(set(map(int, idxs)))
        each = [
            [u - way * width for u in units if u // width == way] for way in range(_ways(layer))
        ]
        if len({len(some) for some in each}) > 1:
            raise ValueError(
                f"expected as many units of both directions, got {len(each[0])} and "
                f"{len(each[1])}, which {type(layer).__name__} cannot hold; tefast.nn.prune builds "
                "a stack of them"
            )
        smaller = remove_units(layer, {(0, way): some for way, some in enumerate(each)})
        layer.hidden_size = width - len(each[0])
        return _take(layer, dict(smaller.named_parameters()))

    def prune_in_channels(self, layer: Any, idxs: Sequence[int]) -> nn.Module:
        """Remove input features."""
        _check(layer)
        kept = torch.ones(layer.input_size, dtype=torch.bool)
        kept[list(idxs)] = False
        names = ["weight_ih_l0", "weight_ih_l0_reverse"][: _ways(layer)]
        columns = {name: getattr(layer, name).detach() for name in names}
        layer.input_size = layer.input_size - len(idxs)
        return _take(layer, {name: one[:, kept.to(one.device)] for name, one in columns.items()})

    def get_out_channels(self, layer: Any) -> int:
        """Return the number of units, of both directions."""
        _check_traced(layer)
        return int(layer.hidden_size) * _ways(layer)

    def get_in_channels(self, layer: Any) -> int:
        """Return the number of input features."""
        _check_traced(layer)
        return int(layer.input_size)

    def get_out_channel_groups(self, layer: Any) -> int:
        """Return of how many parts the channels are, of which equal ones go."""
        _check_traced(layer)
        return _ways(layer)


@documented
class UnitImportance(tp.importance.Importance):  # type: ignore[misc]
    """Scores of units by any criterion of tefast, as an importance: the lowest goes first.

    Parameters
    ----------
    model : nn.Module
        The model that is pruned. It is scored anew when a layer has changed.
    {batches:again, criterion}
    descending : bool, optional
        Whether units with the highest scores go first. Default: what the criterion says.
    **options
        Other arguments of `tefast.nn.score`.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        criterion: str | Criterion,
        *,
        descending: bool | None = None,
        **options: Any,
    ) -> None:
        self.model, self.batches, self.criterion = model, batches, criterion
        self.descending, self.options = descending, options
        self._scores: dict[str, Tensor] = {}

    def __call__(self, group: Any) -> Tensor | None:
        """Return the importance of a group's channels; None if it holds no recurrent unit.

        Parameters
        ----------
        group : torch_pruning.Group
            Channels that can only go together.

        Returns
        -------
        Tensor of shape (channels,) or None

        Raises
        ------
        ValueError
            If neither `descending` nor the criterion says which scores go first, and whatever
            `tefast.nn.score` raises.
        """
        for item in group:
            layer = item.dep.target.module
            out = item.dep.handler.__name__ == "prune_out_channels"
            if isinstance(layer, _KINDS) and out:
                return self._of(layer)[list(item.idxs)]
        return None

    def _of(self, layer: nn.LSTM | nn.GRU | nn.RNN) -> Tensor:
        name = next(name for name, module in self.model.named_modules() if module is layer)
        if len(self._scores.get(name, ())) != layer.hidden_size * _ways(layer):
            _check(layer)
            found = score(self.model, self.batches, self.criterion, rnn=name, **self.options)
            first = found.descending if self.descending is None else self.descending
            if first is None:
                raise ValueError(
                    "descending: expected True or False, since the criterion does not say which "
                    "scores go first"
                )
            self._scores[name] = torch.cat(list(found.values())) * (-1.0 if first else 1.0)
        return self._scores[name]


class _OneOperation(torch.autograd.Function):
    """What a layer gives, with its input alone before it in the graph."""

    @staticmethod
    def forward(_context: Any, run: Any, *given: Tensor) -> Any:
        """Run the layer."""
        return run(*given)

    @staticmethod
    def backward(_context: Any, *gradients: Any) -> Any:
        """Graphs are followed here, not run."""
        raise RuntimeError(f"no gradient is computed within {__name__}.traceable")


def _as_one(layer: Any) -> Any:
    """A forward of the layer that autograd sees as one operation."""
    ordinary = type(layer).forward

    def forward(input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)

        def run(data: Tensor, *_weight: Tensor) -> Any:
            given = PackedSequence(data, *input[1:]) if packed else data
            with torch.no_grad():
                output, state = ordinary(layer, given, hx)
            states = state if isinstance(state, tuple) else (state,)
            return (output.data if packed else output, *states)

        # A weight beside the input: the input itself may take no gradient.
        output, *states = _OneOperation.apply(  # type: ignore[no-untyped-call]
            run, input.data if packed else input, next(layer.parameters())
        )
        output = PackedSequence(output, *input[1:]) if packed else output
        return output, tuple(states) if len(states) > 1 else states[0]

    return forward


def _ways(layer: Any) -> int:
    return 2 if layer.bidirectional else 1


def _check_traced(layer: Any) -> None:
    if layer.bidirectional and layer not in _traced:
        raise ValueError(
            "Torch-Pruning cannot follow a recurrent layer of both directions by itself: build the "
            f"pruner within `with {__name__}.traceable(model):`, or use tefast.nn.prune"
        )


def _check(layer: Any) -> None:
    if layer.num_layers != 1:
        raise ValueError(
            f"expected a recurrent layer with num_layers=1, got {layer.num_layers}; "
            "tefast.nn.prune takes stacked ones"
        )
    if layer.proj_size:
        raise ValueError(f"expected a recurrent layer with proj_size=0, got {layer.proj_size}")


def _take(layer: Any, tensors: dict[str, Tensor]) -> nn.Module:
    for name, tensor in tensors.items():
        old = getattr(layer, name)
        setattr(layer, name, nn.Parameter(tensor.detach(), requires_grad=old.requires_grad))
    layer.flatten_parameters()
    found: nn.Module = layer
    return found
