"""The name under which a CUDA kernel will be found; until one exists, it says so."""

from __future__ import annotations


def missing() -> str | None:
    """What the CUDA backend lacks."""
    return (
        "this release of tefast has no CUDA kernel; pass backend='cpu', or 'auto', which takes "
        "tensors of any device and returns the result there"
    )
