"""The whole experiment at smoke size: every stage, killed in each of them, and resumed."""

import csv
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from tefast.experiment import cli, training
from tefast.experiment.config import ORDERS, PRESETS
from tefast.nn import load

# A stage is under way once the first file of its kind is there.
STAGES = {
    "clips": "data/**/*.avi",
    "features": "features/**/*.entries",
    "training": "models/none-*.safetensors",
    "scores": "scores/*.safetensors",
    "sweep": "sweep/*.csv",
    "report": "results.csv",
}


def command(out):
    return [sys.executable, "-m", "tefast.experiment", "--preset", "smoke", "--out", str(out)]


def results(out, name="results.csv"):
    """All of results.csv but the seconds, which no two runs share."""
    with (out / name).open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name != "seconds_per_clip"}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    subprocess.run(command(out), check=True, capture_output=True)
    return out


@pytest.mark.slow
def test_killed_in_every_stage_it_ends_in_the_same_numbers(finished, tmp_path):
    out = tmp_path / "out"
    for stage, pattern in STAGES.items():
        process = subprocess.Popen(
            command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while not any(out.glob(pattern)):
            assert process.poll() is None, f"ended before {stage}"
            assert time.monotonic() < deadline, f"never came to {stage}"
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"was over before it was killed in {stage}"
    done = subprocess.run([*command(out), "--resume"], check=True, capture_output=True, text=True)
    assert "report: " in done.stdout
    assert results(out) == results(finished)
    assert not list(out.rglob(".part-*"))


def test_interrupted_it_says_how_to_go_on(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        # Where these tests run in the background of a shell, they were told to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not any(out.glob(STAGES["clips"])):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert error.decode().strip() == "interrupted; the same command goes on from here"


def test_every_row_is_there(finished):
    config = PRESETS["smoke"]
    rows = results(finished)
    ordered = itertools.product(("transfer_entropy", "entropy", "l1"), ORDERS, ["0"])
    drawn = [("random", "none", str(draw)) for draw in range(config.random_orders)]
    models = [(name, "none") for name in config.regularizers] + [("none", "reconstruction")]
    expected = {
        (str(seed), regularizer, *curve, recovery, str(fraction))
        for curve in [*ordered, *drawn]
        for seed in config.seeds
        for regularizer, recovery in models
        for fraction in config.removed
    }
    names = ("seed", "regularizer", "criterion", "order", "draw", "recovery", "removed_fraction")
    assert {tuple(row[name] for name in names) for row in rows} == expected
    assert len(rows) == len(expected)
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert all(0 <= float(row["calibration_error"]) <= 1 for row in rows)


def test_parameters_are_those_of_the_smaller_network(finished):
    config = PRESETS["smoke"]
    classes = len(json.loads((finished / "summary.json").read_text())["dataset"]["classes"])
    for row in results(finished):
        units = config.hidden - int(row["removed_units"])
        lstm = 4 * units * (512 + units + 2)
        head = (units + 1) * config.fc + (config.fc + 1) * classes
        assert int(row["parameters"]) == lstm + head


def test_models_load_and_give_the_accuracy_of_the_first_row(finished):
    model = load(finished / "models" / "l2-seed1.safetensors")
    assert model.sizes["hidden_size"] == PRESETS["smoke"].hidden
    whole = {
        (row["regularizer"], row["seed"]): row["accuracy"]
        for row in results(finished)
        if row["removed_units"] == "0"
    }
    assert len(whole) == 6  # one for each model: all curves start at the same point


def test_labels_and_splits_may_not_change_under_a_run(finished, tmp_path, capsys):
    root, out = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(finished / "data", root)
    small = ["--seeds", "0", "--regularizers", "none", "--hidden", "8", "--epochs", "1"]
    data = ["--dataset", "ucf101", "--data-root", str(root), "--split", "official-1"]
    arguments = ["--preset", "smoke", "--out", str(out), *data, *small]
    assert cli.main(arguments) == 0
    lists = root / "ucfTrainTestlist"
    train, test = lists / "trainlist01.txt", lists / "testlist01.txt"
    train_text, test_text = train.read_text(), test.read_text()
    train.write_text(test_text)
    test.write_text(train_text)
    assert cli.main(arguments) == 2
    assert "the training and test clips of seed 0 have changed" in capsys.readouterr().err
    train.write_text(train_text)
    test.write_text(test_text)
    clip = sorted((root / "UCF-101" / "Grow").iterdir())[-1]
    clip.rename(root / "UCF-101" / "MoveDown" / "v_A_g01_c01.avi")
    assert cli.main(arguments) == 2
    assert "the clips have changed since the run" in capsys.readouterr().err


def test_training_goes_on_from_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    config = PRESETS["smoke"]
    x = torch.randn(20, 6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 3
    material = training.Material(x, labels, x, labels)

    def train(name, progress):
        paths = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.pt"
        return training.train_model(config, material, 3, "l2", 0.1, 1, *paths, progress)

    def killed(done, _):
        if done == 2:
            raise KeyboardInterrupt

    whole = train("whole", lambda done, of: None)
    with pytest.raises(KeyboardInterrupt):
        train("part", killed)
    assert (tmp_path / "part.pt").exists()
    told = []
    part = train("part", lambda done, of: told.append((done, of)))
    assert told == [(3, 4), (4, 4)]
    assert not (tmp_path / "part.pt").exists()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, part.state_dict()[name])
    (tmp_path / "bad.pt").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"bad.pt cannot be read .*; delete it to train anew"):
        train("bad", killed)


def test_everything_promised_is_there(finished):
    names = ("results.csv", "classes.csv", "summary.json", "figure2.png", "figure3.png")
    for name in (*names, "report.html"):
        assert (finished / name).stat().st_size > 0
    assert len(list((finished / "models").glob("*-seed?.safetensors"))) == 6 + 2
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["config"]["preset"] == "smoke"
    assert (finished / "figure2.png").read_bytes().startswith(b"\x89PNG")


def test_a_finished_run_is_taken_up_and_extended(finished, tmp_path, capsys):
    before = results(finished)
    times = {path: path.stat().st_mtime_ns for path in (finished / "models").glob("none-*")}
    arguments = ["--preset", "smoke", "--out", str(finished), "--removed", "0", "0.25", "0.5"]
    assert cli.main([*arguments, "--criteria", "l1", "--seeds", "0"]) == 0
    rows = results(finished)
    assert len(rows) == (3 + 1) * 2 * 3  # regularizers, reconstruction, orders, fractions
    assert [row for row in rows if row["removed_fraction"] != "0.25"] == [
        row
        for row in before
        if row["criterion"] == "l1" and row["seed"] == "0" and row["removed_fraction"] != "0.9"
    ]
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert cli.main(["--preset", "smoke", "--out", str(finished)]) == 0  # and back
    assert results(finished) == before
    capsys.readouterr()


def test_gates_are_swept_beside_the_units_of_a_finished_run(finished, tmp_path, capsys):
    out, config = tmp_path / "out", PRESETS["smoke"]
    shutil.copytree(finished, out, ignore=shutil.ignore_patterns(".lock"))
    units = [row for row in results(finished) if row["regularizer"] == "none"]
    before = [row for row in units if row["recovery"] == "none"]
    arguments = ["--preset", "smoke", "--out", str(out), "--regularizers", "none"]
    assert cli.main([*arguments, "--granularity", "gate"]) == 0
    assert results(out, "units.csv") == units
    gates = results(out)
    names = ("seed", "criterion", "order", "draw", "recovery", "removed_fraction")
    assert [[row[name] for name in names] for row in gates] == [
        [row[name] for name in names] for row in before
    ]
    for row, whole in zip(gates, before, strict=True):
        removed, fraction = int(row["removed_units"]), float(row["removed_fraction"])
        assert removed == math.floor(fraction * 4 * config.hidden + 0.5)
        if not removed:
            assert row == whole
            full = int(row["parameters"])
        assert int(row["parameters"]) == full - removed * (512 + config.hidden + 2)
    summary = json.loads((out / "summary.json").read_text())
    assert len(summary["gate_findings"]) == 2
    report = (out / "report.html").read_text()
    assert summary["gate_findings"][0].split(" (")[0] in report
    assert (out / "figure4.png").stat().st_size > 0
    figures = [(where / "figure2.png").read_bytes() for where in (out, finished)]
    assert figures[0] == figures[1]
    times = {path: path.stat().st_mtime_ns for path in (out / "sweep").iterdir()}
    assert cli.main(arguments) == 0  # and back, without anything stale
    assert results(out) == units
    assert not (out / "units.csv").exists()
    assert not (out / "figure4.png").exists()
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert "gate_findings" not in json.loads((out / "summary.json").read_text())
    capsys.readouterr()


@pytest.fixture
def broken(finished, tmp_path):
    """A copy of the rendered clips in which one is cut off, one empty, one no video."""
    root = tmp_path / "clips"
    shutil.copytree(finished / "data", root)
    cut, empty, text = sorted(root.rglob("*.avi"))[:3]
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 4 // 5])  # headers are half of it
    empty.write_bytes(b"")
    text.write_text("no clip")
    return root, cut.name, empty.name, text.name


def test_broken_clips_are_named_and_counted(broken, tmp_path, capfd):
    root, cut, empty, text = broken
    out = tmp_path / "out"
    arguments = ["--dataset", "ucf101", "--data-root", str(root), "--split", "group"]
    arguments += ["--allow-unreadable"]
    small = ["--seeds", "0", "--regularizers", "none", "--hidden", "8", "--epochs", "1"]
    assert cli.main(["--preset", "smoke", "--out", str(out), *arguments, *small]) == 0
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    problems = json.loads((out / "summary.json").read_text())["problems"]
    kinds = {problem["name"].rsplit("/")[-1]: problem["kind"] for problem in problems}
    assert kinds == {cut: "damaged", empty: "unreadable", text: "unreadable"}
    report = (out / "report.html").read_text()
    assert all(name in report and name in captured.out for name in kinds)
