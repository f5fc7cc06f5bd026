"""What only a GPU shows: streams, graphs, several devices, sizes beyond 32 bits, repeatability."""

import numpy as np
import pytest

import tefast
from tefast import _backends
from tefast._backends.inputs import BinnedValues
from tefast._inputs import values
from tefast.binning import Binning, uniform_edges

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.cuda

LIMITS = {"h_range": (-1, 1), "y_range": (0, 1)}
DTYPES = ["float16", "bfloat16", "float32", "float64", "int8", "int64", "uint8"]


def sample(shape, dtype="float32", bins=16, seed=0):
    """Activations and a source on the GPU."""
    generator = torch.Generator("cuda").manual_seed(seed)
    kind = getattr(torch, dtype)
    if not kind.is_floating_point:
        h, y = (
            torch.randint(0, bins, size, generator=generator, device="cuda").to(kind)
            for size in (shape, shape[:2])
        )
        return h, y
    h = torch.rand(shape, generator=generator, device="cuda", dtype=torch.float32)
    y = torch.rand(shape[:2], generator=generator, device="cuda", dtype=torch.float32)
    return (2 * h - 1).to(kind), y


def counts_on(backend, h, y, bins):
    """Joint counts as an ndarray, and the scores of them."""
    floats = h.dtype.is_floating_point
    limits = LIMITS if floats else {}
    te = tefast.TransferEntropy(h.shape[2], bins, backend=backend, **limits)
    te.update(h, y)
    return te.counts, values.to_numpy(te.compute())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bins", [2, 15, 16, 32, 64])
@pytest.mark.parametrize("shape", [(64, 25, 1024), (1, 20_000, 33), (300, 130, 7)])
def test_counts_are_the_cpus(dtype, bins, shape):
    h, y = sample(shape if bins < 64 else (*shape[:2], min(shape[2], 64)), dtype, bins)
    counts, nats = counts_on("cuda", h, y, bins)
    expected, scores = counts_on("cpu", h.cpu(), y.cpu(), bins)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(nats, scores, rtol=0, atol=1e-12)
    limits = LIMITS if h.dtype.is_floating_point else {}
    direct = tefast.transfer_entropy(h, y, bins, **limits)  # "auto"
    np.testing.assert_array_equal(direct.cpu().numpy(), nats)


def test_the_same_bits_from_run_to_run():
    h, y = sample((200, 25, 300))
    first = tefast.transfer_entropy(h, y, **LIMITS)
    for _ in range(20):
        assert torch.equal(tefast.transfer_entropy(h, y, **LIMITS), first)


def test_auto_counts_on_the_gpu_without_a_warning():
    h, y = sample((20, 9, 5))
    assert _backends.fastest(h.device, "h") == "cuda"
    assert tefast.transfer_entropy(h, y).device == h.device
    assert tefast.build_info()["backends"]["cuda"] is True
    assert tefast.build_info()["cuda"]


def edges_on_device(low, high, bins=16):
    edges = uniform_edges(np.array([float(low)]), np.array([float(high)]), bins)
    return torch.tensor(edges, device="cuda")


def test_work_is_queued_on_the_current_stream():
    assert _backends.load("cuda").missing() is None  # which loads the library
    h, y = sample((400, 25, 1024))
    y = y[..., None].contiguous()
    edges = edges_on_device(-1, 1), edges_on_device(0, 1)
    expected = tefast.transfer_entropy(h, y[..., 0], **LIMITS)
    stream = torch.cuda.Stream()
    for _ in range(10):
        later = torch.full_like(h, torch.nan)
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(20_000_000)  # kernels on another stream would not wait for the copy
            later.copy_(h)
            nats, seen = torch.ops.tefast.transfer_entropy(
                later, edges[0], y, edges[1], 16, None, False
            )
        torch.cuda.current_stream().wait_stream(stream)
        assert seen.item() == 16
        assert torch.equal(nats / np.log(2), expected)


def test_operator_in_a_graph():
    assert _backends.load("cuda").missing() is None  # which loads the library
    operator = torch.ops.tefast.transfer_entropy
    h, y = sample((200, 25, 300))
    y = y[..., None].contiguous()
    arguments = (h, edges_on_device(-1, 1), y, edges_on_device(0, 1), 16, None, False)
    operator(*arguments)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        nats, seen = operator(*arguments)
    for seed in range(3):
        other, source = sample(tuple(h.shape), seed=seed)
        h.copy_(other)
        y.copy_(source[..., None])
        graph.replay()
        assert torch.equal(nats / np.log(2), tefast.transfer_entropy(other, source, **LIMITS))
        assert seen.item() == 16


