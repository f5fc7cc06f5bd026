"""Which of 200 units follow the source, and which only seem to."""

import matplotlib.pyplot as plt
import numpy as np

import tefast

rng = np.random.default_rng(0)
y, h = rng.random((200, 25)), rng.random((200, 25, 200))
weight = np.zeros(200)
weight[:20] = np.linspace(0.4, 0.02, 20)  # each of these follows the source more weakly
h[:, 1:] = (1 - weight) * h[:, 1:] + weight * y[:, :-1, None]

found = tefast.significance(h, y, bins=4, surrogates=2000)
order = np.argsort(-found.te)
rank, coupled = np.arange(1, 201), found.q_value[order] <= 0.05
mean, spread = found.null_mean[order], 2 * found.null_std[order]

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.fill_between(rank, mean - spread, mean + spread, color="0.85", label="by chance")
te = found.te[order]
axes.scatter(rank[~coupled], te[~coupled], s=12, color="0.5", label="not told from chance")
axes.scatter(rank[coupled], te[coupled], s=22, color="crimson", label="q up to 0.05")
true = (weight[order] > 0) & coupled
axes.set(xlabel="rank of the unit", ylabel="transfer entropy, bits", yscale="log")
axes.set_title(f"{coupled.sum()} units found, {true.sum()} of them coupled; 20 are")
axes.legend()
