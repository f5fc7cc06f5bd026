"""What this build of tefast can do."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tefast._backends import NAMES

_NATIVE = (
    "cuda", "cuda_architectures", "openmp", "max_threads", "compiler", "instruction_sets",
    "instruction_set",
)  # fmt: skip


def build_info() -> dict[str, Any]:
    """Which backends, instruction sets, OpenMP and CUDA this build has.

    Returns
    -------
    dict
        ``backends``: each backend's name with True, or the reason why it cannot run here.
        ``openmp``: the version of the standard as the compiler's date, such as 201511, or None.
        ``max_threads``: the threads used by default. ``compiler``: the version of the compiler.
        ``instruction_sets``: those that the kernel was compiled for and this processor has.
        ``instruction_set``: the one in use: the last of them, or what the environment variable
        ``TEFAST_SIMD_LEVEL`` names. ``cuda``: the version of the CUDA toolkit, such as "13.0", that
        its CUDA library was built with, or None. ``cuda_architectures``: what that is for, as CMake
        says it (``"80-real 90"``), or None.
    """
    reasons = {name: import_module(f"tefast._backends.{name}").missing() for name in NAMES}
    info: dict[str, Any] = {
        "backends": {name: reason or True for name, reason in reasons.items()},
        "instruction_sets": [],
        "instruction_set": None,
        "openmp": None,
        "max_threads": 1,
        "compiler": None,
        "cuda": None,
        "cuda_architectures": None,
    }
    if reasons["cpu"] is None:
        from tefast import _native

        native = _native.build_info()
        info |= {key: native[key] or None for key in _NATIVE}
    return info
