"""Forward time of an LSTM classifier whole, masked, and with half or three quarters removed.

Every benchmark asserts that the removed network's logits are the masked one's.
"""

import pytest

torch = pytest.importorskip("torch")

from tefast.nn import SequenceClassifier, mask, prune  # noqa: E402


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SequenceClassifier(512, 10, 1024).eval()


@pytest.mark.parametrize("removed", [0, 512, 768])
@pytest.mark.parametrize("how", [mask, prune], ids=["masked", "removed"])
@pytest.mark.parametrize("batch", [1, 64])
def test_forward(benchmark, model, batch, how, removed):
    benchmark.group = f"forward, 1024 units, batch {batch}, 25 steps"
    x = torch.randn(batch, 25, 512, generator=torch.Generator().manual_seed(1))
    units = torch.arange(removed)
    with torch.inference_mode():
        smaller = how(model, units)
        logits = benchmark.pedantic(smaller, args=(x,), rounds=15, warmup_rounds=3)
        torch.testing.assert_close(logits, mask(model, units)(x), rtol=1e-4, atol=1e-5)
