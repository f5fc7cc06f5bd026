"""PyTorch: bincount over a block of units at once, on all its threads."""

import torch
from workloads import H_RANGE, Y_RANGE


def codes_of(values, low, high, bins):
    return ((values - low) * (bins / (high - low))).clamp(0, bins - 1).long()


def transfer_entropy(work):
    units, bins = work.shape[2], work.bins
    block = max(1, 2**22 // (work.shape[0] * work.shape[1]))
    h, y = torch.from_numpy(work.h), torch.from_numpy(work.y)
    state = codes_of(y, *Y_RANGE, bins)[:, :-1, None]
    result = []
    for first in range(0, units, block):
        codes = codes_of(h[:, :, first : first + block], *H_RANGE, bins)
        width = codes.shape[2]
        cell = (codes[:, 1:] * bins + codes[:, :-1]) * bins + state
        cell += torch.arange(width) * bins**3
        counts = torch.bincount(cell.flatten(), minlength=width * bins**3)
        result.append(bits(counts.view(width, bins, bins, bins)))
    return torch.cat(result).numpy()


def bits(counts):
    def sum_n_log_n(n):
        n = n.double()
        return torch.special.xlogy(n, n).flatten(1).sum(1)

    total = sum_n_log_n(counts) + sum_n_log_n(counts.sum((1, 3)))
    total -= sum_n_log_n(counts.sum(3)) + sum_n_log_n(counts.sum(1))
    return total / counts.flatten(1).sum(1) / torch.log(torch.tensor(2.0, dtype=torch.float64))
