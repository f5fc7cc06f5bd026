"""What is seen of recurrent layers: packed, in both directions, projected, in steps, called twice.

Held to loops in plain Python over one sequence at a time.
"""

import math
from collections import deque

import pytest
import recurrent_twin as twin
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import tefast
from tefast.nn import Context, RecurrentStack, criteria, score

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]

OPTIONS = {"bins": 3, "y_range": (0.0, 1.0)}


def by_hand(rnn: nn.Module, x: list) -> dict:
    """(outputs, units, cells) of every part of a layer, for one sequence x (T, D)."""
    parts, found = twin.weights(rnn), {}
    kind = getattr(rnn, "mode", type(rnn).__name__.removesuffix("Cell"))
    for layer in range(1 + max(layer for layer, _ in parts)):
        both = []
        for part in [part for part in parts if part[0] == layer]:
            way = -1 if part[1] else 1
            h, c = twin.zeros(parts[part])
            rows = []
            for step in x[::way]:
                gates: list = []
                h, c = twin.one_step(kind, parts[part], step, h, c, {}, gates)
                units = [g[3] * math.tanh(v) for g, v in zip(gates[0], c, strict=True)] \
                    if kind == "LSTM" else h  # fmt: skip
                rows.append((h, units, c))
            found[part] = tuple(zip(*rows[::way], strict=True))
            both.append(found[part][0])
        x = [[value for way in ways for value in way] for ways in zip(*both, strict=True)]
    return found


class Packed(nn.Module):
    """A layer on packed sequences and a head at every step."""

    def __init__(self, rnn: nn.Module, features: int, enforce: bool = False) -> None:
        super().__init__()
        self.rnn, self.fc, self.enforce = rnn, nn.Linear(features, 3), enforce
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1, 1)
        self.double()

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        first = self.rnn.batch_first
        x = x if first else x.transpose(0, 1)
        packed = pack_padded_sequence(x, lengths, first, enforce_sorted=self.enforce)
        output = pad_packed_sequence(self.rnn(packed)[0], first)[0]
        logits = self.fc(output)
        return logits if first else logits.transpose(0, 1)


def features(rnn: nn.Module) -> int:
    return 4 if rnn.proj_size == 0 else 2


def outputs_of(model: nn.Module, batches: list, what: str = "units", **how) -> list:  # type: ignore[no-untyped-def]
    """(h, lengths) as a criterion gets them."""
    found: list = []

    def keep(context: Context) -> torch.Tensor:
        found.extend(context.outputs())
        return torch.zeros(context.units)

    score(model, batches, keep, of=what, **how)
    return found


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_packed_layers_against_loops(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([nn.LSTM, nn.GRU, nn.RNN]))
    options = {
        "num_layers": data.draw(st.integers(1, 2)),
        "bidirectional": data.draw(st.booleans()),
        "batch_first": data.draw(st.booleans()),
    }
    if kind is nn.LSTM and data.draw(st.booleans()):
        options["proj_size"] = 2
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    enforce = data.draw(st.booleans())
    if enforce:
        lengths = lengths.sort(descending=True).values
    torch.manual_seed(data.draw(st.integers(0, 9)))
    rnn = kind(3, 4, **options)
    model = Packed(rnn, (2 if "proj_size" in options else 4) * (1 + rnn.bidirectional), enforce)
    x = torch.randn(len(lengths), int(lengths.max()) + 1, 3).double()
    run = {"forward": lambda model, batch: model(batch[0], lengths)}
    what = data.draw(st.sampled_from(["units", "outputs"])) if rnn.proj_size else "units"
    ((h, found),) = outputs_of(model, [(x,)], what, **run)
    assert torch.equal(found, lengths)
    assert h.shape[:2] == (len(x), lengths.max())
    for row, length in enumerate(lengths.tolist()):
        parts = by_hand(rnn, x[row, :length].tolist())
        each = [torch.tensor(parts[part][what == "units"], dtype=torch.float64) for part in parts]
        expected = torch.cat(each, 1)
        torch.testing.assert_close(h[row, :length], expected, rtol=0, atol=1e-12)


