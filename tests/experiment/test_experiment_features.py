"""Features against each clip alone, whatever computed them, and against what is in the store."""

import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import write_clip
from small_backbones import Ends, Means, means
from torch import nn

from tefast._support.files import WriteError
from tefast.experiment.config import PRESETS
from tefast.experiment.datasets import DatasetError, find_clips
from tefast.experiment.datasets.base import ClipProblem
from tefast.experiment.features import extract, extraction, pool
from tefast.experiment.features.backbones import Backbone, load_backbone
from tefast.experiment.features.store import SUFFIX
from tefast.experiment.video import sample_frames


@pytest.fixture
def dataset(tmp_path):
    for number in range(1, 7):
        path = tmp_path / "clips" / "A" / f"v_A_g01_c{number:02d}.avi"
        write_clip(path, 8 + number, height=96, width=128, seed=number)
    return find_clips("ucf101", tmp_path / "clips")


@pytest.fixture
def started(monkeypatch):
    """Other processes are started for the first clip already."""
    monkeypatch.setattr(pool, "TRIED", 0)
    monkeypatch.setattr(pool, "WORTH_SECONDS", 0.0)


def run(dataset, backbone, tmp_path, **options):
    options = {"frames": 5, "size": (24, 32), "cache_dir": tmp_path / "cache", **options}
    return extract(dataset, backbone, **options)


def files(tmp_path):
    return sorted((tmp_path / "cache").rglob(f"*{SUFFIX}"))


@pytest.mark.usefixtures("started")
def test_features_are_those_of_each_clip_whatever_computes_them(dataset, tmp_path):
    backbone, told = load_backbone(PRESETS["smoke"]), []
    found = run(dataset, backbone, tmp_path, workers=1, progress=lambda *now: told.append(now))
    assert found.values.shape == (6, 5, 512)
    assert found.usable.all()
    assert found.problems == []
    assert told == [(done, 6) for done in range(7)]
    frames = sample_frames(dataset.clips[4].path, 5, (24, 32)).frames
    np.testing.assert_array_equal(found.values[4], backbone.run(frames))
    for workers in (2, 3):
        other = run(dataset, backbone, tmp_path, workers=workers, cache_dir=tmp_path / "other")
        assert other.extraction["processes"] == workers
        np.testing.assert_array_equal(other.values, found.values)
        shutil.rmtree(tmp_path / "other")


def test_short_work_is_done_alone(dataset, tmp_path):
    assert run(dataset, means(), tmp_path, workers=2).extraction["processes"] == 1


def test_what_they_cost_is_told(dataset, tmp_path):
    cost = run(dataset, means(), tmp_path, workers=1).extraction
    assert cost["computed"] == 6
    assert cost["bound_by"] in ("decoding", "the network")
    assert cost["decoding_seconds"] > 0 < cost["network_seconds"]
    assert cost["clips_per_second"] > 0
    assert 0 <= cost["busy"] <= 1
    assert (cost["precision"], cost["device"], cost["weights_sha256"]) == ("float32", "cpu", None)
    again = run(dataset, means(), tmp_path).extraction
    assert again == {**cost, "computed": 0}


def test_what_was_computed_is_not_computed_again(dataset, tmp_path):
    first = run(dataset, means(), tmp_path)
    backbone = means()
    again = run(dataset, backbone, tmp_path)
    assert backbone.network.calls == 0
    np.testing.assert_array_equal(again.values, first.values)


def test_without_one_clip_nothing_is_computed_again(dataset, tmp_path):
    first = run(dataset, means(), tmp_path)
    dataset.clips[2].path.unlink()
    backbone = means()
    found = run(find_clips("ucf101", tmp_path / "clips"), backbone, tmp_path)
    assert backbone.network.calls == 0
    np.testing.assert_array_equal(found.values, np.delete(first.values, 2, axis=0))


def test_what_was_done_before_an_interrupt_stays(dataset, tmp_path):
    def interrupt(done, of):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(dataset, means(), tmp_path, progress=interrupt)
    backbone, told = means(), []
    run(dataset, backbone, tmp_path, progress=lambda *now: told.append(now))
    assert backbone.network.calls == 2
    assert told == [(4, 6), (5, 6), (6, 6)]


def test_clips_may_be_moved(dataset, tmp_path):
    run(dataset, means(), tmp_path)
    (tmp_path / "clips").rename(tmp_path / "moved")
    backbone = means()
    run(find_clips("ucf101", tmp_path / "moved"), backbone, tmp_path)
    assert backbone.network.calls == 0


