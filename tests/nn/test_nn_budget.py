"""Units until a model is as small as is wanted, in parameters, operations or bytes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tefast.nn import prune, prune_in_steps, select
from tefast.nn.budget import cost

pytestmark = pytest.mark.usefixtures("one_thread")


class Model(nn.Module):
    """Two layers in both directions, one of another kind behind them, and a head."""

    def __init__(self, kind: type = nn.LSTM, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = kind(3, 8, 2, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(16) if norm else nn.Identity()
        self.second = nn.GRU(16, 6, batch_first=True)
        self.fc = nn.Linear(6, 4)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.second(self.norm(self.first(x - self.mean)[0]))[0])


X = torch.randn(2, 5, 3)
PARTS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def by_hand(model: Model, of: str) -> int:
    """The cost of a model, from the shapes of its weights."""
    weights = list(model.parameters())
    if of == "parameters":
        return sum(weight.numel() for weight in weights)
    if of == "bytes":
        return 4 * (sum(weight.numel() for weight in weights) + 3)
    return 2 * 2 * 5 * sum(weight.numel() for weight in weights if weight.ndim == 2)


def scores(seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    return {part: torch.rand(8, generator=generator) for part in PARTS}


def evenly(of: dict, level: int) -> dict:
    """As many of each, which are all of one size; loops alone."""
    return {key: one.argsort(stable=True)[: min(level, len(one) - 1)] for key, one in of.items()}


def first_within(model: Model, of: str, limit: int, candidates) -> dict:  # type: ignore[no-untyped-def]
    for chosen in candidates:
        if by_hand(prune(model, chosen, "first", example=X), of) <= limit:
            return chosen
    raise AssertionError("none")


@pytest.mark.parametrize("scope", ["each", "all"])
@pytest.mark.parametrize(
    ("of", "kind"), [("parameters", nn.LSTM), ("operations", nn.GRU), ("bytes", nn.LSTM)]
)
def test_within_one_unit_of_the_budget(of: str, scope: str, kind: type) -> None:
    model, now = Model(kind), by_hand(Model(kind), of)
    assert cost(model, of, X) == now
    for seed, limit in ((0, 0.7), (1, 2 * now // 3), (2, 0.99)):
        number = limit if isinstance(limit, int) else int(limit * now)
        given = {of: limit, "model": model, "rnn": "first", "example": X, "descending": False}
        found = select(scores(seed), scope=scope, **given)
        if scope == "each":
            every = (evenly(scores(seed), level) for level in range(9))
        else:
            every = (select(scores(seed), amount=count, scope="all", descending=False)
                     for count in range(29))  # fmt: skip
        expected = first_within(model, of, number, every)
        assert {k: v.tolist() for k, v in found.items()} == {
            k: v.tolist() for k, v in expected.items()
        }
        smaller = prune(model, found, "first", example=X)
        assert by_hand(smaller, of) <= number
        assert scope == "all" or type(smaller.first) is kind
    assert not any(map(len, select(scores(0), **{**given, of: 1.0}).values()))


def test_norms_other_layers_and_multiples() -> None:
    model = Model(norm=True)
    now = by_hand(model, "parameters")
    found = select(
        scores(0), parameters=0.6, model=model, rnn="first", round_to=4, example=X, descending=True
    )
    assert {8 - len(units) for units in found.values()} <= {4, 8}
    assert by_hand(prune(model, found, "first", example=X), "parameters") <= 0.6 * now
    both = {("first", part): one for part, one in scores(0).items()}
    both["second", (0, 0)] = torch.rand(6)
    found = select(both, parameters=0.5, model=model, rnn=None, example=X, descending=True)
    smaller = prune(model, {part: found["first", part] for part in PARTS}, "first", example=X)
    smaller = prune(smaller, found["second", (0, 0)], "second", example=X)
    left = by_hand(smaller, "parameters")
    assert 0.4 * now < left <= 0.5 * now
    named = select(both, parameters=0.5, model=Model(), rnn=None,
                   consumers={"first": ["second"], "second": ["fc"]}, descending=True)  # fmt: skip
    assert sum(map(len, named.values())) > 0


def test_steps_towards_a_budget() -> None:
    model, sizes = Model(), []
    batches = [(torch.randn(8, 5, 3), torch.randint(0, 4, (8,)))]
    now = by_hand(model, "parameters")
    found, rows = prune_in_steps(
        model, batches, "l2", parameters=0.4, steps=3, rnn=["first", "second"], descending=False,
        on_step=lambda some: sizes.append(some[0].parameters),
    )  # fmt: skip
    assert by_hand(found, "parameters") == sizes[-1] <= 0.4 * now
    assert 0.75 * now < sizes[0] <= 0.8 * now
    assert 0.55 * now < sizes[1] <= 0.6 * now
    assert rows[-1].left >= 1
    smaller, _ = prune_in_steps(model, batches, "l2", operations=0.5, rnn="first",
                                scope="all", descending=False)  # fmt: skip
    assert cost(smaller, "operations", X) <= 0.5 * cost(model, "operations", X)
    exact, rows = prune_in_steps(model, batches, "l2", bytes=8000, rnn="first", steps=2)
    assert by_hand(exact, "bytes") <= 8000
    with pytest.raises(ValueError, match="got amount and bytes"):
        prune_in_steps(model, batches, "l2", amount=0.5, bytes=0.5, rnn="first")


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_operations_by_another_count(data: st.DataObject) -> None:
    """Cells, attention and convolutions: against what PyTorch counts in training mode."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(3, 4, 3, padding=1)
            self.cell = nn.GRUCell(4, 6)
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state, outputs = None, []
            for step in self.conv(x.transpose(1, 2)).unbind(2):
                state = self.cell(step, state)
                outputs.append(state)
            output = torch.stack(outputs, 1)
            return self.attention(output, output, output)[0]

    n, steps = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    model, x = Mixed(), torch.randn(n, steps, 3)
    with FlopCounterMode(display=False) as counter:
        model.train()(x)
    assert cost(model.eval(), "operations", x) == counter.get_total_flops()
    assert cost(model, "operations", {"x": x}) == counter.get_total_flops()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"parameters": 0.0},
            ValueError,
            r"parameters: expected a fraction in \(0, 1\] .* got 0.0",
        ),
        ({"parameters": True}, ValueError, "parameters: expected a fraction .* got True"),
        ({"bytes": -3}, ValueError, "bytes: expected a fraction .* got -3"),
        ({"parameters": 100}, ValueError, r"parameters: expected \d+ or more, .* got 100"),
        ({"operations": 0.5}, ValueError, "operations: expected example="),
        ({"parameters": 0.5, "model": 3}, TypeError, "parameters: expected model=, .* got int"),
    ],
)
def test_errors(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        select(scores(0), **{"model": Model(), "rnn": "first", **options}, descending=True)
