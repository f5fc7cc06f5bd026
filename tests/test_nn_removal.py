"""Masking and removal: what is left computes what it computed beside the masked units."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tefast.nn import SequenceClassifier, mask, mask_units, prune, remove_units

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ["lstm", "gru", "rnn", "relu"]


def layer(kind: str, inputs: int, units: int, **options) -> nn.Module:  # type: ignore[no-untyped-def]
    if kind == "relu":
        options["nonlinearity"] = "relu"
    cell = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN, "relu": nn.RNN}[kind]
    return cell(inputs, units, **{"batch_first": True, "dtype": torch.float64, **options})


def sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


def sequential(rnn: nn.Module, x: list[list[float]]) -> list[list[float]]:
    """One sequence through a layer in plain Python, every sum from left to right.

    In such sums a term that is exactly 0 changes nothing, so removed must equal masked here.
    """
    units = rnn.hidden_size
    weights = {name: p.detach().tolist() for name, p in rnn.named_parameters()}
    nothing = [0.0] * len(weights["weight_ih_l0"])

    def product(part: str, row: int, vector: list[float]) -> float:
        total = weights.get(f"bias_{part}_l0", nothing)[row]
        for weight, value in zip(weights[f"weight_{part}_l0"][row], vector, strict=True):
            total += weight * value
        return total

    h, c, outputs = [0.0] * units, [0.0] * units, []
    for step in x:
        before, h = h, []
        for unit in range(units):
            rows = range(unit, len(nothing), units)
            a = [product("ih", row, step) for row in rows]
            b = [product("hh", row, before) for row in rows]
            if rnn.mode == "LSTM":
                i, f, g, o = (p + q for p, q in zip(a, b, strict=True))
                c[unit] = sigmoid(f) * c[unit] + sigmoid(i) * math.tanh(g)
                h.append(sigmoid(o) * math.tanh(c[unit]))
            elif rnn.mode == "GRU":
                r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
                n = math.tanh(a[2] + r * b[2])
                h.append((1.0 - z) * n + z * before[unit])
            else:
                total = a[0] + b[0]
                h.append(math.tanh(total) if rnn.mode == "RNN_TANH" else max(total, 0.0))
        outputs.append(h)
    return outputs


@st.composite
def layers_and_units(draw: st.DrawFn) -> tuple[nn.Module, list[int], torch.Tensor]:
    kind = draw(st.sampled_from(KINDS))
    inputs, units = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    count = draw(st.sampled_from([0, 1, units // 2, units - 1]).filter(lambda n: n < units))
    chosen = draw(st.permutations(range(units)))[:count]
    torch.manual_seed(draw(st.integers(0, 10_000)))
    rnn = layer(kind, inputs, units, bias=draw(st.booleans()))
    return rnn, list(chosen), torch.randn(3, draw(st.integers(1, 8)), inputs, dtype=torch.float64)


def kept(units: int, removed: list[int]) -> list[int]:
    return [unit for unit in range(units) if unit not in removed]


@settings(max_examples=60, deadline=None)
@given(layers_and_units())
def test_twin_in_plain_python_agrees_with_torch(case) -> None:  # type: ignore[no-untyped-def]
    rnn, _, x = case
    ours = torch.tensor([sequential(rnn, sequence) for sequence in x.tolist()])
    torch.testing.assert_close(ours.double(), rnn(x)[0].detach(), rtol=1e-5, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(layers_and_units())
def test_removed_equals_masked_to_the_bit_in_sequential_sums(case) -> None:  # type: ignore[no-untyped-def]
    rnn, units, x = case
    masked, removed = mask_units(rnn, units), remove_units(rnn, units)
    stay = kept(rnn.hidden_size, units)
    for sequence in x.tolist():
        full, small = sequential(masked, sequence), sequential(removed, sequence)
        for step, reduced in zip(full, small, strict=True):
            assert [step[unit].hex() for unit in stay] == [value.hex() for value in reduced]
            assert all(step[unit] == 0.0 for unit in units)


@settings(max_examples=200, deadline=None)
@given(layers_and_units(), st.sampled_from([torch.float64, torch.float32]))
def test_removed_equals_masked_in_torch(case, dtype: torch.dtype) -> None:  # type: ignore[no-untyped-def]
    rnn, units, x = case
    rnn, x = rnn.to(dtype), x.to(dtype)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    masked, removed = mask_units(rnn, units), remove_units(rnn, units)
    stay = torch.tensor(kept(rnn.hidden_size, units))
    ours, last = removed(x)
    full, final = masked(x)
    assert (full[:, :, units] == 0).all()
    assert ours.shape[2] == len(stay)
    torch.testing.assert_close(ours, full[:, :, stay], rtol=tolerance, atol=tolerance)
    if rnn.mode == "LSTM":
        torch.testing.assert_close(last[1], final[1][:, :, stay], rtol=tolerance, atol=tolerance)
    ours.square().sum().backward()
    full.square().sum().backward()
    gates = len(rnn.weight_hh_l0) // rnn.hidden_size
    rows = torch.cat([stay + gate * rnn.hidden_size for gate in range(gates)])
    for name, parameter in removed.named_parameters():
        gradient = masked.get_parameter(name).grad[rows]
        gradient = gradient[:, stay] if name == "weight_hh_l0" else gradient
        scale = 1.0 + gradient.abs().max()
        torch.testing.assert_close(
            parameter.grad / scale, gradient / scale, rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("kind", KINDS)
def test_masking_zeroes_the_gate_rows_and_nothing_else(kind: str) -> None:
    rnn = layer(kind, 3, 5)
    masked = mask_units(rnn, [4, 1])
    for name, before in rnn.named_parameters():
        expected = before.detach().clone().unflatten(0, (-1, 5))
        expected[:, [1, 4]] = 0
        assert torch.equal(masked.get_parameter(name), expected.flatten(0, 1))
    assert (mask_units(rnn, range(5))(torch.randn(2, 3, 3).double())[0] == 0).all()


@pytest.mark.parametrize("act", [mask_units, remove_units])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch_first", [True, False])
def test_everything_else_is_kept(act, kind, dtype, batch_first) -> None:  # type: ignore[no-untyped-def]
    rnn = layer(kind, 3, 5, dtype=dtype, batch_first=batch_first).eval()
    rnn.dropout = 0.5
    rnn.weight_ih_l0.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in rnn.named_parameters()}
    random = torch.get_rng_state()
    twin = act(rnn, [0])
    assert torch.equal(torch.get_rng_state(), random)
    assert type(twin) is type(rnn)
    assert (twin.mode, twin.batch_first, twin.dropout) == (rnn.mode, batch_first, 0.5)
    assert not twin.training
    for name, parameter in twin.named_parameters():
        assert parameter.dtype == dtype
        assert parameter.is_contiguous()
        assert parameter.requires_grad == (name != "weight_ih_l0")
        parameter.data.fill_(7)
    for name, parameter in rnn.named_parameters():
        assert torch.equal(parameter, before[name])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "none", [[], torch.tensor([], dtype=torch.int64), np.array([], dtype=np.int32)]
)
def test_removing_none_is_an_equal_copy(kind, none) -> None:  # type: ignore[no-untyped-def]
    rnn = layer(kind, 3, 5)
    for twin in (remove_units(rnn, none), mask_units(rnn, none)):
        assert twin is not rnn
        for (_, ours), (_, theirs) in zip(
            twin.named_parameters(), rnn.named_parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)
            assert ours.data_ptr() != theirs.data_ptr()


def test_order_and_type_of_units_do_not_matter() -> None:
    rnn = layer("lstm", 2, 6)
    expected = remove_units(rnn, [1, 4]).state_dict()
    for units in ([4, 1], (1, 4), torch.tensor([4, 1]), np.array([1, 4], dtype=np.uint8)):
        for name, weight in remove_units(rnn, units).state_dict().items():
            assert torch.equal(weight, expected[name])


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"cell": nn.GRU(3, 6, batch_first=True)})
        self.heads = nn.ModuleList([nn.Linear(6, 2), nn.Linear(6, 4, bias=False)])
        self.other = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.body["cell"](x)[0]
        return torch.cat([head(h) for head in self.heads], dim=2)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["lstm", "gru", "rnn"]), st.data())
def test_pruned_model_equals_masked_model(cell: str, data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    units = data.draw(st.lists(st.integers(0, 7), unique=True, max_size=7))
    model = SequenceClassifier(3, 4, hidden_size=8, fc_size=5, cell=cell).double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    pruned, masked = prune(model, units), mask(model, units)
    assert pruned.rnn.hidden_size == pruned.fc1.in_features == 8 - len(units)
    torch.testing.assert_close(pruned(x), masked(x), rtol=1e-12, atol=1e-12)
    if units:  # seen before the head, whose rectifier may be dead
        assert not torch.equal(masked.rnn(x)[0], model.rnn(x)[0])
    for copy in (pruned, masked):
        for parameter in copy.parameters():
            parameter.data.zero_()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_dotted_names_and_several_consumers() -> None:
    torch.manual_seed(0)
    model = Nested().eval()
    model.heads[0].weight.requires_grad_(False)
    units = [0, 2, 5]
    names = {"rnn": "body.cell", "consumers": ["heads.0", "heads.1"]}
    pruned = prune(model, units, **names)
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(
        pruned(x), mask(model, units, rnn="body.cell")(x), rtol=1e-5, atol=1e-6
    )
    assert [head.in_features for head in pruned.heads] == [3, 3]
    assert pruned.heads[1].bias is None
    assert not pruned.heads[0].weight.requires_grad
    assert pruned.heads[0].bias.requires_grad
    assert pruned.other.in_features == 6
    assert not any(module.training for module in pruned.modules())


def test_pruning_draws_no_random_number_and_keeps_training_mode() -> None:
    model = SequenceClassifier(3, 4, hidden_size=8, fc_size=5)
    random = torch.get_rng_state()
    pruned = prune(model, [1])
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in pruned.modules())


@pytest.mark.parametrize("act", [mask_units, remove_units])
@pytest.mark.parametrize(
    ("units", "error", "message"),
    [
        ([6], ValueError, r"units: expected 0\.\.5, got 6"),
        ([-1], ValueError, r"units: expected 0\.\.5, got -1"),
        ([1, 3, 1], ValueError, "unit 1 is given more than once"),
        ([0.5], TypeError, "units: expected integers, got float64"),
        (torch.tensor([1.0]), TypeError, "units: expected integers, got float32"),
        ([True, False], TypeError, "units: expected integers, got bool"),
        (torch.tensor([[1]]), ValueError, r"units: expected shape \(K,\), got \(1, 1\)"),
        ("1", TypeError, "got str"),
        (3, TypeError, "got int"),
    ],
)
def test_bad_units(act, units, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        act(nn.LSTM(2, 6), units)


class Odd(nn.LSTM):
    pass


@pytest.mark.parametrize("act", [mask_units, remove_units])
@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (nn.Linear(2, 6), TypeError, "expected an nn.LSTM, nn.GRU or nn.RNN, got Linear"),
        (Odd(2, 6), TypeError, "got Odd"),
        (nn.GRU(2, 6, num_layers=2), ValueError, "num_layers=1, got 2"),
        (nn.LSTM(2, 6, bidirectional=True), ValueError, "got bidirectional=True"),
        (nn.LSTM(2, 6, proj_size=3), ValueError, "proj_size=0, got 3"),
    ],
)
def test_bad_layers(act, module, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        act(module, [0])


def test_removing_all_is_refused() -> None:
    with pytest.raises(ValueError, match="all 6 units given; at least one must stay"):
        remove_units(nn.GRU(2, 6), range(6))
    with pytest.raises(ValueError, match="all 8 units given"):
        prune(SequenceClassifier(2, 2, hidden_size=8, fc_size=3), range(8))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rnn": "lstm"}, ValueError, "SequenceClassifier has no submodule 'lstm'; it has 'rnn'"),
        ({"rnn": ""}, ValueError, "no submodule ''"),
        ({"rnn": "fc1"}, TypeError, "submodule 'fc1': expected an nn.LSTM"),
        ({"consumers": ["head"]}, ValueError, "no submodule 'head'"),
        ({"consumers": ["rnn"]}, TypeError, "consumer 'rnn': expected nn.Linear, got LSTM"),
        ({"consumers": ["fc2"]}, ValueError, "'fc2': expected in_features 8, .* got 3"),
        ({"consumers": ["fc1", "fc1"]}, ValueError, "'fc1' is given more than once"),
        ({"consumers": "fc1"}, TypeError, "got the string 'fc1'"),
    ],
)
def test_bad_names(options: dict, error: type[Exception], message: str) -> None:
    model = SequenceClassifier(2, 2, hidden_size=8, fc_size=3)
    with pytest.raises(error, match=message):
        prune(model, [0], **options)
