"""How often `tefast.pairwise_transfer_entropy` finds an edge where there is none.

    python benchmarks/calibration_pairs.py   # this part of results/calibration.json alone

A part of the study of calibration.py. A data set is one fresh source and targets that are
independent of it; every pair is held against chance at one delay, or at the best of several.
The networks are those of calibration_spikes.py.
"""

import json
import multiprocessing
import os
import time
import warnings
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import calibration
import numpy as np
from calibration import LEVEL
from calibration_spikes import LONGEST, STEP, found_of, spiking_network
from scipy.stats import beta

import tefast

SURROGATES = 39  # the 5 % are then reached exactly: 2 of 40
DELAYS = (1, 10, 30)
"""The longest delay; the shortest is 1."""
ALONE = ("circular", "shuffle", "chi2")
TARGETS = 20
SEED = 2**32
ACTIVE, QUIET, PHASE = 0.15, 0.005, 50
"""Chances of a spike in the two phases of a bursty cell, and a phase's mean length in steps."""
SWING = 1.5
"""How much the logarithm of a rate that all trials share swings."""


@dataclass(frozen=True)
class PairCase:
    """Independent series, and the tests that ought to keep the level by what is said of them."""

    data: str
    bins: int
    steps: int
    sequences: int = 1
    rate: float = 0.0
    methods: tuple[str, ...] = ALONE
    documented: tuple[str, ...] = ("circular",)
    sets: int = 80

    @property
    def name(self):
        return f"{self.data}, {100 * self.rate:g} % of steps" if self.rate else self.data

    def draw(self, number):
        """Data set of this number (N, T, 1 + TARGETS), the source first."""
        kind = zlib.crc32(f"{self.name} {self.bins} {self.sequences}".encode())
        rng = np.random.default_rng([SEED, kind, number])
        return KINDS[self.data](self, rng, (self.sequences, self.steps, 1 + TARGETS))


def flips(case, rng, shape):
    return rng.integers(0, case.bins, shape, dtype=np.uint8)


def poisson(case, rng, shape):
    return rng.random(shape) < case.rate


def bursty(case, rng, shape):
    """Each cell has phases of its own in which it fires often, and others."""
    drawn = (rng.random(shape) < 0.5).astype(np.uint8)
    active = calibration.kept(rng, drawn, 1 - 2 / PHASE)
    return rng.random(shape) < np.where(active, ACTIVE, QUIET)


def autoregressive(case, rng, shape):
    series = calibration.stationary(rng, shape, calibration.MEMORY)
    return calibration.in_bins_of_equal_chance(series, case.bins)


def one_course(case, rng, shape):
    """Spikes of one rate that rises and falls along every trial, the same for all cells."""
    angle = 2 * np.pi * np.arange(shape[1]) / shape[1]
    return rng.random(shape) < case.rate * np.exp(SWING * np.sin(angle))[:, np.newaxis]


KINDS = {
    "coin flips": flips,
    "Poisson spikes": poisson,
    "bursty spikes": bursty,
    "autoregressive": autoregressive,
    "spikes of one time course": one_course,
}
FRESH = ("circular", "shuffle")
LATER = ("circular", "trials", "shuffle", "chi2")
CASES = (
    PairCase("coin flips", 2, 2000, methods=(*ALONE, "conditional"),
             documented=(*ALONE, "conditional")),
    PairCase("Poisson spikes", 2, 4000, rate=0.1, documented=ALONE),
    PairCase("Poisson spikes", 2, 4000, rate=0.02, documented=FRESH),
    PairCase("bursty spikes", 2, 4000),
    PairCase("autoregressive", 3, 3000, methods=(*ALONE, "conditional")),
    PairCase("autoregressive", 16, 3000, sets=40),
    PairCase("autoregressive", 3, 50, 40, methods=LATER, documented=("circular", "trials")),
    PairCase("spikes of one time course", 2, 100, 40, rate=0.05, methods=LATER,
             documented=("trials",), sets=40),
)  # fmt: skip
NETWORKS = 4
"""How many networks are drawn of each kind."""
MINUTE = {"cells": 30, "seconds": 60}
LONGER = {"cells": 30, "seconds": 180}
KNOWN = (
    ("1 synapse a cell", {**LONGER, "synapses": 1.0}, "chi2"),
    ("2 synapses a cell", LONGER, "chi2"),
    ("2 synapses a cell", MINUTE, "chi2"),
    ("2 synapses a cell", MINUTE, "circular"),
    ("2 synapses a cell, bursts", {**MINUTE, "bursts": 0.15}, "circular"),
)
"""Kinds of networks, how they are drawn, and the test of their pairs."""
ENOUGH = 600
"""Surrogates of each cell: with some 40 edges among 870 pairs, q can be 0.04."""


