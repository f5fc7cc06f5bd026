"""Counts of several processes: torch.distributed under torchrun, and Dask; docs/large.md runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from torchrun import torchrun

import tefast

PAGE = (Path(__file__).parents[2] / "docs" / "large.md").read_text(encoding="utf-8")
LIMITS = {"h_range": (0, 1), "y_range": (0, 1)}


def example(name):
    return re.search(rf"```python{name}\n(.*?)```", PAGE, re.S).group(1)


def data(shape=(600, 25, 64)):
    rng = np.random.default_rng(0)
    return rng.random(shape, dtype=np.float32), rng.random(shape[:2], dtype=np.float32)


def output(*given):
    """What a script printed in several processes."""
    done = torchrun(*given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_under_torchrun(tmp_path):
    h5py = pytest.importorskip("h5py")
    h, y = data()
    with h5py.File(tmp_path / "recording.h5", "w") as file:
        file["h"], file["y"] = h, y
    (tmp_path / "count.py").write_text(example(" torchrun"), encoding="utf-8")
    pytest.importorskip("torch.distributed")
    printed = output(tmp_path / "count.py", 2, tmp_path / "recording.h5")
    expected = tefast.transfer_entropy(h, y, 8, **LIMITS).sum()
    assert printed.strip() == str(expected)


SCRIPT = """
import sys
import numpy as np
import torch.distributed as dist
import tefast

dist.init_process_group("gloo")
rank = dist.get_rank()
h, y = np.load(sys.argv[1]), np.load(sys.argv[2])
LIMITS = {"h_range": (0, 1), "y_range": (0, 1)}

# One, two and all four processes.
for processes in (1, 2, 4):
    group = dist.new_group(range(processes))
    if rank < processes:
        te = tefast.TransferEntropy(h.shape[2], 8, **LIMITS)
        te.update(h[rank::processes], y[rank::processes])
        te.all_reduce(group)
        np.save(f"{sys.argv[3]}/{processes}-{rank}.npy", te.counts)

def refused(te, error, message):
    before = te.state_dict()
    try:
        te.all_reduce()
    except error as raised:
        assert message in str(raised), raised
    else:
        raise AssertionError(f"process {rank} went on")
    after = te.state_dict()
    assert after["symbols"] == before["symbols"]
    np.testing.assert_array_equal(after["counts"], before["counts"])

# One process differs, and all notice.
te = tefast.TransferEntropy(h.shape[2], 4 if rank == 3 else 8, **LIMITS)
te.update(h, y)
refused(te, ValueError, "all_reduce needs the same settings: bins is")
te = tefast.TransferEntropy(h.shape[2], 8, delay=2 if rank == 0 else 1, **LIMITS)
te.update(h, y)
refused(te, ValueError, "all_reduce needs the same settings: delay is")
kind = tefast.Entropy if rank == 2 else tefast.TransferEntropy
refused(kind(h.shape[2], 8), TypeError, "all_reduce needs")

# Floats in one process and symbols in another; those that have seen nothing notice, too.
te = tefast.TransferEntropy(2, 2, binning=[0.5])
if rank == 1:
    te.update(h[..., :2], y)
if rank == 2:
    te.update(h[..., :2], (y > 0.5).astype(int))
refused(te, ValueError, "y (source) held floats so far, now integer symbols")
dist.barrier()
dist.destroy_process_group()
"""


def test_any_number_of_processes_and_different_settings(tmp_path):
    h, y = data((40, 9, 5))
    np.save(tmp_path / "h.npy", h)
    np.save(tmp_path / "y.npy", y)
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    pytest.importorskip("torch.distributed")
    output(tmp_path / "script.py", 4, tmp_path / "h.npy", tmp_path / "y.npy", tmp_path)
    whole = tefast.TransferEntropy(5, 8, **LIMITS)
    whole.update(h, y)
    for processes in (1, 2, 4):
        for rank in range(processes):
            counts = np.load(tmp_path / f"{processes}-{rank}.npy")
            np.testing.assert_array_equal(counts, whole.counts)


def test_without_a_group():
    pytest.importorskip("torch.distributed")
    with pytest.raises(RuntimeError, match="needs a process group: call torch"):
        tefast.TransferEntropy(1).all_reduce()


def test_the_example_of_dask(capsys):
    pytest.importorskip("dask.distributed")
    space = {}
    exec(example(" dask"), space)
    assert capsys.readouterr().out == "(64,)\n"
    h, y = space["h"].compute(), space["y"].compute()
    expected = tefast.transfer_entropy(h, y, 8, **LIMITS)
    np.testing.assert_array_equal(space["te"].compute(), expected)
    # An array of Dask is something that slices can be taken of, too.
    found = tefast.stream(space["h"], space["y"], 8, rows=200, **LIMITS)
    np.testing.assert_array_equal(found.counts, space["te"].counts)


def test_the_example_of_files(tmp_path, monkeypatch, capsys):
    pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    exec(example(""), {})
    assert capsys.readouterr().out == "(64,)\n"
