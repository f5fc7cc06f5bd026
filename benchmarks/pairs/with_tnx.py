"""TENEX (`tnx`) on the CPU, where it is installed; it may be used for non-commercial ends only.

Its values are float32, and it bins by itself. The width of its bins is set so small that symbols
stay apart.
"""

import numpy as np
import tenex

WIDTH = 0.05
"""Of a bin, in standard deviations of a series: less than a symbol if there are fewer than 40."""


def prepare(shape):
    """Data as the library wants them, at no cost."""
    data = shape.codes.astype(np.float32)
    names = np.array([f"s{u}" for u in range(shape.series)])

    def run():
        engine = tenex.TransferEntropyEngine(data, names, sources=names[: shape.many])
        found = engine.compute(accelerator="cpu", binning_method="FSBW", kp=WIDTH)
        return np.asarray(found.matrix)[: shape.many].astype(np.float64)

    return run
