"""A run in several processes."""

import csv
import shutil

import pytest
import torch
from torchrun import torchrun

from tefast.experiment import cli
from tefast.experiment.processes import joined
from tefast.nn import load

SCRIPT = """
import sys
from pathlib import Path
from tefast.experiment.processes import joined

with joined() as processes:
    assert processes.size == 3
    parts = list(processes.share(range(7)))
    Path(sys.argv[1], str(processes.rank)).write_text(repr(parts))
    processes.wait()
    made = processes.first(lambda: sorted(path.name for path in Path(sys.argv[1]).iterdir()))
    assert made == ["0", "1", "2"], made

    def refuse():
        raise ValueError(f"refused by {processes.rank}")

    try:
        processes.first(refuse)
    except ValueError as error:
        assert str(error) == "refused by 0"
    else:
        raise AssertionError(processes.rank)
"""


def test_one_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as processes:
        assert (processes.rank, processes.size, processes.is_first) == (0, 1, True)
        assert list(processes.share(range(3))) == [0, 1, 2]
        assert processes.first(lambda: "made") == "made"
        processes.wait()
        with pytest.raises(ValueError, match="refused"):
            processes.first(lambda: (_ for _ in ()).throw(ValueError("refused")))


def test_the_first_process_makes_things_for_all(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    done = torchrun(tmp_path / "run.py", 3, out)
    assert done.returncode == 0, done.stderr
    assert [(out / str(rank)).read_text() for rank in range(3)] == ["[0, 3, 6]", "[1, 4]", "[2, 5]"]


SMALL = [
    "--preset", "smoke", "--seeds", "0", "--regularizers", "none", "l1", "--criteria",
    "transfer_entropy", "taylor", "random", "--hidden", "12", "--epochs", "2",
    "--recoveries", "none", "reconstruction", "fine_tuning", "--from-scratch",
    "--l1-weight", "auto",
]  # fmt: skip


def rows(out, name="results.csv"):
    with (out / name).open(newline="") as file:
        return [{**row, "seconds_per_clip": None} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the others: sums of floats depend on it
    try:
        assert cli.main([*SMALL, "--out", str(out)]) == 0
    finally:
        torch.set_num_threads(before)
    return out


def test_two_processes_score_and_measure_the_same_models_as_one(alone, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(alone, out)
    scores = {path.name: path.read_bytes() for path in (out / "scores").iterdir()}
    for made in ("scores", "sweep"):
        shutil.rmtree(out / made)
    done = torchrun("tefast.experiment", 2, *SMALL, "--out", out, module=True)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in (out / "scores").iterdir()} == scores
    for name in ("results.csv", "classes.csv"):
        assert rows(out, name) == rows(alone, name)
    assert done.stdout.count("report.html") == 1


def test_two_processes_train_together(alone, tmp_path):
    out = tmp_path / "out"
    done = torchrun("tefast.experiment", 2, *SMALL, "--out", out, module=True)
    assert done.returncode == 0, done.stderr
    for name in ("none-seed0", "l1-seed0", "none-seed0-6units"):
        ours, theirs = (load(run / "models" / f"{name}.safetensors") for run in (out, alone))
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    keys = ("criterion", "order", "draw", "recovery", "removed_fraction", "removed_units")
    found, expected = ([[row[key] for key in keys] for row in rows(run)] for run in (out, alone))
    assert found == expected


def test_a_mistake_is_told_once(tmp_path):
    bad = ["--preset", "smoke", "--criteria", "no_such", "--out", tmp_path / "out"]
    done = torchrun("tefast.experiment", 2, *bad, module=True)
    assert done.returncode != 0
    assert done.stderr.count("tefast.experiment: error: ") == 1
    assert not (tmp_path / "out").exists()
