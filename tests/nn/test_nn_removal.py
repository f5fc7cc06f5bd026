"""What masking and removal take, keep and refuse; `test_nn_layers` holds them to their equality."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as pruning

from tefast.nn import (
    RecurrentStack,
    SequenceClassifier,
    mask,
    mask_units,
    prune,
    remove_units,
    slice_state,
)

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ["lstm", "gru", "rnn", "relu"]


def layer(kind: str, inputs: int, units: int, **options) -> nn.Module:  # type: ignore[no-untyped-def]
    if kind == "relu":
        options["nonlinearity"] = "relu"
    cell = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN, "relu": nn.RNN}[kind]
    return cell(inputs, units, **{"batch_first": True, "dtype": torch.float64, **options})


def tagger(seed: int = 0, **options) -> nn.Module:  # type: ignore[no-untyped-def]
    """A model with a head over both directions of the last layer."""
    torch.manual_seed(seed)
    rnn = layer("lstm", 3, 6, **{"num_layers": 2, "bidirectional": True, **options})
    head = nn.Linear(2 * (rnn.proj_size or 6), 4, dtype=torch.float64)
    return Tagger(nn.ModuleDict({"rnn": rnn, "head": head}))


class Tagger(nn.Module):
    def __init__(self, parts: nn.ModuleDict) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts["head"](self.parts["rnn"](x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_all_units_may_be_masked(kind: str) -> None:
    rnn = layer(kind, 3, 5)
    assert (mask_units(rnn, range(5))(torch.randn(2, 3, 3).double())[0] == 0).all()
    both = layer(kind, 3, 5, bidirectional=True)
    output, _ = mask_units(both, {"l0_reverse": range(5)})(torch.randn(2, 3, 3).double())
    assert (output[..., 5:] == 0).all()
    assert (output[..., :5] != 0).any()


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_everything_else_is_kept_in_a_stack(kind: str, dtype: torch.dtype) -> None:
    options = {"num_layers": 2, "bidirectional": True, "dropout": 0.5, "dtype": dtype}
    rnn = layer(kind, 3, 5, bias=False, **options).eval()
    rnn.weight_hh_l1_reverse.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in rnn.named_parameters()}
    random = torch.get_rng_state()
    stack = remove_units(rnn, {"l0": [0]})
    assert torch.equal(torch.get_rng_state(), random)
    assert type(stack) is RecurrentStack
    assert (stack.mode, stack.batch_first, stack.dropout) == (rnn.mode, True, 0.5)
    assert not any(module.training for module in stack.modules())
    for name, parameter in stack.named_parameters():
        assert parameter.dtype == dtype
        assert parameter.is_contiguous()
        assert parameter.requires_grad == (name != "layers.l1_reverse.weight_hh_l0")
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


TWO_WAYS = nn.LSTM(2, 6, num_layers=2, bidirectional=True, proj_size=3)


@pytest.mark.parametrize("act", [mask_units, remove_units])
@pytest.mark.parametrize(
    ("units", "projections", "error", "message"),
    [
        ([0], None, TypeError, "mapping from l0, l0_reverse, l1, l1_reverse .* 4 .* got list"),
        ([], None, TypeError, "units: expected a mapping .* got list"),
        ("l0", None, TypeError, "units: expected a mapping .* got str"),
        ({"l2": [0]}, None, ValueError, r"units: expected keys from l0, .*\(0, 0\), got 'l2'"),
        ({(1, 2): [0]}, None, ValueError, r"got \(1, 2\)"),
        ({0: [0]}, None, ValueError, "got 0"),
        ({None: [0]}, None, ValueError, "got None"),
        ({"l0": [0], (0, 0): [1]}, None, ValueError, "units: l0 is given more than once"),
        ({"l1": [6]}, None, ValueError, r"units\['l1'\]: expected 0\.\.5, got 6"),
        ({(1, 1): [2, 2]}, None, ValueError, r"units\[\(1, 1\)\]: unit 2 is given more than"),
        ({"l1": 3}, None, TypeError, r"units\['l1'\]: expected integers .* got int"),
        ({}, [0], TypeError, "projections: expected a mapping"),
        ({}, {"l0": [3]}, ValueError, r"projections\['l0'\]: expected 0\.\.2, got 3"),
    ],
)
def test_bad_mappings(act, units, projections, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        act(TWO_WAYS, units, projections)


@pytest.mark.parametrize("act", [mask_units, remove_units])
def test_keys_of_a_mapping(act) -> None:  # type: ignore[no-untyped-def]
    expected = act(TWO_WAYS, {(0, 0): [1], (1, 1): [0, 2]}, {(1, 0): [2]}).state_dict()
    named = act(TWO_WAYS, {"l1_reverse": np.array([2, 0]), (0, 0): (1,), "l1": []}, {"l1": [2]})
    for name, weight in named.state_dict().items():
        assert torch.equal(weight, expected[name])
    only = layer("gru", 2, 6)
    expected = act(only, [1, 4]).state_dict()
    for units in (
        {"l0": [4, 1]},
        {(0, 0): torch.tensor([1, 4])},
        {(np.int64(0), 0): range(1, 5, 3)},
    ):
        for name, weight in act(only, units).state_dict().items():
            assert torch.equal(weight, expected[name])


def test_too_few_units_beside_projections() -> None:
    few = r"units: 3 of l1 would be left beside 3 projected outputs"
    with pytest.raises(ValueError, match=few):
        remove_units(TWO_WAYS, {"l1": [0, 1, 2]})
    left = remove_units(TWO_WAYS, {"l1": [0, 1, 2]}, {"l1": [0]})
    assert (left.hidden_sizes[1, 0], left.proj_sizes[1, 0]) == (3, 2)


@pytest.mark.parametrize("act", [mask_units, remove_units])
def test_no_projections_there(act) -> None:  # type: ignore[no-untyped-def]
    for rnn in (nn.LSTM(2, 6), nn.GRUCell(2, 6), RecurrentStack("GRU", 2, [(6,)])):
        with pytest.raises(ValueError, match="projections: expected an LSTM with proj_size"):
            act(rnn, [0], [1])


def computed(make) -> nn.Module:  # type: ignore[no-untyped-def]
    rnn = nn.LSTM(2, 6, num_layers=2)
    make(rnn)
    return rnn


def tie(rnn: nn.LSTM) -> None:
    rnn.weight_hh_l1 = rnn.weight_hh_l0


def extend(rnn: nn.LSTM) -> None:
    rnn.scale = nn.Parameter(torch.ones(1))


def one_for_both() -> RecurrentStack:
    stack = RecurrentStack("LSTM", 6, [(6,), (6,)])
    stack.layers["l1"] = stack.layers["l0"]
    return stack


def parametrized_part() -> RecurrentStack:
    stack = RecurrentStack("LSTM", 6, [(6,), (5,)])
    nn.utils.parametrizations.weight_norm(stack.layers["l1"], "weight_hh_l0")
    return stack


weight_norm = nn.utils.parametrizations.weight_norm


@pytest.mark.parametrize("act", [mask_units, remove_units])
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(2, 6), TypeError, "expected an nn.LSTM, nn.GRU .* got Linear"),
        (lambda: Odd(2, 6), TypeError, "got Odd"),
        (
            lambda: computed(lambda rnn: weight_norm(rnn, "weight_hh_l1")),
            ValueError,
            "'weight_hh_l1' is not a plain parameter",
        ),
        (
            lambda: computed(lambda rnn: pruning.l1_unstructured(rnn, "weight_ih_l0", 0.5)),
            ValueError,
            "'weight_ih_l0' is not a plain parameter",
        ),
        (lambda: computed(tie), ValueError, "not shared, got weight_hh_l0 and weight_hh_l1 in one"),
        (lambda: computed(extend), ValueError, "unexpected parameter 'scale'"),
        (one_for_both, ValueError, "one module for two of them"),
        (parametrized_part, ValueError, "'weight_hh_l0' is not a plain parameter"),
    ],
)
def test_bad_layers(act, make, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        act(make(), {})


def test_old_weight_norm_is_refused() -> None:
    rnn = nn.GRU(2, 6)
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(rnn, "weight_hh_l0")
    with pytest.raises(ValueError, match="'weight_hh_l0' is not a plain parameter"):
        remove_units(rnn, [0])


def test_removing_all_is_refused() -> None:
    with pytest.raises(ValueError, match="all 6 units given; at least one must stay"):
        remove_units(nn.GRU(2, 6), range(6))
    with pytest.raises(ValueError, match="all 8 units given"):
        prune(SequenceClassifier(2, 2, hidden_size=8, fc_size=3), range(8))
    with pytest.raises(ValueError, match=r"units\['l0_reverse'\]: all 6 units given"):
        remove_units(TWO_WAYS, {"l1": [0], "l0_reverse": range(6)})
    with pytest.raises(ValueError, match=r"projections\['l1'\]: all 3 units given"):
        prune(tagger(proj_size=3), {}, "parts.rnn", ["parts.head"], {"l1": [0, 1, 2]})


@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize(
    "units", [{}, {"l0": [1]}, {"l1": [0, 5]}, {(0, 1): [2], "l1_reverse": [3]}]
)
def test_head_over_both_directions(units: dict, proj_size: int) -> None:
    model, x = tagger(proj_size=proj_size), torch.randn(2, 5, 3, dtype=torch.float64)
    projections = {"l1_reverse": [0]} if proj_size else None
    pruned = prune(model, units, "parts.rnn", ["parts.head"], projections)
    masked = mask(model, units, "parts.rnn", projections)
    torch.testing.assert_close(pruned(x), masked(x), rtol=1e-12, atol=1e-12)
    assert torch.equal(masked(x), model(x)) == (not units and not projections)
    gone = sum(len(chosen) for part, chosen in units.items() if "l1" in part)
    assert pruned.parts["head"].in_features == (3 if proj_size else 12 - gone)


def test_model_that_runs_a_cell() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTMCell(3, 6), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state = None
            for step in x:
                state = self.cell(step, state)
            return self.head(state[0])

    torch.manual_seed(0)
    model, x = Loop().double(), torch.randn(5, 2, 3, dtype=torch.float64)
    pruned, masked = prune(model, [4, 0], "cell", ["head"]), mask(model, [4, 0], "cell")
    assert pruned.cell.hidden_size == pruned.head.in_features == 4
    torch.testing.assert_close(pruned(x), masked(x), rtol=1e-12, atol=1e-12)


def test_weights_shared_between_modules_are_refused() -> None:
    model = Nested()
    model.other.weight = nn.Parameter(torch.zeros(2, 6))
    model.heads[0].weight = model.other.weight
    names = {"rnn": "body.cell", "consumers": ["heads.0"]}
    with pytest.raises(ValueError, match=r"got heads\.0\.weight and other\.weight in one"):
        prune(model, [0], **names)
    model = Nested()
    model.twin = nn.GRU(3, 6)
    model.twin.bias_hh_l0 = model.body["cell"].bias_hh_l0
    shared = r"body\.cell\.bias_hh_l0 and twin\.bias_hh_l0 in one"
    with pytest.raises(ValueError, match=shared):
        mask(model, [0], "body.cell")
    with pytest.raises(ValueError, match=shared):
        prune(model, [0], "body.cell", ["heads.0"])
    alias = Nested()
    alias.again = alias.body["cell"]  # one module under two names is no trouble
    pruned = prune(alias, [0], "again", ["heads.0", "heads.1"])
    assert pruned.again is pruned.body["cell"]


def test_computed_weights_of_a_consumer_are_refused() -> None:
    model = SequenceClassifier(2, 2, hidden_size=8, fc_size=3)
    pruning.l1_unstructured(model.fc1, "weight", 0.5)
    with pytest.raises(ValueError, match="consumer 'fc1': 'weight' is not a plain parameter"):
        prune(model, [0])


def test_nothing_is_built_before_all_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_args, **_options):  # type: ignore[no-untyped-def]
        raise AssertionError("built")

    monkeypatch.setattr("tefast.nn._layers.layers.rebuild", build)
    monkeypatch.setattr("tefast.nn._layers.layers._select", build)
    for units, projections in (
        ({"l1": [6]}, None),
        ({"l1": range(6)}, None),
        ({}, {"l1": [0] * 2}),
    ):
        with pytest.raises(ValueError, match="l1"):
            remove_units(TWO_WAYS, units, projections)
        with pytest.raises(ValueError, match="l1"):
            prune(tagger(proj_size=3), units, "parts.rnn", ["parts.head"], projections)


H_0, C_0 = torch.randn(4, 7, 3), torch.randn(4, 7, 6)


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (H_0, TypeError, r"state: expected \(h_0, c_0\), got Tensor"),
        ((H_0, "c"), TypeError, "c_0: expected a tensor or a sequence of tensors, got 'c'"),
        (
            (H_0[:2], C_0),
            ValueError,
            "h_0: expected 4 states, of l0, l0_reverse, l1, l1_reverse, got",
        ),
        ((C_0, C_0), ValueError, r"h_0: expected shape \(7, 3\) for l0, got \(7, 6\)"),
        ((H_0[None], C_0), ValueError, "h_0: expected 4 states"),
    ],
)
def test_bad_states(state, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        slice_state(TWO_WAYS, state, {"l0": [0]})


def test_states_are_sliced_with_their_gradients() -> None:
    h_0, c_0 = H_0.clone().requires_grad_(), C_0.clone()
    h, c = slice_state(TWO_WAYS, (h_0, c_0), {"l0": [5, 0]}, {"l1": [1]})
    assert [tuple(one.shape) for one in h] == [(7, n) for n in (3, 3, 2, 3)]
    assert [tuple(one.shape) for one in c] == [(7, n) for n in (4, 6, 6, 6)]
    assert torch.equal(c[0], c_0[0, :, 1:5])
    sum(one.sum() for one in h).backward()
    assert h_0.grad.sum() == 4 * 7 * 3 - 7
    even, _ = slice_state(TWO_WAYS, (H_0, C_0), {"l0": [5]})
    assert torch.equal(even, H_0)
    assert torch.equal(slice_state(nn.GRUCell(2, 3), H_0[0, 0], [1]), H_0[0, 0, [0, 2]])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rnn": "lstm"}, ValueError, "SequenceClassifier has no submodule 'lstm'; it has 'rnn'"),
        ({"rnn": ""}, ValueError, "no submodule ''"),
        ({"rnn": "fc1"}, TypeError, "submodule 'fc1': expected an nn.LSTM"),
        ({"consumers": ["head"]}, ValueError, "no submodule 'head'"),
        ({"consumers": ["rnn"]}, TypeError, "'rnn': expected nn.Linear or another .* got LSTM"),
        ({"consumers": ["fc2"]}, ValueError, "'fc2': expected in_features 8, .* got 3"),
        ({"consumers": ["fc1", "fc1"]}, ValueError, "'fc1' is given more than once"),
        ({"consumers": "fc1"}, TypeError, "got the string 'fc1'"),
    ],
)
def test_bad_names(options: dict, error: type[Exception], message: str) -> None:
    model = SequenceClassifier(2, 2, hidden_size=8, fc_size=3)
    with pytest.raises(error, match=message):
        prune(model, [0], **options)
