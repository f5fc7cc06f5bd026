"""Score the units of a recurrent layer by transfer entropy, and remove them. Needs PyTorch."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError('tefast.nn needs PyTorch: pip install "tefast[torch]"') from error

from tefast.nn import criteria, series
from tefast.nn._layers.gate_layers import (
    GateLayer,
    GateMaskedGRU,
    GateMaskedLSTM,
    GateReducedGRU,
    GateReducedLSTM,
)
from tefast.nn._layers.narrow import NarrowAttention, NarrowLayerNorm
from tefast.nn._layers.stack import RecurrentStack
from tefast.nn._trace.examples import Arguments
from tefast.nn.capture import capture
from tefast.nn.classifier import SequenceClassifier
from tefast.nn.context import Context
from tefast.nn.gate_removal import GateSavings, gate_savings, mask_gates, prune_gates, remove_gates
from tefast.nn.gate_selection import GATES, select_gates
from tefast.nn.gates import capture_gates, gate_activations, gate_means
from tefast.nn.layer_scores import LayerScores
from tefast.nn.masks import UnitMask, mask_in_place, masked_units, remove_masked
from tefast.nn.moments import Moments, moments
from tefast.nn.objectives import objective, penalty
from tefast.nn.reconstruction import (
    ReconstructionError,
    TriedAmount,
    prune_to,
    reconstruction_error,
)
from tefast.nn.removal import mask, mask_units, prune, remove_units, slice_state
from tefast.nn.saving import load, save
from tefast.nn.schedules import PruningStep, prune_in_steps, write_steps
from tefast.nn.scores import score
from tefast.nn.selection import select, select_units, tied_scores
from tefast.nn.training import (
    TrainingState,
    accuracy,
    fit,
    learning_rate,
    predict,
)

__all__ = [
    "GATES",
    "Arguments",
    "Context",
    "GateLayer",
    "GateMaskedGRU",
    "GateMaskedLSTM",
    "GateReducedGRU",
    "GateReducedLSTM",
    "GateSavings",
    "LayerScores",
    "Moments",
    "NarrowAttention",
    "NarrowLayerNorm",
    "PruningStep",
    "ReconstructionError",
    "RecurrentStack",
    "SequenceClassifier",
    "TrainingState",
    "TriedAmount",
    "UnitMask",
    "accuracy",
    "capture",
    "capture_gates",
    "criteria",
    "fit",
    "gate_activations",
    "gate_means",
    "gate_savings",
    "learning_rate",
    "load",
    "mask",
    "mask_gates",
    "mask_in_place",
    "mask_units",
    "masked_units",
    "moments",
    "objective",
    "penalty",
    "predict",
    "prune",
    "prune_gates",
    "prune_in_steps",
    "prune_to",
    "reconstruction_error",
    "remove_gates",
    "remove_masked",
    "remove_units",
    "save",
    "score",
    "select",
    "select_gates",
    "select_units",
    "series",
    "slice_state",
    "tied_scores",
    "write_steps",
]
