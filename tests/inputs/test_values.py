"""Kinds of arrays: what goes in comes out, and nothing is copied that need not be."""

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import tefast
from tefast._inputs import values

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
    with pytest.raises(ValueError, match=r"h \(target\) cannot be read as one array"):
        tefast.transfer_entropy([[1.0, 2.0], 3.0], [0.0, 1.0])


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


@pytest.mark.parametrize(
    ("h", "message"),
    [
        (torch.zeros(5, 9, 6, device="meta"), "a dense tensor that holds data.*on device meta"),
        (torch.zeros(5, 9, 6).to_sparse(), "got layout torch.sparse.*; x.to_dense"),
        (torch.zeros(5, 9, 6, dtype=torch.complex64), "must hold floats.*complex64"),
        (torch.zeros(5, 9, 6).to(torch.float8_e4m3fn), "must hold floats.*float8_e4m3fn"),
        (
            torch.nested.nested_tensor([torch.zeros(3), torch.zeros(4)], layout=torch.jagged),
            r"is a nested tensor; pass the list of its sequences: list\(x.unbind\(\)\)",
        ),
    ],
)
def test_tensors_that_are_refused(h, message):
    with pytest.raises(TypeError, match=message):
        tefast.transfer_entropy(h, Y)


WIDE = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i8"]


@pytest.mark.parametrize("dtype", WIDE)
def test_integers_of_any_width(dtype, backend):
    h, y = rng.integers(0, 2, (5, 9, 3)), rng.integers(0, 2, (5, 9))
    result = tefast.transfer_entropy(h.astype(dtype), y.astype(dtype), 2, backend=backend)
    expected = tefast.transfer_entropy(h, y, 2, backend="reference")
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)
    if dtype not in ("bool", "int8"):
        wide = h.astype(dtype)
        wide[1, 2, 0] = most = np.iinfo(dtype).max
        with pytest.raises(ValueError, match=rf"h\[1, 2, 0\] = {most} is not one; 1 lie outside"):
            tefast.transfer_entropy(wide, y, 2, backend=backend)


# Values that are not there.

GONE = rng.random(H.shape) < 0.05
SYMBOLS = rng.integers(0, 3, H.shape)
SOURCE = rng.integers(0, 3, Y.shape)
HOLES = rng.random(Y.shape) < 0.05
OMIT = {"nan_policy": "omit"}


def test_masked_floats_are_as_if_they_were_nan(backend):
    gaps, holes = np.where(GONE, np.nan, H).astype(np.float32), np.where(HOLES, np.nan, Y)
    h, y = np.ma.array(H, mask=GONE), np.ma.array(Y, mask=HOLES)
    options = {"bins": 4, "backend": backend}
    expected = tefast.transfer_entropy(gaps, holes, **options, **OMIT)
    found = tefast.transfer_entropy(h, y, **options, **OMIT)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.ma.getdata(h), H)  # never changed
    with pytest.raises(
        ValueError, match=rf"h \(target\) must hold no NaN, got {GONE.sum()}, the f"
    ):
        tefast.transfer_entropy(h, y, **options)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_masked_floats_of_every_type(dtype):
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    floats = H.astype(kind)
    found = tefast.entropy(np.ma.array(floats, mask=GONE), 4, **OMIT)
    expected = tefast.entropy(np.where(GONE, np.nan, floats.astype(float)), 4, **OMIT)
    np.testing.assert_array_equal(found, expected)


def naive_entropy(values):
    _, counts = np.unique(values, return_counts=True)
    part = counts / counts.sum()
    return -(part * np.log2(part)).sum()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_masked_symbols_are_left_out(dtype, backend):
    bins = 2 if dtype == "bool" else 3
    symbols = (SYMBOLS % bins).astype(dtype)
    h = np.ma.array(symbols, mask=GONE)
    h.data[GONE] = 1 if dtype == "bool" else 99  # whatever lies there is not looked at
    entropies = tefast.entropy(h, bins, backend=backend, **OMIT)
    expected = [naive_entropy(symbols[..., u][~GONE[..., u]]) for u in range(6)]
    np.testing.assert_allclose(entropies, expected, rtol=0, atol=1e-12)
    y = np.ma.array((SOURCE % bins).astype(dtype), mask=HOLES)
    options = {"bins": bins, "backend": backend}
    found = tefast.transfer_entropy(h, y, **options, **OMIT)
    # Floats with NaN and an edge between symbols are counted likewise.
    edges = np.arange(1, bins) - 0.5
    floats = np.where(GONE, np.nan, symbols), np.where(HOLES, np.nan, SOURCE % bins)
    same = tefast.transfer_entropy(*floats, binning=edges, **options, **OMIT)
    np.testing.assert_array_equal(found, same)
    message = (
        rf"h \(target\) must have all its values, got {GONE.sum()} missing ones, the first at h"
    )
    with pytest.raises(ValueError, match=message):
        tefast.transfer_entropy(h, y, **options)


