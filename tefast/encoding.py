"""Bins that are learned once, and the codes of values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._inputs import values
from tefast._support.parameters import documented
from tefast.binning import Binning
from tefast.typing import BackendName, BinningLike, BinningName, NanPolicy


@documented
def encode(
    h: Any,
    bins: int = 16,
    *,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """The code of every value: the number of the bin that it falls into, or of its symbol.

    Parameters
    ----------
    {h:alone, bins, binning, h_range, lengths, mask:alone, layout:alone, nan_policy}
    {backend, threads}

    Returns
    -------
    int16 array, in the shape of `h` and of its kind
        ``0 .. bins - 1``; -1 for what is missing, masked or past its sequence's length. A list of
        sequences gives ``(N, T, U)``, with T the length of the longest.

    Raises
    ------
    {errors}

    Examples
    --------
    >>> import tefast
    >>> tefast.encode([0.1, 0.9, 0.4], bins=2, h_range=(0, 1)).tolist()
    [0, 1, 0]
    """
    options = Options.check(bins, binning, nan_policy, 2, backend, threads)
    target = values.alone(h, layout)
    inputs = Inputs.check(options, target, [], lengths, {"h": h_range}, mask)
    return target.wrap_steps(inputs.binned().codes())


@documented
def learn_binning(
    h: Any,
    bins: int = 16,
    *,
    binning: BinningName = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Binning:
    """The bins that data would be given, to be used for other data too.

    Parameters
    ----------
    {h:alone, bins, binning:learned, h_range, lengths, mask:alone, layout:alone, nan_policy}
    {backend, threads}

    Returns
    -------
    Binning
        For the argument `binning`, or for one input in a mapping ``{"h": ..., "y": ...}``. It has
        the inner `edges` (U, bins - 1), or the `labels` (bins,).

    Raises
    ------
    {errors}

    Examples
    --------
    >>> import numpy as np, tefast
    >>> weather = np.array(["rain", "sun", "sun", "fog", "rain", "sun"])
    >>> found = tefast.learn_binning(weather, binning="symbols")
    >>> found.labels.tolist()
    ['fog', 'rain', 'sun']
    """
    options = Options.check(bins, binning, nan_policy, 2, backend, threads)
    # Labels are those of all units together, whatever the axes are.
    take = values.target if isinstance(binning, str) and binning == "symbols" else values.alone
    target = take(h, layout)
    inputs = Inputs.check(options, target, [], lengths, {"h": h_range}, mask)
    return inputs.learned(inputs.target)


@documented
def learn_edges(
    h: Any,
    bins: int = 16,
    *,
    binning: BinningName = "uniform",
    h_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    backend: BackendName = "auto",
    threads: int | None = None,
) -> npt.NDArray[np.float64]:
    """The inner edges of the bins that data would be given, to be used for other data too.

    Parameters
    ----------
    {h:alone, bins}
    binning : {"uniform", "quantile"}, default "uniform"
        "uniform" makes bins of equal width. "quantile" makes bins that hold equally many of each
        unit's own values.
    {h_range, lengths, mask:alone, layout:alone, nan_policy, backend, threads}

    Returns
    -------
    float64 ndarray, shape (U, bins - 1)
        For the argument `binning`.

    Raises
    ------
    {errors}
        Also if `h` holds integers, which are not binned, or `binning` is "symbols".

    Examples
    --------
    >>> import numpy as np, tefast
    >>> first = np.random.default_rng(0).random((100, 50, 2))
    >>> edges = tefast.learn_edges(first, bins=4, binning="quantile")
    >>> te = tefast.TransferEntropy(2, bins=4, binning={"h": edges}, y_range=(0, 1))
    """
    options = Options.check(bins, binning, nan_policy, 2, backend, threads)
    if isinstance(binning, str) and binning == "symbols":
        raise ValueError("binning='symbols' has no edges; learn_binning returns its labels")
    target = values.alone(h, layout)
    if target.is_symbols:
        raise ValueError(f"{target.name} holds integers ({target.dtype}), which are not binned")
    inputs = Inputs.check(options, target, [], lengths, {"h": h_range}, mask)
    edges = inputs.learned(inputs.target).edges
    assert edges is not None
    return np.array(np.broadcast_to(edges, (target.array.shape[2], options.bins - 1)))
