"""Pruning while Lightning trains (``pip install lightning``)."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import nn

from tefast.nn._parameters import documented
from tefast.nn._runs.batches import Batch
from tefast.nn.criteria import Criterion
from tefast.nn.loading import filled
from tefast.nn.saving import described, replacements
from tefast.nn.schedules import PruningStep, prune_in_steps

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "lightning":
        raise
    raise ImportError("tefast.nn.integrations.lightning needs it: pip install lightning") from error

__all__ = ["PruneUnits", "load_checkpoint"]

M = TypeVar("M", bound=nn.Module)

_KEY = "tefast.nn.modules"
_AVERAGING = ("StochasticWeightAveraging", "WeightAveraging")


@documented
class PruneUnits(Callback):  # type: ignore[misc]
    """Removes recurrent units at the end of given epochs of training.

    Afterwards ``configure_optimizers`` makes the optimizers anew, since the parameters are others
    then. What the optimizers remember (momentum, schedules) starts again. Checkpoints hold the
    sizes of the layers, which `load_checkpoint` reads.

    Parameters
    ----------
    {batches:again, criterion}
    amounts : mapping of int to float
        The epochs, from 0, after which units are removed, and the fraction of the present units
        that each removes.
    attribute : str or None, default "model"
        The name of the pruned module in the LightningModule. None prunes the LightningModule
        itself, which is then run and changed in place.
    **options
        Other arguments of `prune_in_steps`.

    Attributes
    ----------
    rows : list of PruningStep
        What was done.

    Raises
    ------
    ValueError
        If an argument is not as described. When training starts: if another callback averages
        weights, whose sizes would then differ. When units are removed: if there is no such
        attribute, and whatever `prune_in_steps` raises.
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        criterion: str | Criterion,
        amounts: Mapping[int, float],
        attribute: str | None = "model",
        **options: Any,
    ) -> None:
        super().__init__()
        for epoch, amount in amounts.items():
            if not isinstance(epoch, int) or not 0.0 <= amount <= 1.0:
                raise ValueError(
                    f"amounts: expected fractions in [0, 1] by epoch, got {amount!r} for {epoch!r}"
                )
        self.batches, self.criterion, self.amounts = batches, criterion, dict(amounts)
        self.attribute, self.options = attribute, options
        self.rows: list[PruningStep] = []

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Refuse to run beside callbacks that would mix weights of different sizes."""
        self._place(pl_module)
        for callback in trainer.callbacks:
            names = {kind.__name__ for kind in type(callback).__mro__}
            if self.amounts and names & set(_AVERAGING):
                raise ValueError(
                    f"PruneUnits: expected no callback that averages weights beside it, got "
                    f"{type(callback).__name__}, whose average has the sizes of before; prune "
                    "first, and average in a Trainer of its own"
                )

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Prune, if this is such an epoch."""
        amount = self.amounts.get(trainer.current_epoch)
        if amount is None:
            return
        attribute, options = self._place(pl_module)
        model: nn.Module = pl_module if attribute is None else getattr(pl_module, attribute)
        with _without_trainer(pl_module):
            smaller, rows = prune_in_steps(
                model, self.batches, self.criterion, amount=float(amount), **options
            )
            if attribute is None:
                _take_over(pl_module, smaller)
            else:
                setattr(pl_module, attribute, smaller)
        trainer.strategy.setup_optimizers(trainer)
        self.rows += rows

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Put the sizes of the layers into the checkpoint."""
        checkpoint[_KEY] = described(pl_module)

    def _place(self, pl_module: Any) -> tuple[str | None, dict[str, Any]]:
        """The attribute that is pruned, and options with the name of the layer in it."""
        if self.attribute is None:
            return None, self.options
        model = getattr(pl_module, self.attribute, None)
        if not isinstance(model, nn.Module):
            known = ", ".join(repr(name) for name, _ in pl_module.named_children()) or "none"
            raise ValueError(
                f"attribute: expected a module of {type(pl_module).__name__}, which has {known}, "
                f"got {self.attribute!r}; attribute=None prunes the LightningModule itself"
            )
        if self.options.get("rnn", "rnn") == "":
            # The layer itself: what reads it lies in the LightningModule.
            return None, {**self.options, "rnn": self.attribute}
        return self.attribute, self.options


def load_checkpoint(path: str | os.PathLike[str], model: M, *, weights_only: bool = True) -> M:
    """Read a checkpoint that was written with `PruneUnits`.

    Parameters
    ----------
    path : str or path
        The file.
    model : LightningModule
        A module of the class that was trained, of any sizes, such as before pruning. It is not
        changed.
    weights_only : bool, default True
        Whether only tensors and plain values are read, by ``torch.load``. False reads checkpoints
        that hold objects of other classes, and may run any code that is in the file.

    Returns
    -------
    Copy of `model` with the sizes and values of the checkpoint; ``trainer.fit(it, ckpt_path=path)``
    goes on from there.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the checkpoint holds no sizes, or does not fit `model`.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=weights_only)
    if _KEY not in checkpoint:
        raise ValueError(f"{path}: expected a checkpoint written beside PruneUnits")
    replaced = replacements(checkpoint[_KEY], model)
    found = filled(model, replaced, checkpoint["state_dict"], str(path))
    return cast(M, found)


@contextmanager
def _without_trainer(pl_module: Any) -> Iterator[None]:
    """Take the trainer away, which a copy of the module would otherwise copy too."""
    kept = {name: vars(pl_module)[name] for name in ("_trainer", "_fabric") if
            name in vars(pl_module)}  # fmt: skip
    for name in kept:
        vars(pl_module)[name] = None
    try:
        yield
    finally:
        vars(pl_module).update(kept)


def _take_over(pl_module: nn.Module, smaller: nn.Module) -> None:
    """Put the modules of a pruned copy that are others into the place of a module's own."""
    own = dict(pl_module.named_modules())
    replaced: dict[nn.Module, nn.Module] = {}
    for name, new in smaller.named_modules():
        old = own.get(name)
        inside = old is None or any(old in outer.modules() for outer in replaced)
        if not inside and old is not None and _differs(old, new):
            replaced[old] = new
    for path, module in own.items():
        for name, value in vars(module).items():
            if name != "_modules" and _holds(value, replaced):
                raise ValueError(
                    f"attribute {name!r} of {path or type(pl_module).__name__!r} holds a module "
                    "that is replaced by a smaller one; keep modules in an nn.ModuleList or dict"
                )
    for module in own.values():
        for name, child in module._modules.items():
            if child in replaced:
                module._modules[name] = replaced[child]
    pl_module.load_state_dict(smaller.state_dict())


def _differs(old: nn.Module, new: nn.Module) -> bool:
    shapes = [
        {name: tensor.shape for name, tensor in (*one._parameters.items(), *one._buffers.items())
         if tensor is not None}
        for one in (old, new)
    ]  # fmt: skip
    return type(old) is not type(new) or shapes[0] != shapes[1]


def _holds(value: Any, modules: Mapping[nn.Module, Any]) -> bool:
    if isinstance(value, nn.Module):
        return value in modules
    if isinstance(value, list | tuple | set):
        return any(_holds(one, modules) for one in value)
    return isinstance(value, dict) and any(_holds(one, modules) for one in value.values())
