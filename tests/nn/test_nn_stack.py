"""RecurrentStack: what PyTorch's stacked layers compute, where the widths may differ."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from tefast.nn import RecurrentStack, remove_units
from tefast.nn._layers.stack import packed_reversal

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # PyTorch says so once of any such layer in float32.
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]

MODES = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN_TANH": nn.RNN, "RNN_RELU": nn.RNN}


def uneven(**options) -> RecurrentStack:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return RecurrentStack("LSTM", 3, [(5, 2), (1, 4)], **options)


def pair(mode: str, layers: int, directions: int, proj: int = 0, **options):  # type: ignore[no-untyped-def]
    """PyTorch's layer, and a stack with its weights."""
    torch.manual_seed(0)
    common = {"batch_first": options.pop("batch_first", False), "bias": options.pop("bias", True)}
    common["dropout"] = 0.5 if layers > 1 else 0.0
    extra = {"nonlinearity": "relu"} if mode == "RNN_RELU" else {}
    extra |= {"proj_size": proj} if proj else {}
    theirs = MODES[mode](
        3, 5, num_layers=layers, bidirectional=directions == 2, **common, **extra
    ).double()
    widths = [[5] * directions] * layers
    projections = [[proj] * directions] * layers if proj else None
    ours = RecurrentStack(mode, 3, widths, projections, **common).double()
    state = {}
    for name, weight in theirs.state_dict().items():
        role, _, part = name.partition("_l")
        state[f"layers.l{part}.{role}_l0"] = weight
    ours.load_state_dict(state)
    return theirs, ours


def flat(state) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    return [state] if isinstance(state, torch.Tensor) else list(state)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    ("mode", "proj"), [("LSTM", 0), ("LSTM", 2), ("GRU", 0), ("RNN_TANH", 0), ("RNN_RELU", 0)]
)
def test_equals_pytorch_with_dropout_and_states(
    mode, proj, layers, directions, batch_first
) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = pair(mode, layers, directions, proj, batch_first=batch_first, bias=not proj)
    batch = torch.randn((3, 4, 3) if batch_first else (4, 3, 3)).double()
    lengths = torch.tensor([2, 4, 3])
    inputs = [
        batch,
        torch.randn(4, 3).double(),
        pack_padded_sequence(batch, lengths, batch_first, enforce_sorted=False),
        pack_padded_sequence(batch, lengths.sort(descending=True).values, batch_first),
    ]
    for x in inputs:
        count = () if isinstance(x, torch.Tensor) and x.ndim == 2 else (3,)
        h_0 = torch.randn(layers * directions, *count, proj or 5).double()
        c_0 = torch.randn(layers * directions, *count, 5).double()
        given = (h_0, c_0) if mode == "LSTM" else h_0
        listed = (list(h_0), tuple(c_0)) if mode == "LSTM" else list(h_0)
        for state, same in ((None, None), (given, given), (given, listed)):
            for module in (theirs, ours):
                module.train(state is None)
            torch.manual_seed(1)  # the same dropout is drawn
            output, final = theirs(x, state)
            torch.manual_seed(1)
            output2, final2 = ours(x, same)
            assert type(output2) is type(output)
            if isinstance(output, PackedSequence):
                for one, other in zip(output2[1:], output[1:], strict=True):
                    assert one is None if other is None else torch.equal(one, other)
                output, output2 = output.data, output2.data
            assert output2.shape == output.shape
            for one, other in zip([output2, *flat(final2)], [output, *flat(final)], strict=True):
                torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
