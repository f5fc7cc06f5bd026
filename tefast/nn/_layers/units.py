"""Which units are meant: what callers say, for every direction of every layer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tefast.nn._layers.stack import Part, part_name

Units: TypeAlias = Tensor | NDArray[np.integer[Any]] | Sequence[int]
"""Distinct units, 0..U-1, in any order: integers of shape (K,)."""

Selection: TypeAlias = Units | Mapping[Part, Units] | Mapping[str, Units]
"""Units of the only direction of the only layer, or of each (layer, direction) or its name."""

_PART = re.compile(r"l\d+(_reverse)?")


def choose(
    selection: Selection, sizes: Mapping[Part, int], name: str, *, may_be_all: bool
) -> dict[Part, Tensor]:
    """Return the units that are meant, of every direction of every layer.

    Parameters
    ----------
    selection : Selection
    sizes : mapping of (layer, direction) to int
        Units that are there, U.
    name : str
        What errors call the selection.
    may_be_all : bool
        Whether all units of a direction may be chosen.

    Returns
    -------
    dict of (layer, direction) to LongTensor of shape (K,), with the keys of `sizes`

    Raises
    ------
    TypeError, ValueError
        If a direction is not there or named twice, or its units are not integers, out of range,
        repeated, or all.
    """
    chosen = {part: torch.empty(0, dtype=torch.int64) for part in sizes}
    for part, (label, units) in _by_part(selection, sizes, name).items():
        chosen[part] = _check_units(units, sizes[part], label)
        if len(chosen[part]) == sizes[part] and not may_be_all:
            raise ValueError(f"{label}: all {sizes[part]} units given; at least one must stay")
    return chosen


def others(chosen: Mapping[Part, Tensor], sizes: Mapping[Part, int]) -> dict[Part, Tensor]:
    """Return the units that are not chosen, in ascending order, of every direction."""
    left = {}
    for part, units in chosen.items():
        keep = torch.ones(sizes[part], dtype=torch.bool)
        keep[units] = False
        left[part] = keep.nonzero().flatten()
    return left


def _by_part(
    selection: Selection, sizes: Mapping[Part, int], name: str
) -> dict[Part, tuple[str, Any]]:
    names = {part_name(part): part for part in sizes}
    if not isinstance(selection, Mapping):
        if len(sizes) == 1:
            return dict.fromkeys(sizes, (name, selection))
        # Unit 3 of one layer has nothing in common with unit 3 of another.
        raise TypeError(
            f"{name}: expected a mapping from {', '.join(names)} to units, since the layer has "
            f"{len(sizes)} directions or layers, got {type(selection).__name__}"
        )
    found: dict[Part, tuple[str, Any]] = {}
    for key, units in selection.items():
        part = names.get(key) if isinstance(key, str) else key
        if part is None or part not in sizes:
            found_in = _PART.search(key) if isinstance(key, str) else None
            named = found_in is not None and found_in[0] in names
            raise ValueError(
                f"{name}: expected keys from {', '.join(names)}, or (layer, direction) such as "
                f"{next(iter(sizes))}, got {key!r}"
                f"{f', a weight of {found_in[0]!r}' if named and found_in else ''}"
            )
        if part in found:
            raise ValueError(f"{name}: {part_name(part)} is given more than once")
        found[part] = (f"{name}[{key!r}]", units)
    return found


def _check_units(units: Any, size: int, label: str) -> Tensor:
    if isinstance(units, str | bytes) or not isinstance(units, Tensor | np.ndarray | Sequence):
        raise TypeError(f"{label}: expected integers of shape (K,), got {type(units).__name__}")
    if isinstance(units, Tensor):
        values = units.detach().cpu().numpy()
    else:
        values = np.asarray(units) if len(units) else np.empty(0, np.int64)
    if values.ndim != 1:
        raise ValueError(f"{label}: expected shape (K,), got {values.shape}")
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"{label}: expected integers, got {values.dtype}")
    outside = values[(values < 0) | (values >= size)]
    if outside.size:
        raise ValueError(f"{label}: expected 0..{size - 1}, got {outside[0]}")
    distinct, times = np.unique(values, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"{label}: unit {distinct[times > 1][0]} is given more than once")
    return torch.as_tensor(values.astype(np.int64))
