"""Sequences of one's own: what is read of a file of arrays, and what is refused."""

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tefast.experiment import datasets
from tefast.experiment.config import PRESETS
from tefast.experiment.datasets.base import DatasetError
from tefast.experiment.datasets.sequences import Sequences, checked
from tefast.experiment.splits import group_overlap, split

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4, 3)).astype(np.float32)
LABELS = np.array([7, -2, 7, 7, -2, 7])
LENGTHS = np.array([4, 1, 3, 2, 3, 1])
GROUPS = np.array([1, 1, 2, 3, 3, 3])
SPLIT = np.array([0, 0, 1, 0, 0, 0])


def found_in(path):
    found = datasets.find_clips("arrays", path)
    reader = datasets.named("arrays").reader(PRESETS["smoke"])
    told = []
    features = reader.read(found, cache_dir=path, progress=lambda *done: told.append(done))
    assert told == [(len(found.clips), len(found.clips))]
    return found, features


def write_npz(path, arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)


def write_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            is_text = array.dtype.kind == "U"
            file.create_dataset(name, data=[str(one) for one in array] if is_text else array)


def write_safetensors(path, arrays):
    save_file({name: torch.from_numpy(array) for name, array in arrays.items()}, path)


WRITERS = [write_npz, write_hdf5, write_safetensors]


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_is_told_by_its_content(tmp_path, write):
    path = tmp_path / "mine.bin"
    given = {"x": X, "labels": LABELS, "lengths": LENGTHS, "groups": GROUPS, "notes": SPLIT}
    write(path, given)
    found, features = found_in(path)
    assert (found.name, found.root, found.classes) == ("arrays", path, ("-2", "7"))
    assert [one.name for one in found.clips] == [f"{n}/{i}" for i, n in enumerate(LABELS)]
    assert [one.label for one in found.clips] == [1, 0, 1, 1, 0, 1]
    assert [one.group for one in found.clips] == ["1", "1", "2", "3", "3", "3"]
    assert found.grouped
    assert features.lengths.tolist() == LENGTHS.tolist()
    assert features.usable.all()
    assert not features.problems
    for i, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(features.values[i, :n], X[i, :n])
        assert not features.values[i, n:].any()


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_words_are_labels_groups_and_parts(tmp_path, write):
    path = tmp_path / "mine"
    parts = np.array(["test", "train", "test", "train", "train", "train"])
    words = np.array(["gehen", "laufen", "gehen", "gehen", "laufen", "laufén"])
    write(path, {"x": X.astype(np.float64), "labels": words, "split": parts, "groups": words})
    with pytest.raises(DatasetError, match="1 that have sequences in both, the first 'gehen'"):
        found_in(path)
    write(path, {"x": X.astype(np.float64), "labels": words, "split": parts})
    found, features = found_in(path)
    assert found.classes == ("gehen", "laufen", "laufén")
    assert features.lengths is None
    assert not found.grouped
    part = split(found, "official-1", 0, path)
    assert part.test.tolist() == [0, 2]
    assert part.train.tolist() == [1, 3, 4, 5]
    assert part.missing == 0
    with pytest.raises(DatasetError, match="arrays has no official splits"):
        split(found, "official-2", 0, path)
    with pytest.raises(DatasetError, match="has no groups; choose another --split than group"):
        split(found, "group", 0, path)


def test_a_file_without_a_split_has_no_official_one(tmp_path):
    write_npz(tmp_path / "mine", {"x": X, "labels": LABELS})
    found, _ = found_in(tmp_path / "mine")
    with pytest.raises(DatasetError, match="arrays has no official splits"):
        split(found, "official-1", 0, tmp_path)


def test_tensors_that_numpy_has_no_type_for(tmp_path):
    halves = torch.from_numpy(X).bfloat16()
    save_file({"x": halves, "labels": torch.from_numpy(LABELS)}, tmp_path / "mine")
    _, features = found_in(tmp_path / "mine")
    np.testing.assert_array_equal(features.values, halves.float().numpy())


def test_groups_that_span_classes_stay_whole(tmp_path):
    count = 60
    groups = np.arange(count) % 10
    labels = RNG.permutation(count) % 3
    write_npz(tmp_path / "mine", {"x": RNG.random((count, 2, 1)), "labels": labels,
                                  "groups": groups})  # fmt: skip
    found, _ = found_in(tmp_path / "mine")
    held = set()
    for seed in range(8):
        part = split(found, "group", seed, tmp_path)
        test = set(groups[part.test].tolist())
        assert len(test) == 2
        assert not test & set(groups[part.train].tolist())
        assert len(part.train) + len(part.test) == count
        assert group_overlap(found, part.train, part.test) == 0
        held |= test
    assert len(held) > 4
    part = split(found, "random", 0, tmp_path)
    beside = np.isin(groups[part.test], groups[part.train])
    assert group_overlap(found, part.train, part.test) == beside.mean() > 0


def test_a_class_of_held_out_groups_alone_is_refused(tmp_path):
    labels = np.array([0, 0, 0, 1])
    arrays = {"x": X[:4], "labels": labels, "groups": np.array(["a", "a", "a", "b"])}
    write_npz(tmp_path / "mine", arrays)
    found, _ = found_in(tmp_path / "mine")
    with pytest.raises(DatasetError, match=r"class [01] has samples of the groups [ab] alone"):
        split(found, "group", 0, tmp_path)
    write_npz(tmp_path / "mine", {**arrays, "groups": np.zeros(4, int)})
    found, _ = found_in(tmp_path / "mine")
    with pytest.raises(DatasetError, match="one group alone; a split by groups needs two"):
        split(found, "group", 0, tmp_path)


