"""A recurrent classifier of sequences, and its file."""

import json
import operator
import os
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from tefast.files import whole_file

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_MODES = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn"}
_KIND = "tefast.nn.SequenceClassifier"


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


def save(model: SequenceClassifier, path: str | os.PathLike[str]) -> None:
    """Write a classifier, pruned or not, to one safetensors file, whole or not at all.

    Parameters
    ----------
    model : SequenceClassifier
    path : str or path
        The weights go there under their ``state_dict`` names, the sizes into its metadata.

    Raises
    ------
    TypeError
        If `model` is no `SequenceClassifier`.
    ValueError
        If its layers are not those that its own sizes build; such a file could not be loaded.
    ImportError
        If safetensors is not installed.
    """
    if not isinstance(model, SequenceClassifier):
        raise TypeError(f"model: expected a SequenceClassifier, got {type(model).__name__}")
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    _check_state(state, _blank(model.sizes), "model")
    metadata = {"format": "pt", "model": _KIND, "sizes": json.dumps(model.sizes)}
    write = _safetensors("safetensors.torch").save_file
    with whole_file(Path(path)) as part:
        write(state, part, metadata)


def load(path: str | os.PathLike[str]) -> SequenceClassifier:
    """Read a classifier that `save` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    SequenceClassifier on the CPU, in training mode, with the dtype it was saved in

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file is not such a model; the message says what is wrong with it.
    ImportError
        If safetensors is not installed.
    """
    safetensors = _safetensors("safetensors")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies, so that the model does not live on a mapped file that may be replaced.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    if metadata.get("model") != _KIND:
        raise ValueError(f"{path} holds no {_KIND}: its metadata says {metadata.get('model')!r}")
    try:
        model = _blank(json.loads(metadata["sizes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has no valid sizes in its metadata: {error}") from error
    _check_state(state, model, str(path))
    model.load_state_dict(state, assign=True)
    model.rnn.flatten_parameters()
    return model


def _safetensors(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "safetensors":
            raise
        raise ImportError(
            "saving and loading models needs safetensors: pip install safetensors"
        ) from error


def _blank(sizes: Sizes) -> SequenceClassifier:
    # On the meta device: names and shapes without memory, time or random numbers.
    with torch.device("meta"):
        return SequenceClassifier(**sizes)


def _check_state(state: dict[str, Tensor], like: SequenceClassifier, where: str) -> None:
    expected = like.state_dict()
    for name in sorted(expected.keys() ^ state.keys()):
        raise ValueError(f"{where}: {'missing' if name in expected else 'unexpected'} {name!r}")
    dtypes = {tensor.dtype for tensor in state.values()}
    if len(dtypes) != 1 or not next(iter(dtypes)).is_floating_point:
        named = ", ".join(sorted(map(str, dtypes)))
        raise ValueError(f"{where}: expected weights of one floating dtype, got {named}")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f"{where}: expected {name!r} of shape {tuple(expected[name].shape)}, "
                f"got {tuple(tensor.shape)}"
            )
