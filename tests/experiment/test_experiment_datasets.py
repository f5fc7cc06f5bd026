"""Clips are found, grouped and split as UCF101 and HMDB-51 lay them out."""

import numpy as np
import pytest

from tefast.experiment.datasets import DatasetError, find_clips
from tefast.experiment.splits import Split, group_overlap, split


def touch(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"RIFF")


UCF = [
    f"{folder}/v_{name}_g{group:02d}_c{clip:02d}.avi"
    for folder, name in [("ApplyEyeMakeup", "ApplyEyeMakeup"),
                         ("HandstandPushups", "HandStandPushups"), ("YoYo", "YoYo")]
    for group in range(1, 11)
    for clip in range(1, 4)
]  # fmt: skip
HMDB = [
    "smile/#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi",
    "smile/(HQ)_Rock_[live]!_&_more_smile_h_cm_np1_fr_med_1.avi",
    "smile/(HQ)_Rock_[live]!_&_more_smile_h_cm_np2_le_bad_2.avi",
    "wave/one_wave_f_nm_np1_ba_med_0.avi",
    "wave/two_wave_l_nm_np1_ri_med_0.avi",
    "wave/three_wave_u_nm_np1_fr_med_5.avi",
]


@pytest.fixture
def ucf(tmp_path):
    touch(tmp_path / "UCF-101", UCF)
    return tmp_path


@pytest.fixture
def hmdb(tmp_path):
    touch(tmp_path, HMDB)
    return tmp_path


def test_ucf101(ucf):
    touch(ucf / "UCF-101", ["YoYo/.hidden.avi", "YoYo/readme.txt", ".git/a.avi"])
    for root in (ucf, ucf / "UCF-101"):
        dataset = find_clips("ucf101", root)
        assert dataset.classes == ("ApplyEyeMakeup", "HandstandPushups", "YoYo")
        assert [clip.name for clip in dataset.clips] == sorted(UCF)
        assert all(clip.path.is_file() for clip in dataset.clips)
        clip = dataset.clips[30]
        assert (clip.name, clip.label, clip.group) == (
            "HandstandPushups/v_HandStandPushups_g01_c01.avi", 1, "01",
        )  # fmt: skip


def test_a_link_that_leads_nowhere_is_a_clip_that_cannot_be_read(ucf):
    (ucf / "UCF-101" / "YoYo" / "v_YoYo_g11_c01.avi").symlink_to(ucf / "gone.avi")
    assert find_clips("ucf101", ucf).clips[-1].name == "YoYo/v_YoYo_g11_c01.avi"


def test_hmdb51_names_are_taken_as_they_are(hmdb):
    dataset = find_clips("hmdb51", hmdb)
    assert [clip.name for clip in dataset.clips] == sorted(HMDB)
    groups = {clip.name: clip.group for clip in dataset.clips}
    assert groups[HMDB[0]] == "#20_Rhythm_clap"
    assert groups[HMDB[1]] == groups[HMDB[2]] == "(HQ)_Rock_[live]!_&_more_smile"
    assert groups[HMDB[3]] == "one_wave"


def test_folders_without_clips(tmp_path):
    with pytest.raises(DatasetError, match=r"none is not a folder; expected one with a folder"):
        find_clips("ucf101", tmp_path / "none")
    (tmp_path / "YoYo").mkdir()
    (tmp_path / "Other").mkdir()
    with pytest.raises(DatasetError, match=r"holds no clip; .* found 2 folders without any"):
        find_clips("ucf101", tmp_path)


def check_parts(dataset, part, used=None):
    everything = sorted([*part.train.tolist(), *part.test.tolist()])
    assert everything == (list(range(len(dataset.clips))) if used is None else used)


def test_random_split(ucf):
    dataset = find_clips("ucf101", ucf)
    parts = [split(dataset, "random", seed, ucf) for seed in (0, 0, 1)]
    for part in parts:
        check_parts(dataset, part)
        assert len(part.test) == 18
    np.testing.assert_array_equal(parts[0].test, parts[1].test)
    assert parts[0].test.tolist() != parts[2].test.tolist()
    assert group_overlap(dataset, parts[0].train, parts[0].test) > 0.5


