"""The study that tefast grew from, from clips to a report: ``python -m tefast.experiment``.

`Study` runs it from Python, on data, with a model and with criteria of one's own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tefast.experiment.datasets.sequences import Sequences
    from tefast.experiment.study import Study, StudyOutcome

__all__ = ["Sequences", "Study", "StudyOutcome"]

_PLACES = {"Sequences": "datasets.sequences", "Study": "study", "StudyOutcome": "study"}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the command line answers --help without torch."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
