"""The store of features: what is put is read, whatever happened to the file."""

import errno
import os

import numpy as np
import pytest

from tefast._support.files import WriteError
from tefast.experiment.features import store
from tefast.experiment.features.store import SUFFIX, Store


def values(seed, steps=3):
    return np.random.default_rng(seed).normal(size=(steps, 7)).astype(np.float32)


def filled(folder, keys):
    with Store(folder) as opened:
        for number, key in enumerate(keys):
            opened.put(key, values(number, 1 + number), {"name": f"clip {key}"})


def test_what_is_put_is_read(tmp_path):
    filled(tmp_path / "store", "abc")
    contents = Store(tmp_path / "store").read("acx")
    assert sorted(contents.entries) == ["a", "c"]
    assert contents.bad == {}
    np.testing.assert_array_equal(contents.entries["c"].values, values(2, 3))
    assert contents.entries["c"].values.dtype == np.float32
    assert contents.entries["c"].notes == {"name": "clip c"}


def test_a_store_that_is_not_there(tmp_path):
    assert Store(tmp_path / "store").read("a").entries == {}
    with Store(tmp_path / "store"):
        pass
    assert not (tmp_path / "store").exists()


def test_two_write_at_the_same_time(tmp_path):
    with Store(tmp_path) as one, Store(tmp_path) as other:
        one.put("a", values(1), {})
        other.put("b", values(2), {})
        one.put("c", values(3), {})
        assert sorted(other.read("abc").entries) == ["a", "b", "c"]
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == 2


def test_others_may_read_the_file(tmp_path):
    filled(tmp_path, "a")
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_cut_anywhere_the_whole_entries_stay(tmp_path):
    filled(tmp_path, "ab")
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    whole = path.read_bytes()
    found = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        contents = Store(tmp_path).read("ab")
        found.append((len(contents.entries), sum(contents.bad.values())))
        for key, entry in contents.entries.items():
            np.testing.assert_array_equal(entry.values, values("ab".index(key), len(entry.values)))
    # With every byte more: nothing, half of a, a, half of b, both.
    assert list(dict.fromkeys(found)) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert [entries for entries, _ in found] == sorted(entries for entries, _ in found)


@pytest.mark.parametrize("step", [0, 1])
def test_any_changed_byte_loses_that_entry_alone(tmp_path, step):
    filled(tmp_path, "abc")
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    whole = path.read_bytes()
    expected = {
        key: entry.values.copy() for key, entry in Store(tmp_path).read("abc").entries.items()
    }
    for place in range(step, len(whole), 2):
        changed = bytearray(whole)
        changed[place] ^= 0x41
        path.write_bytes(changed)
        contents = Store(tmp_path).read("abc")
        assert len(contents.entries) >= 2, place
        for key, entry in contents.entries.items():
            np.testing.assert_array_equal(entry.values, expected[key])
        assert sum(contents.bad.values()) == 3 - len(contents.entries)


def test_other_files_are_not_taken_for_entries(tmp_path):
    (tmp_path / f"text{SUFFIX}").write_text("no entries" * 100)
    (tmp_path / f"empty{SUFFIX}").touch()
    filled(tmp_path, "a")
    contents = Store(tmp_path).read("a")
    assert list(contents.entries) == ["a"]
    assert list(contents.bad) == [tmp_path / f"text{SUFFIX}"]


@pytest.mark.parametrize("before", [0, 2])
def test_of_a_write_that_fails_nothing_is_left(tmp_path, before):
    opened = Store(tmp_path)
    for number in range(before):
        opened.put(str(number), values(number), {})

    class Full:
        """A disk that takes 50 bytes more."""

        def __init__(self, file):
            self._file, self._left = file, 50

        def __getattr__(self, name):
            return getattr(self._file, name)

        def __enter__(self):
            return self._file.__enter__()

        def __exit__(self, *error):
            return self._file.__exit__(*error)

        def write(self, data):
            if not self._left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = self._file.write(data[: self._left])
            self._left -= written
            return written

    file = opened._opened()
    opened._file = Full(file)
    with pytest.raises(WriteError, match=r"cannot write .*: No space left on device"), opened:
        opened.put("x", values(9), {})
    assert file.closed
    assert Store(tmp_path).read(["0", "1", "x"]).bad == {}
    assert len(Store(tmp_path).read(["0", "1", "x"]).entries) == before
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == (1 if before else 0)


def test_entries_come_to_the_disk(tmp_path, monkeypatch):
    settled = []
    monkeypatch.setattr(store.os, "fsync", lambda handle: settled.append(handle))
    with Store(tmp_path) as opened:
        opened.put("a", values(1), {})
        assert len(settled) == 1
        monkeypatch.setattr(store, "SETTLED_EVERY", 1e9)
        opened.put("b", values(2), {})
        assert len(settled) == 1
    assert len(settled) == 2
