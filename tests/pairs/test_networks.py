"""What can be asked of a network: its edges, tables, graphs, pictures and files."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest

import tefast


def chain(seed=0, steps=4000):
    """0 drives 1 one step later, and 1 drives 2 two steps later; 3 is alone."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (steps, 4))
    x[1:, 1] = np.where(rng.random(steps - 1) < 0.9, x[:-1, 0], x[1:, 1])
    for t in range(2, steps):
        if rng.random() < 0.8:
            x[t, 2] = x[t - 2, 1]
    return x


@pytest.fixture(scope="module")
def network():
    return tefast.pairwise_transfer_entropy(
        chain(), 2, delays=range(1, 6), significance="chi2", by_delay=True
    )


def test_the_edges_and_their_delays_are_found(network):
    found = {(s, u) for s, u in np.argwhere(network.edges()).tolist()}
    assert found == {(0, 1), (1, 2), (0, 2)}
    assert network.delay[0, 1] == 1
    assert network.delay[1, 2] == 2
    assert network.delay[0, 2] == 3  # by way of 1
    direct = {(s, u) for s, u in np.argwhere(network.direct_edges()).tolist()}
    assert direct == {(0, 1), (1, 2)}
    assert (network.direct_edges(tolerance=0.999) == network.edges()).all()
    assert "significant: 3 edges at q < 0.05" in repr(network)
    assert "0 -> 1 with te" in repr(network)


def test_matrices_become_tensors(network):
    torch = pytest.importorskip("torch")
    found = network.to_torch("cpu")
    known = {name: getattr(network, name) for name in found}
    assert {"te", "delay", "p_value", "q_value", "te_by_delay", "coincidence"} <= known.keys()
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor.numpy(), known[name])
        assert tensor.dtype == torch.from_numpy(np.asarray(known[name])).dtype
    found["te"].zero_()
    assert network.te[0, 1] > 0
    assert network.to_torch("meta")["te"].device.type == "meta"


def test_direct_edges_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    te = rng.random((7, 7))
    np.fill_diagonal(te, np.nan)
    names = tuple(range(7))
    d = rng.integers(1, 6, (7, 7))
    networks = [tefast.Network(te, d, names, names, delays=many) for many in ((1,), range(1, 6))]
    for tolerance, slack in itertools.product((0.0, 0.2), (None, 0, 1)):
        expected = np.array([~np.isnan(te)] * 2)
        for i, j, k in itertools.permutations(range(7), 3):
            for first, delay in ((te[i, k], d[i, k] + d[k, j]), (te[k, i], d[k, j] - d[k, i])):
                if te[i, j] < (1 - tolerance) * min(first, te[k, j]):
                    expected[0, i, j] = False
                    if slack is None or abs(delay - d[i, j]) <= slack:
                        expected[1, i, j] = False
        for network, wanted in zip(networks, expected, strict=True):
            found = network.direct_edges(tolerance=tolerance, slack=slack)
            np.testing.assert_array_equal(found, wanted)


def test_a_slack_below_0_is_refused(network):
    with pytest.raises(ValueError, match="slack: expected a number of steps or None, got -1"):
        network.direct_edges(slack=-1)


def test_the_coincidence_index_is_the_share_around_the_best_delay(network):
    te = network.te_by_delay
    for s, u in itertools.permutations(range(4), 2):
        at = int(te[:, s, u].argmax())
        near = te[max(at - 1, 0) : at + 2, s, u].sum()
        assert network.coincidence[s, u] == pytest.approx(near / te[:, s, u].sum())
    assert np.isnan(network.coincidence.diagonal()).all()


def test_a_table_and_a_graph_of_the_edges(network):
    pytest.importorskip("pandas")
    pytest.importorskip("networkx")
    frame = network.to_dataframe()
    assert frame[["source", "target"]].to_numpy().tolist() == [[0, 1], [1, 2], [0, 2]]
    assert (np.diff(frame["te"]) <= 0).all()
    assert {"te", "delay", "p_value", "q_value", "effective_te", "coincidence"} < set(frame)
    graph = network.to_networkx()
    assert set(graph.edges) == {(0, 1), (1, 2), (0, 2)}
    assert set(graph.nodes) == {0, 1, 2, 3}
    assert graph.edges[0, 1]["weight"] == network.te[0, 1]
    assert graph.edges[0, 1]["delay"] == 1
    assert len(network.to_dataframe(q=0.0)) == 0
    every = replace(network, p_value=None, q_value=None)
    assert len(every.to_dataframe()) == 12
    with pytest.raises(ValueError, match="q: expected none, as the pairs were not tested"):
        every.edges(q=0.05)


