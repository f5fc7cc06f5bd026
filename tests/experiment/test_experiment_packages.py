"""Data sets that lie in packages: what is read of their files, and how to get what is missing."""

import os
import pickle
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tefast.experiment import cli, datasets
from tefast.experiment.config import PRESETS, ConfigError, for_dataset
from tefast.experiment.datasets.base import REGISTRY, DatasetError
from tefast.experiment.datasets.exercises import STEPS, windows
from tefast.experiment.splits import group_overlap, split

NOWHERE = Path("nowhere")
RNG = np.random.default_rng(0)


def read(name):
    found = datasets.find_clips(name, NOWHERE)
    reader = datasets.named(name).reader(PRESETS["smoke"])
    return found, reader.read(found, cache_dir=NOWHERE, progress=lambda *done: None)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder that is looked through for packages before all others."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("aeon", "seglearn"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / name).mkdir()
        # Nobody needs to import it, and its dependencies may not be there.
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not to be imported')")
    return tmp_path


def test_digits_are_those_of_scikit_learn_a_row_a_step():
    from sklearn.datasets import load_digits

    found, features = read("digits")
    given = load_digits()
    np.testing.assert_array_equal(features.values, given.images)
    assert features.lengths is None
    assert [found.classes[one.label] for one in found.clips] == [str(n) for n in given.target]
    with pytest.raises(DatasetError, match="has no groups; choose another --split than group"):
        split(found, "group", 0, NOWHERE)
    with pytest.raises(DatasetError, match="digits has no official splits"):
        split(found, "official-1", 0, NOWHERE)


TS = """#A comment
@problemName JapaneseVowels
@classLabel true 1 2
@data
"""


def write_ts(packages, part, sequences):
    lines = [
        ":".join([*(",".join(f"{value:.6f}" for value in channel) for channel in x.T), label])
        for x, label in sequences
    ]
    path = packages / "aeon" / "datasets" / "data" / "JapaneseVowels" / f"JapaneseVowels_{part}.ts"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TS + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_vowels_are_read_from_the_files_of_the_package(packages):
    given = [(RNG.normal(size=(n, 12)), label) for n, label in [(7, "1"), (29, "2"), (11, "1")]]
    write_ts(packages, "TRAIN", given[:2])
    path = write_ts(packages, "TEST", given[2:])
    found, features = read("vowels")
    assert "aeon" not in sys.modules
    assert found.root == path.parent
    assert found.classes == ("1", "2")
    assert [one.name for one in found.clips] == ["1/0", "2/1", "1/2"]
    assert features.lengths.tolist() == [7, 29, 11]
    assert features.values.shape == (3, 29, 12)
    for ours, (x, _) in zip(features.values, given, strict=True):
        np.testing.assert_allclose(ours[: len(x)], x, atol=1e-6)
        assert not ours[len(x) :].any()
    part = split(found, "official-1", 0, NOWHERE)
    assert (part.train.tolist(), part.test.tolist()) == ([0, 1], [2])
    path.write_text(TS + "1,2:3,4:1\n1,2:3:2\n")
    with pytest.raises(DatasetError, match=r"TEST\.ts, line 6: expected channels of as many numb"):
        datasets.find_clips("vowels", NOWHERE)
    path.unlink()
    message = r"does not hold it; version 1\.6\.0 does: .* --no-deps aeon==1\.6\.0$"
    with pytest.raises(DatasetError, match=message):
        datasets.find_clips("vowels", NOWHERE)


