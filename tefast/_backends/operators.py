"""The CUDA library: finds it, loads it into PyTorch, and tells torch.compile what it gives.

Its operators are declared in ``csrc/cuda/operators.cpp``. All of them are queued on the current
stream of the device that holds their first tensor, and none waits.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

NAMESPACE = "tefast"
FILE = "libtefast_cuda.so"


def path() -> Path | None:
    """Where the library is, beside the compiled module of the CPU; None if it was not built."""
    try:
        native = import_module("tefast._native")
    except ImportError:
        return None
    file = Path(str(native.__file__)).parent / FILE
    return file if file.is_file() else None


def missing() -> str | None:
    """What of the library, PyTorch or the machine is not there; None if all of it is."""
    file = path()
    if file is None:
        return (
            "this build of tefast has no CUDA library; with nvcc (CUDA 12 or newer) and a CUDA "
            "build of PyTorch 2.10 or newer installed, build it in the source tree: `pip install "
            "--no-build-isolation -C cmake.define.TEFAST_CUDA=ON .`"
        )
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return 'it needs PyTorch: pip install "tefast[torch]"'
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} was built without CUDA; install a CUDA build of it"
    if not torch.cuda.is_available():
        return (
            "PyTorch finds no CUDA device; look whether `nvidia-smi` lists one and whether "
            "CUDA_VISIBLE_DEVICES hides it"
        )
    return _unsupported(torch.cuda.get_device_capability()) or _failure(file)


def _unsupported(capability: tuple[int, int]) -> str | None:
    """Why the library has no code for devices of this compute capability, or None."""
    built = str(import_module("tefast._native").build_info()["cuda_architectures"])
    major, minor = capability
    for architecture in built.split():
        number = re.match(r"(\d+?)(\d)[a-z]?(-real|-virtual)?$", architecture)
        if not number:  # "native", "all": whoever asked for that knows
            return None
        own = int(number[1]), int(number[2])
        # Machine code serves its own major version, PTX whatever comes after it.
        if own <= capability and (number[3] != "-real" or own[0] == major):
            return None
    return (
        f"the device has compute capability {major}.{minor}, and this build's CUDA library is for "
        f"{built}; build it with `-C cmake.define.CMAKE_CUDA_ARCHITECTURES={major}{minor}`"
    )


@functools.cache
def _failure(file: Path) -> str | None:
    """Load the library, once; why that failed, or None."""
    import torch

    try:
        torch.ops.load_library(file)  # type: ignore[no-untyped-call]
    except OSError as error:
        return (
            f"{file.name} does not load into PyTorch {torch.__version__} ({error}); "
            "build tefast again beside this PyTorch"
        )
    register_fakes(NAMESPACE)
    return None


def register_fakes(namespace: str) -> None:
    """Say of each operator what shape and type its results have, for torch.compile."""
    import torch

    for name, fake in FAKES.items():
        torch.library.register_fake(f"{namespace}::{name}", fake)


def _empty(like: Any, shape: Any, dtype: str) -> Any:
    import torch

    return like.new_empty(shape, dtype=getattr(torch, dtype))


def _scan(values: Any, bins: int, lengths: Any) -> Any:
    units = values.shape[2]
    ends = (_empty(values, units, "float64") for _ in range(2))
    return _empty(values, 5, "int64"), *ends


def _encode(values: Any, edges: Any, bins: int, lengths: Any) -> Any:
    return _empty(values, values.shape, "int16")


def _count_values(counts: Any, values: Any, edges: Any, lengths: Any) -> None:
    """Added to in place."""


def _count_transitions(counts: Any, h: Any, edges: Any, source: Any, lengths: Any) -> None:
    """Added to in place."""


def _score_counts(counts: Any) -> Any:
    return _empty(counts, counts.shape[0], "float64")


def _transfer_entropy(
    h: Any, h_edges: Any, y: Any, y_edges: Any, bins: int, lengths: Any, omit: bool
) -> Any:
    return _empty(h, h.shape[2], "float64"), _empty(h, (), "int32")


FAKES: dict[str, Callable[..., Any]] = {
    "scan": _scan,
    "encode": _encode,
    "count_values_": _count_values,
    "count_transitions_": _count_transitions,
    "score_counts": _score_counts,
    "transfer_entropy": _transfer_entropy,
}