def bad(**changes):
    return {"x": X, "labels": LABELS, **changes}


def with_nan(step):
    x = X.copy()
    x[3, step, 2] = np.nan
    x[5, 1, 0] = np.inf
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": X, "y": LABELS}, "x and labels not there; the file holds data, y"),
        ({"x": X, "y": LABELS}, ", labels not there; the file holds x, y"),
        (bad(x=X[..., 0]), r"x: expected shape \(N, T, D\), no axis empty, got \(6, 4\); one "
                           r"feature a step is x\[\.\.\., None\]"),
        (bad(x=X[:, :0]), r"no axis empty, got \(6, 0, 3\)"),
        (bad(x=X[..., None]), r"got \(6, 4, 3, 1\)$"),
        (bad(x=X.astype(complex)), "x: expected floats, got complex128"),
        (bad(x=X > 0), "x: expected floats, got bool"),
        (bad(x=with_nan(1)), "got nan at sequence 3, step 1, feature 2"),
        (bad(x=with_nan(2), lengths=np.maximum(LENGTHS, [0, 0, 0, 0, 0, 3])),
         "got inf at sequence 5, step 1, feature 0"),
        (bad(x=X.astype(np.float64) * 1e300), "finite numbers within float32 at valid steps, got"),
        (bad(labels=LABELS[:5]), r"labels: expected shape \(6,\), one for each sequence of x, got"),
        (bad(labels=LABELS[:, None]), r"labels: expected shape \(6,\).* got \(6, 1\)"),
        (bad(labels=LABELS + 0.5), "labels: expected integers or strings, got float64"),
        (bad(labels=LABELS * 0), "labels: expected two classes or more, got 0 alone"),
        (bad(groups=GROUPS[1:]), r"groups: expected shape \(6,\)"),
        (bad(groups=GROUPS / 2), "groups: expected integers or strings, got float64"),
        (bad(lengths=LENGTHS * 1.0), "lengths: expected integers, got float64"),
        (bad(lengths=LENGTHS - 1), r"lengths: expected 1\.\.4, got 0 for sequence 1"),
        (bad(lengths=LENGTHS + 1), r"lengths: expected 1\.\.4, got 5 for sequence 0"),
        (bad(lengths=LENGTHS[:3]), r"lengths: expected shape \(6,\)"),
        (bad(split=SPLIT + 1), "split: expected 0 or 'train', 1 or 'test', got '2' for sequence 2"),
        (bad(split=SPLIT * 0), "split: expected sequences for the test, got none"),
        (bad(split=SPLIT * 0 + 1), "split: expected sequences for the training, got none"),
        (bad(split=(LABELS < 0) * 1), "split: class -2 has no sequence for the training"),
        (bad(split=SPLIT, groups=GROUPS // 2), "got 1 that have sequences in both, the first '1'"),
        (bad(labels=LABELS.astype(object)), "labels is an array of objects, which are not unpick"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path, arrays, message):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    with pytest.raises(DatasetError, match=message) as raised:
        datasets.find_clips("arrays", path)
    assert str(raised.value).startswith(f"{path}: ")


def test_what_lies_beyond_the_lengths_may_be_anything(tmp_path):
    write_npz(tmp_path / "mine", bad(x=with_nan(3), lengths=LENGTHS))
    _, features = found_in(tmp_path / "mine")
    assert np.isfinite(features.values).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an npz file .*, safetensors or HDF5, got none of these"),
        (b"a,b\n1,2\n", "got none of these"),
        (b"\x93NUMPY\x01\x00", "got one array alone"),
        (b"PK\x03\x04 and no more", "mine cannot be read: "),
        (b"\x89HDF\r\n\x1a\n and no more", "mine cannot be read: "),
        (b"\x05\x00\x00\x00\x00\x00\x00\x00{nope", "mine cannot be read: "),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, message):
    path = tmp_path / "mine"
    with pytest.raises(DatasetError, match="mine: no such file"):
        datasets.find_clips("arrays", path)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        datasets.find_clips("arrays", path)


def test_a_file_that_was_cut_off(tmp_path):
    path = tmp_path / "mine"
    for write in WRITERS:
        write(path, {"x": np.zeros((50, 40, 3)), "labels": np.arange(50) % 2})
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DatasetError, match="cannot be read: "):
            datasets.find_clips("arrays", path)


def test_a_list_of_arrays_has_lengths_of_its_own():
    x = [X[0], X[1, :2], torch.from_numpy(X[2, :1])]
    classes, samples = checked(Sequences(x, ["a", "b", "a"]), "here")
    assert classes == ("a", "b")
    assert [len(sample.x) for sample in samples] == [4, 2, 1]
    nested = checked(Sequences(X.tolist(), LABELS), "here")[1]
    np.testing.assert_array_equal(nested[4].x, X[4])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Sequences([X[0], X[1]], [0, 1], lengths=[1, 1]), "lengths: expected none beside a list"),
        (Sequences([X[0], X[1, :, :2]], [0, 1]), "expected 3 features a step as .* in sequence 1"),
        (Sequences([X[0], X[1, 0]], [0, 1]), r"x\[1\]: expected shape \(T, D\), .* got \(3,\)"),
        (Sequences([], []), "expected one or more sequences, got none"),
        (Sequences([[1, [2]], [3]], [0, 1]), r"x\[0\]: expected an array, got list"),
    ],
)
def test_mistakes_in_a_list_are_named(given, message):
    with pytest.raises(DatasetError, match=f"^here: .*{message}"):
        checked(given, "here")
