"""The recurrent layers this package reads and shrinks, and where their weights lie."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast, get_args

from torch import Tensor, nn
from torch.nn.utils import parametrize

from tefast.nn._layers.gate_layers import GateLayer
from tefast.nn._layers.stack import Part, RecurrentStack, part_name, recurrent_layer
from tefast.nn._trace.copies import check_own

Recurrent: TypeAlias = nn.LSTM | nn.GRU | nn.RNN
Cell: TypeAlias = nn.LSTMCell | nn.GRUCell | nn.RNNCell
Layer: TypeAlias = Recurrent | Cell | RecurrentStack
Gated: TypeAlias = nn.LSTM | nn.GRU
F = TypeVar("F", bound=Layer)
_SCORED = (*get_args(Cell), RecurrentStack)

Weights: TypeAlias = dict[Part, dict[str, Tensor]]
"""Of each (layer, direction): weight_ih, weight_hh, bias_ih, bias_hh and weight_hr, if there."""


class LayerSizes(NamedTuple):
    """Widths of every (layer, direction)."""

    hidden: dict[Part, int]
    """Units, U: what each gate has a row for."""
    outputs: dict[Part, int]
    """Features others read: the projected ones of an LSTM with projection, else the units."""


def check_recurrent(rnn: nn.Module) -> Layer:
    """Return `rnn` if it is a layer whose units can be removed.

    Raises
    ------
    TypeError
        If it is not exactly one of PyTorch's recurrent layers or cells, or a `RecurrentStack`. A
        subclass may compute something else, so it is not taken for one.
    ValueError
        If a weight is computed (parametrized, normed, masked) or shared with another, or its
        ``forward`` was replaced.
    """
    modules = list(rnn.layers.values()) if type(rnn) is RecurrentStack else [rnn]
    for module in modules:
        if parametrize.is_parametrized(module):
            raise _computed(next(iter(cast(nn.ModuleDict, module.parametrizations))))
        if type(module) not in (*get_args(Recurrent), *get_args(Cell)):
            raise TypeError(
                "expected an nn.LSTM, nn.GRU or nn.RNN, one of their cells or a RecurrentStack, "
                f"got {type(module).__name__}{_of_gates(module, 'units go before single gates do')}"
            )
    for module in {rnn, *modules}:
        check_own(module)
    layer = cast(Layer, rnn)
    places = _places(layer).values()
    if len(set(places)) < len(places):
        raise ValueError("expected layers of their own, got one module for two of them")
    for module in modules:
        check_plain(
            module,
            [role + end for owner, end in places if owner is module for role in _roles(module)],
        )
    check_untied(layer, [layer])
    return layer


def check_single(rnn: nn.Module) -> Recurrent:
    """Return `rnn` if its outputs are those of one layer's units, in one direction.

    Raises
    ------
    TypeError
        If it is not exactly an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``.
    ValueError
        If it has several layers, two directions or a projection.
    """
    if type(rnn) not in get_args(Recurrent):
        advice = "; score takes cells and stacks" if type(rnn) in _SCORED else ""
        advice += _of_gates(rnn, "units are scored before single gates go")
        raise TypeError(f"expected an nn.LSTM, nn.GRU or nn.RNN, got {type(rnn).__name__}{advice}")
    assert isinstance(rnn, Recurrent)
    if rnn.num_layers != 1:
        raise ValueError(f"expected a recurrent layer with num_layers=1, got {rnn.num_layers}")
    if rnn.bidirectional:
        raise ValueError("expected a one-way recurrent layer, got bidirectional=True")
    if rnn.proj_size != 0:
        raise ValueError(f"expected a recurrent layer with proj_size=0, got {rnn.proj_size}")
    return rnn


def check_gated(rnn: nn.Module) -> Gated:
    """Return `rnn` if its units have gates and it is one layer, in one direction.

    Raises
    ------
    TypeError
        If it is not exactly an ``nn.LSTM`` or ``nn.GRU``.
    ValueError
        As in `check_single`.
    """
    if type(rnn) not in get_args(Gated):
        raise TypeError(
            "expected an nn.LSTM or nn.GRU, whose units have gates, "
            f"got {'an nn.RNN, whose have none' if type(rnn) is nn.RNN else type(rnn).__name__}"
            f"{_of_gates(rnn, 'all gates that are to go are given at once')}"
        )
    return cast(Gated, check_single(rnn))


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Return the submodule of `model` called `name` (dots for nesting), or raise ValueError."""
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    if name == "" and isinstance(model, (*get_args(Recurrent), *get_args(Cell), RecurrentStack)):
        raise ValueError(
            f"expected the model that holds the layer, got the {type(model).__name__} itself, "
            "without what reads it; mask_units and remove_units take a layer"
        )
    if not isinstance(name, str) or name not in modules or not name:
        known = ", ".join(repr(known) for known in modules if known) or "none"
        raise ValueError(f"{type(model).__name__} has no submodule {name!r}; it has {known}")
    return modules[name]


