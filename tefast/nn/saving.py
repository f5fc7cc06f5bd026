"""Models, pruned or not, in one safetensors file with their sizes."""

import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from tefast._support.files import whole_file
from tefast.nn._layers.gate_layers import GateLayer
from tefast.nn._layers.stack import RecurrentStack
from tefast.nn._trace.kinds import kind_named, kind_of
from tefast.nn.classifier import SequenceClassifier, Sizes
from tefast.nn.loading import UnfitModelError, filled, resized

M = TypeVar("M", bound=nn.Module)

_CLASSIFIER = "tefast.nn.SequenceClassifier"
_MODULES = "tefast.nn.modules"

_EMBEDDING = (
    "num_embeddings", "embedding_dim", "padding_idx", "max_norm", "norm_type",
    "scale_grad_by_freq", "sparse",
)  # fmt: skip
"""What builds an nn.Embedding, which loses units but reads none."""


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a model, pruned or not, to one safetensors file, whole or not at all.

    Parameters
    ----------
    model : nn.Module
        A `SequenceClassifier`, a recurrent layer of PyTorch or a `RecurrentStack`, or any model
        that holds some.
    path : str or path
        The weights go there under their ``state_dict`` names; into its metadata go the sizes
        of a classifier, or of all modules whose size pruning may change.

    Raises
    ------
    TypeError
        If `model` is no module, or holds none of those.
    ValueError
        If a classifier's layers are not those that its own sizes build, or a layer's weights not
        those of its class, or if its state holds something else than tensors; such a file could
        not be loaded.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written, such as on a full disk; nothing of it is left.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    for name, module in model.named_modules():
        if isinstance(module, GateLayer):
            raise ValueError(
                f"model: {name!r} is a {type(module).__name__}, which these files do not describe; "
                "keep model.state_dict(), and give its 'removed' and 'constants' of that layer to "
                "prune_gates of a new model, which then takes it by load_state_dict"
            )
    state = {}
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise ValueError(
                f"model: expected tensors in its state, got {name!r}, a {type(tensor).__name__}"
            )
        state[name] = tensor.detach().cpu().clone().contiguous()
    if type(model) is SequenceClassifier:  # a subclass may have a forward of its own
        _check_state(state, _blank(model.sizes), "model")
        metadata = {"format": "pt", "model": _CLASSIFIER, "sizes": json.dumps(model.sizes)}
    else:
        modules = described(model)
        if not modules:
            raise TypeError(
                f"model: expected recurrent layers or others whose size pruning may change, got "
                f"{type(model).__name__} with none"
            )
        metadata = {"format": "pt", "model": _MODULES, "modules": json.dumps(modules)}
    write = _safetensors("safetensors.torch").save_file
    with whole_file(Path(path)) as part:
        write(state, part, metadata)


@overload
def load(path: str | os.PathLike[str]) -> SequenceClassifier: ...


@overload
def load(path: str | os.PathLike[str], model: M) -> M: ...


def load(path: str | os.PathLike[str], model: nn.Module | None = None) -> nn.Module:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : str or path
    model : nn.Module, optional
        For a model of a class of your own: one like it, of any sizes, such as it was before
        pruning. Not changed.

    Returns
    -------
    SequenceClassifier or recurrent layer, or a copy of `model`
        Without `model`: on the CPU, in training mode, with the dtype it was saved in. With `model`:
        modules that have other sizes in the file are built anew, with the hooks of those they
        replace. Everything else is that of `model`: shared weights, hooks, attributes, which
        parameters take gradients, training flags and devices. Values have the dtype they were saved
        in.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file is not such a model, needs `model`, or does not fit it; the message says what
        is wrong.
    ImportError
        If safetensors is not installed.
    """
    metadata, state = _read(path)
    kind = metadata.get("model")
    if kind not in (_CLASSIFIER, _MODULES):
        raise ValueError(
            f"{path} holds no {_CLASSIFIER} nor {_MODULES}: its metadata says {kind!r}"
        )
    try:
        if kind == _CLASSIFIER:
            blank: nn.Module = _blank(json.loads(metadata["sizes"]))
            modules = described(blank)
        else:
            modules = json.loads(metadata["modules"])
            blank = built(modules[""]) if "" in modules else nn.Identity()
        if model is None and not (kind == _CLASSIFIER or "" in modules):
            raise UnfitModelError(
                f"expected model=, one like that of which it holds {', '.join(modules)}"
            )
        replaced = {} if model is None else replacements(modules, model)
    except UnfitModelError as error:
        raise ValueError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has no valid sizes in its metadata: {error}") from error
    if model is not None:
        return filled(model, replaced, state, str(path))
    _check_state(state, blank, str(path))
    blank.load_state_dict(state, assign=True)
    _flatten(blank)
    return blank


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    safetensors = _safetensors("safetensors")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            # Copies, so that the model does not live on a mapped file that may be replaced.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, state
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


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


def described(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Return what builds each module of a known class, by name; not those within one another.

    Others than recurrent layers may hold what their class does not, masks or norms: they stay what
    they are in the model that is loaded into.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}." if outer else "") for outer in found)
        description = None if inside else _description(module)
        if description is None:
            continue
        own = {key: tensor.detach() for key, tensor in module.state_dict().items()}
        try:
            _check_state(own, built(description), repr(name))
        except ValueError:
            if isinstance(module, nn.RNNBase | nn.RNNCellBase | RecurrentStack):
                raise
            continue
        found[name] = description
    return found


def _description(module: nn.Module) -> dict[str, Any] | None:
    arguments = _arguments(module)
    return arguments and {"class": type(module).__name__, **arguments}


def _arguments(module: nn.Module) -> dict[str, Any] | None:
    if type(module) is nn.Embedding:
        return {name: getattr(module, name) for name in _EMBEDDING}
    kind = kind_of(module)
    return kind.describe(module) if kind and type(module) in kind.classes else None


def replacements(
    modules: Mapping[str, Mapping[str, Any]], model: nn.Module
) -> dict[nn.Module, nn.Module]:
    """Return the modules of a model that are described in another size, and new ones for them."""
    return resized(modules, model, built, _description)


def built(description: Mapping[str, Any]) -> nn.Module:
    """Build a module on the meta device, without memory, time or random numbers."""
    arguments = dict(description)
    name = arguments.pop("class")
    if name == "Embedding":
        return nn.Embedding(**arguments, device="meta")
    return kind_named(name).build(name, arguments)


def _flatten(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()


def _check_state(state: dict[str, Tensor], like: nn.Module, where: str) -> None:
    expected = like.state_dict()
    for name in sorted(expected.keys() ^ state.keys()):
        raise ValueError(f"{where}: {'missing' if name in expected else 'unexpected'} {name!r}")
    classifier = isinstance(like, SequenceClassifier)
    dtypes = {tensor.dtype for tensor in state.values()}
    if classifier and (len(dtypes) != 1 or not next(iter(dtypes)).is_floating_point):
        named = ", ".join(sorted(map(str, dtypes)))
        raise ValueError(f"{where}: expected weights of one floating dtype, got {named}")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f"{where}: expected {name!r} of shape {tuple(expected[name].shape)}, "
                f"got {tuple(tensor.shape)}"
            )
