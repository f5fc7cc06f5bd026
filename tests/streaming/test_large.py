"""Data larger than memory: the same counts whatever the pieces, and no more memory than said."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast import larger_than_memory
from tefast._counting import pieces

rng = np.random.default_rng(0)
H = rng.normal(size=(12, 9, 6)).astype(np.float32)
Y = rng.random((12, 9)).astype(np.float32)
LIMITS = {"h_range": (-2, 2), "y_range": (0, 1)}


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 13), lengths=st.booleans(), limits=st.booleans(), seed=st.integers(0, 9))
def test_sequences_in_any_pieces(rows, lengths, limits, seed):
    valid = np.random.default_rng(seed).integers(0, 10, 12) if lengths else None
    options = {"bins": 8, "lengths": valid, **(LIMITS if limits else {})}
    found = tefast.stream(H, Y, rows=rows, **options)
    np.testing.assert_array_equal(found.compute(), tefast.transfer_entropy(H, Y, **options))
    np.testing.assert_array_equal(found.counts, tefast.stream(H, Y, **options).counts)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    steps=st.tuples(*[st.integers(1, 3)] * 2, st.integers(0, 3), *[st.integers(1, 3)] * 2),
    joint=st.booleans(),
    seed=st.integers(0, 9),
)
def test_steps_in_any_pieces(rows, steps, joint, seed):
    local = np.random.default_rng(seed)
    h, y = local.integers(0, 2, (60, 3)), local.integers(0, 2, (60, 2))
    y = y if joint else y[:, 0]
    names = ("target_history", "source_history", "delay", "target_step", "source_step")
    options = {**dict(zip(names, steps, strict=True)), **({"sources": 2} if joint else {})}
    whole = tefast.TransferEntropy(3, 2, **options)
    whole.update(h, y, [50])
    options = {name: options[name] for name in names} | {"joint": joint}
    found = tefast.stream(h, y, 2, lengths=[50], rows=rows, **options)
    np.testing.assert_array_equal(found.counts, whole.counts)
    single = tefast.stream(h[:50, 0], y[:50], 2, rows=rows, **options)
    np.testing.assert_array_equal(single.counts, whole.counts[:1])


@pytest.mark.parametrize("limit", [1, 200, 700, 3000, 10_000])
def test_sequences_are_cut_where_one_alone_is_too_large(limit, monkeypatch):
    h = H.copy()
    h[3, 4, 5] = np.nan
    options = {"bins": 4, "nan_policy": "omit", "delay": 2, **LIMITS}
    whole = tefast.TransferEntropy(6, **options)
    lengths = rng.integers(0, 10, 12)
    whole.update(h, Y, lengths)
    monkeypatch.setattr(pieces, "PIECE_BYTES", limit)
    found = tefast.stream(h, Y, lengths=lengths, **options)
    np.testing.assert_array_equal(found.counts, whole.counts)
    entropy = tefast.Entropy(6, 4, h_range=(-2, 2))
    entropy.update_from(H, lengths)
    expected = tefast.entropy(H, 4, h_range=(-2, 2), lengths=lengths)
    np.testing.assert_array_equal(entropy.compute(), expected)


def masked_pairs(shape):
    """A mask of the steps, and one of the target's values."""
    local = np.random.default_rng(8)
    return local.random(shape[:-1]) < 0.9, local.random(shape) < 0.9


@pytest.mark.parametrize("of_all", [True, False])
@pytest.mark.parametrize("limits", [LIMITS, {}])
@pytest.mark.parametrize("rows", [1, 5, None])
def test_masks_are_sliced_as_the_data_are(of_all, limits, rows, tmp_path):
    mask = masked_pairs(H.shape)[0 if of_all else 1]
    valid = np.random.default_rng(4).integers(0, 10, 12)
    h = H.copy()
    h[~mask] = 9e9  # what is masked is not looked at, not even for the range
    options = {"bins": 4, "lengths": valid, "mask": mask, **limits}
    expected = tefast.transfer_entropy(h, Y, **options)
    np.save(tmp_path / "mask.npy", mask)
    options["mask"] = np.load(tmp_path / "mask.npy", mmap_mode="r")
    np.testing.assert_array_equal(tefast.stream(h, Y, rows=rows, **options).compute(), expected)
    batches = [(h[a:b], Y[a:b], valid[a:b], mask[a:b]) for a, b in ((0, 5), (5, 12))]
    found = tefast.stream(batches, bins=4, **limits)
    np.testing.assert_array_equal(found.compute(), expected)
    del options["lengths"]
    expected = tefast.transfer_entropy(h, Y, **options)
    options["mask"] = mask if of_all else mask.transpose(0, 2, 1)
    found = tefast.stream(h.transpose(0, 2, 1), Y, rows=rows, layout="NUT", **options)
    np.testing.assert_array_equal(found.compute(), expected)