def find_recurrent(model: nn.Module, name: str) -> Layer:
    """Return the recurrent layer of `model` called `name`.

    Raises
    ------
    TypeError, ValueError
        If there is no such submodule, or as in `check_recurrent`.
    """
    return _find(model, name, check_recurrent)


def find_single(model: nn.Module, name: str) -> Recurrent:
    """Return the recurrent layer of `model` called `name`, of one layer and direction.

    Raises
    ------
    TypeError, ValueError
        If there is no such submodule, or as in `check_single`.
    """
    return _find(model, name, check_single)


def find_gated(model: nn.Module, name: str) -> Gated:
    """Return the LSTM or GRU of `model` called `name`, of one layer and direction.

    Raises
    ------
    TypeError, ValueError
        If there is no such submodule, or as in `check_gated`.
    """
    return _find(model, name, check_gated)


def check_plain(module: nn.Module, names: Iterable[str]) -> None:
    """Raise ValueError unless the parameters of `module` are exactly `names`."""
    there = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    for name in names:
        if there.pop(name, None) is None:
            raise _computed(name)
    if there:
        raise ValueError(f"unexpected parameter {next(iter(there))!r}; it would be lost")


def check_untied(root: nn.Module, changed: Iterable[nn.Module]) -> None:
    """Raise ValueError if a parameter of `changed` has two places in `root`, naming them.

    One of the places would keep the weight as it was, and they would go separate ways.
    """
    users: dict[Tensor, list[str]] = defaultdict(list)
    for path, module in root.named_modules():
        for name, parameter in module.named_parameters(path, False, remove_duplicate=False):
            users[parameter].append(name)
    for module in changed:
        for parameter in module.parameters():
            if len(users[parameter]) > 1:
                raise ValueError(
                    f"expected weights that are not shared, got {' and '.join(users[parameter])} "
                    "in one"
                )


def weights(rnn: Layer) -> dict[Part, dict[str, nn.Parameter]]:
    """Return the parameters of every (layer, direction), by their names without suffix."""
    return {
        part: {role: module.get_parameter(role + suffix) for role in _roles(module)}
        for part, (module, suffix) in _places(rnn).items()
    }


def sizes(tensors: Mapping[Part, Mapping[str, Tensor]]) -> LayerSizes:
    """Return the widths that weights, as `weights` gives them, have."""
    found = LayerSizes({}, {})
    for part, named in tensors.items():
        outputs = named["weight_hh"].shape[1]
        found.hidden[part] = named["weight_hr"].shape[1] if "weight_hr" in named else outputs
        found.outputs[part] = outputs
    return found


