"""Numbers of any type as floats of NumPy, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def as_floats(array: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.floating]:
    """A copy in float32 where that holds all values of the type, else in float64; C-contiguous."""
    if dtype == "bfloat16":  # bits in uint16: the upper half of a float32
        return (array.astype(np.uint32, order="C") << 16).view(np.float32)
    narrow = dtype in ("float16", "float32")
    return array.astype(np.float32 if narrow else np.float64, order="C")


def as_float64(array: npt.NDArray[Any], dtype: str) -> Floats:
    """Floats of any of the supported types as float64, exactly."""
    return as_floats(array, dtype).astype(np.float64, copy=False)


def floats(numbers: Any) -> Floats:
    """Real numbers as a float64 array of our own, which the caller cannot change later."""
    if hasattr(numbers, "detach"):  # a tensor: off its graph and device, in a type NumPy has
        numbers = numbers.detach().cpu().double()
    array = np.asarray(numbers)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"expected real numbers, got {array.dtype}")
    return np.array(array, dtype=np.float64)