def test_missing_symbols_beside_masks_lengths_and_batches():
    h, y = np.ma.array(SYMBOLS, mask=GONE), np.ma.array(SOURCE, mask=HOLES)
    mask = ~GONE
    mask[0] = False
    # What a mask leaves out, or lies past a length, need not be there.
    alone = tefast.transfer_entropy(h, SOURCE, 3, mask=mask)
    np.testing.assert_array_equal(alone, tefast.transfer_entropy(SYMBOLS, SOURCE, 3, mask=mask))
    both = tefast.transfer_entropy(h, y, 3, mask=~HOLES, **OMIT)
    expected = tefast.transfer_entropy(SYMBOLS, SOURCE, 3, mask=mask_of(h, y))
    np.testing.assert_allclose(both, expected, rtol=0, atol=1e-13)
    late = np.zeros(H.shape, bool)
    late[:, 5:] = True
    short = tefast.transfer_entropy(np.ma.array(SYMBOLS, mask=late), SOURCE, 3, lengths=[5] * 5)
    np.testing.assert_array_equal(
        short, tefast.transfer_entropy(SYMBOLS, SOURCE, 3, lengths=[5] * 5)
    )
    te = tefast.TransferEntropy(6, 3, **OMIT)
    te.update(h[:2], y[:2])
    te.update(h[2:], y[2:])
    np.testing.assert_array_equal(te.compute(), tefast.transfer_entropy(h, y, 3, **OMIT))
    found = tefast.significance(h, y, 3, surrogates=9, alpha=0.9, **OMIT)
    np.testing.assert_allclose(found.te, te.compute(), rtol=0, atol=1e-13)


def mask_of(h, y):
    """Where neither a value of the target nor the source at its step is missing."""
    return ~(np.ma.getmaskarray(h) | np.ma.getmaskarray(y)[..., None])


def test_arrays_whose_mask_is_empty_are_taken_where_they_are():
    for mask in (np.ma.nomask, False, np.zeros(H.shape, bool)):
        assert np.shares_memory(values.target(np.ma.array(H, mask=mask)).array, H)
    assert np.shares_memory(values.target(np.ma.array(SYMBOLS, mask=GONE)).array, SYMBOLS)


# Labels and what is no value at all.


# NumPy 2 has a type of strings of any length.
STRINGS = (
    [np.array(["rest", "move"] * 6, dtype=np.dtypes.StringDType())]
    if hasattr(np.dtypes, "StringDType")
    else []
)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["rest", "move"] * 6),
        np.array([b"rest", b"move"] * 6),
        np.array(["rest", None, "move"] * 4, dtype=object),
        np.array(["rest", np.nan, "move"] * 4, dtype=object),
        np.array([1, None, 0] * 4, dtype=object),
        np.array([(0, 1), "rest", True] * 4, dtype=object),
        *STRINGS,
    ],
)
def test_labels_are_taken_as_they_are(labels):
    found = values.target(labels)
    assert (found.dtype, found.is_labels, found.is_symbols) == ("labels", True, False)
    assert np.shares_memory(found.array, labels)
    gone = [i for i, one in enumerate(labels.tolist()) if one is None or one != one]
    there = [] if found.missing is None else np.flatnonzero(found.missing).tolist()
    assert there == gone
    for name in ("entropy", "learn_edges", "active_information"):
        with pytest.raises(
            TypeError, match=r"h \(target\) holds labels, such as h\[0\] = .*symbols"
        ):
            getattr(tefast, name)(labels)
    with pytest.raises(TypeError, match="holds labels, which have no order of size"):
        tefast.ordinal_patterns(labels)


