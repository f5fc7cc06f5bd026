"""Exact binned transfer entropy, from one source to thousands of targets at once.

`transfer_entropy(h, y)` scores every unit of the target `h` by what the source `y` tells about its
next value. `tefast.nn` removes recurrent units by that score (needs PyTorch), and
``python -m tefast.experiment`` runs the study it comes from.
"""

from importlib import import_module
from typing import Any

from tefast._backends.build import build_info
from tefast._significance.significance import Significance, benjamini_hochberg, significance
from tefast.binning import Binning
from tefast.by_definition import evaluate
from tefast.encoding import encode, learn_binning, learn_edges
from tefast.history_choice import ChosenHistory, choose_history
from tefast.information import active_information, entropy, entropy_rate, mutual_information
from tefast.larger_than_memory import find_ranges, stream
from tefast.local import local_transfer_entropy
from tefast.networks import Network
from tefast.ordinal import ordinal_patterns
from tefast.pairwise import pairwise_transfer_entropy
from tefast.spikes import bin_spikes
from tefast.streaming import (
    ActiveInformation,
    ConditionalTransferEntropy,
    Entropy,
    EntropyRate,
    MutualInformation,
    NormalizedTransferEntropy,
    ReverseTransferEntropy,
    Streaming,
    TransferEntropy,
)
from tefast.transfer import (
    conditional_transfer_entropy,
    normalized_transfer_entropy,
    reverse_transfer_entropy,
    transfer_entropy,
)
from tefast.windowed import windowed_transfer_entropy

__version__ = "0.2.0.dev0"

__all__ = [
    "ActiveInformation",
    "Binning",
    "ChosenHistory",
    "ConditionalTransferEntropy",
    "Entropy",
    "EntropyRate",
    "MutualInformation",
    "Network",
    "NormalizedTransferEntropy",
    "ReverseTransferEntropy",
    "Significance",
    "Streaming",
    "TransferEntropy",
    "active_information",
    "benjamini_hochberg",
    "bin_spikes",
    "build_info",
    "choose_history",
    "conditional_transfer_entropy",
    "encode",
    "entropy",
    "entropy_rate",
    "evaluate",
    "find_ranges",
    "learn_binning",
    "learn_edges",
    "local_transfer_entropy",
    "mutual_information",
    "normalized_transfer_entropy",
    "ordinal_patterns",
    "pairwise_transfer_entropy",
    "reverse_transfer_entropy",
    "significance",
    "stream",
    "transfer_entropy",
    "windowed_transfer_entropy",
]


def __getattr__(name: str) -> Any:
    # NumPy is all that `import tefast` brings in; torch comes with the first use of tefast.nn.
    if name in ("dask", "nn", "experiment", "interop"):
        return import_module(f"tefast.{name}")
    raise AttributeError(f"module 'tefast' has no attribute {name!r}")
