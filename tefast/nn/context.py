"""What a criterion may look at: a model's outputs, series and gradients, batch by batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tefast.nn import series
from tefast.nn._layers.recurrent import Layer, weights
from tefast.nn._layers.stack import Part
from tefast.nn._parameters import documented
from tefast.nn._runs.batches import (
    Batch,
    Forward,
    FromResult,
    Place,
    each_of,
    lengths_of,
    moved,
    read_again,
    run_model,
)
from tefast.nn._runs.observe import Calls, LayerRun, Observer, What
from tefast.nn._runs.ranges import both_ranges, check_range, unit_ranges, valid_steps
from tefast.nn._runs.restore import as_it_was
from tefast.nn._runs.results import StepResults, for_each
from tefast.typing import BackendName

_PROBABILITIES = (series.label_probability, series.binary_probability)


class Observed(NamedTuple):
    """Outputs of the units for some sequences."""

    h: Tensor
    """(n, T, units)."""
    y: Tensor
    """The series beside them, (n, T)."""
    lengths: Tensor | None
    """Valid steps of each sequence, (n,)."""


@documented
@dataclass(frozen=True)
class Context:
    """What a criterion may look at.

    Attributes
    ----------
    {model, batches}
    layer : nn.LSTM, nn.GRU, nn.RNN, one of their cells, or RecurrentStack
        The layer of `model` whose units are scored.
    parts : dict of (layer, direction) to int
        The layers and directions whose units are scored, and how many units each has. Scores are of
        all of them, side by side.
    {bins:outputs, h_range:outputs, y_range:series, seed, backend, threads, forward}
    source : callable
        ``source(result, batch)`` is the series (n, T) that units are compared with.
    loss : callable
        ``loss(result, batch)`` is the loss, a number.
    {labels, lengths:place, calls}
    what : {"units", "outputs", "gates"}, default "units"
        What is scored. "outputs" are the projected outputs of an LSTM with a projection.
    {group}
    """

    model: nn.Module
    batches: Iterable[Batch]
    layer: Layer
    parts: Mapping[Part, int]
    bins: int = 16
    h_range: Any = (-1.0, 1.0)
    y_range: Any = None
    seed: int = 0
    backend: BackendName = "auto"
    threads: int | None = None
    forward: Forward = run_model
    source: FromResult = series.label_probability
    loss: FromResult = series.cross_entropy
    labels: Place | None = None
    lengths: Place | bool | None = None
    calls: Calls = "auto"
    what: What = "units"
    group: Any = None

    @cached_property
    def unit_range(self) -> Any:
        """`h_range`, or each unit's own range, found in a pass of its own."""
        check_range(self.layer, self.h_range, self.batches, self.what)
        return unit_ranges(self.outputs(), self.group) if self.h_range is None else self.h_range

    @cached_property
    def ranges(self) -> tuple[Any, Any]:
        """`unit_range`, and `y_range` or what stands in for it: see `score`."""
        if self.y_range is not None:
            return self.unit_range, self.y_range
        if self.source in _PROBABILITIES:
            return self.unit_range, (0.0, 1.0)
        check_range(self.layer, self.h_range, self.batches, self.what)
        read_again(self.batches, "y_range")
        units, of_series = both_ranges(self.observed(), self.group)
        return (units if self._has_own_ranges else self.unit_range), of_series

    @property
    def _has_own_ranges(self) -> bool:
        """Whether each unit is binned over its own range."""
        return self.h_range is None

    @property
    def units(self) -> int:
        """Units of all parts."""
        return sum(self.parts.values())

    def split(self, scores: Tensor) -> dict[Part, Tensor]:
        """Split the scores of all units into those of each part.

        Parameters
        ----------
        scores : Tensor, shape (units,)
            Scores of all units, side by side.

        Returns
        -------
        dict of (layer, direction) to Tensor (U,)
        """
        return dict(zip(self.parts, torch.split(scores, list(self.parts.values())), strict=True))

    def observed(self) -> Iterator[Observed]:
        """Run the model and yield the units' outputs and the series.

        Once for every batch, or for every set of sequences that the layer runs for.
        """
        with as_it_was(self.model):
            for batch in self._each:
                yield from one_by_one(self.look(batch))

    def outputs(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield outputs (n, T, units) and lengths alone; no series is needed for them."""
        with as_it_was(self.model):
            for batch in self._each:
                yield from one_by_one(self.look_at_outputs(batch))

    @property
    def _each(self) -> Iterable[Batch]:
        """All batches. One process of a group may have none."""
        return each_of(self.batches) if self.group is None else self.batches

    def gradients(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield outputs (n, T, units) and the loss's gradient at them, one batch at a time.

        The gradient is 0 at steps that do not count. Where the layer runs for several sets of n
        sequences, T is that of all of them together.
        """
        with as_it_was(self.model):
            for batch in each_of(self.batches):
                yield self._gradient(batch)

    def rows(self) -> Iterator[dict[str, Tensor]]:
        """Yield for each part its weights by name, (gates, units, inputs), without biases.

        Of projected outputs it is the weight of the projection, (1, outputs, units).
        """
        named = weights(self.layer)
        roles = ("weight_hr",) if self.what == "outputs" else ("weight_ih", "weight_hh")
        for part, units in self.parts.items():
            yield {
                role: tensor.detach().view(-1, units, tensor.shape[1])
                for role, tensor in named[part].items()
                if role in roles
            }

    def look(self, batch: Batch) -> list[Observed]:
        """Return what `observed` yields for one batch; the model may be changed by its run.

        Parameters
        ----------
        batch : object that `forward` takes
            A batch, such as (x, labels) or (x, labels, lengths).

        Returns
        -------
        list of Observed
            Outputs (n, T, units), series (n, T), and lengths (n,) or None.
        """
        before = self._results.before(self.source)
        result, runs = self._observer.run(batch)
        placed = self._placed(batch)
        lengths = self._lengths(placed, runs, in_order=True)
        each = self._results.series(result, placed, runs, lengths, before)
        return [
            Observed(run.h, _fitted(y, run), steps)
            for run, y, steps in zip(runs, each, lengths, strict=True)
        ]

    def look_at_outputs(self, batch: Batch) -> list[tuple[Tensor, Tensor | None]]:
        """Return what `outputs` yields for one batch; the model may be changed by its run.

        Parameters
        ----------
        batch : object that `forward` takes
            A batch, such as (x, labels) or (x, labels, lengths).

        Returns
        -------
        list of (Tensor, Tensor or None)
            Outputs (n, T, units), and lengths (n,) or None.
        """
        runs = self._observer.run(batch)[1]
        lengths = self._lengths(self._placed(batch), runs)
        return [(run.h, steps) for run, steps in zip(runs, lengths, strict=True)]

    def _gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        before = self._results.before(self.loss)
        placed = self._placed(batch)
        runs, gradients = self._observer.gradient(
            batch,
            lambda result, runs: self._results.value(
                result, placed, runs, self._lengths(placed, runs), before
            ),
        )
        for gradient, steps in zip(gradients, self._lengths(placed, runs), strict=True):
            if steps is not None:
                gradient[~valid_steps(gradient, steps)] = 0
        if len({len(run.h) for run in runs}) > 1:
            counts = " and ".join(str(len(run.h)) for run in runs)
            raise ValueError(
                f"the recurrent layer ran for {counts} sequences of one batch; expected as many "
                "each time, so that what a unit does to the loss of each can be added up"
            )
        return torch.cat([run.h for run in runs], dim=1), torch.cat(gradients, dim=1)

    @cached_property
    def _observer(self) -> Observer:
        parts = list(self.parts)
        return Observer(self.model, self.layer, parts, self.forward, self.calls, self.what)

    @cached_property
    def _results(self) -> StepResults:
        return StepResults(
            self.model, self.layer, self.forward, self.calls, self.source, self.loss, self.labels
        )

    def _placed(self, batch: Batch) -> Batch:
        return moved(batch, next(self.model.parameters()).device)

    def _lengths(
        self, batch: Batch, runs: Sequence[LayerRun], *, in_order: bool = False
    ) -> list[Tensor | None]:
        """The valid steps of every run of the layer, which may have to be in the batch's order."""
        given = for_each(lengths_of(batch, self.lengths), len(runs), "lengths")
        if in_order:
            for run, one in zip(runs, given, strict=True):
                _check_order(run, one)
        return [checked_lengths(run, one) for run, one in zip(runs, given, strict=True)]


def one_by_one(found: list[Any]) -> Iterator[Any]:
    """Yield what is in a list, and keep nothing of it."""
    while found:
        yield found.pop(0)


def checked_lengths(run: LayerRun, given: Any) -> Tensor | None:
    """The lengths of a run: those that it was packed with, or that the batch holds."""
    if given is None:
        return run.lengths
    h = run.h
    if not isinstance(given, Tensor) or given.shape != h.shape[:1]:
        got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ValueError(
            f"lengths: expected a tensor of shape {tuple(h.shape[:1])}, got {got}; lengths= says "
            "where they lie in a batch, and lengths=False that there are none"
        )
    if run.lengths is not None:
        wrong = (given.cpu() != run.lengths).nonzero().flatten()
        if len(wrong):
            first = int(wrong[0])
            raise ValueError(
                f"lengths: the batch says {given[first].item()} for sequence {first}, and the "
                f"recurrent layer gets a packed sequence of {int(run.lengths[first])} steps there; "
                "lengths= and labels= say where they lie in a batch, lengths=False takes those of "
                "the layer, and forward= must keep the order of the sequences "
                "(enforce_sorted=False)"
            )
    return given


def _check_order(run: LayerRun, given: Any) -> None:
    """Raise if it is not known which sequence of the batch is which of the layer's."""
    if run.reordered and given is None:
        raise ValueError(
            "the recurrent layer gets its sequences sorted by length, and it is not known whether "
            "the batch has them in that order: say where its lengths lie by lengths=, or pack with "
            "enforce_sorted=False"
        )


_TURNED = (
    "; its axes are exchanged: return its transpose, or if it is the model's result in which steps "
    "come first, have forward= transpose that"
)


def _fitted(y: Any, run: LayerRun) -> Tensor:
    """A series of as many steps as the layer's outputs, which may end before padding does."""
    expected = run.h.shape[:2]
    if isinstance(y, Tensor) and y.ndim == 2 and run.lengths is not None and len(y) == expected[0]:
        y = y[:, : expected[1]]
    if not isinstance(y, Tensor) or y.shape != expected:
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        turned = isinstance(y, Tensor) and y.ndim == 2 and y.shape[1] == expected[0]
        raise ValueError(
            f"source: expected shape {tuple(expected)}, (sequences, steps), got {got}"
            f"{_TURNED if turned else ''}"
        )
    return y
