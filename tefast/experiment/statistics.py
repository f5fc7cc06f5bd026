"""Intervals and tests over seeds, which are compared pair by pair, and tests against chance.

An interval is Student's, at 95 %: a few seeds give a standard error that is itself uncertain, and
at three seeds the interval is 4.3 standard errors wide to each side, not 2. Accuracies come in
steps of one test sample, so that a few seeds can agree by chance and seem exact. A standard error
therefore counts as no less than that of one sample more or less in every seed, and that one is
also the one that is shown. With one seed nothing is tested.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy import stats

from tefast.experiment.results import Spread

LEVEL = 0.05
"""Below this a p-value counts: a difference is called one, an accuracy above chance."""


@dataclass(frozen=True)
class Tested:
    """A mean over seeds, its interval, and its test against 0.

    Attributes
    ----------
    mean : float
    seeds : int
    error : float or None
        Standard error of the mean; None with one seed, as the four that follow.
    low, high : float or None
        The ends of the 95 % interval.
    p : float or None
        Of Student's t test against 0, two-sided, for this one comparison.
    corrected : float or None
        The same after Holm's correction, where it was one of several.
    """

    mean: float
    seeds: int
    error: float | None
    low: float | None
    high: float | None
    p: float | None
    corrected: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 for a difference that is shown, else 0; by the corrected p if there is one."""
        p = self.p if self.corrected is None else self.corrected
        if p is None or p >= LEVEL:
            return 0
        return 1 if self.mean > 0 else -1

    def described(self) -> dict[str, Any]:
        """For JSON: fractions as percent, or points, and p-values as they are."""
        percent = {
            name: None if value is None else 100 * value
            for name, value in (
                ("mean", self.mean), ("error", self.error), ("low", self.low), ("high", self.high),
            )
        }  # fmt: skip
        return {**percent, "seeds": self.seeds, "p": self.p, "p_holm": self.corrected}


def against_zero(spread: Spread, samples: int) -> Tested:
    """Test the mean over seeds of a difference of accuracies against 0.

    Parameters
    ----------
    spread : Spread
        Over seeds, of what is compared pair by pair.
    samples : int
        Test samples of a seed, for the least error.
    """
    if spread.deviation is None:
        return Tested(spread.mean, spread.seeds, None, None, None, None)
    root = math.sqrt(spread.seeds)
    error = max(spread.deviation / root, 1 / (samples * root))
    reach = float(stats.t.ppf(1 - LEVEL / 2, spread.seeds - 1)) * error
    p = float(2 * stats.t.sf(abs(spread.mean) / error, spread.seeds - 1))
    return Tested(
        spread.mean, spread.seeds, error, spread.mean - reach, spread.mean + reach, min(1.0, p)
    )


def compared(
    first: Mapping[int, float], second: Mapping[int, float], samples: int
) -> Tested | None:
    """Test the first less the second, seed by seed; None without a seed that has both."""
    gap = Spread.between(dict(first), dict(second))
    return None if gap is None else against_zero(gap, samples)


def corrected(family: Sequence[Tested | None]) -> list[Tested | None]:
    """The same comparisons with Holm's correction (S. Holm, Scand. J. Statist. 6, 65, 1979).

    Parameters
    ----------
    family : sequence of Tested or None
        All that are tested together. What was not tested does not count.
    """
    known = [
        (one.p, place) for place, one in enumerate(family) if one is not None and one.p is not None
    ]
    found = list(family)
    highest = 0.0
    for rank, (p, place) in enumerate(sorted(known)):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        one = family[place]
        assert one is not None
        found[place] = replace(one, corrected=highest)
    return found


def interval(spread: Spread, samples: int) -> tuple[float, float] | None:
    """The 95 % interval of a mean accuracy, within [0, 1]; None with one seed."""
    one = against_zero(spread, samples)
    if one.low is None or one.high is None:
        return None
    return max(0.0, one.low), min(1.0, one.high)


def beside_chance(accuracy: float, samples: int, classes: int) -> str | None:
    """A word for an accuracy that is not above chance; None for one that is.

    A binomial test, one-sided, of the right answers among the samples of one seed: the test
    samples of several seeds may be the same ones.

    Parameters
    ----------
    accuracy : float
        In [0, 1].
    samples : int
        Test samples of a seed.
    classes : int
        Chance is 1 / classes.

    Returns
    -------
    str or None
        "below chance", "not above chance", or None.
    """
    right, chance = round(accuracy * samples), 1 / classes
    if stats.binomtest(right, samples, chance, alternative="greater").pvalue < LEVEL:
        return None
    if stats.binomtest(right, samples, chance, alternative="less").pvalue < LEVEL:
        return "below chance"
    return "not above chance"


def p_in_words(p: float | None) -> str:
    """A p-value to two significant digits."""
    if p is None:
        return "one seed"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def signed(value: float) -> str:
    """A number with its sign and one decimal; what rounds to 0 is +0.0."""
    return f"{round(value, 1) + 0.0:+.1f}"


def points(one: Tested) -> str:
    """A difference in points with its interval, and p if it was tested."""
    mean = f"{signed(100 * one.mean)} points"
    if one.low is None or one.high is None:
        return f"{mean} (one seed)"
    holm = "" if one.corrected is None else ", corrected"
    p = p_in_words(one.p if one.corrected is None else one.corrected)
    return f"{mean} ({signed(100 * one.low)} to {signed(100 * one.high)}; {p}{holm})"
