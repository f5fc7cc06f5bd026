"""Large jobs: what is in memory beside the input does not grow with the number of pairs."""

import subprocess
import sys

import numpy as np
import pytest

import tefast
from tefast._counting import pairs
from tefast._significance import false_discoveries
from tefast._support import mapped, tiles
from tefast._support.files import WriteError

PEAK = """
import resource, sys
import numpy as np
import tefast
from tefast._counting import pairs
from tefast._significance import false_discoveries
from tefast._support import mapped

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

pairs.TILE_PAIRS = mapped.PART = 2**17
false_discoveries.PART, false_discoveries.SORTED = 2**17, 2**18
rng = np.random.default_rng(0)
x = rng.integers(0, 2, (40, 3000)).astype(np.uint8)
p = np.lib.format.open_memmap(sys.argv[1] + "/p.npy", "w+", np.float64, (24, 2**17))
q = np.lib.format.open_memmap(sys.argv[1] + "/q.npy", "w+", np.float64, p.shape)
for i, row in enumerate(p):
    row[:] = rng.integers(1, 20, row.size) / 20 if i % 2 else rng.random(row.size)
    mapped.let_go(p)
repr(tefast.pairwise_transfer_entropy(x[:, :300], 2, checkpoint=sys.argv[1] + "/small"))
before = peak()
network = tefast.pairwise_transfer_entropy(x, 2, checkpoint=sys.argv[1] + "/large")
repr(network)
print(peak() - before)
out = np.lib.format.open_memmap(sys.argv[1] + "/te.npy", "w+", np.float64, (3000, 3000))
tefast.pairwise_transfer_entropy(x, 2, out=out)
print(peak() - before)
false_discoveries.adjust(p, q)
print(peak() - before)
"""


def test_results_in_files_are_not_kept_in_memory(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path], check=True, capture_output=True, text=True
    )
    files, out, adjusted = map(float, told.stdout.split())
    # The matrices of 3,000 x 3,000 take 69 and 9 MB, and the p-values 25 MB.
    assert files < 20
    assert out < 30
    assert adjusted < 30
    one, other = (np.load(tmp_path / name, mmap_mode="r") for name in ("te.npy", "large/te.npy"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("sizes", [(1, 1), (7, 5), (1000, 64), (2**24, 2**22)])
@pytest.mark.parametrize("kind", ["different", "few", "gaps", "tiny"])
def test_p_values_are_adjusted_alike_in_parts_of_any_size(sizes, kind, monkeypatch):
    monkeypatch.setattr(false_discoveries, "SORTED", sizes[0])
    monkeypatch.setattr(false_discoveries, "PART", sizes[1])
    p = np.random.default_rng(1).random((9, 11))
    if kind == "few":
        p = np.ceil(p * 20) / 20
    if kind == "gaps":
        p[p < 0.3] = np.nan
    if kind == "tiny":
        p = np.where(p < 0.2, -0.0, np.where(p < 0.6, 5e-324, p**90))
    known = np.sort(p[~np.isnan(p)])
    expected = known * known.size / np.arange(1, known.size + 1)
    expected = np.minimum(np.minimum.accumulate(expected[::-1])[::-1], 1)
    q = tefast.benjamini_hochberg(p)
    np.testing.assert_array_equal(np.isnan(q), np.isnan(p))
    np.testing.assert_array_equal(np.sort(q[~np.isnan(q)]), expected)
    order = np.argsort(p, axis=None)
    assert (np.diff(q.ravel()[order][: known.size]) >= 0).all()


def test_what_is_said_of_a_network_is_the_same_in_parts_of_any_size(monkeypatch):
    pytest.importorskip("pandas")
    pytest.importorskip("scipy")
    x = np.random.default_rng(2).integers(0, 2, (300, 6))
    x[1:, 4] = x[:-1, 2]
    found = tefast.pairwise_transfer_entropy(x, 2, delays=(1, 2), significance="chi2")

    def said():
        return repr(found), found.edges(0.9), found.to_dataframe(0.9)

    whole = said()
    monkeypatch.setattr(mapped, "PART", 1)
    text, edges, table = said()
    assert text == whole[0]
    np.testing.assert_array_equal(edges, whole[1])
    assert len(table) == edges.sum() > 2
    assert table.equals(whole[2])
    assert (table["source"][0], table["target"][0]) == (2, 4)


@pytest.mark.parametrize(
    ("longest", "kind"), [(1, np.int16), (32_767, np.int16), (32_768, np.int32)]
)
def test_delays_have_the_smallest_type(longest, kind):
    x = np.random.default_rng(3).integers(0, 2, (longest + 300, 3))
    x[longest:, 1] = x[:-longest, 0]
    found = tefast.pairwise_transfer_entropy(x, 2, delays=sorted({1, longest}))
    assert found.delay.dtype == kind
    assert found.delay[0, 1] == longest
    assert (np.diag(found.delay) == -1).all()


def test_a_full_disk_is_an_error_after_which_a_job_goes_on(disk, monkeypatch):
    monkeypatch.setattr(pairs, "TILE_PAIRS", 600 * 20)
    monkeypatch.setattr(tiles, "SETTLE_AFTER", 0)
    x = np.random.default_rng(4).integers(0, 2, (50, 600))
    folder = disk.path / "network"
    with pytest.raises(WriteError, match="No space left"):
        tefast.pairwise_transfer_entropy(
            x, 2, checkpoint=folder, progress=lambda done, _: done < 600 * 100 or disk.fill()
        )
    disk.free()
    seen = []
    found = tefast.pairwise_transfer_entropy(
        x, 2, checkpoint=folder, progress=lambda done, _: seen.append(done)
    )
    assert 600 * 100 < seen[0] < seen[-1] == 600 * 600
    np.testing.assert_array_equal(found.te, tefast.pairwise_transfer_entropy(x, 2).te)


def test_an_interrupted_job_in_files_ends_in_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "TILE_PAIRS", 40)
    monkeypatch.setattr(pairs, "ROW_BYTES", 64 * 4 * 7)  # seven targets a tile
    x = np.random.default_rng(5).integers(0, 2, (90, 20))
    how = {"delays": (1, 3), "by_delay": True}

    def stop(done, total):
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tefast.pairwise_transfer_entropy(x, 2, **how, checkpoint=tmp_path / "a", progress=stop)
    tefast.pairwise_transfer_entropy(x, 2, **how, checkpoint=tmp_path / "a")
    whole = tefast.pairwise_transfer_entropy(x, 2, **how)
    for name in ("te", "delay", "te_by_delay", "coincidence"):
        stored = np.load(tmp_path / "a" / f"{name}.npy")
        np.testing.assert_array_equal(stored, getattr(whole, name))
