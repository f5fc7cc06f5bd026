"""The picture of a network: what is named, marked and drawn, and that nothing of it is cut off."""

import numpy as np
import pytest

import tefast

pytest.importorskip("matplotlib")
from tefast import network_plot


def made(te, names=None, q_value=None):
    names = tuple(range(len(te))) if names is None else names
    delay = np.ones(te.shape, int)
    return tefast.Network(te, delay, names, names, q_value=q_value)


def drawn(units, seed=0):
    te = np.random.default_rng(seed).random((units, units))
    np.fill_diagonal(te, np.nan)
    return te


@pytest.mark.parametrize("units", [6, 25, 60])
def test_series_are_named_where_they_lie(units):
    pytest.importorskip("scipy")
    te = drawn(units)
    axes = made(te).plot().axes[0]
    order = [int(label.get_text()) for label in axes.get_yticklabels()]
    assert order == [int(label.get_text()) for label in axes.get_xticklabels()]
    assert order == network_plot.order_of(te).tolist()
    np.testing.assert_array_equal(axes.images[0].get_array(), te[np.ix_(order, order)])


def test_places_in_an_order_are_no_numbers_of_series():
    pytest.importorskip("scipy")
    axes = made(drawn(network_plot.NAMED + 1)).plot().axes[0]
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0
    assert axes.get_xlabel() == "target, in the order of a clustering"


def test_no_strong_pair_is_lost_among_many(monkeypatch):
    te = np.full((1000, 1000), 0.25)
    te[997, 3] = te[5, 998] = 1.0
    monkeypatch.setattr(network_plot, "ORDERED", 10)
    axes, scale = made(te).plot().axes
    shown = axes.images[0].get_array()
    assert shown.shape == (500, 500)
    assert np.argwhere(shown == 1).tolist() == [[2, 499], [498, 1]]
    assert scale.get_ylabel() == "highest transfer entropy of 2 x 2 pairs [bits]"
    assert axes.get_xlabel() == "target"
    assert axes.get_xlim() == (-0.5, 999.5)  # their own order, by their numbers


def test_the_highest_of_blocks():
    te = np.array([[np.nan, 1, 2], [3, np.nan, 4], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(network_plot.highest_of_blocks(te, 2), [[3, 4], [np.nan, np.nan]])
    np.testing.assert_array_equal(network_plot.highest_of_blocks(te, 1), te)


def test_edges_that_are_given_are_those_that_are_drawn():
    te, q = drawn(5), np.full((5, 5), 0.5)
    q[0, 1] = q[1, 2] = 0.01
    network = made(te, q_value=q)
    edges = np.zeros((5, 5), bool)
    edges[0, 1] = True
    figure = network_plot.figure(network, None, "title", edges=edges)
    marks = figure.axes[0].lines[0]
    names = [int(label.get_text()) for label in figure.axes[0].get_yticklabels()]
    assert marks.get_xydata().tolist() == [[names.index(1), names.index(0)]]
    assert figure.axes[0].get_title() == "1 edge"
    assert network.plot().axes[0].get_title() == "2 edges at q < 0.05"
    assert network.plot(q=0.001).axes[0].get_title() == "0 edges at q < 0.001"
    assert made(te).plot().axes[0].get_title() == "20 pairs, not tested"


@pytest.mark.parametrize("units", [2, 9, 60])
def test_nothing_is_cut_off(units):
    names = tuple(f"a name that is long, of ${u}$" for u in range(units))
    te = drawn(units)
    q = np.where(te > 1 - 60 / units**2, 0.01, 1)
    figure = made(te, names, q).plot()
    figure.canvas.draw()
    inside = figure.bbox
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= inside.x1 + 1
        assert box.y1 <= inside.y1 + 1
    first, second, *_ = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert not first.overlaps(second)


def test_some_sources_fill_the_picture():
    te = drawn(40)[:3]
    names = tuple(range(40))
    network = tefast.Network(te, np.ones(te.shape, int), names, (0, 1, 2))
    figure = network.plot()
    figure.canvas.draw()
    box = figure.axes[0].get_window_extent()
    assert box.height > box.width / 2
