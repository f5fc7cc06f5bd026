"""Gates: captured in two products, scored, masked and removed, held to loops in plain Python."""

import copy
import io

import numpy as np
import pytest
import recurrent_twin as twin
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as pruning
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

import tefast
from tefast.nn import (
    GATES,
    GateReducedGRU,
    GateReducedLSTM,
    SequenceClassifier,
    capture,
    capture_gates,
    gate_activations,
    gate_means,
    gate_savings,
    mask_gates,
    prune_gates,
    remove_gates,
    save,
    score,
    select_gates,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU}
FORMS = ["batch", "packed", "sorted", "alone"]
U, D, N, T = 6, 4, 3, 5
LENGTHS = [3, 5, 1]


def layer(mode: str, **options) -> nn.Module:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    rnn = CELLS[mode](D, U, **{"dtype": torch.float64, **options})
    for weight in rnn.parameters():
        weight.data *= 3  # so that gates differ from their means
    return rnn


def inputs(rnn: nn.Module, form: str):  # type: ignore[no-untyped-def]
    """Three sequences of five steps, of three, five and one where they are packed; or one."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, T, D, generator=generator, dtype=torch.float64).to(rnn.weight_hh_l0.dtype)
    if form == "alone":
        return x[0]
    x = x if rnn.batch_first else x.transpose(0, 1)
    if form == "batch":
        return x
    lengths = torch.tensor(LENGTHS)
    if form == "sorted":
        lengths = lengths.sort(descending=True).values
    return pack_padded_sequence(x, lengths, rnn.batch_first, enforce_sorted=form == "sorted")


def initial(rnn: nn.Module, form: str):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(2)
    shape = (1, U) if form == "alone" else (1, N, U)
    h, c = torch.rand(2, *shape, generator=generator, dtype=torch.float64) - 0.5
    h, c = h.to(rnn.weight_hh_l0.dtype), c.to(rnn.weight_hh_l0.dtype)
    return (h, c) if rnn.mode == "LSTM" else h


def states(state) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    return [state] if isinstance(state, torch.Tensor) else list(state)


def data(output) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return output.data if isinstance(output, PackedSequence) else output


def sequences(rnn: nn.Module, values) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    """Valid steps (T, ...) of every sequence of an input, an output or gates."""
    if isinstance(values, PackedSequence):
        padded, lengths = pad_packed_sequence(values, batch_first=True)
        return [one[:length] for one, length in zip(padded, lengths.tolist(), strict=True)]
    return list(values if rnn.batch_first else values.transpose(0, 1))


def every(rnn: nn.Module, form: str, values) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    return [values] if form == "alone" else sequences(rnn, values)


def start(rnn: nn.Module, form: str, state, number: int):  # type: ignore[no-untyped-def]
    """The state of one sequence, as the loops in plain Python take it."""
    if state is None:
        return None
    each = [(one if form == "alone" else one[:, number])[0].tolist() for one in states(state)]
    return {(0, 0): (each[0], each[-1])}


def which(rnn: nn.Module, name: str) -> torch.Tensor:
    """Gates to remove."""
    gates = torch.zeros(U, len(GATES[rnn.mode]), dtype=torch.bool)
    if name == "half":
        gates = torch.rand(gates.shape, generator=torch.Generator().manual_seed(3)) < 0.5
    elif name == "a unit":
        gates[[1, 4]] = True
    elif name == "all":
        gates[:] = True
    elif name != "none":
        gates[:, GATES[rnn.mode].index(name)] = True
    return gates


def selections(rnn: nn.Module) -> list[torch.Tensor]:
    return [which(rnn, name) for name in ("none", "half", "a unit", "all", *GATES[rnn.mode])]


def within(rnn: nn.Module) -> torch.Tensor:
    """Constants strictly inside what each gate can be."""
    low = torch.tensor([-1.0 if gate in "gn" else 0.0 for gate in GATES[rnn.mode]])
    draw = torch.rand(U, len(low), generator=torch.Generator().manual_seed(4)).double()
    return low + (1 - low) * (0.05 + 0.9 * draw)


def close(ours, theirs, tolerance: float = 1e-12) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", CELLS)
def test_gates_are_those_of_an_explicit_loop(mode, bias, batch_first, form) -> None:  # type: ignore[no-untyped-def]
    rnn = layer(mode, bias=bias, batch_first=batch_first)
    x = inputs(rnn, form)
    for hx in (None, initial(rnn, form)):
        gates = gate_activations(rnn, x, hx)
        assert type(gates) is type(x)
        steps = every(rnn, form, x)
        for number, (one, seen) in enumerate(zip(steps, every(rnn, form, gates), strict=True)):
            expected: list = []
            twin.run(rnn, one.tolist(), start(rnn, form, hx, number), seen=expected)
            assert seen.shape == (len(one), U, len(GATES[mode]))
            close(seen, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("form", ["batch", "packed", "alone"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("mode", CELLS)
def test_gates_give_the_outputs_that_pytorch_gives(mode, dtype, form) -> None:  # type: ignore[no-untyped-def]
    rnn = layer(mode, dtype=dtype, batch_first=True)
    x, hx = inputs(rnn, form), initial(rnn, form)
    output, _ = rnn(x, hx)
    both = zip(
        every(rnn, form, gate_activations(rnn, x, hx)), every(rnn, form, output), strict=True
    )
    for number, (gates, outputs) in enumerate(both):
        h, *c = (torch.tensor(v, dtype=dtype) for v in start(rnn, form, hx, number)[0, 0])
        for step, theirs in zip(gates, outputs, strict=True):
            if mode == "LSTM":
                i, f, g, o = step.unbind(-1)
                c = [f * c[0] + i * g]
                h = o * c[0].tanh()
            else:
                _, z, n = step.unbind(-1)
                h = (1 - z) * n + z * h
            close(h, theirs, 1e-12 if dtype == torch.float64 else 1e-5)


def check_equal(rnn: nn.Module, x, hx, gates, constants, tolerance: float = 1e-12) -> None:  # type: ignore[no-untyped-def]
    """Outputs, final states and gradients of the reduced and the masked layer."""
    found = []
    for act in (remove_gates, mask_gates):
        module, leaves = act(rnn, gates, constants, inputs=[(x, hx)]), []
        copied = x
        if isinstance(x, torch.Tensor):
            copied = x.clone().requires_grad_()
            leaves.append(copied)
        given = hx
        if hx is not None:
            leaves += [one.clone().requires_grad_() for one in states(hx)]
            given = tuple(leaves[-2:]) if rnn.mode == "LSTM" else leaves[-1]
        output, last = module(copied, given)
        results = [data(output), *states(last)]
        kept = slice(None) if act is remove_gates else (~gates).t().flatten()
        if any(one.requires_grad for one in results):
            sum(one.square().sum() for one in results).backward()
        for parameter in module.parameters():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            results.append(gradient[kept])
            if act is mask_gates:  # nothing depends on the rows of a gate that is a constant
                assert not gradient[gates.t().flatten()].any()
        found.append((output, results + [one.grad for one in leaves]))
    (one, ours), (other, theirs) = found
    assert type(one) is type(other) is type(x)
    if isinstance(x, PackedSequence):
        assert all(torch.equal(a, b) for a, b in zip(one[1:], x[1:], strict=True) if b is not None)
    for mine, wanted in zip(ours, theirs, strict=True):
        if mine is None or wanted is None:  # an input that nothing depends on
            assert not any(v is not None and v.any() for v in (mine, wanted))
            continue
        scale = 1.0 + wanted.abs().max() if wanted.numel() else 1.0
        close(mine / scale, wanted / scale, tolerance)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", CELLS)
def test_removed_equals_masked(mode, bias, batch_first, form) -> None:  # type: ignore[no-untyped-def]
    rnn = layer(mode, bias=bias, batch_first=batch_first)
    x = inputs(rnn, form)
    for gates in selections(rnn):
        for constants in (0, 1.0, within(rnn), "mean"):
            for hx in (None, initial(rnn, form)):
                check_equal(rnn, x, hx, gates, constants)


@pytest.mark.parametrize("form", ["batch", "packed"])
@pytest.mark.parametrize("mode", CELLS)
def test_removed_equals_masked_in_float32(mode: str, form: str) -> None:
    rnn = layer(mode, dtype=torch.float32)
    for gates in selections(rnn):
        check_equal(rnn, inputs(rnn, form), initial(rnn, form), gates, within(rnn), 1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", CELLS)
def test_without_a_constant_it_is_pytorchs_layer(mode: str, bias: bool, form: str) -> None:
    rnn = layer(mode, bias=bias, batch_first=True)
    x = inputs(rnn, form)
    for hx in (None, initial(rnn, form)):
        output, last = rnn(x, hx)
        ours, end = remove_gates(rnn, {}, 0)(x, hx)
        close(data(ours), data(output))
        assert data(ours).shape == data(output).shape
        for one, other in zip(states(end), states(last), strict=True):
            close(one, other)
            assert one.shape == other.shape


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("mode", CELLS)
def test_a_constant_is_a_bias_alone(mode: str, ends: bool) -> None:
    """PyTorch's own layer, with rows of zeros and biases whose sigmoid or tanh is the constant."""
    rnn, gates = layer(mode), which(layer(mode), "half")
    constants = within(rnn).round() if ends else within(rnn)
    low = torch.tensor([-1.0 if gate in "gn" else 0.0 for gate in GATES[mode]]).double()
    share = (constants - low) / (1 - low)
    # Of +-1000 a sigmoid in float64 is 1 or 0. The tanh of x is 2 sigmoid(2 x) - 1.
    biases = torch.logit(share).clamp(-1000, 1000) / (1 - low)
    rows, flat = gates.t().flatten(), biases.t().flatten()
    own = copy.deepcopy(rnn)
    for name, weight in own.named_parameters():
        weight.data[rows] = 0
        if name == "bias_ih_l0":
            weight.data[rows] = flat[rows]
    x, hx = inputs(rnn, "batch"), initial(rnn, "batch")
    close(mask_gates(rnn, gates, constants)(x, hx), own(x, hx))
    close(remove_gates(rnn, gates, constants)(x, hx), own(x, hx))


