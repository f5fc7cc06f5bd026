"""What the backends that read the host's memory have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tefast._backends.inputs import PairStates
from tefast._inputs.values import Values, to_numpy
from tefast._tables.types import BackendTable, Booleans, Counts

__all__ = ["packed", "place", "shared_any", "table"]


def place(*inputs: Values) -> list[Values]:
    """See `tefast._backends.Backend.place`."""
    return [values.on_host() for values in inputs]


def table(counts: BackendTable, beside: Values) -> Counts:
    """See `tefast._backends.Backend.table`."""
    return to_numpy(counts)


def shared_any(states: PairStates) -> PairStates:
    """The same with one row `any` where all series have a state at the same steps."""
    if len(states.any) > 1 and (states.any == states.any[0]).all():
        return replace(states, any=states.any[:1].copy())
    return states


def packed(kept: Booleans, words: int) -> npt.NDArray[np.uint64]:
    """Booleans (steps,) as the bits of a row of so many words."""
    bits = np.zeros(8 * words, np.uint8)
    found = np.packbits(kept, bitorder="little")
    bits[: len(found)] = found
    return bits.view("<u8").astype(np.uint64, copy=False)