def test_shapes_where_widths_differ(batch_first: bool) -> None:
    stack = uneven(batch_first=batch_first)
    output, (h_n, c_n) = stack(torch.randn(6, 7, 3))
    assert output.shape == (6, 7, 5)
    count = 6 if batch_first else 7
    assert [tuple(h.shape) for h in h_n] == [(count, n) for n in (5, 2, 1, 4)]
    assert [tuple(c.shape) for c in c_n] == [(count, n) for n in (5, 2, 1, 4)]
    again, _ = stack(torch.randn(6, 7, 3), (h_n, c_n))
    assert again.shape == output.shape
    output, (h_n, _) = stack(torch.randn(6, 3))
    assert output.shape == (6, 5)
    assert [tuple(h.shape) for h in h_n] == [(n,) for n in (5, 2, 1, 4)]
    assert stack.hidden_sizes == {(0, 0): 5, (0, 1): 2, (1, 0): 1, (1, 1): 4}
    projected = RecurrentStack("LSTM", 3, [(5,), (4,)], [(2,), (2,)])
    _, (h_n, c_n) = projected(torch.randn(6, 7, 3))
    assert h_n.shape == (2, 7, 2)
    assert [tuple(c.shape) for c in c_n] == [(7, 5), (7, 4)]


def test_last_outputs_are_the_final_states() -> None:
    output, (h_n, _) = uneven()(torch.randn(6, 7, 3))
    assert torch.equal(output[-1, :, :1], h_n[2])
    assert torch.equal(output[0, :, 1:], h_n[3])


