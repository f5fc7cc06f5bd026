"""The data sets of the study, one file each.

A data set is a subclass of `tefast.experiment.datasets.base.Dataset` with a name. All modules of
this package are imported, so a data set in a new file is known to the command line, the splits and
the report. The command line asks for the names before it imports torch. So a data set imports
inside of its methods what takes long to import.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from tefast.experiment.datasets.base import REGISTRY, Dataset, DatasetError, Found

__all__ = ["Dataset", "DatasetError", "Found", "find_clips", "named", "names"]


def names() -> tuple[str, ...]:
    """The names of all data sets, in the order in which users see them."""
    known = sorted(REGISTRY.values(), key=lambda each: (each.place, each.name))
    return tuple(each.name for each in known)


def named(name: str) -> Dataset[Any]:
    """The data set of a name.

    Raises
    ------
    DatasetError
        If there is none.
    """
    if name not in REGISTRY:
        raise DatasetError(f"unknown dataset {name!r}; known are {', '.join(names())}")
    return REGISTRY[name]()


def find_clips(name: str, root: Path) -> Found[Any]:
    """Find the clips of the data set of a name: see `Dataset.find`."""
    return named(name).find(root)


for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
