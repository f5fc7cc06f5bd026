"""Removal in every recurrent layer of PyTorch: what is left computes what it did beside zeros."""

import pytest
import recurrent_twin as twin
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from tefast.nn import RecurrentStack, mask_units, remove_units, slice_state

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # PyTorch says so once of any such layer in float32.
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]

KINDS = ["lstm", "gru", "rnn", "relu", "projected"]
CELLS = ["lstm_cell", "gru_cell", "rnn_cell", "relu_cell"]
CLASSES = {
    "lstm": nn.LSTM,
    "projected": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
    "relu": nn.RNN,
    "lstm_cell": nn.LSTMCell,
    "gru_cell": nn.GRUCell,
    "rnn_cell": nn.RNNCell,
    "relu_cell": nn.RNNCell,
}
NAMES = {"l0": (0, 0), "l0_reverse": (0, 1), "l1": (1, 0), "l1_reverse": (1, 1)}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def layer(kind: str, inputs: int, units: int, seed: int = 0, **options) -> nn.Module:  # type: ignore[no-untyped-def]
    torch.manual_seed(seed)
    if kind.startswith("relu"):
        options["nonlinearity"] = "relu"
    if kind == "projected":
        options.setdefault("proj_size", units // 2)
    return CLASSES[kind](inputs, units, **{"dtype": torch.float64, **options})


def widths(rnn: nn.Module) -> dict[str, dict[tuple[int, int], int]]:
    """Cell units and output features of every part, read from the shapes of the weights."""
    found = {"hidden": {}, "outputs": {}}
    for name, parameter in rnn.named_parameters():
        role, part = twin.role_and_part(name)
        if role == "weight_hh":
            found["outputs"][part] = parameter.shape[1]
            found["hidden"].setdefault(part, parameter.shape[1])
        if role == "weight_hr":
            found["hidden"][part] = parameter.shape[1]
    return found


def without(size: int, removed) -> list[int]:  # type: ignore[no-untyped-def]
    return [unit for unit in range(size) if unit not in removed]


class Case:
    """A layer, what is removed of it, and which indices stay, worked out without tefast."""

    def __init__(self, rnn: nn.Module, units: dict, projections: dict | None = None) -> None:
        self.rnn, self.units, self.projections = rnn, units, projections
        self.projected = any("weight_hr" in name for name, _ in rnn.named_parameters())
        self.gone = {"hidden": units, "outputs": (projections or {}) if self.projected else units}
        self.stay = {
            what: {part: without(n, self.gone[what].get(part, ())) for part, n in sizes.items()}
            for what, sizes in widths(rnn).items()
        }
        self.masked = mask_units(rnn, units, projections)
        self.removed = remove_units(rnn, units, projections)

    def columns(self, number: int) -> list[int]:
        """Features of a layer, both directions concatenated, that stay."""
        found, start = [], 0
        for part, size in widths(self.rnn)["outputs"].items():
            if part[0] == number:
                found += [start + unit for unit in self.stay["outputs"][part]]
                start += size
        return found

    def cut(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """What should be left of a weight of the layer, or of its gradient."""
        role, part = twin.role_and_part(name)
        hidden, outputs = self.stay["hidden"][part], self.stay["outputs"][part]
        if role == "weight_hr":
            return tensor[outputs][:, hidden]
        size = widths(self.rnn)["hidden"][part]
        tensor = tensor.unflatten(0, (-1, size))[:, hidden].flatten(0, 1)
        if role == "weight_hh":
            return tensor[:, outputs]
        return tensor[:, self.columns(part[0] - 1)] if role == "weight_ih" and part[0] else tensor

    def states(self, batch: tuple[int, ...]):  # type: ignore[no-untyped-def]
        """A random initial state, and the same with zeros for what is removed."""
        dtype, found = next(self.rnn.parameters()).dtype, []
        for what, sizes in widths(self.rnn).items():
            full = [torch.randn(*batch, size, dtype=dtype) for size in sizes.values()]
            zeroed = [one.clone() for one in full]
            for one, part in zip(zeroed, sizes, strict=True):
                one[..., self.gone[what].get(part, [])] = 0
            found.append([joined(self.rnn, each) for each in (full, zeroed)])
        (c, c_zeroed), (h, h_zeroed) = found
        return ((h, c), (h_zeroed, c_zeroed)) if is_lstm(self.rnn) else (h, h_zeroed)


def is_cell(rnn: nn.Module) -> bool:
    return isinstance(rnn, nn.LSTMCell | nn.GRUCell | nn.RNNCell)


def is_lstm(rnn: nn.Module) -> bool:
    return isinstance(rnn, nn.LSTMCell) or getattr(rnn, "mode", None) == "LSTM"


def joined(rnn: nn.Module, each: list[torch.Tensor]):  # type: ignore[no-untyped-def]
    """The states of all parts as the layer takes them."""
    if is_cell(rnn):
        return each[0]
    return each if isinstance(rnn, RecurrentStack) else torch.stack(each)


def by_part(rnn: nn.Module, state) -> dict[str, list[torch.Tensor]]:  # type: ignore[no-untyped-def]
    named = {"outputs": state[0], "hidden": state[1]} if is_lstm(rnn) else {"outputs": state}
    return {what: [one] if is_cell(rnn) else list(one) for what, one in named.items()}


def call(rnn: nn.Module, x, state):  # type: ignore[no-untyped-def]
    """Output features and final state; a cell is run over all steps of x (T, N, D)."""
    if not is_cell(rnn):
        output, state = rnn(x, state)
        return (output if isinstance(output, torch.Tensor) else output.data), state
    outputs = []
    for step in x:
        state = rnn(step, state)
        outputs.append(state[0] if is_lstm(rnn) else state)
    return torch.stack(outputs), state


def check_equal(case: Case, x, batch: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    """Outputs, final states and gradients, from zero and from a random initial state."""
    tolerance = TOLERANCE[next(case.rnn.parameters()).dtype]
    for full, zeroed in ((None, None), case.states(batch)):
        sliced = None
        if full is not None:
            sliced = slice_state(case.rnn, full, case.units, case.projections)
        ours, end = call(case.removed, x, sliced)
        theirs, last = call(case.masked, x, zeroed)
        columns = case.columns(max(number for number, _ in widths(case.rnn)["outputs"]))
        gone = without(theirs.shape[-1], columns)
        assert (theirs[..., gone] == 0).all()
        pairs = [(ours, theirs[..., columns])]
        ended = by_part(case.removed, end)
        for what, states in by_part(case.masked, last).items():
            for one, state, stay in zip(ended[what], states, case.stay[what].values(), strict=True):
                pairs.append((one, state[..., stay]))
        for one, other in pairs:
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
        check_gradients(case, pairs, tolerance)


def check_gradients(case: Case, pairs, tolerance: float) -> None:  # type: ignore[no-untyped-def]
    for module, results in zip((case.removed, case.masked), zip(*pairs, strict=True), strict=True):
        module.zero_grad()
        sum(result.square().sum() for result in results).backward()
    wanted = {}
    for name, parameter in case.masked.named_parameters():
        wanted[twin.role_and_part(name)] = case.cut(name, parameter.grad)
    for name, parameter in case.removed.named_parameters():
        gradient = wanted.pop(twin.role_and_part(name))
        scale = 1.0 + gradient.abs().max()
        torch.testing.assert_close(
            parameter.grad / scale, gradient / scale, rtol=tolerance, atol=tolerance
        )
    assert not wanted


def selection(rnn: nn.Module, amount: str) -> tuple[dict, dict | None]:
    """Units and projections to remove: as many everywhere, or not, or all but as few as can be."""
    generator = torch.Generator().manual_seed(5)

    def some(what: str, count) -> dict:  # type: ignore[no-untyped-def]
        return {
            part: torch.randperm(size, generator=generator)[: count(number, size)].tolist()
            for number, (part, size) in enumerate(widths(rnn)[what].items())
        }

    projected = bool(getattr(rnn, "proj_size", 0))
    if amount == "even":  # other units in every part, and all projections stay
        return some("hidden", lambda number, size: 2), None
    if amount == "uneven":  # none of some parts
        units = some("hidden", lambda number, size: number % 3)
        projections = some("outputs", lambda number, size: (number + 1) % 3)
    else:
        units = some("hidden", lambda number, size: size - 1 - projected)
        projections = some("outputs", lambda number, size: size - 1)
    return units, projections if projected else None


def sequences(rnn: nn.Module, packed: bool, dtype: torch.dtype):  # type: ignore[no-untyped-def]
    """Three sequences of five steps, or of one to five where they are packed."""
    x = torch.randn(5, 3, rnn.input_size, dtype=dtype)
    x = x.transpose(0, 1) if rnn.batch_first else x
    if not packed:
        return x
    return pack_padded_sequence(x, torch.tensor([3, 5, 1]), rnn.batch_first, enforce_sorted=False)


def check_layer(kind: str, amount: str, packed: bool, dtype: torch.dtype, **options) -> None:  # type: ignore[no-untyped-def]
    rnn = layer(kind, 4, 7, dtype=dtype, **options)
    case = Case(rnn, *selection(rnn, amount))
    assert type(case.masked) is type(rnn)
    uneven = amount == "uneven" and (rnn.num_layers > 1 or rnn.bidirectional)
    assert type(case.removed) is (RecurrentStack if uneven else type(rnn))
    check_equal(case, sequences(rnn, packed, dtype), (3,))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_removed_equals_masked(kind, num_layers, bidirectional, bias, batch_first, packed) -> None:  # type: ignore[no-untyped-def]
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias}
    for amount in ("even", "uneven", "few left"):
        check_layer(kind, amount, packed, torch.float64, batch_first=batch_first, **options)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_removed_equals_masked_in_float32(kind: str, bidirectional: bool, packed: bool) -> None:
    for amount in ("even", "uneven", "few left"):
        options = {"num_layers": 2, "bidirectional": bidirectional}
        check_layer(kind, amount, packed, torch.float32, **options)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", CELLS)
def test_removed_equals_masked_in_cells(kind: str, dtype: torch.dtype, bias: bool) -> None:
    rnn = layer(kind, 4, 7, dtype=dtype, bias=bias)
    for amount in ("even", "few left"):
        case = Case(rnn, *selection(rnn, amount))
        assert type(case.removed) is type(rnn)
        assert case.removed.hidden_size == (5 if amount == "even" else 1)
        check_equal(case, torch.randn(5, 3, 4, dtype=dtype), (3,))
        check_equal(case, torch.randn(5, 4, dtype=dtype), ())
    if kind.startswith(("rnn", "relu")):
        assert case.removed.nonlinearity == case.masked.nonlinearity == rnn.nonlinearity
    flat = remove_units(rnn, [3, 1]).state_dict()
    for name, tensor in remove_units(rnn, {"l0": (1, 3)}).state_dict().items():
        assert torch.equal(tensor, flat[name])


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_batch(kind: str) -> None:
    for batch_first in (False, True):
        rnn = layer(kind, 4, 7, num_layers=2, bidirectional=True, batch_first=batch_first)
        for amount in ("even", "uneven"):
            case = Case(rnn, *selection(rnn, amount))
            check_equal(case, torch.randn(5, 4, dtype=torch.float64), ())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(KINDS + CELLS))
    units, options = draw(st.integers(2, 6)), {"bias": draw(st.booleans())}
    if kind in KINDS:
        options |= {"num_layers": draw(st.integers(1, 3)), "bidirectional": draw(st.booleans())}
    if kind == "projected":
        options["proj_size"] = draw(st.integers(1, units - 1))
    rnn = layer(kind, draw(st.integers(1, 4)), units, draw(st.integers(0, 10_000)), **options)

    def some(size: int, most: int) -> list[int]:
        return draw(st.permutations(range(size)))[: draw(st.integers(0, most))]

    hidden, outputs = widths(rnn)["hidden"], widths(rnn)["outputs"]
    if kind != "projected":
        return Case(rnn, {part: some(size, size - 1) for part, size in hidden.items()})
    projections = {part: some(size, size - 1) for part, size in outputs.items()}
    units = {
        part: some(size, size - 1 - outputs[part] + len(projections[part]))
        for part, size in hidden.items()
    }
    return Case(rnn, units, projections)


@settings(max_examples=120, deadline=None)
@given(cases(), st.integers(1, 5))
def test_plain_python_and_torch_agree(case: Case, steps: int) -> None:
    x = torch.randn(steps, case.rnn.input_size, dtype=torch.float64)
    full, _ = case.states(())
    named = by_part(case.rnn, full)
    starts = zip(named["outputs"], named.get("hidden", named["outputs"]), strict=True)
    start = {
        part: (h.tolist(), c.tolist())
        for part, (h, c) in zip(twin.weights(case.rnn), starts, strict=True)
    }
    outputs, end = twin.run(case.rnn, x.tolist(), start)
    ours, last = call(case.rnn, x, full)
    torch.testing.assert_close(
        ours, torch.tensor(outputs, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )
    wanted = zip(*end.values(), strict=True)
    for what, values in zip(("outputs", "hidden"), wanted, strict=True):
        for one, value in zip(by_part(case.rnn, last).get(what, ()), values, strict=False):
            torch.testing.assert_close(
                one, torch.tensor(value, dtype=torch.float64), rtol=1e-12, atol=1e-12
            )
    check_equal(case, x, ())


@settings(max_examples=120, deadline=None)
@given(cases(), st.integers(1, 5))
def test_removed_equals_masked_to_the_bit_in_sequential_sums(case: Case, steps: int) -> None:
    x = torch.randn(steps, case.rnn.input_size).tolist()
    full, _ = twin.run(case.masked, x)
    small, _ = twin.run(case.removed, x)
    columns = case.columns(max(number for number, _ in widths(case.rnn)["outputs"]))
    for step, reduced in zip(full, small, strict=True):
        assert [step[unit].hex() for unit in columns] == [value.hex() for value in reduced]
        assert all(step[unit] == 0.0 for unit in without(len(step), columns))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_weights_are_zeroed_or_left_out_and_else_as_they_were(case: Case) -> None:
    before = dict(case.rnn.named_parameters())
    for name, weight in case.masked.named_parameters():
        role, part = twin.role_and_part(name)
        expected = before[name].detach().clone()
        if role == "weight_hr":
            expected[list(case.gone["outputs"].get(part, ()))] = 0
        else:
            units = list(case.gone["hidden"].get(part, ()))
            expected.unflatten(0, (-1, widths(case.rnn)["hidden"][part]))[:, units] = 0
        assert torch.equal(weight, expected)
    found = {twin.role_and_part(name): p for name, p in case.removed.named_parameters()}
    for name, weight in before.items():
        left = found.pop(twin.role_and_part(name))
        assert torch.equal(left, case.cut(name, weight.detach()))
        assert left.is_contiguous()
    assert not found


@pytest.mark.parametrize(
    ("kind", "options", "units"),
    [
        # Torch-Pruning's LSTM pruner raises IndexError on a single layer ...
        ("lstm", {}, {"l0": [0, 3]}),
        ("lstm", {"num_layers": 2}, {"l0": [0], "l1": [3]}),
        # ... and TypeError on a bidirectional one ...
        ("lstm", {"bidirectional": True}, {"l0": [0, 3], "l0_reverse": [1, 2]}),
        # ... and a GRU comes back as large as before, without a word (its issues 44, 276, 404).
        ("gru", {}, {"l0": [0, 3]}),
        ("gru", {"num_layers": 2, "bidirectional": True}, {"l1": [0, 3], "l1_reverse": [5]}),
    ],
)
def test_layers_on_which_torch_pruning_fails(kind: str, options: dict, units: dict) -> None:
    rnn = layer(kind, 4, 7, **options)
    parts = widths(rnn)["hidden"]
    case = Case(rnn, {part: units.get(name, []) for name, part in NAMES.items() if part in parts})
    assert twin.weights(remove_units(rnn, units)) == twin.weights(case.removed)
    smaller, before = (sum(p.numel() for p in m.parameters()) for m in (case.removed, rnn))
    assert smaller < before
    check_equal(case, torch.randn(5, 3, 4, dtype=torch.float64), (3,))


def test_rows_of_all_gates_are_those_of_the_same_units() -> None:
    # torch.ao's LSTMSaliencyPruner ranks the rows of each gate by themselves. What it takes away
    # are no units, and what is left computes something else than its masked network.
    rnn = layer("lstm", 4, 7)
    with torch.no_grad():  # each gate has its weakest rows elsewhere
        for gate in range(4):
            rnn.weight_ih_l0[gate * 7 + gate] *= 1e-3
    case = Case(rnn, {(0, 0): [0, 1]})
    for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
        rows = getattr(rnn, name).unflatten(0, (4, 7))[:, 2:].flatten(0, 1)
        assert torch.equal(getattr(case.removed, name), rows)
    check_equal(case, torch.randn(5, 3, 4, dtype=torch.float64), (3,))


def test_sizes_shrink_and_nothing_of_a_mask_is_left() -> None:
    # torch.nn.utils.prune multiplies by masks, and keeps the size and every weight.
    rnn = layer("lstm", 4, 7, num_layers=2)
    removed = remove_units(rnn, {"l0": [0, 1, 2], "l1": [4, 5, 6]})
    assert type(removed) is nn.LSTM
    assert removed.hidden_size == 4
    assert removed.state_dict().keys() == rnn.state_dict().keys()
    assert removed(torch.randn(5, 3, 4, dtype=torch.float64))[0].shape == (5, 3, 4)
    assert sum(p.numel() for p in removed.parameters()) == 4 * 4 * (4 + 4 + 2) * 2


def test_removing_twice_equals_removing_at_once() -> None:
    rnn = layer("projected", 4, 7, num_layers=2, bidirectional=True, dropout=0.25).eval()
    first = remove_units(rnn, {"l0": [1], "l1_reverse": [0, 6]}, {"l0": [2]})
    assert type(first) is RecurrentStack
    second = {"l0": [0], "l0_reverse": [3, 4], "l1": [5, 1]}
    case = Case(first, {(0, 0): [0], (0, 1): [3, 4], (1, 0): [5, 1]}, {(1, 1): [0]})
    check_equal(case, torch.randn(5, 3, 4, dtype=torch.float64), (3,))
    even = remove_units(first, second, {"l0_reverse": [0], "l1": [1], "l1_reverse": [2]})
    once = remove_units(
        rnn,
        {"l0": [0, 1], "l0_reverse": [3, 4], "l1": [5, 1], "l1_reverse": [0, 6]},
        {"l0": [2], "l0_reverse": [0], "l1": [1], "l1_reverse": [2]},
    )
    assert type(even) is type(once) is nn.LSTM
    assert (even.hidden_size, even.proj_size, even.dropout) == (5, 2, 0.25)
    for name, weight in once.state_dict().items():
        assert torch.equal(even.state_dict()[name], weight)
