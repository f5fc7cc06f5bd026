"""Scores: a number for every recurrent unit, or gate, by which units are removed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tefast.nn import series
from tefast.nn._layers.recurrent import Layer, find_gated, find_recurrent, sizes, weights
from tefast.nn._layers.stack import Part
from tefast.nn._parameters import documented
from tefast.nn._runs.batches import Batch, Forward, FromResult, Place, run_model
from tefast.nn._runs.observe import Calls
from tefast.nn.context import Context
from tefast.nn.criteria import NAMED, Criterion, count, counter_of, order_of
from tefast.nn.gates import GateContext
from tefast.nn.layer_scores import LayerScores
from tefast.typing import BackendName

Bound = float | NDArray[np.floating]
OutputRange = tuple[Bound, Bound]
Granularity = Literal["units", "outputs", "gates"]


@documented
def score(
    model: nn.Module,
    batches: Iterable[Batch],
    criterion: str | Criterion | Sequence[str],
    *,
    rnn: str = "rnn",
    of: Granularity = "units",
    parts: Sequence[Part] | None = None,
    bins: int = 16,
    h_range: OutputRange | None = (-1.0, 1.0),
    y_range: OutputRange | None = None,
    seed: int = 0,
    backend: BackendName = "auto",
    threads: int | None = None,
    forward: Forward = run_model,
    source: str | FromResult = "label_probability",
    loss: str | FromResult = "cross_entropy",
    labels: Place | None = None,
    lengths: Place | bool | None = None,
    calls: Calls = "auto",
    group: Any = None,
) -> Any:
    """Score the units, or the gates, of every layer and direction of a recurrent layer.

    Parameters
    ----------
    model : nn.Module
        It is not changed, nor are the tensors and containers in `batches`.
    {batches}
    criterion : str or callable, or sequence of str
        What scores the units. By name:

        - "transfer_entropy": bits from the series `source` to the unit's output.
          "corrected_transfer_entropy" is less its bias by Miller and Madow.
          "effective_transfer_entropy" is less what chance gives. "significant_transfer_entropy" is
          the effective value if it is significant, and 0 otherwise.
        - "reverse_transfer_entropy" and its three variants: bits from the unit to the series.
        - "entropy": bits of the unit's binned output. "active_information": bits that its past
          tells about its next value. "mutual_information": bits that it shares with the series.
        - "l1" and "l2": norms of the unit's rows in ``weight_ih`` and ``weight_hh``, over all its
          gates, without biases. "group": the norm of all weights of the unit, also those by which
          it is read. They and "random" do not read `batches`.
        - "activation_magnitude": the mean of its absolute output. "taylor": the change of the loss
          to first order. "redundancy": what the units that stay leave open of the unit. "spectral":
          how early a selection of units that tell all others takes it.

        A callable gets a `Context` and returns a score for each unit, such as those in
        ``tefast.nn.criteria``. Several names are scored in one pass if they only count.
    rnn : str, default "rnn"
        Name of the recurrent layer in `model`, with dots for nesting: ``nn.LSTM``, ``nn.GRU``,
        ``nn.RNN``, one of their cells, or `RecurrentStack`; batch_first or not, on packed sequences
        or not.
    of : {"units", "outputs", "gates"}, default "units"
        What is scored. "outputs" are the projected outputs of an LSTM with proj_size. "gates" are
        those of an LSTM or a GRU of one layer and direction, without a projection: i, f, g, o, or
        r, z, n.
    {parts, bins:outputs, h_range:outputs, y_range:series, seed, backend, threads}
    {forward, source, loss, labels, lengths:place, calls, group}

    Returns
    -------
    LayerScores
        A dict of (layer, direction) to Tensor of shape (U,), or (U, G) for gates; float64, on the
        CPU. For several criteria a dict of such dicts, by name. Gates of different kinds are not on
        one scale: they are binned over ranges of different widths, and a layer can miss one kind
        more than another. A column holds the gates of one kind.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, `batches` is empty or has to be read twice and cannot,
        or scores are not one finite number a unit.

    Notes
    -----
    A model that gives one result for a sequence runs once more for every step t. In this run, its
    recurrent layers have the outputs of step t at all steps, and the states of step t as final
    states. The series is then what the model says about step t. If the model reads the final state
    of a layer of one direction, that is what it would say if the sequence ended there. If it takes
    means over steps, that is what it says about the step by itself. The recurrent layers do not run
    again, but everything else does. Pass `source` if that takes too long or is not what you want.
    """
    chosen = _chosen(criterion)
    if of not in get_args(Granularity):
        raise ValueError(f"of: expected one of {', '.join(get_args(Granularity))}, got {of!r}")
    how: dict[str, Any] = {
        "bins": bins, "h_range": h_range, "y_range": y_range, "seed": seed, "backend": backend,
        "threads": threads, "forward": forward, "labels": labels, "lengths": lengths,
        "calls": calls, "what": of, "group": group,
        "source": series.named(source, series.SOURCES, "source"),
        "loss": series.named(loss, series.LOSSES, "loss"),
    }  # fmt: skip
    if calls not in get_args(Calls):
        raise ValueError(f"calls: expected one of auto, steps, sequences, got {calls!r}")
    context = _context(model, batches, rnn, of, parts, how)
    scores = {
        name: LayerScores.of(context.split(_checked(one, context.units)), order_of(chosen[name]))
        for name, one in _scores(context, chosen)
    }
    return (
        next(iter(scores.values()))
        if callable(criterion) or isinstance(criterion, str)
        else (scores)
    )


def _chosen(given: str | Criterion | Sequence[str]) -> dict[str, Criterion]:
    """The criteria that are asked for, by name."""
    if callable(given):
        return {"": given}
    names = [given] if isinstance(given, str) else list(given)
    for name in names:
        if not isinstance(name, str) or name not in NAMED:
            raise ValueError(
                f"criterion: expected one of {', '.join(NAMED)} or a callable, got {name!r}"
            )
    return {name: NAMED[name] for name in names}


def _scores(context: Context, chosen: Mapping[str, Criterion]) -> Iterable[tuple[str, Any]]:
    """Scores of each criterion; those that only count share one pass."""
    makers = {name: counter_of(criterion) for name, criterion in chosen.items()}
    alone = context
    if context.group is not None:
        alone = replace(context, batches=_Parts(), group=None)
    found = {name: criterion(alone) for name, criterion in chosen.items() if makers[name] is None}
    counters = {name: make(context) for name, make in makers.items() if make is not None}
    if counters:
        count(context, list(counters.values()))
    for name in chosen:
        yield name, counters[name].compute() if name in counters else found[name]


class _Parts:
    """Stands for batches of which each process has a part, where a criterion does not count."""

    def __iter__(self) -> Iterator[Batch]:
        raise ValueError(
            "group: expected criteria that count, or that read the weights alone; what others "
            "read of the batches does not add up over processes"
        )


def _context(
    model: nn.Module,
    batches: Iterable[Batch],
    rnn: str,
    of: Granularity,
    parts: Sequence[Part] | None,
    how: dict[str, Any],
) -> Context:
    """What the criteria look at."""
    if of == "gates":
        gated = find_gated(model, rnn)
        chosen = _widths({(0, 0): gated.hidden_size}, parts)
        return GateContext(model, batches, gated, chosen, **how)
    layer: Layer = find_recurrent(model, rnn)
    named = weights(layer)
    widths = sizes(named)
    if of == "outputs" and "weight_hr" not in named[0, 0]:
        raise ValueError("of='outputs': expected an LSTM with proj_size, got a layer without")
    known = widths.outputs if of == "outputs" else widths.hidden
    return Context(model, batches, layer, _widths(known, parts), **how)


def _widths(known: Mapping[Part, int], parts: Sequence[Part] | None) -> dict[Part, int]:
    for part in parts or ():
        if part not in known:
            names = ", ".join(map(str, known))
            raise ValueError(f"parts: expected (layer, direction) from {names}, got {part!r}")
    return {part: known[part] for part in known if parts is None or part in parts}


def _checked(scores: Tensor | NDArray[np.floating], units: int) -> Tensor:
    if not isinstance(scores, Tensor | np.ndarray):
        raise TypeError(f"criterion: expected a tensor or array, got {type(scores).__name__}")
    if isinstance(scores, np.ndarray):
        # Torch takes neither a reversed view nor another byte order.
        scores = torch.from_numpy(np.ascontiguousarray(scores, dtype=np.float64))
    values = scores.detach().to("cpu", torch.float64)
    if values.shape != (units,):
        raise ValueError(f"criterion: expected shape ({units},), got {tuple(values.shape)}")
    wrong = ~values.isfinite()
    if wrong.any():
        raise ValueError(f"criterion: the score of unit {int(wrong.nonzero()[0, 0])} is not finite")
    return values
