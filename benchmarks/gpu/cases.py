"""What is measured: workloads as tensors, on the device as often as its cache demands."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from workloads import H_RANGE, WORKLOADS, Y_RANGE, Workload

from tefast.binning import uniform_edges

PAPER = WORKLOADS["paper"]
UCF101 = Workload("ucf101", (10656, 25, 1024))  # as many sequences as UCF101 has for training
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Inputs:
    """Tensors on one device.

    h (N, T, U) of any float type, y (N, T) float32; their inner edges, float64 (1, bins - 1).
    """

    h: torch.Tensor
    y: torch.Tensor
    h_edges: torch.Tensor
    y_edges: torch.Tensor
    bins: int

    def to(self, device):
        return self.each(lambda tensor: tensor.to(device, non_blocking=True))

    def first(self, sequences):
        """Some of the sequences, a view."""
        return replace(self, h=self.h[:sequences], y=self.y[:sequences])

    def each(self, change):
        """All tensors changed alike."""
        tensors = (self.h, self.y, self.h_edges, self.y_edges)
        return Inputs(*map(change, tensors), self.bins)


@dataclass(frozen=True)
class Case:
    """A workload whose target has one type."""

    work: Workload
    dtype: str = "float32"

    @property
    def name(self):
        return f"{self.work.name}, {self.work.bins} bins, {self.dtype}"

    @property
    def bytes(self):
        """Of the target."""
        return int(np.prod(self.work.shape)) * getattr(torch, self.dtype).itemsize

    def inputs(self):
        """On the CPU."""
        h = torch.from_numpy(self.work.h).to(getattr(torch, self.dtype))
        edges = (edges_of(*limits, self.work.bins) for limits in (H_RANGE, Y_RANGE))
        return Inputs(h, torch.from_numpy(self.work.y), *edges, self.work.bins)


# What is most worth knowing comes first, should time run out.
CASES = (
    *(Case(PAPER, dtype) for dtype in DTYPES),
    *(Case(UCF101, dtype) for dtype in DTYPES),
    *(Case(WORKLOADS["skewed"], dtype) for dtype in DTYPES),
    *(Case(WORKLOADS["range"], dtype) for dtype in DTYPES),
    *(Case(replace(PAPER, bins=bins), dtype) for bins in (8, 32, 64) for dtype in DTYPES),
    Case(WORKLOADS["small"]),
)


def edges_of(low, high, bins):
    """Inner edges of uniform bins, float64 (1, bins - 1)."""
    return torch.from_numpy(uniform_edges(np.array([low]), np.array([high]), bins))


def rotation(inputs, size, device):
    """Equal inputs on the device, so many that none is in the cache when its turn comes again.

    size: bytes of the target.
    """
    cache = 0
    if device.type == "cuda":
        cache = torch.cuda.get_device_properties(device).L2_cache_size
    first = inputs.to(device)
    return [
        first,
        *(first.each(torch.clone) for _ in range(min(max(2, 2 * cache // size), 64) - 1)),
    ]
