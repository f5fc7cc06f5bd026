"""NetCDF as xarray decodes it: scaled, with missing values as NaN, its dimensions with names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tefast._cli.recordings.recording import Array, Recording, Recordings, needed, readable


@contextmanager
def classic(path: Path) -> Iterator[Recordings]:
    """The formats of before NetCDF-4, read by SciPy."""
    with needed("xarray and scipy"):
        import scipy.io  # noqa: F401  xarray's own message is longer
        import xarray
    with ExitStack() as stack:
        with readable(path, "NetCDF file", OSError, ValueError, TypeError, IndexError):
            dataset = stack.enter_context(
                xarray.open_dataset(path, engine="scipy", **_options(decode_timedelta=False))
            )
        yield _recordings({"/": dataset})


@contextmanager
def netcdf4(path: Path) -> Iterator[Recordings]:
    """NetCDF-4 with its groups, read by h5py."""
    with needed("xarray and h5netcdf"):
        import h5netcdf  # noqa: F401
        import xarray
    with ExitStack() as stack:
        with readable(path, "NetCDF file", OSError, ValueError, KeyError):
            groups = xarray.open_groups(path, engine="h5netcdf", **_options(decode_timedelta=False))
        for dataset in groups.values():
            stack.enter_context(dataset)
        yield _recordings(groups)


def _options(**more: Any) -> dict[str, Any]:
    # Times as numbers: they are none of the data, and some calendars need one more package.
    return {"decode_times": False, **more}


def _recordings(groups: Any) -> Recordings:
    """Variables by name; the main one is the only one that is no coordinate."""
    found: dict[str, Recording] = {}
    data: list[str] = []
    for group, dataset in groups.items():
        for name, variable in dataset.variables.items():
            full = f"{group}/{name}".strip("/")
            names = None
            if variable.dims and variable.dims[-1] in dataset.variables and variable.ndim > 1:
                label = dataset.variables[variable.dims[-1]]
                names = tuple(_text(each) for each in np.asarray(label.values))
            read = partial(_slice, variable)
            found[full] = Recording(full, variable.shape, variable.dtype, read, names=names)
            data += [] if name in dataset.coords else [full]
    return Recordings(found, main=data[0] if len(data) == 1 else None)


def _slice(variable: Any, key: Any) -> Array:
    return np.asarray(variable[key].values)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
