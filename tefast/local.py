"""Local transfer entropy: one value for every transition."""

from __future__ import annotations

from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from tefast._backends.inputs import LocalSource
from tefast._counting import evaluation, windows
from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._inputs import values
from tefast._support.parameters import documented
from tefast._tables.logarithms import LogUnit, log_ratios
from tefast._tables.states import Embedding, JointState
from tefast._tables.types import MISSING
from tefast.measures import TRANSFER_ENTROPY
from tefast.typing import (
    ArrayLike,
    BackendName,
    BinningLike,
    LocalOptions,
    NanPolicy,
    Scores,
    TensorLike,
)


@overload
def local_transfer_entropy(
    h: ArrayLike, y: Any, bins: int = ..., **options: Unpack[LocalOptions]
) -> Scores: ...
@overload
def local_transfer_entropy(
    h: TensorLike, y: Any, bins: int = ..., **options: Unpack[LocalOptions]
) -> TensorLike: ...
@overload
def local_transfer_entropy(
    h: Any, y: Any, bins: int = ..., **options: Unpack[LocalOptions]
) -> Any: ...
@documented
def local_transfer_entropy(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
    joint: bool = False,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Transfer entropy at every single transition; its mean over them is `transfer_entropy`.

    ``log( p(h[t+1] | past, source) / p(h[t+1] | past) )``, which is negative where the source
    misleads (J. Lizier et al., Phys. Rev. E 77, 026110, 2008).

    Parameters
    ----------
    {h, y, bins}
    {target_history, source_history, delay, target_step, source_step, joint}
    {binning, h_range, y_range, lengths, mask, layout, nan_policy, base, backend, threads}

    Returns
    -------
    float64 array, shape (N, T - f, U), (T - f, U) or (T - f,), in the axes of `h`
        f = max(1 + (k - 1) s, d + (l - 1) r) is the first step that a transition leads to. Entry i
        belongs to the transition to step f + i. NaN where a transition was left out.

    Raises
    ------
    {errors}
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    target, source = values.read(h, y, layout, joint)
    embedding.check_steps(target)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    inputs = Inputs.check(options, target, [source], lengths, {"h": h_range, "y": y_range}, mask)
    states = inputs.windows(TRANSFER_ENTROPY, embedding).beside["source"]
    found = _at_once if _goes_at_once(inputs, embedding, states.size) else _by_unit
    return target.wrap_steps(found(inputs, embedding, states))


def _goes_at_once(inputs: Inputs, embedding: Embedding, states: int) -> bool:
    """Whether the backend's kernel takes the target's past and so many states of the source."""
    sequences, steps, _ = inputs.target.array.shape
    return (
        inputs.bins ** (embedding.target_history + 1) <= inputs.options.backend.LOCAL_MOVES
        and states <= windows.MOST_STATES
        and sequences * steps < 2**32
    )


def _at_once(inputs: Inputs, embedding: Embedding, source: JointState) -> Scores:
    """Values (N, T - f, U) of all units by the backend's kernel."""
    options, target = inputs.options, inputs.target
    states = source.moved(-1).codes.astype(np.int16)
    states[:, : embedding.first] = MISSING  # where the target's past is not there yet
    found = options.backend.local_values(
        inputs.unscanned(target),
        LocalSource(states, source.size, embedding.first),
        LogUnit.of_base(options.base),
        options.omit,
        options.threads,
        () if embedding.target_history == 1 else tuple(step - 1 for step in embedding.past),
    )
    if not found.clean:
        inputs.scan(target)
    if not found.counted:
        evaluation.raise_nothing_left()
    return found.values


def _by_unit(inputs: Inputs, embedding: Embedding, source: JointState) -> Scores:
    """The same of any backend's codes, one unit after the other."""
    counted = inputs.windows(TRANSFER_ENTROPY, embedding, source=source)
    binned = inputs.binned()
    unit = LogUnit.of_base(inputs.options.base)
    found = np.empty(inputs.target.array.shape)
    for u in range(found.shape[2]):
        codes = binned.units(slice(u, u + 1)).codes()
        found[:, :, u] = _local(unit, **counted.states(codes[:, :, 0]))
    if np.isnan(found).all():
        evaluation.raise_nothing_left()
    return found[:, embedding.first + 1 :]


def _local(
    unit: LogUnit, past: JointState, source: JointState, next: JointState
) -> npt.NDArray[np.float64]:
    """Value of every transition (N, T) of one unit."""
    start, move = past.beside(source), past.beside(next)
    joint = start.beside(next)
    seen = joint.codes != MISSING
    counts = (_occurrences(each, seen) for each in (joint, start, move, past))
    n, of_start, of_move, of_past = counts
    local = np.full(seen.shape, np.nan)
    local[seen] = log_ratios(n * of_past, of_start * of_move, unit)
    return local


def _occurrences(state: JointState, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How often the state of each step that is seen is there, among those."""
    codes = state.codes[seen]
    if state.size > windows.DENSE_CELLS:
        _, codes = np.unique(codes, return_inverse=True)
    return np.bincount(codes, minlength=1)[codes].astype(np.float64)
