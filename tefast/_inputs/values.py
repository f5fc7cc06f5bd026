"""Values: what callers pass in, seen as one array of shape (N, T, U) without a copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs import layouts
from tefast._inputs.kinds import FLOATS, LABELS, PAIRED, ROLES, Kind, Taken, to_numpy
from tefast._inputs.lengths import check_own_lengths, sequence_lengths
from tefast._inputs.sequences import Listed
from tefast._inputs.taking import numpy_to_tensor, take, tensor_to_numpy
from tefast._support.mistakes import MistakeError
from tefast._support.warn import warn

__all__ = [
    "FLOATS",
    "LABELS",
    "ROLES",
    "Values",
    "alone",
    "conditions",
    "paired",
    "read",
    "sequence_lengths",
    "series_shape",
    "source",
    "take_all",
    "target",
    "to_numpy",
]


@dataclass(frozen=True)
class Values:
    """One input.

    Attributes
    ----------
    array : ndarray or torch.Tensor, shape (N, T, U)
        The caller's own memory, any strides. What lies in the host's memory is an ndarray, where
        bfloat16 is held as its bits in uint16; what lies on another device is a tensor.
    dtype : str
        One of `FLOATS`; an integer type, whose values are symbols; or `LABELS`, for an array of
        strings or objects.
    role : str
        "h", "y" or "z", for messages.
    shape : tuple of int
        The shape the caller passed.
    layout : str
        What the axes of that shape hold: see `tefast._inputs.layouts`.
    kind : Kind
        The kind of array the caller passed.
    missing : ndarray of bool, shape (N, T, U), or None
        Where symbols or labels have no value. Floats have NaN there.
    own_lengths : ndarray of int64, shape (N,), or None
        Valid steps of each sequence, where the caller passed a list of unequal ones.
    """

    array: Any
    dtype: str
    role: str
    shape: tuple[int, ...]
    layout: str
    kind: Kind
    missing: npt.NDArray[np.bool_] | None = None
    own_lengths: npt.NDArray[np.int64] | None = None

    @property
    def is_symbols(self) -> bool:
        """Whether the values are integer symbols, which are not binned."""
        return self.dtype not in FLOATS and not self.is_labels

    @property
    def is_labels(self) -> bool:
        """Whether the values are labels, which have no numbers yet."""
        return self.dtype == LABELS

    @property
    def device(self) -> Any:
        """The ``torch.device`` where the values lie, None for the host's memory."""
        return None if isinstance(self.array, np.ndarray) else self.array.device

    @property
    def wrap(self) -> Callable[..., Any]:
        """Makes of scores (U,) the kind that the caller passed; a scalar where it has no units.

        Further axes, before that of units, stay; their names are what else it takes.
        """
        return partial(_scores, self.kind, self._axis_of_units)

    @property
    def wrap_units(self) -> Callable[[Any], Any]:
        """The same, but an axis of one unit stays where the caller passed none."""
        return partial(
            _scores, self.kind, "unit" if self._axis_of_units is None else self._axis_of_units
        )

    def wrap_steps(self, result: npt.NDArray[Any]) -> Any:
        """Make of values of the last steps (N, T, U) the caller's kind, with the caller's axes."""
        present = [letter for letter in layouts.LETTERS if letter in self.layout]
        kept = result[tuple(slice(None) if x in present else 0 for x in layouts.LETTERS)]
        ordered = kept.transpose([present.index(letter) for letter in self.layout])
        return self.kind.back(ordered, tuple(range(len(self.layout))))

    def on_host(self) -> Values:
        """The same in the host's memory."""
        if isinstance(self.array, np.ndarray):
            return self
        return replace(self, array=tensor_to_numpy(self.array.cpu()))

    def with_array(self, array: Any, dtype: str) -> Values:
        """The same input with other values of the same shape."""
        return replace(self, array=array, dtype=dtype)

    def on_device(self, device: Any) -> Values:
        """The same as a tensor on a ``torch.device``."""
        array = self.array
        if isinstance(array, np.ndarray):
            array = numpy_to_tensor(array, self.dtype)
        return replace(self, array=array.to(device))

    @property
    def is_mapped(self) -> bool:
        """Whether the array is a mapped file, whose pages can be dropped once they are read.

        Not where changes to it live in memory alone (NumPy's mode "c"): they would be lost.
        """
        base: Any = self.array
        while isinstance(base, np.ndarray):
            if isinstance(base, np.memmap):
                return base.mode in ("r", "r+", "w+")
            base = base.base
        return False

    @property
    def name(self) -> str:
        """The input's name and role, as messages say it."""
        return ROLES.get(self.role, self.role)

    @property
    def reading(self) -> str:
        """The input's shape and what it was read as, for messages."""
        return f"of shape {self.shape} was read as {layouts.reading(self.shape, self.layout)}"

    def units(self, start: int, stop: int) -> Values:
        """Units `start` to `stop` alone, a view."""
        missing = None if self.missing is None else self.missing[:, :, start:stop]
        return replace(self, array=self.array[:, :, start:stop], missing=missing)

    def steps(self, start: int, stop: int) -> Values:
        """Steps `start` to `stop` alone, a view."""
        missing = None if self.missing is None else self.missing[:, start:stop]
        return replace(self, array=self.array[:, start:stop], missing=missing)

    def index(self, flat: int) -> str:
        """The caller's index of the value at a flat (N, T, U) position, such as ``h[3, 0, 7]``."""
        position = np.unravel_index(flat, tuple(self.array.shape))
        place = {letter: int(i) for letter, i in zip(layouts.LETTERS, position, strict=True)}
        return f"{self.role}{self.kind.place([place[letter] for letter in self.layout])}"

    @property
    def _axis_of_units(self) -> int | None:
        return self.layout.index("U") if "U" in self.layout else None


