"""Options: the arguments that every estimator takes, checked, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from tefast import _backends
from tefast._backends import Backend
from tefast._counting.bins import check_binning, check_bins, check_learned
from tefast._inputs.values import Values
from tefast._support.mistakes import MistakeError, SymbolError
from tefast._tables import entropies
from tefast._tables.types import BackendTable, Lengths, Scan
from tefast.binning import Binning, Edges, Quantile, Rule
from tefast.typing import NanPolicy

NAN_POLICIES: tuple[str, ...] = get_args(NanPolicy)


@dataclass(frozen=True)
class Options:
    """The arguments every estimator takes, checked."""

    bins: int
    binning: dict[str, Rule]
    omit: bool
    base: float
    backend_name: str
    threads: int | None

    @property
    def backend(self) -> Backend:
        """The backend's module; its name is what is kept, so that options can be pickled."""
        return _backends.load(self.backend_name)

    def placed(self, *inputs: Values) -> tuple[Any, ...]:
        """The options with a backend for where the first input lies, and the inputs where it reads.

        Until then "auto" may stand for a backend.
        """
        options, first = self, inputs[0]
        if self.backend_name == "auto":
            options = replace(self, backend_name=_backends.fastest(first.device, first.name))
        return options, *options.backend.place(*inputs)

    def backend_of(self, table: BackendTable) -> Backend:
        """The backend that measures counts where they lie."""
        if not isinstance(table, np.ndarray):
            return _backends.load("cuda")
        on_host = self.backend_name in ("cpu", "reference")
        return _backends.load(self.backend_name if on_host else _backends.fastest(None))

    @classmethod
    def check(
        cls, bins: Any, binning: Any, nan_policy: Any, base: Any, backend: Any, threads: Any
    ) -> Options:
        """Raise ValueError or TypeError for the first argument that is wrong."""
        bins = check_bins(bins)
        if nan_policy not in NAN_POLICIES:
            known = ", ".join(map(repr, NAN_POLICIES))
            raise ValueError(f"unknown nan_policy {nan_policy!r}; known are {known}")
        return cls(
            bins=bins,
            binning=check_binning(binning, bins),
            omit=nan_policy == "omit",
            base=entropies.check_base(base),
            backend_name=_backends.check_name(backend),
            threads=_backends.check_threads(threads),
        )

    def bins_of(self, role: str) -> int:
        """Number of bins of an input, unless these are symbols that are yet to be found."""
        return self.binning[role].count(self.bins)

    def learn(
        self, data: Values, lengths: Lengths, limits: tuple[Edges, Edges] | None
    ) -> tuple[Binning, str]:
        """Scan the data, raise if it must not be counted, and find its bins.

        The second is what a caller should know of them, empty if that is nothing.
        """
        found = self.scan(data, lengths, self.bins_of(data.role))
        known = self.known_binning(data, limits)
        if known is not None:
            return known, ""
        rule = self.binning[data.role]
        learned = rule.learn(self.bins, ScannedInput(found.low, found.high, self, data, lengths))
        check_learned(learned, rule, self.bins, data)
        if not isinstance(rule, Quantile) or learned.edges is None:
            return learned, ""
        sequences, steps, _ = data.array.shape
        most = sequences * steps if lengths is None else int(np.sum(lengths))
        return learned, _few_values(data, learned.edges, found, most)

    def known_binning(self, data: Values, limits: tuple[Edges, Edges] | None) -> Binning | None:
        """The bins, if they do not depend on what the data are."""
        if data.is_symbols:
            return Binning(self.bins_of(data.role), None)
        rule = self.binning[data.role]
        known = rule.known(self.bins, limits)
        if known is not None:
            check_learned(known, rule, self.bins, data)
        return known

    def scan(self, data: Values, lengths: Lengths, bins: int) -> Scan:
        """What one pass over the data finds; raise if it must not be counted."""
        found = self.backend.scan(data, bins, lengths, self.threads)
        check_scan(found, data, bins, self.omit)
        return found


@dataclass(frozen=True)
class ScannedInput:
    """An input as it was scanned: see `tefast.binning.Scanned`."""

    low: Edges
    high: Edges
    options: Options
    data: Values
    lengths: Lengths

    def quantile_edges(self, bins: int) -> Edges:
        """Inner edges (U, bins - 1) at the quantiles of each unit's own values."""
        options = self.options
        return options.backend.quantile_edges(self.data, bins, self.lengths, options.threads)


def check_scan(found: Scan, data: Values, bins: int, omit: bool) -> None:
    """Raise a ValueError for what `found` says must not be counted."""
    if found.outside:
        value = data.array[np.unravel_index(found.first_bad, data.array.shape)].item()
        raise SymbolError(
            f"{data.name} holds integers, which are symbols 0 .. {bins - 1} (bins={bins}), but "
            f"{data.index(found.first_bad)} = {value} is not one; {found.outside} lie outside",
            ". Pass binning='symbols', which takes integers, strings and other labels, or pass "
            "the codes np.unique(x, return_inverse=True)[1]; mask= leaves out missing ones",
        )
    if found.infinite:
        raise MistakeError(
            f"{data.name} must be finite, got {found.infinite} infinite values, the first at "
            f"{data.index(found.first_bad)}"
        )
    if found.nan and not omit:
        raise MistakeError(
            f"{data.name} must hold no NaN, got {found.nan}, the first at "
            f"{data.index(found.first_nan)}; nan_policy='omit' leaves out what touches them"
        )


def _few_values(data: Values, edges: Edges, found: Scan, most: int) -> str:
    """Which units have fewer distinct values than bins and thus fill fewer, empty if none has.

    `most` is how many values a unit can have: untied ones have as many edges as are asked for.
    """
    bins = edges.shape[1] + 1
    filled = 2 + np.count_nonzero(edges[:, 1:] != edges[:, :-1], axis=1)
    filled = np.minimum(filled, most)
    filled[found.low == found.high] = 1
    filled[~(found.low <= found.high)] = bins  # without a value there is nothing to say
    few, least = np.flatnonzero(filled < bins), int(filled.argmin())
    if not few.size:
        return ""
    if filled.size == 1:
        bin_or_bins = "1 bin" if filled[0] == 1 else f"{filled[0]} bins"
        return f"{data.name} fills {bin_or_bins}, one for each of its distinct values"
    return (
        f"{few.size} of {filled.size} units of {data.name} have too few distinct values to fill "
        f"them (unit {least} has {filled[least]})"
    )
