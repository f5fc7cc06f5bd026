"""Spiking networks whose synapses and delays are known.

Cells fire by themselves at rates that differ from cell to cell, and because a spike arrives. A
spike that arrives by an excitatory synapse makes its target fire with the synapse's chance. One
that arrives by an inhibitory synapse keeps its target silent for some steps with such a chance.
After a spike a cell is refractory. If cells burst, some spikes are followed by another one.
"""

import heapq
from dataclasses import dataclass

import numpy as np

MEDIAN_RATE, RATE_SPREAD = 5.0, 0.6
"""Of the log-normal rates at which cells fire by themselves: spikes a second, and the standard
deviation of their logarithm."""
LEAST_RATE, MOST_RATE = 2.0, 30.0
INHIBITORY = 0.2
"""Share of inhibitory cells; these fire `FASTER` times as often."""
FASTER = 3.0
SILENCING, SILENT = 0.8, 3
"""Chance that a spike of an inhibitory cell silences a target, and for how many steps."""
LONGEST = 20
"""Delays are 1 to so many steps."""
REFRACTORY = 3
"""Steps from a spike to the next possible one."""
BURST_AFTER = 5
"""Steps from a spike of a burst to the next."""
STEP = 0.001
"""Seconds."""


@dataclass(frozen=True)
class SpikingNetwork:
    """What was drawn, and what the cells did.

    Attributes
    ----------
    spikes : ndarray of bool, shape (T, U)
    delay : ndarray of int64, shape (U, U)
        Steps from a spike of the source (row) to its arrival at the target; 0 without a synapse.
    inhibitory : ndarray of bool, shape (U,)
    """

    spikes: np.ndarray
    delay: np.ndarray
    inhibitory: np.ndarray

    @property
    def synapses(self):
        return self.delay > 0

    @property
    def excitatory(self):
        """The synapses that are."""
        return self.synapses & ~self.inhibitory[:, np.newaxis]

    @property
    def related(self):
        """Pairs (source, target) that no test of pairs can tell from synapses in long recordings:
        one reaches the other by synapses, or a third cell reaches both."""
        reached = self.synapses | np.eye(len(self.delay), dtype=bool)
        for middle in range(len(reached)):
            reached |= reached[:, [middle]] & reached[middle]
        return reached.T.astype(int) @ reached > 0


def spiking_network(
    seed, cells=60, seconds=180, synapses=2.0, transmission=(0.04, 0.15), bursts=0.0
):
    """A network with so many synapses a cell, which transmit with chances between two numbers.

    `bursts` is the chance that a spike is followed by another one of its cell.
    """
    rng = np.random.default_rng(seed)
    steps = round(seconds / STEP)
    inhibitory = rng.permutation(cells) < INHIBITORY * cells
    rates = MEDIAN_RATE * np.exp(RATE_SPREAD * rng.standard_normal(cells))
    rates = np.clip(rates, LEAST_RATE, MOST_RATE) * np.where(inhibitory, FASTER, 1.0)
    there = rng.random((cells, cells)) < synapses / (cells - 1)
    np.fill_diagonal(there, False)
    delay = np.where(there, rng.integers(1, LONGEST + 1, there.shape), 0)
    chance = np.where(inhibitory[:, np.newaxis], SILENCING, rng.uniform(*transmission, there.shape))
    own = rng.random((steps, cells)) < STEP * rates
    return SpikingNetwork(fired(rng, own, delay, chance, inhibitory, bursts), delay, inhibitory)


def fired(rng, own, delay, chance, inhibitory, bursts):
    """Which cells fire at which steps (T, U): events are taken one after the other in time."""
    steps, cells = own.shape
    spikes = np.zeros_like(own)
    silent = np.zeros((steps + LONGEST + SILENT, cells), bool)
    last = np.full(cells, -REFRACTORY)
    targets = [np.flatnonzero(row).tolist() for row in delay]
    events = [
        (t, cell) for t, cell in zip(*(each.tolist() for each in np.nonzero(own)), strict=True)
    ]
    heapq.heapify(events)
    while events:
        t, cell = heapq.heappop(events)
        if t >= steps or silent[t, cell] or t - last[cell] < REFRACTORY:
            continue
        spikes[t, cell], last[cell] = True, t
        if rng.random() < bursts:
            heapq.heappush(events, (t + BURST_AFTER, cell))
        for target in targets[cell]:
            arrival = t + int(delay[cell, target])
            if rng.random() >= chance[cell, target]:
                continue
            if inhibitory[cell]:
                silent[arrival : arrival + SILENT, target] = True
            else:
                heapq.heappush(events, (arrival, target))
    return spikes


def found_of(network, edges):
    """Precision, and recall of all synapses and of the excitatory ones."""
    right = edges & network.synapses
    excitatory = network.excitatory
    return {
        "edges": int(edges.sum()),
        "precision": float(right.sum() / max(1, edges.sum())),
        "recall": float(right.sum() / network.synapses.sum()),
        "excitatory": float((edges & excitatory).sum() / excitatory.sum()),
        "unrelated": int((edges & ~network.related).sum()),
    }
