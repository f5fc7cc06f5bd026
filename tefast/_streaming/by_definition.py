"""Any measure by its definition, of data that comes in batches."""

from __future__ import annotations

from typing import Any

from tefast import measures
from tefast._streaming.accumulation import Accumulated
from tefast._support.parameters import documented
from tefast._tables.states import check_positive
from tefast.measures import Measure
from tefast.typing import BackendName, Bias, BinningLike, NanPolicy


@documented
class Streaming(Accumulated):
    """Any measure of data that comes in batches, by its definition.

    Parameters
    ----------
    {measure}
    {units, bins}
    {target_history, source_history}
    delay : int, optional
        Steps from the source's last symbol to the target's next. Default: the least that the
        measure takes.
    {target_step, source_step}
    sources : int, optional
        The number of series in the source, which are taken together. Default: one.
    conditions : int, default 1
        The number of series in the conditions.
    {binning:batches}
    h_range, y_range, z_range : (low, high), optional
        The ranges of target, source and conditions that uniform bins divide. Floats in uniform bins
        need them.
    {nan_policy, bias, base, backend, threads}

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> te = tefast.Streaming("transfer_entropy", units=3, bins=4, h_range=(0, 1), y_range=(0, 1))
    >>> for _ in range(10):
    ...     te.update(rng.random((8, 25, 3)), rng.random((8, 25)))
    >>> te.compute().shape
    (3,)
    """

    def __init__(
        self,
        measure: str | Measure,
        units: int,
        bins: int = 16,
        *,
        target_history: int = 1,
        source_history: int = 1,
        delay: int | None = None,
        target_step: int = 1,
        source_step: int = 1,
        sources: int | None = None,
        conditions: int = 1,
        binning: BinningLike = "uniform",
        h_range: Any = None,
        y_range: Any = None,
        z_range: Any = None,
        nan_policy: NanPolicy = "raise",
        bias: Bias | None = None,
        base: float = 2,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        self.measure = found = measures.find(measure)
        embedding = found.embedding(target_history, source_history, delay, target_step, source_step)
        for role, name, given in (("y", "sources", sources), ("z", "conditions", conditions)):
            if role not in found.roles and given not in (None, 1):
                raise TypeError(f"{found.name} has no {role}, got {name}={given!r}")
        super().__init__(
            units, bins, embedding=embedding,
            ranges=found.limits({"h": h_range, "y": y_range, "z": z_range}), bias=bias,
            sources=sources, conditions=check_positive(conditions, "conditions"),
            binning=binning, nan_policy=nan_policy, base=base, backend=backend, threads=threads,
        )  # fmt: skip

    @documented
    def update(
        self,
        h: Any,
        y: Any = None,
        z: Any = None,
        *,
        lengths: Any = None,
        mask: Any = None,
        layout: str | None = None,
    ) -> None:
        """Count a batch of what the measure counts; if it raises, nothing was counted.

        Parameters
        ----------
        {h:batch}
        y, z : array_like, shape (N, T) or (T,), optional
            The source and the conditions, where the measure counts them; with several `sources` or
            `conditions` they have an axis more.
        {lengths, mask, layout}

        Raises
        ------
        {errors:batch}
        """
        self._take(self.measure.taken({"h": h, "y": y, "z": z}), lengths, mask, layout)

    @documented
    def update_from(
        self,
        h: Any,
        y: Any = None,
        z: Any = None,
        *,
        lengths: Any = None,
        mask: Any = None,
        rows: int | None = None,
        layout: str | None = None,
    ) -> None:
        """Count arrays that need not fit into memory, slice by slice; if it raises, none of them.

        Parameters
        ----------
        {h:pieces}
        y, z : array, shape (N, T) or (T,), optional
            The source and the conditions, where the measure counts them, read in the same slices.
        {lengths, mask:pieces, rows, layout}

        Raises
        ------
        {errors:batch}
            The message names the slice.
        """
        given = self.measure.taken({"h": h, "y": y, "z": z})
        self._update_from(given, lengths, mask, rows, layout)

    def _settings(self) -> dict[str, Any]:
        """A name does not say what is counted: two definitions may have the same."""
        formula = self.measure.formula(self._embedding)
        return {"measure": f"{self.measure.name} = {formula}", **super()._settings()}
