"""Second moments of what a layer's readers read: what the units that stay say of the others."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from tefast._support.memory import check_copy
from tefast.nn._layers.grams import RIDGE, Gram
from tefast.nn._layers.layers import keep
from tefast.nn._layers.numbering import widths
from tefast.nn._layers.recurrent import find_recurrent
from tefast.nn._parameters import documented
from tefast.nn._runs.arguments import arguments_of
from tefast.nn._runs.batches import Batch, Forward, Place, each_of, lengths_of, run_model
from tefast.nn._runs.inputs import inputs_seen, rows_of
from tefast.nn._runs.modes import in_mode
from tefast.nn._runs.observe import Calls, LayerRun, chains, fresh, joined, watching
from tefast.nn._runs.ranges import valid_steps
from tefast.nn._runs.restore import as_it_was
from tefast.nn._runs.results import for_each
from tefast.nn._runs.seen import LayerCall, Watch
from tefast.nn._trace.flow import Tie
from tefast.nn._trace.folding import Labels, inner_names, reader_places
from tefast.nn._trace.found import Returned
from tefast.nn._trace.group import Group
from tefast.nn._trace.reader_names import find_labels
from tefast.nn.context import checked_lengths

_FLAT = (nn.Linear, nn.Embedding)
"""Members of a group that have no weights of their own that read units."""


class Moments:
    """Streamed second moments of what reads the units of a recurrent layer.

    `moments` makes them. With them `prune` removes units and has those that stay stand in for
    them.

    Parameters
    ----------
    members : iterable of str
        Names of the layers that lose units, the recurrent layer first.
    sizes : mapping of str to int
        The number of features at every place where units are read, by its name.
    labels : mapping of str to mapping of str to LongTensor
        For every reader and every input of it, which unit each feature is; below 0 for others.
    ties : iterable, optional
        Which units of different layers meet, and can only go together.
    device : torch.device or str, optional
        Where the sums are kept.

    Attributes
    ----------
    ridge : float
        How much the functions that stand in for removed units are damped, as a fraction of the
        mean second moment of the features that stay. Default 0.001.
    intercept : bool
        Whether these functions have a constant, where a bias takes it. By default they have none:
        of a state that is 0 they then say 0.
    """

    def __init__(
        self,
        members: Iterable[str],
        sizes: Mapping[str, int],
        labels: Labels,
        ties: Iterable[Tie] = (),
        device: torch.device | str | None = None,
    ) -> None:
        self.members = list(members)
        self.labels = labels
        self.ties = list(ties)
        self.grams = {name: Gram(width, device) for name, width in sizes.items()}
        self.ridge = RIDGE
        self.intercept = False

    @property
    def steps(self) -> int:
        """Return how many steps of the layer were seen."""
        return int(self.grams[f"{self.members[0]}.l0"].count)

    def merge(self, other: "Moments") -> None:
        """Add the moments that were taken of other data.

        Parameters
        ----------
        other : Moments
            Of the same layers and readers.

        Raises
        ------
        ValueError
            If they are not of the same places.
        """
        ours, theirs = ({n: g.width for n, g in one.grams.items()} for one in (self, other))
        if ours != theirs:
            raise ValueError(f"expected moments of {_listed(ours)}, got {_listed(theirs)}")
        for name, gram in self.grams.items():
            gram.merge(other.grams[name])

    def all_reduce(self, group: Any = None) -> None:
        """Add up the moments of all processes of ``torch.distributed``, in place.

        Parameters
        ----------
        group : ProcessGroup, optional
            Default: all processes.
        """
        for gram in self.grams.values():
            for tensor in gram.tensors():
                torch.distributed.all_reduce(tensor, group=group)

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as tensors, numbers and texts, for ``torch.save``."""
        return {
            "members": self.members,
            "labels": {name: dict(roles) for name, roles in self.labels.items()},
            "ties": [[tie.one, tie.other, tie.where] for tie in self.ties],
            "grams": {name: list(gram.tensors()) for name, gram in self.grams.items()},
            "ridge": self.ridge,
            "intercept": self.intercept,
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> "Moments":
        """Return what `state_dict` was taken of.

        Parameters
        ----------
        state : mapping
            What `state_dict` gave.
        """
        firsts = {name: tensors[1] for name, tensors in state["grams"].items()}
        sizes = {name: len(one) for name, one in firsts.items()}
        ties = [Tie(*one) for one in state["ties"]]
        found = cls(state["members"], sizes, state["labels"], ties)
        for name, tensors in state["grams"].items():
            gram = found.grams[name]
            gram.count, gram.first, gram.second = (one.clone() for one in tensors)
        found.ridge, found.intercept = state["ridge"], state["intercept"]
        return found

    def check(self, model: nn.Module, names: Iterable[str]) -> None:
        """Raise ValueError unless they can be those of layers of a model.

        Parameters
        ----------
        model : nn.Module
        names : iterable of str
            The layers that lose units.
        """
        if self.members != list(names):
            raise ValueError(
                f"moments: expected those of {list(names)}, got those of {self.members}; take them "
                "with the same rnn and tied"
            )
        for name in self.members:
            self.check_layer(name, model.get_submodule(name))

    def check_layer(self, name: str, layer: nn.Module) -> None:
        """Raise ValueError unless they can be those of a layer.

        Parameters
        ----------
        name : str
        layer : nn.Module
        """
        for place, width in _inner_sizes(name, layer).items():
            there = self.grams[place].width if place in self.grams else None
            if there != width:
                raise ValueError(
                    f"moments: expected those of {width} features at {place!r}, got {there}; take "
                    "them of the model as it is"
                )

    def __repr__(self) -> str:
        """Say what they are of."""
        return (
            f"Moments({_listed({n: g.width for n, g in self.grams.items()})}; {self.steps} steps)"
        )


@documented
def moments(
    model: nn.Module,
    batches: Iterable[Batch],
    rnn: str = "rnn",
    *,
    consumers: Iterable[str] | None = None,
    example: Any = None,
    examples: Iterable[Any] | None = None,
    returned: Returned = None,
    tied: Iterable[str] | None = None,
    forward: Forward = run_model,
    lengths: Place | bool | None = None,
    calls: Calls = "auto",
) -> Moments:
    """Take the second moments of a layer's units, and of what every reader of them reads.

    Parameters
    ----------
    model : nn.Module
        Not changed; it is run in evaluation mode.
    batches : iterable of (x, labels) or (x, labels, lengths), or of what `forward` takes
        Read once, a batch at a time. Labels are not looked at.
    {rnn, consumers}
    example : Tensor, tuple, mapping, Arguments or another object, optional
        What the model is called with to find the readers; see `prune`. Default: what it is called
        with for the first batch.
    examples : iterable of examples, optional
        In place of `example`: several, which take different ways through the model.
    returned : {"states", "all"}, optional
        What the model may return although it gets narrower: the layer's final states, or its
        outputs too.
    tied : iterable of str, optional
        Further recurrent layers, ``nn.Linear`` or ``nn.Embedding`` that will lose units with it.
    {forward, lengths:place}
        Padding does not count: not of packed sequences, and not where a reader's input has an axis
        of sequences and one of steps.
    {calls}

    Returns
    -------
    Moments
        On the device of the model, in float64: for F features 8 F**2 bytes.

    Raises
    ------
    TypeError, ValueError
        If the layer or its readers cannot be found, for the reasons that `prune` has; if a reader
        does not read the units linearly, such as ``nn.LayerNorm``; or if a value is not finite.
    """
    first, batches = _peeked(batches)
    if example is None and examples is None and consumers is None:
        example = arguments_of(model, first, forward)
    group = Group(model, rnn, keep(find_recurrent(model, rnn), {}, None), tied)
    labels, ties = find_labels(model, rnn, group, consumers, example, examples, returned)
    read = {place.name: len(place.labels) for place in reader_places(model, labels)}
    sizes: dict[str, int] = {}
    for name in group.names:
        sizes |= _inner_sizes(name, model.get_submodule(name))
    sizes |= read
    for name, size in sizes.items():
        check_copy(24 * size**2, f"moments of the {size} features at {name!r}", "use fewer")
    found = Moments(group.names, sizes, labels, ties, next(model.parameters()).device)
    taking = _Taking(model, found, forward, lengths, calls)
    with as_it_was(model):
        for batch in each_of(batches):
            taking.take(batch)
    return found


class _Taking:
    """Adds batches to moments."""

    def __init__(
        self, model: nn.Module, found: Moments, forward: Forward, lengths: Any, calls: Calls
    ) -> None:
        self.model, self.found, self.forward = model, found, forward
        self.lengths, self.calls = lengths, calls
        members = {name: model.get_submodule(name) for name in found.members}
        self.layers = {n: m for n, m in members.items() if not isinstance(m, _FLAT)}
        self.roles = {
            name: [role for role in some if f"{name}.{role}" in found.grams]
            for name, some in found.labels.items()
        }

    def take(self, batch: Batch) -> None:
        layers = cast(Any, list(self.layers.values()))
        with (
            watching(layers) as watches,
            in_mode(self.model, training=False),
            inputs_seen(self.model, self.roles) as inputs,
        ):
            self.forward(self.model, fresh(batch, self.model))
            rows: dict[str, Tensor] = {}
            steps: list[Tensor | None] = []
            for (name, layer), watch in zip(self.layers.items(), watches, strict=True):
                own, lengths = self._of_layer(name, layer, watch, batch)
                rows |= own
                steps = steps or lengths
        first = bool(getattr(next(iter(self.layers.values())), "batch_first", True))
        for name, given in inputs.items():
            each = steps if len(steps) == len(given) else [None] * len(given)
            if given:
                parts = [rows_of(x, n, first) for x, n in zip(given, each, strict=True)]
                rows[name] = torch.cat(parts)
        for names in _alike(rows):
            grams = [self.found.grams[name] for name in names]
            try:
                if len(grams) == 1:
                    grams[0].add(rows[names[0]])
                    continue
                once = Gram(grams[0].width, grams[0].first.device)
                once.add(rows[names[0]])
            except ValueError as error:
                raise ValueError(f"moments at {names[0]!r}: {error}") from None
            for gram in grams:
                gram.merge(once)

    def _of_layer(
        self, name: str, layer: nn.Module, watch: Watch, batch: Batch
    ) -> tuple[dict[str, Tensor], list[Tensor | None]]:
        """Return the rows of a layer's own moments, and the lengths of each of its runs."""
        if not watch.calls:
            raise ValueError("the recurrent layer did not run for a batch, expected a call")
        each = chains(watch.calls, self.calls)
        given = for_each(lengths_of(batch, self.lengths), len(each), "lengths")
        rows: dict[str, list[Tensor]] = {}
        steps: list[Tensor | None] = []
        for chain, one in zip(each, given, strict=True):
            for place, parts in inner_names(name, layer).items():
                run = joined([_side_by_side(call, parts, place) for call in chain], chain)
                valid = checked_lengths(run, one)
                rows.setdefault(place, []).append(_valid(run, valid))
            steps.append(valid)
        return {place: torch.cat(some) for place, some in rows.items()}, steps


def _alike(rows: Mapping[str, Tensor]) -> list[list[str]]:
    """Return the names of places where the same rows are read, together: most work is adding up."""
    found: list[list[str]] = []
    for name, some in rows.items():
        for names in found:
            other = rows[names[0]]
            if some.shape == other.shape and torch.equal(some, other):
                names.append(name)
                break
        else:
            found.append([name])
    return found


def _side_by_side(call: LayerCall, parts: Any, place: str) -> Tensor:
    inner = place.endswith(".units")
    each = [call.seen[part].units() if inner else call.seen[part].outputs() for part in parts]
    return torch.cat(each, dim=2)


def _valid(run: LayerRun, lengths: Tensor | None) -> Tensor:
    return run.h.flatten(0, 1) if lengths is None else run.h[valid_steps(run.h, lengths)]


def _inner_sizes(name: str, layer: nn.Module) -> dict[str, int]:
    """Return how many features each of a layer's own moments has."""
    if isinstance(layer, _FLAT):
        return {}
    wide = widths(layer)
    found: dict[str, int] = {}
    for place, parts in inner_names(name, layer).items():
        sizes = wide.hidden if place.endswith(".units") else wide.outputs
        found[place] = sum(sizes[part] for part in parts)
    return found


def _peeked(batches: Iterable[Batch]) -> tuple[Batch, Iterable[Batch]]:
    """Return the first batch, and all of them."""
    if not isinstance(batches, Iterator):
        return next(iter(batches), None), batches
    first = next(batches, None)
    return first, batches if first is None else itertools.chain([first], batches)


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({size})" for name, size in sizes.items())