def data(n: int = 20, steps: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    lengths = torch.randint(2, steps + 1, (n,))
    lengths[3] = steps
    return torch.randn(n, steps, 3).double(), torch.randint(0, 3, (n,)), lengths


STREAMED = ("transfer_entropy", "reverse_transfer_entropy", "mutual_information", "entropy",
            "active_information", "activation_magnitude", "taylor")  # fmt: skip


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", STREAMED)
def test_packed_sequences_tell_their_lengths(name: str, bidirectional: bool) -> None:
    x, labels, lengths = data()
    model = Packed(nn.LSTM(3, 4, 2, batch_first=True, bidirectional=bidirectional),
                   4 * (1 + bidirectional))  # fmt: skip
    told = {"forward": lambda model, batch: model(batch[0], batch[2])}
    hidden = {"forward": lambda model, batch: model(batch[0], lengths)}
    expected = score(model, [(x, labels, lengths)], name, **told)
    found = score(model, [(x, labels)], name, **hidden)
    for part, scores in expected.items():
        assert torch.equal(found[part], scores)
        assert (scores > 0).any()
    if name != "taylor":  # and not those of the padding, on which it would be another number
        padded = model(x, lengths).softmax(2).gather(2, labels[:, None, None].expand(-1, 8, 1))
        ((h, _),) = outputs_of(model, [(x, labels)], **hidden)
        if name == "transfer_entropy":
            every = tefast.transfer_entropy(
                h, padded[..., 0].detach(), 16, h_range=(-1, 1), y_range=(0, 1), lengths=lengths
            )
            torch.testing.assert_close(torch.cat(list(found.values())), every, rtol=0, atol=1e-12)


def test_lengths_that_disagree() -> None:
    x, labels, lengths = data()
    model = Packed(nn.GRU(3, 4, batch_first=True), 4)
    told = {"forward": lambda model, batch: model(batch[0], lengths)}
    with pytest.raises(ValueError, match=r"lengths: the batch says \d+ for sequence \d.* labels="):
        score(model, [(x, labels, lengths - (lengths > 2).long())], "entropy", **told)
    # The ordinary order of a text classifier: what is taken for lengths are labels.
    with pytest.raises(ValueError, match="lengths: the batch says"):
        score(model, [(x, lengths, labels)], "entropy", **told)
    expected = score(model, [(x, labels, lengths)], "transfer_entropy", **told)[0, 0]
    by_function = {"labels": lambda batch: batch[2], "lengths": lambda batch: batch[1]}
    for where in ({"labels": 2, "lengths": 1}, {"labels": 2, "lengths": False}, by_function):
        found = score(model, [(x, lengths, labels)], "transfer_entropy", **told, **where)
        assert torch.equal(found[0, 0], expected)


def test_sequences_sorted_by_the_model_itself() -> None:
    """Rows of the layer would be beside the wrong rows of the series."""
    x, labels, lengths = data()

    class Sorted(Packed):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            order = lengths.argsort(descending=True, stable=True)
            return super().forward(x[order], lengths[order])[order.argsort()]

    model = Sorted(nn.GRU(3, 4, batch_first=True), 4, enforce=True)
    run = {"forward": lambda model, batch: model(batch[0], lengths)}
    with pytest.raises(ValueError, match=r"sorted by length, .* lengths=, or pack with enforce_s"):
        score(model, [(x, labels)], "transfer_entropy", **run)
    with pytest.raises(ValueError, match=r"lengths: the batch says .*keep the order"):
        score(model, [(x, labels, lengths)], "transfer_entropy", **run)
    assert (score(model, [(x, labels)], "entropy", **run)[0, 0] > 0).all()  # no series
    order = lengths.argsort(descending=True, stable=True)
    run = {"forward": lambda model, batch: model(batch[0], batch[2])}
    batch = (x[order], labels[order], lengths[order])  # sorted beforehand, and said to be
    found = score(model, [batch], "transfer_entropy", **run)[0, 0]
    plain = Packed(nn.GRU(3, 4, batch_first=True), 4)
    plain.load_state_dict(model.state_dict())
    expected = score(plain, [(x, labels, lengths)], "transfer_entropy", **run)[0, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


class Tagger(nn.Module):
    """A head at every step of a layer, or of a cell in a loop."""

    def __init__(self, kind: type, steps: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = kind(3, 4) if issubclass(kind, nn.RNNCellBase) else kind(3, 4, batch_first=True)
        self.fc, self.steps, self.noted = nn.Linear(4, 3), steps, []
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1, 1)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.steps:
            return self.fc(self.rnn(x)[0])
        state, outputs = None, []
        for some in x.split(self.steps, dim=1):
            if isinstance(self.rnn, nn.RNNCellBase):
                state = self.rnn(some[:, 0], state)
                outputs.append((state[0] if isinstance(state, tuple) else state)[:, None])
            else:
                output, state = self.rnn(some, state)
                outputs.append(output)
        return self.fc(torch.cat(outputs, 1))


LAYERS = {nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU, nn.RNNCell: nn.RNN}


@pytest.mark.parametrize("kind", [*LAYERS, *LAYERS.values()])
def test_steps_one_by_one_are_those_of_one_run(kind: type) -> None:
    x, labels, lengths = data()
    cell = kind in LAYERS
    whole, parts = Tagger(LAYERS.get(kind, kind)), Tagger(kind, 1 if cell else 3)
    for one, other in zip(parts.parameters(), whole.parameters(), strict=True):
        one.data.copy_(other.data)
    for name in (*STREAMED, "l1", "l2", "random"):
        for batch in ((x, labels), (x, labels, lengths)):
            expected = score(whole, [batch], name, bins=4)[0, 0]
            found = score(parts, [batch], name, bins=4)[0, 0]
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12, msg=name)
    frozen = parts.requires_grad_(False)
    found = score(frozen, [(x, labels)], "taylor")[0, 0]
    torch.testing.assert_close(found, score(whole, [(x, labels)], "taylor")[0, 0])


def test_stacked_layers_in_pieces() -> None:
    x, labels, _ = data()

    class Pieces(Tagger):
        def __init__(self, steps: int, stack: bool) -> None:
            super().__init__(nn.LSTM, steps)
            self.rnn = nn.LSTM(3, 4, 2, batch_first=True).double()
            if stack:
                uneven = {"l0": [1], "l1": []}
                self.rnn = tefast.nn.remove_units(self.rnn, uneven)
                assert isinstance(self.rnn, RecurrentStack)

    for stack in (False, True):
        torch.manual_seed(0)
        whole, parts = Pieces(0, stack), Pieces(3, stack)
        parts.load_state_dict(whole.state_dict())
        for name in ("transfer_entropy", "taylor", "active_information"):
            expected = score(whole, [(x, labels)], name, bins=4)
            found = score(parts, [(x, labels)], name, bins=4)
            for part, scores in expected.items():
                torch.testing.assert_close(found[part], scores, rtol=1e-9, atol=1e-12)


class Twice(nn.Module):
    """One layer for two sets of sequences, whose final states are compared."""

    def __init__(self, h_0: str = "none", kind: type = nn.GRU) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.h_0 = kind(3, 4, batch_first=True).double(), h_0
        self.start = nn.Parameter(torch.rand(1, 1, 4).double())

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return (self.encode(x) * self.encode(z)).sum(1, keepdim=True)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        given = {"none": None, "zeros": torch.zeros(1, len(x), 4).double(),
                 "learned": self.start.expand(1, len(x), 4).contiguous()}  # fmt: skip
        return self.rnn(x, given[self.h_0])[0][:, -1]


@pytest.mark.parametrize("h_0", ["none", "zeros", "learned"])
def test_a_layer_that_runs_twice(h_0: str) -> None:
    x, labels, _ = data()
    z = torch.randn(20, 5, 3).double()
    model, forward = Twice(h_0), lambda model, batch: model(*batch[0])
    found = outputs_of(model, [((x, z), labels)], forward=forward)
    assert [tuple(h.shape) for h, _ in found] == [(20, 8, 4), (20, 5, 4)]
    start = {"none": None}.get(h_0, model.start.expand(1, 20, 4) * (h_0 == "learned"))
    for (h, lengths), one in zip(found, (x, z), strict=True):
        assert torch.equal(h, model.rnn(one, start)[0])
        assert lengths is None
    series = {"source": lambda _result, batch: [one[..., 0] for one in batch[0]]}
    te = score(model, [((x, z), labels)], "transfer_entropy", forward=forward, bins=3,
                      y_range=(-1, 1), **series)[0, 0]  # fmt: skip
    counted = tefast.TransferEntropy(4, 3, h_range=(-1, 1), y_range=(-1, 1))
    for one in (x, z):
        counted.update(model.rnn(one, start)[0].detach(), one[..., 0])
    assert torch.equal(te, counted.compute())
    loss = {"loss": lambda result, batch: result.square().mean()}
    taylor = score(model, [((x, z), labels)], "taylor", forward=forward, **loss)[0, 0]
    first, second = (model.rnn(one, start)[0][:, -1].detach() for one in (x, z))
    # Masking the unit takes its product out of both factors: twice its share of the slope.
    slope = 2 * (first * second).sum(1, keepdim=True) / 20
    torch.testing.assert_close(taylor, (2 * slope * first * second).abs().mean(0) * 20)
    with pytest.raises(ValueError, match="several sets of sequences; give source="):
        score(model, [((x, z), labels)], "transfer_entropy", forward=forward,
                     source="squared_error")  # fmt: skip
    with pytest.raises(ValueError, match=r"source: expected one, or a list of 2 .*, got 3"):
        score(model, [((x, z), labels)], "transfer_entropy", forward=forward,
                     source=lambda _result, _batch: [x[..., 0]] * 3)  # fmt: skip


def test_states_of_which_it_is_not_clear_whose_they_are() -> None:
    x, labels, _ = data()

    class Damped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.fc = nn.LSTMCell(3, 4).double(), nn.Linear(4, 3).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state, outputs = None, []
            for step in x.unbind(1):
                state = None if state is None else (state[0] * 0.5, state[1])
                state = self.rnn(step, state)
                outputs.append(state[0])
            return self.fc(torch.stack(outputs, 1))

    model = Damped()
    with pytest.raises(ValueError, match=r'calls="steps" takes .* calls="sequences"'):
        score(model, [(x, labels)], "entropy")
    ((h, _),) = outputs_of(model, [(x, labels)], calls="steps")
    assert h.shape == (20, 8, 4)
    torch.testing.assert_close(model.fc(h), model(x))
    assert len(outputs_of(model, [(x, labels)], calls="sequences")) == 8
    with pytest.raises(ValueError, match="calls: expected one of auto, steps, sequences"):
        score(model, [(x, labels)], "entropy", calls="twice")


def test_sequences_that_end_before_others() -> None:
    """As decoders of captions run: the first sequences are the longest."""
    x, labels, lengths = data()
    lengths = lengths.sort(descending=True).values

    class Shrinking(Tagger):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state, outputs = None, x.new_zeros(20, 8, 4)
            for step in range(8):
                going = int((lengths > step).sum())
                state = None if state is None else state[:going]
                state = self.rnn(x[:going, step], state)
                outputs[:going, step] = state
            return self.fc(outputs)

    model, whole = Shrinking(nn.GRUCell), Tagger(nn.GRU)
    for one, other in zip(model.parameters(), whole.parameters(), strict=True):
        one.data.copy_(other.data)
    ((_, found),) = outputs_of(model, [(x, labels)])
    assert torch.equal(found, lengths)
    for name in ("transfer_entropy", "entropy", "taylor"):
        expected = score(whole, [(x, labels, lengths)], name, bins=4)[0, 0]
        torch.testing.assert_close(
            score(model, [(x, labels)], name, bins=4)[0, 0] if name != "taylor"
            else score(model, [(x, labels, lengths)], name, bins=4)[0, 0],
            expected, rtol=1e-9, atol=1e-12,
        )  # fmt: skip


@pytest.mark.parametrize("bidirectional", [False, True])
def test_projections_and_their_gradient(bidirectional: bool) -> None:
    x, labels, _ = data(12, 6)
    torch.manual_seed(0)

    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 5, 2, batch_first=True, bidirectional=bidirectional, proj_size=2)
            self.fc = nn.Linear(2 * (1 + bidirectional), 3)
            self.double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0])

    model = Projected()
    units = score(model, [(x, labels)], "taylor")
    outputs = score(model, [(x, labels)], "taylor", of="outputs")
    assert {len(one) for one in units.values()} == {5}
    assert {len(one) for one in outputs.values()} == {2}
    last = next(reversed(units))  # by hand: what the head makes of one unit of the last layer
    parts = [by_hand(model.rnn, sequence) for sequence in x.tolist()]
    m = torch.tensor([part[last][1] for part in parts], dtype=torch.float64)
    suffix = "l1_reverse" if bidirectional else "l1"
    weight = model.fc.weight[:, -2:] @ getattr(model.rnn, f"weight_hr_{suffix}")
    logits = model(x).detach().requires_grad_()
    flat = labels[:, None].expand(12, 6).flatten()
    nn.functional.cross_entropy(logits.flatten(0, 1), flat).backward()
    expected = (m * (logits.grad @ weight.detach())).sum(1).abs().sum(0)
    torch.testing.assert_close(units[last], expected)
    for name in ("l1", "l2"):
        rows = score(model, [], name, of="outputs")[last]
        power = 1 if name == "l1" else 2
        own = getattr(model.rnn, f"weight_hr_{suffix}").detach()
        torch.testing.assert_close(rows, own.norm(power, dim=1))
        assert len(score(model, [], name)[last]) == 5
    with pytest.raises(ValueError, match="h_range: projected outputs have no bound"):
        score(model, [(x, labels)], "entropy", of="outputs")
    given = {"h_range": None, "of": "outputs"}
    assert (score(model, [(x, labels)], "entropy", **given)[last] > 0).all()
    with pytest.raises(ValueError, match="of='outputs': expected an LSTM with proj_size"):
        score(Tagger(nn.GRU), [], "l1", of="outputs")


