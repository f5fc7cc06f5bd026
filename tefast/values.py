"""Values: what callers pass in, seen as one NumPy array of shape (N, T, U) without a copy."""

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
ROLES = {"h": "h (target)", "y": "y (source)"}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Values:
    """One input.

    Attributes
    ----------
    array : ndarray, shape (N, T, U)
        The caller's own memory, any strides. bfloat16 is held as its bits in uint16.
    dtype : str
        One of `FLOATS`, or an integer type: the array holds symbols.
    role : str
        "h" or "y", for messages.
    shape : tuple of int
        The shape the caller passed.
    wrap : callable
        Makes of a result the kind of array the caller passed, on its device.
    """

    array: Array
    dtype: str
    role: str
    shape: tuple[int, ...]
    wrap: Callable[[Array], Any]

    @property
    def is_symbols(self) -> bool:
        """Whether the values are integer symbols, which are not binned."""
        return self.dtype not in FLOATS

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

    def index(self, flat: int) -> str:
        """The caller's index of the value at a flat (N, T, U) position, such as ``h[3, 0, 7]``."""
        position = np.unravel_index(flat, self.array.shape)
        # Leading and trailing axes of length 1 were added here, so drop what the caller has not.
        n, t, u = (int(i) for i in position)
        named = {3: (n, t, u), 2: (t, u) if self.role == "h" else (n, t), 1: (t,)}[len(self.shape)]
        return f"{self.role}{list(named)}"


def target(h: Any) -> Values:
    """Take the target `h`: (N, T, U), (T, U) or (T,)."""
    array, dtype, wrap = _as_numpy(h, "h")
    shape = array.shape
    if array.ndim not in (1, 2, 3):
        raise ValueError(f"{ROLES['h']} must have shape (N, T, U), (T, U) or (T,), got {shape}")
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim == 2:
        array = array[np.newaxis]
    return _checked(Values(array, dtype, "h", shape, wrap))


def source(y: Any, h: Values) -> Values:
    """Take the source `y`: (N, T) beside a target (N, T, U), else (T,)."""
    array, dtype, wrap = _as_numpy(y, "y")
    expected = h.array.shape[:2] if len(h.shape) == 3 else h.array.shape[1:2]
    if array.shape != expected:
        raise ValueError(
            f"{ROLES['y']} must have shape {expected} to go with {ROLES['h']} of shape {h.shape}, "
            f"got {array.shape}"
        )
    return Values(
        array.reshape(1, -1, 1) if array.ndim == 1 else array[..., np.newaxis],
        dtype,
        "y",
        array.shape,
        wrap,
    )


def check_steps(h: Values) -> None:
    """Raise unless `h` has the two steps that a transition takes."""
    if h.array.shape[1] < 2:
        raise ValueError(
            f"a transition takes at least 2 steps, {h.name} of shape {h.shape} has "
            f"{h.array.shape[1]}"
        )


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


def _as_numpy(x: Any, role: str) -> tuple[Array, str, Callable[[Array], Any]]:
    """`x` as an array, the name of its dtype, and the way back from NumPy to x's kind."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _from_torch(x, role)
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{ROLES[role]} is a masked array, whose mask would be lost; "
            "fill it with NaN and pass nan_policy='omit'"
        )
    array = np.asarray(x) if isinstance(x, np.ndarray) else _from_dlpack(x, role)
    if array.dtype == bool:
        array = array.view(np.uint8)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    name = array.dtype.name
    if name == "bfloat16":  # ml_dtypes, which JAX uses
        return array.view(np.uint16), name, np.asarray
    if name not in FLOATS and array.dtype.kind not in "iu":
        raise TypeError(_wrong_dtype(role, name))
    return array, name, np.asarray


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


def _from_torch(x: torch.Tensor, role: str) -> tuple[Array, str, Callable[[Array], Any]]:
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
    x = x.detach().cpu().resolve_neg()
    if name == "bfloat16":
        return x.view(torch.uint16).numpy(), name, wrap
    if name == "bool":
        return x.view(torch.uint8).numpy(), "uint8", wrap
    return x.numpy(), name, wrap


def _to_torch(result: Array, device: torch.device) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(result)).to(device)


def _wrong_dtype(role: str, name: str) -> str:
    return (
        f"{ROLES[role]} must hold floats ({', '.join(FLOATS)}), which are binned, or "
        f"integers, which are symbols; got dtype {name}"
    )
