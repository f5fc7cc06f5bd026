"""The registry of rules: by its name, what an operation does to the fields of its tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import torch
from torch import Tensor

from tefast.nn._trace.fields import Fields, leaves, unknown
from tefast.nn._trace.flow import Flow

OperationRule: TypeAlias = Callable[["Call"], None]

RULES: dict[str, OperationRule] = {}
"""By the operation's name in ``torch.ops.aten``, without the underscore of one in place."""


def rule(*names: str) -> Callable[[OperationRule], OperationRule]:
    """Register what is done for the operations of these names."""

    def register(function: OperationRule) -> OperationRule:
        for name in names:
            assert name not in RULES
            RULES[name] = function
        return function

    return register


@dataclass
class Call:
    """One operation, done.

    Attributes
    ----------
    flow : Flow
    func : torch._ops.OpOverload
    args, kwargs
    result
        What the operation returned; that it did is the only thing that a rule may not undo.
    """

    flow: Flow
    func: Any
    args: Any
    kwargs: Any
    result: Any = None

    def __post_init__(self) -> None:
        self.functional, self.in_place = _functional(self.func)
        self.name: str = self.functional._schema.name.partition("::")[2]

    def __getitem__(self, name: str) -> Any:
        """Return an argument by its name in the operation's schema, or its default."""
        for place, argument in enumerate(self.func._schema.arguments):
            if argument.name == name:
                given = self.args[place] if place < len(self.args) else argument.default_value
                return self.kwargs.get(name, given)
        return None

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments."""
        return [leaf for leaf in leaves((self.args, self.kwargs)) if isinstance(leaf, Tensor)]

    @property
    def output(self) -> Tensor:
        """The first or only tensor of the result."""
        return next(leaf for leaf in leaves(self.result) if isinstance(leaf, Tensor))

    def fields(self, value: Tensor | float) -> Fields:
        """Return what is known of a tensor or of a number; it may be nothing."""
        if not isinstance(value, Tensor):
            return unknown((), value=float(value))
        known = self.flow.fields(value)
        return unknown(tuple(value.shape)) if known is None else known

    def put(self, fields: Fields) -> None:
        """Note the fields of the result, which is a new tensor or the first argument."""
        shape = self.output.shape
        self.flow.write(self.output, fields.map(lambda t: t.expand(shape)), whole=not self.in_place)

    def put_places(self, fields: Fields) -> None:
        """Note the units of the indices that an operation returns beside its values."""
        others = [leaf for leaf in leaves(self.result) if isinstance(leaf, Tensor)][1:]
        for tensor in others:
            nothing = unknown(tuple(tensor.shape))
            labels = fields.labels.expand(tensor.shape)
            self.flow.follow(
                tensor, Fields(labels, *(nothing.masked, nothing.masked), nothing.places)
            )

    def refuse(self, reason: str, partner: Tensor | None = None) -> NoReturn:
        """Refuse the operation; `reason` may hold its name, {name}."""
        self.flow.refuse(reason.format(name=repr(self.flow.name(self.func))), partner)

    def open(self, fields: Fields) -> bool:
        """Return whether there are entries whose value depends on the data when masked."""
        units = fields.units()
        return bool((units & ((fields.labels < 0) | (fields.labels >= self.flow.features))).any())


def is_pointwise(func: Any) -> bool:
    """Return whether every entry of the result is made of the entries at the same place."""
    return torch.Tag.pointwise in func.tags and len(func._schema.returns) == 1


def _functional(func: Any) -> tuple[Any, bool]:
    """Return an operation and False; for one in place, the operation on a copy and True."""
    name = func._schema.name.partition("::")[2]
    if func.namespace != "aten" or not func._schema.is_mutable or not name.endswith("_"):
        return func, False
    packet = getattr(torch.ops.aten, name[:-1], None)
    overloads = [] if packet is None else [getattr(packet, one) for one in packet.overloads()]
    # Overloads of the same name may take other arguments.
    twins = [one for one in overloads if _types(one) == _types(func)]
    return (twins[0] if twins else func), True


def _types(func: Any) -> list[str]:
    return [str(argument.type) for argument in func._schema.arguments]
