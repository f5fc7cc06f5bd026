"""Lists of sequences of unequal lengths: the numbers of arrays with `lengths`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast._counting import pieces
from tefast._inputs import sequences, values

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
LENGTHS = [9, 4, 12, 1, 7]
H = [rng.random((steps, 3)).astype(np.float32) for steps in LENGTHS]
Y = [rng.random(steps) for steps in LENGTHS]
Z = [rng.random((steps, 2)) for steps in LENGTHS]
WHOLE_H = np.full((5, 12, 3), 7.0, np.float32)
WHOLE_Y = np.full((5, 12), 7.0)
WHOLE_Z = np.full((5, 12, 2), 7.0)
for n, steps in enumerate(LENGTHS):
    WHOLE_H[n, :steps], WHOLE_Y[n, :steps], WHOLE_Z[n, :steps] = H[n], Y[n], Z[n]
LIMITS = {"h_range": (0, 1), "y_range": (0, 1)}


def padded(x):
    """A list of sequences as an array whose end nobody looks at, and their lengths."""
    lengths = [len(each) for each in x]
    out = np.zeros((len(x), max(lengths), *x[0].shape[1:]), x[0].dtype)
    for row, each in zip(out, x, strict=True):
        row[: len(each)] = each
    return out, lengths


@pytest.mark.parametrize(
    "name",
    ["transfer_entropy", "reverse_transfer_entropy", "normalized_transfer_entropy",
     "mutual_information"],
)  # fmt: skip
def test_lists_beside_lists(name, backend):
    options = {"bins": 3, "backend": backend}
    measure = getattr(tefast, name)
    expected = measure(WHOLE_H, WHOLE_Y, lengths=LENGTHS, **options)
    objects = np.empty(5, dtype=object), np.empty(5, dtype=object)
    objects[0][:], objects[1][:] = H, Y
    for h, y in ((H, Y), (tuple(H), tuple(Y)), objects, ([x.tolist() for x in H], Y)):
        found = measure(h, y, **options)
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    one = measure([x[:, 0] for x in H], Y, **options)
    assert isinstance(one, np.float64)
    np.testing.assert_array_equal(one, expected[0])


@pytest.mark.parametrize("name", ["entropy", "active_information", "entropy_rate", "learn_edges"])
def test_lists_alone(name, backend):
    found = getattr(tefast, name)(H, 3, backend=backend)
    expected = getattr(tefast, name)(WHOLE_H, 3, lengths=LENGTHS, backend=backend)
    np.testing.assert_array_equal(found, expected)
    bare = getattr(tefast, name)([[0, 1, 1], [1], [0, 0, 1, 1]], 2) if name != "learn_edges" else 0
    assert np.ndim(bare) == 0


def test_conditions_significance_and_streams(monkeypatch):
    found = tefast.conditional_transfer_entropy(H, Y, Z, 2)
    expected = tefast.conditional_transfer_entropy(WHOLE_H, WHOLE_Y, WHOLE_Z, 2, lengths=LENGTHS)
    np.testing.assert_array_equal(found, expected)
    found = tefast.significance(H, Y, 3, surrogates=9)
    expected = tefast.significance(WHOLE_H, WHOLE_Y, 3, surrogates=9, lengths=LENGTHS)
    np.testing.assert_array_equal(found.p_value, expected.p_value)
    whole = tefast.TransferEntropy(3, 3, **LIMITS)
    whole.update(WHOLE_H, WHOLE_Y, LENGTHS)
    part = tefast.TransferEntropy(3, 3, **LIMITS)
    part.update(H, Y)
    np.testing.assert_array_equal(part.counts, whole.counts)
    for rows in (1, 2, 3, None):
        found = tefast.stream(H, Y, 3, rows=rows, **LIMITS)
        np.testing.assert_array_equal(found.counts, whole.counts)
        ranged = tefast.stream(H, Y, 3, rows=rows).compute()
        np.testing.assert_array_equal(ranged, tefast.transfer_entropy(H, Y, 3))
    single = tefast.stream([x[:, 0] for x in H], Y, 3, rows=2, **LIMITS)
    np.testing.assert_array_equal(single.counts, whole.counts[:1])
    monkeypatch.setattr(pieces, "PIECE_BYTES", 300)
    assert len(pieces.slices(H, Y, None, None, 1)) > 2
    found = tefast.stream(H, Y, 3, **LIMITS)
    np.testing.assert_array_equal(found.counts, whole.counts)
    entropy = tefast.Entropy(3, 3, h_range=(0, 1))
    entropy.update_from(H)
    np.testing.assert_array_equal(entropy.compute(), tefast.entropy(H, 3, h_range=(0, 1)))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    units=st.sampled_from([None, 1, 3]),
    rows=st.integers(1, 6),
    delay=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_any_lengths(lengths, units, rows, delay, seed):
    if max(lengths) <= delay:
        lengths = [*lengths, delay + 1]
    local = np.random.default_rng(seed)
    tail = () if units is None else (units,)
    h = [local.integers(0, 2, (steps, *tail)) for steps in lengths]
    y = [local.integers(0, 2, steps) for steps in lengths]
    whole, valid = padded(h)
    full = whole[..., None] if units is None else whole
    expected = tefast.transfer_entropy(full, padded(y)[0], 2, delay=delay, lengths=valid)
    one = len(set(lengths)) == 1 and units is None  # an array (N, T) like any other
    found = tefast.transfer_entropy(h, y, 2, delay=delay, layout="NT" if one else None)
    np.testing.assert_array_equal(np.atleast_1d(found), expected)
    streamed = tefast.stream(h, y, 2, delay=delay, rows=rows, layout="NT" if one else None)
    np.testing.assert_array_equal(streamed.compute(), expected)


def test_steps_come_back_as_a_list(backend):
    options = {"bins": 3, "delay": 2, "backend": backend}
    expected = tefast.local_transfer_entropy(WHOLE_H, WHOLE_Y, lengths=LENGTHS, **options)
    found = tefast.local_transfer_entropy(H, Y, **options)
    assert [part.shape for part in found] == [(max(0, n - 2), 3) for n in LENGTHS]
    for n, part in enumerate(found):
        np.testing.assert_array_equal(part, expected[n, : len(part)])
        assert not np.isnan(part).any()
    ones = tefast.local_transfer_entropy([x[:, 1] for x in H], Y, **options)
    for n, part in enumerate(ones):
        np.testing.assert_array_equal(part, expected[n, : len(part), 1])
    turned = tefast.local_transfer_entropy([x.T for x in H], Y, layout="NUT", **options)
    for mine, theirs in zip(turned, found, strict=True):
        np.testing.assert_array_equal(mine, theirs.T, strict=True)
    patterns = tefast.ordinal_patterns([x for x in H if len(x) > 2], 3)
    for mine, x in zip(patterns, (x for x in H if len(x) > 2), strict=True):
        np.testing.assert_array_equal(mine, tefast.ordinal_patterns(x, 3, axis=0), strict=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_lists_of_tensors(dtype):
    kind = getattr(torch, dtype)
    h = [torch.from_numpy(x).to(kind).requires_grad_() for x in H]
    y = [torch.from_numpy(x) for x in Y]
    found = tefast.transfer_entropy(h, y, 3)
    assert isinstance(found, torch.Tensor)
    plain = [x.detach().double().numpy() for x in h]
    np.testing.assert_array_equal(found, tefast.transfer_entropy(plain, Y, 3))
    local = tefast.local_transfer_entropy(h, y, 3)
    assert all(isinstance(part, torch.Tensor) for part in local)
    assert [len(part) for part in local] == [n - 1 for n in LENGTHS]
    alike = tefast.transfer_entropy([x[:4] for x in h[:3]], [x[:4] for x in y[:3]], 3)
    stacked = torch.stack([x[:4] for x in h[:3]])
    np.testing.assert_array_equal(
        alike, tefast.transfer_entropy(stacked, torch.stack([x[:4] for x in y[:3]]), 3)
    )


def test_nested_tensors_as_the_message_says():
    nested = torch.nested.nested_tensor([torch.from_numpy(x) for x in H], layout=torch.jagged)
    found = tefast.transfer_entropy(list(nested.unbind()), Y, 3)
    np.testing.assert_array_equal(found, tefast.transfer_entropy(H, Y, 3))


def test_lists_of_tables_keep_their_names():
    pandas = pytest.importorskip("pandas")
    names = ["rate", "speed", "load"]
    tables = [pandas.DataFrame(x, columns=names) for x in H]
    found = tefast.transfer_entropy(tables, [pandas.Series(x) for x in Y], 3)
    assert list(found.index) == names
    np.testing.assert_array_equal(found, tefast.transfer_entropy(H, Y, 3))
    local = tefast.local_transfer_entropy(tables, Y, 3)
    assert list(local[0].columns) == names
    assert list(local[0].index) == list(range(1, 9))


def test_masked_and_mixed_sequences():
    gone = [rng.random(x.shape) < 0.1 for x in H]
    symbols = [rng.integers(0, 3, x.shape) for x in H]
    sources = [rng.integers(0, 3, len(x)).astype(np.uint8) for x in H]
    h = [np.ma.array(x, mask=m) for x, m in zip(symbols, gone, strict=True)]
    whole = np.ma.array(padded(symbols)[0], mask=padded(gone)[0])
    found = tefast.transfer_entropy(h, sources, 3, nan_policy="omit")
    expected = tefast.transfer_entropy(
        whole, padded(sources)[0], 3, lengths=LENGTHS, nan_policy="omit"
    )
    np.testing.assert_array_equal(found, expected)
    mixed = [x.astype(np.float64) if i % 2 else x for i, x in enumerate(H)]
    np.testing.assert_array_equal(
        tefast.transfer_entropy(mixed, Y, 3), tefast.transfer_entropy(H, Y, 3)
    )
    masks = [rng.random(len(x)) < 0.9 for x in H]
    found = tefast.transfer_entropy(H, Y, 3, mask=masks)
    expected = tefast.transfer_entropy(WHOLE_H, WHOLE_Y, 3, lengths=LENGTHS, mask=padded(masks)[0])
    np.testing.assert_array_equal(found, expected)
    values_masks = [~m for m in gone]
    found = tefast.transfer_entropy(H, Y, 3, mask=values_masks)
    expected = tefast.transfer_entropy(
        WHOLE_H, WHOLE_Y, 3, lengths=LENGTHS, mask=padded(values_masks)[0]
    )
    np.testing.assert_array_equal(found, expected)


def test_positions_are_those_of_the_list():
    h = [x.copy() for x in H]
    h[2][10, 1] = np.nan
    with pytest.raises(ValueError, match=r"got 1, the first at h\[2\]\[10, 1\]"):
        tefast.transfer_entropy(h, Y)
    y = [x.copy() for x in Y]
    y[4][6] = np.inf
    with pytest.raises(ValueError, match=r"infinite values, the first at y\[4\]\[6\]"):
        tefast.transfer_entropy(H, y)


def test_labels_in_lists():
    words = [np.array(["rest", "move"])[rng.integers(0, 2, n)] for n in LENGTHS]
    target, source = values.read(H, words)
    assert source.is_labels
    assert source.own_lengths.tolist() == target.own_lengths.tolist() == LENGTHS
    assert source.array.shape == (5, 12, 1)
    with pytest.raises(TypeError, match=r"y \(source\) holds labels, such as y\[0\]\[0\] = "):
        tefast.transfer_entropy(H, words)
    codes = [(x == "rest").astype(int) for x in words]
    found = tefast.transfer_entropy(H, words, 3, binning={"y": "symbols"})
    expected = tefast.transfer_entropy(H, codes, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_lengths_that_are_given_too():
    np.testing.assert_array_equal(
        tefast.transfer_entropy(H, Y, 3, lengths=LENGTHS), tefast.transfer_entropy(H, Y, 3)
    )
    # A source that is an array already goes with the list.
    np.testing.assert_array_equal(
        tefast.transfer_entropy(H, WHOLE_Y, 3), tefast.transfer_entropy(H, Y, 3)
    )


FLAT = np.concatenate(Y)


@pytest.mark.parametrize(
    ("h", "y", "options", "error", "message"),
    [
        (H, FLAT, {}, ValueError, r"is a list of sequences of unequal lengths: pass y as such"),
        (WHOLE_H, Y, {}, ValueError, r"y \(source\) is a list of sequences of unequal lengths, .*"
         r"both as arrays with lengths=\.\.\."),
        (H, Y[:4], {}, ValueError, "is a list of 4 sequences, and h .* is one of 5"),
        (H, [*Y[:4], Y[4][:-1]], {}, ValueError, "sequence 4 has 6 steps in y .* and 7 in h"),
        (H, Y, {"lengths": [9, 4, 12, 1, 6]}, ValueError, "have other lengths of their own"),
        ([x.T for x in H], Y, {}, ValueError, "differ along axis 1 of each, which holds units by "
         "layout='NTU'; steps alone may differ; layout='NUT' reads that axis as steps"),
        (H, Y, {"layout": "TNU"}, ValueError, "differ along axis 0 of each, which holds sequences"),
        ([H[0], H[1][:, :2]], Y[:2], {}, ValueError, r"got \(9, 3\) first and \(4, 2\) for sequ"),
        ([H[0], H[1][:, 0]], Y[:2], {}, ValueError, "sequences of different numbers of axes"),
        ([H[0], H[1] > 0], Y[:2], {}, TypeError, r"holds floats \(sequence 0\) and integers"),
        ([H[0], torch.zeros(4, 3).bfloat16()], Y[:2], {}, TypeError, "floats of type bfloat16"),
        ([H[0], H[1].astype(complex)], Y[:2], {}, TypeError, "sequence 1 of h .* holds complex"),
        (H, Y, {"mask": [x > 0 for x in Z]}, ValueError, r"such as \(9, 3\) for the first"),
    ],
)  # fmt: skip
def test_lists_that_do_not_fit(h, y, options, error, message):
    with pytest.raises(error, match=message):
        tefast.transfer_entropy(h, y, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"h": H, "y": FLAT},
            "is a list of sequences of unequal lengths, and y .* is not; pass both",
        ),
        ({"h": H, "y": Y[:4]}, "is a list of 4 sequences, and h .* is one of 5"),
        (
            {"h": H, "y": Y, "lengths": LENGTHS},
            "lengths goes with arrays; sequences in a list have",
        ),
        ({"h": H, "y": Y, "layout": "NT"}, "layout='NT' has 2 letters, but h .* has 3 axes"),
        ({"h": H, "y": Y, "rows": 0}, "rows must be a positive integer, got 0"),
        ({"h": H[3:4] + [x[:1] for x in H], "y": [x[:1] for x in [*Y, Y[0]]]}, "at least 2 steps"),
    ],
)
def test_streams_of_lists_that_do_not_fit(given, message):
    with pytest.raises(ValueError, match=message):
        tefast.stream(**given)


def test_a_list_beyond_memory_is_not_joined(monkeypatch):
    monkeypatch.setattr("tefast._support.memory.memory_limit", lambda: 1000)
    message = (
        r"h \(target\), as one array, takes .* GiB of memory here; pass the list to tefast.stream"
    )
    with pytest.raises(ValueError, match=message):
        values.target([np.zeros((100, 2)), np.zeros((3, 2))])


def test_arrays_that_are_no_lists():
    assert not sequences.is_of_arrays(np.array(["rest", None], dtype=object))
    assert not sequences.is_of_arrays([1.0, 2.0])
    assert not sequences.is_of_arrays([np.float64(1.0), np.float64(2.0)])
    assert not sequences.is_of_arrays([torch.tensor(1.0)])
    steps = [np.arange(3.0) + t for t in range(20)]  # the states of three units, step by step
    y = rng.random(20)
    np.testing.assert_array_equal(
        tefast.transfer_entropy(steps, y, 3), tefast.transfer_entropy(np.array(steps), y, 3)
    )
