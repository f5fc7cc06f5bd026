"""What chance gives by the chi-square law, and the estimate that is held against it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._significance.false_discoveries import benjamini_hochberg
from tefast._significance.result import Significance
from tefast._support.warn import warn
from tefast._tables import entropies
from tefast._tables.counts import CountTable
from tefast.measures import Measure

FEW = 20
"""Transitions a cell below which the chi-square law is not followed well."""
RARE = 0.35
"""Williams' correction from which on single rare values decide what the chi-square law says."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """What the counts of the units say, each field of shape (U,).

    Attributes
    ----------
    te, error : ndarray
        The measure, transfer entropy or another, and its standard error in nats; NaN for a unit
        without transitions.
    freedom, excess, cells : ndarray
        See `tefast._tables.entropies.law_of_g`.
    total : ndarray
        Transitions.
    """

    te: Floats
    error: Floats
    freedom: Floats
    excess: Floats
    cells: Floats
    total: Floats

    @classmethod
    def of(
        cls, measure: Measure, tables: Iterable[tuple[slice, CountTable]], units: int
    ) -> Estimate:
        """Of tables with the axes of an information measure, each with the counts of some units."""
        found = cls(*np.full((6, units), np.nan))
        axes = measure.x, measure.y, measure.given
        for some, table in tables:
            total = table.total
            found.total[some] = total
            found.te[some] = entropies.mean(measure.sums(table), total, math.e)
            found.error[some] = entropies.standard_error(table, *axes)
            law = entropies.law_of_g(table, *axes)
            found.freedom[some], found.excess[some], found.cells[some] = law
        return found

    def chi_square(self) -> tuple[Floats, Floats, Floats]:
        """p, mean and standard deviation (U,) in nats, ``2 N T`` following a chi-square law.

        Its mean exceeds the degrees of freedom where cells hold few transitions each, which
        Williams' factor takes back. p is 1 where nothing is free.
        """
        chi2, total = import_scipy(), self.total
        free = self.freedom > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = 1 + self.excess / self.freedom
            p = chi2.sf(2 * total * self.te / factor, np.where(free, self.freedom, np.nan))
            mean, deviation = (
                np.where(free, law, 0.0) * np.where(free, factor, 1.0) / (2 * total)
                for law in (self.freedom, np.sqrt(2 * self.freedom))
            )
        return np.where(free, p, np.where(total > 0, 1.0, np.nan)), mean, deviation

    def warn_of_few(self) -> None:
        """Say where the chi-square law is not to be trusted."""
        doubt = self.doubt()
        if doubt is not None:
            warn(f"method='chi2' {doubt}")

    def doubt(self) -> str | None:
        """Why it is not to be trusted, if so: few transitions, or rare values."""
        some = np.flatnonzero((self.cells > 0) & (self.freedom > 0))
        if not some.size:
            return None
        each, correction = (
            self.total[some] / self.cells[some],
            self.excess[some] / self.freedom[some],
        )
        few, rare = int(each.argmin()), int(correction.argmax())
        if each[few] < FEW:
            return (
                f"with {each[few]:.2g} transitions for each of {self.cells[some[few]]:.0f} cells "
                "rejects too often; it takes some 30. Use fewer bins, or surrogates"
            )
        if correction[rare] > RARE:
            many = int((correction > RARE).sum())
            return (
                f"does not hold where values are rare: in {many} of {len(self.te)} units some bins "
                "have so few transitions that p, null_mean and effective_te are wrong (Williams' "
                f"correction is {correction[rare]:.2g} for unit {some[rare]}). Use fewer or "
                "quantile bins, or surrogates"
            )
        return None

    def against(
        self, null: tuple[Floats, Floats, Floats], base: float, **told: Any
    ) -> Significance:
        """Beside p, mean and standard deviation (U,) in nats of what chance gives."""
        (p, mean, deviation), unit = null, math.log(base)
        return Significance(
            te=self.te / unit,
            p_value=p,
            q_value=benjamini_hochberg(p),
            null_mean=mean / unit,
            null_std=deviation / unit,
            effective_te=(self.te - mean) / unit,
            standard_error=self.error / unit,
            base=base,
            **told,
        )


def import_scipy() -> Any:
    """SciPy's chi-square law, or an ImportError that says how to get it."""
    try:
        from scipy.stats import chi2
    except ModuleNotFoundError as error:
        raise ImportError(
            "method='chi2' needs SciPy: pip install \"tefast[significance]\""
        ) from error
    return chi2
