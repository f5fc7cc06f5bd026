"""What workers do: read series, learn about them, and measure tiles."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._backends.build import build_info
from tefast._counting.inputs import Inputs
from tefast._counting.pairs import PairCounter, Pairs, Tile
from tefast._inputs.kinds import PAIRED
from tefast._pairing.asked import Asked
from tefast._pairing.coded import Codes, inputs_of
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
    token : str
        No other job has it.
    file : ZarrFile, HDF5File, MappedFile or None
        Where the series can be read.
    layout : str
        What the axes of the series hold.
    lengths : ndarray of int64, shape (N,), or None
    limits : tuple of ndarray, or None
        The range of uniform bins.
    mask : ndarray of bool or None
    mask_axis : int or None
        That of series in the mask, if it has such.
    """

    asked: Asked
    token: str
    file: ZarrFile | HDF5File | MappedFile | None
    layout: str
    lengths: Lengths
    limits: Any
    mask: Any
    mask_axis: int | None

    def with_labels(self, labels: npt.NDArray[Any]) -> Job:
        """The same job, of which the labels of all series are known."""
        rule = Binning(max(2, labels.size), None, labels)
        options = replace(self.asked.options, binning={PAIRED: rule})
        return replace(self, asked=replace(self.asked, options=options))

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
        if self.mask_axis is not None:
            mask = mask.take(numbers, axis=self.mask_axis)
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
    """Some series as codes (N, T, U) ``0 .. bins - 1``."""

    codes: Codes
    bins: int


@dataclass(frozen=True)
class Facts:
    """What must be known of some series before any tile is measured.

    Attributes
    ----------
    bins : int
    digests : list of str
        Of the codes of each series, for a checkpoint.
    ways : float
        What `fewest_ways` says of those that are sources; inf without any.
    few_values : bool
        Whether quantiles leave bins of some series empty.
    """

    bins: int
    digests: list[str]
    ways: float
    few_values: bool


def labels_of(job: Job, numbers: Numbers, part: Any = None) -> npt.NDArray[Any]:
    """The labels of some series."""
    labels = job.read(numbers, part)._binnings[PAIRED].labels
    assert labels is not None
    return labels


def all_labels(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The labels of all series."""
    found = np.unique(np.concatenate(parts))
    if found.size > MAX_SYMBOLS:
        raise ValueError(
            f"{PAIRED} holds {found.size} different values, binning='symbols' takes at most "
            f"{MAX_SYMBOLS}; numbers of many values are binned by 'uniform' or 'quantile'"
        )
    return found


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
