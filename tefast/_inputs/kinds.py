"""Kinds: what callers pass in, taken as arrays, and the way back from results to their kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

FLOATS = ("float16", "bfloat16", "float32", "float64")
LABELS = "labels"
"""The dtype of what is neither a float nor an integer and can be told apart: strings, objects."""
ROLES = {"h": "h (target)", "y": "y (source)", "z": "z (condition)"}
PAIRED = "x"
"""The role of series each of which is a target and a source."""

Array = npt.NDArray[Any]
KeptAxes: TypeAlias = "tuple[int | str, ...]"
"""What the axes of a result are: axes of what the caller passed, or the names of new ones."""


@dataclass(frozen=True)
class Kind:
    """Arrays of NumPy, and whatever else comes back as such.

    Results are float64 or int16. An axis of the caller's may have become shorter: then the last of
    its positions are left.
    """

    @property
    def dims(self) -> tuple[Any, ...]:
        """The names of the axes, if they have any."""
        return ()

    @property
    def is_frame(self) -> bool:
        """Whether it is a table with a named column a unit, whose rows are steps."""
        return False

    def back(self, result: Any, axes: KeptAxes) -> Any:
        """A result, an ndarray or a tensor, as the caller's kind; of no axes as a scalar."""
        array = to_numpy(result)
        return array[()] if array.ndim == 0 else array

    def place(self, index: list[int]) -> str:
        """How the caller writes the position of a value, behind the name of the input."""
        return str(index)


@dataclass(frozen=True)
class Tensors(Kind):
    """Tensors of PyTorch on a device."""

    device: torch.device

    def back(self, result: Any, axes: KeptAxes) -> Any:
        """See `Kind.back`."""
        import torch

        if isinstance(result, np.ndarray):
            # ascontiguousarray makes an axis for what has none.
            result = torch.from_numpy(np.ascontiguousarray(result)).reshape(result.shape)
        return result.to(self.device)


@dataclass(frozen=True)
class Exchanged(Kind):
    """Arrays of another library on a GPU, by way of tensors."""

    tensors: Tensors
    from_dlpack: Callable[[Any], Any]

    def back(self, result: Any, axes: KeptAxes) -> Any:
        """See `Kind.back`."""
        return self.from_dlpack(self.tensors.back(result, axes))


@dataclass(frozen=True)
class Labelled(Kind):
    """`xarray.DataArray`.

    Attributes
    ----------
    names : tuple
        Of the dimensions.
    coords : xarray.Dataset
        Coordinates without the data.
    """

    names: tuple[Any, ...]
    coords: Any

    @property
    def dims(self) -> tuple[Any, ...]:
        """See `Kind.dims`."""
        return self.names

    def back(self, result: Any, axes: KeptAxes) -> Any:
        """See `Kind.back`: with the names and the coordinates that the axes have in the target."""
        import xarray

        array = to_numpy(result)
        kept = [axis if isinstance(axis, str) else self.names[axis] for axis in axes]
        some: dict[Any, Any] = {
            self.names[axis]: slice(-size, None) if size else slice(0)
            for axis, size in zip(axes, array.shape, strict=True)
            if not isinstance(axis, str)
        }
        some |= {name: 0 for name in self.names if name not in some}
        found = self.coords.isel(some, drop=True, missing_dims="ignore").coords
        return xarray.DataArray(array, dims=kept, coords=found)


@dataclass(frozen=True)
class Taken:
    """What a caller passed in.

    Attributes
    ----------
    array : ndarray or torch.Tensor
        The caller's own memory wherever that can be, with the caller's axes. What lies in the
        host's memory is an ndarray, where bfloat16 is held as its bits in uint16; what lies on
        another device is a tensor.
    dtype : str
        One of `FLOATS`, an integer type, or `LABELS`.
    kind : Kind
        The way back.
    missing : ndarray of bool of the array's shape, or None
        Where no value is. Floats have NaN there instead.
    lengths : ndarray of int64, or None
        Valid steps of sequences that were not equally long, of which the first axis is.
    """

    array: Any
    dtype: str
    kind: Kind
    missing: npt.NDArray[np.bool_] | None = None
    lengths: npt.NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return tuple(self.array.shape)


def to_numpy(result: Any) -> Array:
    """An ndarray, or a tensor on any device, as an ndarray."""
    return result if isinstance(result, np.ndarray) else np.asarray(result.cpu())


def concatenated(arrays: Sequence[Any]) -> Any:
    """Arrays, or tensors on one device, behind each other along their first axis."""
    if isinstance(arrays[0], np.ndarray):
        return np.concatenate(arrays)
    import torch

    return torch.cat(list(arrays))


def unit_names(result: Any) -> list[Any] | None:
    """The names of the units that scores (U,) in some kind carry, or None where they have none."""
    if hasattr(result, "dims") and hasattr(result, "coords"):  # xarray
        names = [result.coords[dim].values.tolist() for dim in result.dims if dim in result.coords]
        return names[0] if len(names) == 1 else None
    if hasattr(result, "iloc"):  # a Series of pandas
        return list(result.index)
    return list(result.columns) if hasattr(result, "columns") else None  # a row of polars


def wrong_dtype(what: str, name: str) -> str:
    """The message for a type that cannot be counted."""
    return (
        f"{what} must hold floats ({', '.join(FLOATS)}), which are binned, or "
        f"integers, which are symbols; got dtype {name}"
    )
