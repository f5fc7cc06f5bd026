"""Kinds of arrays: what goes in comes out, and nothing is copied that need not be."""

import numpy as np
import pytest

import tefast
from tefast import values

torch = pytest.importorskip("torch")
ml_dtypes = pytest.importorskip("ml_dtypes")

rng = np.random.default_rng(0)
H = rng.uniform(-1, 1, (5, 9, 6)).astype(np.float32)
Y = rng.uniform(0, 1, (5, 9)).astype(np.float32)


class Foreign:
    """An array of another library, as DLPack shows it."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_tensors_give_tensors(dtype, backend):
    kind = getattr(torch, dtype)
    h, y = torch.from_numpy(H).to(kind), torch.from_numpy(Y).to(kind)
    result = tefast.transfer_entropy(h, y, backend=backend)
    assert isinstance(result, torch.Tensor)
    assert result.dtype == torch.float64
    assert result.shape == (6,)
    same = tefast.transfer_entropy(h.double().numpy(), y.double().numpy(), backend=backend)
    np.testing.assert_array_equal(result.numpy(), same)


def test_the_result_is_of_the_targets_kind():
    tensor = tefast.transfer_entropy(torch.from_numpy(H), Y)
    assert isinstance(tensor, torch.Tensor)
    array = tefast.transfer_entropy(H, torch.from_numpy(Y), lengths=torch.full((5,), 9))
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_tensors_that_need_gradients_keep_them():
    h = torch.from_numpy(H.copy()).requires_grad_()
    result = tefast.transfer_entropy(h, Y)
    assert not result.requires_grad
    assert h.requires_grad
    assert h.grad is None


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_integer_tensors_are_symbols(kind):
    h, y = rng.integers(0, 2, (5, 9, 3)), rng.integers(0, 2, (5, 9))
    tensors = torch.from_numpy(h).to(kind), torch.from_numpy(y).to(kind)
    result = tefast.transfer_entropy(*tensors, bins=2)
    np.testing.assert_array_equal(result.numpy(), tefast.transfer_entropy(h, y, bins=2))


def test_views_are_taken_without_a_copy():
    tensor = torch.from_numpy(H)
    brain = H.astype(ml_dtypes.bfloat16)
    half = tensor.bfloat16()
    assert np.shares_memory(values.target(H[:, ::2, ::-1]).array, H)
    assert np.shares_memory(values.target(tensor.transpose(0, 1)).array, H)
    assert np.shares_memory(values.target(Foreign(H)).array, H)
    assert np.shares_memory(values.target(brain).array, brain.view(np.uint16))
    assert values.target(half).array.ctypes.data == half.data_ptr()
    assert np.shares_memory(values.source(Y, values.target(H)).array, Y)
    column = H[:, 0, 0]
    assert np.shares_memory(values.source(H[:, 0, 1], values.target(column)).array, H)


def test_dlpack_and_lists_give_numpy():
    expected = tefast.transfer_entropy(H, Y)
    result = tefast.transfer_entropy(Foreign(H), Foreign(Y))
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, expected)
    wide = tefast.transfer_entropy(H.astype(float), Y.astype(float))
    np.testing.assert_array_equal(tefast.transfer_entropy(H.tolist(), Y.tolist()), wide)


def test_ranges_and_edges_may_be_tensors():
    low = torch.nn.Parameter(torch.full((6,), -1.0))
    high = torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True)
    expected = tefast.transfer_entropy(H, Y, 4, h_range=(-1, 1))
    np.testing.assert_array_equal(tefast.transfer_entropy(H, Y, 4, h_range=(low, high)), expected)
    cuts = torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    expected = tefast.transfer_entropy(H, Y, 4, binning=[-0.5, 0.0, 0.5])
    np.testing.assert_array_equal(tefast.transfer_entropy(H, Y, 4, binning=cuts), expected)


def test_lazily_negated_tensors():
    imaginary = torch.complex(torch.zeros(5, 9, 6), torch.from_numpy(H)).conj().imag
    assert imaginary.is_neg()
    np.testing.assert_array_equal(
        tefast.transfer_entropy(imaginary, Y).numpy(), tefast.transfer_entropy(-H, Y)
    )


def test_lists_that_are_no_array():
    for h in ([[1.0, 2.0], [1.0]], [torch.ones(2, requires_grad=True)] * 3):
        with pytest.raises(ValueError, match=r"h \(target\) cannot be read as one array"):
            tefast.transfer_entropy(h, [0.0, 1.0])


@pytest.mark.parametrize(
    ("h", "message"),
    [
        (torch.zeros(5, 9, 6, device="meta"), "a dense tensor that holds data.*on device meta"),
        (torch.zeros(5, 9, 6).to_sparse(), "dense tensor that holds data, got layout torch.sparse"),
        (torch.zeros(5, 9, 6, dtype=torch.complex64), "must hold floats.*complex64"),
        (torch.zeros(5, 9, 6).to(torch.float8_e4m3fn), "must hold floats.*float8_e4m3fn"),
    ],
)
def test_tensors_that_are_refused(h, message):
    with pytest.raises(TypeError, match=message):
        tefast.transfer_entropy(h, Y)
