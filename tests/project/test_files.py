"""Files are written whole or not at all, and a disk that takes no more is one clear error."""

import errno
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tefast._support.files import WriteError, whole_file, write_text


def write_safetensors(path):
    pytest.importorskip("safetensors.numpy").save_file({"a": np.zeros(100_000)}, path)


def write_checkpoint(path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.zeros(100_000)}, path)


def write_picture(path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().imshow(np.random.default_rng(0).random((300, 300)))
    figure.savefig(path, format="png")


def write_video(path):
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), dtype=np.uint8)
        for picture in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_archive(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(100_000))


WRITERS = {
    "text": lambda path: path.write_text("x" * 100_000),
    "safetensors": write_safetensors,
    "checkpoint": write_checkpoint,
    "picture": write_picture,
    "video": write_video,
    "archive": write_archive,
}


@pytest.mark.parametrize("left", [0, 20_000], ids=["full", "nearly full"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_error_and_leaves_what_was_there(writer, left, disk):
    path = disk.path / "folder" / "file.bin"
    write_text(path, "before")
    reserve = disk.path / "reserve"
    reserve.write_bytes(bytes(left))
    disk.fill()
    reserve.unlink()
    with (
        pytest.raises(WriteError, match=rf"cannot write {path}: No space left on device") as found,
        whole_file(path) as part,
    ):
        WRITERS[writer](part)
    assert found.value.errno == errno.ENOSPC
    assert path.read_text() == "before"
    assert os.listdir(path.parent) == ["file.bin"]
    disk.free()
    with whole_file(path) as part:
        WRITERS[writer](part)
    assert path.stat().st_size > 10_000


def test_a_disk_that_is_read_only(disk):
    path = disk.path / "file.txt"
    write_text(path, "before")
    disk.mount_again("ro")
    with pytest.raises(WriteError, match=r"cannot write .*file\.txt: Read-only file system"):
        write_text(path, "after")
    with pytest.raises(WriteError, match="Read-only file system"):
        write_text(disk.path / "new" / "file.txt", "after")
    disk.mount_again("rw")
    assert path.read_text() == "before"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_limit_on_the_size_of_files(writer, tmp_path):
    code = f"""
        import resource, sys
        from pathlib import Path
        sys.path[:0] = {[os.path.dirname(__file__)]!r}
        import test_files
        from tefast._support.files import WriteError, whole_file
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            with whole_file(Path("file.bin")) as part:
                test_files.WRITERS[{writer!r}](part)
        except WriteError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "cannot write file.bin: File too large\n", done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_failure_at_the_end(call, tmp_path, monkeypatch):
    write_text(tmp_path / "file.txt", "before")

    def fails(*_, **__):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(WriteError, match=r"cannot write .*file\.txt: Disk quota exceeded"):
            write_text(tmp_path / "file.txt", "after")
    assert (tmp_path / "file.txt").read_text() == "before"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"cannot write .*a\.txt: (Not a directory|File exists)"):
        write_text(tmp_path / "file" / "a.txt", "text")


@pytest.mark.parametrize("error", [ValueError("no"), ConnectionResetError(104, "reset"), KeyError])
def test_other_errors_stay_what_they_are(error, tmp_path):
    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind) as found, whole_file(tmp_path / "file.txt"):
        raise error
    assert not isinstance(found.value, WriteError)
    assert os.listdir(tmp_path) == []


def test_the_error_names_the_file_that_failed_within_another(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(WriteError, match=r"cannot write .*inner\.txt"),
        whole_file(tmp_path / "outer.txt"),
        whole_file(tmp_path / "file" / "inner.txt"),
    ):
        pass
    assert os.listdir(tmp_path) == ["file"]
