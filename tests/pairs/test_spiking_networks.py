"""Networks of spiking cells whose synapses and delays are known, and series that have none."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import tefast

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from calibration_spikes import LONGEST, REFRACTORY, found_of, spiking_network

sys.path.remove(str(Path(__file__).parents[2] / "benchmarks"))

pytestmark = pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning")
DELAYS = range(1, LONGEST + 1)


def test_a_network_does_what_is_said_of_it():
    network = spiking_network(0, cells=10, seconds=300, synapses=1.0, transmission=(0.3, 0.3))
    spikes, delay = network.spikes, network.delay
    assert spikes.shape == (300_000, 10)
    assert network.inhibitory.sum() == 2
    for cell in range(10):
        assert np.diff(np.flatnonzero(spikes[:, cell])).min() >= REFRACTORY
    rate = spikes.mean(axis=0)
    for s, u in np.argwhere(network.synapses):
        arrived = spikes[: -delay[s, u], s]
        follows = spikes[delay[s, u] :, u][arrived].mean()
        if network.inhibitory[s]:
            assert follows < 0.5 * rate[u]
        else:
            assert 0.25 < follows - rate[u] < 0.33


def test_related_are_those_that_synapses_join():
    network = spiking_network(0, cells=5, seconds=1)
    delay = np.zeros((5, 5), int)
    delay[0, 1] = delay[1, 2] = delay[0, 3] = 1
    related = type(network)(network.spikes, delay, network.inhibitory).related
    joined = np.eye(5, dtype=bool)
    joined[:4, :4] = True
    np.testing.assert_array_equal(related, joined)


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_synapses_and_their_delays_are_found(seed):
    network = spiking_network(seed)
    found = tefast.pairwise_transfer_entropy(
        network.spikes, 2, delays=DELAYS, significance="chi2", threads=1
    )
    edges = found.edges(0.05)
    every, direct = found_of(network, edges), found_of(network, found.direct_edges(0.05))
    assert every["recall"] >= 0.8
    assert every["unrelated"] <= 0.05 * every["edges"]
    assert (found.delay == network.delay)[edges & network.excitatory].mean() > 0.97
    assert direct["precision"] >= 0.9
    assert direct["recall"] >= 0.8


def test_synapses_are_found_by_surrogates():
    network = spiking_network(103, cells=20, seconds=60, synapses=1.0)
    found = tefast.pairwise_transfer_entropy(
        network.spikes, 2, delays=DELAYS, significance="circular", surrogates=600, threads=1
    )
    edges = found.edges(0.05)
    result = found_of(network, edges)
    assert result["precision"] >= 0.9
    assert result["excitatory"] >= 0.9
    assert (found.delay == network.delay)[edges & network.excitatory].all()


@pytest.mark.parametrize("method", ["chi2", "circular", "shuffle"])
def test_a_twentieth_of_independent_pairs_has_p_below_a_twentieth(method):
    """Before correction: the exact binomial test of all ordered pairs of three data sets."""
    false = pairs = 0
    for seed in range(3):
        spikes = np.random.default_rng(seed).random((4000, 20)) < 0.1
        found = tefast.pairwise_transfer_entropy(
            spikes, 2, delays=range(1, 11), significance=method, surrogates=39, seed=seed, threads=1
        )
        false += np.count_nonzero(found.p_value <= 0.05)
        pairs += np.count_nonzero(~np.isnan(found.p_value))
    assert pairs == 3 * 380
    assert binomtest(false, pairs, 0.05).pvalue > 0.001