@pytest.mark.parametrize(
    "what", ["weights", "frames", "size", "precision", "normalisation", "decoder"]
)
def test_what_changes_features_leads_to_other_entries(dataset, tmp_path, what, monkeypatch):
    run(dataset, means(), tmp_path)
    backbone, options = means(2.0 if what == "weights" else 1.0), {}
    if what == "frames":
        options["frames"] = 4
    if what == "size":
        options["size"] = (16, 24)
    if what == "precision":
        backbone = means(precision="bfloat16")
    if what == "normalisation":
        backbone = means(std=(0.5, 0.5, 0.5))
    if what == "decoder":
        monkeypatch.setattr(extraction.av, "library_versions", {"libavcodec": (1, 2, 3)})
    run(dataset, backbone, tmp_path, **options)
    assert backbone.network.calls == 6


def test_a_clip_that_changed_is_computed_again_alone(dataset, tmp_path):
    first = run(dataset, means(), tmp_path)
    write_clip(dataset.clips[2].path, 11, seed=99)
    backbone = means()
    second = run(dataset, backbone, tmp_path)
    assert backbone.network.calls == 1
    same = (first.values == second.values).all(axis=(1, 2))
    assert same.tolist() == [True, True, False, True, True, True]


def test_a_folder_of_frames_changes_with_its_files(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"one")
    states = [extraction._state(tmp_path)]
    (tmp_path / "2.jpg").write_bytes(b"two")
    states.append(extraction._state(tmp_path))
    os.utime(tmp_path / "2.jpg", ns=(1, 1))
    states.append(extraction._state(tmp_path))
    (tmp_path / "1.jpg").write_bytes(b"three")
    states.append(extraction._state(tmp_path))
    assert len({repr(state) for state in states}) == 4
    assert extraction._state(tmp_path) == states[-1]


def test_broken_clips_are_reported_each_time(dataset, tmp_path):
    cut, empty = dataset.clips[1].path, dataset.clips[3].path
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    empty.unlink()
    empty.symlink_to(tmp_path / "gone.avi")
    for _ in range(2):  # computed, then read
        found = run(dataset, means(), tmp_path)
        assert found.usable.tolist() == [True, True, True, False, True, True]
        assert [(p.name, p.kind) for p in found.problems] == [
            ("A/v_A_g01_c02.avi", "damaged"),
            ("A/v_A_g01_c04.avi", "unreadable"),
        ]
        assert isinstance(found.problems[0], ClipProblem)
        assert not found.values[3].any()
        assert found.values[1].any()


def test_a_clip_that_could_not_be_read_is_tried_again(dataset, tmp_path, monkeypatch):
    def fails(path, frames, size):
        if path.name.endswith("c03.avi"):
            raise work.ClipError("permission denied")
        return sample_frames(path, frames, size)

    from tefast.experiment.features import work

    with monkeypatch.context() as patch:
        patch.setattr(work, "sample_frames", fails)
        found = run(dataset, means(), tmp_path)
    assert [(p.name, p.reason) for p in found.problems] == [
        ("A/v_A_g01_c03.avi", "permission denied")
    ]
    found = run(dataset, means(), tmp_path)
    assert found.usable.all()
    assert found.problems == []


def test_a_colon_in_a_relative_root(dataset, tmp_path, monkeypatch):
    (tmp_path / "clips").rename(tmp_path / "set:1")
    monkeypatch.chdir(tmp_path)
    found = run(find_clips("ucf101", Path("set:1")), means(), tmp_path)
    assert found.usable.all()


def test_no_readable_clip_at_all(dataset, tmp_path):
    for clip in dataset.clips:
        clip.path.write_bytes(b"")
    with pytest.raises(
        DatasetError, match=r"none of the 6 clips in .* can be read; the first: v_A"
    ):
        run(dataset, means(), tmp_path)


def test_features_that_are_not_finite_name_the_clip(dataset, tmp_path):
    message = (
        r"2560 of 2560 features of clip A/v_A_g01_c01.avi are NaN or infinite; they come from "
        "means in float32"
    )
    with pytest.raises(DatasetError, match=message):
        run(dataset, means(float("nan")), tmp_path)
    assert not files(tmp_path)


def test_a_damaged_store_is_mended(dataset, tmp_path, capsys):
    first = run(dataset, means(), tmp_path)
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1  # within the features of the first clip
    path.write_bytes(content[:-3000])  # within those of the last
    backbone = means()
    found = run(dataset, backbone, tmp_path)
    assert backbone.network.calls == 2
    np.testing.assert_array_equal(found.values, first.values)
    said = f"{path}: 2 entries are damaged or cut short; such features are computed again\n"
    assert capsys.readouterr().out == said
    run(dataset, backbone, tmp_path)
    assert backbone.network.calls == 2
    assert capsys.readouterr().out == ""


