"""Folded weights are those of a twin in which removed units are told from the others."""

import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_twin import run
from stand_in import KINDS, Model, close, data, stand_in
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tefast.nn import (
    mask,
    mask_units,
    moments,
    prune,
    reconstruction_error,
    remove_units,
    score,
    slice_state,
)

pytestmark = pytest.mark.usefixtures("one_thread")


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


@pytest.mark.parametrize("kind", KINDS)
def test_states_gradients_and_packed_sequences(kind):
    model = Model(kind).double()
    batches, gone = data(), {(0, 0): [1, 4]}
    found = moments(model, batches)
    twin = Twin(model, batches, gone, gone, found.ridge, False)
    smaller = prune(model, [1, 4], moments=found)
    x = data(batches=1, n=1, steps=5, seed=9)[0][0]
    h = torch.linspace(-0.5, 0.5, 6, dtype=torch.float64).view(1, 1, 6)
    pair = (h, 0.3 * h) if kind == "LSTM" else h
    start = {(0, 0): (h.flatten().tolist(), (0.3 * h).flatten().tolist())}
    out, _ = smaller.rnn(x, slice_state(model.rnn, pair, [1, 4]))
    close(smaller.fc(out).detach(), twin(x, start))
    masked = mask(model, [1, 4], moments=found)
    for one in (smaller, masked):
        one(x).square().sum().backward()
    keep = [0, 2, 3, 5]
    rows = [gate * 6 + unit for gate in range(len(model.rnn.weight_hh_l0) // 6) for unit in keep]
    close(smaller.rnn.weight_ih_l0.grad, masked.rnn.weight_ih_l0.grad[rows])
    close(smaller.fc.weight.grad, masked.fc.weight.grad[:, keep])
    packed = pack_padded_sequence(torch.cat([x, x.flip(1)]), torch.tensor([5, 3]), batch_first=True)
    ours, theirs = (
        one.fc(pad_packed_sequence(one.rnn(packed)[0], batch_first=True)[0])
        for one in (smaller, masked)
    )
    close(ours[1, :3].detach(), theirs[1, :3].detach())


@pytest.mark.parametrize("kind", KINDS)
def test_with_zero_moments_it_is_removal_as_without_bit_for_bit(kind):
    model = Model(kind, num_layers=2, bidirectional=True)
    with torch.no_grad():
        model.rnn.weight_hh_l0[0, 0] = -0.0
    batches = data(dtype=torch.float32)
    found = moments(model, batches)
    units = {"l0": [0, 3], "l0_reverse": [1, 2], "l1": [5, 0], "l1_reverse": [4, 3]}
    for gram in found.grams.values():
        for tensor in gram.tensors():
            tensor.zero_()
    ours, theirs = prune(model, units, moments=found), prune(model, units)
    for (name, one), other in zip(
        ours.state_dict().items(), theirs.state_dict().values(), strict=True
    ):
        assert one.numpy().tobytes() == other.numpy().tobytes(), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["constant", "equal", "few", "one left", "dead"])
@pytest.mark.parametrize("intercept", [False, True])
def test_numbers_stay_finite(kind, case, intercept):
    model = Model(kind, units=12).double()
    with torch.no_grad():
        gates = len(model.rnn.weight_ih_l0) // 12
        for parameter in model.rnn.parameters():
            rows = parameter.view(gates, 12, -1)
            if case == "constant":
                rows[:, :6] = 40.0 if parameter.ndim == 1 else 0.0
            if case == "equal":
                rows[:, :] = rows[:, :1]
            if case == "dead":
                rows[:, :6] = 0.0
    batches = data(batches=1, n=1, steps=2) if case == "few" else data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = moments(model, batches)
        found.intercept = intercept
        units = list(range(1, 12)) if case == "one left" else [0, 1, 2, 7, 8]
        smaller = prune(model, units, moments=found)
        assert all(bool(p.isfinite().all()) for p in smaller.parameters())
        scores = score(model, batches, "redundancy")[0, 0]
    assert bool(scores.isfinite().all())
    assert bool((scores >= 0).all())
    x = data(seed=4)[0][0]
    close(smaller(x).detach(), mask(model, units, moments=found)(x).detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_models_of_other_precisions_keep_theirs(dtype):
    model = Model("LSTM").to(dtype)
    batches = [(x.to(dtype), y) for x, y in data()]
    found = moments(model, batches)
    smaller = prune(model, [0, 5], moments=found)
    assert all(p.dtype == dtype for p in smaller.parameters())
    assert found.grams["rnn.l0"].second.dtype == torch.float64
    wide = moments(copy.deepcopy(model).double(), [(x.double(), y) for x, y in batches])
    exact = prune(copy.deepcopy(model).double(), [0, 5], moments=wide)
    error = (smaller.fc.weight.double() - exact.fc.weight).abs().max()
    assert error < 40 * torch.finfo(dtype).eps


def test_a_layer_alone():
    """What reads the layer is left as it is; at its own next step the others stand in."""
    model = Model("LSTM").double()
    found = moments(model, data())
    x = data(seed=5)[0][0]
    small = remove_units(model.rnn, [1, 2], moments=found)
    wide = mask_units(model.rnn, [1, 2], moments=found)
    whole = prune(model, [1, 2], moments=found)
    close(small(x)[0].detach(), whole.rnn(x)[0].detach())
    close(small(x)[0].detach(), wide(x)[0][..., [0, 3, 4, 5]].detach())
    with pytest.raises(ValueError, match=r"of 7 features at 'rnn\.l0', got 6"):
        remove_units(nn.LSTM(3, 7), [1], moments=found)


class Cells(nn.Module):
    """A cell, step by step."""

    def __init__(self, cell):
        super().__init__()
        torch.manual_seed(3)
        self.rnn, self.fc = cell(3, 6), nn.Linear(6, 2)

    def forward(self, x):
        state, found = None, []
        for step in x.unbind(1):
            state = self.rnn(step, state)
            found.append(self.fc(state[0] if isinstance(state, tuple) else state))
        return torch.stack(found, 1)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_cells_are_as_layers(kind):
    model = Cells(getattr(nn, f"{kind}Cell")).double()
    layer = Model(kind).double()
    for name, parameter in layer.rnn.named_parameters():
        parameter.data = model.rnn.get_parameter(name.removesuffix("_l0")).data.clone()
    layer.fc.load_state_dict(model.fc.state_dict())
    batches = data()
    ours = prune(model, [0, 3], moments=moments(model, batches))
    theirs = prune(layer, [0, 3], moments=moments(layer, batches))
    close(ours(batches[0][0]).detach(), theirs(batches[0][0]).detach())


def test_a_stack_of_unequal_widths():
    model = Model("LSTM", num_layers=2, bidirectional=True).double()
    batches = data()
    first = prune(
        model, {"l0": [1, 2], "l0_reverse": [5], "l1": [0]}, moments=moments(model, batches)
    )
    assert type(first.rnn).__name__ == "RecurrentStack"
    found = moments(first, batches)
    units = {"l0_reverse": [0, 1], "l1_reverse": [3]}
    second = prune(first, units, moments=found)
    close(second(batches[0][0]).detach(), mask(first, units, moments=found)(batches[0][0]).detach())
    error = reconstruction_error(first, units, found)
    assert all(one.left <= one.without for one in error.values())


class Readers(nn.Module):
    """Several modules read the layer, in several ways."""

    def __init__(self, of):
        super().__init__()
        torch.manual_seed(4)
        self.rnn, self.fc = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 2)
        self.norm, self.layer_norm = nn.BatchNorm1d(6), nn.LayerNorm(6)
        self.conv, self.valid = nn.Conv1d(6, 2, 3, padding=1), nn.Conv1d(6, 2, 3)
        self.transposed, self.wide = nn.ConvTranspose1d(6, 2, 3), nn.Linear(9, 2)
        self.both = nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        self.bilinear, self.other = nn.Bilinear(6, 6, 2), nn.GRU(6, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.of = of

    def forward(self, x):
        return self.of(self, self.rnn(x)[0], x)


READERS = {
    "batch norm": lambda m, o, x: m.fc(m.norm(o.mT).mT),
    "convolution": lambda m, o, x: m.conv(o.mT),
    "valid convolution": lambda m, o, x: m.valid(o.mT),
    "transposed": lambda m, o, x: m.transposed(o.mT),
    "bilinear": lambda m, o, x: m.bilinear(o, o.relu()),
    "recurrent": lambda m, o, x: m.other(o)[0],
    "both ways": lambda m, o, x: m.both(o)[0],
    "pooled": lambda m, o, x: m.fc(o.mean(1)),
    "two": lambda m, o, x: m.fc(o.sigmoid()) + m.other(o)[0].mean(),
    "key and value": lambda m, o, x: m.attention(x.repeat(1, 1, 2), o, o)[0],
    "query": lambda m, o, x: m.attention(o, x.repeat(1, 1, 2), x.repeat(1, 1, 2))[0],
    "steps first": lambda m, o, x: m.fc(o.transpose(0, 1)),
    "with input": lambda m, o, x: m.wide(torch.cat([x, o.cos()], -1)),
    "in place": lambda m, o, x: m.fc(o.clone().relu_()),
}


CHANNELS = (nn.Conv1d, nn.ConvTranspose1d)


def inputs_of(module, args, kwargs):
    """The inputs by name, features last."""
    names = ["input1", "input2"] if isinstance(module, nn.Bilinear) else ["input"]
    names = ["query", "key", "value"] if isinstance(module, nn.MultiheadAttention) else names
    given = dict(zip(names, args, strict=False)) | kwargs
    return {name: one.mT if isinstance(module, CHANNELS) else one for name, one in given.items()}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("intercept", [False, True])
def test_a_reader_gets_what_the_others_say_of_the_removed_features(name, intercept):
    """The weights as they were, on an input whose removed features are told from the others."""
    model = Readers(READERS[name]).double()
    batches = data(batches=4)
    with torch.no_grad():
        model.norm.train()
        for x, _ in batches:  # running statistics
            model.norm(model.rnn(x)[0].mT)
    model.eval()
    found = moments(model, batches)
    found.ridge, found.intercept = 1e-2, intercept
    gone = [0, 4, 5]
    ours, twin = prune(model, gone, moments=found), mask(model, gone, moments=found)
    x = data(batches=1, seed=8)[0][0]
    close(ours(x).detach(), twin(x).detach())
    acting = {of: roles for of, roles in found.labels.items() if of != "norm"}
    for of, roles in acting.items():
        rows = {role: [] for role in roles}
        module = model.get_submodule(of)

        def note(module, args, kwargs, rows=rows):
            for role, seen in rows.items():
                seen.append(inputs_of(module, args, kwargs)[role].flatten(0, -2))

        handle = module.register_forward_pre_hook(note, with_kwargs=True)
        with torch.no_grad():
            for batch, _ in batches:
                model(batch)
        handle.remove()
        told = {}
        for role, labels in roles.items():
            away = [i for i, unit in enumerate(labels.tolist()) if unit in gone]
            stay = [i for i in range(len(labels)) if i not in away]
            nowhere = isinstance(module, nn.Bilinear | nn.ConvTranspose1d) or of == "conv"
            a, b = stand_in(torch.cat(rows[role]), stay, away, 1e-2, intercept and not nowhere)
            told[role] = stay, away, torch.tensor(a), torch.tensor(b)

        def replace(module, args, kwargs, told=told):
            given = inputs_of(module, args, kwargs)
            for role, (stay, away, a, b) in told.items():
                given[role] = given[role].clone()
                given[role][..., away] = given[role][..., stay] @ a + b
            turn = isinstance(module, CHANNELS)
            return tuple(one.mT if turn else one for one in given.values()), {}

        reader = twin.get_submodule(of)
        reader.load_state_dict(module.state_dict())
        reader.register_forward_pre_hook(replace, with_kwargs=True)
    close(ours(x).detach(), twin(x).detach())


def test_layers_that_lose_units_together():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.rnn = nn.LSTM(3, 6, batch_first=True)
            self.skip, self.fc = nn.Linear(3, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.fc(self.rnn(x)[0] + self.skip(x))

    model, batches = Tied().double(), data()
    found = moments(model, batches, tied=["skip"])
    ours = prune(model, [2, 3], moments=found, tied=["skip"])
    assert ours.skip.out_features == 4
    x = batches[0][0]
    plain = prune(model, [2, 3], tied=["skip"])
    assert (ours(x) - model(x)).square().sum() < 0.5 * (plain(x) - model(x)).square().sum()


def test_what_cannot_be_stood_in_for_is_refused():
    model = Readers(lambda m, o, x: m.fc(m.layer_norm(o)))
    with pytest.raises(ValueError, match="LayerNorm does not read the units linearly"):
        moments(model, data(dtype=torch.float32))
    model, batches = Model("LSTM"), data(dtype=torch.float32)
    found = moments(model, batches)
    model.other = nn.LSTM(3, 6)
    with pytest.raises(ValueError, match=r"expected those of \['other'\], got those of \['rnn'\]"):
        prune(model, [0], "other", moments=found)
    bad = [(torch.full((2, 3, 3), torch.nan), torch.zeros(2))]
    with pytest.raises(ValueError, match=r"moments at 'rnn.l0': expected finite values"):
        moments(model, bad)
    two = Readers(READERS["two"])
    only = moments(two, batches, consumers=["fc"])
    with pytest.raises(ValueError, match="there are none of what"):
        prune(two, [0], moments=only)
