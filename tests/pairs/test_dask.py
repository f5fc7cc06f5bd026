"""Pairs on a cluster of Dask: to the last bit what one process gives, also if a worker is lost."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tefast
import tefast.dask
from tefast._pairing import grouping

distributed = pytest.importorskip("distributed")

FIELDS = ("te", "delay", "te_by_delay", "p_value", "q_value", "null_mean", "null_std",
          "effective_te", "coincidence")  # fmt: skip
pytestmark = [
    pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as found:
        yield found


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as found:
        yield found


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(grouping, "WIDEST", 3)


def check(x, client, here=None, **options):
    """The same as one process; `here` is what that gets in place of an array that is not read."""
    found = tefast.dask.pairwise_transfer_entropy(x, client=client, **options)
    alone = tefast.pairwise_transfer_entropy(x if here is None else here, **options)
    for name in FIELDS:
        one, other = getattr(found, name), getattr(alone, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    for name in ("names", "source_names", "delays", "method", "surrogates", "alpha", "base"):
        assert getattr(found, name) == getattr(alone, name)
    return found


def stored(kind, x, path):
    """An array in a file, or in pieces."""
    if kind == "zarr":
        zarr = pytest.importorskip("zarr")
        found = zarr.create_array(str(path / "x.zarr"), shape=x.shape, dtype=x.dtype,
                                  chunks=(*x.shape[:-1], 2))  # fmt: skip
        found[...] = x
        return found
    if kind == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path / "x.h5", "w") as file:
            file.create_dataset("group/x", data=x)
        return h5py.File(path / "x.h5", "r")["group/x"]
    if kind == "map":
        np.save(path / "x.npy", x)
        return np.load(path / "x.npy", mmap_mode="r")
    if kind == "dask":
        return pytest.importorskip("dask.array").from_array(x, chunks=(*x.shape[:-1], 2))
    return x


KINDS = ["array", "zarr", "hdf5", "map", "dask"]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_every_kind(kind, client, tmp_path):
    x = np.random.default_rng(0).normal(size=(3, 60, 5)) * np.arange(1, 6)
    given = stored(kind, x, tmp_path)
    ranges = -np.ones(5), np.arange(1.0, 6.0)
    check(given, client, x, bins=4, delays=(0, 2), by_delay=True, sources=[4, 0], x_range=ranges)
    check(given, client, x, bins=3, binning="quantile", significance="circular", surrogates=9)


@pytest.mark.parametrize("kind", ["array", "hdf5"])
def test_gaps_masks_lengths_and_layouts(kind, client, tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 5, 60))
    x[rng.random(x.shape) < 0.02] = np.nan
    given, how = stored(kind, x, tmp_path), {"layout": "NUT", "nan_policy": "omit", "bins": 2}
    check(given, client, x, **how, lengths=[60, 30, 41])
    check(given, client, x, **how, mask=rng.random((3, 60)) < 0.9)
    check(given, client, x, **how, mask=rng.random(x.shape) < 0.9, significance="shuffle",
          surrogates=9)  # fmt: skip


@pytest.mark.parametrize("method", ["chi2", "circular", "trials", "shuffle", "conditional"])
@pytest.mark.parametrize("kind", ["array", "zarr"])
def test_every_test(method, kind, client, tmp_path):
    if method == "chi2":
        pytest.importorskip("scipy")
    x = np.random.default_rng(2).integers(0, 3, (4, 40, 5))
    x[:, 1:, 2] = x[:, :-1, 0]
    given = stored(kind, x, tmp_path)
    how = {"significance": method, "surrogates": 19, "seed": 5, "delays": (1, 2)}
    check(given, client, x, bins=3, **how)


@pytest.mark.parametrize("kind", ["array", "zarr", "dask"])
@pytest.mark.parametrize("symbols", [5, 400])
def test_labels_are_those_of_all_series(kind, symbols, client, tmp_path):
    x = np.random.default_rng(3).integers(0, symbols, (60, 5)) * 3 - 8
    check(stored(kind, x, tmp_path), client, x, binning="symbols")


def test_tables_and_their_names(client):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(4)
    table = pandas.DataFrame(rng.normal(size=(80, 5)), columns=list("vwxyz"))
    found = check(table, client, bins=3, sources=["z", "v"])
    assert found.source_names == ("z", "v")
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("dask.array")
    named = xarray.DataArray(
        table.to_numpy(), dims=("time", "cell"), coords={"cell": list("vwxyz")}
    )
    found = check(named.chunk({"cell": 2}), client, named, bins=3, sources=["z", "v"])
    assert found.names == tuple("vwxyz")


@pytest.mark.parametrize("kind", ["array", "zarr", "dask"])
def test_a_lost_worker_changes_nothing(kind, client, tmp_path):
    x, killed = np.random.default_rng(5).integers(0, 2, (400, 13)), []
    client.wait_for_workers(2)

    def kill(done, total):
        if not killed and done > total // 4:
            killed.append(client.submit(os.getpid, pure=False).result())
            os.kill(killed[0], signal.SIGKILL)

    given = stored(kind, x, tmp_path)
    found = tefast.dask.pairwise_transfer_entropy(
        given, 2, client, significance="circular", surrogates=19, delays=(1, 2), progress=kill
    )
    alone = tefast.pairwise_transfer_entropy(
        x, 2, significance="circular", surrogates=19, delays=(1, 2)
    )
    for name in ("te", "delay", "p_value", "q_value", "null_mean", "coincidence"):
        np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
    assert killed
    assert killed[0] != os.getpid()


def test_progress_ends_at_the_number_of_pairs_and_out_gets_the_result(client):
    x = np.random.default_rng(6).integers(0, 2, (100, 8))
    seen, out = [], np.empty((8, 8))
    found = tefast.dask.pairwise_transfer_entropy(
        x, 2, client, out=out, progress=lambda *told: seen.append(told)
    )
    assert found.te is out
    assert len(seen) == 9
    assert seen[-1] == (64, 64)
    np.testing.assert_array_equal(out, tefast.pairwise_transfer_entropy(x, 2).te)


KILLED = """
import os, signal, sys
import numpy as np, distributed
import tefast.dask
from tefast._pairing import grouping
from tefast._support import tiles

