"""Disks that take no more: a small one of our own, which can be filled and freed."""

import os
import subprocess

import pytest


class Disk:
    """A file system in memory.

    Parameters
    ----------
    path : Path
        Where it is mounted.
    """

    def __init__(self, path):
        self.path = path
        self._filler = path / "filler"

    def fill(self):
        """Take all that is left, to the last byte."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (2**20, 2**12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    def free(self):
        """Give it back."""
        self._filler.unlink(missing_ok=True)

    def mount_again(self, how):
        """Such as "ro" or "rw"."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 MB; where mounting is not allowed the test is skipped."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)
