"""The penalty, training and its resumption."""

import copy
import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from tefast.nn import (
    SequenceClassifier,
    TrainingState,
    accuracy,
    fit,
    learning_rate,
    objective,
    penalty,
    predict,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def make(seed: int = 0, **sizes: int) -> SequenceClassifier:
    torch.manual_seed(seed)
    return SequenceClassifier(**{"input_size": 3, "num_classes": 3, "hidden_size": 10, **sizes})


def toy(count: int = 60, steps: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with one pulse; the class is the third of the time in which it came."""
    generator = torch.Generator().manual_seed(1)
    x = 0.1 * torch.randn(count, steps, 3, generator=generator)
    when = torch.randint(0, steps, (count,), generator=generator)
    x[torch.arange(count), when] += 2.0
    return x, when * 3 // steps


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_penalty_by_hand() -> None:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -0.5]]))
        model.bias.fill_(-2.0)
    assert penalty(model, "l1").item() == 5.5
    assert penalty(model, "l2").item() == 13.25
    with pytest.raises(ValueError, match="expected one of l1, l2, group, got 'l3'"):
        penalty(model, "l3")  # type: ignore[arg-type]


def test_the_group_penaltys_gradient_and_units_of_norm_0() -> None:
    model = make(hidden_size=4).double()
    with torch.no_grad():
        for name, parameter in model.rnn.named_parameters():
            parameter.view(4, 4, -1)[:, 2] = 0  # a unit without weights
            if name.startswith("weight_hh"):
                parameter[:, 2] = 0
        model.fc1.weight[:, 2] = 0
    parameters = list(model.parameters())
    penalty(model, "group").backward()
    for parameter in (model.rnn.weight_hh_l0, model.rnn.bias_ih_l0, model.fc1.weight):
        flat = parameter.data.view(-1)
        for index in range(0, len(flat), 3):
            if flat[index] == 0:
                continue
            before, values = flat[index].item(), []
            for step in (-1e-6, 1e-6):
                flat[index] = before + step
                values.append(penalty(model, "group").item())
            flat[index] = before
            slope = (values[1] - values[0]) / 2e-6
            assert parameter.grad.view(-1)[index].item() == pytest.approx(slope, abs=1e-7)
    assert all(p.grad is None or p.grad.isfinite().all() for p in parameters)
    assert (model.rnn.weight_ih_l0.grad.view(4, 4, -1)[:, 2] == 0).all()
    assert (model.fc1.weight.grad[:, 2] == 0).all()
    model.rnn = nn.LSTM(3, 4, num_layers=2)
    with pytest.raises(ValueError, match=r"'group': expected .* one layer .* with 2 layers"):
        penalty(model, "group")
    model.rnn = nn.LSTM(3, 4, proj_size=2)
    with pytest.raises(ValueError, match="got one with a projection"):
        penalty(model, "group")


@pytest.mark.parametrize("loss", ["last", "all"])
@pytest.mark.parametrize("kind", [None, "l1", "l2"])
def test_gradient_is_cross_entropys_plus_the_penaltys(kind, loss) -> None:  # type: ignore[no-untyped-def]
    model, weight = make().double(), 0.0 if kind is None else 0.03
    x, labels = toy(5)
    x = x.double()
    logits = model(x)
    log_p = logits.log_softmax(2)[torch.arange(5), :, labels]
    entropy = -(log_p[:, -1] if loss == "last" else log_p).mean()
    entropy.backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    value = objective(model, x, labels, kind, weight, loss)
    value.backward()
    total = 0.0
    for p, gradient in zip(model.parameters(), plain, strict=True):
        w = p.detach()
        extra = {None: 0 * w, "l1": w.sign(), "l2": 2 * w}[kind]
        torch.testing.assert_close(p.grad, gradient + weight * extra)
        total += {None: 0.0, "l1": w.abs().sum().item(), "l2": (w * w).sum().item()}[kind]
    assert value.item() == pytest.approx(entropy.item() + weight * total, rel=1e-12)


def test_fit_takes_the_steps_that_plain_torch_takes() -> None:
    x, labels = toy(6)
    ours, theirs = make(), make()
    fit(ours, x, labels, epochs=3, batch_size=6, lr=0.01, penalty="l2", weight=0.2)
    optimizer = torch.optim.Adam(theirs.parameters())
    for step in range(3):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, 3, 0.01)
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(theirs(x)[:, -1], labels)
        (value + 0.2 * sum((p * p).sum() for p in theirs.parameters())).backward()
        norm = torch.cat([p.grad.flatten() for p in theirs.parameters()]).norm()
        assert norm > 1
        for p in theirs.parameters():
            p.grad /= norm
        optimizer.step()
    # The batch is the whole set, in another order: equal to rounding only, and Adam divides by it.
    for ours_p, theirs_p in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours_p, theirs_p, rtol=1e-3, atol=1e-4)


def test_learning_rate() -> None:
    rates = [learning_rate(step, 200, 0.5) for step in range(200)]
    assert rates[:20] == pytest.approx([0.5 * (step + 1) / 20 for step in range(20)])
    assert max(rates) == rates[19] == 0.5
    assert all(a > b > 0 for a, b in itertools.pairwise(rates[19:]))
    assert rates[110] == pytest.approx(0.25, rel=0.02)
    assert learning_rate(0, 1, 0.5) == 0.5


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_learns_a_toy_task(cell: str) -> None:
    torch.manual_seed(0)
    model = SequenceClassifier(3, 3, hidden_size=16, fc_size=16, cell=cell)
    x, labels = toy(120)
    assert accuracy(model, x, labels) < 0.6
    losses = fit(model, x, labels, epochs=40, batch_size=20, lr=0.02)
    assert len(losses) == 40
    assert losses[-1] < 0.2 < losses[0]
    assert accuracy(model, x, labels) > 0.95


@pytest.mark.parametrize("kind", ["l1", "l2", "group"])
def test_penalties_shrink_the_weights_in_their_own_ways(kind) -> None:  # type: ignore[no-untyped-def]
    x, labels = toy()
    free, bound = make(), make()
    fit(free, x, labels, epochs=10, lr=0.01)
    fit(bound, x, labels, epochs=10, lr=0.01, penalty=kind, weight=0.01)
    assert penalty(bound, kind) < 0.8 * penalty(free, kind)


@pytest.mark.parametrize("after", [1, 2, 4, 5])
def test_resumed_run_ends_in_the_same_bits(tmp_path: Path, after: int) -> None:
    x, labels = toy(50)

    class Noisy(SequenceClassifier):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(nn.functional.dropout(x, 0.2, self.training))

    def build() -> Noisy:
        torch.manual_seed(3)
        return Noisy(3, 3, hidden_size=6, fc_size=5)

    options = {"epochs": 5, "batch_size": 16, "penalty": "l1", "weight": 1e-3, "seed": 7}
    states: list[TrainingState] = []
    whole = build()
    losses = fit(whole, x, labels, on_epoch=states.append, **options)
    assert [state["epoch"] for state in states] == [1, 2, 3, 4, 5]

    torch.save(states[after - 1], tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    kept = copy.deepcopy(state)
    torch.manual_seed(99)
    resumed = Noisy(3, 3, hidden_size=6, fc_size=5)
    assert fit(resumed, x, labels, resume=state, **options) == losses
    assert same(resumed, whole)
    for name, tensor in state["model"].items():
        assert torch.equal(tensor, kept["model"][name])
    for key, moments in state["optimizer"]["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(tensor, kept["optimizer"]["state"][key][name])


def test_on_epoch_gets_copies() -> None:
    x, labels = toy(20)
    states: list[TrainingState] = []
    model = make()
    fit(model, x, labels, epochs=3, on_epoch=states.append)
    assert not torch.equal(states[0]["model"]["fc1.weight"], states[1]["model"]["fc1.weight"])
    first = states[0]["optimizer"]["state"][0]
    assert not torch.equal(first["exp_avg"], states[2]["optimizer"]["state"][0]["exp_avg"])
    assert len(states[0]["losses"]) == 1


def test_seed_alone_decides() -> None:
    x, labels = toy(40)
    models = []
    for seed, noise in [(0, 1), (0, 2), (1, 1)]:
        model = make()
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        fit(model, x, labels, epochs=2, batch_size=16, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        models.append(model)
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_modes_and_data_are_left_as_they_were() -> None:
    x, labels = toy(20)
    model = make()
    model.fc1.eval()
    before = x.clone()
    fit(model, x, labels.to(torch.int32), epochs=1)
    predict(model, x)
    assert model.training
    assert model.rnn.training
    assert not model.fc1.training
    assert torch.equal(x, before)
    assert all(p.grad is None for p in model.parameters())


def test_frozen_parameters_stay() -> None:
    x, labels = toy(20)
    model = make()
    model.rnn.requires_grad_(False)
    before = copy.deepcopy(model)
    fit(model, x, labels, epochs=1)
    assert same(model.rnn, before.rnn)
    assert not same(model.fc1, before.fc1)


def test_predict_and_accuracy() -> None:
    x, labels = toy(30)
    model = make()
    expected = model(x)[:, -1].argmax(1)
    assert torch.equal(predict(model, x, batch_size=7), expected)
    right = sum(a == b for a, b in zip(expected.tolist(), labels.tolist(), strict=True))
    assert accuracy(model, x, labels, batch_size=11) == right / 30


def test_divergence_is_an_error() -> None:
    x, labels = toy(20)
    model = make()
    message = r"training diverged in epoch \d+, step 1: loss (inf|nan).*a lower lr \(now 1e\+30\)"
    with pytest.raises(FloatingPointError, match=message):
        fit(model, x, labels, epochs=10, lr=1e30, penalty="l2", weight=1.0)
    assert model.training
    assert all(p.isfinite().all() for p in model.parameters())


LENGTHS = [3, 8, 5, 1, 8, 2, 6]


def cut(count: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sequences of unequal lengths, with other padding behind each."""
    x, labels = toy(count)
    lengths = torch.tensor(LENGTHS)
    for one, length in zip(x, LENGTHS, strict=True):
        one[length:] = 100.0
    return x.double(), labels, lengths


@pytest.mark.parametrize("loss", ["last", "all"])
def test_the_loss_of_padded_sequences_is_that_of_each_cut_to_its_length(loss) -> None:  # type: ignore[no-untyped-def]
    x, labels, lengths = cut()
    model = make().double()
    value = objective(model, x, labels, None, 0.0, loss, lengths)
    value.backward()
    padded = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    each = []
    for one, label, length in zip(x, labels, LENGTHS, strict=True):
        log_p = model(one[None, :length])[0].log_softmax(1)[:, label]
        each.append(-(log_p[-1:] if loss == "last" else log_p))
    expected = torch.cat(each).mean()  # of all valid steps of all sequences
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    for p, gradient in zip(model.parameters(), padded, strict=True):
        torch.testing.assert_close(gradient, p.grad)


def test_classes_of_padded_sequences_are_those_of_each_cut_to_its_length() -> None:
    x, _, lengths = cut()
    model = make(num_classes=20).double()
    expected = [
        int(model(one[None, :n])[0, -1].argmax()) for one, n in zip(x, LENGTHS, strict=True)
    ]
    assert expected != predict(model, x).tolist()
    for kind in (torch.int64, torch.uint8):
        found = predict(model, x, batch_size=3, lengths=lengths.to(kind))
        assert found.tolist() == expected
    truth = torch.tensor(expected)
    truth[:2] += 1
    assert accuracy(model, x, truth, 2, lengths=lengths) == 5 / 7


def test_training_does_not_see_what_lies_beyond_the_lengths() -> None:
    x, labels, lengths = cut()
    other = x.clone()
    for one, length in zip(other, LENGTHS, strict=True):
        one[length:] = -3.0
    for loss in ("last", "all"):
        models = [make().double(), make().double()]
        for model, some in zip(models, (x, other), strict=True):
            fit(model, some, labels, epochs=2, batch_size=3, lengths=lengths, loss=loss)
        assert same(*models)
    states: list[TrainingState] = []
    fit(make().double(), x, labels, epochs=2, lengths=lengths, on_epoch=states.append)
    shorter = torch.tensor([2, *LENGTHS[1:]])
    with pytest.raises(ValueError, match="resume: valid_steps was 33 and is 32 now"):
        fit(make().double(), x, labels, epochs=2, lengths=shorter, resume=states[0])


class OneResult(nn.Module):
    """A result for a sequence: its last step's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = make()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[:, -1]


def test_a_model_of_one_result_a_sequence_trains_as_that_of_its_last_step() -> None:
    x, labels = toy(20)
    whole, last = make(), OneResult()
    assert fit(last, x, labels, epochs=2) == fit(whole, x, labels, epochs=2)
    assert same(last.inner, whole)
    assert torch.equal(predict(last, x, 7), predict(whole, x, 7))
    with pytest.raises(ValueError, match=r"loss 'all': expected logits of shape \(1, 8, C\)"):
        fit(last, x, labels, epochs=2, loss="all")
    lengths = torch.full((20,), 8)
    for run in (
        lambda: fit(last, x, labels, epochs=1, lengths=lengths),
        lambda: predict(last, x, lengths=lengths),
    ):
        with pytest.raises(ValueError, match="would depend on what lies beyond its length"):
            run()


X, LABELS = toy(6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs: expected at least 1, got 0"),
        ({"epochs": 1.0}, TypeError, "epochs: expected an int, got float"),
        ({"batch_size": 0}, ValueError, "batch_size: expected at least 1"),
        ({"seed": -1}, ValueError, "seed: expected at least 0, got -1"),
        ({"penalty": "L2"}, ValueError, "penalty: expected one of None, l1, l2, group, got 'L2'"),
        ({"loss": "mean"}, ValueError, "loss: expected one of last, all, got 'mean'"),
        ({"lr": math.nan}, ValueError, "lr: expected a finite number above 0, got nan"),
        ({"lr": 0.0}, ValueError, "lr: expected a finite number above 0"),
        ({"penalty": "l1", "weight": -1.0}, ValueError, "weight: expected a finite number, 0"),
        ({"weight": 0.1}, ValueError, r"weight: expected 0 without a penalty, got 0\.1"),
        ({"x": X.long()}, TypeError, r"x: expected a floating tensor, got torch\.int64"),
        ({"x": X[0]}, ValueError, r"x: expected shape \(N, T, D\), .* got \(8, 3\)"),
        ({"x": X[:, :0]}, ValueError, r"no axis empty, got \(6, 0, 3\)"),
        ({"x": X / 0}, ValueError, r"x: 144 values not finite, the first at \(0, 0, 0\)"),
        ({"labels": LABELS.float()}, TypeError, r"expected an integer tensor, got torch\.float32"),
        ({"labels": LABELS.tolist()}, TypeError, "expected an integer tensor, got list"),
        ({"labels": LABELS[:5]}, ValueError, r"labels: expected shape \(6,\), got \(5,\)"),
        ({"labels": LABELS - 5}, ValueError, r"labels: expected 0\.\.2, got -"),
        ({"labels": LABELS + 3}, ValueError, r"labels: expected 0\.\.2, got [345]"),
        ({"lengths": [1] * 6}, TypeError, "lengths: expected an integer tensor, got list"),
        ({"lengths": torch.ones(6)}, TypeError, r"lengths: .* tensor, got torch\.float32"),
        ({"lengths": torch.ones(5).long()}, ValueError, r"lengths: expected shape \(6,\), got"),
        ({"lengths": torch.arange(6) + 4}, ValueError, r"1\.\.8, got 9 for sequence 5"),
        ({"lengths": torch.arange(6)}, ValueError, r"1\.\.8, got 0 for sequence 0"),
    ],
)
def test_bad_input_changes_nothing(options: dict, error: type[Exception], message: str) -> None:
    model = make()
    arguments = {"x": X, "labels": LABELS, "epochs": 1, **options}
    with pytest.raises(error, match=message):
        fit(model, **arguments)
    assert same(model, make())


def test_model_without_a_head_at_every_step() -> None:
    with pytest.raises(ValueError, match=r"\(1, 8, C\) or \(1, C\), got \(1, 1, 24\)"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(24, 24), nn.Unflatten(1, (1, 24))), X, LABELS,
            epochs=1)  # fmt: skip
    with pytest.raises(ValueError, match=r"\(1, 8, C\) or \(1, C\), got tuple"):
        fit(nn.LSTM(3, 3, batch_first=True), X, LABELS, epochs=1)


def test_resume_under_other_settings_is_refused() -> None:
    states: list[TrainingState] = []
    fit(make(), X, LABELS, epochs=2, on_epoch=states.append)
    for other, message in [
        ({"lr": 0.1}, r"resume: lr was 0\.001 and is 0\.1 now"),
        ({"epochs": 3}, "resume: epochs was 2 and is 3 now"),
        ({"seed": 1}, "resume: seed was 0 and is 1 now"),
    ]:
        model = make()
        with pytest.raises(ValueError, match=message):
            fit(model, X, LABELS, **{"epochs": 2, **other}, resume=states[0])
        assert same(model, make())
    with pytest.raises(ValueError, match="sequences was 6 and is 5 now"):
        fit(make(), X[:5], LABELS[:5], epochs=2, resume=states[0])
    with pytest.raises(ValueError, match=r"'rnn\.weight_ih_l0' has shape \(40, 3\) there and"):
        fit(make(hidden_size=11), X, LABELS, epochs=2, resume=states[0])
    del states[0]["optimizer"]  # type: ignore[misc]
    with pytest.raises(ValueError, match="'optimizer' is missing"):
        fit(make(), X, LABELS, epochs=2, resume=states[0])


def test_a_model_that_cannot_learn_is_refused() -> None:
    model = SequenceClassifier(3, 2, hidden_size=2, fc_size=2).requires_grad_(False)
    with pytest.raises(ValueError, match="requires a gradient, found none"):
        fit(model, torch.zeros(2, 3, 3), torch.zeros(2, dtype=torch.long), epochs=1)