def test_group_split(ucf):
    dataset = find_clips("ucf101", ucf)
    part = split(dataset, "group", 3, ucf)
    check_parts(dataset, part)
    assert group_overlap(dataset, part.train, part.test) == 0.0
    labels = [dataset.clips[i].label for i in part.test]
    assert [labels.count(label) for label in range(3)] == [6, 6, 6]  # two groups of ten, each
    assert part.test.tolist() != split(dataset, "group", 4, ucf).test.tolist()


def test_group_overlap_counts_the_class_too(ucf):
    dataset = find_clips("ucf101", ucf)
    # Group 1 of one class says nothing about group 1 of another.
    assert group_overlap(dataset, np.array([0]), np.array([30, 1])) == 0.5


def test_one_group_cannot_be_split_by_groups(hmdb):
    touch(hmdb, ["run/a_run_f_nm_np1_ba_med_0.avi"])
    with pytest.raises(DatasetError, match="class run has one group alone"):
        split(find_clips("hmdb51", hmdb), "group", 0, hmdb)


def test_official_lists_of_ucf101(ucf):
    dataset = find_clips("ucf101", ucf)
    lists = ucf / "ucfTrainTestlist"
    lists.mkdir()
    # The real lists write HandStandPushups in the folder's name too.
    train = "ApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01.avi 1\nYoYo/v_YoYo_g09_c03.avi 101\r\n"
    train += "YoYo/v_YoYo_g99_c01.avi 101\n"
    (lists / "trainlist02.txt").write_text(train)
    (lists / "testlist02.txt").write_text("HandStandPushups/v_HandStandPushups_g01_c02.avi\n\n")
    for root in (ucf, ucf / "UCF-101"):
        part = split(dataset, "official-2", 0, root)
        assert [dataset.clips[i].name for i in part.test] == [UCF[31]]
        assert [dataset.clips[i].name for i in part.train] == [UCF[3], UCF[86]]
        assert part.missing == 1
    with pytest.raises(DatasetError, match=r"trainlist01.txt, which is not there"):
        split(dataset, "official-1", 0, ucf)


def test_official_lists_of_hmdb51(hmdb):
    dataset = find_clips("hmdb51", hmdb)
    lists = hmdb / "testTrainMulti_7030_splits"
    lists.mkdir()
    flags = dict(zip(HMDB, [1, 2, 0, 1, 2, 1], strict=True))
    for name in ("smile", "wave"):
        lines = [f"{c.split('/')[1]} {flag} " for c, flag in flags.items() if c.startswith(name)]
        (lists / f"{name}_test_split3.txt").write_text("\n".join(lines))
    # A folder of lists is no class, since it holds no clip.
    dataset = find_clips("hmdb51", hmdb)
    part = split(dataset, "official-3", 0, hmdb)
    named = {dataset.clips[i].name: 1 for i in part.train} | {
        dataset.clips[i].name: 2 for i in part.test
    }
    assert named == {name: flag for name, flag in flags.items() if flag}
    (lists / "wave_test_split3.txt").write_text("one.avi\n")
    with pytest.raises(DatasetError, match=r"wave_test_split3.txt: expected lines 'name flag'"):
        split(dataset, "official-3", 0, hmdb)


def test_official_split_without_lists(ucf, hmdb):
    with pytest.raises(DatasetError, match="no folder ucfTrainTestlist in"):
        split(find_clips("ucf101", ucf), "official-1", 0, ucf)
    with pytest.raises(DatasetError, match="no folder testTrainMulti_7030_splits or splits in"):
        split(find_clips("hmdb51", hmdb), "official-1", 0, hmdb)


def test_a_split_with_an_empty_part(tmp_path):
    touch(tmp_path, ["A/v_A_g01_c01.avi"])
    with pytest.raises(DatasetError, match="has 1 clips for training and 0 for the test"):
        split(find_clips("ucf101", tmp_path), "random", 0, tmp_path)
    assert Split(np.array([1]), np.array([2])).missing == 0
