"""What is asked of pairs: the arguments that are checked without looking at the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._counting.options import Options
from tefast._inputs.kinds import PAIRED, unit_names
from tefast._inputs.values import Values
from tefast._significance.chi_square import import_scipy
from tefast._significance.pairs import METHODS, PairTest
from tefast._significance.result import check_alpha
from tefast._tables import entropies
from tefast._tables.states import Embedding, check_not_negative, check_positive


@dataclass(frozen=True)
class Asked:
    """What is asked of pairs, checked.

    Attributes
    ----------
    options : Options
    embedding : Embedding
        With the shortest delay.
    delays : tuple of int
        Rising.
    bias : str or None
    test : PairTest or None
    alpha : float
    by_delay : bool
    """

    options: Options
    embedding: Embedding
    delays: tuple[int, ...]
    bias: str | None
    test: PairTest | None
    alpha: float
    by_delay: bool

    @classmethod
    def check(
        cls,
        *,
        bins: Any,
        delays: Any,
        histories: tuple[Any, Any],
        between: tuple[Any, Any],
        binning: Any,
        nan_policy: Any,
        bias: Any,
        base: Any,
        significance: Any,
        surrogates: Any,
        seed: Any,
        alpha: Any,
        by_delay: Any,
        backend: Any,
        threads: Any,
    ) -> Asked:
        """Raise ValueError or TypeError for the first argument that is wrong.

        Parameters
        ----------
        histories, between : tuple
            Of the target and of the source, and the steps between their entries.
        """
        lags = _check_delays(delays)
        embedding = Embedding.check(*histories, max(lags), *between)
        if bias is not None and significance is not None:
            raise ValueError(
                f"bias={bias!r} does not go with significance={significance!r}, which holds values "
                "that are not corrected against those of chance; leave one of them out"
            )
        options = Options.check(bins, binning, nan_policy, base, backend, threads)
        return cls(
            options=replace(options, binning={PAIRED: options.binning["h"]}),
            embedding=replace(embedding, delay=lags[0]),
            delays=lags,
            bias=entropies.check_bias(bias),
            test=_check_test(significance, surrogates, seed),
            alpha=check_alpha(alpha),
            by_delay=bool(by_delay),
        )

    def check_series(self, target: Values) -> None:
        """Raise a ValueError where series are too few, or too short for the longest delay."""
        if target.array.shape[2] < 2:
            raise ValueError(
                f"{PAIRED} must hold two series or more, got one: {target.name} {target.reading}"
            )
        replace(self.embedding, delay=max(self.delays)).check_steps(target)


def series_names(target: Values) -> tuple[Any, ...]:
    """The names of the series, or their numbers."""
    units = target.array.shape[2]
    found = unit_names(target.wrap(np.zeros(units)))
    return tuple(range(units)) if found is None else tuple(found)


def check_sources(sources: Any, names: tuple[Any, ...]) -> npt.NDArray[np.int64]:
    """The numbers of the series that are sources, which may be given by names."""
    if sources is None:
        return np.arange(len(names))
    if isinstance(sources, str) or np.ndim(sources) != 1:
        raise TypeError(f"sources must be a sequence of series, got {sources!r}")
    place = {name: i for i, name in enumerate(names)}
    twins = {name for name in names if names.count(name) > 1} if len(place) < len(names) else ()
    numbers = []
    for source in np.asarray(sources, dtype=object).tolist():
        if source in twins:
            raise ValueError(f"sources: several series are called {source!r}; pass numbers")
        number = place.get(source, source)
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise ValueError(f"sources: {source!r} is no series; known are {_few(names)}")
        number = int(number.__index__())
        if not -len(names) <= number < len(names):
            raise ValueError(f"sources: there is no series {source!r} among {len(names)}")
        numbers.append(number % len(names))
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"sources must be one or more different series, got {list(sources)}")
    return np.array(numbers)


def _few(names: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown}, ... ({len(names)} of them)"


def _check_delays(delays: Any) -> tuple[int, ...]:
    several = [delays] if np.ndim(delays) == 0 else list(delays)
    found = [check_not_negative(each, "delays") for each in several]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"delays must be one or more different integers, got {several}")
    return tuple(sorted(found))


def _check_test(method: Any, surrogates: Any, seed: Any) -> PairTest | None:
    count, root = check_positive(surrogates, "surrogates"), check_not_negative(seed, "seed")
    if method is None:
        return None
    if method not in METHODS:
        known = ", ".join(map(repr, METHODS))
        raise ValueError(f"unknown significance {method!r}; known are {known}, and None")
    if method == "chi2":
        import_scipy()
    return PairTest(method, count, root)
