"""Values: what callers pass in, seen as one array of shape (N, T, U) without a copy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

FLOATS = ("float16", "bfloat16", "float32", "float64")
ROLES = {"h": "h (target)", "y": "y (source)", "z": "z (condition)"}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Values:
    """One input.

    Attributes
    ----------
    array : ndarray or torch.Tensor, shape (N, T, U)
        The caller's own memory, any strides. What lies in the host's memory is an ndarray, where
        bfloat16 is held as its bits in uint16; what lies on another device is a tensor.
    dtype : str
        One of `FLOATS`, or an integer type: the array holds symbols.
    role : str
        "h" or "y", for messages.
    shape : tuple of int
        The shape the caller passed.
    wrap : callable
        Makes of a result, an ndarray or a tensor, the kind of array the caller passed, on its
        device.
    dims : tuple
        Names of the axes of what the caller passed, if they have any.
    """

    array: Any
    dtype: str
    role: str
    shape: tuple[int, ...]
    wrap: Callable[[Array], Any]
    dims: tuple[Any, ...] = ()

    @property
    def is_symbols(self) -> bool:
        """Whether the values are integer symbols, which are not binned."""
        return self.dtype not in FLOATS

    @property
    def device(self) -> Any:
        """The ``torch.device`` where the values lie, None for the host's memory."""
        return None if isinstance(self.array, np.ndarray) else self.array.device

    def on_host(self) -> Values:
        """The same in the host's memory."""
        if isinstance(self.array, np.ndarray):
            return self
        return replace(self, array=_numpy_of(self.array.cpu()))

    def with_array(self, array: Any, dtype: str) -> Values:
        """The same input with other values of the same shape."""
        return replace(self, array=array, dtype=dtype)

    def on_device(self, device: Any) -> Values:
        """The same as a tensor on a ``torch.device``."""
        array = self.array
        if isinstance(array, np.ndarray):
            array = _tensor_of(array, self.dtype)
        return replace(self, array=array.to(device))

    @property
    def is_mapped(self) -> bool:
        """Whether the array is a mapped file, whose pages can be dropped once they are read.

        Not where changes to it live in memory alone (NumPy's mode "c"): they would be lost.
        """
        base: Any = self.array
        while isinstance(base, np.ndarray):
            if isinstance(base, np.memmap):
                return base.mode in ("r", "r+", "w+")
            base = base.base
        return False

    @property
    def name(self) -> str:
        """The input's name and role, as messages say it."""
        return ROLES[self.role]

    def units(self, start: int, stop: int) -> Values:
        """Units `start` to `stop` alone, a view."""
        return replace(self, array=self.array[:, :, start:stop])

    def steps(self, start: int, stop: int) -> Values:
        """Steps `start` to `stop` alone, a view."""
        return replace(self, array=self.array[:, start:stop])

    def index(self, flat: int) -> str:
        """The caller's index of the value at a flat (N, T, U) position, such as ``h[3, 0, 7]``."""
        sizes = tuple(self.array.shape)
        position = [int(i) for i in np.unravel_index(flat, sizes)]
        # Leading and trailing axes of length 1 were added here, so drop what the caller has not.
        parts = (slice(0, 3), slice(1, 3), slice(0, 2), slice(1, 2))
        named = next(position[part] for part in parts if sizes[part] == self.shape)
        return f"{self.role}{named}"


def target(h: Any) -> Values:
    """Take the target `h`: (N, T, U), (T, U) or (T,)."""
    array, dtype, wrap = _as_array(h, "h")
    shape = tuple(array.shape)
    if array.ndim not in (1, 2, 3):
        raise ValueError(f"{ROLES['h']} must have shape (N, T, U), (T, U) or (T,), got {shape}")
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim == 2:
        array = array[np.newaxis]
    return _checked(Values(array, dtype, "h", shape, wrap, _names(h)))


def source(y: Any, h: Values, joint: bool = False) -> Values:
    """Take the source `y`: (N, T) beside a target (N, T, U), else (T,).

    joint: take several sources, in an axis more at the end.
    """
    if not isinstance(joint, (bool, np.bool_)):
        raise TypeError(f"joint must be True or False, got {joint!r}")
    array, dtype, wrap = _as_array(y, "y")
    shape = tuple(array.shape)
    expected = series_shape(h)
    if (shape[:-1] if joint else shape) != expected:
        raise ValueError(_wrong_source(shape, h, joint))
    dims, named = _names(y)[: len(expected)], h.dims[: len(expected)]
    if dims != named and set(dims) == set(named):  # N = T, or the shape would have shown it
        raise ValueError(
            f"{ROLES['y']} has the dimensions {dims}, and {ROLES['h']} has them as {named}; axes "
            "are taken by position: transpose one of them"
        )
    if joint:
        array = array if array.ndim == 3 else array[np.newaxis]
    else:
        array = array.reshape(1, -1, 1) if array.ndim == 1 else array[..., np.newaxis]
    return _checked(Values(array, dtype, "y", shape, wrap))


