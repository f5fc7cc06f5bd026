"""Streaming measures as metrics of torchmetrics, which brings loggers, collections and syncing."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from tefast._support.parameters import documented
from tefast.streaming import Entropy, TransferEntropy


class _StreamingMetric(Metric):
    """Counts as a state that is summed over processes, with a streaming measure to count by."""

    full_state_update = False
    is_differentiable = False
    higher_is_better = None
    counts: Tensor
    kinds: Tensor

    def __init__(self, streaming: TransferEntropy | Entropy, **options: Any) -> None:
        super().__init__(**options)
        self._one = deepcopy(streaming)
        self._one.reset()
        self._roles = [name for name in ("h", "y") if f"{name}_range" in self._one.state_dict()]
        shape = self._one.counts.shape
        self.add_state("counts", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        # How many batches had floats and how many had symbols, of each role: these do not add up.
        kinds = torch.zeros((len(self._roles), 2), dtype=torch.int64)
        self.add_state("kinds", kinds, dist_reduce_fx="sum")

    def _add(self, *batch: Any) -> None:
        """Count a batch; if it raises, nothing was counted."""
        try:
            self._one.update(*batch)
            state = self._one.state_dict()
        finally:
            self._one.reset()
        kinds = torch.zeros_like(self.kinds)
        for i, role in enumerate(self._roles):
            kinds[i, int(state["symbols"][role])] = 1
        _symbols(self._roles, self.kinds + kinds)
        self.kinds += kinds
        self.counts += torch.from_numpy(state["counts"]).to(self.counts.device)

    def compute(self) -> Tensor:
        """The measure of everything seen so far.

        Returns
        -------
        float64 Tensor, shape (U,)

        Raises
        ------
        ValueError
            If nothing was counted yet.
        """
        one = deepcopy(self._one)
        state, symbols = one.state_dict(), _symbols(self._roles, self.kinds)
        one.load_state_dict({**state, "counts": self.counts.cpu().numpy(), "symbols": symbols})
        return torch.from_numpy(one.compute()).to(self.counts.device)


class TransferEntropyMetric(_StreamingMetric):
    """`TransferEntropy` as a metric of torchmetrics.

    Parameters
    ----------
    streaming : TransferEntropy
        Its settings are taken, but not its counts.
    **options
        Arguments of `torchmetrics.Metric`.
    """

    @documented
    def update(self, h: Any, y: Any, lengths: Any = None) -> None:
        """Count a batch of sequences; if it raises, nothing was counted.

        Parameters
        ----------
        {h:batch, y:batch, lengths}

        Raises
        ------
        {errors:batch}
        """
        self._add(h, y, lengths)


class EntropyMetric(_StreamingMetric):
    """`Entropy` as a metric of torchmetrics.

    Parameters
    ----------
    streaming : Entropy
        Its settings are taken, but not its counts.
    **options
        Arguments of `torchmetrics.Metric`.
    """

    @documented
    def update(self, h: Any, lengths: Any = None) -> None:
        """Count a batch of sequences; if it raises, nothing was counted.

        Parameters
        ----------
        {h:batch, lengths}

        Raises
        ------
        {errors:batch}
        """
        self._add(h, lengths)


def _symbols(roles: list[str], kinds: Tensor) -> dict[str, bool]:
    """Whether each role that was seen held symbols; raise if it held floats as well."""
    seen = kinds.tolist()
    for role, (floats, integers) in zip(roles, seen, strict=True):
        if floats and integers:
            raise ValueError(
                f"{role} held floats in {floats} batches and integer symbols in {integers}: their "
                "counts do not add up"
            )
    return {
        role: integers > 0
        for role, (floats, integers) in zip(roles, seen, strict=True)
        if floats or integers
    }
