"""Whether a pruned model does what its masked twin does, operation by operation.

Outputs alone say too little: what is wrong with them may be small beside a large constant, or be
lost where numbers become flags, indices or text. So every operation that the masked twin carries
out on an example is noted, with the numbers it is given and the values it gives, and the pruned
model has to carry out the same ones. Both run in double precision. Two of its models differ by
rounding alone then, which is seven orders of magnitude below what is let through as equal, and a
width that the model's code reads as a number shows where it is first used, whatever comes of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from tefast.nn._trace.fields import OTHER, Fields, columns
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.sight import (
    RELATIVE,
    SIZED,
    TAKING,
    Operation,
    Seen,
    Step,
    Watching,
    _features,
    largest,
    plain,
    sampled,
    thinned,
)

_FEW = 4
"""Entries whose mean is known too badly to measure them from."""


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may be apart that are equal but for rounding.

    Attributes
    ----------
    spread : float
        As a fraction of the largest of those that differ at all, among entries of one feature.
    rounding : float
        As a fraction of the entry itself.
    given : float
        As a fraction of the largest number that a sum is given.
    """

    spread: float
    rounding: float
    given: float


TOLERANCES = {
    torch.float64: Tolerance(1e-9, 64 * torch.finfo(torch.float64).eps, 1e-12),
    torch.float32: Tolerance(1e-4, 16 * torch.finfo(torch.float32).eps, 1e-6),
}


class Recorder(Watching):
    """Notes what a masked model does.

    Parameters
    ----------
    flow : Flow
        Follows the units' outputs; active around this.
    gone : bool Tensor (features,)
        For every label of a unit, whether it is masked.
    where : callable
        Says in which module an operation is.
    tolerance : Tolerance
    """

    def __init__(
        self, flow: Flow, gone: Tensor, where: Callable[[], str], tolerance: Tolerance
    ) -> None:
        super().__init__()
        self.flow, self.gone, self.where, self.tolerance = flow, gone, where, tolerance
        self.steps: list[Step] = []
        self.packed: list[list[int]] = []
        """Lengths of the sequences that were packed."""
        self.states: dict[int, Tensor] = {}
        """States of several layers or directions in one tensor, by id."""

    def see(self, operation: Operation) -> None:
        """Note an operation."""
        self.flow.inside += 1  # what is done here is none of the model's
        try:
            self._note(operation)
        finally:
            self.flow.inside -= 1

    def _note(self, operation: Operation) -> None:
        name, numbers, given, found, _ = operation
        step = Step(name, self.where(), numbers)
        if name in TAKING and id(given[0]) in self.states:
            step.optional = True
            self.states |= {id(one): one for one in found if one.ndim == given[0].ndim}
        for tensor in found:
            known = self.flow.of(tensor)
            if known is None:
                values = sampled(tensor.detach().flatten()) if plain(tensor) else None
                step.seen.append(Seen(False, tuple(tensor.shape), values))
            else:
                step.seen.append(self._followed(name, tensor, known))
        self.steps.append(step)
        if name == "_pack_padded_sequence":
            sizes = found[1]
            self.packed.append((sizes[:, None] > torch.arange(int(sizes[0]))).sum(0).tolist())

    def _followed(self, name: str, tensor: Tensor, known: Fields) -> Seen:
        steps = thinned(known.labels)
        cut = tuple(slice(None, None, step) for step in steps)
        labels, masked, other = known.labels[cut], known.masked[cut], known.other[cut]
        tensor = tensor.detach()[cut]
        found = columns(labels)
        if found is None or bool(((found < OTHER) | (found >= self.flow.features)).any()):
            return Seen(True, (), None)  # a norm has one output more when units are removed
        labels = found
        gone = (labels >= 0) & self.gone[labels.clamp(min=0)]
        kept = ~gone.to(tensor.device)
        actual = tensor[~kept].to("cpu", torch.float64)
        if bool((self._wrong(actual, masked[gone]) & self._wrong(actual, other[gone])).any()):
            self.flow.refuse(
                f"{name!r}, which does not give of a masked unit what is expected of it"
            )
        values = tensor[kept]
        return Seen(True, (values.numel(),), sampled(values), steps)

    def _wrong(self, actual: Tensor, expected: Tensor) -> Tensor:
        """Return where a masked unit gives something else, of what is known."""
        off = ~((actual - expected).abs() <= self.tolerance.spread * (1 + expected.abs()))
        return off & (actual != expected) & ~expected.isnan()


