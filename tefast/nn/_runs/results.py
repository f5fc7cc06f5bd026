"""What a model's results say: the series beside the units of a layer, and the loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tefast.nn import series
from tefast.nn._layers.recurrent import Layer
from tefast.nn._runs.batches import Batch, Forward, FromResult, Place, labels_of
from tefast.nn._runs.held import Question, are_steps, over_steps, steps_first
from tefast.nn._runs.observe import Calls, LayerRun
from tefast.nn._runs.restore import Snapshot

_CLASSES = (series.label_probability, series.cross_entropy)
_LOSS_OF: dict[FromResult, FromResult] = {
    series.label_probability: series.cross_entropy,
    series.binary_probability: series.binary_cross_entropy,
    series.squared_error: series.mean_squared_error,
}


@dataclass(frozen=True)
class StepResults:
    """Reads the results of a model.

    Attributes
    ----------
    model, layer, forward, calls
        As in `Observer`.
    source, loss : callable
        ``source(result, batch)`` and ``loss(result, batch)``. Those of `series` are given batches
        in their own form.
    labels : Place, optional
        As in `labels_of`.
    """

    model: nn.Module
    layer: Layer
    forward: Forward
    calls: Calls
    source: FromResult
    loss: FromResult
    labels: Place | None
    _columns: dict[tuple[int, int], bool] = field(default_factory=dict)
    """Of results with so many steps and columns: whether columns are steps."""
    _square: set[int] = field(default_factory=set)
    """For how many steps, and sequences, it is known that sequences come first."""
    _over_steps: set[FromResult] = field(default_factory=set)
    """For which functions results have an axis of steps, so that no further run is needed."""

    def before(self, of: FromResult) -> Snapshot | None:
        """Return the model as it is before it runs, if it may have to run again."""
        return Snapshot(self.model) if _ours(of) and of not in self._over_steps else None

    def series(
        self,
        result: Any,
        batch: Batch,
        runs: Sequence[LayerRun],
        lengths: Sequence[Tensor | None],
        before: Snapshot | None,
    ) -> list[Any]:
        """Return the series for every run of the layer.

        Parameters
        ----------
        result : Any
            What the model gave.
        batch : Batch
            On the model's device.
        runs, lengths
            Of the layer, and the valid steps of each.
        before : Snapshot or None
            What `before` gave before the model ran.
        """
        if not _ours(self.source):
            return for_each(self.source(result, batch), len(runs), "source")
        result, plain = self._plain(self.source, result, batch, before, runs[0], lengths[0])
        if _without_steps(result):
            plain = (*plain[:2], lengths[0])
            if self.source is series.target:
                result = runs[0].h.new_zeros(*runs[0].h.shape[:2], result.shape[-1])
            else:
                _LOSS_OF[self.source](result, plain[:2])  # errors before many runs
                result = self._again(over_steps, batch, before)
                result = result.reshape(*result.shape[:2], -1)
        return [self.source(result, plain)] * len(runs)

    def value(
        self,
        result: Any,
        batch: Batch,
        runs: Sequence[LayerRun],
        lengths: Sequence[Tensor | None],
        before: Snapshot | None,
    ) -> Any:
        """Return the loss; arguments are those of `series`."""
        if not _ours(self.loss):
            return self.loss(result, batch)
        of_steps = lengths[0] if len(runs) == 1 else None
        return self.loss(*self._plain(self.loss, result, batch, before, runs[0], of_steps))

    def _again(self, ask: Callable[[Question], Any], batch: Batch, before: Snapshot | None) -> Any:
        """What further runs answer; the model goes on from where its own run left it."""
        after = Snapshot(self.model)
        try:
            return ask(
                Question(self.model, self.layer, self.forward, self.calls, batch, before or after)
            )
        finally:
            after.restore()

    def _plain(
        self,
        of: FromResult,
        result: Any,
        batch: Batch,
        before: Snapshot | None,
        run: LayerRun,
        lengths: Tensor | None,
    ) -> tuple[Any, Any]:
        """A result of (n, T, ...) or (n, ...), and a batch as the functions of `series` take it."""
        labels = labels_of(batch, self.labels)
        if isinstance(result, Tensor) and result.ndim == 3:
            self._check_order(result, batch, before, run)
            self._over_steps.add(of)
        if isinstance(result, Tensor) and of not in _CLASSES and result.ndim in (1, 2):
            steps = result.ndim == 2 and self._columns_are_steps(result, batch, before, run)
            result = result[..., None] if steps else result.reshape(len(result), -1)
        return result, (None, labels, None if _without_steps(result) else lengths)

    def _check_order(
        self, result: Tensor, batch: Batch, before: Snapshot | None, run: LayerRun
    ) -> None:
        """Raise if steps come first, where the shape alone does not say so."""
        n, steps = run.h.shape[:2]
        if n != steps or n == 1 or result.shape[:2] != (n, steps) or self._square:
            return
        with torch.no_grad():
            try:
                first = self._again(steps_first, batch, before)
            except ValueError:  # it runs for several sets of sequences, or the like
                return
        if first:
            raise ValueError(
                f"model: expected a result (n, T, ...), got {tuple(result.shape)} with the steps "
                "first; let forward=function(model, batch) transpose it"
            )
        self._square.add(n)

    def _columns_are_steps(
        self, result: Tensor, batch: Batch, before: Snapshot | None, run: LayerRun
    ) -> bool:
        """Whether a result (n, K) is one number a step, and not K numbers a sequence."""
        steps, columns = run.h.shape[1], result.shape[1]
        if columns == 1 or columns < steps or (columns > steps and run.lengths is None):
            return columns == steps
        if (steps, columns) not in self._columns:
            with torch.no_grad():
                self._columns[steps, columns] = self._again(are_steps, batch, before)
        return self._columns[steps, columns]


def for_each(value: Any, runs: int, name: str) -> list[Any]:
    """Return one for every run of the layer, of a list of them or of one for all.

    Raises
    ------
    ValueError
        If a list holds more or fewer.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(one, Tensor) for one in value):
        return [value] * runs
    if len(value) != runs:
        raise ValueError(
            f"{name}: expected one, or a list of {runs} for the sets of sequences that the layer "
            f"runs for, got {len(value)}"
        )
    return list(value)


def _ours(of: FromResult) -> bool:
    return of in series.SOURCES.values() or of in series.LOSSES.values()


def _without_steps(result: Any) -> bool:
    # What is no tensor is answered by the function itself.
    return isinstance(result, Tensor) and result.ndim == 2
