"""Trees in both layouts, with every oddity, from the folder to the report under every split."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from trees import hmdb_tree, ucf_tree

from tefast.experiment import cli
from tefast.experiment.config import PRESETS, ConfigError
from tefast.experiment.datasets import find_clips, named
from tefast.experiment.splits import group_overlap, split

SMALL = [
    "--preset", "smoke", "--seeds", "0", "--regularizers", "none", "--hidden", "8", "--epochs", "1",
    "--criteria", "l1", "random", "--removed", "0", "0.5",
]  # fmt: skip


@pytest.fixture(scope="module", params=["ucf101", "hmdb51"])
def tree(request, tmp_path_factory):
    """A data set's name, its folder, its official clips for the test by split, its problems."""
    root = tmp_path_factory.mktemp(request.param)
    make = ucf_tree if request.param == "ucf101" else hmdb_tree
    return request.param, root, *make(root)


def plain(name):
    return os.path.splitext(name)[0] if name.endswith((".avi", ".mp4", ".webm")) else name


def test_every_split_has_the_right_clips_in_the_right_part(tree):
    name, root, for_test, _ = tree
    found = find_clips(name, root)
    names = [plain(clip.name) for clip in found.clips]
    assert len(found.clips) == 25
    assert len(set(names)) == 25
    assert all(name.isprintable() for name in names)
    part = split(found, "random", 0, root)
    assert sorted([*part.train, *part.test]) == list(range(25))
    assert len(part.test) == 5
    assert group_overlap(found, part.train, part.test) > 0
    part = split(found, "group", 0, root)
    assert sorted([*part.train, *part.test]) == list(range(25))
    assert group_overlap(found, part.train, part.test) == 0
    for label in range(3):  # a fifth of the groups of every class
        groups = {found.clips[i].group for i in part.test if found.clips[i].label == label}
        assert len(groups) == 1
    for number in (1, 2, 3):
        part = split(found, f"official-{number}", 0, root)
        assert sorted(names[i] for i in part.test) == sorted(map(plain, for_test[number]))
        assert len(part.train) == (16 if name == "ucf101" else 15)
        assert not np.intersect1d(part.train, part.test).size
        assert part.missing == 0
        assert group_overlap(found, part.train, part.test) == 0


@pytest.mark.parametrize("how", ["random", "group", "official-1"])
def test_from_the_folder_to_the_report(tree, how, tmp_path, capsys):
    name, root, _, problems = tree
    out = tmp_path / "out"
    arguments = [*SMALL, "--dataset", name, "--data-root", str(root), "--split", how]
    arguments += ["--out", str(out), "--feature-cache", str(root / "cache")]
    if how == "random":
        assert cli.main(arguments) == 2
        assert "2 of 25 clips cannot be read, more than 1%; the first is" in capsys.readouterr().err
        assert not (out / "models").exists()
    assert cli.main([*arguments, "--allow-unreadable"]) == 0
    printed = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    told = {problem["name"]: problem["kind"] for problem in summary["problems"]}
    assert told == problems
    dataset = summary["dataset"]
    assert (dataset["clips"], dataset["usable"], dataset["missing"]) == (25, 23, 0)
    assert (dataset["splits"][0]["group_overlap"] > 0) == (how == "random")
    report = (out / "report.html").read_text()
    for clip in problems:
        assert clip.replace("&", "&amp;") in report
        assert clip in printed
    assert "1 of 34 packets cannot be decoded" in report
    assert "warning" not in printed


def test_groups_that_are_unknown_are_said_to_be(tmp_path, capsys):
    ucf_tree(tmp_path / "clips")
    arguments = [*SMALL, "--dataset", "hmdb51", "--data-root", str(tmp_path / "clips")]
    arguments += ["--allow-unreadable", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--split", "group"]) == 2
    assert "the names of 25 of 25 clips" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main(arguments) == 0
    assert "warning: the names of 25 of 25 clips" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["dataset"]["splits"][0]["group_overlap"] == "unknown"
    report = (tmp_path / "out" / "report.html").read_text()
    assert "unknown of these beside a training sample" in report
    assert "0.0% of these" not in report


def test_a_folder_whose_name_is_no_utf8(tmp_path, capsys):
    root = tmp_path / os.fsdecode(b"clips\xff")
    ucf_tree(root)
    arguments = [*SMALL, "--dataset", "ucf101", "--data-root", str(root), "--allow-unreadable"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert r"clips\xff/UCF101/UCF-101" in capsys.readouterr().out
    assert r"clips\xff" in (tmp_path / "out" / "report.html").read_text()


def test_rendered_clips_do_not_go_into_a_folder_of_the_users(tmp_path, capsys):
    root = tmp_path / "mine"
    root.mkdir()
    arguments = [*SMALL, "--data-root", str(root), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 2
    assert "mine goes with --dataset ucf101 or hmdb51; --dataset" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_rendered_clips_are_taken_from_a_folder_of_theirs(tmp_path):
    sizes = {"groups": 2, "clips_per_group": 1, "height": 16, "width": 16}
    config = replace(PRESETS["smoke"], data_root=str(tmp_path), **sizes)
    rendered = named("rendered")
    with pytest.raises(ConfigError, match="or takes a folder with clips that it rendered before"):
        rendered.maker(config)
    rendered.maker(replace(config, data_root=None))(tmp_path, lambda done, of: None)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    rendered.maker(config)(tmp_path, lambda done, of: None)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert len(find_clips("rendered", tmp_path).clips) == 20
