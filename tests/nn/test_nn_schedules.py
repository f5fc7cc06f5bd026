"""Pruning in steps: how many go when, what is recorded, and that scores are taken anew."""

import csv
import math

import pytest
import torch
from torch import nn

import tefast
from tefast.nn import (
    Context,
    PruningStep,
    SequenceClassifier,
    prune,
    prune_in_steps,
    score,
    select,
    write_steps,
)
from tefast.nn._runs.arguments import arguments_of

pytestmark = pytest.mark.usefixtures("one_thread")


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.GRU(3, 8, batch_first=True)
        self.second = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(12, 3)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.second(self.first(x)[0])[0])


def data() -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    return [(torch.randn(20, 6, 3).double(), torch.randint(0, 3, (20,))) for _ in range(2)]


NAMES = ["first", "second"]


def test_one_shot_is_score_select_prune() -> None:
    torch.manual_seed(0)
    model = SequenceClassifier(3, 3, hidden_size=8, fc_size=5).double()
    found, rows = prune_in_steps(model, data(), "transfer_entropy", amount=0.5)
    scores = score(model, data(), "transfer_entropy")
    units = select(scores, amount=0.5, descending=True)
    expected = prune(model, units).state_dict()
    assert all(torch.equal(tensor, expected[n]) for n, tensor in found.state_dict().items())
    (row,) = rows
    assert (row.step, row.rnn, row.part, row.before, row.removed, row.left) == (
        1, "rnn", "l0", 8, 4, 4
    )  # fmt: skip
    assert row.units == tuple(units[0, 0].tolist())
    assert row.highest == scores[0, 0].max()
    assert row.parameters == sum(p.numel() for p in found.parameters())
    assert math.isnan(row.metric)
    assert model.rnn.hidden_size == 8


@pytest.mark.parametrize(
    ("pace", "left"),
    [("linear", [6, 5, 3, 2]), ("geometric", [6, 4, 3, 2]), ("cubic", [5, 3, 2, 2])],
)
def test_paces(pace: str, left: list[int]) -> None:
    rows = prune_in_steps(
        Chain(), data(), "l2", amount=0.75, steps=4, pace=pace, rnn="first", descending=False
    )[1]
    assert [row.left for row in rows] == left


@pytest.mark.parametrize("pace", ["linear", "geometric", "cubic"])
def test_numbers_of_units(pace: str) -> None:
    for steps in (1, 3):
        options = {"steps": steps, "pace": pace, "descending": False}
        rows = prune_in_steps(Chain(), data(), "l2", amount=3, rnn=NAMES, **options)[1]
        assert [row.left for row in rows[-3:]] == [5, 3, 3]
        rows = prune_in_steps(Chain(), data(), "l2", amount=7, rnn=NAMES, scope="all", **options)[1]
        assert sum(row.left for row in rows[-3:]) == 8 + 6 + 6 - 7
        assert sum(row.removed for row in rows) == 7
    third, number = (
        prune_in_steps(Chain(), data(), "l2", amount=amount, steps=3, pace=pace, rnn="first")[1]
        for amount in (0.75, 6)
    )
    assert [row.units for row in number] == [row.units for row in third]