grouping.WIDEST = 3
tiles.SETTLE_AFTER = 0
x = np.load(sys.argv[1] + "/x.npy", mmap_mode="r")
client = distributed.Client(sys.argv[2])
die = lambda done, _: done > 60 and os.kill(os.getpid(), signal.SIGKILL)
tefast.dask.pairwise_transfer_entropy(x, 2, checkpoint=sys.argv[1] + "/network", progress=die)
"""


def test_a_killed_client_goes_on(client, tmp_path):
    x = np.random.default_rng(7).integers(0, 2, (100, 14))
    np.save(tmp_path / "x.npy", x)
    address = client.scheduler_info()["address"]
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, address], check=False)
    assert done.returncode == -signal.SIGKILL
    seen = []
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = tefast.dask.pairwise_transfer_entropy(
        mapped, 2, client, checkpoint=tmp_path / "network", progress=lambda *told: seen.append(told)
    )
    assert 60 < seen[0][0] < seen[-1][0] == 14 * 14
    np.testing.assert_array_equal(found.te, tefast.pairwise_transfer_entropy(x, 2).te)
    with pytest.raises(ValueError, match="holds results of bins=2, now 3"):
        tefast.dask.pairwise_transfer_entropy(mapped, 3, client, checkpoint=tmp_path / "network")


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"x": np.zeros((50, 1), int)}, ValueError, "x must hold two series or more"),
    ({"delays": 50}, ValueError, "delay=50 takes at least 51 steps, x of shape"),
    ({"sources": ["a"]}, ValueError, "sources: 'a' is no series"),
    ({"significance": "auto"}, ValueError, "unknown significance 'auto'"),
    ({"x_range": (0, 1)}, ValueError, "x_range is given, but x holds integers"),
    ({"mask": np.ones(7, bool)}, ValueError, "mask must have shape"),
    ({"lengths": [51]}, ValueError, "lengths must lie in 0"),
    ({"out": np.zeros((2, 2))}, ValueError, r"out must have shape \(6, 6\)"),
    ({"layout": "NUT"}, ValueError, "layout='NUT' has 3 letters"),
    ({"backend": "cuda"}, ValueError, "backend: expected 'auto', 'cpu' or 'reference' on Dask"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["array", "zarr"])
def test_wrong_arguments_are_refused_before_any_task(
    kind, given, error, message, client, tmp_path, monkeypatch
):
    x = stored(kind, given.get("x", np.zeros((50, 6), int)), tmp_path)
    monkeypatch.setattr(client, "submit", None)
    if kind == "zarr":
        monkeypatch.setattr(type(x), "__getitem__", None)
        monkeypatch.setattr(type(x), "__array__", None)
    with pytest.raises(error, match=message):
        tefast.dask.pairwise_transfer_entropy(**{"bins": 2, "client": client, **given, "x": x})


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_counted_is_told_by_its_place_in_the_whole(kind, client, tmp_path):
    x = np.random.default_rng(8).normal(size=(50, 8))
    x[7, 5] = np.nan
    with pytest.raises(ValueError, match=r"x must hold no NaN, got 1, the first at x\[7, 5\]"):
        tefast.dask.pairwise_transfer_entropy(stored(kind, x, tmp_path), 2, client)


def test_the_client_reads_no_file(client, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    x = np.random.default_rng(9).integers(0, 2, (50, 8))
    given = stored("zarr", x, tmp_path)
    monkeypatch.setattr(zarr.Array, "__getitem__", None)
    monkeypatch.setattr(zarr.Array, "__array__", None)
    found = tefast.dask.pairwise_transfer_entropy(given, 2, client)
    np.testing.assert_array_equal(found.te, tefast.pairwise_transfer_entropy(x, 2).te)


def test_the_current_client_is_taken_and_there_must_be_one(client):
    x = np.random.default_rng(10).integers(0, 2, (50, 4))
    found = tefast.dask.pairwise_transfer_entropy(x, 2)
    np.testing.assert_array_equal(found.te, tefast.pairwise_transfer_entropy(x, 2).te)
    with pytest.raises(TypeError, match=r"client must be a dask.distributed.Client, .* got str"):
        tefast.dask.pairwise_transfer_entropy(x, 2, "tcp://127.0.0.1:8786")


def test_without_a_client_an_error_says_how_to_make_one():
    with pytest.raises(ValueError, match="there is no current one; make one first"):
        tefast.dask.pairwise_transfer_entropy(np.zeros((50, 4), int), 2)


def test_without_distributed_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r'pip install "tefast\[dask\]"'):
        tefast.dask.pairwise_transfer_entropy(np.zeros((50, 4), int), 2)


DOCTEST = """
import doctest
import tefast.dask

done = doctest.testmod(tefast.dask)
assert done.attempted and not done.failed
"""


def test_the_examples_run(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "networks.md"
    (guide,) = re.findall(r"```python dask\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    (tmp_path / "example.py").write_text(guide)
    for command in (["example.py"], ["-c", DOCTEST]):
        told = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        if command == ["example.py"]:
            assert told.stdout.startswith("Network of 30 sources and 30 targets")
