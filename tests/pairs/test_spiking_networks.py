"""Networks of spiking cells whose synapses and delays are known, and series that have none."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import tefast

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from calibration_spikes import LONGEST, REFRACTORY, found_of, spiking_network  # noqa: E402

sys.path.pop(0)

pytestmark = pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning")
DELAYS = range(1, LONGEST + 1)


def test_a_network_does_what_is_said_of_it():
    network = spiking_network(0, cells=10, seconds=300, synapses=1.0, transmission=(0.3, 0.3))
    spikes, delay = network.spikes, network.delay
    assert spikes.shape == (300_000, 10)
    assert 2 <= network.inhibitory.sum() <= 2
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
    joined = {(i, j) for i in range(4) for j in range(4)} | {(4, 4)}
    assert set(map(tuple, np.argwhere(related).tolist())) == joined


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_synapses_and_their_delays_are_found(seed):
    network = spiking_network(seed)
    found = tefast.pairwise_transfer_entropy(
        network.spikes, 2, delays=DELAYS, significance="chi2"
    )
    edges = found.edges(0.05)
    print(found_of(network,edges), found_of(network,found.direct_edges(0.05)))
    assert found_of(network, edges)["unrelated"] <= 0.05 * edges.sum()
    assert (found.delay == network.delay)[edges & network.excitatory].mean() > 0.97