def test_batches_of_any_form_which_are_not_changed() -> None:
    x, labels, lengths = data()

    class Greedy(Packed):
        """Takes its batch apart, and changes what is in it."""

        def forward(self, batch: dict) -> torch.Tensor:  # type: ignore[override]
            x, lengths = batch.pop("x"), batch.pop("lengths")
            return super().forward(x.div_(2), lengths)

    model = Greedy(nn.GRU(3, 4, batch_first=True, bidirectional=True), 8)
    plain = Packed(nn.GRU(3, 4, batch_first=True, bidirectional=True), 8)
    plain.load_state_dict(model.state_dict())
    batch = {"x": x, "labels": labels, "lengths": lengths}
    before = x.clone()
    told = {"forward": lambda model, batch: model(batch[0] / 2, batch[2])}
    for name in ("transfer_entropy", "entropy", "taylor"):
        found = score(model, [batch], name, forward=lambda m, b: m(b), h_range=None)
        expected = score(plain, [(x, labels, lengths)], name, h_range=None, **told)
        assert all(torch.equal(found[part], expected[part]) for part in expected)
    assert torch.equal(x, before)
    assert list(batch) == ["x", "labels", "lengths"]
    with pytest.raises(TypeError, match=r"got dict; .* forward=function\(model, batch\)"):
        score(model, [batch], "entropy")
    with pytest.raises(TypeError, match=r"argument: 'lengths' \(the model was run as .* forward="):
        score(plain, [(x, labels)], "entropy")
    with pytest.raises(ValueError, match=r"labels: expected them at 'labels' .* with 'x'; labels="):
        score(model, [{"x": x}], "transfer_entropy",
                     forward=lambda m, b: m({**b, "lengths": lengths}))  # fmt: skip


