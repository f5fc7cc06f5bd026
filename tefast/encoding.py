"""Bins that are learned once, and the codes of values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._inputs import values
from tefast.binning import Binning
from tefast.typing import BackendName, BinningLike, BinningName, NanPolicy


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
    h : array_like, shape (N, T, U), (T, U) or (T,)
        Floats, integers or labels. Others as in `transfer_entropy`.

    Returns
    -------
    int16 array, in the shape of `h` and of its kind
        ``0 .. bins - 1``; -1 for what is missing, masked or past its sequence's length. A list of
        sequences gives ``(N, T, U)``, with T the length of the longest.

    Raises
    ------
    ValueError, TypeError
        Before any counting, saying what was expected and what came.

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
    h : array_like, shape (N, T, U), (T, U) or (T,)
        Numbers, or labels for ``binning="symbols"``.
    binning : {"uniform", "quantile", "symbols"}, default "uniform"
        Equal-width bins, bins at the quantiles of each unit's own values, or the labels found.
    bins, h_range, lengths, mask, layout, nan_policy, backend, threads
        As in `transfer_entropy`.

    Returns
    -------
    Binning
        For the argument `binning`, or for one input in a mapping ``{"h": ..., "y": ...}``. It has
        the inner `edges` (U, bins - 1), or the `labels` (bins,).

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
    h : array_like, shape (N, T, U), (T, U) or (T,)
        Floats. Others as in `transfer_entropy`.

    Returns
    -------
    float64 ndarray, shape (U, bins - 1)
        For the argument `binning`.

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
