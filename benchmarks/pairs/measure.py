"""Counts of many pairs to transfer entropy, for rivals that count but do not measure."""

import numpy as np


def bits(counts):
    """counts (..., past, next, source) -> bits (...); NaN where there are none."""
    total = counts.sum(axis=(-3, -2, -1))
    found = n_log_n(counts) + n_log_n(counts.sum(axis=(-2, -1)))
    found -= n_log_n(counts.sum(axis=-1)) + n_log_n(counts.sum(axis=-2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return found / total


def n_log_n(n):
    """Sums of n log2 n over all axes but the first two, which are those of the pairs."""
    flat = n.reshape(*n.shape[:2], -1).astype(np.float64)
    return (flat * np.log2(np.maximum(flat, 1))).sum(axis=-1)
