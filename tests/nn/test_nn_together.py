"""Layers that go together, states in and out, sizes as numbers: what messages advise works."""

import ast
import copy
import re
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import tefast.nn as tnn
from tefast.nn import Arguments

X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).double()
TOKENS = torch.arange(12).view(2, 6)
FOUR = [0, 3, 4, 7]


def close(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def drawn(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return model.double().eval()


def as_advised(model: nn.Module, units: Any, rnn: str, **given: Any) -> tuple[nn.Module, set[str]]:
    """A pruned model, by doing what messages say until there is none; and what they said."""
    done: set[str] = set()
    for _ in range(4):
        try:
            return tnn.prune(model, units, rnn, **given), done
        except ValueError as error:
            found = re.findall(r'(tied|sizes|returned)=(\[[^]]*\]|"\w+")', str(error))
            new = {name: ast.literal_eval(value) for name, value in found}
            if not new or done & new.keys():
                raise
            given |= new
            done |= new.keys()
    raise AssertionError(done)


class Zeros(nn.Module):
    """Starts from zeros, as wide as the layer says, or as an attribute does."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)
        self.own, self.hidden_size = own, 8

    def forward(self, x: Tensor) -> Tensor:
        size = self.lstm.hidden_size if self.own else self.hidden_size
        h = torch.zeros(self.lstm.num_layers, len(x), size, dtype=x.dtype)
        return self.head(self.lstm(x, (h, h.clone()))[0][:, -1])


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.cell.hidden_size)
        c, found = torch.zeros_like(h), []
        for step in x.unbind(1):
            h, c = self.cell(step, (h, c))
            found.append(self.head(h))
        return torch.stack(found, 1)


@pytest.mark.parametrize(
    ("model", "rnn", "advised"),
    [(Zeros(True), "lstm", set()), (Zeros(False), "lstm", {"sizes"}), (Loop(), "cell", set())],
)
def test_zero_states_of_any_origin(model: nn.Module, rnn: str, advised: set[str]) -> None:
    model = drawn(model)
    units: Any = {"l0": FOUR, "l1": [1, 2, 5, 6]} if rnn == "lstm" else FOUR
    pruned, said = as_advised(model, units, rnn, example=X)
    assert said == advised
    masked = tnn.mask(model, units, rnn)
    for x in (X, torch.randn(3, 9, 4).double()):
        close(pruned(x), masked(x))


class Stateful(nn.Module):
    """Takes a state and gives one; the outputs reach a LayerNorm or a convolution."""

    def __init__(self, head: str) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8) if head == "norm" else nn.Identity()
        self.head = nn.Conv1d(8, 3, 1) if head == "conv" else nn.Linear(8, 3)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        o, state = self.lstm(x, state)
        o = self.norm(o)
        return self.head(o.mT if isinstance(self.head, nn.Conv1d) else o), state


@pytest.mark.parametrize("head", ["linear", "norm", "conv"])
@pytest.mark.parametrize("given", [False, True])
def test_states_in_and_out_on_request(head: str, given: bool) -> None:
    model, units = drawn(Stateful(head)), {"l0": FOUR, "l1": [1, 2, 5, 6]}
    zero = torch.zeros(2, 2, 8).double()
    example = (X, (zero, zero)) if given else (X,)
    pruned, said = as_advised(model, units, "lstm", example=example)
    assert said == {"returned"}
    masked = tnn.mask(model, units, "lstm")
    ours, theirs = pruned(X), masked(X)
    for _ in range(2):  # on from the state that came out
        close(ours[0], theirs[0])
        close(ours[1], tnn.slice_state(model.lstm, theirs[1], units))
        ours, theirs = pruned(X, ours[1]), masked(X, theirs[1])


def test_named_consumers_of_another_kind_point_to_what_finds_them() -> None:
    with pytest.raises(
        TypeError, match=r"LayerNorm; leave consumers out .* returned= .* examples="
    ):
        tnn.prune(Stateful("norm"), {"l0": [0]}, "lstm", consumers=["norm"])


class States(NamedTuple):
    actor: Any
    critic: Any


class Policy(nn.Module):
    """A recurrent policy, whose states are reset where an episode starts."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(4, 6)
        self.actor, self.critic = nn.LSTM(6, 8), nn.LSTM(6, 8)
        self.act, self.value = nn.Linear(8, 3), nn.Linear(8, 1)

    def steps(self, lstm: nn.LSTM, x: Tensor, state: Any, starts: Tensor) -> Any:
        if torch.all(starts == 0.0):
            return lstm(x, state)
        found = []
        for one, start in zip(x, starts, strict=True):
            keep = (1.0 - start).view(1, -1, 1)
            o, state = lstm(one[None], (keep * state[0], keep * state[1]))
            found.append(o)
        return torch.cat(found), state

    def forward(self, x: Tensor, states: States, starts: Tensor) -> Any:
        x = self.features(x)
        a, actor = self.steps(self.actor, x, states.actor, starts)
        b, critic = self.steps(self.critic, x, states.critic, starts)
        return self.act(a), self.value(b), States(actor, critic)


def test_flags_that_reset_a_state_are_none() -> None:
    model = drawn(Policy())
    zero = torch.zeros(1, 2, 8).double()
    x, starts = X.transpose(0, 1), torch.tensor([[1.0, 0], [0, 0], [0, 1], [0, 0], [1, 1]]).double()
    states = States((zero, zero), (zero, zero))
    pruned, said = as_advised(model, FOUR, "actor", example=(x, states, starts))
    assert said == {"returned"}
    masked, full = tnn.mask(model, FOUR, "actor"), (torch.randn(1, 2, 8).double(),) * 2
    for state in full:
        state[..., FOUR] = 0
    narrow = States(tnn.slice_state(model.actor, full, FOUR), full)
    for flags in (starts, 0 * starts):
        ours, theirs = pruned(x, narrow, flags), masked(x, States(full, full), flags)
        close(ours[:2], theirs[:2])
        close(ours[2].actor, tnn.slice_state(model.actor, theirs[2].actor, FOUR))


class Tasks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.norm = nn.LSTM(4, 8, batch_first=True), nn.LayerNorm(8)
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 2), "b": nn.Linear(8, 3)})
        self.decoder = nn.Linear(8, 5)

    def forward(self, x: Tensor, task: str = "a") -> Tensor:
        return self.heads[task](self.norm(self.lstm(x)[0]))

    def generate(self, x: Tensor) -> Tensor:
        return self.decoder(self.lstm(x)[0][:, -1])


