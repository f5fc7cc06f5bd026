"""A recurrent classifier of sequences."""

import operator
from typing import TypedDict

import torch
from torch import Tensor, nn

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_MODES = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn"}


class Sizes(TypedDict):
    """The arguments that build a `SequenceClassifier`."""

    input_size: int
    num_classes: int
    hidden_size: int
    fc_size: int
    cell: str


class SequenceClassifier(nn.Module):
    """One recurrent layer and two fully connected layers, applied at every step.

    Parameters
    ----------
    input_size : int
        Features of a step, D.
    num_classes : int
        Classes, C.
    hidden_size : int
        Recurrent units, U.
    fc_size : int
        Width between the two fully connected layers.
    cell : {"lstm", "gru", "rnn"}
        The recurrent layer; "rnn" is the plain one with tanh.

    Attributes
    ----------
    rnn : nn.LSTM, nn.GRU or nn.RNN
        With ``batch_first=True``.
    fc1, fc2 : nn.Linear
        U to `fc_size`, ReLU, `fc_size` to C.

    Raises
    ------
    TypeError, ValueError
        If a size is not a positive int, or `cell` is not a known name.
    """

    def __init__(
        self,
        input_size: int,
        num_classes: int,
        hidden_size: int = 1024,
        fc_size: int = 256,
        cell: str = "lstm",
    ) -> None:
        super().__init__()
        sizes = {
            "input_size": input_size,
            "num_classes": num_classes,
            "hidden_size": hidden_size,
            "fc_size": fc_size,
        }
        for name, size in sizes.items():
            if isinstance(size, bool) or not hasattr(size, "__index__"):
                raise TypeError(f"{name}: expected an int, got {type(size).__name__}")
            if operator.index(size) < 1:
                raise ValueError(f"{name}: expected at least 1, got {size}")
        if not isinstance(cell, str) or cell not in CELLS:
            raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {cell!r}")
        self.rnn = CELLS[cell](input_size, hidden_size, batch_first=True)
        self.fc1 = nn.Linear(hidden_size, fc_size)
        self.fc2 = nn.Linear(fc_size, num_classes)

    @property
    def sizes(self) -> Sizes:
        """The arguments that build a model of these sizes, read from the layers as they are."""
        mode = self.rnn.mode
        if mode not in _MODES:
            raise ValueError(f"expected a recurrent layer of {', '.join(_MODES)}, got {mode}")
        return Sizes(
            input_size=self.rnn.input_size,
            num_classes=self.fc2.out_features,
            hidden_size=self.rnn.hidden_size,
            fc_size=self.fc1.out_features,
            cell=_MODES[mode],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of every step.

        Parameters
        ----------
        x : Tensor of shape (N, T, D)

        Returns
        -------
        Tensor of shape (N, T, C). A sequence's class is read at its last step.
        """
        h, _ = self.rnn(x)
        logits: Tensor = self.fc2(torch.relu(self.fc1(h)))
        return logits
