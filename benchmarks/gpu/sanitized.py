"""Small calls of every kind, for compute-sanitizer to watch; each result is the CPU backend's.

python -m gpu.sanitized
"""

from dataclasses import dataclass, field

import torch

import tefast
from gpu import check, ours
from gpu.cases import Inputs, edges_of

RANGES = {"h_range": (0.1, 0.9), "y_range": (0.0, 1.0)}


@dataclass
class Call:
    """A target, a source, and what goes with them."""

    h: torch.Tensor
    y: torch.Tensor
    options: dict = field(default_factory=dict)

    def on(self, device):
        backend = ours.backend_of(device)
        return tefast.transfer_entropy(
            self.h.to(device), self.y.to(device), backend=backend, **self.options
        )


def calls():
    """Names and calls of the public function."""
    draw = torch.Generator().manual_seed(0)

    def floats(*shape, dtype=torch.float32):
        return torch.rand(shape, generator=draw).to(dtype)

    def symbols(*shape, dtype=torch.uint8):
        return torch.randint(0, 5, shape, generator=draw).to(dtype)

    y = floats(7, 9)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        yield f"shared edges, {dtype}", Call(floats(7, 9, 33, dtype=dtype), y, RANGES)
    low = torch.linspace(0, 0.3, 33).numpy()
    yield "edges for each unit", Call(floats(7, 9, 33), y, {**RANGES, "h_range": (low, low + 0.5)})
    yield "the data's own range", Call(floats(7, 9, 33), y)
    for dtype in (torch.uint8, torch.int64):
        target = symbols(7, 9, 33, dtype=dtype)
        yield f"symbols, {dtype}", Call(target, symbols(7, 9), {"bins": 5})
    yield "a table beyond shared memory", Call(floats(7, 9, 3), y, {**RANGES, "bins": 64})
    yield "strides", Call(floats(7, 18, 70)[:, ::2, 1::2], y, RANGES)
    yield "one long sequence", Call(floats(300, 40), floats(300), RANGES)
    holes = floats(7, 9, 33)
    holes[3, 4, 5] = torch.nan
    lengths = torch.tensor([9, 0, 1, 9, 2, 5, 8])
    yield "lengths and a NaN", Call(holes, y, {**RANGES, "nan_policy": "omit", "lengths": lengths})


def operator_calls():
    """Names and inputs of the operator: shared edges, edges for each unit, many bins."""
    draw = torch.Generator().manual_seed(1)
    h, y = torch.rand(7, 9, 33, generator=draw), torch.rand(7, 9, generator=draw)
    for bins in (2, 16, 64):
        edges = edges_of(0, 1, bins)
        yield f"operator, {bins} bins", Inputs(h, y, edges, edges, bins)
        yield (
            f"operator, {bins} bins, edges for each unit",
            Inputs(h, y, edges.repeat(33, 1), edges, bins),
        )


def main():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name, call in calls():
        check.scores_agree(call.on(device), call.on(torch.device("cpu")), name)
        print(name, flush=True)
    for name, inputs in operator_calls():
        options = {"bins": inputs.bins, "h_range": (0, 1), "y_range": (0, 1)}
        expected = ours.call(inputs, options)
        if device.type == "cuda":
            check.scores_agree(ours.bits(ours.operator(inputs.to(device))), expected, name)
        check.counts_agree(inputs, inputs.to(device), options)
        print(name, flush=True)


if __name__ == "__main__":
    main()
