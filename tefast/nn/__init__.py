"""Score the units of a recurrent layer by transfer entropy, and remove them. Needs PyTorch."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError('tefast.nn needs PyTorch: pip install "tefast[torch]"') from error

from tefast.nn.capture import capture
from tefast.nn.classifier import SequenceClassifier, load, save
from tefast.nn.removal import mask, mask_units, prune, remove_units, slice_state
from tefast.nn.scores import CRITERIA, score_all, unit_scores
from tefast.nn.selection import select_units
from tefast.nn.stack import RecurrentStack
from tefast.nn.training import (
    TrainingState,
    accuracy,
    fit,
    learning_rate,
    objective,
    penalty,
    predict,
)

__all__ = [
    "CRITERIA",
    "RecurrentStack",
    "SequenceClassifier",
    "TrainingState",
    "accuracy",
    "capture",
    "fit",
    "learning_rate",
    "load",
    "mask",
    "mask_units",
    "objective",
    "penalty",
    "predict",
    "prune",
    "remove_units",
    "save",
    "score_all",
    "select_units",
    "slice_state",
    "unit_scores",
]
