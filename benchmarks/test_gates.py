"""Gates of a recurrent layer: their capture beside a forward pass, and forward time without some.

Every benchmark asserts its result: gates must give the outputs that PyTorch gives, and the reduced
layer's outputs must be the masked one's.
"""

import pytest

torch = pytest.importorskip("torch")

from tefast.nn import gate_activations, mask_gates, remove_gates, select_gates  # noqa: E402

CELLS = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}
CONSTANT = 0.5


@pytest.fixture(scope="module", params=CELLS)
def rnn(request):
    torch.manual_seed(0)
    return CELLS[request.param](512, 1024, batch_first=True).eval()


def steps(batch):
    return torch.randn(batch, 25, 512, generator=torch.Generator().manual_seed(1))


def outputs(mode, gates):
    """What the units give, computed from their gates."""
    h = c = torch.zeros(len(gates), gates.shape[2])
    found = []
    for step in gates.unbind(1):
        if mode == "LSTM":
            i, f, g, o = step.unbind(-1)
            c = f * c + i * g
            h = o * c.tanh()
        else:
            _, z, n = step.unbind(-1)
            h = n + z * (h - n)
        found.append(h)
    return torch.stack(found, 1)


@pytest.mark.parametrize("what", ["forward", "gates"])
@pytest.mark.parametrize("batch", [1, 64])
def test_capture(benchmark, rnn, batch, what):
    benchmark.group = f"gates of {rnn.mode}, 1024 units, batch {batch}, 25 steps"
    x = steps(batch)
    with torch.inference_mode():
        call = rnn if what == "forward" else lambda x: gate_activations(rnn, x)
        found = benchmark.pedantic(call, args=(x,), rounds=15, warmup_rounds=3)
        ours = found[0] if what == "forward" else outputs(rnn.mode, found)
        torch.testing.assert_close(ours, rnn(x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("removed", [0.0, 0.5, 0.75])
@pytest.mark.parametrize("how", [mask_gates, remove_gates], ids=["masked", "removed"])
@pytest.mark.parametrize("batch", [1, 64])
def test_forward(benchmark, rnn, batch, how, removed):
    benchmark.group = f"forward without gates of {rnn.mode}, 1024 units, batch {batch}, 25 steps"
    x, count = steps(batch), 4 if rnn.mode == "LSTM" else 3
    scores = torch.rand(1024, count, generator=torch.Generator().manual_seed(2))
    gates = select_gates(scores, removed, descending=True)
    with torch.inference_mode():
        smaller = how(rnn, gates, CONSTANT)
        output, _ = benchmark.pedantic(smaller, args=(x,), rounds=15, warmup_rounds=3)
        expected = mask_gates(rnn, gates, CONSTANT)(x)[0]
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
