"""PyInform: C, one thread, one pair of series at a time; trials are supported."""

import numpy as np
from pyinform.transferentropy import transfer_entropy as pair
from workloads import H_RANGE, Y_RANGE, bin_of


def given_codes(work):
    """Of data that were binned and laid out beforehand, at no cost."""
    h, y = work.codes
    return np.array([pair(y, unit, k=1) for unit in h])


def transfer_entropy(work):
    """Binning and layout included, as its users have to do it."""
    y = bin_of(work.y, *Y_RANGE, work.bins)
    result = np.empty(work.shape[2])
    for first in range(0, work.shape[2], 32):
        block = np.ascontiguousarray(work.h[:, :, first : first + 32].transpose(2, 0, 1))
        codes = bin_of(block, *H_RANGE, work.bins)
        result[first : first + 32] = [pair(y, unit, k=1) for unit in codes]
    return result