@st.composite
def cases(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    torch.manual_seed(draw(st.integers(0, 10_000)))
    mode, units, features = draw(st.sampled_from(sorted(CELLS))), draw(st.integers(1, 5)), 2
    rnn = CELLS[mode](features, units, bias=draw(st.booleans())).double()
    constants: dict[int, dict[int, float]] = {}
    for unit in range(units):
        for number, gate in enumerate(GATES[mode]):
            if draw(st.booleans()):
                value = draw(st.sampled_from([0.0, 1.0, 0.3, -0.7 if gate in "gn" else 0.9]))
                constants.setdefault(unit, {})[number] = value
    return rnn, constants, draw(st.integers(1, 4))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_plain_python_agrees(case) -> None:  # type: ignore[no-untyped-def]
    rnn, constants, steps = case
    gates = torch.zeros(rnn.hidden_size, len(GATES[rnn.mode]), dtype=torch.bool)
    values = torch.full(gates.shape, torch.nan).double()  # not read where nothing is removed
    for unit, fixed in constants.items():
        for number, value in fixed.items():
            gates[unit, number], values[unit, number] = True, value
    x = torch.randn(steps, rnn.input_size, dtype=torch.float64)
    outputs, end = twin.run(rnn, x.tolist(), constants=constants)
    for act in (remove_gates, mask_gates):
        output, last = act(rnn, gates, values)(x)
        close(output, torch.tensor(outputs, dtype=torch.float64))
        for one, other in zip(states(last), end[0, 0], strict=False):
            close(one[0], torch.tensor(other, dtype=torch.float64))


@pytest.mark.parametrize("act", [remove_gates, mask_gates])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("mode", CELLS)
def test_everything_else_is_kept(act, dtype, mode: str) -> None:  # type: ignore[no-untyped-def]
    rnn = layer(mode, dtype=dtype, batch_first=True).eval()
    rnn.weight_ih_l0.requires_grad_(False)
    before = {name: weight.detach().clone() for name, weight in rnn.named_parameters()}
    random, kept = torch.get_rng_state(), which(rnn, "half")
    ours = act(rnn, kept, 0.5)
    assert torch.equal(torch.get_rng_state(), random)
    assert (ours.mode, ours.batch_first, ours.hidden_size) == (mode, True, U)
    assert not ours.training
    ours.flatten_parameters()  # models call it
    assert ours.constants.dtype == dtype
    assert {name for name, _ in ours.named_parameters()} == before.keys()
    for name, weight in ours.named_parameters():
        assert weight.dtype == dtype
        assert weight.requires_grad == (name != "weight_ih_l0")
        weight.data.fill_(7)
    for name, weight in rnn.named_parameters():
        assert torch.equal(weight, before[name])
    x = torch.randn(2, 3, D).to(dtype)
    assert ours(x)[0].dtype == dtype


@pytest.mark.parametrize("mode", CELLS)
def test_gates_are_named_or_marked(mode: str) -> None:
    rnn = layer(mode)
    first, last = GATES[mode][0], GATES[mode][-1]
    marked = torch.zeros(U, len(GATES[mode]), dtype=torch.bool)
    marked[[0, 3], 0] = marked[5, -1] = True
    expected = remove_gates(rnn, marked, 0).state_dict()
    for gates in ({first: [3, 0], last: np.array([5])}, marked.numpy()):
        for name, tensor in remove_gates(rnn, gates, 0).state_dict().items():
            assert torch.equal(tensor, expected[name])
    assert repr(remove_gates(rnn, marked, 0)) == (
        f"GateReduced{mode}({D}, {U}, bias=True, batch_first=False, "
        f"constant gates: 2 {first}, 1 {last})"
    )


@pytest.mark.parametrize("mode", CELLS)
def test_copies_and_files(mode: str) -> None:
    rnn = layer(mode, batch_first=True)
    gates, constants = which(rnn, "half"), within(rnn)
    ours, x = remove_gates(rnn, gates, constants), inputs(rnn, "batch")
    close(copy.deepcopy(ours)(x), ours(x), 0)
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    blank = type(ours)(D, U, state["removed"], batch_first=True, dtype=torch.float64)
    assert not torch.equal(blank(x)[0], ours(x)[0])
    blank.load_state_dict(state)
    close(blank(x), ours(x), 0)
    other = type(ours)(D, U, gates.flip(0), dtype=torch.float64)  # as many rows of each gate
    with pytest.raises(RuntimeError, match="removed: other gates are constants there than here"):
        other.load_state_dict(state)


@pytest.mark.parametrize("form", ["batch", "alone"])
@pytest.mark.parametrize("mode", CELLS)
def test_graphs_of_it(mode: str, form: str) -> None:
    rnn = layer(mode, batch_first=True)
    ours = remove_gates(rnn, which(rnn, "half"), within(rnn))
    given = inputs(rnn, form), initial(rnn, form)
    close(torch.export.export(ours, given).module()(*given), ours(*given))
    torch._dynamo.reset()
    for backend in ("eager", "aot_eager"):
        close(torch.compile(ours, backend=backend, fullgraph=True)(*given), ours(*given))


def test_a_batch_of_any_size_can_be_exported() -> None:
    rnn = layer("LSTM", batch_first=True)
    ours = remove_gates(rnn, which(rnn, "half"), 0)
    sizes = {"input": {0: torch.export.Dim("N")}, "hx": None}
    program = torch.export.export(ours, (inputs(rnn, "batch"), None), dynamic_shapes=sizes)
    x = torch.randn(7, T, D, dtype=torch.float64)
    close(program.module()(x, None), ours(x))


@pytest.mark.parametrize("mode", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_savings_are_counted(mode: str, bias: bool) -> None:
    rnn = layer(mode, bias=bias)
    for gates in selections(rnn):
        ours = remove_gates(rnn, gates, 0)
        saved, count = gate_savings(rnn, gates), int((~gates).sum())
        for module, parameters in zip((rnn, ours), saved.parameters, strict=True):
            assert sum(weight.numel() for weight in module.parameters()) == parameters
        assert saved.recurrent_flops == (2 * gates.numel() * U, 2 * count * U)
        assert saved.input_flops == (2 * gates.numel() * D, 2 * count * D)
        assert ours.weight_hh_l0.shape == (count, U)


@pytest.mark.parametrize("mode", CELLS)
def test_no_more_is_computed_than_is_said(mode: str) -> None:
    rnn = layer(mode)
    x = inputs(rnn, "batch")

    def flops(call) -> int:  # type: ignore[no-untyped-def]
        with FlopCounterMode(display=False) as counter:
            call(x)
        return counter.get_total_flops()

    assert flops(lambda x: gate_activations(rnn, x)) == 2 * flops(rnn)
    for gates in selections(rnn):
        saved = gate_savings(rnn, gates)
        for act, number in ((mask_gates, 0), (remove_gates, 1)):
            step = saved.input_flops[number] + saved.recurrent_flops[number]
            assert flops(act(rnn, gates, 0)) == N * T * step


@pytest.mark.parametrize("mode", CELLS)
def test_under_autocast(mode: str) -> None:
    rnn = layer(mode, dtype=torch.float32)
    x, gates = inputs(rnn, "batch"), which(rnn, "half")
    with torch.autocast("cpu", torch.bfloat16):
        ours = remove_gates(rnn, gates, within(rnn))(x)[0]
    close(ours.float(), mask_gates(rnn, gates, within(rnn))(x)[0], 0.1)


@pytest.mark.parametrize("act", [remove_gates, mask_gates])
@pytest.mark.parametrize(
    ("gates", "error", "message"),
    [
        (torch.zeros(6, 3).bool(), ValueError, r"gates: expected shape \(6, 4\), got \(6, 3\)"),
        (torch.zeros(6, 4), TypeError, r"gates: expected bools, got torch\.float32"),
        (np.zeros((6, 4), int), TypeError, r"gates: expected bools, got torch\.int64"),
        ([0, 1], TypeError, r"gates: expected bools of shape \(6, 4\) or a mapping .* got list"),
        ({"z": [0]}, ValueError, "gates: expected names from i, f, g, o, got 'z'"),
        ({"if": [0]}, ValueError, "got 'if'"),
        ({0: [0]}, ValueError, "got 0"),
        ({"i": [6]}, ValueError, r"gates\['i'\]: expected 0\.\.5, got 6"),
        ({"i": [1, 1]}, ValueError, r"gates\['i'\]: unit 1 is given more than once"),
    ],
)
def test_bad_gates(act, gates, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        act(nn.LSTM(2, 6), gates, 0)


@pytest.mark.parametrize("act", [remove_gates, mask_gates])
@pytest.mark.parametrize(
    ("constants", "error", "message"),
    [
        (1.5, ValueError, r"constants: expected gate 'i' of unit 2 in \[0, 1\], got 1\.5"),
        (torch.full((6, 4), -1.5), ValueError, r"'i' of unit 2 in \[0, 1\], got -1\.5"),
        (np.array([[0, 0, -1.5, 0]] * 6), ValueError, r"'g' of unit 3 in \[-1, 1\], got -1\.5"),
        (np.nan, ValueError, "got nan"),
        (torch.zeros(4), ValueError, r"constants: expected shape \(6, 4\), got \(4,\)"),
        ("median", ValueError, "expected \"mean\", a number or an array, got 'median'"),
        ("mean", ValueError, 'inputs: expected data for the constants "mean", got None'),
        ([0.5], TypeError, "constants: expected a number or an array .* got 'list'"),
        (True, TypeError, "got 'bool'"),
    ],
)
def test_bad_constants(act, constants, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        act(nn.LSTM(2, 6), {"i": [2], "g": [3]}, constants)
    with pytest.raises(ValueError, match="got no valid step"):
        act(nn.LSTM(2, 6), {}, inputs=[])
    with pytest.raises(TypeError, match="inputs: expected an iterable of inputs, got one Tensor"):
        act(nn.LSTM(2, 6), {}, inputs=torch.zeros(3, 1, 2))


class Odd(nn.LSTM):
    pass


@pytest.mark.parametrize(
    "act",
    [
        lambda rnn: remove_gates(rnn, {}, 0),
        lambda rnn: mask_gates(rnn, {}, 0),
        lambda rnn: gate_savings(rnn, {}),
        lambda rnn: gate_activations(rnn, torch.zeros(2, 2)),
        lambda rnn: score(nn.ModuleDict({"rnn": rnn}), [], "l1", of="gates")[0, 0],
        lambda rnn: gate_means(nn.ModuleDict({"rnn": rnn}), []),
        lambda rnn: prune_gates(nn.ModuleDict({"rnn": rnn}), {}, 0),
    ],
)
@pytest.mark.parametrize(
    ("rnn", "error", "message"),
    [
        (nn.RNN(2, 6), TypeError, "expected an nn.LSTM or nn.GRU, .* got an nn.RNN, whose have"),
        (nn.Linear(2, 6), TypeError, "got Linear"),
        (nn.GRUCell(2, 6), TypeError, "got GRUCell"),
        (Odd(2, 6), TypeError, "got Odd"),
        (nn.LSTM(2, 6, num_layers=2), ValueError, "num_layers=1, got 2"),
        (nn.GRU(2, 6, bidirectional=True), ValueError, "got bidirectional=True"),
        (nn.LSTM(2, 6, proj_size=3), ValueError, "proj_size=0, got 3"),
    ],
)
def test_bad_layers(act, rnn, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        act(rnn)


@pytest.mark.parametrize("act", [remove_gates, mask_gates])
def test_masked_weights_are_refused(act) -> None:  # type: ignore[no-untyped-def]
    rnn = nn.LSTM(2, 6)
    pruning.l1_unstructured(rnn, "weight_ih_l0", 0.5)
    with pytest.raises(ValueError, match="'weight_ih_l0' is not a plain parameter"):
        act(rnn, {}, 0)


@pytest.mark.parametrize(
    ("x", "hx", "error", "message"),
    [
        (np.zeros((5, 3, D)), None, TypeError, "input: expected a tensor .* got ndarray"),
        (torch.zeros(5, 3, D + 1), None, ValueError, r"with D = 4, got \(5, 3, 5\)"),
        (torch.zeros(0, 3, D), None, ValueError, "expected at least one step, got none"),
        (torch.zeros(5, 3, D), torch.zeros(1, 3, U), TypeError, r"expected \(h_0, c_0\)"),
        (
            torch.zeros(5, 3, D),
            (torch.zeros(1, 3, U), torch.zeros(1, 2, U)),
            ValueError,
            r"c_0: expected shape \(3, 6\) for l0, got \(2, 6\)",
        ),
    ],
)
def test_bad_calls(x, hx, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        remove_gates(layer("LSTM", dtype=torch.float32), {"i": [0]}, 0)(x, hx)


def test_layers_built_by_hand() -> None:
    ours = GateReducedLSTM(D, U, {"f": range(U)}, 1.0, bias=False)
    assert ours.weight_ih_l0.shape == (3 * U, D)
    assert ours.bias_ih_l0 is None
    assert ours.weight_hh_l0.abs().max() <= U**-0.5
    output, (h, c) = ours(torch.randn(T, N, D))
    assert output.shape == (T, N, U)
    assert h.shape == c.shape == (1, N, U)
    with pytest.raises(ValueError, match="hidden_size: expected an int of 1 or more, got 0"):
        GateReducedGRU(D, 0, {})


def test_select_gates() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [0.9, 0.2, 0.3]])
    assert select_gates(scores, 0.5, descending=True).tolist() == [
        [False, True, True],
        [True, False, False],
    ]
    lowest = select_gates(scores.numpy(), 2, descending=False)
    assert lowest.tolist() == [[True, False, False], [False, True, False]]
    assert not select_gates(scores, 0, descending=True).any()
    assert select_gates(scores, 1.0, descending=True).all()
    with pytest.raises(ValueError, match=r"scores: expected shape \(U, G\), got \(3,\)"):
        select_gates(scores[0], 1, descending=True)
    with pytest.raises(TypeError, match="scores: expected a tensor or an array, got list"):
        select_gates([[1.0]], 1, descending=True)
    with pytest.raises(ValueError, match="NaN"):
        select_gates(scores * torch.nan, 1, descending=True)


def make(cell: str = "lstm") -> SequenceClassifier:
    torch.manual_seed(0)
    model = SequenceClassifier(3, 4, hidden_size=10, fc_size=5, cell=cell)
    for parameter in model.parameters():
        parameter.data *= 4  # so that the gates fill their range
    return model


def uneven(lengths: bool = False) -> list[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for n in (17, 1, 40, 5):
        x = torch.randn(n, 9, 3, generator=generator)
        batch = (x, torch.randint(0, 4, (n,), generator=generator))
        steps = torch.randint(1, 10, (n,), generator=generator)
        batches.append((*batch, steps) if lengths else batch)
    return batches


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_capture_yields_what_capture_does_with_gates(cell: str, lengths: bool) -> None:
    model, batches = make(cell), uneven(lengths)
    known = zip(capture_gates(model, batches), capture(model, batches), batches, strict=True)
    for (gates, *rest), (_, *others), (x, *_) in known:
        with torch.no_grad():  # where PyTorch may take another way, and round otherwise
            assert torch.equal(gates, gate_activations(model.rnn, x))
        assert not gates.requires_grad
        assert all(torch.equal(one, other) for one, other in zip(rest, others, strict=True))
        assert model.training
        assert not model.rnn._forward_hooks


def test_capture_of_a_model_that_gives_a_state() -> None:
    class Started(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.h = nn.GRU(3, 4, batch_first=True), torch.rand(1, 1, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rnn(input=x, hx=self.h.expand(1, len(x), 4).contiguous())[0]

    model, batches = Started(), uneven()
    for (gates, _), (x, _) in zip(capture_gates(model, batches), batches, strict=True):
        with torch.no_grad():
            expected = gate_activations(model.rnn, x, model.h.expand(1, len(x), 4).contiguous())
        assert torch.equal(gates, expected)


def test_capture_refuses_as_capture_does() -> None:
    with pytest.raises(ValueError, match=r"submodule 'rnn': .* num_layers=1, got 2"):
        capture_gates(nn.ModuleDict({"rnn": nn.LSTM(2, 3, 2)}), [])
    with pytest.raises(TypeError, match=r"submodule 'rnn': expected an nn\.LSTM or nn\.GRU"):
        capture_gates(make("rnn"), [])


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_streamed_scores_and_means_equal_one_shot(cell: str, lengths: bool) -> None:
    model, batches = make(cell), uneven(lengths)
    gates, y, *rest = map(torch.cat, zip(*capture_gates(model, batches), strict=True))
    steps = rest[0] if rest else None
    te = score(model, batches, "transfer_entropy", bins=6, of="gates")[0, 0]
    entropy = score(model, batches, "entropy", bins=6, of="gates")[0, 0]
    assert te.shape == entropy.shape == (10, len(GATES[model.rnn.mode]))
    for number, gate in enumerate(GATES[model.rnn.mode]):
        options = {"bins": 6, "h_range": (-1 if gate in "gn" else 0, 1), "lengths": steps}
        h = gates[..., number]
        expected = tefast.transfer_entropy(h, y, y_range=(0, 1), **options)
        assert torch.equal(te[:, number], expected)
        assert torch.equal(entropy[:, number], tefast.entropy(h, **options))
    assert (te > 0).all()
    valid = gates.flatten(0, 1) if steps is None else gates[torch.arange(9) < steps[:, None]]
    close(gate_means(model, batches), valid.double().mean(0))


def test_all_criteria_in_one_pass() -> None:
    model, batches, passes = make(), uneven(), []

    class Counted:
        def __iter__(self):  # type: ignore[no-untyped-def]
            passes.append(1)
            return iter(batches)

    names = ("transfer_entropy", "entropy", "mutual_information", "l1", "random")
    found = score(model, Counted(), names, seed=3, of="gates")
    assert len(passes) == 1
    assert tuple(found) == names
    scores = {name: one[0, 0] for name, one in found.items()}
    for name, one in scores.items():
        assert torch.equal(one, score(model, batches, name, seed=3, of="gates")[0, 0])
    rows = torch.cat([model.rnn.weight_ih_l0, model.rnn.weight_hh_l0], dim=1).detach().double()
    close(scores["l1"], rows.abs().sum(1).reshape(4, 10).t())
    assert len(scores["random"].unique()) == 40
    with pytest.raises(ValueError, match=r"expected one of transfer_entropy, .* got 'te'"):
        score(model, batches, "te", of="gates")[0, 0]
    with pytest.raises(ValueError, match="of='gates': expected a criterion without gradients"):
        score(model, batches, "taylor", of="gates")
    with pytest.raises(ValueError, match=r"of: expected one of units, outputs, gates, got 'gate'"):
        score(model, batches, "l1", of="gate")
    with pytest.raises(ValueError, match="expected at least one batch, got none"):
        score(model, [], "transfer_entropy", of="gates")[0, 0]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_pruned_model(cell: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, batches = make(cell), uneven(True)
    gates = select_gates(
        score(model, batches, "transfer_entropy", of="gates")[0, 0], 0.5, descending=True
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pruned = prune_gates(model, gates, batches=batches)
    means = gate_means(model, batches)
    masked = copy.deepcopy(model)
    masked.rnn = mask_gates(model.rnn, gates, means)
    x = batches[0][0]
    close(pruned(x), masked(x), 1e-5)
    close(pruned.rnn.constants, torch.where(gates, means, 0.0).float())
    assert not torch.equal(pruned(x), model(x))
    close(prune_gates(model, {}, 0)(x), model(x), 1e-5)
    pruned(x).sum().backward()  # it can be trained further
    assert all(p.grad is not None for p in pruned.parameters())
    with pytest.raises(ValueError, match=r"'rnn' is a GateReduced.*, which these files do not"):
        save(pruned, tmp_path / "pruned.safetensors")
    for parameter in pruned.parameters():
        parameter.data.zero_()
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())


class Headed(nn.Module):
    """A layer with a head that need not be at every step: last output, packed, time first."""

    def __init__(self, cell: str, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.rnn, self.fc = kind(3, 5, batch_first=how != "time first"), nn.Linear(5, 4)
        self.how = how
        self.double()

    def forward(self, x, lengths=None):  # type: ignore[no-untyped-def]
        if self.how == "packed":
            packed = pack_padded_sequence(x, lengths, True, enforce_sorted=False)
            return self.fc(pad_packed_sequence(self.rnn(packed)[0], True)[0])
        if self.how == "time first":
            return self.fc(self.rnn(x.transpose(0, 1))[0]).transpose(0, 1)
        return self.fc(self.rnn(x)[0][:, -1])


@pytest.mark.parametrize("how", ["last output", "packed", "time first"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gates_of_any_model(cell: str, how: str) -> None:
    model, (x, labels, lengths) = Headed(cell, how), uneven(True)[2]
    x, lengths[0] = x.double(), 9
    run = {"forward": lambda model, batch: model(batch[0], lengths)}
    valid = torch.arange(9) < (lengths if how == "packed" else torch.full((40,), 9))[:, None]
    if how == "packed":
        packed = pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        packed = gate_activations(model.rnn, packed)
        gates = pad_packed_sequence(packed, True)[0].detach()
    elif how == "time first":
        gates = gate_activations(model.rnn, x.transpose(0, 1)).transpose(0, 1).detach()
    else:
        gates = gate_activations(model.rnn, x).detach()
    expected = gates[valid].mean(0)
    for batch in ((x, labels), (x, None), (x,)):  # labels are not read
        close(gate_means(model, [batch], **run), expected)
    chosen = torch.rand(expected.shape) < 0.5
    pruned = prune_gates(model, chosen, batches=[(x, labels)], **run)
    masked = copy.deepcopy(model)
    masked.rnn = mask_gates(model.rnn, chosen, expected)
    close(pruned(x, lengths), masked(x, lengths), 1e-12)
    read = masked_out(gates, model.rnn.mode)
    y = model.fc(read).softmax(2).gather(2, labels[:, None, None].expand(-1, 9, 1))[..., 0]
    steps = lengths if how == "packed" else None
    te = score(model, [(x, labels)], "transfer_entropy", bins=3, **run, of="gates")[0, 0]
    entropy = score(model, [(x, None)], "entropy", bins=3, **run, of="gates")[0, 0]
    for number, gate in enumerate(GATES[model.rnn.mode]):
        options = {"bins": 3, "h_range": (-1 if gate in "gn" else 0, 1), "lengths": steps}
        h = gates[..., number]
        close(te[:, number], tefast.transfer_entropy(h, y.detach(), y_range=(0, 1), **options))
        close(entropy[:, number], tefast.entropy(h, **options))
    with pytest.raises(TypeError, match="unexpected argument 'reader'; expected forward, source"):
        gate_means(model, [(x, labels)], reader=1)


def masked_out(gates: torch.Tensor, mode: str) -> torch.Tensor:
    """The outputs (n, T, U) that gates (n, T, U, G) make."""
    state, outputs = torch.zeros(len(gates), gates.shape[2]).double(), []
    for step in gates.unbind(1):
        if mode == "LSTM":
            i, f, g, o = step.unbind(-1)
            state = f * state + i * g
            outputs.append(o * state.tanh())
        else:
            _, z, n = step.unbind(-1)
            state = (1 - z) * n + z * state
            outputs.append(state)
    return torch.stack(outputs, 1)


def test_models_that_cannot_be_pruned() -> None:
    model = make()
    with pytest.raises(ValueError, match='batches: expected data for the constants "mean"'):
        prune_gates(model, {})
    with pytest.raises(ValueError, match="expected at least one batch, got none"):
        prune_gates(model, {}, batches=[])
    with pytest.raises(ValueError, match="got no valid step"):
        prune_gates(model, {}, batches=[(*uneven()[0], torch.zeros(17).long())])
    with pytest.raises(ValueError, match="has no submodule 'lstm'"):
        prune_gates(model, {}, 0, rnn="lstm")
    model.other = nn.LSTM(3, 10)
    model.other.weight_hh_l0 = model.rnn.weight_hh_l0
    with pytest.raises(ValueError, match=r"rnn\.weight_hh_l0 and other\.weight_hh_l0 in one"):
        prune_gates(model, {}, 0)


@pytest.mark.parametrize("h_range", [(-1.0, 1.0), None])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_series_of_ones_own_leaves_the_gates_their_ranges(cell: str, h_range) -> None:  # type: ignore[no-untyped-def]
    model, batches = make(cell), uneven()

    def source(result, batch):  # type: ignore[no-untyped-def]
        return result[..., 0]

    series = torch.cat([model(x)[..., 0].detach() for x, *_ in batches])
    gates = torch.cat([gates for gates, *_ in capture_gates(model, batches)])
    how = {"bins": 4, "source": source, "of": "gates", "h_range": h_range}
    found = score(model, batches, "transfer_entropy", **how)[0, 0]
    for number, gate in enumerate(GATES[model.rnn.mode]):
        expected = tefast.transfer_entropy(
            gates[..., number], series, 4, h_range=(-1 if gate in "gn" else 0, 1),
            y_range=(series.min().item(), series.max().item()),
        )  # fmt: skip
        assert torch.equal(found[:, number], torch.as_tensor(expected))
