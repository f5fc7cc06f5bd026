"""Every criterion, for every layer and direction, against the same measure of all data at once."""

import importlib.util
import shutil
import sys
from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import tefast
from tefast._significance.result import FIELDS
from tefast.nn import Context, SequenceClassifier, criteria, mask_units, penalty, prune, score
from tefast.nn._layers import grams
from tefast.nn.criteria import registry

pytestmark = pytest.mark.usefixtures("one_thread")

UNITS, PARTS = 4, [(0, 0), (0, 1), (1, 0), (1, 1)]


class Tagger(nn.Module):
    def __init__(self, batch_first: bool = True, kind: type = nn.LSTM, **options) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        torch.manual_seed(0)
        self.batch_first = batch_first
        options = {"num_layers": 2, "bidirectional": True, **options}
        self.rnn = kind(3, UNITS, batch_first=batch_first, **options)
        self.fc = nn.Linear(UNITS * (1 + self.rnn.bidirectional), 3)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1.5, 1.5)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.batch_first:
            return self.fc(self.rnn(x.transpose(0, 1))[0]).transpose(0, 1)
        return self.fc(self.rnn(x)[0])


def data(lengths: bool = False) -> list[tuple[torch.Tensor, ...]]:
    torch.manual_seed(1)
    batches = []
    for n in (20, 1, 33):
        steps = (torch.randint(4, 9, (n,)),) if lengths else ()
        batches.append((torch.randn(n, 8, 3).double(), torch.randint(0, 3, (n,)), *steps))
    return batches


def by_hand(model: Tagger, x: torch.Tensor) -> list[torch.Tensor]:
    """Outputs (n, T, U) of all parts: layer by layer, in modules of one direction."""
    found = []
    weights = dict(model.rnn.named_parameters())
    for layer in range(2):
        both = []
        for suffix in (f"l{layer}", f"l{layer}_reverse"):
            single = type(model.rnn)(x.shape[2], UNITS, batch_first=True).double()
            for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(single, f"{role}_l0").data = weights[f"{role}_{suffix}"].data
            way = x.flip(1) if "reverse" in suffix else x
            output = single(way)[0].detach()
            both.append(output.flip(1) if "reverse" in suffix else output)
        found += both
        x = torch.cat(both, 2)
    return found


def everything(model: Tagger, batches) -> tuple[np.ndarray, np.ndarray, dict]:  # type: ignore[no-untyped-def]
    h = torch.cat([torch.cat(by_hand(model, x), 2) for x, *_ in batches]).numpy()
    y = [model(x).softmax(2)[torch.arange(len(x)), :, labels].detach() for x, labels, *_ in batches]
    given = {"lengths": torch.cat([b[2] for b in batches]).numpy()} if len(batches[0]) > 2 else {}
    return h, torch.cat(y).numpy(), given


ONE_SHOT = {
    "transfer_entropy": tefast.transfer_entropy,
    "corrected_transfer_entropy": partial(tefast.transfer_entropy, bias="miller_madow"),
    "reverse_transfer_entropy": tefast.reverse_transfer_entropy,
    "corrected_reverse_transfer_entropy": partial(
        tefast.reverse_transfer_entropy, bias="miller_madow"
    ),
    "mutual_information": tefast.mutual_information,
}
RANGES = {"bins": 4, "h_range": (-1, 1), "y_range": (0, 1)}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("lengths", [False, True])
def test_streamed_of_every_part_equals_one_shot(lengths: bool, batch_first: bool) -> None:
    model, batches = Tagger(batch_first), data(lengths)
    h, y, given = everything(model, batches)
    for name, measure in ONE_SHOT.items():
        scores = score(model, batches, name, bins=4)
        assert list(scores) == PARTS
        found = torch.cat(list(scores.values())).numpy()
        np.testing.assert_allclose(found, measure(h, y, **RANGES, **given), rtol=0, atol=1e-12)
        assert (found != 0).any()
    of_units = {"bins": 4, "h_range": (-1, 1), **given}
    for name in ("active_information", "entropy"):
        found = torch.cat(list(score(model, batches, name, bins=4).values())).numpy()
        expected = getattr(tefast, name)(h, **of_units)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    valid = np.arange(8) < given.get("lengths", np.full(len(h), 8))[:, None]
    found = score(model, batches, "activation_magnitude")
    np.testing.assert_allclose(
        torch.cat(list(found.values())), np.abs(h[valid]).mean(0), rtol=1e-12
    )