def test_a_disk_that_takes_no_more_loses_the_clip_under_way_alone(dataset, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, before[1]))
    try:
        with pytest.raises(WriteError, match=r"cannot write .*entries: File too large"):
            run(dataset, means(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    backbone = means()
    found = run(dataset, backbone, tmp_path)
    assert backbone.network.calls == 4
    assert found.usable.all()


@pytest.mark.usefixtures("started")
def test_a_process_that_ends_is_told_of(dataset, tmp_path):
    backbone = Backbone(Ends(), "ends").ready()
    with pytest.raises(pool.PoolError, match=r"ended by signal SIGKILL while it read .*c0\d.avi"):
        run(dataset, backbone, tmp_path, workers=2)
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("started")
def test_an_error_in_another_process_is_raised_here(dataset, tmp_path):
    backbone = Backbone(nn.Linear(2, 2), "linear").ready()
    with pytest.raises(RuntimeError, match=r"Expected size for first two dimensions|shapes cannot"):
        run(dataset, backbone, tmp_path, workers=2)
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("started")
def test_a_backbone_that_cannot_be_sent(dataset, tmp_path):
    class Local(Means):
        pass

    backbone = Backbone(Local(), "local").ready()
    with pytest.raises(ValueError, match=r"cannot be given to other processes .*; --workers 1"):
        run(dataset, backbone, tmp_path, workers=2)


STOPPED = """
import sys
from pathlib import Path
from small_backbones import Means, means
from tefast.experiment.datasets import find_clips
from tefast.experiment.features import extract, pool

if __name__ == "__main__":
    pool.TRIED, pool.WORTH_SECONDS = 0, 0.0
    root = Path(sys.argv[1])
    dataset = find_clips("ucf101", root / "clips")
    extract(dataset, means(), frames=5, size=(24, 32), cache_dir=root / "cache", workers=2,
            progress=lambda done, of: print(done, flush=True))
"""


def children(process):
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in listed.read_text().split()]


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_first(dataset, tmp_path, number):
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)
    paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with process:
        for line in process.stdout:
            if int(line) == 1:
                others = children(process.pid)
                process.send_signal(number)
    assert len(others) >= 2
    while any(alive(other) for other in others):
        time.sleep(0.01)
    done = len(re.findall(b"TEFEAT", b"".join(path.read_bytes() for path in files(tmp_path))))
    assert done >= 1
    backbone = means()
    assert run(dataset, backbone, tmp_path).usable.all()
    assert backbone.network.calls == 6 - done


SHARED = """
import sys
from pathlib import Path
import numpy as np
import torch.distributed as dist
from small_backbones import means
from tefast.experiment.datasets import find_clips
from tefast.experiment.features import extract

dist.init_process_group("gloo")
rank, root = dist.get_rank(), Path(sys.argv[1])
dataset = find_clips("ucf101", root / "clips")
options = {"frames": 5, "size": (24, 32), "workers": 1}
backbone = means()
found = extract(dataset, backbone, cache_dir=root / "shared", **options)
assert backbone.network.calls == (3 if rank == 0 else 2), backbone.network.calls
assert [problem.name for problem in found.problems] == ["A/v_A_g01_c04.avi"]
np.save(root / f"{rank}.npy", found.values)

# What fails in one process fails in both.
try:
    extract(dataset, means(float("nan") if rank else 2.0), cache_dir=root / "other", **options)
except Exception as error:
    said = str(error)
assert ("process 1 of 2 failed: 2560 of" if rank == 0 else "2560 of 2560") in said, said

# Folders of their own are noticed.
try:
    extract(dataset, means(), cache_dir=root / f"own{rank}", **options)
except ValueError as error:
    said = str(error)
assert "all processes need the same --feature-cache" in said, said
dist.barrier()
dist.destroy_process_group()
"""


def test_two_processes_share_the_clips(dataset, tmp_path):
    dataset.clips[3].path.write_bytes(b"")
    alone = run(dataset, means(), tmp_path)
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, check=True,
    )  # fmt: skip
    for rank in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"{rank}.npy"), alone.values)


def test_frames_are_only_decoded_elsewhere_where_there_is_a_gpu(dataset, tmp_path, monkeypatch):
    expected = run(dataset, means(), tmp_path)
    backbone = means()
    monkeypatch.setattr(torch.Tensor, "to", to_the_cpu(torch.Tensor.to))
    backbone = Backbone(backbone.network, "means", device="cuda")
    monkeypatch.setattr(pool, "TRIED", 0)
    monkeypatch.setattr(pool, "WORTH_SECONDS", 0.0)
    found = run(dataset, backbone, tmp_path, workers=2)
    assert backbone.network.calls == 6  # in this process
    assert found.extraction["device"] == "cuda"
    np.testing.assert_array_equal(found.values, expected.values)


def to_the_cpu(to):
    """`Tensor.to` for a machine without the GPU that is asked for."""
    return lambda tensor, *where: tensor if where == ("cuda",) else to(tensor, *where)


def test_clips_of_too_few_frames_are_named(dataset, tmp_path):
    for again in (False, True):
        found = run(dataset, means(), tmp_path, frames=50)
        assert [(p.kind, p.name) for p in found.problems] == [
            ("short", clip.name) for clip in dataset.clips
        ], again
        assert "of the 50 frames that are taken" in found.problems[0].reason
        assert found.usable.all()
