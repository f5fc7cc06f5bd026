"""Many machines: transfer entropy between all pairs of series, tile by tile, on Dask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tefast._counting.inputs import Inputs, check_together
from tefast._inputs import values
from tefast._inputs.kinds import PAIRED
from tefast._pairing.asked import Asked
from tefast._pairing.cluster import Computed, Read, Sent, Series, current
from tefast._pairing.grouping import tiles_of, width
from tefast._pairing.plan import Plan
from tefast._pairing.stored import file_of, inner, is_dask_array, stand_in
from tefast._pairing.workers import Job
from tefast._support.parameters import documented
from tefast._support.progress import Progress
from tefast.networks import Network
from tefast.typing import BackendName, Bias, BinningOfOne, NanPolicy

if TYPE_CHECKING:
    from distributed import Client


@documented
def pairwise_transfer_entropy(
    x: Any,
    bins: int = 16,
    client: Client | None = None,
    *,
    sources: Any = None,
    delays: int | Sequence[int] = 1,
    target_history: int = 1,
    source_history: int = 1,
    target_step: int = 1,
    source_step: int = 1,
    binning: BinningOfOne = "uniform",
    x_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    significance: str | None = None,
    surrogates: int = 200,
    seed: int = 0,
    alpha: float = 0.05,
    by_delay: bool = False,
    backend: BackendName = "auto",
    threads: int | None = None,
    out: Any = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> Network:
    """Transfer entropy from every series to every other one, by the workers of a Dask cluster.

    The result is that of `tefast.pairwise_transfer_entropy`, to the last bit. Tiles of pairs are
    tasks. If a worker is lost, others do its tasks.

    Parameters
    ----------
    x : array_like, shape (N, T, U) or (T, U)
        The **series**: N sequences of T steps of U series, each of which is a target and a source.
        Of an array of Zarr, a dataset of h5py or a map of a file (`numpy.memmap`) each worker reads
        the series of its tiles. All workers must find the file under the same name. Of an array of
        Dask the workers compute them. Whatever else `tefast.transfer_entropy` takes as `h` is sent
        to the workers, as codes of one or two bytes.
    {bins}
    client : dask.distributed.Client, optional
        The cluster. Default: the current one.
    {sources:pairs, delays:pairs}
    {target_history, source_history, target_step, source_step, binning:pairs}
    {x_range, lengths, mask:pairs, layout:pairs, nan_policy, bias, base}
    {significance:pairs, surrogates:pairs, seed:pairs, alpha:pairs, by_delay:pairs}
    backend : {"auto", "cpu", "reference"}, default "auto"
        What counts: "cpu" is C++, and "reference" is NumPy, for checking.
    threads : int, default 1
        Threads of a task. A worker has a task for each of its own threads.
    {out:pairs, checkpoint:pairs, progress:pairs}

    Returns
    -------
    Network

    Raises
    ------
    {errors}
        Wrong arguments raise before any task. If values cannot be counted, the error of the task
        that met them is raised. Also if `client` is not given and there is no current one.
    ImportError
        If dask.distributed is not installed.

    Examples
    --------
    >>> import numpy as np, tefast.dask
    >>> from dask.distributed import Client
    >>> x = np.random.default_rng(0).integers(0, 2, (5000, 4))
    >>> x[3:, 2] = x[:-3, 0]                       # series 2 copies series 0 three steps later
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     found = tefast.dask.pairwise_transfer_entropy(x, 2, client, delays=range(1, 6))
    >>> found.te.round(1)[0, 2], found.delay[0, 2]
    (np.float64(1.0), np.int16(3))
    """
    if backend == "cuda":
        raise ValueError("backend: expected 'auto', 'cpu' or 'reference' on Dask, got 'cuda'")
    asked = Asked.check(
        bins=bins, delays=delays, histories=(target_history, source_history),
        between=(target_step, source_step), binning=binning, nan_policy=nan_policy, bias=bias,
        base=base, significance=significance, surrogates=surrogates, seed=seed, alpha=alpha,
        by_delay=by_delay, backend=backend, threads=1 if threads is None else threads,
    )  # fmt: skip
    cluster, array = current(client), inner(x)
    file = file_of(array)
    if file is None and not is_dask_array(array):
        target = values.paired(x, layout).on_host()
        plan = Plan.check(asked, target, sources, out, checkpoint)
        inputs = Inputs.check(asked.options, target, [], lengths, {PAIRED: x_range}, mask)
        inputs.learned(inputs.target)
        job = Job(replace(asked, options=inputs.options), target.layout, inputs.lengths)
        wide = width(plan)
        series: Series = Sent(cluster, job, inputs)
    else:
        target = stand_in(x, layout)
        plan = Plan.check(asked, target, sources, out, checkpoint)
        valid, left, limits = check_together(
            asked.options, [target], lengths, {PAIRED: x_range}, mask
        )
        counts = None if left is None else left.counts
        job = Job(asked, target.layout, valid, limits[PAIRED], counts, file)
        wide = width(plan, array, target.layout.index("U"))
        series = Read(cluster, job, wide) if file else Computed(cluster, job, wide, array)
    test, settings = series.learn(plan)
    tiles = tiles_of(plan, wide)
    results = plan.results(tiles, settings)
    plan.fill(results, tiles, partial(series.found, plan, tiles), progress)
    return plan.network(results, test)
