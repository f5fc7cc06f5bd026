"""A tiny run with all that can be compared, stopped in its stages, extended and resumed."""

import csv
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tefast.experiment import cli, scoring
from tefast.experiment.class_results import read_class_rows
from tefast.experiment.config import PRESETS, RECOVERIES, REGULARIZERS
from tefast.experiment.penalties import GRIDS
from tefast.experiment.results import read_rows
from tefast.nn import load, score

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {
    "--hidden": "12", "--fc": "6", "--epochs": "2", "--groups": "3", "--clips-per-group": "1",
    "--frames": "4", "--seeds": "0 1", "--regularizers": "l1 none l2 group",
    "--l1-weight": "auto", "--l2-weight": "auto", "--group-weight": "auto",
    "--criteria": "transfer_entropy l1 group spectral redundancy taylor random",
    "--removed": "0 0.25 0.5 0.75", "--random-orders": "4",
    "--recoveries": "none reconstruction fine_tuning", "--tuned": "0.5 0.75",
}  # fmt: skip
ORDERED = SETTINGS["--criteria"].split()[:-1]


def arguments(out, *more, **changed):
    settings = {**SETTINGS, **{f"--{name}": value for name, value in changed.items()}}
    given = [word for flag, value in settings.items() for word in (flag, *value.split())]
    return ["--preset", "smoke", "--out", str(out), *given, "--from-scratch", *more]


def numbers(out):
    """All of the tables but the seconds, and the choices of penalties."""
    found = [json.loads((out / "summary.json").read_text())["chosen_weights"]]
    for name in ("results.csv", "classes.csv"):
        with (out / name).open(newline="") as file:
            found += [{**row, "seconds_per_clip": None} for row in csv.DictReader(file)]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory, one_thread):
    out = tmp_path_factory.mktemp("everything") / "out"
    assert cli.main(arguments(out)) == 0
    return out


def test_every_row_is_there(whole):
    rows = read_rows(whole / "results.csv")
    orders = [*itertools.product(ORDERED, ("descending", "ascending"), (0,))]
    draws = [("random", "none", draw) for draw in range(4)]
    fractions, tuned = (0.0, 0.25, 0.5, 0.75), (0.0, 0.5, 0.75)
    expected = [(r, *c, "none", f) for r in REGULARIZERS for c in orders + draws for f in fractions]
    expected += [("none", *c, "reconstruction", f) for c in orders + draws for f in fractions]
    expected += [("none", *c, "fine_tuning", f) for c in orders + draws[:3] for f in tuned]
    expected += [("none", "from_scratch", "none", 0, "none", f) for f in tuned]
    found = [
        (r.seed, r.regularizer, r.criterion, r.order, r.draw, r.recovery, r.removed_fraction)
        for r in rows
    ]
    assert sorted(found) == sorted((seed, *one) for seed in (0, 1) for one in expected)
    sizes = {(row.removed_units, row.parameters) for row in rows}
    assert len(sizes) == 4  # small networks are as large as what removal leaves
    for seed in (0, 1):
        for name in ("none", "l1"):
            mine = [r for r in rows if (r.seed, r.regularizer) == (seed, name)]
            first = {(r.accuracy, r.calibration_error, r.seconds_per_clip) for r in mine
                     if r.removed_fraction == 0}  # fmt: skip
            assert len(first) == 1


def test_small_networks_are_kept_as_models(whole):
    for seed, units in itertools.product((0, 1), (6, 3)):
        path = whole / "models" / f"none-seed{seed}-{units}units.safetensors"
        assert load(path).sizes["hidden_size"] == units
    assert len(list((whole / "models").glob("*.safetensors"))) == 2 * (4 + 2 + 1)


def test_the_chosen_penalties_are_those_of_the_summary(whole):
    chosen = json.loads((whole / "summary.json").read_text())["chosen_weights"]
    assert [(one["seed"], one["regularizer"]) for one in chosen] == [
        (seed, name) for seed in (0, 1) for name in ("l1", "l2", "group")
    ]
    for one in chosen:
        assert [figure["weight"] for figure in one["grid"]] == list(GRIDS[one["regularizer"]])
        best = max(one["grid"], key=lambda f: (f["accuracy"], -f["cross_entropy"]))
        assert one["weight"] == best["weight"]
        assert all(set(f) == {"weight", "accuracy", "cross_entropy"} for f in one["grid"])


