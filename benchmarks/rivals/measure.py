"""Joint counts to transfer entropy, for rivals that count but do not measure."""

import numpy as np


def bits(counts):
    """counts (..., next, past, source) -> bits (...)."""

    def sum_n_log_n(n):
        n = n.astype(np.float64)
        return (n * np.log2(n, out=np.zeros_like(n), where=n > 0)).reshape(*counts.shape[:-3], -1)

    joint, past = sum_n_log_n(counts), sum_n_log_n(counts.sum(axis=(-3, -1)))
    move, seen = sum_n_log_n(counts.sum(axis=-1)), sum_n_log_n(counts.sum(axis=-3))
    total = joint.sum(-1) + past.sum(-1) - move.sum(-1) - seen.sum(-1)
    return total / counts.sum(axis=(-3, -2, -1))