def rates(case, method, longest):
    """A row: how often p is 0.05 or less."""
    rejected = []
    for number in range(case.sets):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of what is studied here
            found = tefast.pairwise_transfer_entropy(
                case.draw(number), case.bins, sources=[0], delays=range(1, longest + 1),
                significance=method, surrogates=SURROGATES, seed=number, threads=1,
                binning="symbols",
            )  # fmt: skip
        rejected.append(np.count_nonzero(found.p_value[0, 1:] <= LEVEL))
    row = {"data": case.name, "bins": case.bins, "sequences": case.sequences, "steps": case.steps}
    row |= {"delays": longest, "method": method, "sets": case.sets}
    return row | {"documented": method in case.documented} | rate_of(np.array(rejected), TARGETS)


def rate_of(rejected, targets):
    """Rate with an interval of 95 % that knows which pairs share a source.

    It is the exact binomial one of as many pairs as would make the rate vary as the data sets do:
    of all pairs, divided by `dispersion` where that is more than 1.
    """
    row = calibration.rate_of(rejected, targets)
    pairs = row["runs"] / max(1.0, row["dispersion"] or 1.0)
    hits = row["rate"] * pairs
    low = beta.ppf(0.025, hits, pairs - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, pairs - hits) if hits < pairs else 1.0
    row |= {"low": float(low), "high": float(high)}
    return row | {"contains_level": bool(low <= LEVEL <= high)}


def edges(kind, drawn, method):
    """Rows: the edges of each network at q < 0.05, before and after `direct_edges`."""
    rows = []
    for seed in range(NETWORKS):
        network = spiking_network(seed, **drawn)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = tefast.pairwise_transfer_entropy(
                network.spikes, 2, delays=range(1, LONGEST + 1), significance=method,
                surrogates=ENOUGH, seed=seed, threads=1,
            )  # fmt: skip
        steps, cells = network.spikes.shape
        row = {"kind": kind, "cells": cells, "seconds": round(steps * STEP), "method": method}
        every, known = found.edges(LEVEL), network.excitatory
        right = (found.delay == network.delay)[every & known]
        row |= {"seed": seed, "synapses": int(network.synapses.sum())}
        row |= {"delays_right": float(right.mean()), "all": found_of(network, every)}
        rows.append(row | {"direct": found_of(network, found.direct_edges(LEVEL))})
    return rows


def measure(pool):
    """Rows of this part; a job is one case, method and longest delay, or one kind of network."""
    tried = [(case, method, longest)
             for case in CASES for method in case.methods for longest in DELAYS]  # fmt: skip
    networks = [pool.submit(edges, *each) for each in KNOWN]
    rows = [pool.submit(rates, *each) for each in tried]
    return {
        "pairs": [row.result() for row in rows],
        "edges": [row for each in networks for row in each.result()],
    }


def main():
    start, threads = time.monotonic(), len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(threads, multiprocessing.get_context("spawn")) as pool:
        found = calibration.committed() | measure(pool)
    print(f"{time.monotonic() - start:.0f} s")
    calibration.PATH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    calibration.main(["--page"])


if __name__ == "__main__":
    main()
