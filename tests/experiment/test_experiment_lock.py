"""One run at a time in a folder, on file systems with locks and without."""

import errno
import json
import os
import subprocess
import sys

import pytest

from tefast.experiment import lock
from tefast.experiment.config import ConfigError
from tefast.experiment.lock import locked


@pytest.fixture(params=["ENOLCK", "ENOTSUP", "ENOSYS"])
def without_locks(request, monkeypatch):
    """A file system such as NFS without its lock server."""

    def flock(file, how):
        number = getattr(errno, request.param)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", flock)


def owner(folder):
    return json.loads((folder / ".owner").read_text())


def left_behind(folder, **changes):
    """What a run leaves whose process was killed; it may be changed."""
    told = subprocess.run(
        [sys.executable, "-c", "import json; from tefast.experiment import lock; "
         "print(json.dumps(lock._self()))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (folder / ".owner").write_text(json.dumps({**json.loads(told.stdout), **changes}))


def test_the_second_run_is_refused_and_a_later_one_is_not(tmp_path):
    with (
        locked(tmp_path / "out"),
        pytest.raises(ConfigError, match="another run is at work in"),
        locked(tmp_path / "out"),
    ):
        pass
    with locked(tmp_path / "out"):
        pass


@pytest.mark.usefixtures("without_locks")
def test_without_locks_too(tmp_path):
    with locked(tmp_path):
        assert owner(tmp_path)["process"] == os.getpid()
        message = (
            rf"another run is at work in .*: process {os.getpid()} on .*; if it is not, delete"
        )
        with pytest.raises(ConfigError, match=message), locked(tmp_path):
            pass
        assert (tmp_path / ".owner").exists()
    assert not (tmp_path / ".owner").exists()
    with locked(tmp_path):
        pass


@pytest.mark.usefixtures("without_locks")
def test_the_file_of_a_process_that_is_gone_is_taken_over(tmp_path):
    left_behind(tmp_path)
    with locked(tmp_path):
        assert owner(tmp_path)["process"] == os.getpid()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.usefixtures("without_locks")
@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_another_process_with_its_number_is_not_taken_for_it(tmp_path):
    left_behind(tmp_path, process=os.getpid())
    with locked(tmp_path):
        pass


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"process": None}])
def test_a_process_that_may_be_alive_is_left_alone(tmp_path, changes):
    left_behind(tmp_path, **changes)
    before = owner(tmp_path)
    with pytest.raises(ConfigError, match="another run is at work in"), locked(tmp_path):
        pass
    assert owner(tmp_path) == before


@pytest.mark.usefixtures("without_locks")
def test_a_file_of_no_run_names_itself(tmp_path):
    (tmp_path / ".owner").write_text("")
    message = "process None on None; if it is not, delete .*.owner"
    with pytest.raises(ConfigError, match=message), locked(tmp_path):
        pass


@pytest.mark.usefixtures("without_locks")
def test_of_two_that_take_over_one_gets_it(tmp_path, monkeypatch):
    """The other comes in between the first's look at the file and its rename."""
    left_behind(tmp_path)
    rename = os.rename

    def slow(source, target):
        monkeypatch.setattr(lock.os, "rename", rename)
        left_behind(tmp_path, process=os.getppid(), started=lock._started(os.getppid()))
        rename(source, target)

    monkeypatch.setattr(lock.os, "rename", slow)
    with pytest.raises(ConfigError, match=f"process {os.getppid()} on"), locked(tmp_path):
        pass
    assert owner(tmp_path)["process"] == os.getppid()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".owner"]


def test_other_errors_are_told_as_they_are(tmp_path, monkeypatch):
    def flock(file, how):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    message = r"\.lock cannot be locked: Input/output error"
    with pytest.raises(ConfigError, match=message), locked(tmp_path):
        pass
