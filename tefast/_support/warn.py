"""Warnings that point at the caller's own line, however deep in tefast they arise."""

from __future__ import annotations

import sys
import warnings


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the innermost line that is not tefast's own.

    Parameters
    ----------
    message : str
        What is wrong and what helps, in one or two sentences.
    category : type of Warning, default RuntimeWarning
    """
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_ours(module: str) -> bool:
    return module == "tefast" or module.startswith("tefast.")