def test_public_functions_say_that_they_cannot_be_captured():
    h, y = sample((20, 9, 5))
    tefast.transfer_entropy(h, y, **LIMITS)
    torch.cuda.synchronize()
    message = r"torch\.ops\.tefast\.transfer_entropy with edges"
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        h.add_(0)  # an empty graph would be worth a warning
        with pytest.raises(RuntimeError, match=message):
            tefast.transfer_entropy(h, y, **LIMITS)
    torch.cuda.synchronize()
    assert tefast.transfer_entropy(h, y, **LIMITS).shape == (5,)


def test_compiles():
    assert _backends.load("cuda").missing() is None
    h, y = sample((20, 9, 5))
    h_edges, y_edges = edges_on_device(-1, 1), edges_on_device(0, 1)

    def score(h, y):
        return torch.ops.tefast.transfer_entropy(
            h.tanh(), h_edges, y[..., None], y_edges, 16, None, False
        )[0]

    compiled = torch.compile(score, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(h, y), score(h, y))


def test_devices_other_than_the_first():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    h, y = (x.to("cuda:1") for x in sample((200, 25, 300)))
    result = tefast.transfer_entropy(h, y, **LIMITS)
    assert result.device == h.device
    assert torch.equal(result.cpu(), tefast.transfer_entropy(h.to(0), y, **LIMITS).cpu())
    here, there = (tefast.TransferEntropy(300, **LIMITS) for _ in range(2))
    here.update(h.to(0), y.to(0))
    there.update(h, y)
    here.merge(there)
    assert here.counts.sum() == 2 * 200 * 24 * 300


def test_more_than_2_to_the_31_values():
    shape = (2**22 + 3, 4, 130)
    free, _ = torch.cuda.mem_get_info()
    if free < 6 * 2**30:
        pytest.skip("needs 6 GiB of free memory")
    h = torch.zeros(shape, dtype=torch.uint8, device="cuda")
    h[::2, :, 1::2] = 1
    h[:, 1::2, :100] ^= 1
    y = torch.zeros(shape[:2], dtype=torch.uint8, device="cuda")
    y[1::3] = 1
    te = tefast.TransferEntropy(130, 2)
    te.update(h, y)
    expected = tefast.TransferEntropy(130, 2, backend="cpu")
    expected.update(h.cpu(), y.cpu())
    np.testing.assert_array_equal(te.counts, expected.counts)
    last = h.clone()
    last[-1, -1, -1] = 2
    with pytest.raises(ValueError, match=rf"h\[{shape[0] - 1}, 3, 129\] = 2 is not one"):
        tefast.transfer_entropy(last, y, 2)


def test_memory_beyond_the_data_is_bounded():
    h, y = sample((5413, 25, 1024))
    tefast.transfer_entropy(h, y, **LIMITS)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    tefast.transfer_entropy(h, y, **LIMITS)
    assert torch.cuda.max_memory_allocated() - before < 64 * 2**20


def test_counts_beyond_the_gpus_memory_are_refused():
    h, y = sample((2, 3, 4))
    with pytest.raises(ValueError, match=r"joint counts of shape .* GiB"):
        tefast.TransferEntropy(2**20, 256, backend="cuda", **LIMITS).update(h, y)
    cuda = _backends.load("cuda")
    (target,) = cuda.place(values.target(h))
    huge = np.broadcast_to(np.int64(0), (2**16, 256, 256, 256))
    with pytest.raises(ValueError, match=r"GiB on cuda:0; use fewer bins"):
        cuda.table(huge, target)


def test_edges_of_each_unit_and_quantiles():
    h, y = sample((200, 25, 70))
    for options in ({}, {"binning": "quantile"}, {"h_range": (np.linspace(-1, 0, 70), 1)}):
        result = tefast.transfer_entropy(h, y, **options)
        expected = tefast.transfer_entropy(h.cpu(), y.cpu(), **options)
        torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=1e-12)
    uneven = torch.rand(70, 15, dtype=torch.float64).sort(dim=1).values * 2 - 1
    cuda = _backends.load("cuda")
    (target,) = cuda.place(values.target(h))
    cuts = Binning(16, uneven.numpy())
    codes = cuda.encode(BinnedValues(target, cuts, None), None)
    here = BinnedValues(values.target(h.cpu()), cuts, None)
    expected = _backends.load("cpu").encode(here, None)
    np.testing.assert_array_equal(codes.cpu().numpy(), expected)
