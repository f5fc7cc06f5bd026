"""How much memory scoring takes beyond the activations themselves."""

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