def _scores(kind: Kind, axis: int | str | None, result: Any, *names: str) -> Any:
    """Scores (..., U) in a kind, of which `axis` is that of units, beside others of these names."""
    further = names or tuple(f"dim_{i}" for i in range(result.ndim - 1))
    if axis is None:
        return kind.back(result[..., 0], further)
    return kind.back(result, (*further, axis))


def read(h: Any, y: Any, layout: str | None = None, joint: bool = False) -> tuple[Values, Values]:
    """Take target and source together: see `target` and `source`.

    Where both have the same two axes, and nothing says what these are, the target is one unit
    of N sequences. With `joint` that says that they are steps, and units or sources.
    """
    if not isinstance(joint, (bool, np.bool_)):
        raise TypeError(f"joint must be True or False, got {joint!r}")
    taken, beside = take(h, ROLES["h"]), take(y, ROLES["y"])
    alike = taken.shape == beside.shape and len(taken.shape) == 2 and taken.shape[1] > 1
    frames = taken.kind.is_frame or beside.kind.is_frame  # whose rows are steps
    if layout is None and alike and not frames and h is not y and not joint:
        layout = "NT"
        layouts.check_names(taken.kind.dims, layout, ROLES["h"])
    found = _target(taken, layout)
    return found, _sources(beside, found) if joint else _source(beside, found)


def take_all(
    given: Mapping[str, Any],
    layout: str | None = None,
    joint: bool = False,
    alone: Callable[[Any, str | None], Values] | None = None,
) -> tuple[Values, list[Values]]:
    """Take what was given for each role: the target, and what is beside it.

    `alone` takes a target that has nothing beside it; by default `target` does.
    """
    h, others = given["h"], []
    if "y" in given:
        found, series = read(h, given["y"], layout, joint)
        others.append(series)
    else:
        found = (target if alone is None or "z" in given else alone)(h, layout)
    if "z" in given:
        others.append(conditions(given["z"], found))
    return found, others


def alone(h: Any, layout: str | None = None) -> Values:
    """Take a target that has no source beside it, by whose shape its axes could be told."""
    found = target(h, layout)
    named = found.kind.dims or found.kind.is_frame
    if layout is None and found.layout == "TU" and found.shape[0] < found.shape[1] and not named:
        warn(
            f"{found.name} {found.reading}, fewer steps than units"
            f"{layouts.advice(found.shape, ['NT', 'UT'])}; layout='TU' keeps this reading and "
            "silences the warning"
        )
    return found


def target(h: Any, layout: str | None = None) -> Values:
    """Take the target `h`: (N, T, U), (T, U) or (T,), or with the axes that `layout` says."""
    return _target(take(h, ROLES["h"]), layout)


def paired(x: Any, layout: str | None = None) -> Values:
    """Take series `x` that are targets and sources of each other: (N, T, U) or (T, U)."""
    return _target(take(x, PAIRED), layout, PAIRED)


def _target(taken: Taken, layout: str | None, role: str = "h") -> Values:
    axes, name = len(taken.shape), ROLES.get(role, role)
    if axes not in layouts.DEFAULTS:
        raise ValueError(
            f"{name} must have shape (N, T, U), (T, U) or (T,), N sequences of T steps of U units, "
            f"got {taken.shape}"
        )
    if layout is not None:
        layout = layouts.check_layout(layout, axes, name, taken.shape)
    elif taken.lengths is not None:
        layout = {2: "NT", 3: "NTU"}[axes]
    else:
        layout = layouts.DEFAULTS[axes]
        layouts.check_names(taken.kind.dims, layout, name)
    return _values(taken, role, layout)


def source(y: Any, h: Values) -> Values:
    """Take the source `y`: of the target's axes without that of units."""
    return _source(take(y, ROLES["y"]), h)


def _sources(taken: Taken, h: Values) -> Values:
    """Several sources, in an axis more at the end than one has."""
    name, expected = ROLES["y"], series_shape(h)
    check_own_lengths(taken, h, name)
    if taken.shape[:-1] != expected or len(taken.shape) != len(expected) + 1:
        several = ", ".join(map(str, (*expected, "S")))
        raise ValueError(
            f"{name} must have shape ({several}) with joint=True, for S sources at once, to go "
            f"with {h.name} of shape {h.shape}, got {taken.shape}; {h.name} was read as "
            f"{layouts.reading(h.shape, h.layout)}"
        )
    layout = layouts.of_series(h.layout)
    _check_dims(taken, h, layout)
    _check_index(taken, h, name)
    # Sources take the place that units have in the target.
    return _values(taken, "y", f"{layout}U")


