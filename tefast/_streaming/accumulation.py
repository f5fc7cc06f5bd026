"""Accumulation: counts of a measure, kept from batch to batch and added up over processes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any, Self

import numpy as np

from tefast._counting import evaluation
from tefast._counting.bins import check_combination, check_range
from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._counting.pieces import located, slices
from tefast._inputs import layouts, values
from tefast._inputs.values import Values
from tefast._significance.chi_square import Estimate
from tefast._significance.result import Significance, check_alpha
from tefast._streaming.merging import agree, require, summed
from tefast._streaming.recent import RecentCounts
from tefast._support.parameters import documented
from tefast._tables import counts, entropies
from tefast._tables.counts import Dense
from tefast._tables.states import Embedding, check_positive, check_steps
from tefast._tables.types import BackendTable, Counts
from tefast.binning import shown
from tefast.measures import Measure


class Accumulated:
    """Counts of some units for a measure, and what they were counted with.

    A subclass names its `measure`, or an object of it has one before it is initialised.
    """

    measure: Measure

    def __init__(
        self,
        units: int,
        bins: int,
        *,
        embedding: Embedding,
        ranges: dict[str, Any],
        bias: Any = None,
        sources: Any = None,
        conditions: int = 1,
        binning: Any = "uniform",
        nan_policy: Any = "raise",
        base: Any = 2,
        backend: Any = "auto",
        threads: Any = None,
    ) -> None:
        self._embedding, self._bias = embedding, entropies.check_bias(bias)
        self._sources = None if sources is None else check_positive(sources, "sources")
        self.units = check_positive(units, "units")
        self._columns = {"h": self.units, "y": self._sources or 1, "z": conditions}
        self._options = Options.check(bins, binning, nan_policy, base, backend, threads)
        for how in (self._options.binning[role] for role in ranges):
            if not how.streams:
                raise ValueError(
                    f"binning={shown(how)} needs all data at once; learn the bins on a part of "
                    "them by tefast.learn_binning and pass what it returns as binning"
                )
        check_combination([], self._options.binning, ranges)
        self._ranges = {
            role: check_range(given, role, self._columns[role]) for role, given in ranges.items()
        }
        # They go where the data are: to a GPU with the first batch that lies there.
        self._table: BackendTable = counts.allocate(self._shape())
        self._recent = RecentCounts()
        self._symbols: dict[str, bool] = {}
        self._wrap: Any = values.to_numpy

    @property
    def _counts(self) -> BackendTable:
        """All counts so far."""
        self._recent.move_to(self._table)
        self._recent.clear()
        return self._table

    @_counts.setter
    def _counts(self, table: BackendTable) -> None:
        self._recent.clear()
        self._table = table

    @property
    def bins(self) -> int:
        """Number of the target's bins, or of its symbols."""
        return self._options.bins_of("h")

    @property
    def options(self) -> Options:
        """The arguments it was made with, checked."""
        return self._options

    @property
    def counts(self) -> Counts:
        """The counts so far, read-only. They do not follow what is counted later: ask again."""
        view: Counts = values.to_numpy(self._counts).view()
        view.flags.writeable = False
        return view

    def merge(self, other: Self) -> None:
        """Add the counts of another object that was made with the same settings.

        Parameters
        ----------
        other : object of the same class
            Its counts may lie on any device. It is not changed.

        Raises
        ------
        ValueError, TypeError
            If `other` is of another class or has other settings, or if an input has symbols here
            and floats there. Nothing was added then.
        """
        if type(other) is not type(self):
            raise TypeError(f"merge takes a {type(self).__name__}, got {type(other).__name__}")
        require(self._settings(), other._settings(), "merge")
        agree(self._symbols, other._symbols)
        if not self._symbols:
            self._wrap = other._wrap
        self._counts += self._here(other._counts)
        self._symbols |= other._symbols

    def all_reduce(self, group: Any = None) -> None:
        """Add up the counts of all processes of ``torch.distributed``; each then has the sum.

        Counts are integers: the result is the same to the bit for any number of processes.

        Parameters
        ----------
        group : torch.distributed.ProcessGroup, optional
            Default: all processes. With NCCL the counts pass through the current CUDA device.

        Raises
        ------
        RuntimeError
            If there is no process group.
        ValueError, TypeError
            On every process, if the processes have objects of different classes or with different
            settings, or if an input has symbols in one and floats in another. Nothing is changed
            then.
        """
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "all_reduce needs a process group: call torch.distributed.init_process_group first"
            )
        others: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(
            others, (type(self).__name__, self._settings(), self._symbols), group=group
        )
        # Either all processes raise or none does: one that went on would wait for the others.
        symbols: dict[str, bool] = {}
        for name, settings, seen in others:
            if name != type(self).__name__:
                raise TypeError(f"all_reduce needs {type(self).__name__} everywhere, got {name}")
            require(self._settings(), settings, "all_reduce")
            agree(symbols, seen)
            symbols |= seen
        self._counts = summed(self._counts, group)
        self._symbols = symbols

    def reset(self) -> None:
        """Forget all counts; settings stay."""
        self._counts[:] = 0
        self._wrap = values.to_numpy
        self._symbols = {}

    def state_dict(self) -> dict[str, Any]:
        """Counts and settings as NumPy arrays, numbers and strings; all of it copies.

        It does not hold which kind of array the data were. An object that loads it returns NumPy
        arrays until its next update.

        Returns
        -------
        dict of str to ndarray, int, str, bool or dict
        """
        symbols = {role: bool(flag) for role, flag in self._symbols.items()}
        return {"counts": self.counts.copy(), "symbols": symbols, **self._settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the counts of a state.

        Parameters
        ----------
        state : dict
            What `state_dict` returned, for an object with the same settings.

        Raises
        ------
        ValueError, TypeError
            If `state` is no such dict, or comes from other settings. Nothing was changed then.
        """
        expected = {"counts", "symbols", *self._settings()}
        if not isinstance(state, dict):
            raise TypeError(f"a state is a dict, got {type(state).__name__}")
        state = {**{name: _ADDED[name] for name in expected & set(_ADDED)}, **state}
        if set(state) != expected:
            raise ValueError(f"a state has the keys {sorted(expected)}, got {sorted(state)}")
        require(self._settings(), state, "load_state_dict")
        table = np.asarray(state["counts"])
        if table.shape != self._counts.shape or table.dtype != np.int64:
            raise ValueError(
                f"counts must be int64 of shape {self._counts.shape}, got {table.dtype} of shape "
                f"{table.shape}"
            )
        if (table < 0).any():
            raise ValueError(f"counts must not be negative, got {table.min()}")
        symbols = state["symbols"]
        if not isinstance(symbols, dict) or not all(
            role in self._ranges and isinstance(flag, bool) for role, flag in symbols.items()
        ):
            raise ValueError(f"symbols must say for h and y whether they are, got {symbols!r}")
        self._counts = table.copy()
        self._symbols = dict(symbols)
        self._wrap = values.to_numpy

    def compute(self) -> Any:
        """The measure of everything seen so far, float64 of shape (U,).

        Returns
        -------
        float64 array, shape (U,)
            In the kind of array that the last update had.

        Raises
        ------
        ValueError
            If nothing was counted yet.
        """
        if not self._counts.any():
            raise ValueError(
                "nothing was counted yet: call update() before compute(), with something that "
                "neither lies past `lengths` nor touches a NaN"
            )
        return self._wrap(self._measure(self._counts))

    @documented
    def significance(self, alpha: float = 0.05) -> Significance:
        """Test what was counted so far against chance, by the chi-square law.

        `tefast.significance` with ``method="chi2"`` says when this law holds. A warning says so if
        cells have too few transitions. It needs SciPy.

        Parameters
        ----------
        {alpha}

        Returns
        -------
        Significance
            Its arrays have the shape (U,). `te` holds the measure of this class.

        Raises
        ------
        TypeError
            If the measure is one of units alone, such as entropy, or `alpha` is not a number.
        ValueError
            If `alpha` does not lie between 0 and 1.
        ImportError
            If SciPy is not installed.
        """
        if not self.measure.y:
            raise TypeError(f"{self.measure.name} has nothing that chance could give")
        level, axes = check_alpha(alpha), self.measure.kept
        table = self.counts
        tables = (
            (some, Dense(table[some], axes)) for some in counts.blocks(self.units, table[0].nbytes)
        )
        found = Estimate.of(self.measure, tables, self.units)
        found.warn_of_few()
        base = self._options.base
        return found.against(found.chi_square(), base, method="chi2", alpha=level)

    def _shape(self) -> tuple[int, ...]:
        symbols = {
            role: self._options.bins_of(role) ** (1 if role == "h" else self._columns[role])
            for role in self.measure.roles
        }
        return (self.units, *self.measure.shape(symbols, self._embedding))

    def _count(self, target: Values, others: list[Values], lengths: Any, mask: Any) -> None:
        """Count a batch; if it raises, nothing was counted."""
        needed = self.measure.reach(self._embedding) + 1
        check_steps(target, needed, self._window())
        symbols = {data.role: data.is_symbols for data in (target, *others)}
        inputs = self._inputs(target, others, lengths, mask, symbols)
        if isinstance(self._table, np.ndarray) and self._recent.takes(inputs):
            windows = inputs.windows(self.measure, self._embedding)
            if self._recent.add(inputs, windows, self._table):
                self._symbols, self._wrap = symbols, target.wrap_units
                return
        self._counts = inputs.options.backend.table(self._counts, inputs.target)
        if isinstance(self._counts, np.ndarray) and target.array.size >= self._counts.size:
            # A long batch may be interrupted, so it is counted apart. That costs little beside it.
            found = np.zeros_like(self._counts)
            evaluation.count(self.measure, inputs, self._embedding, found)
            self._counts += found
        else:
            evaluation.count(self.measure, inputs, self._embedding, self._counts)
        self._symbols, self._wrap = symbols, target.wrap_units

    def _window(self) -> str:
        """What a step's window is called in messages."""
        return self.measure.window(self._embedding)

    def _measure(self, table: BackendTable) -> BackendTable:
        return evaluation.of_counts(self.measure, self._options, table, self._bias)

    def _here(self, table: BackendTable) -> BackendTable:
        """Counts from anywhere where this one's are."""
        if isinstance(self._counts, np.ndarray):
            return values.to_numpy(table)
        if isinstance(table, np.ndarray):
            table = self._counts.new_tensor(table)
        return table.to(self._counts.device)

    def _take(self, given: Mapping[str, Any], lengths: Any, mask: Any, layout: str | None) -> None:
        """Count a batch of what the measure counts; if it raises, nothing was counted."""
        target, others = values.take_all(given, layout, self._sources is not None)
        for data in others:
            expected = self._columns[data.role]
            if data.array.shape[2] != expected:
                raise ValueError(
                    f"{data.name} must hold {_SEVERAL[data.role]}={expected} series, got "
                    f"{data.array.shape[2]} in shape {data.shape}"
                )
        self._count(self._checked(target), others, lengths, mask)

    def _checked(self, target: Values) -> Values:
        if target.array.shape[2] != self.units:
            meant = layouts.fitting(target.shape, target.layout, units=self.units)
            raise ValueError(
                f"{target.name} must have {self.units} units, got {target.array.shape[2]}; "
                f"{target.name} {target.reading}{layouts.advice(target.shape, meant)}"
            )
        return target

    def _inputs(
        self,
        target: Values,
        others: list[Values],
        lengths: Any,
        mask: Any,
        symbols: dict[str, bool],
    ) -> Inputs:
        """A batch, checked."""
        inputs = Inputs.check(self._options, target, others, lengths, dict(self._ranges), mask)
        agree(self._symbols, symbols)
        for data in (target, *others):
            if self._options.known_binning(data, self._ranges[data.role]) is None:
                raise ValueError(
                    f"{data.name} holds floats, whose range cannot be known before the last batch: "
                    f"pass {data.role}_range=(low, high), or inner edges as binning=[...]"
                )
        return inputs

    def _settings(self) -> dict[str, Any]:
        """What two of a kind must share for their counts to add up."""
        settings: dict[str, Any] = {"units": self.units, "bins": self.bins}
        for role, limits in self._ranges.items():
            settings[f"{role}_binning"] = self._options.binning[role].settings()
            settings[f"{role}_range"] = None if limits is None else np.stack(limits)
        given = asdict(self._embedding)
        settings |= {name: given[name] for name in self.measure.embedded}
        several = {"sources": self._sources, "conditions": self._columns["z"]}
        roles = [role for role in _SEVERAL if role in self.measure.roles]
        return settings | {_SEVERAL[role]: several[_SEVERAL[role]] for role in roles}

    def _update_from(
        self, given: Mapping[str, Any], lengths: Any, mask: Any, rows: Any, layout: str | None
    ) -> None:
        """Count what the measure counts, slice by slice, or none of it if one of them raises."""
        joint, reach = self._sources is not None, self.measure.reach(self._embedding)
        pieces = slices(
            given["h"], given.get("y"), lengths, rows, reach, layout, joint, mask, given.get("z")
        )
        before = deepcopy(self._counts) if bool(self._counts.any()) else None
        kept = self._symbols, self._wrap
        try:
            for piece in pieces:
                with located(piece):
                    series = dict(zip(given, piece.series, strict=True))
                    self._take(series, piece.lengths, piece.mask, piece.layout)
        except BaseException:
            self._counts = counts.allocate(self._shape()) if before is None else before
            self._symbols, self._wrap = kept
            raise


_SEVERAL = {"y": "sources", "z": "conditions"}
"""What says how many series of a role there are."""
_ADDED = {"target_step": 1, "source_step": 1, "sources": None}
"""What states of older versions do not hold, as they meant it."""