@pytest.mark.parametrize("of_all", [True, False])
@pytest.mark.parametrize("rows", [3, 11])
def test_masks_are_cut_along_steps_with_their_overlap(of_all, rows):
    local = np.random.default_rng(5)
    h, y = local.integers(0, 3, (60, 4)), local.integers(0, 3, 60)
    mask = masked_pairs(h.shape)[0 if of_all else 1]
    options = {"target_history": 2, "delay": 3, "mask": mask}
    found = tefast.stream(h, y, 3, rows=rows, **options)
    np.testing.assert_array_equal(found.compute(), tefast.transfer_entropy(h, y, 3, **options))
    own = tefast.ActiveInformation(4, 3, history=2)
    own.update_from(h, mask=mask, rows=rows)
    expected = tefast.active_information(h, 3, history=2, mask=mask)
    np.testing.assert_array_equal(own.compute(), expected)


def test_masks_of_lists(monkeypatch):
    h = [H[0, :4], H[1], H[2, :7], H[3, :5]]
    y = [Y[i, : len(one)] for i, one in enumerate(h)]
    mask = [np.arange(len(one)) != 2 for one in h]
    options = {"bins": 4, "mask": mask, **LIMITS}
    found = tefast.stream(h, y, rows=2, **options)
    np.testing.assert_array_equal(found.compute(), tefast.transfer_entropy(h, y, **options))
    with pytest.raises(ValueError, match=r"mask is a list of 3 sequences, and h .* one of 4"):
        tefast.stream(h, y, **{**options, "mask": mask[:3]})
    with pytest.raises(ValueError, match="mask is not; pass both as such lists"):
        tefast.stream(h, y, **{**options, "mask": np.ones((4, 9), bool)})


