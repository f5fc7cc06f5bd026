"""Numbers that are stored packed, as the conventions of NetCDF have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def stored_scaled(name: str, attributes: Mapping[str, Any]) -> str | None:
    """What to know of an array whose attributes say that its numbers stand for others."""
    said = [key for key in ("scale_factor", "add_offset") if key in attributes]
    said += [key for key in ("_FillValue", "missing_value") if _is_number(attributes.get(key))]
    if not said:
        return None
    return (
        f"{name} has the attribute {' and '.join(said)}; its numbers are taken as they are stored, "
        "neither scaled nor left out. A NetCDF file (.nc) is read as xarray decodes it"
    )


def _is_number(value: Any) -> bool:
    """Whether a value that stands for missing ones is any but NaN."""
    if value is None:
        return False
    try:
        return not bool(np.isnan(np.asarray(value, dtype=np.float64)).all())
    except (TypeError, ValueError):  # text, such as Zarr's for NaN
        return False
