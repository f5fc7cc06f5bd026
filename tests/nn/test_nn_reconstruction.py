"""What a removal costs, the criterion redundancy, and the smallest model within a loss."""

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import Model, data, stand_in

from tefast.nn import (
    TriedAmount,
    moments,
    prune,
    prune_in_steps,
    prune_to,
    reconstruction_error,
    score,
    select_units,
)
from tefast.nn._layers import grams

pytestmark = pytest.mark.usefixtures("one_thread")


def test_units_that_the_kept_ones_tell_exactly_cost_nothing():
    """Two units are copies of two others; without ridge the network stays what it was."""
    model = Model("GRU", units=6).double()
    with torch.no_grad():
        for parameter in model.rnn.parameters():
            gates = parameter.view(3, 6, -1)
            gates[:, 4:] = gates[:, :2]
    batches = data()
    found = moments(model, batches)
    found.ridge = 1e-12
    smaller = prune(model, [4, 5], moments=found)
    x = batches[0][0]
    assert torch.allclose(smaller(x), model(x), atol=1e-8)
    assert not torch.allclose(prune(model, [4, 5])(x), model(x), atol=1e-3)
    error = reconstruction_error(model, [4, 5], found)
    assert all(one.left < 1e-9 < 1e-2 < one.without for one in error.values())


def test_errors_are_those_of_the_weights_outputs():
    model = Model("LSTM", between=torch.tanh).double()
    batches = data()
    found = moments(model, batches)
    found.ridge, gone = 1e-2, [0, 2]
    error = reconstruction_error(model, gone, found)
    with torch.no_grad():
        rows = torch.cat([torch.tanh(model.rnn(x)[0]).flatten(0, 1) for x, _ in batches])
        kept = [1, 3, 4, 5]
        a, _ = stand_in(rows, kept, gone, 1e-2, False)
        told, zeros = rows.clone(), rows.clone()
        told[:, gone] = rows[:, kept] @ torch.tensor(a)
        zeros[:, gone] = 0
        full = model.fc(rows)
        variance = (full - full.mean(0)).square().sum()
        for expected, got in ((told, error["fc.input"].left), (zeros, error["fc.input"].without)):
            assert got == pytest.approx(
                float((model.fc(expected) - full).square().sum() / variance)
            )


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(1, 30), st.integers(0, 2**20), st.integers(1, 8))
def test_redundancy_is_elimination_one_by_one(width, rows, seed, steps):
    x = np.random.default_rng(seed).normal(size=(rows, width)).round(2)
    second = x.T @ x
    with mock.patch.object(grams, "_STEPS", steps):
        found = grams.eliminated(torch.tensor(second), 1e-3).numpy()
    scale = second.trace() / width
    if scale == 0:
        assert (found == 0).all()
        return
    inner = second + 1e-3 * scale * np.eye(width)
    left, expected, least = list(range(width)), np.zeros(width), 0.0
    while left:
        residual = [1 / np.linalg.inv(inner[np.ix_(left, left)])[i, i] for i in range(len(left))]
        order = int(np.argmin(residual))
        least = max(least, residual[order])
        expected[left.pop(order)] = least
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-6)


def test_redundant_units_go_first():
    model = Model("GRU", units=6).double()
    with torch.no_grad():
        for parameter in model.rnn.parameters():
            gates = parameter.view(3, 6, -1)
            gates[:, 4] = gates[:, 1]
    scores = score(model, data(), "redundancy")[0, 0]
    assert int(scores.argmin()) in (1, 4)
    assert scores.min() < 0.05 * scores.sort().values[1]
    assert int(select_units(score(model, data(), "redundancy")[0, 0], 1, descending=False)) in (
        1,
        4,
    )


def test_steps_and_the_smallest_model():
    model, batches = Model("LSTM", units=16).double(), data(batches=6)
    x = torch.cat([x for x, _ in batches])
    whole = model(x).detach()

    def near(one):
        return -float((one(x).detach() - whole).square().mean())

    plain, _ = prune_in_steps(model, batches, "random", amount=0.5, steps=2)
    ours, rows = prune_in_steps(model, batches, "random", amount=0.5, steps=2, reconstruct=True)
    assert sum(row.removed for row in rows) == 8
    assert near(ours) > near(plain)
    seen = []
    best, tried = prune_to(model, batches, near, drop=0.01, on_try=seen.append)
    assert tried[0].good
    assert tried[0].removed == 0
    assert seen == tried[1:]
    good = max((one for one in tried if one.good), key=lambda one: one.removed)
    assert sum(p.numel() for p in best.parameters()) == good.parameters
    assert near(best) >= -0.01
    assert len({one.removed for one in tried}) == len(tried)
    whole_model, tried = prune_to(
        model, batches, lambda one: -near(one), drop=0.0, higher_is_better=False
    )
    assert [one.good for one in tried] == [True] + [False] * (len(tried) - 1)
    assert len(tried) > 2
    assert torch.equal(whole_model(x), model(x))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("drop", -1, "drop: expected"),
        ("tries", 0, "tries: expected"),
        ("most", 2.0, "most: expected"),
    ],
)
def test_prune_to_says_what_it_expected(option, value, message):
    with pytest.raises(ValueError, match=message):
        prune_to(Model(), data(dtype=torch.float32), lambda one: 0.0, **{option: value})


def test_the_plot_has_every_amount(tmp_path):
    from tefast import plot

    tried = [TriedAmount(0.0, 0, 5000, 97.9, True), TriedAmount(0.5, 50, 1000, 40.2, False)]
    figure = plot.amounts(tried)
    drawn = [tuple(map(float, point)) for line in figure.axes[0].lines[:2]
             for point in line.get_xydata()]  # fmt: skip
    assert drawn == [(5000.0, 97.9), (1000.0, 40.2)]
    assert [text.get_text() for text in figure.axes[0].texts] == ["50", "0"]
    plot.write(figure, tmp_path / "amounts.png")
