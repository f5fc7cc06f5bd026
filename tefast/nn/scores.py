"""A score for every recurrent unit, by which units are removed."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tefast import Entropy, TransferEntropy
from tefast.nn.capture import Batch, capture
from tefast.nn.recurrent import Recurrent, find_single

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
        uniform numbers from `seed`. The last two do not read `batches`.
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
        _check_range(layer, h_range, batches)
        low_high = _unit_ranges(model, batches, rnn) if h_range is None else h_range
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
        else:
            scores[name] = _row_norms(layer) if name == "l1" else _random(layer, seed)
    return scores


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


def _unit_ranges(model: nn.Module, batches: Iterable[Batch], rnn: str) -> Range:
    low: Tensor | None = None
    high: Tensor | None = None
    for h, _, *rest in capture(model, batches, rnn=rnn):
        if rest:
            steps = torch.arange(h.shape[1], device=h.device)
            h = h[steps < rest[0][:, None]]
        flat = h.flatten(0, -2).double()
        if not len(flat):  # no valid step in this batch
            continue
        if not flat.isfinite().all():
            unit = int((~flat.isfinite()).any(dim=0).nonzero()[0, 0])
            raise ValueError(f"the output of unit {unit} is not finite")
        low = flat.amin(0) if low is None else torch.minimum(low, flat.amin(0))
        high = flat.amax(0) if high is None else torch.maximum(high, flat.amax(0))
    if low is None or high is None:
        raise ValueError("batches: expected at least one batch, got none with a valid step")
    # A constant unit has one symbol under any range; an empty range could not be binned.
    high = torch.where(high > low, high, low + low.abs().clamp(min=1.0))
    return low.cpu().numpy(), high.cpu().numpy()


def _row_norms(layer: Recurrent) -> Tensor:
    total = torch.zeros(layer.hidden_size, dtype=torch.float64)
    for name, weight in layer.named_parameters(recurse=False):
        if name.startswith("weight"):
            rows = weight.detach().cpu().double().reshape(-1, layer.hidden_size, weight.shape[1])
            total += rows.abs().sum(dim=(0, 2))
    return total


def _random(layer: Recurrent, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(layer.hidden_size, generator=generator, dtype=torch.float64)


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
        if name not in CRITERIA:
            known = ", ".join(CRITERIA)
            raise ValueError(f"criterion: expected one of {known} or a callable, got {name!r}")


def _check_range(layer: Recurrent, h_range: Range | None, batches: Iterable[Batch]) -> None:
    if h_range is None:
        if isinstance(batches, Iterator):
            raise TypeError(
                "batches: h_range=None reads them twice; expected an iterable that can be read "
                f"again, such as a list, got {type(batches).__name__}"
            )
        return
    if layer.mode == "RNN_RELU" and np.all(h_range[0] == -1.0) and np.all(h_range[1] == 1.0):
        raise ValueError(
            "h_range: a relu RNN has no upper bound; give (low, high), or None for each unit's "
            "own range"
        )