class Follower(Watching):
    """Holds a pruned model to what its masked twin did.

    Parameters
    ----------
    steps : sequence of Step
    where : callable
        Says in which module an operation is.
    tolerance : Tolerance
    refuse : callable
        Called with what differs; raises.
    """

    compares = True

    def __init__(
        self,
        steps: Sequence[Step],
        where: Callable[[], str],
        tolerance: Tolerance,
        refuse: Callable[[str], NoReturn],
    ) -> None:
        super().__init__()
        self.where, self.tolerance, self.refuse = where, tolerance, refuse
        self.left = iter(steps)

    def see(self, operation: Operation) -> None:
        """Compare an operation with the one that the masked model carried out here."""
        for step in self.left:
            difference = self._difference(step, operation)
            if difference is None:
                return
            if not step.optional:
                self.refuse(difference)
        self.refuse(f"it goes on with {operation.name!r} in {self.where()}")

    def end(self) -> None:
        """Refuse if the masked model did more."""
        step = next((one for one in self.left if not one.optional), None)
        if step is not None:
            self.refuse(f"it ends before {step.name!r} in {step.where}")

    def _difference(self, step: Step, operation: Operation) -> str | None:
        name, numbers, given, found, before = operation
        if step.name != name or len(step.seen) != len(found):
            return f"it goes another way, from {name!r} in {self.where()} on"
        place = f"{name!r} in {self.where()}"
        number = _other_number(step, numbers, found)
        if number is not None:
            return f"{place} is given {number[0]} where the masked model gives {number[1]}"

        def base() -> float:
            if name in RELATIVE:
                return 0.0
            return largest(given) if before is None else before

        for (followed, shape, values, steps), tensor in zip(step.seen, found, strict=True):
            if values is None or (not followed and tuple(tensor.shape) != shape):
                continue  # as wide as the layer; what becomes of it is compared
            if steps and len(steps) != tensor.ndim:
                return f"{place} has another number of dimensions"
            tensor = tensor[tuple(slice(None, None, one) for one in steps)]
            if followed and shape != (tensor.numel(),):
                return f"{place} has {tensor.numel()} entries where {shape[0]} are expected"
            entries = sampled(tensor.detach().flatten())
            if not alike(entries, values, _features(tensor), self.tolerance, base):
                return f"{place} gives other values"
        return None


def _other_number(step: Step, numbers: list[Any], found: list[Tensor]) -> tuple[Any, Any] | None:
    """Return a number that differs, and what it should be, unless it may be a size."""
    pairs = zip(numbers, step.numbers, strict=False)
    other = [(a, b) for a, b in pairs if a != b and not (a != a and b != b)]
    if not other or len(numbers) != len(step.numbers):
        return None  # of sizes there may be more or fewer, and what comes of them is compared
    sized = any(
        step.name in SIZED if followed else shape != tuple(tensor.shape)
        for (followed, shape, *_), tensor in zip(step.seen, found, strict=True)
    )
    for pair in other:
        if not sized or not all(isinstance(one, int) for one in pair):
            return pair
    return None


def alike(
    found: Tensor,
    expected: Tensor,
    features: Tensor,
    tolerance: Tolerance,
    base: Callable[[], float] = float,
    *,
    about_mean: bool = False,
) -> bool:
    """Return whether two flat tensors are equal but for rounding.

    Parameters
    ----------
    found, expected : Tensor (n,)
    features : LongTensor (n,)
        Which feature an entry belongs to. How far it may be off is measured by those of its
        feature that differ at all: a constant that fills others up says nothing about it.
    tolerance : Tolerance
    base : callable
        Gives the largest number that went into a sum.
    about_mean : bool
        Whether the entries of a feature may be measured from their mean, as results are: a constant
        that is added at the end says nothing about how much they differ.
    """
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if not found.is_floating_point():
        if not found.is_complex():
            return torch.equal(found, expected)
        found, expected = (torch.view_as_real(one).flatten() for one in (found, expected))
        features = features.repeat_interleave(2)
    found, expected = found.double(), expected.double()
    other = (found != expected) & ~(found.isnan() & expected.isnan())
    if not bool(other.any()):
        return True
    features = features.to(found.device)
    ours, theirs, of = found[other], expected[other], features[other]
    if not bool((ours.isfinite() & theirs.isfinite()).all()):
        return False
    size = theirs.abs()
    off, rounding = size, tolerance.rounding
    if about_mean:
        # What fills others up pulls the mean away; then they are measured from 0.
        from_mean = (theirs - _means(expected, features)[of]).abs()
        off, rounding = torch.minimum(size, from_mean), tolerance.given
    spread = size.new_zeros(int(of.max()) + 1).scatter_reduce(0, of, off, "amax")
    allowed = tolerance.spread * spread[of] + rounding * size + tolerance.given * base()
    return bool(((ours - theirs).abs() <= allowed).all())


def _means(values: Tensor, of: Tensor) -> Tensor:
    """Return the mean of every feature, or 0 where it has few entries."""
    finite = values.isfinite()
    values, of, width = values[finite], of[finite], int(of.max()) + 1
    means = values.new_zeros(width).scatter_reduce(0, of, values, "mean", include_self=False)
    return means.masked_fill(torch.bincount(of, minlength=width) < _FEW, 0.0)
