"""Streaming equals one-shot, in any chunks and any order."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast

rng = np.random.default_rng(0)
H = rng.uniform(-1, 1, (12, 9, 6)).astype(np.float32)
Y = rng.uniform(0, 1, (12, 9)).astype(np.float32)
LIMITS = {"h_range": (-1, 1), "y_range": (0, 1)}


def streaming(**options):
    return tefast.TransferEntropy(6, **{"bins": 8, **LIMITS, **options})


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), unique=True), seed=st.integers(0, 99))
def test_any_chunks_in_any_order_on_any_backend(cuts, seed):
    local = np.random.default_rng(seed)
    pieces = np.split(local.permutation(12), sorted(cuts))
    names = local.choice(["cpu", "reference"], 3)
    parts = [streaming(backend=name) for name in names]
    for piece in pieces:
        parts[local.integers(3)].update(H[piece], Y[piece])
    te = parts[0]
    te.merge(parts[2])
    te.merge(parts[1])
    expected = tefast.transfer_entropy(H, Y, bins=8, backend=names[0], **LIMITS)
    np.testing.assert_array_equal(te.compute(), expected)
    assert te.counts.sum() == 12 * 8 * 6


def test_lengths_and_nan():
    h = H.copy()
    h[3, 4, 5] = np.nan
    lengths = rng.integers(0, 10, 12)
    te = streaming(nan_policy="omit")
    te.update(h[:5], Y[:5], lengths[:5])
    te.update(h[5:], Y[5:], lengths[5:])
    options = {"bins": 8, "lengths": lengths, "nan_policy": "omit", **LIMITS}
    np.testing.assert_array_equal(te.compute(), tefast.transfer_entropy(h, Y, **options))


def test_edges_and_symbols():
    cuts = np.linspace(-0.5, 0.5, 7)
    te = tefast.TransferEntropy(6, 8, binning=cuts)
    te.update(H, Y)
    np.testing.assert_array_equal(te.compute(), tefast.transfer_entropy(H, Y, 8, binning=cuts))
    h, y = rng.integers(0, 3, (4, 9, 6)), rng.integers(0, 3, (4, 9))
    te = tefast.TransferEntropy(6, 3)
    te.update(h, y)
    np.testing.assert_array_equal(te.compute(), tefast.transfer_entropy(h, y, 3))


def test_reset_and_state():
    te = streaming()
    te.update(H, Y)
    expected = te.compute()
    state = te.state_dict()
    te.reset()
    assert te.counts.sum() == 0
    with pytest.raises(ValueError, match=r"nothing was counted yet: call update\(\) before"):
        te.compute()
    other = streaming()
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.compute(), expected)
    other.update(H, Y)  # must not reach into the state it came from
    assert state["counts"].sum() == 12 * 8 * 6
    for twin in (copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
        # Twice the counts, but the same proportions.
        np.testing.assert_allclose(twin.compute(), expected, rtol=1e-13)


def test_counts_are_shown_not_lent():
    te = streaming()
    te.update(H, Y)
    with pytest.raises(ValueError, match="read-only"):
        te.counts[0] = 0
    te.state_dict()["counts"][:] = 0
    assert te.counts.sum() > 0


def test_kind_of_result():
    torch = pytest.importorskip("torch")
    te = streaming()
    te.update(torch.from_numpy(H), torch.from_numpy(Y))
    assert isinstance(te.compute(), torch.Tensor)
    te.update(H, Y)
    assert isinstance(te.compute(), np.ndarray)


def test_settings_are_kept_from_the_caller():
    low, cuts = np.full(6, -1.0), np.linspace(-0.5, 0.5, 7)
    ranged, cut = streaming(h_range=(low, 1.0)), tefast.TransferEntropy(6, 8, binning=cuts)
    for te in (ranged, cut):
        te.update(H[:6], Y[:6])
    low[:], cuts[:] = -50, np.arange(7)
    for te in (ranged, cut):
        te.update(H[6:], Y[6:])
    np.testing.assert_array_equal(ranged.compute(), tefast.transfer_entropy(H, Y, 8, **LIMITS))
    expected = tefast.transfer_entropy(H, Y, 8, binning=np.linspace(-0.5, 0.5, 7))
    np.testing.assert_array_equal(cut.compute(), expected)


def test_a_merged_or_reset_one_takes_the_kind_of_its_data():
    torch = pytest.importorskip("torch")
    seen, empty = streaming(), streaming()
    seen.update(torch.from_numpy(H), torch.from_numpy(Y))
    empty.merge(seen)
    assert isinstance(empty.compute(), torch.Tensor)
    seen.reset()
    seen.merge(streaming())
    seen.load_state_dict(empty.state_dict())
    assert isinstance(seen.compute(), np.ndarray)


def test_a_failed_update_counts_nothing():
    te = streaming()
    te.update(H, Y)
    before = te.counts.copy()
    bad = H.copy()
    bad[-1, -1, -1] = np.nan
    for h, y in [(bad, Y), (H, Y[:, :3]), (H[..., :5], Y), (H[:, :1], Y[:, :1])]:
        with pytest.raises(ValueError, match=r"NaN|must have|at least 2 steps"):
            te.update(h, y)
    np.testing.assert_array_equal(te.counts, before)


def test_settings_must_agree():
    te = streaming()
    te.update(H, Y)
    for name, other in {
        "bins": streaming(bins=4),
        "h_range": streaming(h_range=(0, 1)),
        "y_range": streaming(y_range=None),
        "units": tefast.TransferEntropy(7, 8, **LIMITS),
        "h_binning": tefast.TransferEntropy(6, 8, binning=np.arange(7)),
        "y_binning": streaming(h_range=(-1, 1), y_range=None, binning={"y": np.arange(7)}),
        "target_history": streaming(target_history=2),
        "delay": streaming(delay=3),
    }.items():
        with pytest.raises(ValueError, match=f"merge needs the same settings: {name} is"):
            te.merge(other)
        with pytest.raises(ValueError, match=f"load_state_dict needs the same settings: {name}"):
            te.load_state_dict(other.state_dict())
    with pytest.raises(TypeError, match="merge takes a TransferEntropy, got Entropy"):
        te.merge(tefast.Entropy(6, 8, h_range=(-1, 1)))


def test_states_that_are_refused():
    te = streaming()
    state = te.state_dict()
    with pytest.raises(ValueError, match="a state has the keys"):
        te.load_state_dict({"counts": state["counts"]})
    with pytest.raises(ValueError, match=r"counts must be int64 of shape \(6, 8, 8, 8\), got fl"):
        te.load_state_dict({**state, "counts": state["counts"].astype(float)})
    te.update(H, Y)
    for symbols in (None, {"h": "yes"}, {"q": True}):
        with pytest.raises(ValueError, match="symbols must say"):
            te.load_state_dict({**state, "symbols": symbols})
    assert te.counts.sum() == 12 * 8 * 6
    with pytest.raises(TypeError, match="a state is a dict, got NoneType"):
        te.load_state_dict(None)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        te.load_state_dict({**state, "counts": state["counts"] - 1})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tefast.TransferEntropy(0), ValueError, "units must be a positive integer, got 0"),
        (lambda: tefast.TransferEntropy(1.5), TypeError, "units must be a positive integer"),
        (lambda: tefast.TransferEntropy(1, 1), ValueError, "bins must lie"),
        (lambda: streaming(binning="quantile"), ValueError, "quantile' needs all data at once"),
        (lambda: streaming(binning=np.arange(7)), ValueError, "goes with binning='uniform'"),
        (lambda: tefast.TransferEntropy(6).update(H, Y), ValueError,
         r"h \(target\) holds floats, whose range cannot be known.*pass h_range=\(low, high\)"),
        (lambda: streaming().update(H > 0, Y), ValueError, "h_range is given, but h"),
        (lambda: tefast.Entropy(5, h_range=(-1, 1)).update(H), ValueError, "have 5 units, got 6"),
    ],
)  # fmt: skip
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_floats_and_symbols_do_not_add_up():
    te = tefast.TransferEntropy(6, 8, binning=np.linspace(-0.5, 0.5, 7))
    te.update(H, Y)
    with pytest.raises(ValueError, match=r"h \(target\) held floats so far, now integer symbols"):
        te.update((H > 0).astype(int), Y)


def test_entropy_streams():
    en = tefast.Entropy(6, 8, h_range=(-1, 1))
    for n in range(0, 12, 5):
        en.update(H[n : n + 5])
    np.testing.assert_array_equal(en.compute(), tefast.entropy(H, 8, h_range=(-1, 1)))
    other = tefast.Entropy(6, 8, h_range=(-1, 1))
    other.load_state_dict(en.state_dict())
    other.merge(en)
    np.testing.assert_array_equal(other.counts, 2 * en.counts)
