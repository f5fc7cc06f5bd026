"""A cluster of Dask: who reads which series, and tasks that are under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from tefast._backends.build import build_info
from tefast._counting.inputs import Inputs
from tefast._counting.pairs import Pairs, Tile
from tefast._inputs.kinds import PAIRED
from tefast._pairing import workers
from tefast._pairing.coded import codes_of
from tefast._pairing.measuring import code_settings, digest
from tefast._pairing.plan import Found, Plan
from tefast._pairing.stored import Numbers
from tefast._pairing.workers import Facts, Group, Job
from tefast._significance.pairs import LOOKED_AT, PairTest, fewest_ways, warn_of_doubts
from tefast._significance.persistence import looked_at
from tefast._support.warn import warn
from tefast.binning import Binning

Known = tuple[PairTest | None, dict[str, Any]]
"""The test, and what results depend on in the data."""


def current(client: Any) -> Any:
    """The client, or the current one; raise if there is none."""
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise ImportError('tefast.dask needs distributed: pip install "tefast[dask]"') from error
    if client is None:
        try:
            client = distributed.default_client()  # type: ignore[no-untyped-call]
        except ValueError:
            raise ValueError(
                "client: expected a client of dask.distributed, and there is no current one; make "
                "one first: dask.distributed.Client()"
            ) from None
    if not isinstance(client, distributed.Client) or client.asynchronous:
        kind = "an asynchronous one" if hasattr(client, "asynchronous") else type(client).__name__
        raise TypeError(f"client must be a dask.distributed.Client, not asynchronous, got {kind}")
    return client


def each_of(
    client: Any, task: Callable[[int], Any], numbers: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """Results of tasks of these numbers as they are done, no more under way than keep all busy.

    Parameters
    ----------
    task : callable
        Submits the task of a number and returns its future.
    """
    import distributed

    waiting = iter(numbers)
    under_way: dict[Any, tuple[int, Any]] = {}
    done: Any = distributed.as_completed()  # type: ignore[no-untyped-call]
    try:
        while True:
            most = 2 * max(2, sum(client.nthreads().values()))
            while len(under_way) < most and (i := next(waiting, None)) is not None:
                future = task(i)
                under_way[future.key] = i, future
                done.add(future)
            if not under_way:
                return
            i, future = under_way.pop(next(done).key)
            yield i, future.result()
    finally:
        client.cancel([future for _, future in under_way.values()])


class Series:
    """Series as workers get them.

    Parameters
    ----------
    client : distributed.Client
    job : Job
    """

    def __init__(self, client: Any, job: Job) -> None:
        self._client, self._job = client, job
        self._groups: dict[bytes, Any] = {}

    @cached_property
    def _sent_job(self) -> Any:
        return self._client.submit(workers.kept, self._job, pure=False)

    def _submit(self, function: Callable[..., Any], *given: Any) -> Any:
        return self._client.submit(function, self._sent_job, *given, pure=False)

    def learn(self, plan: Plan) -> Known:
        """Learn what must be known before any tile is measured; raise for what cannot be."""
        raise NotImplementedError

    def group(self, numbers: Numbers) -> Any:
        """Series of these numbers as a task takes them."""
        key = numbers.tobytes()
        if key not in self._groups:
            self._groups[key] = self._made(numbers)
        return self._groups[key]

    def _made(self, numbers: Numbers) -> Any:
        raise NotImplementedError

    def found(
        self, plan: Plan, tiles: Sequence[Tile], numbers: Sequence[int]
    ) -> Iterator[tuple[int, Found]]:
        """What is measured of tiles of these numbers, in the order in which they are done."""

        def task(i: int) -> Any:
            tile = tiles[i]
            targets = np.arange(tile.targets.start, tile.targets.stop)
            sources = plan.sources[tile.sources]
            other = None if np.array_equal(sources, targets) else self.group(sources)
            return self._submit(workers.found_of, self.group(targets), other, plan.itself(tile))

        return each_of(self._client, task, numbers)


class Sent(Series):
    """Series that the client has, whose codes it sends.

    Parameters
    ----------
    client, job
        See `Series`.
    inputs : Inputs
    """

    def __init__(self, client: Any, job: Job, inputs: Inputs) -> None:
        super().__init__(client, job)
        self._inputs = inputs

    def learn(self, plan: Plan) -> Known:
        """See `Series.learn`."""
        asked, level = plan.asked, str(build_info()["instruction_set"])
        work = Pairs(self._inputs, asked.embedding, asked.delays, plan.sources, level)
        test = asked.test
        if test is not None:
            test = replace(test, ways=fewest_ways(work, test))
            warn_of_doubts(work, test, plan.names)
        return test, {} if plan.checkpoint is None else code_settings(self._inputs)

    def _made(self, numbers: Numbers) -> Any:
        import dask

        group = Group(codes_of(self._inputs, numbers), self._inputs.bins)
        # The scheduler keeps it for the case that a worker is lost, whatever it warns of.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
            return self._client.submit(workers.kept, group, pure=False)


class Read(Series):
    """Series in files, which workers read.

    Parameters
    ----------
    client, job
        See `Series`.
    wide : int
        How many are read together.
    """

    def __init__(self, client: Any, job: Job, wide: int) -> None:
        super().__init__(client, job)
        self._wide = wide

    def learn(self, plan: Plan) -> Known:
        """See `Series.learn`: every worker reads some series and tells what it learned."""
        units = plan.sizes[2]
        groups = [
            np.arange(start, min(start + self._wide, units))
            for start in range(0, units, self._wide)
        ]
        rule = self._job.asked.options.binning[PAIRED]
        if rule.takes_labels and not isinstance(rule, Binning):
            labels = self._all(workers.labels_of, [(each, self._values(each)) for each in groups])
            self._job = self._job.with_labels(workers.all_labels(labels))
            del self._sent_job
        which = [np.flatnonzero(np.isin(each, plan.sources)) for each in groups]
        given = [(self.group(each), some) for each, some in zip(groups, which, strict=True)]
        facts: list[Facts] = self._all(workers.facts_of, given)
        if any(each.few_values for each in facts):
            warn(
                f"binning='quantile' with bins={plan.asked.options.bins}: some series of {PAIRED} "
                "have too few distinct values to fill them"
            )
        test = plan.asked.test
        if test is not None:
            test = replace(test, ways=min(each.ways for each in facts))
            self._warn_of_doubts(plan, test)
        digests = "".join(each for some in facts for each in some.digests)
        rounding = "/".join(sorted({each.rounding for each in facts}))
        return test, {"codes": digest(digests), "bins": facts[0].bins, "rounding": rounding}

    def _all(self, function: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Results of a function for all that is given, in its order."""
        done = each_of(self._client, lambda i: self._submit(function, *given[i]), range(len(given)))
        return [result for _, result in sorted(done, key=lambda pair: pair[0])]

    def _warn_of_doubts(self, plan: Plan, test: PairTest) -> None:
        """Warn of what some series say, which are read for that."""
        sources = plan.sources[list(looked_at(len(plan.sources), LOOKED_AT))]
        numbers = np.union1d(sources, list(looked_at(plan.sizes[2], LOOKED_AT)))
        group: Group = self._submit(workers.there, self.group(numbers)).result()
        work = workers.pairs_of(self._job, group, np.searchsorted(numbers, sources))
        warn_of_doubts(work, test, [plan.names[i] for i in numbers.tolist()])

    def _made(self, numbers: Numbers) -> Any:
        return numbers

    def _values(self, numbers: Numbers) -> Any:
        """Values of some series as a task takes them; None: it reads them."""
        return None


class Computed(Read):
    """Series of an array of Dask, which workers compute.

    Parameters
    ----------
    client, job, wide
        See `Read`.
    array : dask.array.Array
    """

    def __init__(self, client: Any, job: Job, wide: int, array: Any) -> None:
        super().__init__(client, job, wide)
        self._array = array

    def _made(self, numbers: Numbers) -> Any:
        return self._submit(workers.group_of, numbers, self._values(numbers))

    def _values(self, numbers: Numbers) -> Any:
        axis = self._job.layout.index("U")
        together = numbers[-1] - numbers[0] == len(numbers) - 1
        some = slice(numbers[0], numbers[-1] + 1) if together else numbers
        return self._client.compute(self._array[(*(slice(None),) * axis, some)])