def test_rescoring_tuning_and_the_record(tmp_path) -> None:  # type: ignore[no-untyped-def]
    seen, tuned, done = [], [], []

    def count(context: Context) -> torch.Tensor:
        seen.append(context.units)
        return torch.arange(context.units).double()

    def tune(model: Chain, step: int) -> None:
        tuned.append(step)
        with torch.no_grad():
            model.fc.bias += 1

    model = Chain()
    found, rows = prune_in_steps(
        model,
        data(),
        count,
        amount=0.5,
        steps=2,
        rnn=NAMES,
        fine_tune=tune,
        evaluate=lambda m: m.fc.bias.sum().item(),
        on_step=done.append,
        descending=True,
    )
    assert seen == [8, 12, 6, 8]
    assert tuned == [1, 2]
    assert [len(some) for some in done] == [3, 3]
    assert [row.tuned - row.metric for row in rows] == pytest.approx([3.0] * 6)
    assert [(r.rnn, r.part, r.units) for r in rows] == [
        ("first", "l0", (7, 6)),
        ("second", "l0", (5, 4)),
        ("second", "l0_reverse", (5, 4)),
        ("first", "l0", (5, 4)),
        ("second", "l0", (3,)),
        ("second", "l0_reverse", (3,)),
    ]
    assert (found.first.hidden_size, found.second.hidden_size, found.second.input_size) == (4, 3, 4)
    write_steps(rows, tmp_path / "steps.csv")
    with open(tmp_path / "steps.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert read[0]["units"] == "7 6"
    assert list(read[0]) == list(PruningStep.__dataclass_fields__)
    assert float(read[5]["tuned"]) == pytest.approx(rows[5].tuned)


def test_units_keep_their_numbers() -> None:
    """Numbers in the record are those of the model that was given."""

    def middle(context: Context) -> torch.Tensor:
        scores = torch.zeros(context.units)
        scores[context.units // 2] = 1
        return scores

    rows = prune_in_steps(
        Chain(), data(), middle, amount=0.5, steps=4, rnn="first", descending=True
    )[1]
    assert [row.units for row in rows] == [(4,), (3,), (5,), (2,)]


def test_over_all_layers_and_thresholds() -> None:
    model = Chain()
    found, rows = prune_in_steps(
        model, data(), "transfer_entropy", amount=0.6, steps=3, rnn=NAMES, scope="all"
    )
    assert sum(row.left for row in rows[-3:]) == 8
    assert min(row.left for row in rows) >= 1
    assert found(data()[0][0]).shape == (20, 6, 3)
    _, rows = prune_in_steps(model, data(), "random", above=0.5, rnn="first")
    scores = score(model, data(), "random", rnn="first")[0, 0]
    assert sorted(rows[0].units) == (scores > 0.5).nonzero().flatten().tolist()
    _, rows = prune_in_steps(model, data(), "random", below=2.0, rnn="first", round_to=4)
    assert rows[0].left == 4
    named, _ = prune_in_steps(
        model, data(), "l1", amount=0.5, rnn=NAMES,
        consumers={"first": ["second"], "second": ["fc"]}, parts=[(0, 0)],
    )  # fmt: skip
    assert named.fc.in_features == 9


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps: expected an int, at least 1, got 0"),
        ({"pace": "slow"}, ValueError, "pace: expected one of linear, geometric, cubic"),
        ({"amount": 1.5}, ValueError, "amount: expected a float fraction"),
        (
            {"amount": -1},
            ValueError,
            "amount: expected a float fraction .* or an int count, got -1",
        ),
        ({"amount": True}, ValueError, "amount: expected a float fraction .* got True"),
        ({"amount": 9}, ValueError, r"amount: expected a count in 0\.\.8, got 9"),
        ({"amount": 9, "scope": "all"}, ValueError, r"expected a count in 0\.\.8, got 9"),
        ({"amount": None}, ValueError, "one of amount, above, below, .* got none"),
        ({"above": 0.1}, ValueError, "got amount and above"),
        ({"rnn": []}, ValueError, "rnn: expected one name or several"),
        ({"scope": "some"}, ValueError, "scope: expected 'each' or 'all', got 'some'"),
        ({"steps": 2, "batches": iter(data())}, TypeError, "can be read again"),
    ],
)
def test_errors(options: dict, error: type[Exception], message: str) -> None:
    given = {"amount": 0.5, "rnn": "first", **options}
    with pytest.raises(error, match=message):
        prune_in_steps(Chain(), given.pop("batches", data()), "l1", **given)


