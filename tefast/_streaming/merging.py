"""Merging: whether the counts of two objects or processes add up, and the sum over processes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tefast._inputs import values
from tefast._tables.types import BackendTable


def require(mine: dict[str, Any], theirs: dict[str, Any], doing: str) -> None:
    """Raise a ValueError for the first setting that differs."""
    for name, here in mine.items():
        if not np.array_equal(np.asarray(here), np.asarray(theirs[name])):
            raise ValueError(
                f"{doing} needs the same settings: {name} is {here!r} here and {theirs[name]!r} "
                "there"
            )


def agree(before: dict[str, bool], symbols: dict[str, bool]) -> None:
    """Raise if inputs are symbols where earlier ones were floats, or the reverse."""
    kind = {True: "integer symbols", False: "floats"}
    for role, flag in symbols.items():
        if before.get(role, flag) != flag:
            raise ValueError(
                f"{values.ROLES[role]} held {kind[not flag]} so far, now {kind[flag]}: their "
                "counts do not add up"
            )


def summed(table: BackendTable, group: Any) -> BackendTable:
    """The sum of all processes' counts, where this process has them."""
    import torch
    import torch.distributed as dist

    on_host = isinstance(table, np.ndarray)
    # A copy: the counts stay as they are, should it fail.
    tensor = torch.tensor(table) if on_host else table.clone()
    if on_host and dist.get_backend(group) == "nccl":
        tensor = tensor.cuda()
    dist.all_reduce(tensor, group=group)
    return values.to_numpy(tensor) if on_host else tensor
