"""Any measure by its definition, of data that comes in batches."""

from __future__ import annotations

from typing import Any

from tefast import measures
from tefast._streaming.accumulation import Accumulated
from tefast._tables.states import check_positive
from tefast.measures import Measure
from tefast.typing import BackendName, Bias, BinningLike, NanPolicy


class Streaming(Accumulated):
    """Any measure of data that comes in batches, by its definition.

    Parameters
    ----------
    measure : str or tefast.measures.Measure
        As in `evaluate`.
    units, bins, binning, h_range, y_range, sources, bias, nan_policy, base, backend, threads
        As in `TransferEntropy`.
    conditions, z_range
        As in `ConditionalTransferEntropy`.
    target_history, source_history, delay, target_step, source_step
        As in `evaluate`.

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
        h, y, z : array_like
            As in `ConditionalTransferEntropy.update`, those that the measure counts.
        lengths, mask, layout
            As in `TransferEntropy.update`.
        """
        self._take(self.measure.taken({"h": h, "y": y, "z": z}), lengths, mask, layout)

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
        """Count arrays that need not fit into memory: see `TransferEntropy.update_from`."""
        given = self.measure.taken({"h": h, "y": y, "z": z})
        self._update_from(given, lengths, mask, rows, layout)

    def _settings(self) -> dict[str, Any]:
        """A name does not say what is counted: two definitions may have the same."""
        formula = self.measure.formula(self._embedding)
        return {"measure": f"{self.measure.name} = {formula}", **super()._settings()}