def test_the_advice_for_labels_gives_numbers(backend):
    labels = np.array(["rest", "move", "rest", "jump"])[rng.integers(0, 4, (5, 9))]
    with pytest.raises(TypeError, match=r"np.unique\(x, return_inverse=True\)\[1\]"):
        tefast.transfer_entropy(SYMBOLS, labels)
    y = np.unique(labels, return_inverse=True)[1].reshape(5, 9)
    expected = tefast.transfer_entropy(SYMBOLS, y, 3, backend=backend)
    kinds = [labels, labels.astype("S"), labels.astype(object), labels.tolist()]
    for each in (*kinds, *(labels.astype(kind.dtype) for kind in STRINGS)):
        found = tefast.transfer_entropy(SYMBOLS, each, binning="symbols", backend=backend)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    gaps = labels.astype(object)
    gaps[HOLES] = None
    masked = np.ma.array(labels, mask=HOLES)
    expected = tefast.transfer_entropy(SYMBOLS, np.ma.array(y, mask=HOLES), 3, **OMIT)
    strings = (gaps.astype(np.dtypes.StringDType(na_object=None)) for _ in STRINGS)
    for each in (gaps, masked, *strings):
        found = tefast.transfer_entropy(SYMBOLS, each, binning="symbols", backend=backend, **OMIT)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
        mask = np.ones(Y.shape, bool)
        for options in ({}, {"mask": mask}):
            with pytest.raises(ValueError, match=rf"y .*, got {HOLES.sum()}"):
                tefast.transfer_entropy(SYMBOLS, each, binning="symbols", **options)
    with pytest.raises(TypeError, match=r"x.astype\(float\) makes numbers of digits"):
        tefast.transfer_entropy(H, Y.astype(str))


@pytest.mark.parametrize(
    ("h", "message"),
    [
        (np.array([1.5, None] * 6, dtype=object), "objects of type float; convert them"),
        ([1.5, None, 2.5], "objects of type float"),
        (np.array([Decimal("1.5")] * 12), "objects of type Decimal; convert them"),
        (np.array([Fraction(1, 2)] * 12), "objects of type Fraction; convert them"),
        (np.array([1j] * 12), "holds complex numbers; take their real part"),
        (np.array([1j, None] * 6, dtype=object), "objects of type complex; take their real part"),
        (np.arange(12).astype("M8[s]"), r"dates \(datetime64\[s\]\), .* leave them out"),
        (np.arange(12).astype("m8[s]"), r"time differences \(timedelta64\[s\]\); pass"),
        (np.array([datetime.date(2026, 1, 1)] * 12), "objects of type date; leave them out"),
        (np.array([{"a": 1}] * 12), "objects of type dict"),
        (np.zeros(12, [("a", float), ("b", int)]), "records of the fields 'a', 'b'; pass the"),
        ((one for one in [1.0]), "must be an array, got generator"),
        ({"h": [1.0]}, "must be an array, got dict"),
        (None, "must be an array, got NoneType"),
    ],
)  # fmt: skip
def test_what_holds_no_values_is_named(h, message):
    with pytest.raises(TypeError, match=rf"h \(target\).*{message}"):
        tefast.transfer_entropy(h, np.zeros(12))


# Sparse arrays of SciPy.


@pytest.mark.parametrize("form", ["csr_array", "csc_array", "coo_array", "csr_matrix", "bsr_array"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, bool])
def test_sparse_arrays(form, dtype, backend):
    sparse = pytest.importorskip("scipy.sparse")
    h = np.where(rng.random((60, 7)) < 0.4, rng.integers(1, 4, (60, 7)), 0).astype(dtype)
    y = rng.integers(0, 2, 60)
    given = getattr(sparse, form)(h)
    before = given.copy()
    found = tefast.transfer_entropy(given, y, 4, backend=backend)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, tefast.transfer_entropy(h, y, 4, backend=backend))
    assert (given != before).nnz == 0
    streamed = tefast.stream(given, y, 4, rows=13)
    np.testing.assert_array_equal(streamed.compute(), tefast.transfer_entropy(h, y, 4))


def test_sparse_sources_and_sizes(monkeypatch):
    sparse = pytest.importorskip("scipy.sparse")
    h, y = np.arange(40.0).reshape(20, 2), (np.arange(20) % 3 == 0).astype(float)
    expected = tefast.transfer_entropy(h, y, 2)
    np.testing.assert_array_equal(tefast.transfer_entropy(h, sparse.coo_array(y), 2), expected)
    with pytest.raises(ValueError, match=r"y has an axis too many: y\[..., 0\] would fit"):
        tefast.transfer_entropy(h, sparse.csr_array(y[:, None]), 2)
    with pytest.raises(TypeError, match="holds complex numbers"):
        tefast.entropy(sparse.csr_array(1j * h))
    huge = sparse.coo_array(([1.0], ([5], [6])), shape=(10**7, 10**6))
    message = (
        r"h \(target\), which is sparse, as the dense copy .* takes 74505.8 GiB, more than the"
    )
    with pytest.raises(ValueError, match=message):
        tefast.transfer_entropy(huge, np.zeros(10**7), 2)
