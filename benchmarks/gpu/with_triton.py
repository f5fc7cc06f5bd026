"""Triton: programs walk along a few sequences of 32 units and count by atomics.

Its histogram of a block would need all data of one unit side by side.
"""

import torch
import triton
import triton.language as tl
from rivals.with_torch import bits
from workloads import H_RANGE, Y_RANGE

ROWS = 8  # sequences of a program
WIDTH = 32  # units of a program


@triton.jit
def code_of(values, low, scale, BINS: tl.constexpr):
    scaled = (values.to(tl.float32) - low) * scale
    return tl.minimum(tl.maximum(scaled, 0.0), BINS - 1.0).to(tl.int32)


@triton.jit
def count(
    h, y, counts, sequences, steps, units, h_low, h_scale, y_low, y_scale,
    BINS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    valid = (row < sequences)[:, None] & (unit < units)[None, :]
    first = row.to(tl.int64) * steps
    table = counts + unit.to(tl.int64)[None, :] * (BINS * BINS * BINS)
    values = h + first[:, None] * units + unit[None, :]
    ones = tl.full([ROWS, WIDTH], 1, tl.int32)
    past = code_of(tl.load(values, mask=valid, other=0.0), h_low, h_scale, BINS)
    for step in range(1, steps):
        values += units
        following = code_of(tl.load(values, mask=valid, other=0.0), h_low, h_scale, BINS)
        source = tl.load(y + first + (step - 1), mask=row < sequences, other=0.0)
        state = code_of(source, y_low, y_scale, BINS)
        cell = (following * BINS + past) * BINS + state[:, None]
        tl.atomic_add(table + cell, ones, mask=valid, sem="relaxed")
        past = following


def transfer_entropy(inputs):
    sequences, steps, units = inputs.h.shape
    bins = inputs.bins
    counts = torch.zeros((units, bins, bins, bins), dtype=torch.int32, device=inputs.h.device)
    (h_low, h_high), (y_low, y_high) = H_RANGE, Y_RANGE
    count[(triton.cdiv(sequences, ROWS), triton.cdiv(units, WIDTH))](
        inputs.h, inputs.y, counts, sequences, steps, units,
        h_low, bins / (h_high - h_low), y_low, bins / (y_high - y_low),
        BINS=bins, ROWS=ROWS, WIDTH=WIDTH,
    )  # fmt: skip
    return bits(counts)
