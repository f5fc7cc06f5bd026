"""A score for every recurrent unit, by which units are removed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tefast import Entropy, TransferEntropy
from tefast.nn import criteria as every
from tefast.nn.capture import Batch, capture
from tefast.nn.criteria import Context
from tefast.nn.observe import (
    Forward,
    FromResult,
    cross_entropy,
    label_probability,
    run_model,
)
from tefast.nn.recurrent import Cell, find_recurrent, find_single, sizes, weights
from tefast.nn.stack import Part

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
    backend: str = "auto",
    threads: int | None = None,
) -> Tensor:
    """Score every unit of a recurrent layer.

    Parameters
    ----------
    model : nn.Module
        Maps x (n, T, D) to logits (n, T, C). Not changed.
    batches : iterable of (x, labels) or (x, labels, lengths)
        As in `capture`. Activations are streamed into counts, a batch at a time.
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

    Returns
    -------
    Tensor of shape (U,), float64, on the CPU

    Raises
    ------
    ValueError
        If the criterion is unknown, `batches` is empty, the layer is a relu RNN and `h_range`
        the default, or a callable's result is not U finite numbers; also as in `capture`.
    TypeError
        If `h_range` is None and `batches` can be read only once; also as in `capture`.
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
    backend: str = "auto",
    threads: int | None = None,
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
    accumulators: dict[str, Accumulator] = {}
    if any(name in _STREAMED for name in criteria):
        every.check_range(layer, h_range, batches)
        low_high = h_range
        if low_high is None:
            low_high = every.unit_ranges(_without_series(capture(model, batches, rnn=rnn)))
        accumulators = {
            name: _accumulator(name, layer.hidden_size, bins, low_high, backend, threads)
            for name in criteria
            if name in _STREAMED
        }
        _stream(model, batches, rnn, accumulators)
    scores: dict[str, Tensor] = {}
    for name in criteria:
        if name in accumulators:
            result = accumulators[name].compute()
            scores[name] = torch.as_tensor(result, dtype=torch.float64, device="cpu")
            continue
        options: dict[str, Any] = {"seed": seed, "backend": backend, "threads": threads}
        scores[name] = layer_scores(
            model, batches, name, rnn=rnn, bins=bins, h_range=h_range, **options
        )[0, 0]
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
    y_range: Range = (0.0, 1.0),
    seed: int = 0,
    backend: str = "auto",
    threads: int | None = None,
    forward: Forward = run_model,
    source: FromResult = label_probability,
    loss: FromResult = cross_entropy,
) -> dict[Part, Tensor]:
    """Score the units of every layer and direction of a recurrent layer.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    batches : iterable of (x, labels) or (x, labels, lengths)
        What `forward`, `source` and `loss` make of it; `lengths` (n,) are valid steps.
    criterion : str or callable
        A name in ``tefast.nn.criteria.NAMED``, or a function of a `Context` that returns a score
        for each of its units, such as those in ``tefast.nn.criteria``.
    rnn : str
        Name of the recurrent layer in `model`: ``nn.LSTM``, ``nn.GRU``, ``nn.RNN`` without
        projection, or `RecurrentStack`; batch_first or not.
    parts : sequence of (layer, direction), optional
        Whose units; default all.
    bins, h_range, seed, backend, threads
        As in `unit_scores`.
    y_range : (low, high)
        Range of the series.
    forward : callable
        ``forward(model, batch)`` runs the model; default ``model(batch[0])``.
    source : callable
        ``source(result, batch)`` gives the series (n, T) that units are compared with; default
        the softmax probability of the true label at every step.
    loss : callable
        ``loss(result, batch)``, for "taylor"; default the mean cross-entropy.

    Returns
    -------
    dict of (layer, direction) to Tensor of shape (U,), float64, on the CPU

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or scores are not one finite number a unit.
    """
    layer = find_recurrent(model, rnn)
    named = weights(layer)
    if isinstance(layer, Cell) or "weight_hr" in named[0, 0]:
        raise ValueError(
            f"submodule {rnn!r}: expected a layer over sequences without projection, got {layer}"
        )
    if not callable(criterion):
        _check_criteria([criterion])
        criterion = every.NAMED[criterion]
    widths = _widths(sizes(named).hidden, parts)
    context = Context(
        model, batches, layer, widths, bins, h_range, y_range, seed, backend, threads, forward,
        source, loss,
    )  # fmt: skip
    scores = _checked(criterion(context), context.units)
    return dict(zip(widths, torch.split(scores, list(widths.values())), strict=True))


def _widths(known: Mapping[Part, int], parts: Sequence[Part] | None) -> dict[Part, int]:
    for part in parts or ():
        if part not in known:
            names = ", ".join(map(str, known))
            raise ValueError(f"parts: expected (layer, direction) from {names}, got {part!r}")
    return {part: known[part] for part in known if parts is None or part in parts}


def _accumulator(
    name: str, units: int, bins: int, h_range: Range, backend: str, threads: int | None
) -> Accumulator:
    if name == "entropy":
        return Entropy(units, bins, h_range=h_range, backend=backend, threads=threads)
    return TransferEntropy(
        units, bins, h_range=h_range, y_range=(0.0, 1.0), backend=backend, threads=threads
    )


def _stream(
    model: nn.Module, batches: Iterable[Batch], rnn: str, accumulators: dict[str, Accumulator]
) -> None:
    empty = True
    for h, y, *rest in capture(model, batches, rnn=rnn):
        empty = False
        lengths = rest[0] if rest else None
        for accumulator in accumulators.values():
            if isinstance(accumulator, TransferEntropy):
                accumulator.update(h, y, lengths)
            else:
                accumulator.update(h, lengths)
    if empty:
        raise ValueError("batches: expected at least one batch, got none")


def _without_series(
    captured: Iterable[tuple[Tensor, ...]],
) -> Iterable[tuple[Tensor, Tensor | None]]:
    return ((h, rest[0] if rest else None) for h, _, *rest in captured)


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
