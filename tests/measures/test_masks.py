"""Masks: the same as NaN left out for floats, as missing codes for symbols."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
H = rng.uniform(-1, 1, (6, 20, 5)).astype(np.float32)
Y = rng.uniform(0, 1, (6, 20)).astype(np.float32)
SYMBOLS, SOURCE = rng.integers(0, 3, (6, 20, 5)), rng.integers(0, 3, (6, 20))
STEPS = rng.random((6, 20)) < 0.8
VALUES = rng.random((6, 20, 5)) < 0.8

FUNCTIONS = [
    (tefast.transfer_entropy, True),
    (tefast.conditional_transfer_entropy, True),
    (tefast.reverse_transfer_entropy, True),
    (tefast.normalized_transfer_entropy, True),
    (tefast.local_transfer_entropy, True),
    (tefast.mutual_information, True),
    (tefast.active_information, False),
    (tefast.entropy_rate, False),
    (tefast.entropy, False),
]


@pytest.mark.parametrize(("function", "pair"), FUNCTIONS)
@pytest.mark.parametrize("mask", [STEPS, VALUES], ids=["steps", "values"])
def test_what_is_masked_is_left_out(function, pair, mask, backend):
    kept = mask if mask.ndim == 3 else mask[..., None]
    y = np.where(mask, Y, np.nan) if mask.ndim == 2 else Y
    plain, gaps = [Y] if pair else [], [y] if pair else []
    if function is tefast.conditional_transfer_entropy:
        plain, gaps = (
            [Y, Y[:, ::-1]],
            [y, np.where(mask, Y[:, ::-1], np.nan) if mask.ndim == 2 else Y[:, ::-1]],
        )
    given = function(H, *plain, bins=4, mask=mask, backend=backend)
    expected = function(
        np.where(kept, H, np.nan), *gaps, bins=4, nan_policy="omit", backend=backend
    )
    np.testing.assert_array_equal(given, expected)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), whole=st.booleans())
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_masked_symbols_are_missing_codes(backend, seed, whole):
    local = np.random.default_rng(seed)
    h, y = local.integers(0, 3, (3, 9, 2)), local.integers(0, 3, (3, 9))
    mask = local.random((3, 9) if whole else (3, 9, 2)) < 0.7
    h_kept = np.broadcast_to(mask[..., None] if whole else mask, h.shape)
    y_kept = mask if whole else np.ones((3, 9), bool)

    def codes(array, kept):
        rows = zip(array.tolist(), kept.tolist(), strict=True)
        return [[v if k else None for v, k in zip(*row, strict=True)] for row in rows]

    expected = []
    for u in range(2):
        counts = naive.transitions(codes(h[..., u], h_kept[..., u]), codes(y, y_kept))
        expected.append(naive.transfer_entropy(counts) if counts else np.nan)
    if np.isnan(expected).all():
        return
    found = tefast.transfer_entropy(h, y, 3, mask=mask, backend=backend)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int32", "uint8"])
def test_every_dtype(dtype, backend):
    kind = getattr(torch, dtype)
    h = torch.from_numpy(H if kind.is_floating_point else SYMBOLS).to(kind)
    y = torch.from_numpy(Y if kind.is_floating_point else SOURCE).to(kind)
    bins = 4 if kind.is_floating_point else 3
    given = tefast.transfer_entropy(h, y, bins, mask=torch.from_numpy(STEPS), backend=backend)
    # Whole sequences left out are as good as not there.
    assert given.shape == (5,)
    some = np.broadcast_to((np.arange(6) % 2 == 0)[:, None], (6, 20))
    limits = {"h_range": (-1, 1), "y_range": (0, 1)} if kind.is_floating_point else {}
    torch.testing.assert_close(
        tefast.transfer_entropy(h, y, bins, mask=some, backend=backend, **limits),
        tefast.transfer_entropy(h[::2], y[::2], bins, backend=backend, **limits),
        rtol=0, atol=1e-13,
    )  # fmt: skip


def test_what_lies_under_a_mask_is_not_looked_at(backend):
    h, y, mask = H.copy(), Y.copy(), np.ones((6, 20), bool)
    mask[2, 3:5] = mask[5, 19] = False
    h[2, 3], h[2, 4, 1], y[2, 3], y[5, 19] = np.inf, 1e30, -np.inf, np.nan
    found = tefast.transfer_entropy(h, y, 4, mask=mask, backend=backend)
    expected = tefast.transfer_entropy(H, Y, 4, mask=mask, backend=backend)
    np.testing.assert_array_equal(found, expected)
    symbols = SYMBOLS.copy()
    symbols[2, 3] = -99
    np.testing.assert_array_equal(
        tefast.transfer_entropy(symbols, SOURCE, 3, mask=mask, backend=backend),
        tefast.transfer_entropy(SYMBOLS, SOURCE, 3, mask=mask, backend=backend),
    )
    for bad, message in (
        (np.nan, r"no NaN, got 1, the first at h\[4, 7, 2\]"),
        (np.inf, r"must be finite, got 1 infinite values, .* h\[4, 7, 2\]"),
    ):
        h[4, 7, 2] = bad
        with pytest.raises(ValueError, match=message):
            tefast.transfer_entropy(h, y, 4, mask=mask, backend=backend)
    symbols[4, 7, 2] = 3
    with pytest.raises(ValueError, match=r"h\[4, 7, 2\] = 3 is not one; 1 lie outside"):
        tefast.transfer_entropy(symbols, SOURCE, 3, mask=mask, backend=backend)


def test_significance_and_streaming():
    plain = tefast.significance(H, Y, 3, mask=STEPS, surrogates=19)
    gaps = np.where(STEPS, Y, np.nan)
    expected = tefast.significance(
        np.where(STEPS[..., None], H, np.nan), gaps, 3, nan_policy="omit", surrogates=19
    )
    np.testing.assert_array_equal(plain.p_value, expected.p_value)
    te = tefast.TransferEntropy(5, 3, h_range=(-1, 1), y_range=(0, 1))
    te.update(H[:2], Y[:2], mask=STEPS[:2])
    te.update(H[2:], Y[2:], None, STEPS[2:])
    whole = tefast.transfer_entropy(H, Y, 3, mask=STEPS, h_range=(-1, 1), y_range=(0, 1))
    np.testing.assert_array_equal(te.compute(), whole)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((6, 20)), TypeError, "mask must hold booleans, .* got float64"),
        (
            np.ones((6, 19), bool),
            ValueError,
            r"mask must have shape \(6, 20\), or \(6, 20, 5\) for",
        ),
        (np.zeros((6, 20), bool), ValueError, "no transition is left to count"),
    ],
)
def test_masks_that_do_not_fit(mask, error, message):
    with pytest.raises(error, match=message):
        tefast.transfer_entropy(H, Y, h_range=(-1, 1), y_range=(0, 1), mask=mask)


def test_masks_of_one_sequence():
    for h, y in ((H[0], Y[0]), (H[0, :, 1], Y[0])):
        found = tefast.transfer_entropy(h, y, 3, mask=STEPS[0])
        gaps = np.where(STEPS[0].reshape(-1, *[1] * (h.ndim - 1)), h, np.nan)
        expected = tefast.transfer_entropy(
            gaps, np.where(STEPS[0], y, np.nan), 3, nan_policy="omit"
        )
        np.testing.assert_array_equal(found, expected)


def test_a_mask_of_the_targets_shape_leaves_the_source_alone():
    mask = VALUES[..., :1]
    alone = tefast.transfer_entropy(H[..., :1], Y, 3, delay=2, mask=mask)
    both = np.concatenate([mask, np.ones_like(mask)], axis=2)
    beside = tefast.transfer_entropy(H[..., :2], Y, 3, delay=2, mask=both)
    np.testing.assert_allclose(alone[0], beside[0], rtol=0, atol=1e-13)
