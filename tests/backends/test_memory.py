"""How much memory scoring takes beyond the activations themselves."""

import ctypes
import mmap
import subprocess
import sys

import numpy as np
import pytest

import tefast

SCRIPT = """
import resource, sys
import numpy as np, tefast

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def run(h, y):
    before = peak()
    te = tefast.transfer_entropy(h, y, h_range=(0, 1), y_range=(0, 1), threads=2)
    ranged = tefast.transfer_entropy(h, y, threads=2)
    tefast.entropy(h, threads=2)
    print(peak() - before, repr(te.tolist()), repr(ranged.tolist()), sep=";")
"""


def measured(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    peak, *scores = done.stdout.strip().split(";")
    return int(peak), *(np.array(eval(score)) for score in scores)


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss")
@pytest.mark.parametrize("sequences", [200, 6000])
def test_counts_and_64_megabytes_whatever_the_length(sequences):
    code = """
n = int(sys.argv[1])
h = np.random.default_rng(0).random((n, 20, 256), dtype=np.float32)
run(h, np.random.default_rng(1).random((n, 20)))
"""
    peak, *_ = measured(code, sequences)
    assert peak < 256 * 16**3 * 8 + 64 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss")
@pytest.mark.parametrize(("units", "steps", "bins"), [(400_000, 300, 2), (65_536, 300, 256)])
def test_many_units_and_many_bins(units, steps, bins):
    code = """
units, steps, bins = (int(word) for word in sys.argv[1:])
h = np.random.default_rng(0).integers(0, 2, (steps, units), np.uint8)
y = np.random.default_rng(1).integers(0, 2, steps)
before = peak()
if bins == 2:
    tefast.transfer_entropy(h, y, bins, threads=2)
tefast.entropy(h, bins, threads=2)
print(peak() - before)
"""
    (peak,) = measured(code, units, steps, bins)
    counts = 8 * units * max(bins, bins**3 if bins == 2 else 0)
    assert peak < counts + 64 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss")
def test_codes_for_many_sources_stay_within_256_megabytes():
    code = """
from tefast import binning
from tefast import _backends
from tefast._backends.inputs import BinnedValues
from tefast._inputs import values
some, shape = np.random.default_rng(0).integers(0, 2, (1, 100, 2048), np.uint8), (3000, 100, 2048)
target = values.target(np.broadcast_to(some, shape))  # 614 million values
sources = np.random.default_rng(1).integers(0, 2, (2, *shape[:2]), np.int16)
cpu, before = _backends.load("cpu"), peak()
binned = BinnedValues(target, binning.Binning(2, None), None)
nats, clean = cpu.transfer_entropies(binned, sources, 2, False, 2)
print(peak() - before)
assert clean and np.isfinite(nats).all()
"""
    (peak,) = measured(code)
    assert peak < (256 + 16) * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss")
def test_a_mapped_file_does_not_stay_resident(tmp_path):
    shape = (1000, 20, 4096)  # 328 MB
    h = np.memmap(tmp_path / "h", np.float32, "w+", shape=shape)
    local = np.random.default_rng(0)
    h[:] = local.random((1, 20, 4096), dtype=np.float32)
    h[:, :, :8] = local.random((1000, 20, 8), dtype=np.float32)
    h.flush()
    y = local.random(shape[:2])
    np.save(tmp_path / "y.npy", y)
    code = f"""
h = np.memmap({str(tmp_path / "h")!r}, np.float32, "r", shape={shape})
run(h[:, :, :1024], np.load({str(tmp_path / "y.npy")!r}))
"""
    peak, te, ranged = measured(code)
    assert peak < 160 * 2**20
    whole = np.array(h[:, :, :1024])
    limits = {"h_range": (0, 1), "y_range": (0, 1)}
    np.testing.assert_array_equal(te, tefast.transfer_entropy(whole, y, **limits))
    np.testing.assert_array_equal(ranged, tefast.transfer_entropy(whole, y))


@pytest.mark.skipif(sys.platform != "linux", reason="places a page where Linux would")
@pytest.mark.parametrize("part", [np.s_[:, :, 2048:], np.s_[:, 1::2], np.s_[4:], np.s_[:, :, 7:8]])
def test_what_lies_behind_a_mapped_file_is_left_alone(tmp_path, part):
    shape, behind = (16, 32, 4096), 2**16
    np.random.default_rng(0).random(shape, dtype=np.float32).tofile(tmp_path / "h")
    h, neighbour = mapped_with_neighbour(tmp_path / "h", shape, behind)
    neighbour[:] = 7
    y = np.random.default_rng(1).random(h[part].shape[:2])
    expected = tefast.transfer_entropy(np.array(h[part]), y, h_range=(0, 1))
    np.testing.assert_array_equal(tefast.transfer_entropy(h[part], y, h_range=(0, 1)), expected)
    tefast.entropy(h[part])
    assert (neighbour == 7).all()


def mapped_with_neighbour(path, shape, behind):
    """A mapped file, and memory right behind it, where malloc may well put what it is asked for."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    access, anonymous = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    h = np.memmap(path, np.float32, "r", shape=shape)
    fixed, room = 0x10, libc.mmap(None, h.nbytes + behind, access, anonymous, -1, 0)
    with open(path, "rb") as file:
        libc.mmap(room, h.nbytes, mmap.PROT_READ, fixed | mmap.MAP_SHARED, file.fileno(), 0)
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * (h.nbytes + behind)).from_address(room))
    # As a view of the memmap says that it is one, so does this view of its twin.
    twin = memory[: h.nbytes].view(np.float32).reshape(shape).view(np.memmap)
    twin.mode = "r"
    return twin, memory[h.nbytes :]


def test_changes_of_a_private_mapping_are_kept(tmp_path):
    # NumPy's mode "c": what was written is in memory alone, and would be lost with its pages.
    np.zeros((50, 40, 64), np.float32).tofile(tmp_path / "h")
    h = np.memmap(tmp_path / "h", np.float32, "c", shape=(50, 40, 64))
    local = np.random.default_rng(0)
    h[:] = local.random(h.shape, dtype=np.float32)
    kept, y = np.array(h), local.random((50, 40))
    te = tefast.transfer_entropy(h, y, h_range=(0, 1), y_range=(0, 1))
    np.testing.assert_array_equal(h, kept)
    expected = tefast.transfer_entropy(kept, y, h_range=(0, 1), y_range=(0, 1))
    np.testing.assert_array_equal(te, expected)
