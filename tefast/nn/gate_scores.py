"""A score for every gate of every unit, by which gates are removed."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tefast import Entropy, TransferEntropy
from tefast.nn.batches import Batch
from tefast.nn.context import Context
from tefast.nn.gate_selection import GATES, LOWEST
from tefast.nn.gates import gate_context
from tefast.nn.recurrent import Gated, find_gated
from tefast.typing import BackendName

GATE_CRITERIA = ("transfer_entropy", "entropy", "l1", "random")
Accumulator = TransferEntropy | Entropy


def gate_scores(
    model: nn.Module,
    batches: Iterable[Batch],
    criterion: str = "transfer_entropy",
    *,
    rnn: str = "rnn",
    bins: int = 16,
    seed: int = 0,
    backend: BackendName = "auto",
    threads: int | None = None,
    **how: Any,
) -> Tensor:
    """Score every gate of every unit of an LSTM or a GRU.

    Parameters
    ----------
    model : nn.Module
        Maps x to logits (n, T, C), or (n, C) as in `layer_scores`. Not changed.
    batches : iterable of (x, labels) or (x, labels, lengths)
        As in `capture`. Activations are streamed into counts, a batch at a time.
    criterion : str
        "transfer_entropy": bits from the true label's probability (source) to the gate (target).
        "entropy": bits of the binned gate. "l1": the L1 norm of the gate's rows in ``weight_ih``
        and ``weight_hh``, without biases. "random": uniform numbers from `seed`. The last two do
        not read `batches`.
    rnn : str
        Name of the recurrent layer in `model`, with dots for nesting.
    bins : int
        Equal-width bins of the probability and of the sigmoid gates over [0, 1], and of the
        candidates g and n over [-1, 1].
    seed : int
        For "random".
    backend, threads
        As in `tefast.transfer_entropy`.
    **how
        As in `layer_scores`: forward, source, labels, lengths, calls, y_range.

    Returns
    -------
    Tensor of shape (U, G), float64, on the CPU
        Gates i, f, g, o of an LSTM and r, z, n of a GRU, in this order. Kinds are not on one scale:
        they are binned over ranges of different widths, and a layer can miss one kind more than
        another. A column compares the gates of one kind: see `select_units`.

    Raises
    ------
    ValueError
        If the criterion is unknown, or `batches` is empty; also as in `capture_gates`.
    TypeError
        As in `capture_gates`.
    """
    scores = score_all_gates(
        model,
        batches,
        [criterion],
        rnn=rnn,
        bins=bins,
        seed=seed,
        backend=backend,
        threads=threads,
        **how,
    )
    return scores[criterion]


def score_all_gates(
    model: nn.Module,
    batches: Iterable[Batch],
    criteria: Sequence[str] = GATE_CRITERIA,
    *,
    rnn: str = "rnn",
    bins: int = 16,
    seed: int = 0,
    backend: BackendName = "auto",
    threads: int | None = None,
    **how: Any,
) -> dict[str, Tensor]:
    """Score every gate by several criteria in one pass over `batches`.

    Parameters
    ----------
    criteria : sequence of str
        Names as in `gate_scores`.

    The others are as in `gate_scores`, and so are the errors.

    Returns
    -------
    dict of str to Tensor of shape (U, G), float64, on the CPU, in the order of `criteria`
    """
    layer = find_gated(model, rnn)
    context = gate_context(model, batches, rnn, how)
    _check_criteria(criteria)
    shape = (layer.hidden_size, len(GATES[layer.mode]))
    low = np.repeat([LOWEST[gate] for gate in GATES[layer.mode]], layer.hidden_size)
    options: dict[str, Any] = {"units": len(low), "bins": bins, "h_range": (low, 1.0)}
    options |= {"backend": backend, "threads": threads}
    accumulators: dict[str, Accumulator] = {}
    for name in criteria:
        if name == "transfer_entropy":
            accumulators[name] = TransferEntropy(**options, y_range=context.ranges[1])
        elif name == "entropy":
            accumulators[name] = Entropy(**options)
    if accumulators:
        _stream(context, list(accumulators.values()))
    scores: dict[str, Tensor] = {}
    for name in criteria:
        if name in accumulators:
            result = torch.as_tensor(accumulators[name].compute(), dtype=torch.float64)
            scores[name] = result.cpu().reshape(shape[::-1]).t().contiguous()
        elif name == "l1":
            scores[name] = _row_norms(layer)
        else:
            generator = torch.Generator().manual_seed(seed)
            scores[name] = torch.rand(shape, generator=generator, dtype=torch.float64)
    return scores


def _stream(context: Context, accumulators: Sequence[Accumulator]) -> None:
    if any(isinstance(one, TransferEntropy) for one in accumulators):
        for gates, y, lengths in context.observed():
            _update(accumulators, gates, y, lengths)
    else:
        for gates, lengths in context.outputs():
            _update(accumulators, gates, None, lengths)


def _update(
    accumulators: Sequence[Accumulator], gates: Tensor, y: Any, lengths: Tensor | None
) -> None:
    # All units of the first gate, then of the next, as they lie in memory: no copy is made.
    h = gates.transpose(-1, -2).flatten(-2)
    for accumulator in accumulators:
        if isinstance(accumulator, TransferEntropy):
            accumulator.update(h, y, lengths)
        else:
            accumulator.update(h, lengths)


def _row_norms(layer: Gated) -> Tensor:
    norms = torch.zeros((), dtype=torch.float64)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        rows: Tensor = getattr(layer, name)  # no parameter under a mask of torch.nn.utils.prune
        norms = norms + rows.detach().cpu().double().abs().sum(dim=1)
    return norms.reshape(-1, layer.hidden_size).t().contiguous()


def _check_criteria(criteria: Sequence[str]) -> None:
    if isinstance(criteria, str):
        raise TypeError(f"criteria: expected a sequence of names, got the string {criteria!r}")
    for name in criteria:
        if name not in GATE_CRITERIA:
            known = ", ".join(GATE_CRITERIA)
            raise ValueError(f"criterion: expected one of {known}, got {name!r}")