def test_a_model_that_remembers_is_as_it_was() -> None:
    x, labels, _ = data()

    class Stateful(Tagger):
        def __init__(self) -> None:
            super().__init__(nn.GRU)
            self.state, self.kept, self.calls = None, torch.zeros(2), {"all": [0], "set": set()}
            self.recent = deque([1, 2], maxlen=2)
            self.register_buffer("runs", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output, self.state = self.rnn(x, self.state)
            self.runs += 1
            self.kept.add_(1)
            self.calls["all"].append(output)
            self.calls["set"].add(len(self.calls["all"]))
            self.calls[f"new {len(self.calls)}"] = output
            self.recent.append(output)
            self.other = output
            return self.fc(output)

    model = Stateful()
    ((one, _), (two, _)) = outputs_of(model, [(x, labels)] * 2)
    assert model.state is None
    assert model.runs == 0
    assert model.kept.tolist() == [0, 0]
    assert model.calls == {"all": [0], "set": set()}
    assert list(model.recent) == [1, 2]
    assert not hasattr(model, "other")
    first, state = model.rnn(x)
    assert torch.equal(one, first)
    assert torch.equal(two, model.rnn(x, state)[0])  # the state goes on from batch to batch


def test_hooks_of_the_users_own_stay_in_force() -> None:
    x, labels, _ = data()
    model = Packed(nn.GRU(3, 4, 2, batch_first=True), 4)
    run = {"forward": lambda model, batch: model(batch[0], torch.full((20,), 8))}
    seen: list = []
    handle = model.rnn.register_forward_hook(lambda _m, _a, result: (seen.append(1), result)[1])
    scores = score(model, [(x, labels)], "transfer_entropy", **run)
    assert seen
    handle.remove()
    expected = score(model, [(x, labels)], "transfer_entropy", **run)
    assert all(torch.equal(scores[part], expected[part]) for part in expected)
    doubled = model.rnn.register_forward_hook(
        lambda _m, _a, result: (result[0]._replace(data=result[0].data * 2), result[1])
    )
    other = score(model, [(x, labels)], "taylor", **run)
    doubled.remove()
    assert not torch.allclose(other[1, 0], score(model, [(x, labels)], "taylor", **run)[1, 0])


def test_without_gradients_around_and_relu_cells() -> None:
    x, labels, _ = data()
    model = Tagger(nn.GRU)
    expected = score(model, [(x, labels)], "taylor")[0, 0]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(score(model, [(x, labels)], "taylor")[0, 0], expected)
    with pytest.raises(ValueError, match="loss: expected a finite number, got nan"):
        score(model, [(x, labels)], "taylor", loss=lambda r, b: r.sum() * torch.nan)
    relu = Tagger(nn.RNNCell, 1)
    relu.rnn = nn.RNNCell(3, 4, nonlinearity="relu").double()
    with pytest.raises(ValueError, match="a relu RNN has no upper bound"):
        score(relu, [(x, labels)], "entropy")
    assert (score(relu, [(x, labels)], criteria.entropy, h_range=None)[0, 0] >= 0).all()


def test_an_object_that_the_model_counts_in_is_as_it_was() -> None:
    class Meter:
        def __init__(self) -> None:
            self.count, self.seen = 0, []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc, self.meter = (
                nn.LSTM(3, 4, batch_first=True),
                nn.Linear(4, 2),
                Meter(),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.meter.count += 1
            self.meter.seen.append(len(x))
            self.meter.last = x
            return self.fc(self.rnn(x)[0])

    model = Counting()
    meter = model.meter
    score(model, [(torch.randn(2, 5, 3), torch.tensor([0, 1]))], "l1")
    score(model, [(torch.randn(2, 5, 3), torch.tensor([0, 1]))], "activation_magnitude")
    assert model.meter is meter
    assert vars(meter) == {"count": 0, "seen": []}


class InPlace(nn.Module):
    """Changes what its layer gave, and what it was given, in place."""

    def __init__(self, layer: nn.Module, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.in_place = layer, in_place
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -0.9, 0.9)
        self.fc = nn.Linear(getattr(layer, "proj_size", 0) or 4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        if isinstance(self.rnn, nn.GRUCell):
            found, h = [], None
            for step in x.unbind(1):
                h = self.rnn(step, h)
                found.append(h.clone().relu_() if not self.in_place else h.relu_())
                h = found[-1]
            return self.fc(torch.stack(found, 1))
        o, _ = self.rnn(x)
        o = o.relu_() if self.in_place else o.relu()
        x.zero_() if self.in_place else None
        return self.fc(o)


@pytest.mark.parametrize(
    "kind",
    [
        lambda: nn.LSTM(3, 4, batch_first=True),
        lambda: nn.GRU(3, 4, batch_first=True, bidirectional=False, num_layers=2),
        lambda: nn.LSTM(3, 5, batch_first=True, proj_size=4),
        lambda: nn.GRUCell(3, 4),
    ],
)
@pytest.mark.parametrize("criterion", ["activation_magnitude", "transfer_entropy", "taylor"])
def test_what_is_changed_in_place_afterwards_was_another_value(kind, criterion) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(5, 7, 3, generator=generator), torch.arange(5) % 2)]
    ours, theirs = (
        score(
            InPlace(kind(), flag),
            batches,
            criterion,
            calls="steps" if "Cell" in str(kind()) else "auto",
        )
        for flag in (True, False)
    )
    for part in theirs:
        assert torch.equal(ours[part], theirs[part])
    if isinstance(kind(), nn.LSTM) and not kind().proj_size and criterion != "taylor":
        gates = [
            score(InPlace(kind(), flag), batches, criterion, of="gates") for flag in (True, False)
        ]
        assert torch.equal(gates[0][0, 0], gates[1][0, 0])
