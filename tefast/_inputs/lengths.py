"""The valid steps of each sequence, as an argument or from a list of sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tefast._inputs import layouts
from tefast._inputs.kinds import Taken

if TYPE_CHECKING:
    from tefast._inputs.values import Values


def check_own_lengths(taken: Taken, h: Values, name: str) -> None:
    """Raise where a list of unequal sequences does not go with the target."""
    if taken.lengths is None:
        return
    if h.own_lengths is None:
        raise ValueError(
            f"{name} is a list of sequences of unequal lengths, and {h.name} is not; pass both as "
            "such lists, or both as arrays with lengths=..."
        )
    if len(taken.lengths) != len(h.own_lengths):
        raise ValueError(
            f"{name} is a list of {len(taken.lengths)} sequences, and {h.name} is one of "
            f"{len(h.own_lengths)}"
        )
    bad = np.flatnonzero(taken.lengths != h.own_lengths)
    if bad.size:
        i = int(bad[0])
        raise ValueError(
            f"sequence {i} has {taken.lengths[i]} steps in {name} and {h.own_lengths[i]} in "
            f"{h.name}"
        )


def sequence_lengths(lengths: Any, h: Values) -> npt.NDArray[np.int64] | None:
    """Check `lengths`: integers of shape (N,), each 0 to T; None stays None."""
    if lengths is None:
        return h.own_lengths
    array = np.asarray(lengths.cpu() if hasattr(lengths, "cpu") else lengths)
    sequences, steps = h.array.shape[:2]
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers, got {array.dtype}")
    if array.shape != (sequences,):
        meant = layouts.fitting(h.shape, h.layout, sequences=array.size) if array.ndim == 1 else []
        raise ValueError(
            f"lengths must have shape ({sequences},), got {array.shape}; {h.name} {h.reading}"
            f"{layouts.advice(h.shape, meant)}"
        )
    bad = np.flatnonzero((array < 0) | (array > steps))
    if bad.size:
        n = int(bad[0])
        raise ValueError(f"lengths must lie in 0 .. T = {steps}, got lengths[{n}] = {array[n]}")
    if h.own_lengths is not None and (array != h.own_lengths).any():
        raise ValueError(
            f"lengths are given, and {h.name} is a list of sequences that have other lengths of "
            "their own; leave lengths out"
        )
    return np.ascontiguousarray(array, dtype=np.int64)
