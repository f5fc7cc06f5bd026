"""What this build of tefast can do."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tefast.backends import NAMES


def build_info() -> dict[str, Any]:
    """Which backends, instruction sets, OpenMP and CUDA this build has.

    Returns
    -------
    dict
        ``backends``: each backend's name with True, or the reason why it cannot run here.
        ``openmp``: the version of the standard as the compiler's date, such as 201511, or None.
        ``max_threads``: the threads used by default. ``compiler``: the version of the compiler.
        ``instruction_sets``: those the kernel was compiled for. ``cuda``: the CUDA version or
        None.
    """
    reasons = {name: import_module(f"tefast.backends.{name}").missing() for name in NAMES}
    info: dict[str, Any] = {
        "backends": {name: reason or True for name, reason in reasons.items()},
        "instruction_sets": [],
        "openmp": None,
        "max_threads": 1,
        "compiler": None,
        "cuda": None,
    }
    if reasons["cpu"] is None:
        from tefast import _native

        native = _native.build_info()
        info |= {key: native[key] for key in ("openmp", "max_threads", "compiler")}
        info["instruction_sets"] = ["baseline"]
    return info
