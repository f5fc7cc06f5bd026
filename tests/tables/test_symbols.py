"""The "symbols" binning: labels of any kind are symbols, as many as are found."""

import pickle
import re

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tefast

rng = np.random.default_rng(5)
CODES_Y = rng.integers(0, 3, (4, 60))
CODES_H = rng.integers(0, 3, (4, 60))
CODES_H = np.where(rng.random((4, 60)) < 0.5, np.roll(CODES_Y, 1, axis=1), CODES_H)
LABELS = {
    "negative": np.array([-1, 0, 1]),
    "far apart": np.array([10, 200, 3000]),
    "large": np.array([0, 2**40, 2**62]),
    "unsigned": np.array([0, 2**63, 2**64 - 1], np.uint64),
    "bytes": np.array([-128, 0, 127], np.int8),
    "floats": np.array([3.0, 4.0, 7.0]),
    "halves": np.array([-0.5, 0.0, 60000.0], np.float16),
    "shuffled": np.array([7, -3, 4]),
}


def naive_te(h, y):
    """Bits from the series y (N, T) to one unit h (N, T)."""
    return naive.transfer_entropy(naive.transitions(h.tolist(), y.tolist()))


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_what_their_codes_are(kind, backend):
    labels = LABELS[kind]
    te = tefast.transfer_entropy(
        labels[CODES_H][..., None], labels[CODES_Y], binning="symbols", backend=backend
    )
    np.testing.assert_allclose(te, [naive_te(CODES_H, CODES_Y)], rtol=1e-12)


def test_target_and_source_may_have_different_numbers_of_symbols(backend):
    y = rng.integers(0, 40, (3, 200))
    h = (np.roll(y, 1, axis=1) % 3)[..., None] * 5 - 7
    options = {"binning": "symbols", "backend": backend}
    for target, source in ((h, y), (y[..., None], h[..., 0])):
        expected = naive_te(target[..., 0], source)
        te = tefast.transfer_entropy(target, source, **options)
        np.testing.assert_allclose(te, [expected], rtol=1e-12)
    both = {"target_history": 2, "source_history": 2}
    for swapped in (tefast.transfer_entropy, tefast.reverse_transfer_entropy):
        codes = [np.unique(x, return_inverse=True)[1].reshape(x.shape) for x in (h, y)]
        found = swapped(h, y, **both, **options)
        np.testing.assert_allclose(found, swapped(*codes, bins=40, **both, backend=backend))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_integers_of_any_shape(data):
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(1, 3)))
    elements = st.sampled_from([-(2**62), -5, -1, 0, 2, 300, 2**31, 2**62])
    h = data.draw(hnp.arrays(np.int64, shape, elements=elements))
    y = data.draw(hnp.arrays(np.int64, shape[:2], elements=elements))
    lengths = data.draw(
        st.none() | st.lists(st.integers(2, shape[1]), min_size=shape[0], max_size=shape[0])
    )
    te = tefast.transfer_entropy(h, y, binning="symbols", lengths=lengths)
    for u in range(shape[2]):
        cells = naive.transitions(h[:, :, u].tolist(), y.tolist(), lengths)
        np.testing.assert_allclose(te[u], naive.transfer_entropy(cells), atol=1e-12)
    entropy = tefast.entropy(h, binning="symbols", lengths=lengths)
    kept = range(shape[0]) if lengths is None else lengths
    steps = [shape[1]] * shape[0] if lengths is None else kept
    for u in range(shape[2]):
        values = [v for row, n in zip(h[:, :, u].tolist(), steps, strict=True) for v in row[:n]]
        np.testing.assert_allclose(entropy[u], naive.entropy(values), atol=1e-12)


@pytest.mark.parametrize("many", [257, 3000, 32767])
def test_more_symbols_than_bytes_hold(many, backend):
    y = rng.integers(0, many, 40_000) * 7 - 11
    h = np.roll(y, 1) // 2
    labels = len(np.unique(h)), len(np.unique(y))
    assert max(labels) > 256
    options = {"binning": "symbols", "backend": backend}
    expected = naive_entropies(h, y)
    np.testing.assert_allclose(tefast.transfer_entropy(h, y, **options), expected, rtol=1e-9)
    lost = tefast.transfer_entropy(h, y, lengths=[30_000], **options)
    np.testing.assert_allclose(lost, naive_entropies(h[:30_000], y[:30_000]), rtol=1e-9)
    np.testing.assert_allclose(tefast.entropy(h, **options), naive.entropy(h.tolist()), rtol=1e-12)


def naive_entropies(h, y):
    """Transfer entropy from y to h, one sequence of each."""
    return naive_of_triples(h[1:].tolist(), h[:-1].tolist(), y[:-1].tolist())


def naive_of_triples(following, past, source):
    """Transfer entropy as four entropies, which loops over dictionaries give quickly."""
    triples = list(zip(following, past, source, strict=True))
    of = [
        naive.entropy([tuple(t[i] for i in axes) for t in triples])
        for axes in ((0, 1), (1, 2), (0, 1, 2), (1,))
    ]
    return of[0] + of[1] - of[2] - of[3]


def test_too_many_symbols_are_refused():
    h = np.arange(32_768)
    with pytest.raises(ValueError, match=r"32768 different values, .* at most 32767"):
        tefast.entropy(h, binning="symbols")