def test_classes_are_those_of_the_same_networks(whole):
    rows = read_rows(whole / "results.csv")
    by_key: dict[tuple, list] = {}
    for one in read_class_rows(whole / "classes.csv"):
        key = (one.seed, one.regularizer, one.criterion, one.order, one.draw, one.recovery)
        by_key.setdefault((*key, one.removed_fraction), []).append(one)
    names = json.loads((whole / "summary.json").read_text())["dataset"]["classes"]
    reported = [row for row in rows if row.removed_fraction in (0.0, 0.5)]
    assert len(by_key) == len(reported)  # 0.5 is the nearest to 0.5 and to 0.6
    for row in reported:
        key = (row.seed, row.regularizer, row.criterion, row.order, row.draw, row.recovery)
        mine = by_key[*key, row.removed_fraction]
        assert [one.class_name for one in mine] == names
        assert sum(one.right for one in mine) / sum(one.total for one in mine) == row.accuracy


def test_a_criterion_added_later_is_scored_and_nothing_else_again(
    whole, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns(".lock"))
    (tmp_path / "added_later.py").write_text(
        "def third(context):\n    return next(iter(context.outputs()))[0].flatten(0, 1).std(0)\n"
    )
    monkeypatch.chdir(tmp_path)
    taken = []

    def recorded(model, batches, criterion, **how):
        if criterion != "random":
            taken.append(getattr(criterion, "__name__", criterion))
        return score(model, batches, criterion, **how)

    monkeypatch.setattr(scoring, "score", recorded)
    files = [path for path in out.glob("*/*") if not path.name.startswith("scaling")]
    kept = {path: path.stat().st_mtime_ns for path in files}
    names = f"{SETTINGS['--criteria']} entropy added_later:third"
    assert cli.main(arguments(out, criteria=names)) == 0
    assert sorted(taken, key=str) == sorted([*["third"] * 8, *[["entropy"]] * 8], key=str)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    rows = read_rows(out / "results.csv")
    before = read_rows(whole / "results.csv")
    assert [row for row in rows if row.criterion not in ("entropy", "added_later:third")] == before
    for name in ("entropy", "added_later:third"):
        mine = [row for row in rows if row.criterion == name]
        assert len(mine) == sum(row.criterion == "l1" for row in before)
    text = (tmp_path / "added_later.py").read_text().replace("std", "mean")
    (tmp_path / "added_later.py").write_text(text)
    monkeypatch.delitem(sys.modules, "added_later")
    assert cli.main(arguments(out, criteria=names)) == 2
    error = capsys.readouterr().err
    assert "the lines of the criterion added_later:third have changed since the run" in error


def test_a_criterion_that_cannot_be_had_is_refused_before_anything_is_written(tmp_path, capsys):
    for name in ("no_such_module_here:f", "magic", "math:pi"):
        assert cli.main(arguments(tmp_path / "out", criteria=f"l1 {name}")) == 2
        assert name.partition(":")[0] in capsys.readouterr().err
    assert cli.main(arguments(tmp_path / "out", "--granularity", "gate")) == 2
    refused = "group, spectral, redundancy, taylor score whole units alone"
    assert refused in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# A stage is under way once the first file of its kind is there.
STAGES = (
    "penalties/l1-seed0.json",
    "penalties/group-seed0.json",
    "models/none-seed0-6units.safetensors",
    "scores/none-seed1-spectral.safetensors",
    "sweep/none-seed0-*-reconstruction.csv",
    "sweep/none-seed0-*-fine_tuning.csv",
    "sweep/none-seed1-*-fine_tuning.csv",
)


@pytest.mark.slow
def test_killed_in_its_stages_it_ends_in_the_same_numbers(whole, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tefast.experiment", *arguments(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for pattern in STAGES:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        deadline = time.monotonic() + 240
        while not any(out.glob(pattern)):
            assert process.poll() is None, f"ended before {pattern}"
            assert time.monotonic() < deadline, f"never came to {pattern}"
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"was over before it was killed at {pattern}"
    subprocess.run([*command, "--resume"], check=True, capture_output=True, env=environment)
    assert numbers(out) == numbers(whole)
    assert not list(out.rglob(".part-*"))


def test_the_preset_complete_asks_for_all_of_it():
    complete = PRESETS["complete"]
    assert set(ORDERED) - {"group", "l2"} <= set(complete.criteria)
    assert "random" in complete.criteria
    assert set(complete.recoveries) == set(RECOVERIES)
    assert complete.from_scratch
    assert complete.readings
    assert len(complete.seeds) == 5