def test_packed_sequences_are_as_each_one_alone() -> None:
    stack = uneven().double()
    sequences = [torch.randn(length, 3).double() for length in (2, 5, 1, 5)]
    output, (h_n, c_n) = stack(pack_sequence(sequences, enforce_sorted=False))
    padded, lengths = nn.utils.rnn.pad_packed_sequence(output)
    assert lengths.tolist() == [2, 5, 1, 5]
    for number, sequence in enumerate(sequences):
        alone, (h, c) = stack(sequence)
        ours = [padded[: len(sequence), number], *(s[number] for s in (*h_n, *c_n))]
        for one, other in zip(ours, [alone, *h, *c], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_order_of_packed_rows() -> None:
    packed = pack_sequence([torch.tensor([10, 11, 12]), torch.tensor([20, 21]), torch.tensor([30])])
    order = packed_reversal(packed.batch_sizes)
    assert packed.data.tolist() == [10, 20, 30, 11, 21, 12]
    assert packed.data[order].tolist() == [12, 21, 30, 11, 20, 10]
    assert order[order].tolist() == list(range(6))


def test_copies_and_files() -> None:
    stack, x = uneven(dropout=0.5).eval(), torch.randn(6, 7, 3)
    expected, _ = stack(x)
    other = RecurrentStack("LSTM", 3, [(5, 2), (1, 4)], dropout=0.5).eval()
    other.load_state_dict(stack.state_dict())
    file = io.BytesIO()
    torch.save(stack, file)
    file.seek(0)
    read = torch.load(file, weights_only=False)
    for twin in (copy.deepcopy(stack), other, read):
        assert torch.equal(twin(x)[0], expected)
        assert not twin.training
        twin.flatten_parameters()
        assert torch.equal(
            twin.double()(x.double())[0].float().round(decimals=4), expected.round(decimals=4)
        )
    assert "l1_reverse): LSTM(7, 4)" in repr(stack)
    assert "dropout=0.5" in repr(stack)


# The first PyTorch says of its own nn.LSTM too, the second of what it compiles around one.
@pytest.mark.filterwarnings("ignore:The tensor attributes", "ignore:The .grad attribute")
def test_export_and_compile() -> None:
    rnn = nn.GRU(3, 4, num_layers=2, bidirectional=True, dropout=0.5).eval()
    stack = remove_units(rnn, {"l0": [1], "l1_reverse": [0, 3]})
    assert isinstance(stack, RecurrentStack)
    x, state = torch.randn(3, 2, 3), tuple(torch.randn(2, n) for n in (3, 4, 4, 2))
    for arguments in ((x,), (x, state)):
        output, final = stack(*arguments)
        exported = torch.export.export(stack, arguments).module()
        compiled = torch.compile(stack, backend="eager")
        for twin in (exported, compiled):
            ours, last = twin(*arguments)
            torch.testing.assert_close([ours, *last], [output, *final])


def test_training_lowers_the_loss() -> None:
    rnn = nn.LSTM(3, 6, num_layers=2, dropout=0.1)
    stack = remove_units(rnn, {"l0": [1, 2], "l1": [0]})
    x, goal = torch.randn(6, 7, 3), 0.1 * torch.randn(6, 7, 5)
    optimizer = torch.optim.Adam(stack.parameters(), lr=0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (stack(x)[0] - goal).square().mean()
        loss.backward()
        assert all(p.grad is not None for p in stack.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_dropout_only_in_training_and_between_layers() -> None:
    x = torch.randn(6, 7, 3)
    stack = uneven(dropout=1.0)
    alone = RecurrentStack("GRU", 3, [(4, 2)], dropout=1.0)
    assert torch.equal(alone(x)[0], alone.eval()(x)[0])
    trained = stack(x)[0]
    assert torch.equal(trained, stack(torch.randn(6, 7, 3))[0])  # all that came in was dropped
    assert not torch.equal(trained, stack.eval()(x)[0])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("LTSM", 3, [(5,)]), {}, ValueError, "mode: expected one of LSTM, .* got 'LTSM'"),
        (("GRU", 3, [(5,), (4, 3)]), {}, ValueError, "hidden_sizes: expected one or two sizes"),
        (("GRU", 3, [(5, 4, 3)]), {}, ValueError, "hidden_sizes: expected one or two sizes"),
        (("GRU", 3, []), {}, ValueError, "hidden_sizes: expected one or two sizes"),
        (("LSTM", 3, [(5,)], [(2,), (2,)]), {}, ValueError, "proj_sizes: expected the layers"),
        (("LSTM", 3, [(5,)], [(5,)]), {}, ValueError, "proj_size has to be smaller"),
        (("GRU", 3, [(5,)], [(2,)]), {}, ValueError, "proj_size"),
        (("GRU", 3, [(0,)]), {}, ValueError, "hidden_size must be greater than zero"),
        (("GRU", 3, [(5,)]), {"dropout": 1.5}, ValueError, "dropout: expected .* got 1.5"),
        (("GRU", 3, [(5,)]), {"batch_first": 1}, TypeError, "batch_first: expected a bool"),
    ],
)
def test_bad_options(arguments, options, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        RecurrentStack(*arguments, **options)


def states(batch: tuple[int, ...], *widths: int) -> list[torch.Tensor]:
    return [torch.randn(*batch, width) for width in widths]


GOOD = states((7,), 5, 2, 1, 4)


@pytest.mark.parametrize(
    ("x", "hx", "error", "message"),
    [
        ([1.0], None, TypeError, "input: expected a tensor or PackedSequence, got list"),
        (torch.randn(3), None, ValueError, r"input: expected shape \(T, N, D\) .* D = 3, got \(3"),
        (torch.randn(6, 7, 4), None, ValueError, r"D = 3, got \(6, 7, 4\)"),
        (pack_sequence([torch.randn(2, 4)]), None, ValueError, r"packed steps .* got \(2, 4\)"),
        (torch.randn(6, 7, 3), GOOD, TypeError, r"state: expected \(h_0, c_0\), got 4 items"),
        (torch.randn(6, 7, 3), torch.ones(2), TypeError, r"\(h_0, c_0\), got Tensor"),
        (torch.randn(6, 7, 3), (GOOD, None), TypeError, "c_0: expected a tensor or a sequence"),
        (torch.randn(6, 7, 3), (GOOD[:3], GOOD), ValueError, "h_0: expected 4 states, of l0, .* 3"),
        (
            torch.randn(6, 7, 3),
            (GOOD, states((7,), 5, 2, 1, 3)),
            ValueError,
            r"c_0: expected shape \(7, 4\) for l1_reverse, got \(7, 3\)",
        ),
        (torch.randn(6, 8, 3), (GOOD, GOOD), ValueError, r"expected shape \(8, 5\) for l0"),
        (torch.randn(6, 3), (GOOD, GOOD), ValueError, r"expected shape \(5,\) for l0, got \(7, 5"),
    ],
)
def test_bad_inputs(x, hx, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        uneven()(x, hx)
