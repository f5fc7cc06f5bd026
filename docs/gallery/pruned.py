"""How many units an LSTM that reads handwritten digits can do without."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import tefast.nn as tnn

torch.manual_seed(0)
digits = load_digits()
x = torch.tensor(digits.images / 16, dtype=torch.float32)  # 8 rows of 8 pixels: 8 steps
labels = torch.tensor(digits.target)
known, unseen = slice(0, 1200), slice(1200, None)


class Reader(nn.Module):
    """Reads an image row by row."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 48, batch_first=True), nn.Linear(48, 10)

    def forward(self, x):
        """Logits after every row."""
        return self.head(self.lstm(x)[0])


def accuracy(model):
    """The share of unseen digits that the model names after the last row."""
    with torch.no_grad():
        return float((model(x[unseen])[:, -1].argmax(1) == labels[unseen]).float().mean())


model = Reader()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(150):
    batch = torch.randint(0, 1200, (128,))
    loss = nn.functional.cross_entropy(model(x[batch])[:, -1], labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

batches = [(x[known], labels[known])]
moments = tnn.moments(model, batches, rnn="lstm")
ways = {
    "at random": ("random", None),
    "least transfer entropy first": ("transfer_entropy", None),
    "the same, and the rest stands in": ("transfer_entropy", moments),
    "what the rest can stand in for": ("redundancy", moments),
}
counts = np.arange(0, 48, 4)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for label, (criterion, stand_in) in ways.items():
    scores = tnn.score(model, batches, criterion, rnn="lstm", bins=8)
    found = []
    for count in counts:
        units = tnn.select(scores, amount=int(count), descending=False)
        found.append(accuracy(tnn.prune(model, units, rnn="lstm", moments=stand_in)))
    axes.plot(48 - counts, 100 * np.array(found), "o-", label=label)
axes.set(xlabel="units left of 48", ylabel="accuracy on unseen digits, %")
axes.set_title("An LSTM that reads digits, not trained again")
axes.invert_xaxis()
axes.legend()
