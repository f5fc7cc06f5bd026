"""Models without some of their units: masked, or smaller."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import nn

from tefast.nn._layers.layers import keep, mask_units, remove_units, slice_state
from tefast.nn._layers.numbering import Numbering
from tefast.nn._layers.recurrent import check_untied, find_module, find_recurrent
from tefast.nn._layers.units import Selection
from tefast.nn._parameters import documented
from tefast.nn._trace.advice import Request, builder, numbers_and_widths, tied_layers
from tefast.nn._trace.consumers import RECURRENT, Reading, Readings, UnfitError
from tefast.nn._trace.copies import copy_with
from tefast.nn._trace.group import Group, about
from tefast.nn._trace.masked_run import Returned
from tefast.nn._trace.readers import check_reader
from tefast.nn._trace.sizes import SizeNames, checked_sizes, set_sizes
from tefast.nn._trace.trial import MisfitError, check_outputs, check_ready
from tefast.nn.classifier import SequenceClassifier

__all__ = ["mask", "mask_units", "prune", "remove_units", "slice_state"]

M = TypeVar("M", bound=nn.Module)


@documented
def mask(model: M, units: Selection, rnn: str = "rnn", projections: Selection | None = None) -> M:
    """Copy a model so that `units` of its recurrent layer give exactly 0.

    Parameters
    ----------
    {model, units}
        They may be all.
    {rnn, projections}

    Returns
    -------
    Module of the class of `model`, with all its sizes

    Raises
    ------
    TypeError
        If the layer is not recurrent, or `units` are not integers, or no mapping where one is
        needed.
    ValueError
        If there is no submodule `rnn`, if it shares a weight with another, or if a weight of it is
        computed from others; if `units` are out of range, repeated, or of a direction that is not
        there; or if there are no projections.
    """
    layer = find_recurrent(model, rnn)
    check_untied(model, [layer])
    return copy_with(model, {layer: mask_units(layer, units, projections)})


@documented
def prune(
    model: M,
    units: Selection,
    rnn: str = "rnn",
    consumers: Iterable[str] | None = None,
    projections: Selection | None = None,
    *,
    example: Any = None,
    examples: Iterable[Any] | None = None,
    returned: Returned = None,
    tied: Iterable[str] | Mapping[str, Selection] | None = None,
    sizes: SizeNames | None = None,
) -> M:
    """Copy a model without `units` of its recurrent layer and without the weights that read them.

    Parameters
    ----------
    model : nn.Module
        It is not changed. It must start its recurrent layer from zeros.
    {units, rnn}
    consumers : iterable of str, optional
        Names of all modules that read the layer's output, as features of its last layer, forward
        and reverse concatenated: ``nn.Linear`` or other recurrent layers. Their input columns go
        with the units. By default they are found: the model runs in evaluation mode on `example`,
        and the outputs and final states of the layer are followed. They may reach ``nn.Linear``,
        ``nn.Bilinear``, convolutions over steps, recurrent layers, ``nn.LayerNorm``,
        ``nn.BatchNorm1d`` and ``nn.MultiheadAttention``, after any operation that acts on each
        entry or moves entries.
    {projections}
    {example}
    examples : iterable of examples, optional
        In place of `example`: several examples, for which the model runs different code.
        ``Arguments.of("method", x)`` is an example of a method other than ``forward``.
    returned : {"states", "all"}, optional
        What the model may return although it gets narrower: "states" are the final states of the
        layer, "all" are its outputs too. The layer may then also start from arguments of the model.
        `slice_state` makes narrow states of full ones.
    tied : iterable of str, or mapping of str to units, optional
        Further recurrent layers, ``nn.Linear`` or ``nn.Embedding`` that lose units with this layer:
        a decoder that starts from its state, or a module whose output is added to its outputs. If
        only names are given, they lose the units that meet removed ones: as a state, in a sum, or
        in the same columns of a module that reads them.
    sizes : iterable of str, or mapping of str to values, optional
        Names of attributes of the model that hold the size of the layer as a number, with dots for
        those of submodules. They are set to the new size, or to the given values.

    Returns
    -------
    Module of the class of `model`
        Its layer is what `remove_units` returns. ``nn.LayerNorm`` becomes `NarrowLayerNorm`, and
        ``nn.MultiheadAttention`` becomes `NarrowAttention`. If a removed unit still gives a
        constant after a bias (in evaluation mode after ``nn.BatchNorm1d``), the constant goes into
        the bias of the module that reads it. Hooks of replaced modules are kept. Tensors that
        autograd has computed are plain ones.

    Raises
    ------
    TypeError, ValueError
        Before anything is built: if `units`, `projections` or another argument is not as described;
        if a submodule is missing; if a consumer is of another class, is named twice, does not take
        the layer's features, or shares a weight with another submodule; if a ``forward`` was
        replaced on one of these modules; if a weight of the model is not there yet; or if something
        in the model or the example cannot be copied.

        Without `consumers`: if the outputs reach something that cannot do with fewer of them, which
        the message names; or if units are combined with each other and only some of them are
        removed.

        If the pruned model does not give what the masked one gives. Without `consumers` all
        operations on the examples are compared, in double precision. With them only the results
        are, if the model runs on the example.
    """
    layer = find_recurrent(model, rnn)
    kept = keep(layer, units, projections)
    group = Group(model, rnn, kept, tied)
    _check_returned(returned)
    if consumers is not None and not (examples is None and returned is None and tied is None):
        raise ValueError("consumers: expected no names beside examples, returned or tied")
    check_ready(model)
    with torch.inference_mode(False), torch.no_grad():
        # Of its own class the reader is known, and a run of large layers takes its time.
        ours = type(model) is SequenceClassifier and rnn == "rnn" and group.names == [rnn]
        if consumers is None and not ours:
            values = {} if group.open else checked_sizes(sizes, group, model)
            request = Request(model, rnn, kept, tied, example, examples, returned, values)
            return cast(M, _found(request, group, sizes))
        readings = _named_readings(model, rnn, ("fc1",) if consumers is None else consumers)
        values = checked_sizes(sizes, group, model)

        def build(twin: M) -> M:
            return set_sizes(group.without(twin, readings), values)

        if consumers is not None:
            check_outputs(model, group.masked(model), rnn, example, build)
        return build(model)


def _found(request: Request, group: Group, sizes: SizeNames | None) -> nn.Module:
    """Build the smaller model when what reads the layers has been found."""
    try:
        trial = request.trial(group)
    except UnfitError as error:
        advice = tied_layers(request, error)
        if not advice:
            raise
        raise UnfitError(f"{error}{advice}") from None
    request = replace(request, sizes=checked_sizes(sizes, group, request.model))
    build = builder(group, trial, request.sizes)
    smaller: nn.Module = build(request.model)
    try:
        trial.check(smaller, build)
    except MisfitError as error:
        raise MisfitError(f"{error}{numbers_and_widths(request, group, trial, error)}") from error
    return smaller


def _check_returned(returned: Any) -> None:
    if returned not in (None, "states", "all"):
        raise ValueError(f"returned: expected 'states' or 'all', got {returned!r}")


def _named_readings(model: nn.Module, rnn: str, names: Iterable[str]) -> Readings:
    if isinstance(names, str):
        raise TypeError(f"consumers: expected a sequence of names, got the string {names!r}")
    layer = find_module(model, rnn)
    numbering = Numbering({rnn: layer})
    labels = numbering.last(rnn)
    zeros = torch.zeros(len(labels), dtype=torch.float64)
    readings: Readings = {}
    for name in names:
        module = find_module(model, name)
        # A subclass of Linear may read its input in another way.
        if module is layer or type(module) not in (nn.Linear, *RECURRENT):
            raise TypeError(
                f"consumer {name!r}: expected nn.Linear or another recurrent layer, got "
                f"{type(module).__name__}; leave consumers out to have what reads the layer "
                "found, with returned= if the model returns states and examples= if it goes "
                "different ways"
            )
        with about(f"consumer {name!r}"):
            check_reader(module)
        linear = isinstance(module, nn.Linear)
        features = module.in_features if linear else cast(Any, module).input_size
        if features != len(labels):
            raise ValueError(
                f"consumer {name!r}: expected {'in_features' if linear else 'input_size'} "
                f"{len(labels)}, the recurrent layer's output features, got {features}"
            )
        if any(module is model.get_submodule(before) for before in readings):
            raise ValueError(f"consumer {name!r} is given more than once")
        readings[name] = {"input": Reading(numbering.count, labels, zeros, [])}
    return readings
