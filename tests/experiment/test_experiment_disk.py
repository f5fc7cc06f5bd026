"""A full disk ends the experiment in one line, wherever it strikes, and the run goes on later."""

import csv
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tefast._support import files
from tefast.experiment import cli, training

SMALL = [
    "--preset", "smoke", "--seeds", "0", "--regularizers", "none", "--criteria", "entropy",
    "--hidden", "8", "--epochs", "2", "--groups", "2", "--clips-per-group", "1",
    "--granularity", "gate",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _checkpoints_at_every_epoch(monkeypatch, one_thread):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)


def rows(out):
    """Of both tables, without the seconds."""
    found = []
    for name in ("results.csv", "units.csv"):
        with (out / name).open(newline="") as file:
            found += [{**row, "seconds_per_clip": None} for row in csv.DictReader(file)]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert cli.main([*SMALL, "--out", str(out)]) == 0
    return out


def kind(out, folder, suffix):
    """Which kind of file it is: the top folder and what it ends in."""
    parts = Path(folder).relative_to(out).parts
    return (parts[0] if parts else ".", suffix)


def fail_once_for_each_kind(monkeypatch, out, fail):
    """Have `fail` called for the first file of every kind; returns the kinds it was called for."""
    make = files.tempfile.mkstemp
    failed = []

    def mkstemp(**options):
        found = make(**options)
        this = kind(out, options["dir"], options["suffix"])
        if this not in failed:
            failed.append(this)
            fail()
        return found

    monkeypatch.setattr(files.tempfile, "mkstemp", mkstemp)
    return failed


KINDS = {
    (".", ".json"), ("data", ".json"), ("data", ".avi"), ("data", ".txt"),
    ("features", ".entries"), ("models", ".safetensors"), ("checkpoints", ".pt"),
    ("models", ".json"), ("readings", ".json"), ("scores", ".safetensors"),
    ("sweep", ".csv"), ("sweep", ".json"), (".", ".csv"),
    (".", ".png"), (".", ".html"),
}  # fmt: skip


def test_a_full_disk_at_every_kind_of_file(whole, disk, monkeypatch, capsys):
    out = disk.path / "out"
    failed = fail_once_for_each_kind(monkeypatch, out, disk.fill)
    for _ in range(2 * len(KINDS)):
        before = len(failed)
        status = cli.main([*SMALL, "--out", str(out)])
        error = capsys.readouterr().err
        if status == 0:
            break
        assert status == 2
        assert len(failed) == before + 1
        assert error.startswith(f"tefast.experiment: error: cannot write {out}")
        assert "No space left on device" in error
        assert error.endswith("the same command goes on from here\n")
        assert error.count("\n") == 1
        assert not list(out.rglob(".part-*"))
        disk.free()
    assert status == 0
    assert set(failed) == KINDS
    assert rows(out) == rows(whole)
    for name in ("figure2.png", "figure3.png", "figure4.png"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not list(out.rglob(".part-*"))


def test_a_disk_that_is_read_only(whole, disk, capsys):
    disk.mount_again("ro")
    assert cli.main([*SMALL, "--out", str(disk.path / "out")]) == 2
    error = capsys.readouterr().err
    assert "cannot write" in error
    assert "Read-only file system" in error
    assert error.count("\n") == 1


@contextmanager
def files_of_at_most(size):
    """No file may grow beyond so many bytes, in this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_limits_on_the_size_of_files(whole, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [*SMALL, "--out", str(out)]
    for limit, file in ((100, "run.json"), (5_000, ".avi"), (40_000, "features")):
        with files_of_at_most(limit):
            assert cli.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"tefast.experiment: error: cannot write {out}")
        assert file in error
        assert ": File too large; once it can be written, the same command goes on" in error
        assert error.count("\n") == 1
        assert not list(out.rglob(".part-*"))
    assert cli.main(arguments) == 0
    assert rows(out) == rows(whole)


def test_a_log_on_a_full_disk(tmp_path):
    command = [sys.executable, "-m", "tefast.experiment", *SMALL, "--out", str(tmp_path / "out")]
    with open("/dev/full", "w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