def test_several_examples_and_other_methods() -> None:
    model = drawn(Tasks())
    examples = [(X, "a"), (X, "b"), Arguments.of("generate", X)]
    pruned, masked = (
        tnn.prune(model, FOUR, "lstm", examples=examples),
        tnn.mask(model, FOUR, "lstm"),
    )
    for task in "ab":
        close(pruned(X, task), masked(X, task))
    close(pruned.generate(X), masked.generate(X))
    assert pruned.decoder.in_features == 4
    with pytest.raises(ValueError, match="one of example and examples"):
        tnn.prune(model, FOUR, "lstm", example=X, examples=examples)
    with pytest.raises(TypeError, match="expected a sequence, got Tensor"):
        tnn.prune(model, FOUR, "lstm", examples=X)


class Seq2Seq(nn.Module):
    """The decoder starts from the encoder's final state."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(12, 5)
        self.encoder = kind(5, 8, 2, batch_first=True)
        self.decoder = kind(5, 8, 2, batch_first=True)
        self.out = nn.Linear(8, 12)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        state = self.encoder(self.embed(source))[1]
        return self.out(self.decoder(self.embed(target), state)[0])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("first", ["encoder", "decoder"])
def test_a_decoder_that_starts_from_the_encoders_state(kind: Any, first: str) -> None:
    model, units = drawn(Seq2Seq(kind)), {"l0": FOUR, "l1": [1, 2, 5]}
    example = (TOKENS, TOKENS[:, :4])
    pruned, said = as_advised(model, units, first, example=example)
    assert said == {"tied"}
    masked = tnn.mask(tnn.mask(model, units, "encoder"), units, "decoder")
    other = (torch.randint(0, 12, (3, 9)), torch.randint(0, 12, (3, 2)))
    close(pruned(*other), masked(*other))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(4, 8)
        self.one, self.two = (nn.LSTM(8, 8, batch_first=True) for _ in range(2))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        x = x + self.one(x)[0]
        return self.head(x + self.two(x)[0])


def test_residual_stacks_lose_the_same_units_by_one_score() -> None:
    model = drawn(Residual())
    data = [(X, torch.tensor([0, 1]))]
    scores = tnn.tied_scores(*(tnn.score(model, data, "l2", rnn=name) for name in ("one", "two")))
    units = tnn.select(scores, amount=0.5, descending=False)
    pruned, said = as_advised(model, units, "one", example=X)
    assert said == {"tied"}
    assert {pruned.two.hidden_size, pruned.one.input_size, pruned.front.out_features} == {4}
    gone = units[0, 0]
    masked = tnn.mask(tnn.mask(model, units, "one"), units, "two")
    with torch.no_grad():
        masked.front.weight[gone], masked.front.bias[gone] = 0, 0
    close(pruned(X), masked(X))


class Summed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 8, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        forward, backward = self.gru(x)[0].chunk(2, -1)
        return self.head(forward + backward)


def test_directions_that_are_summed_lose_the_same_units() -> None:
    model = drawn(Summed())
    scores = tnn.score(model, [(X, torch.tensor([0, 1]))], "l2", rnn="gru")
    with pytest.raises(ValueError, match=r"only one of them is removed.*tied_scores"):
        tnn.prune(model, tnn.select(scores, amount=0.5), "gru", example=X)
    units = tnn.select(tnn.tied_scores(scores, directions=True), amount=0.5)
    assert torch.equal(units[1, 0], units[1, 1])
    close(tnn.prune(model, units, "gru", example=X)(X), tnn.mask(model, units, "gru")(X))


def test_tied_scores() -> None:
    a, b = torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])
    assert tnn.tied_scores({(0, 0): a, (1, 0): a}, {(1, 0): b})[1, 0].tolist() == [2.0, 2.0]
    both = tnn.tied_scores({(0, 0): a, (0, 1): b, (1, 0): b, (1, 1): b}, directions=True)
    assert [one.tolist() for one in both.values()] == [[2, 2], [2, 2], [3, 0], [3, 0]]
    for wrong, match in (
        (({"a": a}, {"b": a}), "expected keys from .'a'., got 'b'"),
        (({"a": a}, {"a": a[:1]}), "as many units of each, got 2 and 1"),
        (({"a": a}, a), "expected mappings"),
    ):
        with pytest.raises((TypeError, ValueError), match=match):
            tnn.tied_scores(*wrong)
    with pytest.raises(ValueError, match=r"keys \(layer, direction\), got 'a'"):
        tnn.tied_scores({"a": a}, directions=True)


class Grouped(nn.Module):
    """Layers over slices of the features; their final states lie in one tensor."""

    def __init__(self, zeros: bool) -> None:
        super().__init__()
        self.grus = nn.ModuleList(nn.GRU(2, 4, batch_first=True) for _ in range(2))
        self.head, self.size, self.zeros = nn.Linear(8, 3), 4, zeros

    def forward(self, x: Tensor) -> Tensor:
        start = x.new_zeros(2, len(x), self.size) if self.zeros else [None] * 2
        found = [
            gru(x[..., 2 * n : 2 * n + 2], start[n : n + 1] if self.zeros else None)
            for n, gru in enumerate(self.grus)
        ]
        self.last = torch.cat([state for _, state in found])
        return self.head(torch.cat([output for output, _ in found], 2))


@pytest.mark.parametrize("zeros", [False, True])
def test_layers_in_groups_have_to_be_as_wide_as_one_another(zeros: bool) -> None:
    model = drawn(Grouped(zeros))
    with pytest.raises(ValueError, match=r"As many units of 'grus.1' have to go") as raised:
        tnn.prune(model, [0, 1], "grus.0", example=X)
    assert ("sizes=['size']" in str(raised.value)) is zeros
    given = {"tied": {"grus.1": [1, 3]}, **({"sizes": ["size"]} if zeros else {})}
    pruned = tnn.prune(model, [0, 1], "grus.0", example=X, **given)
    masked = tnn.mask(tnn.mask(model, [0, 1], "grus.0"), [1, 3], "grus.1")
    other = torch.randn(3, 7, 4).double()
    close(pruned(other), masked(other))


class Uneven(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, batch_first=True, bidirectional=True)
        self.head, self.how, self.size = nn.Linear(16, 3), how, 8

    def forward(self, x: Tensor) -> Tensor:
        o, (h, _) = self.lstm(x)
        if self.how == "index":
            o = torch.cat([h[-2, :, :], h[-1, :, :]], 1)
        elif self.how == "view":
            o = h.view(1, 2, len(x), self.size)[-1].transpose(0, 1).flatten(1)
        elif self.how == "hidden_size":
            o = torch.cat([o[..., : self.lstm.hidden_size], o[..., self.lstm.hidden_size :]], -1)
        return self.head(o)


@pytest.mark.parametrize("how", ["index", "view", "hidden_size"])
def test_where_directions_have_to_be_alike_the_message_says_how(how: str) -> None:
    model = drawn(Uneven(how))
    scores = {(0, 0): torch.arange(8.0), (0, 1): torch.arange(8.0) + 3}
    uneven = tnn.select(scores, amount=0.5, scope="all", descending=True)
    assert len(uneven[0, 0]) != len(uneven[0, 1])
    with pytest.raises(ValueError, match=r"select\(\.\.\., equal=True\)") as raised:
        tnn.prune(model, uneven, "lstm", example=X)
    assert ("sizes=['size']" in str(raised.value)) is (how == "view")
    assert (how == "hidden_size") is ("'hidden_sizes' has one of each" in str(raised.value))
    even = tnn.select(scores, amount=0.5, scope="all", equal=True, descending=True)
    assert len(even[0, 0]) == len(even[0, 1]) == 4
    pruned, _ = as_advised(model, even, "lstm", example=X)
    close(pruned(X), tnn.mask(model, even, "lstm")(X))


def test_a_size_that_is_written_down_is_named_with_what_to_write_instead() -> None:
    class Written(Zeros):
        def forward(self, x: Tensor) -> Tensor:
            h = torch.zeros(2, len(x), 8, dtype=x.dtype)
            return self.head(self.lstm(x, (h, h))[0][:, -1])

    with pytest.raises(ValueError, match=r"does not run .* take that from the layer .* sizes="):
        tnn.prune(drawn(Written(True)), {"l0": FOUR, "l1": FOUR}, "lstm", example=X)


@pytest.mark.parametrize("scope", ["each", "all"])
def test_equal_scores_go_by_number_and_layer(scope: Any) -> None:
    scores = {part: torch.zeros(6) for part in ((0, 0), (0, 1), (1, 0))}
    for descending in (False, True):
        with pytest.warns(RuntimeWarning, match="do not say which"):
            units = tnn.select(scores, amount=0.5, scope=scope, descending=descending)
        for _ in range(3):
            with pytest.warns(RuntimeWarning):
                again = tnn.select(
                    copy.deepcopy(scores), amount=0.5, scope=scope, descending=descending
                )
            assert all(torch.equal(units[part], again[part]) for part in scores)
        assert all(units[part].tolist() == list(range(len(units[part]))) for part in scores)
        assert len(units[0, 0]) >= len(units[0, 1]) >= len(units[1, 0])


@pytest.mark.parametrize("amount", [0.3, 0.5, 7])
@pytest.mark.parametrize("scope", ["each", "all"])
def test_equal_counts_of_every_direction(amount: Any, scope: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    parts = [(layer, way) for layer in range(2) for way in range(2)]
    scores = {part: torch.rand(9, generator=generator) + sum(part) for part in parts}
    units = tnn.select(scores, amount=amount, scope=scope, equal=True, descending=True)
    assert len({len(one) for one in units.values()}) == 1


def test_names_of_weights_are_told_from_those_of_layers() -> None:
    layer = nn.LSTM(4, 8, 2, bidirectional=True)
    stack = tnn.remove_units(layer, {"l0": [0]})
    for one, key in ((layer, "weight_hh_l1_reverse"), (stack, "layers.l1_reverse.weight_hh_l0")):
        with pytest.raises(
            ValueError, match=r"expected keys from l0, .*, a weight of 'l1_reverse'"
        ):
            tnn.mask_units(one, {key: [0]})
    with pytest.raises(TypeError, match="got function; score takes it"):
        tnn.select(lambda context: torch.zeros(8), amount=0.5)


class Steps(nn.Module):
    def __init__(self, kind: Any = nn.LSTM) -> None:
        super().__init__()
        self.rnn, self.head = kind(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


def test_a_series_with_its_axes_exchanged_is_told() -> None:
    data = [(X, torch.tensor([0, 1]))]
    right = tnn.score(Steps().double(), data, "mutual_information", source=lambda r, b: r[..., 0])
    assert right[0, 0].shape == (8,)
    with pytest.raises(ValueError, match=r"\(2, 5\), \(sequences, steps\), got \(5, 2\); its axes"):
        tnn.score(Steps().double(), data, "mutual_information", source=lambda r, b: r[..., 0].T)
    with pytest.raises(ValueError, match=r"\(sequences, steps\), got \(2, 5, 3\)$"):
        tnn.score(Steps().double(), data, "mutual_information", source=lambda r, b: r)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm:UserWarning")
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_what_single_gates_rule_out_is_refused_with_the_way_round(kind: Any, tmp_path: Any) -> None:
    gates = torch.rand(8, 4 if kind is nn.LSTM else 3) < 0.4
    data, model = [(X, torch.tensor([0, 1]))], drawn(Steps(kind))
    reduced = tnn.prune_gates(model, gates, 0.5)
    with pytest.raises(TypeError, match="units go before single gates do"):
        tnn.prune(reduced, [0], example=X)
    smaller = tnn.prune(model, [0], example=X)
    assert tnn.prune_gates(smaller, gates[1:], 0.5).rnn.hidden_size == 7
    with pytest.raises(TypeError, match="all gates that are to go are given at once"):
        tnn.prune_gates(reduced, gates, 0.5)
    with pytest.raises(TypeError, match="units go before single gates do"):
        tnn.score(reduced, data, "l1")
    with pytest.raises(ValueError, match=r"model.state_dict\(\), .* prune_gates of a new model"):
        tnn.save(reduced, tmp_path / "model.safetensors")
    state = reduced.state_dict()
    again = tnn.prune_gates(Steps(kind).double(), state["rnn.removed"], state["rnn.constants"])
    again.load_state_dict(state)
    assert torch.equal(again(X), reduced(X))
    stack = tnn.prune(drawn(Uneven("")), {"l0": [0]}, "lstm", example=X)
    for one in (reduced, stack):
        with pytest.raises(
            TypeError, match=r"cannot be scripted; torch.export.export, .*jit.trace"
        ):
            torch.jit.script(one)
        close(torch.jit.trace(one, (X,))(X), one(X))
        close(torch.export.export(one, (X,)).module()(X), one(X))
        with pytest.raises(TypeError, match=r"got Proxy; torch.export.export takes"):
            torch.fx.symbolic_trace(one)


def test_scores_of_cells_are_where_the_message_says() -> None:
    data = [(X, torch.tensor([0, 1]))]
    with pytest.raises(TypeError, match="got LSTMCell; score takes cells and stacks"):
        next(tnn.capture(Loop().double(), data, rnn="cell"))
    assert tnn.score(Loop().double(), data, "l1", rnn="cell")[0, 0].shape == (8,)