def _wrong_source(shape: tuple[int, ...], h: Values, joint: bool) -> str:
    expected = series_shape(h)
    several = f"({', '.join(map(str, expected))}, S)"
    wanted = f"{several} with joint=True" if joint else f"{expected}"
    hint = ""
    if not joint and shape[:-1] == expected:
        hint = f"; joint=True takes {several}, S sources at once"
    return (
        f"{ROLES['y']} must have shape {wanted} to go with {ROLES['h']} of shape {h.shape}, "
        f"got {shape}{hint}"
    )


def conditions(z: Any, h: Values) -> Values:
    """Take one condition `z`, of the source's shape, or several in an axis more at the end."""
    array, dtype, wrap = _as_array(z, "z")
    shape = tuple(array.shape)
    expected = series_shape(h)
    if shape[: len(expected)] != expected or array.ndim > len(expected) + 1:
        several = ", ".join(map(str, (*expected, "Z")))
        raise ValueError(
            f"{ROLES['z']} must have shape {expected}, or ({several}) for Z conditions, to "
            f"go with {ROLES['h']} of shape {h.shape}, got {shape}"
        )
    if array.ndim == len(expected):
        array = array[..., np.newaxis]
    return _checked(
        Values(array if array.ndim == 3 else array[np.newaxis], dtype, "z", shape, wrap)
    )


def series_shape(h: Values) -> tuple[int, ...]:
    """The shape of one series beside the target: (N, T), or (T,)."""
    return tuple(h.array.shape[:2] if len(h.shape) == 3 else h.array.shape[1:2])


def sequence_lengths(lengths: Any, h: Values) -> npt.NDArray[np.int64] | None:
    """Check `lengths`: integers of shape (N,), each 0 to T; None stays None."""
    if lengths is None:
        return None
    array = np.asarray(lengths.cpu() if hasattr(lengths, "cpu") else lengths)
    sequences, steps = h.array.shape[:2]
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers, got {array.dtype}")
    if array.shape != (sequences,):
        raise ValueError(f"lengths must have shape ({sequences},), got {array.shape}")
    bad = np.flatnonzero((array < 0) | (array > steps))
    if bad.size:
        n = int(bad[0])
        raise ValueError(f"lengths must lie in 0 .. T = {steps}, got lengths[{n}] = {array[n]}")
    return np.ascontiguousarray(array, dtype=np.int64)


def _checked(values: Values) -> Values:
    if 0 in values.shape:
        raise ValueError(f"{values.name} has an empty axis: shape {values.shape}")
    return values