def test_histories_delays_and_own_ranges() -> None:
    model, batches = Tagger(), data()
    h, y, _ = everything(model, batches)
    options = {"target_history": 2, "source_history": 2, "delay": 2, "target_step": 3}
    options["source_step"] = 2
    for name in ("transfer_entropy", "reverse_transfer_entropy"):
        criterion = partial(getattr(criteria, name), **options)
        found = score(model, batches, criterion, bins=3, h_range=None, parts=[(1, 0)])
        expected = getattr(tefast, name)(h[..., 8:12], y, 3, y_range=(0, 1), **options)
        np.testing.assert_allclose(found[1, 0], expected, rtol=0, atol=1e-12)
    stored = partial(criteria.active_information, history=2, step=3)
    found = score(model, batches, stored, bins=3)
    expected = tefast.active_information(h, 3, history=2, step=3, h_range=(-1, 1))
    np.testing.assert_allclose(torch.cat(list(found.values())), expected, rtol=0, atol=1e-12)
    delayed = partial(criteria.mutual_information, delay=1, bias="grassberger")
    found = score(model, batches, delayed, bins=3)
    expected = tefast.mutual_information(
        h, y, 3, delay=1, bias="grassberger", h_range=(-1, 1), y_range=(0, 1)
    )
    np.testing.assert_allclose(torch.cat(list(found.values())), expected, rtol=0, atol=1e-12)


FEW = pytest.mark.filterwarnings(
    "ignore:method='chi2':RuntimeWarning", "ignore:.* exceeds? all of:RuntimeWarning"
)


def caught(criterion, **given):  # type: ignore[no-untyped-def]
    """What a function of a context gives, whatever a score is."""
    found = []

    def keep(context: Context) -> object:
        found.append(criterion(context))
        return criteria.random(context)

    score(Tagger(), data(), keep, **given)
    return found[0]


@FEW
@pytest.mark.parametrize("method", ["auto", "chi2", "shuffle", "conditional"])
def test_significance_equals_one_shot(method: str) -> None:
    h, y, _ = everything(Tagger(), data())
    options = {"method": method, "surrogates": 20}
    expected = tefast.significance(h, y, 4, h_range=(-1, 1), y_range=(0, 1), seed=3, **options)
    found = caught(partial(criteria.significance, **options), bins=4, seed=3)
    assert found.method == expected.method
    for field in FIELDS:
        ours, theirs = getattr(found, field), getattr(expected, field)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12, err_msg=field)
    assert found.surrogates == expected.surrogates == (0 if method == "chi2" else 20)


@FEW
@pytest.mark.parametrize("method", ["auto", "chi2"])
def test_scores_of_significance(method: str) -> None:
    h, y, _ = everything(Tagger(), data())
    ranges = {"h_range": (-1, 1), "y_range": (0, 1)}
    expected = tefast.significance(h, y, 4, method=method, seed=3, **ranges)

    def run(criterion, **options):  # type: ignore[no-untyped-def]
        criterion = partial(criterion, method=method, **options)
        scores = score(Tagger(), data(), criterion, bins=4, seed=3)
        return torch.cat(list(scores.values())).numpy()

    same = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(
        run(criteria.effective_transfer_entropy), expected.effective_te, **same
    )
    np.testing.assert_allclose(run(criteria.q_value), expected.q_value, **same)
    significant = run(criteria.significant_transfer_entropy)
    positive = (expected.q_value <= 0.05) & (expected.effective_te > 0)
    np.testing.assert_array_equal(significant > 0, positive)
    te = tefast.reverse_transfer_entropy(h, y, **RANGES)
    assert (run(criteria.effective_transfer_entropy, reverse=True) <= te).all()
    assert (run(criteria.significant_transfer_entropy, reverse=True) >= 0).all()


def test_from_the_unit_to_the_series_there_are_no_surrogates() -> None:
    with pytest.raises(ValueError, match="reverse: expected method='chi2', got 'shuffle'"):
        caught(partial(criteria.significance, reverse=True, method="shuffle"))


@pytest.mark.parametrize("reverse", [False, True])
def test_few_transitions_for_chi_square_are_worth_a_warning(reverse: bool) -> None:
    criterion = partial(criteria.significance, reverse=reverse, method="chi2")
    with pytest.warns(RuntimeWarning, match=r"method='chi2' with .* transitions for each of \d+ "):
        found = caught(criterion, bins=8)
    h, y, _ = everything(Tagger(), data())
    if not reverse:
        local = tefast.local_transfer_entropy(h, y, 8, h_range=(-1, 1), y_range=(0, 1))
        local = local.reshape(-1, local.shape[-1])
        error = local.std(axis=0) / np.sqrt(len(local))
        np.testing.assert_allclose(found.standard_error, error, rtol=1e-9)


