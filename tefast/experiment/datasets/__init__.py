"""The data sets of the study, one file each.

A data set is a subclass of `tefast.experiment.datasets.base.Dataset` with a name. All modules of
this package are imported, so a data set in a new file is known to the command line, the splits and
the report. The command line asks for the names before it imports torch. So a data set imports
inside of its methods what takes long to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from tefast.experiment.datasets.base import REGISTRY, Dataset, DatasetError, Found

__all__ = ["Dataset", "DatasetError", "Found", "find_clips", "lent", "named", "names"]

_LENT: ContextVar[Dataset[Any] | None] = ContextVar("lent", default=None)


def names() -> tuple[str, ...]:
    """The names of all data sets, in the order in which users see them."""
    known = sorted(REGISTRY.values(), key=lambda each: (each.place, each.name))
    found = [each.name for each in known]
    lent = _LENT.get()
    if lent is not None and lent.name not in found:
        found.append(lent.name)
    return tuple(found)


def named(name: str) -> Dataset[Any]:
    """The data set of a name.

    Raises
    ------
    DatasetError
        If there is none.
    """
    lent = _LENT.get()
    if lent is not None and lent.name == name:
        return lent
    if name not in REGISTRY:
        raise DatasetError(f"unknown dataset {name!r}; known are {', '.join(names())}")
    return REGISTRY[name]()


@contextmanager
def lent(dataset: Dataset[Any]) -> Iterator[None]:
    """Let a data set be known by its name within the block, although it is in no file here."""
    token = _LENT.set(dataset)
    try:
        yield
    finally:
        _LENT.reset(token)


def find_clips(name: str, root: Path) -> Found[Any]:
    """Find the clips of the data set of a name: see `Dataset.find`."""
    return named(name).find(root)


for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