def rebuild(rnn: Layer, tensors: Weights, *, stacked: bool) -> Layer:
    """Build a layer that is like `rnn`, but of other weights and the sizes they have.

    Parameters
    ----------
    rnn : recurrent layer
    tensors : dict of (layer, direction) to the weights of `rnn`, by their names without suffix
    stacked : bool
        Build a `RecurrentStack`; else PyTorch's own, of which all parts have equal sizes.

    Returns
    -------
    Layer with the dtype, device, requires_grad and training mode of `rnn`
    """
    twin = _blank(rnn, tensors, stacked)
    origins = weights(rnn)
    for part, (module, suffix) in _places(twin).items():
        for role, origin in origins[part].items():
            set_parameter(module, role + suffix, tensors[part][role], origin)
    twin.train(rnn.training)
    if not isinstance(twin, Cell):
        twin.flatten_parameters()
    return twin


def set_parameter(module: nn.Module, name: str, tensor: Tensor, origin: Tensor) -> None:
    """Make `tensor` a parameter that takes gradients if `origin` does."""
    setattr(module, name, nn.Parameter(tensor, requires_grad=origin.requires_grad))


def _find(model: nn.Module, name: str, check: Callable[[nn.Module], F]) -> F:
    found = find_module(model, name)
    try:
        return check(found)
    except (TypeError, ValueError) as error:
        raise type(error)(f"submodule {name!r}: {error}") from None


def _blank(rnn: Layer, tensors: Weights, stacked: bool) -> Layer:
    # On the meta device nothing is initialised, so no random number is drawn.
    options: dict[str, Any] = {"bias": rnn.bias, "device": "meta"}
    hidden, outputs = sizes(tensors)
    features = tensors[0, 0]["weight_ih"].shape[1]
    if isinstance(rnn, Cell):
        if isinstance(rnn, nn.RNNCell):
            options["nonlinearity"] = rnn.nonlinearity
        return type(rnn)(features, hidden[0, 0], **options)
    options["batch_first"] = rnn.batch_first
    projected = "weight_hr" in tensors[0, 0]
    if stacked:
        projections = _nested(outputs) if projected else None
        options["dropout"] = rnn.dropout
        return RecurrentStack(rnn.mode, features, _nested(hidden), projections, **options)
    options |= {"num_layers": rnn.num_layers, "bidirectional": rnn.bidirectional}
    options["proj_size"] = outputs[0, 0] if projected else 0
    twin = recurrent_layer(rnn.mode, features, hidden[0, 0], **options)
    # Without effect in one layer, and given to its constructor it would warn.
    twin.dropout = rnn.dropout
    return twin


def _nested(sizes: Mapping[Part, int]) -> list[list[int]]:
    rows: dict[int, list[int]] = defaultdict(list)
    for (layer, _), size in sizes.items():
        rows[layer].append(size)
    return list(rows.values())


def _places(rnn: Layer) -> dict[Part, tuple[nn.Module, str]]:
    if isinstance(rnn, Cell):
        return {(0, 0): (rnn, "")}
    if isinstance(rnn, RecurrentStack):
        return {part: (rnn.layers[part_name(part)], "_l0") for part in rnn.hidden_sizes}
    return {
        (layer, direction): (rnn, f"_{part_name((layer, direction))}")
        for layer in range(rnn.num_layers)
        for direction in range(1 + rnn.bidirectional)
    }


def _roles(module: nn.Module) -> list[str]:
    roles = ["weight_ih", "weight_hh"]
    if module.bias:
        roles += ["bias_ih", "bias_hh"]
    if getattr(module, "proj_size", 0):
        roles += ["weight_hr"]
    return roles


def _of_gates(module: nn.Module, advice: str) -> str:
    """Say what to do instead with a layer in which gates are constants."""
    return f"; {advice}, so start from the model as it was" if isinstance(module, GateLayer) else ""


def _computed(name: str) -> ValueError:
    return ValueError(
        f"{name!r} is not a plain parameter: a parametrization, norm or mask that computes it must "
        "be made permanent first"
    )