def _source(taken: Taken, h: Values) -> Values:
    name, expected = ROLES["y"], series_shape(h)
    check_own_lengths(taken, h, name)
    if taken.shape != expected:
        raise MistakeError(
            f"{name} must have shape {expected} to go with {h.name} of shape {h.shape}, got "
            f"{taken.shape}; {h.name} was read as {layouts.reading(h.shape, h.layout)}",
            _advice(taken, h),
        )
    layout = layouts.of_series(h.layout)
    _check_dims(taken, h, layout)
    _check_index(taken, h, name)
    return _values(taken, "y", layout)


def _advice(taken: Taken, h: Values) -> str:
    """What may help where a source does not have the shape that goes with the target."""
    if taken.kind.is_frame and len(taken.shape) == 2:
        first = next(iter(getattr(taken.kind, "columns", [0])))
        return (
            f"; y is one series: pass one column of the table, such as y[{first!r}], or joint=True "
            "for all of them at once"
        )
    if h.own_lengths is not None:
        return f"; {h.name} is a list of sequences of unequal lengths: pass y as such a list"
    advice = layouts.of_source(h.shape, h.layout, taken.shape)
    if taken.shape[:-1] == series_shape(h) and taken.shape[-1:] > (1,):
        advice += "; joint=True takes the last axis of y as several sources at once"
    return advice


def conditions(z: Any, h: Values) -> Values:
    """Take one condition `z`, of the source's shape, or several in an axis more at the end."""
    taken = take(z, ROLES["z"])
    expected, layout = series_shape(h), layouts.of_series(h.layout)
    check_own_lengths(taken, h, ROLES["z"])
    if taken.shape[: len(expected)] != expected or len(taken.shape) > len(expected) + 1:
        several = ", ".join(map(str, (*expected, "Z")))
        raise ValueError(
            f"{ROLES['z']} must have shape {expected}, or ({several}) for Z conditions, to "
            f"go with {h.name} of shape {h.shape}, got {taken.shape}; {h.name} was read as "
            f"{layouts.reading(h.shape, h.layout)}"
        )
    _check_index(taken, h, ROLES["z"])
    # Conditions take the place that units have in the target.
    return _values(taken, "z", layout if len(taken.shape) == len(expected) else f"{layout}U")


def _values(taken: Taken, role: str, layout: str) -> Values:
    name = ROLES.get(role, role)
    time = taken.kind.time if isinstance(taken.kind, Listed) and taken.kind.lengths else None
    if time is not None and layout.find("T") != time + 1:
        raise ValueError(
            f"{name} is a list of sequences that differ along axis {time} of each, which "
            f"holds {layouts.LETTERS[layout[time + 1]][1]} by layout={layout!r}; steps alone may "
            "differ" + ("; layout='NUT' reads that axis as steps" if layout == "NTU" else "")
        )
    if 0 in taken.shape:
        raise ValueError(f"{name} has an empty axis: shape {taken.shape}")
    missing = None if taken.missing is None else layouts.moved(taken.missing, layout)
    return Values(
        layouts.moved(taken.array, layout),
        taken.dtype,
        role,
        taken.shape,
        layout,
        taken.kind,
        missing,
        taken.lengths,
    )


def _check_dims(taken: Taken, h: Values, layout: str) -> None:
    """Raise where names say that a source's axes are in another order than the target's."""
    dims = taken.kind.dims[: len(layout)]  # of several sources, without their own
    named = tuple(
        dim for dim, letter in zip(h.kind.dims, h.layout, strict=False) if letter in layout
    )
    if dims and dims != named and set(dims) <= set(h.kind.dims):
        letters = dict(zip(dims, layout, strict=True))
        meant = "".join(letters.get(dim, "U") for dim in h.kind.dims)
        other = set(dims) != set(named) and sorted(meant) == sorted(h.layout)
        raise ValueError(
            f"{ROLES['y']} has the dimensions {dims}, and {h.name} has them as {h.kind.dims}, read "
            f"as layout={h.layout!r}; axes are taken by position: transpose one of them"
            + (f", or pass layout={meant!r}" if other else "")
        )


def _check_index(taken: Taken, h: Values, name: str) -> None:
    """Raise where the rows of two tables of pandas are not the same rows."""
    mine, theirs = (getattr(each.kind, "index", None) for each in (taken, h))
    alike = mine is None or theirs is None or mine.equals(theirs)
    if not alike and h.layout[0] == layouts.of_series(h.layout)[0]:
        raise ValueError(
            f"{name} has another index than {h.name}, though as many rows, and rows are taken by "
            "position; reindex one by the other, or pass one as an array: .to_numpy()"
        )


def series_shape(h: Values) -> tuple[int, ...]:
    """The shape of one series beside the target: its axes without that of units."""
    return tuple(size for size, letter in zip(h.shape, h.layout, strict=True) if letter != "U")
