"""Data larger than memory: counted as it is read, in one pass, or two where a range is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from tefast._counting.inputs import Inputs
from tefast._counting.options import Options
from tefast._counting.pieces import Arrays, Batches, Lists, located, slices
from tefast._inputs import values
from tefast._significance.significance import Progress
from tefast._support.parameters import documented
from tefast._tables.states import Embedding
from tefast.binning import Edges
from tefast.streaming import TransferEntropy
from tefast.typing import BackendName, Bias, BinningLike, NanPolicy

Pieces: TypeAlias = Arrays | Lists | Batches


@documented
def stream(
    h: Any,
    y: Any = None,
    bins: int = 16,
    *,
    lengths: Any = None,
    mask: Any = None,
    rows: int | None = None,
    layout: str | None = None,
    target_history: int = 1,
    source_history: int = 1,
    delay: int = 1,
    target_step: int = 1,
    source_step: int = 1,
    joint: bool = False,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> TransferEntropy:
    """Count data that need not fit into memory; ``stream(h, y).compute()`` is `transfer_entropy`.

    Parameters
    ----------
    h : array, shape (N, T, U), (T, U) or (T,); list of sequences; or iterable of batches
        The **target**: anything with a shape that slices can be taken of, such as a memory map, a
        dataset of HDF5 or Zarr, or an array of Dask. A list holds N sequences ``(T, U)`` of unequal
        lengths; `y` is then a list too. Without `y` it is an iterable of batches ``(h, y)``,
        ``(h, y, lengths)`` or ``(h, y, lengths, mask)``, such as a list, a ``DataLoader`` or a
        generator.
    {y:pieces}
    {bins}
    {lengths:pieces}
    {mask:pieces}
        Batches bring their own.
    {rows, layout}
    {target_history, source_history, delay, target_step, source_step, joint, binning:batches}
    h_range : (low, high), optional
        The range of the target that uniform bins divide: two numbers, or two arrays (U,) with one
        for each unit. Values outside fall into the end bins. Default: if it is needed, a first pass
        over all data finds it, unit by unit.
    y_range : (low, high), optional
        The range of the source that uniform bins divide: two numbers, or two arrays (S,) with one
        for each source. Values outside fall into the end bins. Default: if it is needed, a first
        pass over all data finds it.
    {nan_policy, bias, base, backend, threads, progress}

    Returns
    -------
    TransferEntropy
        It holds all counts. `compute` measures them, and `merge` and `all_reduce` add others.

    Raises
    ------
    ValueError, TypeError
        If shapes or arguments are not as described; nothing was read then. If values cannot be
        counted; the message names the piece of the data that they are in.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> h, y = rng.random((40, 25, 3)), rng.random((40, 25))
    >>> te = tefast.stream(h, y, bins=4, rows=7)
    >>> bool((te.compute() == tefast.transfer_entropy(h, y, bins=4)).all())
    True
    """
    embedding = Embedding.check(target_history, source_history, delay, target_step, source_step)
    make = partial(
        TransferEntropy,
        bins=bins,
        target_history=target_history,
        source_history=source_history,
        delay=delay,
        target_step=target_step,
        source_step=source_step,
        binning=binning,
        nan_policy=nan_policy,
        bias=bias,
        base=base,
        backend=backend,
        threads=threads,
    )
    pieces = _pieces(h, y, lengths, mask, rows, embedding.first + 1, layout, joint)
    ranges = {"h": h_range, "y": y_range}
    # Raises for what is wrong before anything is read.
    units, columns = pieces.units or _columns(h_range), pieces.sources or _columns(y_range)
    sources = columns if joint else None
    options = make(units, sources=sources, h_range=h_range, y_range=y_range).options
    told = _Told(progress, len(pieces))
    unknown = [
        role
        for role, limits in ranges.items()
        if limits is None and options.binning[role].takes_range
    ]
    if unknown and pieces.again:
        told.passes += 1
        ranges |= _search(pieces, unknown, options, joint, told)
    te = None
    for piece in pieces:
        h, y = piece.series
        with located(piece):
            if te is None:
                both = values.read(h, y, piece.layout, joint)
                units, columns = (each.array.shape[2] for each in both)
                sources = columns if joint else None
                te = make(units, sources=sources, h_range=ranges["h"], y_range=ranges["y"])
            te.update(h, y, piece.lengths, piece.mask, piece.layout)
        told.step()
    if te is None:
        raise ValueError("there is nothing to count: the iterable gave no batch")
    return te


@documented
def find_ranges(
    h: Any,
    y: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    rows: int | None = None,
    layout: str | None = None,
    joint: bool = False,
    nan_policy: NanPolicy = "raise",
    backend: BackendName = "auto",
    threads: int | None = None,
) -> dict[str, tuple[Edges, Edges]]:
    """The ranges that uniform bins divide by default, found in one pass over data of any size.

    They give several `TransferEntropy` objects, on several machines or in several runs, the same
    bins.

    Parameters
    ----------
    h : array, shape (N, T, U), (T, U) or (T,); list of sequences; or iterable of batches
        The **target**: anything with a shape that slices can be taken of, such as a memory map, a
        dataset of HDF5 or Zarr, or an array of Dask. A list holds N sequences ``(T, U)`` of unequal
        lengths; `y` is then a list too. Without `y` it is an iterable of batches ``(h, y)``,
        ``(h, y, lengths)`` or ``(h, y, lengths, mask)``.
    {y:pieces}
    {lengths:pieces}
    {mask:pieces}
        Batches bring their own.
    {rows, layout, joint, nan_policy, backend, threads}

    Returns
    -------
    dict
        ``h_range`` is (low, high) with arrays of shape (U,), and ``y_range`` is (low, high) with
        arrays of shape (1,), or (S,) for S sources. An input that holds symbols has none. If all
        values of a unit are equal, its range goes from this value to 0, or from 0 to 1.

    Raises
    ------
    ValueError, TypeError
        If shapes or arguments are not as described; nothing was read then. If values cannot be
        counted; the message names the piece of the data that they are in.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> h, y = np.array([[0.5, 2.0], [1.5, 3.0]]), np.array([0, 1])
    >>> tefast.find_ranges(h, y)
    {'h_range': (array([0.5, 2. ]), array([1.5, 3. ]))}
    """
    options = Options.check(2**8, "uniform", nan_policy, 2, backend, threads)
    pieces = _pieces(h, y, lengths, mask, rows, 0, layout, joint)
    found = _search(pieces, ["h", "y"], options, joint, _Told(None, 0))
    return {f"{role}_range": limits for role, limits in found.items()}


class _Told:
    """Whom to tell how far it is."""

    def __init__(self, progress: Progress | None, pieces: int) -> None:
        self.passes = 1
        self._progress, self._pieces, self._done = progress, pieces, 0

    def step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self.passes * self._pieces)


def _columns(limits: Any) -> int:
    """How many units or sources a range is for, as far as it says."""
    try:
        return max(1, *(int(np.prod(np.shape(end))) for end in limits))
    except TypeError:  # no range, or none that is one: whoever checks it says so
        return 1


def _pieces(
    h: Any, y: Any, lengths: Any, mask: Any, rows: Any, overlap: int, layout: Any, joint: bool
) -> Pieces:
    if y is not None:
        return slices(h, y, lengths, rows, overlap, layout, joint, mask)
    if hasattr(h, "shape") or not isinstance(h, Iterable):
        raise TypeError(
            "expected a target h and a source y, or an iterable of batches (h, y) alone, got "
            f"{type(h).__name__} alone"
        )
    for name, one in {"lengths": lengths, "mask": mask, "rows": rows}.items():
        if one is not None:
            raise ValueError(
                f"{name} goes with arrays; batches are (h, y), (h, y, lengths) or "
                "(h, y, lengths, mask)"
            )
    return Batches(h, layout)


def _search(
    pieces: Pieces, roles: list[str], options: Options, joint: bool, told: _Told
) -> dict[str, tuple[Edges, Edges]]:
    """The ranges of the floats among some roles."""
    found: dict[str, tuple[Edges, Edges]] = {}
    for piece in pieces:
        with located(piece):
            h, y = piece.series
            given = list(values.read(h, y, piece.layout, joint))
            if all(each.is_symbols for each in given if each.role in roles):
                told.passes -= 1
                break
            ranges = dict.fromkeys("hy")
            inputs = Inputs.check(options, given[0], given[1:], piece.lengths, ranges, piece.mask)
            for data in (inputs.target, *inputs.others):
                if data.role in roles and not data.is_symbols:
                    scan = inputs.options.scan(data, inputs.lengths, inputs.bins_of(data))
                    low, high = found.get(data.role, (scan.low, scan.high))
                    found[data.role] = np.fmin(low, scan.low), np.fmax(high, scan.high)
        told.step()
    return {role: _widened(*limits) for role, limits in found.items()}


def _widened(low: Edges, high: Edges) -> tuple[Edges, Edges]:
    """Ranges that uniform bins can divide: a constant has none, and nor has what is NaN alone.

    All that such a unit has is in one bin whatever its range, so that its score is 0 or NaN.
    """
    low, high = (np.where(np.isfinite(low), end, 0.0) for end in (low, high))
    one = low == high
    return (
        np.where(one & (low > 0), 0.0, low),
        np.where(one & (low < 0), 0.0, np.where(one & (low == 0), 1.0, high)),
    )
