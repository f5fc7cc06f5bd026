"""Streaming: each measure of data that comes in batches, with the habits of torchmetrics."""

from tefast._streaming.by_definition import Streaming
from tefast._streaming.information import ActiveInformation, Entropy, EntropyRate, MutualInformation
from tefast._streaming.transfer import (
    ConditionalTransferEntropy,
    NormalizedTransferEntropy,
    ReverseTransferEntropy,
    TransferEntropy,
)

__all__ = [
    "ActiveInformation",
    "ConditionalTransferEntropy",
    "Entropy",
    "EntropyRate",
    "MutualInformation",
    "NormalizedTransferEntropy",
    "ReverseTransferEntropy",
    "Streaming",
    "TransferEntropy",
]