def test_missing_labels_are_left_out_or_refused(backend):
    h, y = LABELS["floats"][CODES_H], LABELS["floats"][CODES_Y]
    h[1, 7], y[2, 30] = np.nan, np.nan
    options = {"binning": "symbols", "backend": backend}
    with pytest.raises(ValueError, match=r"no NaN, got 1, the first at h\[1, 7, 0\]"):
        tefast.transfer_entropy(h[..., None], y, **options)
    te = tefast.transfer_entropy(h[..., None], y, nan_policy="omit", **options)
    gaps = [
        [[None if np.isnan(v) else v for v in row] for row in series.tolist()] for series in (h, y)
    ]
    expected = naive.transfer_entropy(naive.transitions(*gaps))
    np.testing.assert_allclose(te, [expected], rtol=1e-12)


@pytest.mark.parametrize("many", [3, 500])
def test_masked_labels_are_not_found(many, backend):
    h = rng.integers(0, many, (2, 400, 1)) - 5
    y = np.roll(h[..., 0], -1, axis=1) * 3
    mask = rng.random((2, 400)) < 0.9
    spoiled, source = h.copy(), y.copy()
    spoiled[~mask], source[~mask] = 10**9, -(10**9)
    options = {"binning": "symbols", "mask": mask, "backend": backend}
    te = tefast.transfer_entropy(spoiled, source, **options)
    kept = mask[:, 1:] & mask[:, :-1]
    triples = [series[kept].tolist() for series in (h[:, 1:, 0], h[:, :-1, 0], y[:, :-1])]
    np.testing.assert_allclose(te, [naive_of_triples(*triples)], rtol=1e-9)
    found = tefast.learn_binning(spoiled, binning="symbols", mask=mask)
    assert found.labels.max() < 10**9


def test_a_learned_binning_is_taken_again():
    labels = LABELS["shuffled"]
    h, y = labels[CODES_H][..., None], labels[CODES_Y]
    learned = {
        "h": tefast.learn_binning(h, binning="symbols"),
        "y": tefast.learn_binning(y, binning="symbols"),
    }
    assert learned["h"].labels.tolist() == [-3, 4, 7]
    whole = tefast.transfer_entropy(h, y, binning="symbols")
    np.testing.assert_array_equal(tefast.transfer_entropy(h, y, binning=learned), whole)
    again = pickle.loads(pickle.dumps(learned))
    stream = tefast.TransferEntropy(1, binning=again)
    for n in range(4):
        stream.update(h[n : n + 1], y[n : n + 1])
    np.testing.assert_allclose(stream.compute(), whole, rtol=1e-12)
    other = tefast.TransferEntropy(1, binning=learned)
    other.load_state_dict(stream.state_dict())
    other.merge(stream)
    np.testing.assert_allclose(other.compute(), whole, rtol=1e-12)
    unknown = y.copy()
    unknown[1, 2] = 5
    message = re.escape("y[1, 2] = ") + ".*5.* is none of the 3 labels of the binning; 1 values"
    with pytest.raises(ValueError, match=message):
        tefast.transfer_entropy(h, unknown, binning=learned)


def test_learned_bins_of_numbers_are_taken_again():
    h, y = rng.standard_normal((2, 3, 90))
    learned = {"h": tefast.learn_binning(h[..., None], 5), "y": [0.0, 0.4]}
    with pytest.raises(ValueError, match="bins=16 takes an array of 15 inner edges"):
        tefast.transfer_entropy(h[..., None], y, binning=learned)
    learned["y"] = tefast.learn_binning(y[..., None], 3, binning="quantile")
    te = tefast.transfer_entropy(h[..., None], y, binning=learned)
    codes = [
        np.searchsorted(learned[role].edges[0], values, side="right")
        for role, values in (("h", h), ("y", y))
    ]
    assert [c.max() for c in codes] == [4, 2]
    np.testing.assert_allclose(te, [naive_te(*codes)], rtol=1e-12)


def test_advice_for_integers_is_advice_that_helps():
    labels = LABELS["negative"]
    h, y = labels[CODES_H][..., None], labels[CODES_Y]
    with pytest.raises(ValueError, match="binning='symbols', which takes integers, strings") as e:
        tefast.transfer_entropy(h, y, bins=3)
    assert "np.unique(x, return_inverse=True)[1]" in str(e.value)
    relabelled = [np.unique(x, return_inverse=True)[1].reshape(x.shape) for x in (h, y)]
    expected = [naive_te(CODES_H, CODES_Y)]
    np.testing.assert_allclose(tefast.transfer_entropy(*relabelled, bins=3), expected, rtol=1e-12)


def test_other_measures_take_labels(backend):
    labels = LABELS["far apart"]
    h, y = labels[CODES_H][..., None], labels[CODES_Y]
    codes = CODES_H[..., None], CODES_Y
    options = {"backend": backend}
    for measure in (
        tefast.mutual_information,
        tefast.normalized_transfer_entropy,
        tefast.local_transfer_entropy,
    ):
        expected = measure(*codes, bins=3, **options)
        np.testing.assert_allclose(measure(h, y, binning="symbols", **options), expected)
    given_z = tefast.conditional_transfer_entropy(h, y, y * 2, binning="symbols", **options)
    assert given_z[0] == 0
    for measure in (tefast.active_information, tefast.entropy_rate):
        expected = measure(codes[0], bins=3, **options)
        np.testing.assert_allclose(measure(h, binning="symbols", **options), expected)
    found = tefast.significance(h, y, binning="symbols", surrogates=20, method="trials", **options)
    plain = tefast.significance(*codes, bins=3, surrogates=20, method="trials", **options)
    np.testing.assert_allclose(found.p_value, plain.p_value)


def test_what_needs_all_data_is_refused_batch_by_batch():
    with pytest.raises(ValueError, match=r"needs all data at once.*tefast\.learn_binning"):
        tefast.TransferEntropy(1, binning="symbols")
    with pytest.raises(ValueError, match="has no edges; learn_binning returns its labels"):
        tefast.learn_edges(CODES_H, binning="symbols")