class Chunked:
    """An array in a file: a shape, a type, chunks, and slices that are read when asked for."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.reads = array, chunks, []
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key):
        self.reads.append(key)
        return self.array[key]


@pytest.mark.parametrize("chunks", [(4, 9, 2), ((4, 4, 4), (9,), (6,))])
def test_whole_chunks_are_read_once(chunks, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 7 * H[0].nbytes)
    h = Chunked(H, chunks)
    found = tefast.stream(h, Y, **LIMITS)
    assert h.reads == [slice(0, 4), slice(4, 8), slice(8, 12)]
    np.testing.assert_array_equal(found.compute(), tefast.transfer_entropy(H, Y, **LIMITS))


def test_chunks_that_are_larger_than_a_piece_are_read_in_parts(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 5 * H[0].nbytes)
    h = Chunked(H, (12, 9, 1))
    tefast.stream(h, Y, **LIMITS)
    assert h.reads == [slice(0, 5), slice(5, 10), slice(10, 12)]


def test_batches():
    batches = [(H[:5], Y[:5]), (H[5:], Y[5:], None)]
    expected = tefast.transfer_entropy(H, Y)
    np.testing.assert_array_equal(tefast.stream(batches).compute(), expected)
    ranged = tefast.stream((batch for batch in batches), **LIMITS)
    np.testing.assert_array_equal(ranged.compute(), tefast.transfer_entropy(H, Y, **LIMITS))


def test_batches_of_several_sources_and_ranges_of_each_unit():
    y = rng.random((12, 9, 2))
    batches = [(H[:5], y[:5]), (H[5:], y[5:], None)]
    expected = tefast.transfer_entropy(H, y, 4, joint=True)
    np.testing.assert_array_equal(tefast.stream(batches, bins=4, joint=True).compute(), expected)
    found = tefast.find_ranges(batches, joint=True)
    assert [np.shape(limits) for limits in found.values()] == [(2, 6), (2, 2)]
    for some in (batches, iter(batches)):
        te = tefast.stream(some, bins=4, joint=True, **found)
        np.testing.assert_array_equal(te.compute(), expected)
    np.testing.assert_array_equal(tefast.stream(H, y, 4, joint=True, **found).compute(), expected)


def test_tensors_and_loaders_give_tensors():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(H), torch.from_numpy(Y))
    found = tefast.stream(torch.utils.data.DataLoader(data, batch_size=5)).compute()
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found, tefast.transfer_entropy(H, Y))
    np.testing.assert_array_equal(tefast.stream(*data.tensors, rows=5).compute(), found)


def test_symbols_need_no_first_pass():
    h = Chunked(rng.integers(0, 3, (12, 9, 2)), None)
    y = rng.integers(0, 3, (12, 9))
    told = []
    found = tefast.stream(h, y, 3, rows=6, progress=lambda *step: told.append(step))
    np.testing.assert_array_equal(found.compute(), tefast.transfer_entropy(h.array, y, 3))
    assert told == [(1, 2), (2, 2)]


def test_progress_of_both_passes():
    told = []
    tefast.stream(H, Y, rows=6, progress=lambda *step: told.append(step))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_constant_and_missing_units():
    h = H.copy()
    for unit, value in enumerate((0.0, 3.0, -3.0, np.nan)):
        h[:, :, unit] = value
    found = tefast.stream(h, Y, nan_policy="omit", rows=5)
    expected = tefast.transfer_entropy(h, Y, nan_policy="omit")
    np.testing.assert_array_equal(found.compute(), expected)


def test_ranges():
    found = tefast.find_ranges(H, Y, rows=5)
    np.testing.assert_array_equal(found["h_range"], [H.min((0, 1)), H.max((0, 1))])
    np.testing.assert_array_equal(found["y_range"], [[Y.min()], [Y.max()]])
    te = tefast.TransferEntropy(6, **found)
    te.update_from(H, Y, rows=4)
    np.testing.assert_array_equal(te.compute(), tefast.transfer_entropy(H, Y))


def test_a_failed_update_from_counts_nothing():
    bad = H.copy()
    bad[8, 2, 1] = np.inf
    te = tefast.TransferEntropy(6, **LIMITS)
    message = r"in sequences 8 to 11: h \(target\) must be finite.*h\[0, 2, 1\]"
    with pytest.raises(ValueError, match=message):
        te.update_from(bad, Y, rows=4)
    assert te.counts.sum() == 0
    te.update_from(H, Y)
    before = te.counts.copy()
    with pytest.raises(ValueError, match="in sequences 8 to 11"):
        te.update_from(bad, Y, rows=4)
    np.testing.assert_array_equal(te.counts, before)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"h": H, "y": Y[:5]}, ValueError, r"y \(source\) must have shape \(12, 9\)"),
        ({"h": H[..., None], "y": Y}, ValueError, r"h \(target\) must have shape"),
        ({"h": H, "y": Y, "lengths": [1]}, ValueError, r"lengths must have shape \(12,\)"),
        ({"h": H, "y": Y, "rows": 0}, ValueError, "rows must be a positive integer, got 0"),
        ({"h": H, "y": Y, "bins": 1}, ValueError, "bins must lie"),
        ({"h": H, "y": Y, "binning": "quantile"}, ValueError, "needs all data at once"),
        ({"h": H}, TypeError, "a target h and a source y, or an iterable of batches .*ndarray"),
        ({"h": 3}, TypeError, "a target h and a source y, or an iterable of batches .*int"),
        ({"h": [(H, Y)], "rows": 3}, ValueError, "rows goes with arrays"),
        ({"h": [(H, Y)], "lengths": [3]}, ValueError, "lengths goes with arrays"),
        ({"h": [(H, Y)], "mask": Y > 0}, ValueError, "mask goes with arrays"),
        ({"h": H, "y": Y, "mask": Y[:5] > 0}, ValueError, r"mask must have shape \(12, 9\), or"),
        ({"h": [(H,)]}, TypeError, r"batch 0 must be \(h, y\), .*lengths, mask\), got tuple of 1"),
        ({"h": [H]}, TypeError, "batch 0 must be .* got ndarray"),
        ({"h": []}, ValueError, "the iterable gave no batch"),
        ({"h": iter([(H, Y)])}, ValueError, r"in batch 0: .*pass h_range=\(low, high\)"),
        ({"h": [(H, Y), (H[..., 1:], Y)], **LIMITS}, ValueError, "in batch 1: .*have 6 units"),
    ],
)
def test_bad_input(given, error, message):
    with pytest.raises(error, match=message):
        tefast.stream(**given)


def test_shapes_are_checked_before_anything_is_read():
    h = Chunked(H, None)
    with pytest.raises(ValueError, match="must have shape"):
        larger_than_memory.stream(h, Y[:3])
    assert h.reads == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["h5py", "zarr"])
def test_memory_does_not_grow_with_the_file(kind, tmp_path):
    pytest.importorskip(kind)
    code = """
import sys
import numpy as np, tefast

kind, path = sys.argv[1:]
shape, chunks = (1250, 20, 1024), (25, 20, 1024)  # 102 MB of float32
if kind == "h5py":
    import h5py
    h = h5py.File(path, "w").create_dataset("h", shape, np.float32, chunks=chunks)
else:
    import zarr
    h = zarr.create_array(path, shape=shape, dtype=np.float32, chunks=chunks, compressors=None)
some = np.random.default_rng(0).random(chunks, dtype=np.float32)
for n in range(0, 1250, 25):
    h[n : n + 25] = some
y = np.random.default_rng(1).random(shape[:2])

def resident(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])

open("/proc/self/clear_refs", "w").write("5")  # forgets the peak so far
before = resident("VmRSS")
te = tefast.stream(h, y, 8, rows=25, threads=2)
print(resident("VmHWM") - before, te.counts.sum())
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, kind, str(tmp_path / "h")],
        capture_output=True,
        text=True,
        check=True,
    )
    peak, counted = (int(word) for word in done.stdout.split())
    assert counted == 1250 * 19 * 1024
    assert peak < 48 * 2**20