def test_norms_by_hand() -> None:
    model = Tagger(kind=nn.GRU)
    one, two = (score(model, [], name) for name in ("l1", "l2"))
    for (layer, direction), scores in one.items():
        suffix = f"l{layer}" + "_reverse" * direction
        weights = [getattr(model.rnn, f"{role}_{suffix}").detach() for role in
                   ("weight_ih", "weight_hh")]  # fmt: skip
        rows = torch.cat(weights, 1)
        for unit in range(UNITS):
            own = rows[unit::UNITS]
            assert scores[unit].item() == pytest.approx(own.abs().sum().item())
            assert two[layer, direction][unit].item() == pytest.approx(own.norm().item())


def own_weights(layer: nn.Module, suffix: str, unit: int) -> dict[tuple[str, int, int], float]:
    """All weights of a unit, each by where it lies, so that none counts twice."""
    found = {}
    for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        tensor = getattr(layer, f"{role}_{suffix}").detach()
        for row in range(len(tensor)):
            for column, weight in enumerate(tensor[row].flatten().tolist()):
                is_read = role == "weight_hh" and column == unit
                if row % layer.hidden_size == unit or is_read:
                    found[role, row, column] = weight
    return found


def test_group_norms_by_hand() -> None:
    model = Tagger(kind=nn.GRU)
    for (layer, direction), scores in score(model, [], "group").items():
        suffix = f"l{layer}" + "_reverse" * direction
        for unit in range(UNITS):
            own = own_weights(model.rnn, suffix, unit)
            assert len(own) == 3 * (model.rnn.input_size if layer == 0 else 2 * UNITS) + 6 + (
                3 * UNITS + 3 * (UNITS - 1)
            )
            expected = sum(weight**2 for weight in own.values()) ** 0.5
            assert scores[unit].item() == pytest.approx(expected)
    classifier = SequenceClassifier(3, 2, UNITS, 5).double()
    scores = score(classifier, [], "group")[0, 0]
    for unit in range(UNITS):
        own = list(own_weights(classifier.rnn, "l0", unit).values())
        own += classifier.fc1.weight[:, unit].tolist()
        assert scores[unit].item() == pytest.approx(sum(w**2 for w in own) ** 0.5)
    torch.testing.assert_close(scores.sum(), penalty(classifier, "group").detach())
    with pytest.raises(ValueError, match="criterion 'group': expected of='units'"):
        score(classifier, [], "group", of="gates")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 30), st.integers(0, 2**20), st.integers(1, 8))
def test_spectral_takes_the_best_unit_at_each_step(width, rows, seed, steps) -> None:  # type: ignore[no-untyped-def]
    """Against the residual of ridge regression for every set that a step could lead to."""
    x = np.random.default_rng(seed).normal(size=(rows, width)).round(1)
    x[:, seed % width] *= seed % 3  # some are always 0
    second = x.T @ x
    with mock.patch.object(grams, "_STEPS", steps):
        order = grams.selected(torch.tensor(second), 1e-2).tolist()
    assert sorted(order) == list(range(width))
    added = 1e-2 * second.trace() / width

    def left_open(kept: list[int]) -> float:
        inner = second[np.ix_(kept, kept)] + added * np.eye(len(kept))
        told = second[:, kept] @ np.linalg.pinv(inner) @ second[kept]
        return float(second.trace() - told.trace())

    for step, feature in enumerate(order):
        others = {one: left_open([*order[:step], one]) for one in order[step:]}
        assert others[feature] <= min(others.values()) + 1e-9 * max(second.trace(), 1e-300)


def test_spectral_scores_are_the_order_of_each_direction() -> None:
    model, batches = Tagger(), data(lengths=True)
    scores = score(model, batches, "spectral")
    for part, index in zip(PARTS, range(4), strict=True):
        valid = (
            torch.cat(
                [
                    by_hand(model, x)[index][torch.arange(8) < lengths[:, None]]
                    for x, _, lengths in batches
                ]
            )
            if part[1] == 0
            else None
        )  # padding comes first in the other direction
        if valid is not None:
            order = grams.selected(valid.T @ valid / len(valid)).tolist()
            assert scores[part].argsort(descending=True).tolist() == order
        assert sorted(scores[part].tolist()) == [1, 2, 3, 4]


