"""Draws docs/result.png: 200 units, some of which follow the source, tested against chance.

python docs/result.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tefast

PICTURE = Path(__file__).with_suffix(".png")
UNITS, COUPLED = 200, 20


def draw() -> Figure:
    """Scores of the units from the highest to the lowest, beside what chance gives."""
    rng = np.random.default_rng(0)
    y, h = rng.random((200, 25)), rng.random((200, 25, UNITS))
    # Each of the coupled units follows the source one step later, each more weakly than the last.
    weight = np.zeros(UNITS)
    weight[rng.permutation(UNITS)[:COUPLED]] = np.linspace(0.4, 0.02, COUPLED)
    h[:, 1:] = (1 - weight) * h[:, 1:] + weight * y[:, :-1, None]
    return tefast.significance(h, y, bins=4, surrogates=4000).plot()


if __name__ == "__main__":
    draw().savefig(PICTURE)
    print(f"wrote {PICTURE}")
