"""What the units say and how well the true label is recognised, batch by batch."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from tefast.nn import series
from tefast.nn._layers.recurrent import find_single
from tefast.nn._parameters import documented
from tefast.nn._runs.batches import Batch, Forward, FromResult, Place, run_model
from tefast.nn._runs.observe import Calls
from tefast.nn.context import Context, Observed


@documented
def capture(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    rnn: str = "rnn",
    forward: Forward = run_model,
    source: str | FromResult = "label_probability",
    labels: Place | None = None,
    lengths: Place | bool | None = None,
    calls: Calls = "auto",
) -> Iterator[tuple[Tensor, ...]]:
    """Run `model` over `batches` and yield the units' outputs and the true label's probability.

    The model runs in evaluation mode without gradients. Mode and hook are set for one batch at a
    time and put back before the batch is yielded, so the generator may be left at any point.
    Only the current batch is in memory.

    Parameters
    ----------
    model : nn.Module
        It maps x to logits (n, T, C), or to one result for a sequence, (n, C). It is not changed.
    {batches, rnn, forward, source, labels, lengths:place, calls}

    Yields
    ------
    h : Tensor (n, T, U)
        Outputs of the recurrent units.
    y : Tensor (n, T)
        Softmax probability of the true label at every step, in [0, 1], or what `source` gives.
    lengths : Tensor (n,)
        Only if the batch holds them or the layer runs on packed sequences.
        ``te.update(*captured)`` works in both cases.

    Raises
    ------
    TypeError
        If the submodule is not recurrent, or a batch is not as described.
    ValueError
        If there is no such submodule, or the shapes or labels of a batch do not fit.
    """
    layer = find_single(model, rnn)
    context = Context(
        model, batches, layer, {(0, 0): layer.hidden_size}, forward=forward,
        source=series.named(source, series.SOURCES, "source"), labels=labels, lengths=lengths,
        calls=calls,
    )  # fmt: skip
    return captured(context)


def captured(context: Context) -> Iterator[tuple[Any, ...]]:
    """Yield outputs, series and lengths, if there are any."""
    for batch in context.batches:
        found = context.look(batch)
        while found:  # no name is bound to the outputs: the caller alone keeps them alive
            yield _without_none(found.pop(0))


def _without_none(observed: Observed) -> tuple[Tensor, ...]:
    h, y, lengths = observed
    return (h, y) if lengths is None else (h, y, lengths)
