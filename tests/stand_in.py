"""A model, its data, and ridge regression by NumPy, for tests of moments."""

import numpy as np
import torch
from torch import nn

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


class Model(nn.Module):
    """A layer whose outputs an activation and then a Linear read."""

    def __init__(self, kind="LSTM", units=6, between=None, seed=0, **options):
        super().__init__()
        torch.manual_seed(seed)
        self.rnn = KINDS[kind](3, units, batch_first=True, **options)
        width = (options.get("proj_size") or units) * (2 if options.get("bidirectional") else 1)
        self.fc = nn.Linear(width, 2)
        self.between = between
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.9, 0.9)

    def forward(self, x):
        o = self.rnn(x)[0]
        return self.fc(o if self.between is None else self.between(o))


def data(batches=3, seed=1, n=5, steps=7, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, steps, 3, generator=generator, dtype=dtype), torch.zeros(n).long())
        for _ in range(batches)
    ]


def stand_in(rows, kept, gone, ridge, intercept):
    """The matrix and constant of ridge regression, by NumPy's general solver."""
    x = np.asarray(rows)
    mean = x.mean(0) if intercept else 0 * x[0]
    c = (x - mean).T @ (x - mean)
    inner = c[np.ix_(kept, kept)]
    if not inner.any():  # behind a relu that is never open
        return np.zeros((len(kept), len(gone))), mean[gone] if intercept else np.zeros(len(gone))
    inner = inner + ridge * np.trace(inner) / len(kept) * np.eye(len(kept))
    a = np.linalg.solve(inner, c[np.ix_(kept, gone)])
    return a, mean[gone] - mean[kept] @ a if intercept else np.zeros(len(gone))


def close(ours, theirs):
    scale = theirs.abs().max()
    assert (ours - theirs).abs().max() <= 1e-12 * max(float(scale), 1.0), (
        (ours - theirs).abs().max()
    )
