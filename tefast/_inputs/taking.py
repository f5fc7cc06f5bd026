"""Taking: any kind of array, table or list as an array, without a copy wherever that can be."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tefast._inputs.arrays import take_array
from tefast._inputs.frames import take_table
from tefast._inputs.kinds import FLOATS, Array, Exchanged, Labelled, Taken, Tensors, wrong_dtype
from tefast._inputs.sequences import is_of_arrays, take_sequences
from tefast._support.memory import check_copy

if TYPE_CHECKING:
    import torch


def take(x: Any, what: str) -> Taken:
    """What a caller passed in.

    Parameters
    ----------
    x : object
    what : str
        Its name and role, for messages.

    Raises
    ------
    TypeError, ValueError
        If it holds nothing that can be counted.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _take_tensor(x, what)
    if (labelled := _take_labelled(x, what)) is not None:
        return labelled
    if (table := take_table(x, what)) is not None:
        return table
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(x):
        return _take_sparse(x, what)
    if is_of_arrays(x):
        return take_sequences(x, what, take)
    if isinstance(x, np.ndarray):
        return take_array(x, what)
    if _lies_on_cuda(x):
        return _take_from_cuda(x, what)
    return _take_other(x, what)


def _take_labelled(x: Any, what: str) -> Taken | None:
    """A DataArray of xarray; None for whatever is none."""
    xarray = sys.modules.get("xarray")
    if xarray is None:
        return None
    if isinstance(x, xarray.Dataset):
        names = ", ".join(map(repr, x.data_vars))
        raise TypeError(f"{what} is a Dataset; pass one of its variables: {names}")
    if not isinstance(x, xarray.DataArray):
        return None
    kind = Labelled(tuple(x.dims), x.coords.to_dataset())
    return replace(take(x.data, what), kind=kind)


def _take_sparse(x: Any, what: str) -> Taken:
    """A sparse array or matrix of SciPy, as a dense copy: what it does not store are zeros."""
    take_array(np.zeros(0, x.dtype), what)  # raises for types before any memory is taken
    size = int(np.prod(x.shape, dtype=object)) * x.dtype.itemsize
    check_copy(
        size,
        f"{what}, which is sparse, as the dense copy that is counted",
        "pass some of its columns at a time, such as h[:, :1000], or of its rows to "
        "tefast.TransferEntropy.update",
    )
    return take_array(x.toarray(), what)


def _take_other(x: Any, what: str) -> Taken:
    """Numbers in lists, and whatever knows DLPack or NumPy's protocols."""
    if hasattr(x, "__dlpack__"):
        try:
            return take_array(np.from_dlpack(x), what)
        except (BufferError, RuntimeError, ValueError):
            pass  # on another device, or a type NumPy's DLPack lacks: the object's own way
    try:
        array: Array = np.asanyarray(x)  # with the mask of a masked array in a list
    except (ValueError, RuntimeError) as error:
        if isinstance(x, list | tuple) and all(isinstance(each, list | tuple) for each in x):
            return take_sequences(x, what, take)
        raise ValueError(f"{what} cannot be read as one array: {error}") from None
    return take_array(array, what)


def _lies_on_cuda(x: Any) -> bool:
    """Whether another library's array is on a CUDA device (2 or 13 in DLPack's numbers)."""
    return hasattr(x, "__dlpack_device__") and int(x.__dlpack_device__()[0]) in (2, 13)


def _take_from_cuda(x: Any, what: str) -> Taken:
    """CuPy's or JAX's array on a GPU, by way of PyTorch, without a copy."""
    try:
        import torch
    except ModuleNotFoundError:
        raise TypeError(
            f"{what} is a {type(x).__name__} on a GPU, which is taken by way of PyTorch: "
            'pip install "tefast[torch]", or pass it as a NumPy array'
        ) from None
    taken = _take_tensor(torch.from_dlpack(x), what)  # type: ignore[attr-defined]
    if not hasattr(x, "__array_namespace__"):
        return taken
    tensors = Tensors(taken.array.device)
    return replace(taken, kind=Exchanged(tensors, x.__array_namespace__().from_dlpack))


def _take_tensor(x: torch.Tensor, what: str) -> Taken:
    import torch

    name = str(x.dtype).removeprefix("torch.")
    if x.is_nested:
        raise TypeError(
            f"{what} is a nested tensor; pass the list of its sequences: list(x.unbind())"
        )
    if x.layout != torch.strided or x.device.type == "meta":
        advice = "" if x.device.type == "meta" else "; x.to_dense() makes one of it"
        raise TypeError(
            f"{what} must be a dense tensor that holds data, got layout {x.layout} on device "
            f"{x.device}{advice}"
        )
    known = name in FLOATS or (not x.is_complex() and not x.is_floating_point())
    if not known or x.is_quantized:
        raise TypeError(wrong_dtype(what, name))
    kind = Tensors(x.device)
    x = x.detach().resolve_neg()
    if name == "bool":
        x, name = x.view(torch.uint8), "uint8"
    return Taken(tensor_to_numpy(x) if x.device.type == "cpu" else x, name, kind)


def tensor_to_numpy(x: torch.Tensor) -> Array:
    """A tensor in the host's memory as `Taken` holds it."""
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


def numpy_to_tensor(array: Array, dtype: str) -> torch.Tensor:
    """The reverse of `tensor_to_numpy`, without a copy where PyTorch has such strides."""
    import torch

    odd = any(stride < 0 or stride % array.itemsize for stride in array.strides)
    tensor = torch.from_numpy(np.asarray(_Writable(np.ascontiguousarray(array) if odd else array)))
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor
