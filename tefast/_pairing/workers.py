"""What workers do: read series, learn about them, and measure tiles."""

from __future__ import annotations

import math
import threading
import uuid
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._backends.build import build_info
from tefast._counting.inputs import Inputs
from tefast._counting.pairs import PairCounter, Pairs, Tile
from tefast._inputs.kinds import PAIRED
from tefast._pairing.asked import Asked
from tefast._pairing.coded import Codes, codes_of, inputs_of
from tefast._pairing.measuring import code_digests, measured
from tefast._pairing.plan import Found
from tefast._pairing.stored import HDF5File, MappedFile, Numbers, ZarrFile, read_units, taken
from tefast._significance.pairs import fewest_ways
from tefast._tables.types import Lengths
from tefast.binning import MAX_SYMBOLS, Binning, Rule

CACHE_BYTES = 2**28
"""Of codes that a process keeps, since the next tiles may need them too."""


@dataclass(frozen=True)
class Job:
    """What the series of a job are, for whoever reads some of them.

    Attributes
    ----------
    asked : Asked
    layout : str
        What the axes of the series hold.
    lengths : ndarray of int64, shape (N,), or None
    limits : tuple of ndarray, or None
        The range of uniform bins.
    mask : ndarray of bool, shape (N, T, 1) or (N, T, U), or None
    file : ZarrFile, HDF5File, MappedFile or None
        Where the series can be read.
    token : str
        No other job has it.
    """

    asked: Asked
    layout: str
    lengths: Lengths
    limits: Any = None
    mask: Any = None
    file: ZarrFile | HDF5File | MappedFile | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def with_labels(self, labels: npt.NDArray[Any]) -> Job:
        """The same job, of which the labels of all series are known."""
        rule = Binning(max(2, labels.size), None, labels)
        options = replace(self.asked.options, binning={PAIRED: rule})
        return replace(self, asked=replace(self.asked, options=options), token=uuid.uuid4().hex)

    def read(self, numbers: Numbers, part: Any = None) -> Inputs:
        """Some series, checked; `part` are their values, or they are read here."""
        asked = self.asked
        if part is None:
            assert self.file is not None
            with ExitStack() as stack:
                part = read_units(self.file.open(stack), self.layout.index("U"), numbers)
        rule, limits, mask = asked.options.binning[PAIRED], self.limits, self.mask
        if limits is not None:
            limits = tuple(end if end.size == 1 else end[numbers] for end in limits)
        if mask is not None:
            mask = mask[:, :, 0] if mask.shape[2] == 1 else mask[:, :, numbers]
        options = replace(asked.options, binning={PAIRED: _rule_of(rule, numbers)})
        target = taken(part, self.layout, numbers)
        return Inputs.check(options, target, [], self.lengths, {PAIRED: limits}, mask)


def _rule_of(rule: Rule, numbers: Numbers) -> Rule:
    """The rule of binning of some series."""
    if isinstance(rule, Binning) and rule.edges is not None and len(rule.edges) > 1:
        return replace(rule, edges=rule.edges[numbers])
    return rule


@dataclass(frozen=True)
class Group:
    """Some series as codes.

    Attributes
    ----------
    codes : ndarray, shape (N, T, U)
        ``0 .. bins - 1``, or `MISSING`.
    bins : int
    few_values : bool
        Whether quantiles leave bins of some of them empty.
    """

    codes: Codes
    bins: int
    few_values: bool = False


@dataclass(frozen=True)
class Facts:
    """What must be known of some series before any tile is measured.

    Attributes
    ----------
    bins : int
    digests : list of str
        Of the codes of each series.
    ways : float
        What `fewest_ways` says of those that are sources; inf without any.
    few_values : bool
        See `Group`.
    rounding : str
        That of the backend.
    """

    bins: int
    digests: list[str]
    ways: float
    few_values: bool
    rounding: str


def labels_of(job: Job, numbers: Numbers, part: Any = None) -> npt.NDArray[Any]:
    """The labels of some series."""
    inputs = job.read(numbers, part)
    return np.asarray(inputs.learned(inputs.target).labels)


def all_labels(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The labels of all series."""
    found = np.unique(np.concatenate(parts))
    if found.size > MAX_SYMBOLS:
        raise ValueError(
            f"{PAIRED} holds {found.size} different values, binning='symbols' takes at most "
            f"{MAX_SYMBOLS}; numbers of many values are binned by 'uniform' or 'quantile'"
        )
    return found


def group_of(job: Job, numbers: Numbers, part: Any = None) -> Group:
    """Some series as codes, from values that are given or that are read here."""
    key = job.token, numbers.tobytes()
    found = _cache.get(key) if part is None else None
    if found is None:
        inputs = job.read(numbers, part)
        few = bool(inputs.remarks())
        found = Group(codes_of(inputs, np.arange(len(numbers))), inputs.bins, few)
        if part is None:
            _cache.put(key, found)
    return found


def facts_of(job: Job, group: Group | Numbers, sources: Numbers) -> Facts:
    """What must be known of a group; `sources` says which of its series are such."""
    group = there(job, group)
    test, ways = job.asked.test, math.inf
    inputs = inputs_of(group.codes, group.bins, job.asked.options, job.lengths)
    if test is not None and sources.size:
        ways = fewest_ways(pairs_of(job, group, sources), test)
    rounding = inputs.options.backend.ROUNDING
    return Facts(group.bins, code_digests(inputs), ways, group.few_values, rounding)


def found_of(
    job: Job,
    targets: Group | Numbers,
    sources: Group | Numbers | None,
    itself: npt.NDArray[np.bool_],
) -> Found:
    """What is measured of a tile; without `sources` these are the targets."""
    group = there(job, targets)
    down, across = itself.shape
    first = 0
    if sources is not None:
        other, first = there(job, sources), across
        group = Group(np.concatenate([group.codes, other.codes], axis=2), group.bins)
    counter = PairCounter(pairs_of(job, group, np.arange(first, first + down)))
    return measured(counter, Tile(slice(0, down), slice(0, across)), job.asked, itself)


def pairs_of(job: Job, group: Group, sources: Numbers) -> Pairs:
    """The series of a group, some of which are sources."""
    asked = job.asked
    inputs = inputs_of(group.codes, group.bins, asked.options, job.lengths)
    level = str(build_info()["instruction_set"])
    return Pairs(inputs, asked.embedding, asked.delays, sources, level)


def kept(what: Any) -> Any:
    """What tasks share, as a task of its own: if its worker is lost, another has it."""
    return what


def there(job: Job, group: Group | Numbers) -> Group:
    """A group that was given, or is read here."""
    return group if isinstance(group, Group) else group_of(job, group)


class _Cache:
    """Groups that were read last, as many as `CACHE_BYTES` hold."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: OrderedDict[tuple[str, bytes], Group] = OrderedDict()

    def get(self, key: tuple[str, bytes]) -> Group | None:
        with self._lock:
            if key in self._groups:
                self._groups.move_to_end(key)
            return self._groups.get(key)

    def put(self, key: tuple[str, bytes], group: Group) -> None:
        with self._lock:
            self._groups[key] = group
            while sum(each.codes.nbytes for each in self._groups.values()) > CACHE_BYTES:
                self._groups.popitem(last=False)


_cache = _Cache()