def test_of_twins_spectral_takes_one_early_and_one_late() -> None:
    model = Tagger(num_layers=1, bidirectional=False)
    with torch.no_grad():
        for parameter in model.rnn.parameters():
            gates = parameter.view(4, UNITS, -1)
            gates[:, 3] = gates[:, 1]
    scores = score(model, data(), "spectral")[0, 0]
    assert scores[[1, 3]].min() == 1
    assert scores[[1, 3]].max() > 2


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("batch_first", [True, False])
def test_taylor_is_the_slope_of_the_loss(batch_first: bool, frozen: bool) -> None:
    """Against the finite difference of scaling what one unit gives the last layer's reader."""
    model = Tagger(batch_first)
    batches = [(x[i : i + 1], labels[i : i + 1]) for x, labels in data()[:1] for i in range(3)]
    model.rnn.requires_grad_(not frozen)
    scores = score(model, batches, "taylor")
    assert all(parameter.grad is None for parameter in model.parameters())
    for part, unit in (((1, 0), 2), ((1, 1), 1)):
        column, slopes = UNITS * part[1] + unit, []
        for x, labels in batches:
            losses = []
            for factor in (1 - 1e-5, 1 + 1e-5):
                scaled = Tagger(batch_first)
                scaled.fc.weight.data[:, column] *= factor
                logits = scaled(x)
                each = labels[:, None].expand(logits.shape[:2])
                losses.append(nn.functional.cross_entropy(logits.flatten(0, 1), each.flatten()))
            slopes.append(abs((losses[1] - losses[0]).item() / 2e-5))
        assert scores[part][unit].item() == pytest.approx(np.mean(slopes), rel=1e-5)
    assert all((s > 0).all() for s in scores.values())
    masked = Tagger(batch_first)
    masked.rnn = mask_units(masked.rnn, {"l0": [1], "l1_reverse": [0]})
    zero = score(masked, batches, "taylor")
    assert zero[0, 0][1] == zero[1, 1][0] == 0


def test_pruned_layers_are_scored_too() -> None:
    model = prune(Tagger(), {"l0": [1], "l1_reverse": [0, 2]}, consumers=["fc"])
    scores = score(model, data(), "transfer_entropy")
    assert {part: len(s) for part, s in scores.items()} == {
        (0, 0): 3, (0, 1): 4, (1, 0): 4, (1, 1): 2
    }  # fmt: skip
    whole = Tagger()
    whole.rnn = mask_units(whole.rnn, {"l0": [1], "l1_reverse": [0, 2]})
    expected = score(whole, data(), "transfer_entropy")
    torch.testing.assert_close(scores[1, 0], expected[1, 0], rtol=0, atol=1e-12)
    torch.testing.assert_close(scores[0, 0], expected[0, 0][[0, 2, 3]], rtol=0, atol=1e-12)


