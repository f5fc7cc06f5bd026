"""The operators of PyTorch over the emulated device: schemas, fakes, torch.compile, errors."""

import emulated
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tefast import binning  # noqa: E402
from tefast._backends import cpu, operators  # noqa: E402
from tefast._backends.inputs import BinnedValues  # noqa: E402
from tefast._inputs import values  # noqa: E402

pytestmark = pytest.mark.skipif(not emulated.COMPILER, reason="needs a C++ compiler")

BINS = 4
EDGES = torch.linspace(-1, 1, BINS + 1, dtype=torch.float64)[1:-1].reshape(1, -1)
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.int8, torch.int16, torch.int32, torch.int64,
            torch.uint8, torch.uint16, torch.uint32, torch.uint64]  # fmt: skip


@pytest.fixture(scope="module")
def ops():
    return emulated.operators()


@pytest.fixture(autouse=True)
def device():
    emulated.set_device()
    emulated.limit()


def sample(shape=(5, 11, 37), dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        h = torch.rand(shape, generator=generator, dtype=torch.float64) * 2.4 - 1.2
    else:
        h = torch.randint(0, BINS, shape, generator=generator)
    return h.to(dtype)


def cuts(h):
    return EDGES if h.dtype.is_floating_point else None


def expected_counts(h, y, lengths=None):
    """The CPU kernel's."""
    valid = None if lengths is None else lengths.numpy()

    def binned(x):
        edges = None if cuts(x) is None else cuts(x).numpy()
        return BinnedValues(values.target(x), binning.Binning(BINS, edges), valid)

    codes = cpu.encode(binned(y), 1)[:, :, 0]
    counts = np.zeros((h.shape[2], BINS, BINS, BINS), np.int64)
    cpu.count_transitions(binned(h), codes, counts, 1)
    return codes, counts


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize("layout", [
    lambda h: h,
    lambda h: h[::2, 1:, ::3],
    lambda h: h.transpose(0, 1).contiguous().transpose(0, 1),
    lambda h: h[:, :, :1].expand(-1, -1, 6),
], ids=["dense", "strided", "steps first", "expanded"])  # fmt: skip
def test_counts_of_every_dtype_and_layout(ops, dtype, layout):
    h = layout(sample(dtype=dtype))
    y = sample((*h.shape[:2], 1), dtype, seed=1)
    codes, expected = expected_counts(h, y)
    source = ops.encode(y, cuts(y), BINS, None)[:, :, 0]
    np.testing.assert_array_equal(source.numpy(), codes)
    counts = torch.zeros(expected.shape, dtype=torch.int64)
    ops.count_transitions_(counts, h, cuts(h), source, None)
    np.testing.assert_array_equal(counts.numpy(), expected)
    ops.count_transitions_(counts, h, cuts(h), source, None)
    np.testing.assert_array_equal(counts.numpy(), 2 * expected)
    nats, seen = ops.transfer_entropy(h, cuts(h), y, cuts(y), BINS, None, False)
    assert seen.item() == 16
    np.testing.assert_array_equal(nats, ops.score_counts(counts // 2))
    np.testing.assert_allclose(nats, cpu.score_counts(expected, 1), rtol=0, atol=1e-13)


def test_lengths_beyond_the_data_are_not_followed(ops):
    h, y = sample(), sample((5, 11, 1), seed=1)
    lengths = torch.tensor([3, 99, -7, 11, 0])
    _, expected = expected_counts(h, y, lengths.clamp(0, 11))
    source = ops.encode(y, EDGES, BINS, lengths)[:, :, 0]
    counts = torch.zeros(expected.shape, dtype=torch.int64)
    ops.count_transitions_(counts, h, EDGES, source, lengths)
    np.testing.assert_array_equal(counts.numpy(), expected)


def test_states_outside_are_not_counted(ops):
    h = sample()
    source = torch.full((5, 11), BINS, dtype=torch.int16)
    source[::2] = -5
    counts = torch.zeros(37, BINS, BINS, BINS, dtype=torch.int64)
    ops.count_transitions_(counts, h, EDGES, source, None)
    assert not counts.any()


@pytest.mark.parametrize("shape", [(0, 9, 5), (3, 0, 5), (3, 1, 5), (3, 9, 0)])
def test_nothing_to_count(ops, shape):
    h, y = torch.zeros(shape), torch.zeros(*shape[:2], 1)
    counts = torch.zeros(shape[2], BINS, BINS, BINS, dtype=torch.int64)
    launches = emulated.library().emulated_launches()
    ops.count_transitions_(counts, h, EDGES, torch.zeros(shape[:2], dtype=torch.int16), None)
    ops.count_values_(counts[:, 0, 0].contiguous(), h[:, :0], EDGES, None)
    assert emulated.library().emulated_launches() == launches
    assert not counts.any()
    nats, seen = ops.transfer_entropy(h, EDGES, y, EDGES, BINS, None, False)
    assert nats.shape == (shape[2],)
    assert nats.isnan().all()
    assert seen.item() == 0
    assert ops.encode(h, EDGES, BINS, None).shape == shape
    found, low, high = ops.scan(h, BINS, None)
    assert found.tolist()[:3] == [0, 0, 0]
    assert low.shape == high.shape == (shape[2],)


def arguments_of(name):
    h, y = sample(), sample((5, 11, 1), seed=1)
    lengths = torch.tensor([3, 11, 0, 7, 2])
    counts = torch.zeros(37, BINS, BINS, BINS, dtype=torch.int64)
    return {
        "scan": [(h, BINS, None), (h, BINS, lengths)],
        "encode": [(h, EDGES, BINS, lengths), (sample(dtype=torch.int32), None, BINS, None)],
        "count_values_": [(counts[:, 0, 0].contiguous(), h, EDGES, lengths)],
        "count_transitions_": [
            (counts, h[:, :, ::1], EDGES, torch.zeros(5, 11, dtype=torch.int16), lengths)
        ],
        "score_counts": [(counts + 1,)],
        "transfer_entropy": [
            (h, EDGES, y, EDGES, BINS, None, False),
            (h, EDGES.repeat(37, 1), y, EDGES, BINS, lengths, True),
            (sample(dtype=torch.int16), None, y, EDGES, BINS, None, True),
        ],
    }[name]


@pytest.mark.parametrize("name", operators.FAKES)
def test_opcheck(ops, name):
    for arguments in arguments_of(name):
        torch.library.opcheck(getattr(ops, name).default, arguments)


def test_compile_sees_through(ops):
    def score(h, y):
        nats, _ = ops.transfer_entropy(h * 0.5, EDGES, y, EDGES, BINS, None, False)
        return nats / 2

    h, y = sample(), sample((5, 11, 1), seed=1)
    compiled = torch.compile(score, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(h, y), score(h, y))


WRONG = [
    ("transfer_entropy", {0: torch.zeros(5, 11)}, "three axes"),
    ("transfer_entropy", {0: torch.zeros(5, 11, 37, dtype=torch.complex64)}, "floats or integers"),
    ("transfer_entropy", {1: None}, "floats need edges"),
    ("transfer_entropy", {1: EDGES.float()}, "edges has the wrong shape or type"),
    ("transfer_entropy", {1: EDGES.repeat(2, 1)}, "edges has the wrong shape or type"),
    ("transfer_entropy", {1: EDGES.repeat(37, 2)[:, ::2]}, "or is not contiguous"),
    ("transfer_entropy", {2: torch.zeros(5, 10, 1)}, r"source must have shape \(N, T, 1\)"),
    ("transfer_entropy", {2: torch.zeros(5, 11, 2)}, r"source must have shape \(N, T, 1\)"),
    ("transfer_entropy", {4: 257}, r"bins must lie in 2 \.\. 256"),
    ("transfer_entropy", {5: torch.zeros(4, dtype=torch.int64)}, "lengths has the wrong shape"),
    ("transfer_entropy", {5: torch.zeros(5, dtype=torch.int32)}, "lengths has the wrong shape"),
    ("count_transitions_", {0: torch.zeros(37, 4, 4, 4)}, "counts has the wrong shape or type"),
    ("count_transitions_", {0: torch.zeros(36, 4, 4, 4, dtype=torch.int64)}, "counts has the wr"),
    ("count_transitions_", {0: torch.zeros(37, 4, 5, 4, dtype=torch.int64)}, "counts must have sh"),
    ("count_transitions_", {3: torch.zeros(5, 11, dtype=torch.int32)}, "source has the wrong"),
    ("count_values_", {0: torch.zeros(37, dtype=torch.int64)}, r"counts must have shape \(U, bins"),
    ("score_counts", {0: torch.zeros(3, 4, 4, 4)}, "counts has the wrong shape or type"),
    ("score_counts", {0: torch.zeros(3, 1, 1, 1, dtype=torch.int64)}, "bins must lie in"),
    ("encode", {0: sample(dtype=torch.int32)}, "symbols have no edges"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "message"), WRONG)
def test_wrong_arguments(ops, name, changes, message):
    arguments = list(arguments_of(name)[0])
    for place, value in changes.items():
        arguments[place] = value
    with pytest.raises(RuntimeError, match=message):
        getattr(ops, name)(*arguments)


def test_a_failed_launch_is_an_error_that_says_where(ops):
    emulated.library().emulated_fail_after(3)
    with pytest.raises(RuntimeError, match=r"CUDA error while .*invalid configuration"):
        ops.transfer_entropy(*arguments_of("transfer_entropy")[0])
    # The next call is not blamed for it.
    assert ops.transfer_entropy(*arguments_of("transfer_entropy")[0])[1].item() == 16
