"""Surrogates of one source: what each costs more than once, beside a call for the source alone.

Milliseconds are those of one surrogate. Every benchmark asserts that each surrogate's result is, to
the last bit, that of a call of its own.
"""

import math
import os

import numpy as np
import pytest
from conftest import score
from workloads import H_RANGE, WORKLOADS

import tefast
from tefast import _backends, binning
from tefast._backends.inputs import BinnedValues
from tefast._inputs import values

THREADS = len(os.sched_getaffinity(0))
CPU = _backends.load("cpu")
SURROGATES = 20


def shuffled(work):
    """States (S, N, T) of the source, its transitions' in another order every time."""
    rng = np.random.default_rng(3)
    states = np.repeat(work.codes_of_y.astype(np.int16)[np.newaxis], SURROGATES, axis=0)
    for surrogate in states:
        surrogate[:, :-1] = rng.permutation(surrogate[:, :-1].ravel()).reshape(
            surrogate.shape[0], -1
        )
    return states


@pytest.mark.parametrize("threads", sorted({1, THREADS}))
@pytest.mark.parametrize("name", ["paper", "skewed", "wide", "long", "small"])
def test_surrogates(in_turn, name, threads):
    work = WORKLOADS[name]
    target, sources = values.target(work.h), shuffled(work)
    edges = binning.uniform_edges(*(np.array([end]) for end in H_RANGE), work.bins)
    binned = BinnedValues(target, binning.Binning(work.bins, edges), None)

    def together():
        return CPU.transfer_entropies(binned, sources, work.bins, False, threads)[0]

    options = {"bins": work.bins, "h_range": H_RANGE, "base": math.e, "threads": threads}
    for source, nats in list(zip(sources, together(), strict=True))[::7]:
        alone = tefast.transfer_entropy(work.h, source, backend="cpu", **options)
        np.testing.assert_array_equal(nats, alone)
    in_turn(
        together, work, threads, rounds=9, times=1 / SURROGATES,
        beside=lambda: score(work, threads),
    )  # fmt: skip