class LastStep(nn.Module):
    """Tokens and lengths to one class a sequence, by a packed sequence."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(9, 3)
        self.rnn = nn.GRU(3, UNITS, batch_first=True)
        self.fc = nn.Linear(UNITS, 2)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(self.embed(tokens), lengths, True, enforce_sorted=False)
        output, h = self.rnn(packed)
        self.padded = pad_packed_sequence(output, True)[0].detach()
        return self.fc(h[-1])


def test_a_model_of_ones_own() -> None:
    model = LastStep()
    tokens, lengths = torch.randint(0, 9, (30, 7)), torch.randint(3, 8, (30,))
    lengths[0] = 7
    batches = [(tokens, tokens[:, 0] % 2, lengths)]
    run = {"forward": lambda m, batch: m(batch[0], batch[2])}
    parity = {"source": lambda _result, batch: (batch[0] % 2).double()}
    found = score(model, batches, "transfer_entropy", bins=4, **run, **parity)
    assert not hasattr(model, "padded")  # as it was
    model(tokens, lengths)
    h, y = model.padded, (tokens % 2).double()
    expected = tefast.transfer_entropy(h, y, **RANGES, lengths=lengths)
    torch.testing.assert_close(found[0, 0], expected, rtol=0, atol=1e-12)
    assert (score(model, batches, "taylor", **run)[0, 0] > 0).all()
    magnitude = score(model, batches, "activation_magnitude", **run)[0, 0]
    assert (magnitude > 0).all()


@FEW
@FEW
def test_a_criterion_of_ones_own() -> None:
    model, batches = Tagger(), data()

    def spread(context: Context) -> torch.Tensor:
        assert context.units == 16
        return torch.stack([h.flatten(0, 1).std(0) for h, _ in context.outputs()]).mean(0)

    scores = score(model, batches, spread)
    torch.testing.assert_close(
        scores[1, 1],
        torch.stack([by_hand(model, x)[3].flatten(0, 1).std(0) for x, _ in batches]).mean(0),
    )


def test_messages_name_the_criteria_in_this_order() -> None:
    transfer = [
        f"{kind}transfer_entropy" for kind in ("", "corrected_", "effective_", "significant_")
    ]
    reverse = [name.replace("transfer", "reverse_transfer") for name in transfer]
    others = ["entropy", "mutual_information", "active_information", "l1", "l2", "group"]
    others += ["activation_magnitude", "redundancy", "spectral", "taylor", "random"]
    assert list(criteria.NAMED) == transfer + reverse + others


def test_a_name_for_a_criterion_of_ones_own(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(registry, "NAMED", known := dict(criteria.NAMED))

    def least(context: Context) -> torch.Tensor:
        return torch.arange(context.units)

    named = criteria.criterion(descending=False, name="least")
    assert named(least) is known["least"] is least
    named(least)  # as in a cell of a notebook that runs again
    with pytest.raises(
        ValueError, match="name: expected one that no other criterion has, got 'l1'"
    ):
        criteria.criterion(descending=False, name="l1")(least)
    with pytest.raises(ValueError, match="got 'corrected_transfer_entropy'"):
        criteria.criterion(descending=True, name="corrected_transfer_entropy")(partial(least))
    assert list(known) == [*criteria.NAMED, "least"]


def test_a_criterion_in_a_file_of_its_own(tmp_path) -> None:  # type: ignore[no-untyped-def]
    shutil.copy(criteria.__file__, tmp_path)
    (tmp_path / "shape.py").write_text(
        "import torch\n"
        "from tefast.nn.criteria.registry import criterion\n"
        "@criterion(descending=False, name='numbers')\n"
        "def numbers(context):\n"
        "    return torch.arange(context.units)\n"
    )
    spec = importlib.util.spec_from_file_location(
        "copied", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )
    sys.modules["copied"] = copied = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(copied)
        found = score(Tagger(), data(), "numbers")
        assert found[0, 1].tolist() == [4, 5, 6, 7]
    finally:
        criteria.NAMED.pop("numbers", None)
        for name in ("copied", "copied.shape"):
            sys.modules.pop(name, None)


@FEW
def test_the_model_and_generators() -> None:
    model, batches = Tagger().train(), data()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in criteria.NAMED:
        score(model, iter(batches), name)
    assert model.training
    assert not model.rnn._forward_hooks
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())
    with pytest.raises(TypeError, match="expected an iterable that can be read again"):
        score(model, iter(batches), "transfer_entropy", h_range=None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"criterion": "te"}, ValueError, "criterion: expected one of transfer_entropy, .*'te'"),
        ({"parts": [(2, 0)]}, ValueError, r"parts: expected .* \(1, 1\), got \(2, 0\)"),
        ({"rnn": "fc"}, TypeError, "submodule 'fc': expected an nn.LSTM"),
        ({"batches": []}, ValueError, "expected at least one batch, got none"),
        ({"batches": [torch.ones(3)]}, TypeError, "batch: expected a tuple .* got Tensor"),
        ({"criterion": lambda c: torch.zeros(3)}, ValueError, r"shape \(16,\), got \(3,\)"),
        ({"source": lambda r, b: r}, ValueError, r"expected shape \(20, 8\), .*, got \(20, 8,"),
        ({"criterion": "taylor", "loss": lambda r, b: r}, ValueError, "loss: expected a number"),
        ({"batches": [(data()[0][0], torch.full((20,), 3))]}, ValueError, r"0\.\.2, got 3"),
        (
            {"batches": [(data()[0][0], torch.zeros(3).long())]},
            ValueError,
            r"labels: expected shape",
        ),
        ({"batches": [(*data()[0], [8] * 20)]}, ValueError, "lengths: expected a tensor"),
    ],
)
def test_errors(options: dict, error: type[Exception], message: str) -> None:
    given = {"batches": data(), "criterion": "transfer_entropy", **options}
    with pytest.raises(error, match=message):
        score(Tagger(), given.pop("batches"), given.pop("criterion"), **given)