def _as_array(x: Any, role: str) -> tuple[Any, str, Callable[[Any], Any]]:
    """`x` as an array, the name of its dtype, and the way back to x's kind."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _from_torch(x, role)
    if _is_labelled(x):
        array, name, _ = _as_array(x.data, role)
        return array, name, partial(_to_xarray, coords=x.coords.to_dataset(), dims=x.dims)
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{ROLES[role]} is a masked array, whose mask would be lost; "
            "fill it with NaN and pass nan_policy='omit'"
        )
    if _lies_on_cuda(x):
        return _from_cuda(x, role)
    array = np.asarray(x) if isinstance(x, np.ndarray) else _from_dlpack(x, role)
    if array.dtype == bool:
        array = array.view(np.uint8)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    name = array.dtype.name
    if name == "bfloat16":  # ml_dtypes, which JAX uses
        return array.view(np.uint16), name, to_numpy
    if name not in FLOATS and array.dtype.kind not in "iu":
        raise TypeError(_wrong_dtype(role, name))
    return array, name, to_numpy


def _is_labelled(x: Any) -> bool:
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(x, xarray.DataArray)


def _names(x: Any) -> tuple[Any, ...]:
    return tuple(x.dims) if _is_labelled(x) else ()


def _to_xarray(result: Any, coords: Any, dims: tuple[Any, ...]) -> Any:
    """A result with the names and coordinates that its axes have in the target.

    Of one value a unit, or of one for each of the last steps of all sequences.
    """
    import xarray

    array = to_numpy(result)
    if len(dims) == 1 and array.shape == (1,):  # the target had no axis of units
        return xarray.DataArray(array, dims=("unit",))
    kept = dims[len(dims) - array.ndim :]
    some: dict[Any, Any] = {
        name: slice(-size, None) for name, size in zip(kept, array.shape, strict=True)
    }
    some |= {name: 0 for name in dims if name not in kept}
    found = coords.isel(some, drop=True, missing_dims="ignore").coords
    return xarray.DataArray(array, dims=kept, coords=found)


def _from_dlpack(x: Any, role: str) -> Array:
    if hasattr(x, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError, ValueError):
            pass  # on another device, or a type NumPy's DLPack lacks: the object's own way
    try:
        return np.asarray(x)
    except (ValueError, RuntimeError) as error:  # a ragged list, or tensors on a graph in one
        raise ValueError(f"{ROLES[role]} cannot be read as one array: {error}") from None


def _lies_on_cuda(x: Any) -> bool:
    """Whether another library's array is on a CUDA device (2 or 13 in DLPack's numbers)."""
    return hasattr(x, "__dlpack_device__") and int(x.__dlpack_device__()[0]) in (2, 13)


def _from_cuda(x: Any, role: str) -> tuple[Any, str, Callable[[Any], Any]]:
    """CuPy's or JAX's array on a GPU, by way of PyTorch, without a copy."""
    try:
        import torch
    except ModuleNotFoundError:
        raise TypeError(
            f"{ROLES[role]} is a {type(x).__name__} on a GPU, which is taken by way of PyTorch: "
            'pip install "tefast[torch]", or pass it as a NumPy array'
        ) from None
    array, name, wrap = _from_torch(torch.from_dlpack(x), role)  # type: ignore[attr-defined]
    if not hasattr(x, "__array_namespace__"):
        return array, name, wrap
    back = x.__array_namespace__().from_dlpack
    return array, name, lambda result: back(wrap(result))


def _from_torch(x: torch.Tensor, role: str) -> tuple[Any, str, Callable[[Any], Any]]:
    import torch

    name = str(x.dtype).removeprefix("torch.")
    if x.layout != torch.strided or x.device.type == "meta" or x.is_nested:
        raise TypeError(
            f"{ROLES[role]} must be a dense tensor that holds data, got layout "
            f"{x.layout}{' (nested)' if x.is_nested else ''} on device {x.device}"
        )
    known = name in FLOATS or (not x.is_complex() and not x.is_floating_point())
    if not known or x.is_quantized:
        raise TypeError(_wrong_dtype(role, name))
    wrap = partial(_to_torch, device=x.device)
    x = x.detach().resolve_neg()
    if name == "bool":
        x, name = x.view(torch.uint8), "uint8"
    return (_numpy_of(x) if x.device.type == "cpu" else x), name, wrap


def _numpy_of(x: torch.Tensor) -> Array:
    """A tensor in the host's memory as `Values` holds it."""
    import torch

    array: Array = x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()
    return array


class _Writable:
    """The memory of an array as one that may be written to, which is what PyTorch takes in silence.

    Nothing is ever written.
    """

    def __init__(self, array: Array) -> None:
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
        self.owner = array


def _tensor_of(array: Array, dtype: str) -> torch.Tensor:
    """The reverse of `_numpy_of`, without a copy where PyTorch has such strides."""
    import torch

    odd = any(stride < 0 or stride % array.itemsize for stride in array.strides)
    tensor = torch.from_numpy(np.asarray(_Writable(np.ascontiguousarray(array) if odd else array)))
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor


def to_numpy(result: Any) -> Array:
    """An ndarray, or a tensor on any device, as an ndarray."""
    return result if isinstance(result, np.ndarray) else np.asarray(result.cpu())


def _to_torch(result: Any, device: torch.device) -> torch.Tensor:
    import torch

    if isinstance(result, np.ndarray):
        result = torch.from_numpy(np.ascontiguousarray(result))
    tensor: torch.Tensor = result.to(device)
    return tensor


def _wrong_dtype(role: str, name: str) -> str:
    return (
        f"{ROLES[role]} must hold floats ({', '.join(FLOATS)}), which are binned, or "
        f"integers, which are symbols; got dtype {name}"
    )
