"""PyTorch's own counting: bincount and scatter_add.

Both take the cells of a block of units at once, which on a large GPU is all of them.
"""

import torch
from rivals.with_torch import bits
from workloads import H_RANGE, Y_RANGE

MOST_CELLS = 2**29  # of a block


def bincount(inputs):
    def count(cells, size):
        return torch.bincount(cells, minlength=size)

    return _by_blocks(inputs, count, torch.int32)


def scatter_add(inputs):
    def count(cells, size):
        counts = torch.zeros(size, dtype=torch.int32, device=cells.device)
        return counts.scatter_add_(0, cells, counts.new_ones(1).expand_as(cells))

    return _by_blocks(inputs, count, torch.int64)  # the only type that scatter_add_ indexes by


def _by_blocks(inputs, count, index):
    sequences, steps, units = inputs.h.shape
    block = max(1, MOST_CELLS // (sequences * steps))
    state = codes_of(inputs.y, *Y_RANGE, inputs.bins, index)[:, :-1, None]
    parts = [
        _bits_of(inputs.h[:, :, first : first + block], state, inputs.bins, count)
        for first in range(0, units, block)
    ]
    return torch.cat(parts)


def _bits_of(h, state, bins, count):
    width = h.shape[2]
    codes = codes_of(h, *H_RANGE, bins, state.dtype)
    cells = codes[:, 1:] * bins
    cells += codes[:, :-1]
    cells *= bins
    cells += state
    cells += torch.arange(width, dtype=cells.dtype, device=cells.device) * bins**3
    return bits(count(cells.flatten(), width * bins**3).view(width, bins, bins, bins))


def codes_of(values, low, high, bins, dtype):
    """By float32, in which the workloads' values stay exact whatever type they come in."""
    return ((values.float() - low) * (bins / (high - low))).clamp_(0, bins - 1).to(dtype)