def test_a_package_that_is_not_there_is_named_with_the_command_that_installs_it(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr("tefast.experiment.datasets.packages.find_spec", lambda name: None)
    for name, package in {"vowels": "aeon==1.6.0", "exercises": "seglearn==1.2.5"}.items():
        assert cli.main(["--dataset", name, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert error.endswith(f"the data: python -m pip install --no-deps {package}\n")
        assert not (tmp_path / "out").exists()


def write_recordings(packages, found, protocol=2):
    """As NumPy writes an array that holds an object, with Python 2's newest pickles."""
    path = packages / "seglearn" / "data" / "watch_dataset.npy"
    path.parent.mkdir(exist_ok=True)
    held = np.empty((), object)
    held[()] = found
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        pickle.dump(held, file, protocol=protocol)
    return path


def recordings(lengths, subjects):
    return {
        "X": [RNG.normal(size=(n, 6)) for n in lengths],
        "y": np.arange(len(lengths)) % 2,
        "y_labels": ["PEN", "ABD"],
        "subject": np.array(subjects),
        "side": np.zeros(len(lengths)),
    }


@pytest.mark.parametrize("protocol", [2, 4])
def test_exercises_are_windows_of_the_recordings(packages, protocol):
    given = recordings([450, 199, 200, 601], [1, 9, 10, 2])
    path = write_recordings(packages, given, protocol)
    found, features = read("exercises")
    assert "seglearn" not in sys.modules
    assert found.root == path
    assert found.classes == ("ABD", "PEN")
    assert [one.group for one in found.clips] == ["1", "1", "10", "2", "2", "2"]
    assert [found.classes[one.label] for one in found.clips] == ["PEN"] * 3 + ["ABD"] * 3
    expected = [
        [x[4 * (50 * w + t) : 4 * (50 * w + t) + 4].mean(0) for t in range(50)]
        for x in given["X"]
        for w in range(len(x) // 200)
    ]
    np.testing.assert_allclose(features.values, expected, rtol=1e-5, atol=1e-6)
    assert windows(given["X"][1]) == []
    part = split(found, "official-1", 0, NOWHERE)
    assert part.test.tolist() == [2]
    overlap = group_overlap(found, part.train, part.test)
    assert overlap == 0


def test_a_file_of_recordings_runs_no_code(packages):
    done = packages / "done"

    class Bad:
        def __reduce__(self):
            return (os.mkdir, (str(done),))

    path = write_recordings(packages, Bad())
    with pytest.raises(
        DatasetError, match=r"npy cannot be read: expected arrays alone, got \w+\.mk"
    ):
        datasets.find_clips("exercises", NOWHERE)
    assert not done.exists()
    for found, message in [
        ({"X": [], "y": []}, "expected X, y, y_labels, subject, y_labels is not there"),
        ([1, 2], "expected X, y, y_labels, subject, X is not there"),
        (7, "cannot be read: "),
    ]:
        write_recordings(packages, found)
        with pytest.raises(DatasetError, match=message):
            datasets.find_clips("exercises", NOWHERE)
    whole = write_recordings(packages, recordings([450, 400], [1, 2])).read_bytes()
    for cut in (0, 5, 300, len(whole) - 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(DatasetError, match="cannot be read: "):
            datasets.find_clips("exercises", NOWHERE)


@pytest.mark.skipif(find_spec("aeon") is None, reason="the package aeon is not installed")
def test_the_vowels_themselves():
    found, features = read("vowels")
    assert features.values.shape == (640, 29, 12)
    assert (features.lengths.min(), features.lengths.max()) == (7, 29)
    assert found.classes == tuple("123456789")
    part = split(found, "official-1", 0, NOWHERE)
    assert (len(part.train), len(part.test)) == (270, 370)
    labels = np.array([one.label for one in found.clips])
    assert np.bincount(labels[part.train]).tolist() == [30] * 9
    assert np.bincount(labels[part.test]).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert features.values[0, 0, 0] == np.float32(1.860936)


@pytest.mark.skipif(find_spec("seglearn") is None, reason="the package seglearn is not installed")
def test_the_exercises_themselves():
    found, features = read("exercises")
    assert features.values.shape == (1149, STEPS, 6)
    assert found.classes == ("ABD", "ER", "FEL", "IR", "PEN", "ROW", "TRAP")
    assert {one.group for one in found.clips} == {str(n) for n in range(1, 11)}
    part = split(found, "official-1", 0, NOWHERE)
    assert {found.clips[i].group for i in part.test} == {"9", "10"}
    for seed in range(3):
        part = split(found, "group", seed, NOWHERE)
        held = {found.clips[i].group for i in part.test}
        assert len(held) == 2
        assert not held & {found.clips[i].group for i in part.train}


@pytest.mark.parametrize("name", ["digits", "vowels", "exercises"])
def test_settings_that_suit_a_data_set_stand_between_preset_and_options(name):
    own = REGISTRY[name].settings

    def configured(*arguments):
        return cli.configure(cli.parser().parse_args(["--dataset", name, *arguments]))

    config = configured()
    assert {setting: getattr(config, setting) for setting in own} == own
    assert configured("--hidden", "33", "--split", "random").hidden == 33
    smoke, preset = configured("--preset", "smoke"), PRESETS["smoke"]
    assert (smoke.hidden, smoke.fc, smoke.epochs) == (preset.hidden, preset.fc, preset.epochs)
    assert smoke.split == own.get("split", "random")
    assert smoke.batch_size == own["batch_size"]
    assert for_dataset(PRESETS["default"], "rendered") == PRESETS["default"]


def test_files_are_for_the_data_set_of_arrays_alone():
    def configured(*arguments):
        return cli.configure(cli.parser().parse_args(arguments))

    assert configured("--dataset", "arrays", "--data", "mine.npz").data == "mine.npz"
    with pytest.raises(ConfigError, match="--dataset arrays needs --data FILE"):
        configured("--dataset", "arrays")
    with pytest.raises(ConfigError, match="--data FILE is for --dataset arrays, not for digits"):
        configured("--dataset", "digits", "--data", "mine.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "mine.npz"], "did you mean --dataset arrays --data mine.npz?"),
        (["--dataset", "my data.h5"], "did you mean --dataset arrays --data 'my data.h5'?"),
        (
            ["--dataset", "kinetics"],
            "expected one of rendered, ucf101, hmdb51, digits, vowels, exe",
        ),
        (["--num-seeds", "0"], "expected a number from 1 on, got '0'"),
        (["--num-seeds", "two"], "expected a number from 1 on, got 'two'"),
        (["--seeds", "1", "--num-seeds", "2"], "not allowed with argument --seeds"),
    ],
)
def test_options_that_cannot_be_run(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.parser().parse_args(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_seeds_are_named_or_counted():
    def seeds(*arguments):
        return cli.configure(cli.parser().parse_args(arguments)).seeds

    assert seeds("--seeds", "5") == (5,)
    assert seeds("--num-seeds", "5") == (0, 1, 2, 3, 4)
    assert seeds() == PRESETS["default"].seeds