class Counter(nn.Module):
    """A classifier of packed sequences, in both directions, from final states."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(9, 4)
        self.rnn = nn.LSTM(4, 6, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(12, 3)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embed(tokens), lengths, batch_first=True, enforce_sorted=False
        )
        _, (h, _) = self.rnn(packed)
        return self.fc(torch.cat([h[0], h[1]], 1))


def text() -> list[tuple[torch.Tensor, ...]]:
    torch.manual_seed(1)
    lengths = torch.randint(2, 8, (20,))
    return [(torch.randint(0, 9, (20, 7)), lengths, torch.randint(0, 3, (20,)))] * 2


@pytest.mark.parametrize("named", [False, True])
def test_a_model_of_several_arguments_needs_no_example(named: bool) -> None:
    batches = text()
    how = {"forward": lambda model, batch: model(*batch[:2]), "labels": 2, "lengths": 1}
    if named:
        batches = [dict(zip(("tokens", "lengths", "labels"), b, strict=True)) for b in batches]
        how = {"forward": lambda m, b: m(b["tokens"], lengths=b["lengths"])}
    model = Counter()
    found, rows = prune_in_steps(
        model,
        batches,
        "transfer_entropy",
        amount=0.5,
        steps=2,
        descending=False,
        bins=3,
        h_range=None,
        **how,
    )
    assert [row.left for row in rows] == [4, 4, 3, 3]
    tokens, lengths, _ = text()[0]
    gone = {part: [u for row in rows if row.part == part for u in row.units]
            for part in ("l0", "l0_reverse")}  # fmt: skip
    masked = tefast.nn.mask(model, gone)
    torch.testing.assert_close(found(tokens, lengths), masked(tokens, lengths))


def test_arguments_of_a_batch() -> None:
    tokens, lengths, _ = text()[0]
    seen = []

    class Noting(Counter):
        def forward(self, tokens, lengths):  # type: ignore[no-untyped-def]
            seen.append(len(tokens))
            return super().forward(tokens, lengths)

    model = Noting()
    found = arguments_of(model, (tokens, lengths), lambda m, b: m(*b))
    assert [one.shape for one in found.args] == [(2, 7), (2,)]
    assert {*found.args[1].tolist()} == {int(lengths.max()), int(lengths.min())}
    assert seen == [2]  # it runs on these alone
    found = arguments_of(model, (tokens, lengths), lambda m, b: m(b[0], lengths=b[1]))
    assert (len(found.args), list(found.kwargs)) == (1, ["lengths"])
    never = arguments_of(model, torch.zeros(0), lambda m, b: None)
    assert never is None

    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x, lengths):  # type: ignore[no-untyped-def]
            return self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))[1]

    for steps in (20, 5):  # as many steps as sequences, or not
        batch = (torch.randn(steps, 20, 3), torch.randint(1, steps + 1, (20,)))
        batch[1][0] = steps
        whole = arguments_of(TimeFirst(), batch, lambda m, b: m(*b))
        assert [one.shape for one in whole.args] == [(steps, 20, 3), (20,)]


def test_equally_many_of_both_directions() -> None:
    found, rows = prune_in_steps(
        Chain(), data(), "l1", amount=0.5, steps=2, rnn="second", scope="all", descending=False,
        equal=True, keep=1,
    )  # fmt: skip
    assert [row.left for row in rows] == [5, 5, 3, 3]
    assert type(found.second) is nn.LSTM


def test_a_share_of_what_was_there_is_kept_over_all_steps() -> None:
    def low(context: Context) -> torch.Tensor:  # the first layer's scores are all lower
        return torch.arange(context.units).double() + 100 * (context.units > 8)

    rows = prune_in_steps(
        Chain(), data(), low, amount=0.6, steps=3, rnn=NAMES, scope="all", descending=False
    )[1]
    # Of 20 units 16, 12 and 8 are left: half of that share of the first layer's 8 stays.
    assert [row.left for row in rows if row.rnn == "first"] == [4, 3, 2]
    rows = prune_in_steps(Chain(), data(), low, amount=0.6, steps=3, rnn=NAMES, scope="all",
                          descending=False, keep=0.5)[1]  # fmt: skip
    assert [row.left for row in rows if row.rnn == "first"] == [4, 4, 4]


def test_scores_that_are_all_zero_do_not_choose_in_silence() -> None:
    def nothing(context: Context) -> torch.Tensor:
        return torch.zeros(context.units)

    with pytest.warns(RuntimeWarning, match=r"scores\[\('first', \(0, 0\)\)\]: 8 of 8 are equal"):
        prune_in_steps(Chain(), data(), nothing, amount=0.5, rnn="first", descending=True)


@pytest.mark.parametrize("sized", [False, True])
def test_groups_whose_states_lie_in_one_tensor(sized: bool) -> None:
    class Groups(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.width = 4
            self.grus = nn.ModuleList(nn.GRU(3, 4, batch_first=True) for _ in range(2))
            self.fc = nn.Linear(8, 3)
            self.double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h_0 = x.new_zeros(2, len(x), self.width) if sized else None
            outputs, states = [], []
            for n, gru in enumerate(self.grus):
                output, state = gru(x, None if h_0 is None else h_0[n : n + 1])
                outputs.append(output)
                states.append(state)
            self.states = torch.cat(states, 0)
            return self.fc(torch.cat(outputs, 2))

    model, names = Groups(), ["grus.0", "grus.1"]
    batches = [(x, labels) for x, labels in data()]
    pruning = {"pruning": {"sizes": ["width"]}} if sized else {}
    found, rows = prune_in_steps(
        model, batches, "l2", amount=0.5, steps=2, rnn=names, descending=False, **pruning
    )
    assert [row.left for row in rows] == [3, 3, 2, 2]
    gone = {name: [u for row in rows if row.rnn == name for u in row.units] for name in names}
    masked = model
    for name, units in gone.items():
        masked = tefast.nn.mask(masked, units, name)
    x = data()[0][0]
    torch.testing.assert_close(found(x), masked(x), rtol=1e-12, atol=1e-12)
    scores = {(name, (0, 0)): torch.rand(4) for name in names}
    chosen = select(
        scores,
        parameters=0.6,
        model=model,
        rnn=None,
        equal=True,
        example=x,
        **pruning,
        descending=True,
    )
    assert sum(map(len, chosen.values())) >= 2
    if sized:
        with pytest.raises(ValueError, match=r"and with 'grus.0', 'grus.1' together: .*sizes="):
            prune_in_steps(model, batches, "l2", amount=0.5, rnn=names, descending=False)
