"""Units that stay stand in for those that go: moments, folded weights, a twin in plain Python."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_twin import run
from torch import nn

from tefast.nn import mask, moments, prune

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


class Model(nn.Module):
    """A layer whose outputs an activation and then a Linear read."""

    def __init__(self, kind="LSTM", units=6, between=None, seed=0, **options):
        super().__init__()
        torch.manual_seed(seed)
        self.rnn = KINDS[kind](3, units, batch_first=True, **options)
        width = (options.get("proj_size") or units) * (2 if options.get("bidirectional") else 1)
        self.fc = nn.Linear(width, 2)
        self.between = between
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.9, 0.9)

    def forward(self, x):
        o = self.rnn(x)[0]
        return self.fc(o if self.between is None else self.between(o))


def data(batches=3, seed=1, n=5, steps=7, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, steps, 3, generator=generator, dtype=dtype), torch.zeros(n).long())
        for _ in range(batches)
    ]


def stand_in(rows, kept, gone, ridge, intercept):
    """The matrix and constant of ridge regression, by NumPy's general solver."""
    x = np.asarray(rows)
    mean = x.mean(0) if intercept else 0 * x[0]
    c = (x - mean).T @ (x - mean)
    inner = c[np.ix_(kept, kept)]
    inner = inner + ridge * np.trace(inner) / len(kept) * np.eye(len(kept))
    a = np.linalg.solve(inner, c[np.ix_(kept, gone)])
    return a, mean[gone] - mean[kept] @ a if intercept else np.zeros(len(gone))


class Twin:
    """A model in which a removed unit is, at every step, a linear function of those that stay."""

    def __init__(self, model, batches, gone, outputs, ridge, intercept):
        self.model, self.gone, self.outputs, self.parts = model, gone, outputs, list(gone)
        self.last = max(layer for layer, _ in self.parts)
        self.of = {}
        for place, rows in self.collected(batches).items():
            away = self.away(place)
            stay = [feature for feature in range(len(rows[0])) if feature not in away]
            inner = isinstance(place, tuple) and place[0] == "units"
            constant = intercept and not inner and (place == "reader" or model.rnn.bias)
            self.of[place] = (stay, away, *stand_in(rows, stay, away, ridge, constant))

    def collected(self, batches):
        """What is read at each place, at all steps of all sequences."""
        rows = {}
        for x, _ in batches:
            for one in x.tolist():
                seen = {}
                out, _ = run(
                    self.model.rnn,
                    one,
                    told=lambda place, v, seen=seen: seen.setdefault(place, []).append(v) or v,
                )
                for layer in range(self.last + 1):
                    both = out if layer == self.last else seen[layer]
                    parts = self.parts_of(layer)
                    width = len(both[0]) // len(parts)
                    rows.setdefault(layer, []).extend(both)
                    for n, part in enumerate(parts):
                        own = [step[n * width : (n + 1) * width] for step in both]
                        rows.setdefault(part, []).extend(own)
                for place in seen:
                    if isinstance(place, tuple) and place[0] == "units":
                        rows.setdefault(place, []).extend(seen[place])
                rows.setdefault("reader", []).extend(self.acted(out))
        return rows

    def acted(self, out):
        x = torch.tensor(out, dtype=torch.float64)
        return (x if self.model.between is None else self.model.between(x)).tolist()

    def parts_of(self, layer):
        return [part for part in self.parts if part[0] == layer]

    def away(self, place):
        """Which features of a place go."""
        if isinstance(place, tuple):
            return list(self.gone[place[1]] if place[0] == "units" else self.outputs[place])
        layer, rnn = self.last if place == "reader" else place, self.model.rnn
        width = rnn.proj_size or rnn.hidden_size
        return [n * width + u for n, p in enumerate(self.parts_of(layer)) for u in self.outputs[p]]

    def told(self, place, vector):
        stay, away, a, b = self.of[place]
        found = list(vector)
        for unit, value in zip(away, np.asarray(vector)[stay] @ a + b, strict=True):
            found[unit] = float(value)
        return found

    def __call__(self, x, start=None):
        weight, bias = self.model.fc.weight.detach(), self.model.fc.bias.detach()
        found = []
        for one in x.tolist():
            out, _ = run(self.model.rnn, one, start=start, told=self.told)
            read = [self.told("reader", step) for step in self.acted(out)]
            found.append(torch.tensor(read, dtype=torch.float64) @ weight.T + bias)
        return torch.stack(found)


def drawn_units(rng, model):
    """Units of every part, and projected outputs, that go."""
    rnn = model.rnn
    ways = 1 + rnn.bidirectional
    parts = [(layer, way) for layer in range(rnn.num_layers) for way in range(ways)]
    proj = rnn.proj_size
    gone, outputs = {}, {}
    count = rng.integers(1, rnn.hidden_size - proj)
    away = rng.integers(0, proj) if proj else 0
    for part in parts:
        gone[part] = sorted(rng.choice(rnn.hidden_size, count, replace=False).tolist())
        outputs[part] = (
            sorted(rng.choice(proj, away, replace=False).tolist()) if proj else gone[part]
        )
    return gone, outputs, (outputs if proj else None)


def close(ours, theirs):
    scale = theirs.abs().max()
    assert (ours - theirs).abs().max() <= 1e-12 * max(float(scale), 1.0), (
        (ours - theirs).abs().max()
    )


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["LSTM", "GRU", "RNN"]),
    layers=st.integers(1, 2),
    both=st.booleans(),
    bias=st.booleans(),
    projected=st.booleans(),
    between=st.sampled_from([None, torch.sigmoid, torch.relu]),
    ridge=st.sampled_from([1e-2, 1e-1]),
    intercept=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_a_pruned_model_is_its_twin(
    kind, layers, both, bias, projected, between, ridge, intercept, seed
):
    options = {"num_layers": layers, "bidirectional": both, "bias": bias}
    if projected and kind == "LSTM":
        options["proj_size"] = 3
    model = Model(kind, between=between, seed=seed, **options).double()
    batches = data(batches=2, n=3, steps=4, seed=seed)
    gone, outputs, projections = drawn_units(np.random.default_rng(seed), model)
    found = moments(model, batches)
    found.ridge, found.intercept = ridge, intercept
    units = gone if len(gone) > 1 else gone[0, 0]
    if projections is not None and len(projections) == 1:
        projections = projections[0, 0]
    twin = Twin(model, batches, gone, outputs, ridge, intercept)
    x = data(batches=1, n=2, steps=6, seed=seed + 1)[0][0]
    smaller = prune(model, units, projections=projections, moments=found)
    close(smaller(x).detach(), twin(x))
    masked = mask(model, units, projections=projections, moments=found)
    close(masked(x).detach(), twin(x))
    assert smaller.rnn.weight_hh_l0.shape[0] < model.rnn.weight_hh_l0.shape[0]
