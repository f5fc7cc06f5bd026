"""Options: the arguments that every estimator takes, checked, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tefast import backends, measures
from tefast import binning as binnings
from tefast.backends import Backend, Lengths, Scan, Table
from tefast.binning import Binning, Edges
from tefast.values import Values

NAN_POLICIES = ("raise", "omit")


class SymbolError(ValueError):
    """Integers that are no symbols ``0 .. bins - 1``."""


@dataclass(frozen=True)
class Options:
    """The arguments every estimator takes, checked."""

    bins: int
    binning: dict[str, str | Edges]
    omit: bool
    base: float
    backend_name: str
    threads: int | None

    @property
    def backend(self) -> Backend:
        """The backend's module; its name is what is kept, so that options can be pickled."""
        return backends.load(self.backend_name)

    def placed(self, *inputs: Values) -> tuple[Any, ...]:
        """The options with a backend for where the first input lies, and the inputs where it reads.

        Until then "auto" may stand for a backend.
        """
        options, first = self, inputs[0]
        if self.backend_name == "auto":
            options = replace(self, backend_name=backends.fastest(first.device, first.name))
        return options, *options.backend.place(*inputs)

    def backend_of(self, table: Table) -> Backend:
        """The backend that measures counts where they lie."""
        if not isinstance(table, np.ndarray):
            return backends.load("cuda")
        on_host = self.backend_name in ("cpu", "reference")
        return backends.load(self.backend_name if on_host else backends.fastest(None))

    @classmethod
    def check(
        cls, bins: Any, binning: Any, nan_policy: Any, base: Any, backend: Any, threads: Any
    ) -> Options:
        """Raise ValueError or TypeError for the first argument that is wrong."""
        bins = binnings.check_bins(bins)
        if nan_policy not in NAN_POLICIES:
            known = ", ".join(map(repr, NAN_POLICIES))
            raise ValueError(f"unknown nan_policy {nan_policy!r}; known are {known}")
        return cls(
            bins=bins,
            binning=binnings.check_binning(binning, bins),
            omit=nan_policy == "omit",
            base=measures.check_base(base),
            backend_name=backends.check_name(backend),
            threads=backends.check_threads(threads),
        )

    def learn(self, data: Values, lengths: Lengths, limits: tuple[Edges, Edges] | None) -> Binning:
        """Scan the data, raise if it must not be counted, and find its bins."""
        found = self.scan(data, lengths)
        known = self.known_binning(data, limits)
        if known is not None:
            return known
        if self.binning[data.role] == "quantile":
            return Binning(self.bins, self.backend.quantile_edges(data, self.bins, lengths))
        low, high = _extent(found)
        return Binning(self.bins, binnings.uniform_edges(low, high, self.bins))

    def known_binning(self, data: Values, limits: tuple[Edges, Edges] | None) -> Binning | None:
        """The bins, if they do not depend on what the data are."""
        if data.is_symbols:
            return Binning(self.bins, None)
        how = self.binning[data.role]
        if not isinstance(how, str):
            return Binning(self.bins, how)
        if limits is None:
            return None
        return Binning(self.bins, binnings.uniform_edges(*limits, self.bins))

    def scan(self, data: Values, lengths: Lengths) -> Scan:
        """What one pass over the data finds; raise if it must not be counted."""
        found = self.backend.scan(data, self.bins, lengths, self.threads)
        check_scan(found, data, self.bins, self.omit)
        return found


def check_scan(found: Scan, data: Values, bins: int, omit: bool) -> None:
    """Raise a ValueError for what `found` says must not be counted."""
    if found.outside:
        value = data.array[np.unravel_index(found.first_bad, data.array.shape)].item()
        raise SymbolError(
            f"{data.name} holds integers, which are symbols 0 .. {bins - 1} (bins={bins}), but "
            f"{data.index(found.first_bad)} = {value} is not one; {found.outside} lie outside. "
            "Raise bins, or pass floats to have them binned"
        )
    if found.infinite:
        raise ValueError(
            f"{data.name} must be finite, got {found.infinite} infinite values, the first at "
            f"{data.index(found.first_bad)}"
        )
    if found.nan and not omit:
        raise ValueError(
            f"{data.name} must hold no NaN, got {found.nan}, the first at "
            f"{data.index(found.first_nan)}; nan_policy='omit' leaves out what touches them"
        )


def _extent(found: Scan) -> tuple[Edges, Edges]:
    """The data's own range, (0, 0) for a unit without a finite value."""
    seen = np.isfinite(found.low)
    return np.where(seen, found.low, 0.0), np.where(seen, found.high, 0.0)
