"""Which genes lead which, along pseudotime: made data with the names of real genes."""

import matplotlib.pyplot as plt
import numpy as np

import tefast

rng = np.random.default_rng(1)
genes = ["Gata2", "Gata1", "Klf1", "Hbb", "Spi1", "Cebpa", "Csf1r", "Actb"]
drives = [
    ("Gata2", "Gata1"),
    ("Gata1", "Klf1"),
    ("Klf1", "Hbb"),
    ("Spi1", "Cebpa"),
    ("Cebpa", "Csf1r"),
]
cells = 3000  # in the order of their pseudotime
number = {gene: place for place, gene in enumerate(genes)}
x = 0.6 * rng.normal(size=(cells, len(genes)))
for t in range(1, cells):
    x[t] += 0.6 * x[t - 1]
    for source, target in drives:
        x[t, number[target]] += 0.5 * np.tanh(2 * x[t - 1, number[source]])

network = tefast.pairwise_transfer_entropy(
    x, bins=4, binning="quantile", significance="circular", surrogates=600
)
direct = network.direct_edges(q=0.05)

figure, (top, bottom) = plt.subplots(2, 1, figsize=(6, 8.5), layout="constrained")
smooth = np.array([np.convolve(column, np.ones(60) / 60, "same") for column in x.T])
top.imshow(smooth, aspect="auto", cmap="RdBu_r", vmin=-1.5, vmax=1.5)
top.set_yticks(range(len(genes)), genes)
top.set(xlabel="cell, in the order of pseudotime", title="Expression, smoothed")
image = bottom.imshow(network.te, cmap="viridis", vmin=0)
for source, target in zip(*np.nonzero(direct), strict=True):
    bottom.plot(target, source, "wo", mfc="none", ms=14, mew=2)
bottom.set_xticks(range(len(genes)), genes, rotation=60)
bottom.set_yticks(range(len(genes)), genes)
bottom.set(xlabel="target", ylabel="source", title="Transfer entropy; rings: direct edges")
figure.colorbar(image, label="bits")
