"""What each unit of a recurrent layer gets from its input, and how late."""

import matplotlib.pyplot as plt
import numpy as np

import tefast

rng = np.random.default_rng(0)
units, steps = 150, 6000

# The input reaches the first units; each unit hands on what it has to the next ones.
place = np.linspace(0, 1, units)
ahead = place[None, :] - place[:, None]
weights = rng.normal(size=(units, units)) * (ahead > 0.1) * (ahead < 0.2) / 2.0
into = rng.normal(size=units) * (place < 0.15) * 2
y, h = rng.random(steps) - 0.5, np.zeros((steps, units))
for t in range(1, steps):
    h[t] = np.tanh(h[t - 1] @ weights + y[t - 1] * into + 0.1 * rng.normal(size=units))

delays = np.arange(1, 11)
te = np.array([tefast.transfer_entropy(h, y, bins=6, delay=d, bias="miller_madow") for d in delays])

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
image = axes.imshow(te, aspect="auto", origin="lower", cmap="magma", vmin=0)
axes.set(xlabel="unit", ylabel="delay, steps", title="From the input to 150 units")
axes.set_yticks(range(len(delays)), delays)
figure.colorbar(image, label="transfer entropy, bits")
