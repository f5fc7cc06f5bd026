"""One-shot estimators: check, scan, bin, count, measure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tefast import backends, counts, measures, values
from tefast import binning as binnings
from tefast.backends import Backend, Lengths, Scan, Table
from tefast.binning import Binning, Edges
from tefast.values import Values

NAN_POLICIES = ("raise", "omit")


def transfer_entropy(
    h: Any,
    y: Any,
    bins: int = 16,
    *,
    binning: Any = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    lengths: Any = None,
    nan_policy: str = "raise",
    base: float = 2,
    backend: str = "auto",
    threads: int | None = None,
) -> Any:
    """Transfer entropy from the source `y` to every unit of the target `h`.

    How much the source's present tells about a unit's next value beyond what the unit's own
    present tells: ``I(h[t+1]; y[t] | h[t])``, estimated from a histogram of
    ``(h[t+1], h[t], y[t])``.

    Parameters
    ----------
    h : array_like, shape (N, T, U), (T, U) or (T,)
        The **target**: N sequences of T steps of U units. NumPy array, torch tensor, or anything
        with ``__dlpack__`` or ``__array__``. Floats (float16, bfloat16, float32, float64) are
        binned; integers are symbols ``0 .. bins - 1``. Read where it lies, never changed.
    y : array_like, shape (N, T), or (T,) where `h` has no axis of sequences
        The **source**, one series that is compared with every unit.
    bins : int, default 16
        Number of bins, or of symbols; 2 to 256.
    binning : {"uniform", "quantile"} or array_like of shape (bins - 1,), default "uniform"
        Equal-width bins, bins at the quantiles of each unit's own values, or inner edges. Bin i
        is ``[edge i-1, edge i)``; values beyond the outermost edges fall into the end bins.
    h_range, y_range : (low, high), optional
        The range that uniform bins divide, scalars or one value a unit. Values outside are
        clamped into the end bins. None: the range of the data, unit by unit.
    lengths : array_like of int, shape (N,), optional
        Valid steps of each sequence; what lies beyond is not looked at.
    nan_policy : {"raise", "omit"}, default "raise"
        "omit" leaves out every transition that touches a NaN.
    base : float, default 2
        Base of the logarithm: 2 gives bits, ``math.e`` nats.
    backend : {"auto", "cpu", "cuda", "reference"}, default "auto"
        "auto" counts where `h` lies: on its GPU, if this build of tefast has CUDA, else on the
        CPU. Only "auto" falls back to another. "cuda" copies what lies elsewhere to the GPU.
    threads : int, optional
        Default: as many as OpenMP would use (``OMP_NUM_THREADS``), fewer for little data. In a
        process that was forked after tefast had been imported it is always 1, since OpenMP does
        not survive a fork. Of no effect on a GPU.

    Returns
    -------
    float64 array, shape (U,)
        NumPy for NumPy, a tensor on its own device for a tensor. Never negative; 0 for a unit
        that is constant; NaN for a unit that `nan_policy` left without a transition.

    Raises
    ------
    ValueError, TypeError
        Before any counting, saying what was expected and what came.

    Notes
    -----
    A transition never crosses from one sequence into the next. The plug-in estimate is biased
    upwards: on independent data with B bins its mean is about ``B (B - 1)**2 / (2 n)`` nats for
    n transitions.

    References
    ----------
    T. Schreiber, "Measuring information transfer", Phys. Rev. Lett. 85, 461 (2000).

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (100, 50))          # source: 100 sequences of 50 steps
    >>> h = rng.integers(0, 2, (100, 50, 2))       # target: two units
    >>> h[:, 1:, 0] = y[:, :-1]                    # unit 0 copies the source one step later
    >>> tefast.transfer_entropy(h, y, bins=2).round(3)
    array([1., 0.])
    """
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    target = values.target(h)
    source = values.source(y, target)
    values.check_steps(target)
    valid = values.sequence_lengths(lengths, target)
    binnings.check_combination([target, source], options.binning, {"h": h_range, "y": y_range})
    units = target.array.shape[2]
    ranges = binnings.check_range(h_range, "h", units), binnings.check_range(y_range, "y", 1)
    options, target, source = options.placed(target, source)
    # Where the edges are known the data are read once: what must not be in them shows on the way.
    h_binning, y_binning = (
        options.known_binning(data, limits) or options.learn(data, valid, limits)
        for data, limits in zip((target, source), ranges, strict=True)
    )
    found = options.backend.transfer_entropy(
        target, h_binning, source, y_binning, valid, options.omit, options.threads
    )
    if not found.clean:
        options.scan(target, valid)
        options.scan(source, valid)
    if not found.counted:
        raise ValueError(
            "no transition is left to count: every one lies past `lengths` or touches a NaN"
        )
    return target.wrap(found.nats / math.log(options.base))


def entropy(
    h: Any,
    bins: int = 16,
    *,
    binning: Any = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    nan_policy: str = "raise",
    base: float = 2,
    backend: str = "auto",
    threads: int | None = None,
) -> Any:
    """Shannon entropy of every unit of `h`, over all sequences and steps.

    Parameters
    ----------
    h : array_like, shape (N, T, U), (T, U) or (T,)
        Floats are binned, integers are symbols; see `transfer_entropy`, also for the other
        parameters.

    Returns
    -------
    float64 array, shape (U,)
        Plug-in entropy ``-sum p log p`` in units of ``log(base)``, in the kind of array that `h`
        is; 0 for a constant unit, NaN for one that is NaN throughout.

    Raises
    ------
    ValueError, TypeError
        Before any counting, saying what was expected and what came.
    """
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    target = values.target(h)
    valid = values.sequence_lengths(lengths, target)
    binnings.check_combination([target], options.binning, {"h": h_range})
    limits = binnings.check_range(h_range, "h", target.array.shape[2])
    options, target = options.placed(target)
    h_binning = options.learn(target, valid, limits)

    table = counts.values(options.backend, target, h_binning, valid, options.threads)
    scores = measures.entropy(table, options.base)
    if np.isnan(scores).all():
        raise ValueError("no value is left to count: every one lies past `lengths` or is NaN")
    return target.wrap(scores)


@dataclass(frozen=True)
class Options:
    """The arguments every estimator takes, checked."""

    bins: int
    binning: str | Edges
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
        if self.binning == "quantile":
            return Binning(self.bins, self.backend.quantile_edges(data, self.bins, lengths))
        low, high = _extent(found)
        return Binning(self.bins, binnings.uniform_edges(low, high, self.bins))

    def known_binning(self, data: Values, limits: tuple[Edges, Edges] | None) -> Binning | None:
        """The bins, if they do not depend on what the data are."""
        if data.is_symbols:
            return Binning(self.bins, None)
        if not isinstance(self.binning, str):
            return Binning(self.bins, self.binning[np.newaxis])
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
        raise ValueError(
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


def source_states(options: Options, source: Values, lengths: Lengths, binning: Binning) -> Table:
    """The source's state at each step, shape (N, T)."""
    return options.backend.encode(source, binning, lengths, options.threads)[:, :, 0]


def _extent(found: Scan) -> tuple[Edges, Edges]:
    """The data's own range, (0, 0) for a unit without a finite value."""
    seen = np.isfinite(found.low)
    return np.where(seen, found.low, 0.0), np.where(seen, found.high, 0.0)
