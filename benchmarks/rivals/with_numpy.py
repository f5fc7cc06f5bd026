"""NumPy: bincount, unit by unit, on a block of units that was laid out for it."""

import numpy as np
from workloads import H_RANGE, Y_RANGE, bin_of

from rivals.measure import bits


def transfer_entropy(work):
    units, bins, block = work.shape[2], work.bins, 32
    state = bin_of(work.y, *Y_RANGE, bins)[:, :-1].astype(np.int64)
    result = np.empty(units)
    for first in range(0, units, block):
        part = np.ascontiguousarray(work.h[:, :, first : first + block].transpose(2, 0, 1))
        codes = bin_of(part, *H_RANGE, bins).astype(np.int64)
        for u, unit in enumerate(codes):
            cell = (unit[:, 1:] * bins + unit[:, :-1]) * bins + state
            counts = np.bincount(cell.ravel(), minlength=bins**3)
            result[first + u] = bits(counts.reshape(bins, bins, bins))
    return result
