"""A score for every recurrent unit, by which units are removed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tefast import Entropy, TransferEntropy
from tefast.nn import criteria as every
from tefast.nn import series
from tefast.nn.batches import Batch, Forward, FromResult, Place, run_model
from tefast.nn.context import Context
from tefast.nn.observe import Calls
from tefast.nn.recurrent import Layer, find_recurrent, find_single, sizes, weights
from tefast.nn.stack import Part
from tefast.typing import BackendName

Criterion = str | Callable[[nn.Module, Iterable[Batch]], Tensor | NDArray[np.floating]]
Bound = float | NDArray[np.floating]
Range = tuple[Bound, Bound]
Accumulator = TransferEntropy | Entropy

CRITERIA = ("transfer_entropy", "entropy", "l1", "random")
_STREAMED = ("transfer_entropy", "entropy")


def unit_scores(
    model: nn.Module,
    batches: Iterable[Batch],
    criterion: Criterion,
    *,
    rnn: str = "rnn",
    bins: int = 16,
    h_range: Range | None = (-1.0, 1.0),
    seed: int = 0,
    backend: BackendName = "auto",
    threads: int | None = None,
    **how: Any,
) -> Tensor:
    """Score every unit of a recurrent layer.

    Parameters
    ----------
    model : nn.Module
        Maps x to logits (n, T, C), or (n, C) as in `layer_scores`. Not changed.
    batches : iterable of (x, labels) or (x, labels, lengths)
        As in `layer_scores`. Activations are streamed into counts, a batch at a time.
    criterion : str or callable
        "transfer_entropy": bits from the true label's probability (source) to the unit's output
        (target). "entropy": bits of the unit's binned output. "l1": the L1 norm of the unit's
        rows in ``weight_ih`` and ``weight_hh``, over all its gates, without biases. "random":
        uniform numbers from `seed`. The last two do not read `batches`. Further names are those
        of ``tefast.nn.criteria.NAMED``.
        A callable gets (model, batches) and returns U finite scores.
    rnn : str
        Name of the recurrent layer in `model`, with dots for nesting.
    bins : int
        Equal-width bins of a unit's output, and of the probability over [0, 1].
    h_range : (low, high) or None
        Range that is binned, each a number or an array of shape (U,). The default holds all an
        LSTM, a GRU or a tanh RNN can give; a relu RNN has no such bound and needs another one.
        None: each unit's own range, found in a pass of its own, so `batches` is read twice.
    seed : int
        For "random".
    backend, threads
        As in `tefast.transfer_entropy`.
    **how
        As in `layer_scores`: forward, source, loss, labels, lengths, calls, y_range.

    Returns
    -------
    Tensor of shape (U,), float64, on the CPU

    Raises
    ------
    ValueError
        If the criterion is unknown, `batches` is empty, the layer is a relu RNN and `h_range`
        the default, or a callable's result is not U finite numbers; also as in `layer_scores`.
    TypeError
        If `h_range` is None and `batches` can be read only once; also as in `layer_scores`.
    """
    layer = find_single(model, rnn)
    if callable(criterion):
        return _checked(criterion(model, batches), layer.hidden_size)
    scores = score_all(
        model,
        batches,
        [criterion],
        rnn=rnn,
        bins=bins,
        h_range=h_range,
        seed=seed,
        backend=backend,
        threads=threads,
        **how,
    )
    return scores[criterion]


def score_all(
    model: nn.Module,
    batches: Iterable[Batch],
    criteria: Sequence[str] = CRITERIA,
    *,
    rnn: str = "rnn",
    bins: int = 16,
    h_range: Range | None = (-1.0, 1.0),
    seed: int = 0,
    backend: BackendName = "auto",
    threads: int | None = None,
    **how: Any,
) -> dict[str, Tensor]:
    """Score every unit by several criteria in one pass over `batches`.

    Parameters
    ----------
    criteria : sequence of str
        Names as in `unit_scores`, no callables.

    The others are as in `unit_scores`, and so are the errors.

    Returns
    -------
    dict of str to Tensor of shape (U,), float64, on the CPU, in the order of `criteria`
    """
    layer = find_single(model, rnn)
    _check_criteria(criteria)
    options: dict[str, Any] = {"bins": bins, "h_range": h_range, "seed": seed}
    options |= {"backend": backend, "threads": threads, **how}
    context = _context(model, batches, layer, {(0, 0): layer.hidden_size}, options)
    accumulators = {name: _accumulator(name, context) for name in criteria if name in _STREAMED}
    if accumulators:
        _stream(context, list(accumulators.values()))
    scores: dict[str, Tensor] = {}
    for name in criteria:
        if name in accumulators:
            result = accumulators[name].compute()
            scores[name] = torch.as_tensor(result, dtype=torch.float64, device="cpu")
        else:
            scores[name] = layer_scores(model, batches, name, rnn=rnn, **options)[0, 0]
    return scores


def layer_scores(
    model: nn.Module,
    batches: Iterable[Batch],
    criterion: str | every.Criterion,
    *,
    rnn: str = "rnn",
    parts: Sequence[Part] | None = None,
    bins: int = 16,
    h_range: Range | None = (-1.0, 1.0),
    y_range: Range | None = None,
    seed: int = 0,
    backend: BackendName = "auto",
    threads: int | None = None,
    forward: Forward = run_model,
    source: str | FromResult = "label_probability",
    loss: str | FromResult = "cross_entropy",
    labels: Place | None = None,
    lengths: Place | bool | None = None,
    calls: Calls = "auto",
    projections: bool = False,
) -> dict[Part, Tensor]:
    """Score the units of every layer and direction of a recurrent layer.

    Parameters
    ----------
    model : nn.Module
        Not changed, nor are the tensors and containers in `batches`.
    batches : iterable of (x, labels) or (x, labels, lengths), or of what `forward` takes
    criterion : str or callable
        A name in ``tefast.nn.criteria.NAMED``, or a function of a `Context` that returns a score
        for each of its units, such as those in ``tefast.nn.criteria``.
    rnn : str
        Name of the recurrent layer in `model`: ``nn.LSTM``, ``nn.GRU``, ``nn.RNN``, one of their
        cells, or `RecurrentStack`; batch_first or not, on packed sequences or not.
    parts : sequence of (layer, direction), optional
        Whose units; default all.
    bins, h_range, seed, backend, threads
        As in `unit_scores`.
    y_range : (low, high), optional
        Range of the series. By default [0, 1] of a probability, else the series' own range, found
        in a pass of its own.
    forward : callable
        ``forward(model, batch)`` runs the model; default ``model(batch[0])``. A batch is any
        object that it takes; a mapping for instance, with ``model(**batch)``.
    source : str or callable
        The series (n, T) that units are compared with. "label_probability": the softmax
        probability of the true label at every step, of logits (n, T, C). "binary_probability":
        the same of one logit, (n, T) or (n, T, 1), by its sigmoid. "squared_error": of floating
        targets, the mean over features. "target": the target itself, one number a step. Or
        ``source(result, batch)``, a tensor (n, T), or a list of one for every set of sequences
        that the layer runs for. A model that gives one result for a sequence, (n, C), is asked for
        the result of every step: see the notes.
    loss : str or callable
        ``loss(result, batch)``, for "taylor", or "cross_entropy", "binary_cross_entropy" or
        "squared_error", each the mean over sequences and valid steps.
    labels : int, str or callable
        Where the labels or targets, (n,) or one a step, lie in a batch: a position, a key or
        ``labels(batch)``; default the second item, or "labels" of a mapping. Named sources and
        losses read them.
    lengths : int, str or callable, or False
        Where the valid steps (n,) of each sequence lie in a batch; default the third item, if there
        is one, or "lengths" of a mapping. False: nowhere. A layer on packed sequences knows them
        itself, and a batch that says something else is refused.
    calls : {"auto", "steps", "sequences"}
        What several calls of the layer in one run of the model are: the next steps of the same
        sequences, which follow one another, or sequences of their own. By default a call goes on
        from the one whose final state it is given, and begins anew without a state, with one of
        zeros, or with that of the first call. Calls in both directions are sequences of their own.
    projections : bool
        Score the projected outputs of an LSTM with proj_size, not its units.

    Returns
    -------
    dict of (layer, direction) to Tensor of shape (U,), float64, on the CPU

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or scores are not one finite number a unit.

    Notes
    -----
    A model that gives one result for a sequence runs once more for every step t: with the outputs
    of its recurrent layers, at all steps, and their final states those of step t. The series is
    then what the model says of step t. Where it reads the final state of a layer of one direction,
    that is what it would say if the sequence ended there; where it takes means over steps, what it
    says of the step by itself. Layers do not run again, but all else does: give `source` where that
    takes too long or is not what is wanted.
    """
    layer = find_recurrent(model, rnn)
    named = weights(layer)
    widths = sizes(named)
    if projections and "weight_hr" not in named[0, 0]:
        raise ValueError("projections: expected an LSTM with proj_size, got a layer without")
    if not callable(criterion):
        _check_criteria([criterion])
        criterion = every.NAMED[criterion]
    chosen = _widths(widths.outputs if projections else widths.hidden, parts)
    how: dict[str, Any] = {
        "bins": bins, "h_range": h_range, "y_range": y_range, "seed": seed, "backend": backend,
        "threads": threads, "forward": forward, "source": source, "loss": loss, "labels": labels,
        "lengths": lengths, "calls": calls, "what": "outputs" if projections else "units",
    }  # fmt: skip
    context = _context(model, batches, layer, chosen, how)
    scores = _checked(criterion(context), context.units)
    return dict(zip(chosen, torch.split(scores, list(chosen.values())), strict=True))


def _context(
    model: nn.Module,
    batches: Iterable[Batch],
    layer: Layer,
    parts: Mapping[Part, int],
    how: dict[str, Any],
) -> Context:
    known = {
        "source": series.named(how.get("source", "label_probability"), series.SOURCES, "source"),
        "loss": series.named(how.get("loss", "cross_entropy"), series.LOSSES, "loss"),
    }
    if how.get("calls", "auto") not in get_args(Calls):
        raise ValueError(f"calls: expected one of auto, steps, sequences, got {how['calls']!r}")
    return Context(model, batches, layer, parts, **{**how, **known})


def _widths(known: Mapping[Part, int], parts: Sequence[Part] | None) -> dict[Part, int]:
    for part in parts or ():
        if part not in known:
            names = ", ".join(map(str, known))
            raise ValueError(f"parts: expected (layer, direction) from {names}, got {part!r}")
    return {part: known[part] for part in known if parts is None or part in parts}


def _accumulator(name: str, context: Context) -> Accumulator:
    how: dict[str, Any] = {"backend": context.backend, "threads": context.threads}
    if name == "entropy":
        return Entropy(context.units, context.bins, h_range=context.unit_range, **how)
    units, of_series = context.ranges
    return TransferEntropy(context.units, context.bins, h_range=units, y_range=of_series, **how)


def _stream(context: Context, accumulators: Sequence[Accumulator]) -> None:
    if not any(isinstance(one, TransferEntropy) for one in accumulators):
        for h, lengths in context.outputs():
            for accumulator in accumulators:
                accumulator.update(h, lengths)
        return
    for h, y, lengths in context.observed():
        for accumulator in accumulators:
            if isinstance(accumulator, TransferEntropy):
                accumulator.update(h, y, lengths)
            else:
                accumulator.update(h, lengths)


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


def _check_criteria(criteria: Sequence[str]) -> None:
    if isinstance(criteria, str):
        raise TypeError(f"criteria: expected a sequence of names, got the string {criteria!r}")
    for name in criteria:
        if name not in every.NAMED:
            known = ", ".join(every.NAMED)
            raise ValueError(f"criterion: expected one of {known} or a callable, got {name!r}")
