"""The ways to call tefast on a device."""

import math
from functools import cache

import numpy as np
import torch

import tefast


def backend_of(device):
    """Named, since "auto" could quietly be another."""
    return "cuda" if device.type == "cuda" else "cpu"


def call(inputs, options):
    """The public function: bits (U,)."""
    backend = backend_of(inputs.h.device)
    return tefast.transfer_entropy(inputs.h, inputs.y, backend=backend, **options)


def operator(inputs):
    """The operator that it is made of, which does not wait for a result: nats (U,)."""
    register(inputs.h.device)
    source = inputs.y[..., None]  # (N, T, 1)
    nats, _ = torch.ops.tefast.transfer_entropy(
        inputs.h, inputs.h_edges, source, inputs.y_edges, inputs.bins, None, False
    )
    return nats


@cache
def register(device):
    """torch knows the operator once the backend was used."""
    h = torch.tensor([[0, 1, 0]], dtype=torch.uint8, device=device)
    tefast.transfer_entropy(h[..., None], h, bins=2, backend=backend_of(device))


def captured(copies):
    """The operator on each of the copies as a CUDA graph of its own: pairs of graph and nats."""
    register(copies[0].h.device)
    pool = torch.cuda.graph_pool_handle()
    graphs = []
    for inputs in copies:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            nats = operator(inputs)
        graphs.append((graph, nats))
    return graphs


def replay(pair):
    graph, nats = pair
    graph.replay()
    return nats


def streaming(units, device, options):
    """An estimator whose counts lie on the device."""
    return tefast.TransferEntropy(units, backend=backend_of(device), **options)


def counts_of(estimator):
    """Its counts as a tensor on the CPU."""
    counts = estimator.counts
    if isinstance(counts, torch.Tensor):
        return counts.cpu()
    return torch.from_numpy(np.array(counts))


def bits(nats):
    return nats / math.log(2)
