"""Scores of the units by every criterion."""

import numpy as np
import pytest
import torch
from torch import nn

import tefast
from tefast.nn import Context, SequenceClassifier, capture, criteria, prune_in_steps, score, select

pytestmark = pytest.mark.usefixtures("one_thread")

UNITS = 10
STREAMED = ["transfer_entropy", "entropy"]


def make(cell: str = "lstm") -> SequenceClassifier:
    torch.manual_seed(0)
    model = SequenceClassifier(3, 4, hidden_size=UNITS, fc_size=5, cell=cell)
    for parameter in model.parameters():
        # Large weights, so that the units fill their range.
        parameter.data *= 4
    return model


def uneven(lengths: bool = False) -> list[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for n in (17, 1, 40, 5):
        batch = (
            torch.randn(n, 9, 3, generator=generator),
            torch.randint(0, 4, (n,), generator=generator),
        )
        steps = torch.randint(1, 10, (n,), generator=generator)
        steps[0] = 9
        batches.append((*batch, steps) if lengths else batch)
    return batches


def joined(model: nn.Module, batches: list[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
    return [torch.cat(parts) for parts in zip(*capture(model, batches), strict=True)]


def one_shot(criterion: str, h, y, *lengths, **options) -> torch.Tensor:  # type: ignore[no-untyped-def]
    given = lengths[0] if lengths else None
    if criterion == "entropy":
        return tefast.entropy(h, lengths=given, **options)
    return tefast.transfer_entropy(h, y, y_range=(0, 1), lengths=given, **options)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("h_range", [(-1, 1), (-0.5, 0.75), None])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("criterion", STREAMED)
def test_streamed_equals_one_shot_exactly(criterion, cell, h_range, lengths) -> None:  # type: ignore[no-untyped-def]
    model, batches = make(cell), uneven(lengths)
    scores = score(model, batches, criterion, bins=6, h_range=h_range)[0, 0]
    expected = one_shot(criterion, *joined(model, batches), bins=6, h_range=h_range)
    assert scores.shape == (UNITS,)
    assert scores.dtype == torch.float64
    assert (scores > 0).all()
    assert torch.equal(scores, expected)


def test_a_range_for_each_unit() -> None:
    model, batches = make(), uneven()
    low, high = -np.linspace(0.2, 1, UNITS), np.linspace(0.5, 1, UNITS)
    scores = score(model, batches, "transfer_entropy", h_range=(low, high))[0, 0]
    h, y = joined(model, batches)
    expected = [
        one_shot("transfer_entropy", h[:, :, [u]], y, h_range=(low[u], high[u])).item()
        for u in range(UNITS)
    ]
    assert scores.tolist() == expected


@pytest.mark.parametrize("criterion", STREAMED)
def test_constant_units_score_zero_under_their_own_range(criterion: str) -> None:
    model, batches = tefast.nn.mask(make(), [2, 5]), uneven()
    scores = score(model, batches, criterion, h_range=None)[0, 0]
    assert scores[[2, 5]].tolist() == [0.0, 0.0]
    assert (scores > 0).sum() == UNITS - 2
    expected = one_shot(criterion, *joined(model, batches), h_range=None)
    assert torch.equal(scores, expected)


def test_a_generator_of_batches_is_enough_for_a_given_range() -> None:
    model, batches = make(), uneven()
    scores = score(model, iter(batches), "transfer_entropy")[0, 0]
    assert torch.equal(scores, score(model, batches, "transfer_entropy")[0, 0])
    with pytest.raises(TypeError, match="expected an iterable that can be read again"):
        score(model, iter(batches), "transfer_entropy", h_range=None)[0, 0]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_backends_agree(backend: str) -> None:
    model, batches = make(), uneven()
    auto = score(model, batches, STREAMED)
    named = score(model, batches, STREAMED, backend=backend, threads=1)
    for criterion in STREAMED:
        torch.testing.assert_close(
            auto[criterion][0, 0], named[criterion][0, 0], rtol=0, atol=1e-13
        )


def test_all_criteria_in_one_pass() -> None:
    model, batches, passes = make(), uneven(), []

    class Counted:
        def __iter__(self):  # type: ignore[no-untyped-def]
            passes.append(1)
            return iter(batches)

    names = ["transfer_entropy", "mutual_information", "entropy", "l1", "random"]
    scores = score(model, Counted(), names, seed=3)
    assert len(passes) == 1
    assert list(scores) == names
    for name in names:
        assert torch.equal(scores[name][0, 0], score(model, batches, name, seed=3)[0, 0])
    score(model, Counted(), ["random", "l1"])
    assert len(passes) == 1
    score(model, Counted(), STREAMED, h_range=None)
    assert len(passes) == 3


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bias", [True, False])
def test_l1_by_hand(cell: type, bias: bool) -> None:
    model = nn.ModuleDict({"rnn": cell(3, UNITS, batch_first=True, bias=bias)})
    scores = score(model, [], "l1")[0, 0]
    rnn = model["rnn"]
    rows = torch.cat([rnn.weight_ih_l0, rnn.weight_hh_l0], dim=1).detach().double()
    for unit in range(UNITS):
        assert scores[unit].item() == pytest.approx(rows[unit::UNITS].abs().sum().item())
    rnn.weight_hh_l0.data[UNITS - 1] += 100
    assert score(model, [], "l1")[0, 0].argmax() == UNITS - 1


def test_random_is_seeded_and_draws_nothing_from_the_global_generator() -> None:
    model, before = make(), torch.get_rng_state()
    scores = score(model, [], "random", seed=5)[0, 0]
    assert torch.equal(scores, score(model, [], "random", seed=5)[0, 0])
    assert not torch.equal(scores, score(model, [], "random", seed=6)[0, 0])
    assert len(scores.unique()) == UNITS
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("convert", [torch.Tensor.numpy, lambda t: t, torch.Tensor.float])
def test_a_callable_is_a_criterion(convert) -> None:  # type: ignore[no-untyped-def]
    model, batches = make(), uneven()

    def mean_output(context: Context) -> torch.Tensor:
        assert context.model is model
        return convert(torch.cat([h for h, _ in context.outputs()]).mean((0, 1)))

    scores = score(model, batches, mean_output)[0, 0]
    assert scores.dtype == torch.float64
    assert torch.equal(scores, joined(model, batches)[0].mean((0, 1)).double())


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        ([0.0] * UNITS, TypeError, "criterion: expected a tensor or array, got list"),
        (torch.zeros(3), ValueError, r"criterion: expected shape \(10,\), got \(3,\)"),
        (torch.full((UNITS,), torch.nan), ValueError, "score of unit 0 is not finite"),
    ],
)
def test_bad_result_of_a_callable(result, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        score(make(), [], lambda context: result)[0, 0]


def relu_model() -> SequenceClassifier:
    model = make("rnn")
    model.rnn = nn.RNN(3, UNITS, nonlinearity="relu", batch_first=True)
    return model


def test_relu_needs_a_range_of_its_own() -> None:
    model, batches = relu_model(), uneven()
    for criterion in STREAMED:
        with pytest.raises(ValueError, match="a relu RNN has no upper bound"):
            score(model, batches, criterion)[0, 0]
        scores = score(model, batches, criterion, h_range=None)[0, 0]
        expected = one_shot(criterion, *joined(model, batches), h_range=None)
        assert torch.equal(scores, expected)
    assert (score(model, batches, "entropy", h_range=(0, 3))[0, 0] > 0).all()
    assert (score(model, batches, "l1")[0, 0] > 0).all()


def test_batches_without_a_valid_step_are_passed_over() -> None:
    model, batches = make(), uneven()
    x, labels = batches[0][:2]
    nothing = (x, labels, torch.zeros(len(x), dtype=torch.long))
    filled = [(*batch[:2], torch.full((len(batch[0]),), batch[0].shape[1])) for batch in batches]
    expected = score(model, filled, "entropy", h_range=None)[0, 0]
    torch.testing.assert_close(
        score(model, [nothing, *filled], "entropy", h_range=None)[0, 0], expected, rtol=0, atol=0
    )
    with pytest.raises(ValueError, match="expected at least one batch, got none with a valid"):
        score(model, [nothing], "entropy", h_range=None)[0, 0]


def test_errors() -> None:
    model, batches = make(), uneven()
    known = "expected one of transfer_entropy, .*, random or a callable, got 'te'"
    with pytest.raises(ValueError, match=known):
        score(model, batches, "te")[0, 0]
    with pytest.raises(ValueError, match=known):
        score(model, batches, ["l1", "te"])
    for h_range in (None, (-1, 1)):
        with pytest.raises(ValueError, match="expected at least one batch, got none"):
            score(model, [], "entropy", h_range=h_range)[0, 0]
    with pytest.raises(ValueError, match="has no submodule 'lstm'"):
        score(model, batches, "l1", rnn="lstm")[0, 0]
    with pytest.raises(ValueError, match="bins"):
        score(model, batches, "entropy", bins=1)[0, 0]
    with pytest.raises(ValueError, match="low < high"):
        score(model, batches, "entropy", h_range=(1, -1))[0, 0]
    model.rnn.bias_ih_l0.data[3 * UNITS] = torch.nan
    with pytest.raises(ValueError, match="the output of unit 0 is not finite"):
        score(model, batches, "entropy", h_range=None)[0, 0]


def test_model_is_not_changed() -> None:
    model, batches = make(), uneven()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    score(model, batches, STREAMED, h_range=None)
    assert model.training
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())


def test_criteria_say_which_scores_go_first() -> None:
    model, batches = make(), uneven()
    first = {"transfer_entropy": "highest", "l1": "lowest", "taylor": "lowest", "random": "lowest"}
    first |= {"reverse_transfer_entropy": "lowest", "entropy": "lowest"}
    for name, end in first.items():
        scores = score(model, batches, name, seed=1)
        assert scores.descending is (end == "highest")
        ((_, units),) = select(scores, amount=3).items()
        expected = scores[0, 0].argsort(descending=end == "highest", stable=True)[:3]
        assert units.tolist() == expected.tolist()
        ((_, others),) = select(scores, amount=3, descending=end != "highest").items()
        assert set(others.tolist()).isdisjoint(units.tolist())
    assert all(criteria.order_of(one) is not None for one in criteria.NAMED.values())
    assert criteria.order_of(criteria.NAMED["effective_reverse_transfer_entropy"]) is False


def test_scores_that_do_not_say_which_go_first() -> None:
    model, batches = make(), uneven()

    def spread(context: Context) -> torch.Tensor:
        return torch.cat([h.flatten(0, 1) for h, _ in context.outputs()]).std(0)

    scores = score(model, batches, spread)
    assert scores.descending is None
    for bare in (scores, dict(scores)):
        with pytest.raises(ValueError, match="these scores do not say which of them go first"):
            select(bare, amount=0.5)
    lowest = criteria.criterion(descending=False)(spread)
    chosen = select(score(model, batches, lowest), amount=0.5)
    assert torch.equal(chosen[0, 0], select(scores, amount=0.5, descending=False)[0, 0])
    with pytest.raises(ValueError, match="the criterion does not say whether"):
        prune_in_steps(model, batches, lambda context: spread(context), amount=0.5)
