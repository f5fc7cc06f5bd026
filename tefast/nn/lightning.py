"""Pruning while Lightning trains (``pip install lightning``)."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from tefast.nn.criteria import Criterion
from tefast.nn.batches import Batch
from tefast.nn.schedules import PruningStep, prune_in_steps

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "lightning":
        raise
    raise ImportError("tefast.nn.lightning needs it: pip install lightning") from error

__all__ = ["PruneUnits"]


class PruneUnits(Callback):  # type: ignore[misc]
    """Removes recurrent units at the end of given epochs of training.

    The optimizers are made anew afterwards by ``configure_optimizers``, since their parameters are
    others then; what they remember (momentum, schedules) starts again.

    Parameters
    ----------
    batches : iterable
        As in `prune_in_steps`; can be read again.
    criterion : str or callable
        As in `prune_in_steps`.
    amounts : mapping of int to float
        After which epochs, from 0, which fraction of the units that are there goes.
    attribute : str
        What the module that is pruned is called in the LightningModule.
    **options
        Other arguments of `prune_in_steps`.

    Attributes
    ----------
    rows : list of PruningStep
        What was done.
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        criterion: str | Criterion,
        amounts: Mapping[int, float],
        attribute: str = "model",
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

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Prune, if this is such an epoch."""
        amount = self.amounts.get(trainer.current_epoch)
        if amount is None:
            return
        model: nn.Module = getattr(pl_module, self.attribute)
        smaller, rows = prune_in_steps(
            model, self.batches, self.criterion, amount=float(amount), **self.options
        )
        setattr(pl_module, self.attribute, smaller)
        trainer.strategy.setup_optimizers(trainer)
        self.rows += rows
