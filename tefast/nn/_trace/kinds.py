"""The registry of module kinds that can do with fewer input features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from tefast.nn._trace.consumers import Columns, Reading
    from tefast.nn._trace.fields import Fields
    from tefast.nn._trace.reading import Reader


class ReaderKind:
    """What is known of module classes that read units: one subclass a kind.

    Attributes
    ----------
    classes : tuple of type
        The kind holds for modules of exactly these classes.
    arguments : tuple of str
        What builds such a module, by name, beside its weights; empty if no file describes it.
    smallest : tuple
        Arguments that build the smallest module.
    """

    classes: tuple[type[nn.Module], ...] = ()
    arguments: tuple[str, ...] = ()
    smallest: tuple[Any, ...] = (1, 1)

    def is_whole(self, module: Any) -> bool:
        """Return whether a module is dealt with as a whole, not by its operations."""
        return True

    def features_axis(self, module: Any, ndim: int) -> int:
        """Return the axis, from the end, along which a module reads features of `ndim` axes."""
        return -1

    def check(self, module: Any) -> None:
        """Raise ValueError unless a module can be narrowed.

        By default, its parameters must be a plain weight and, if it is there, a plain bias.
        """
        from tefast.nn._layers.recurrent import (
            check_plain,  # which imports the copies, and they this
        )

        names = ("weight", "bias")
        check_plain(module, [name for name in names if getattr(module, name, None) is not None])

    def narrow(self, module: Any, readings: Mapping[str, Reading], kept: Tensor) -> nn.Module:
        """Build what computes the same as `module` from the kept units alone."""
        raise NotImplementedError

    def inputs(self, module: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        """Return what a module is given, by the roles that readings name."""
        return {"input": args[0] if args else next(iter(kwargs.values()))}

    def columns(self, module: Any, role: str) -> list[Columns]:
        """Return where a module reads features linearly; none if it acts on each alone.

        Raises
        ------
        ValueError
            If it mixes features in another way.
        """
        raise ValueError(
            f"{type(module).__name__} does not read the units linearly, so the others cannot stand "
            "in for them; remove them without moments"
        )

    def describe(self, module: Any) -> dict[str, Any] | None:
        """Return the arguments that build a module, or None if no file describes it."""
        return {name: self.argument(module, name) for name in self.arguments} or None

    def argument(self, module: Any, name: str) -> Any:
        """Return one of the arguments that build a module."""
        if name == "elementwise_affine":
            return module.weight is not None
        return module.bias is not None if name == "bias" else getattr(module, name)

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """Build a module of the class `name` on the meta device from what describes it."""
        built: Any = next(one for one in self.classes if one.__name__ == name)
        module: nn.Module = built(**arguments, device="meta")
        return module

    def follow(self, reader: Reader, module: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Note what a module reads in a run, and follow what it gives."""
        known = reader.read_one(module, args, kwargs)
        if known is not None:
            self.give(reader, module, known, result)

    def give(self, reader: Reader, module: Any, known: Fields, result: Any) -> None:
        """Follow what a module makes of units' outputs; by default they end in it."""


KINDS: list[ReaderKind] = []
"""All kinds; `tefast.nn._trace.readers` fills it."""


def kind_of(module: nn.Module) -> ReaderKind | None:
    """Return the kind of a module, by its class or else by a class that it derives from."""
    for kind in KINDS:
        if type(module) in kind.classes:
            return kind
    return next((kind for kind in KINDS if isinstance(module, kind.classes)), None)


def kind_named(name: str) -> ReaderKind:
    """Return the kind whose class a file calls `name`; raise KeyError if there is none."""
    for kind in KINDS:
        if kind.arguments and name in [one.__name__ for one in kind.classes]:
            return kind
    raise KeyError(name)


def is_reader(module: nn.Module) -> bool:
    """Return whether a module is dealt with as a whole."""
    kind = kind_of(module)
    return kind is not None and type(module) in kind.classes and kind.is_whole(module)


def smallest(of: type[nn.Module]) -> tuple[Any, ...]:
    """Return arguments that build the smallest module of a class."""
    return next((kind.smallest for kind in KINDS if of in kind.classes), ReaderKind.smallest)
