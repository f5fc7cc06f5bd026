"""infomeasure: Python, one pair at a time, one long series: it knows no trials."""

import infomeasure
import numpy as np


def transfer_entropy(work):
    """Of all sequences glued together, already binned."""
    h, y = work.codes
    return np.array(
        [
            infomeasure.transfer_entropy(
                y.ravel(), unit.ravel(), approach="discrete", base=2,
                src_hist_len=1, dest_hist_len=1,
            )
            for unit in h
        ]
    )  # fmt: skip
