"""Models without some of their units: masked, or smaller."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import nn

from tefast.nn._layers.layers import Chosen, choose_units, keep, shrink, slice_state, zeroed
from tefast.nn._layers.numbering import Numbering
from tefast.nn._layers.recurrent import Layer, check_recurrent, check_untied, find_recurrent
from tefast.nn._layers.units import Selection
from tefast.nn._parameters import documented
from tefast.nn._trace.advice import Request, builder, numbers_and_widths, tied_layers
from tefast.nn._trace.consumers import Readings, UnfitError
from tefast.nn._trace.copies import copy_with
from tefast.nn._trace.folding import Folding, folded, own_places
from tefast.nn._trace.found import Returned
from tefast.nn._trace.group import Group
from tefast.nn._trace.reader_names import known_readers, named_readings
from tefast.nn._trace.sizes import SizeNames, checked_sizes, set_sizes
from tefast.nn._trace.trial import MisfitError, check_outputs, check_ready
from tefast.nn.moments import Moments

__all__ = ["mask", "mask_units", "prune", "remove_units", "slice_state"]

L = TypeVar("L", bound=Layer)
M = TypeVar("M", bound=nn.Module)


@documented
def mask_units(
    rnn: L,
    units: Selection,
    projections: Selection | None = None,
    *,
    moments: Moments | None = None,
) -> L:
    """Copy a recurrent layer so that `units` give exactly 0 when they start from 0.

    Parameters
    ----------
    {rnn:layer, units}
        They may be all.
    {projections}
    {moments:layer}

    Returns
    -------
    Module of the same class, sizes, dtype, device, requires_grad and training mode. Gradients
    and hooks are not copied.

    Raises
    ------
    TypeError
        If `rnn` is no such layer, or `units` are not integers, or no mapping where one is needed.
    ValueError
        If `units` are out of range, repeated, or of a direction that is not there; if there are
        no projections; or if a weight of the layer is computed from others or shared.
    """
    check_recurrent(rnn)
    if moments is not None:
        rnn = _layer_with_moments(rnn, keep(rnn, units, projections), moments)
    return cast(L, zeroed(rnn, choose_units(rnn, units, projections, may_be_all=True)))


@documented
def remove_units(
    rnn: Layer,
    units: Selection,
    projections: Selection | None = None,
    *,
    moments: Moments | None = None,
) -> Layer:
    """Build the smaller layer that is left when `units` are taken away.

    If the removed units start from 0, the outputs equal those of the kept units in
    ``mask_units(rnn, units)``: the sums differ only by terms that are exactly 0. A matrix product
    may add the other terms in another order, and then differs by rounding. Use `slice_state` for an
    initial state. It drops the states of the removed units, so the result is that of the masked
    layer if they start from 0.

    Parameters
    ----------
    {rnn:layer, units, projections}
    {moments:layer}

    Returns
    -------
    Module of the same class, with the other units in their former order
        If layers or directions have different widths afterwards, it is a `RecurrentStack`. A stack
        whose widths are equal afterwards becomes PyTorch's own class. It has the same dtype,
        device, requires_grad and training mode. Gradients and hooks are not copied.

    Raises
    ------
    TypeError
        If `rnn` is no such layer, or `units` are not integers, or no mapping where one is needed.
    ValueError
        If `units` are out of range, repeated, or of a direction that is not there; if all units of
        a direction are given, or no more are left than projected outputs; if there are no
        projections; or if a weight of the layer is computed from others or shared. Nothing is built
        then.
    """
    check_recurrent(rnn)
    kept = keep(rnn, units, projections)
    if moments is not None:
        rnn = _layer_with_moments(rnn, kept, moments)
    return cast(Layer, shrink(rnn, kept))


@documented
def mask(
    model: M,
    units: Selection,
    rnn: str = "rnn",
    projections: Selection | None = None,
    *,
    moments: Moments | None = None,
) -> M:
    """Copy a model so that `units` of its recurrent layer give exactly 0.

    Parameters
    ----------
    {model, units}
        They may be all.
    {rnn, projections}
    {moments}

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
    if moments is not None:
        group = Group(model, rnn, keep(layer, units, projections))
        return group.masked(_with_moments(model, group, moments))
    return copy_with(model, {layer: mask_units(layer, units, projections)})


@documented
def prune(
    model: M,
    units: Selection,
    rnn: str = "rnn",
    consumers: Iterable[str] | None = None,
    projections: Selection | None = None,
    *,
    moments: Moments | None = None,
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
    {projections, moments, example}
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
        if moments is not None:
            model = _with_moments(model, group, moments)
        known = known_readers(model, group.names, consumers)
        if known is None:
            values = {} if group.open else checked_sizes(sizes, group, model)
            request = Request(model, rnn, kept, tied, example, examples, returned, values)
            return cast(M, _found(request, group, sizes, moments))
        readings = named_readings(model, rnn, known)
        if moments is not None:
            _check_readers(moments, readings)
        values = checked_sizes(sizes, group, model)

        def build(twin: M) -> M:
            return set_sizes(group.without(twin, readings), values)

        if consumers is not None:
            check_outputs(model, group.masked(model), rnn, example, build)
        return build(model)


def _found(
    request: Request, group: Group, sizes: SizeNames | None, moments: Moments | None
) -> nn.Module:
    """Build the smaller model when what reads the layers has been found."""
    try:
        trial = request.trial(group)
    except UnfitError as error:
        advice = tied_layers(request, error)
        if not advice:
            raise
        raise UnfitError(f"{error}{advice}") from None
    if moments is not None:
        _check_readers(moments, trial.readings)
    request = replace(request, sizes=checked_sizes(sizes, group, request.model))
    build = builder(group, trial, request.sizes)
    smaller: nn.Module = build(request.model)
    try:
        trial.check(smaller, build)
    except MisfitError as error:
        raise MisfitError(f"{error}{numbers_and_widths(request, group, trial, error)}") from error
    return smaller


def _with_moments(model: M, group: Group, moments: Moments) -> M:
    """Copy a model in which the units that stay stand in for the others."""
    moments.check(model, group.names)
    if group.open:
        group.follow(moments.ties)
    folding = Folding(moments.grams, group.gone, moments.ridge, moments.intercept)
    return folded(model, group.names, group.numbering, moments.labels, folding)


def _layer_with_moments(rnn: L, kept: Chosen, moments: Moments) -> L:
    """Copy a layer in which the units that stay stand in for the others at the next step."""
    name = moments.members[0]
    numbering = Numbering({name: rnn})
    moments.check_layer(name, rnn)
    folding = Folding(
        moments.grams,
        ~numbering.flags(name, kept.outputs, kept.hidden),
        moments.ridge,
        moments.intercept,
    )
    twin = copy_with(rnn, {})
    with torch.no_grad():
        folding.apply(own_places(name, twin, numbering))
    return twin


def _check_readers(moments: Moments, readings: Readings) -> None:
    """Raise ValueError if something reads the layers of which there are no moments."""
    for name, roles in readings.items():
        for role, reading in roles.items():
            labels = moments.labels.get(name, {}).get(role)
            if labels is None or not torch.equal(labels, reading.labels):
                raise ValueError(
                    f"moments: there are none of what {name!r} reads; take them with the same "
                    "example, examples and consumers"
                )


def _check_returned(returned: Any) -> None:
    if returned not in (None, "states", "all"):
        raise ValueError(f"returned: expected 'states' or 'all', got {returned!r}")
