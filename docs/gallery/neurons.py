"""Which neurons drive which, from the times of their spikes."""

import matplotlib.pyplot as plt
import numpy as np

import tefast

rng = np.random.default_rng(3)
cells, steps = 12, 40_000  # of a millisecond
# From, to, and the delay in milliseconds.
synapses = [
    (0, 3, 1),
    (6, 3, 4),
    (1, 4, 2),
    (11, 4, 3),
    (2, 5, 1),
    (9, 5, 5),
    (7, 10, 5),
    (8, 10, 2),
]
fires = rng.random((steps, cells)) < 0.05
for t in range(5, steps):
    for source, target, delay in synapses:
        fires[t, target] |= fires[t - delay, source] and rng.random() < 0.3

network = tefast.pairwise_transfer_entropy(fires, bins=2, delays=range(1, 8), significance="chi2")
coupled = np.argwhere(network.edges(q=1e-3))
edges = [(int(s), int(t), int(network.delay[s, t])) for s, t in coupled]

figure, (top, bottom) = plt.subplots(2, 1, figsize=(6, 8.5), layout="constrained")
cell, when = np.nonzero(fires[:300].T)
top.scatter(when, cell, s=12, marker="|", color="black")
top.set(xlabel="milliseconds", ylabel="cell", title="Spikes")
angle = 2 * np.pi * np.arange(cells) / cells
x, y = np.cos(angle), np.sin(angle)
color = plt.get_cmap("viridis")
for source, target, delay in edges:
    style = {"arrowstyle": "-|>", "shrinkA": 11, "shrinkB": 11, "lw": 2, "color": color(delay / 6)}
    bottom.annotate("", (x[target], y[target]), (x[source], y[source]), arrowprops=style)
bottom.scatter(x, y, s=380, color="white", edgecolors="black", zorder=3)
for number in range(cells):
    bottom.text(x[number], y[number], number, ha="center", va="center", zorder=4)
for delay in sorted({delay for _, _, delay in edges}):
    bottom.plot([], [], color=color(delay / 6), lw=2, label=f"{delay} ms")
bottom.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, frameon=False)
right_ones = set(edges) & set(synapses)
others = len(edges) - len(right_ones)
bottom.set(title=f"{len(right_ones)} of {len(synapses)} synapses found, {others} others")
bottom.set_aspect("equal")
bottom.axis("off")