def test_it_is_saved_and_loaded(network, tmp_path):
    named = replace(network, names=tuple("abcd"), source_names=tuple("abcd"))
    for one in (network, named, replace(network, te_by_delay=None, method=None)):
        one.save(tmp_path / "network.npz")
        found = tefast.Network.load(tmp_path / "network.npz")
        for field in fields(tefast.Network):
            mine, theirs = getattr(one, field.name), getattr(found, field.name)
            if isinstance(mine, np.ndarray):
                np.testing.assert_array_equal(mine, theirs)
            else:
                assert mine == theirs, field.name
                assert type(mine) is type(theirs), field.name
    assert [path.name for path in tmp_path.iterdir()] == ["network.npz"]
    np.savez(tmp_path / "other.npz", a=1)
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"{name} holds no network"):
            tefast.Network.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        tefast.Network.load(tmp_path / "none.npz")


def test_it_is_drawn(network, tmp_path):
    pytest.importorskip("matplotlib")
    from tefast import network_plot

    small = network.plot(title="A chain")
    assert len(small.axes) == 3  # the matrix, its scale and the graph
    arrows = [
        text for text in small.axes[-1].texts if getattr(text, "arrow_patch", None) is not None
    ]
    assert len(arrows) == 3
    x = np.random.default_rng(2).integers(0, 2, (100, network_plot.SMALL + 5))
    large = tefast.pairwise_transfer_entropy(x, 2).plot()
    assert len(large.axes) == 2
    some = tefast.pairwise_transfer_entropy(x[:, :4], 2, sources=[0]).plot()
    some.savefig(tmp_path / "some.png")


def test_series_that_are_alike_lie_side_by_side():
    pytest.importorskip("scipy")
    from tefast.network_plot import order_of

    te = np.zeros((6, 6))
    for group in ([0, 2, 4], [1, 3, 5]):
        te[np.ix_(group, group)] = 1.0
    order = order_of(te).tolist()
    assert {frozenset(order[:3]), frozenset(order[3:])} == {frozenset({0, 2, 4}),
                                                            frozenset({1, 3, 5})}  # fmt: skip


class Train:
    """As Neo has them: times with a unit, a start and a stop."""

    def __init__(self, times, start, stop, units="s"):
        self.magnitude, self.units = np.array(times), units
        self.t_start, self.t_stop = Quantity(start, units), Quantity(stop, units)


class Quantity:
    def __init__(self, value, units):
        self.magnitude, self.units = value, units

    def rescale(self, units):
        scale = {"s": 1.0, "ms": 1e-3}
        return Quantity(self.magnitude * scale[self.units] / scale[units], units)


def test_spikes_are_binned():
    rng = np.random.default_rng(3)
    trains = [np.sort(rng.uniform(-1, 11, n)) for n in (0, 1, 300)]
    for counts in (False, True):
        found = tefast.bin_spikes(trains, 0.25, 0, 10, counts=counts)
        expected = np.stack([np.histogram(t, np.arange(0, 10.1, 0.25))[0] for t in trains], axis=1)
        np.testing.assert_array_equal(found, expected if counts else expected > 0)
        assert found.dtype == np.int8
    # A stop that is 30 bins of 0.1 away is not by a bit less.
    assert tefast.bin_spikes([[0.05]], 0.1, 0, 0.1 * 30).shape == (30, 1)
    assert tefast.bin_spikes([[0.5, 2.5]], 1.0).shape == (2, 1)  # the last bin would not be whole


def test_spike_trains_say_where_they_begin_and_end():
    trains = [Train([1.0, 3.5], 1.0, 4.0), Train([2.0], 0.5, 5.0)]
    found = tefast.bin_spikes(trains, Quantity(500, "ms"))
    assert found.shape == (9, 2)  # 0.5 to 5.0
    assert found[:, 0].nonzero()[0].tolist() == [1, 6]
    found = tefast.bin_spikes(trains, 0.5, Quantity(1000, "ms"), 4)
    assert found.shape == (6, 2)


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"trains": []}, ValueError, "expected the spike times of one cell or more"),
    ({"trains": [["a"]]}, TypeError, r"trains\[0\]: expected spike times, got list"),
    ({"trains": [[1.0], [np.nan]]}, ValueError, r"trains\[1\]: expected finite times"),
    ({"width": 0}, ValueError, "width: expected a finite number above 0, got 0"),
    ({"width": "wide"}, TypeError, "width: expected a number, got 'wide'"),
    ({"start": 5, "stop": 4}, ValueError, "expected a whole bin of width 1 between them"),
    ({"stop": np.inf}, ValueError, "stop: expected a finite number"),
    ({"trains": [np.zeros(200)], "counts": True, "stop": 2}, ValueError,
     "at most 127 spikes in a bin"),
])  # fmt: skip
def test_wrong_spikes_are_told(given, error, message):
    with pytest.raises(error, match=message):
        tefast.bin_spikes(**{"trains": [[1.0, 2.0, 9.0]], "width": 1, **given})
