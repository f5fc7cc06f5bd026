"""Clips are found, grouped and split as UCF101 and HMDB-51 lay them out."""

import os
import re

import numpy as np
import pytest
from trees import touch

from tefast.experiment.datasets import DatasetError, find_clips
from tefast.experiment.naming import printable
from tefast.experiment.splits import Split, group_overlap, split, unknown_groups

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
    (lists / "wink_test_split3.txt").write_text("a_wink_u_nm_np1_fr_goo_0.avi 1 \n")
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
    assert part.missing == 1  # of a class that is not there
    (lists / "wave_test_split3.txt").write_text("\none.avi\n")
    with pytest.raises(DatasetError, match=r"wave_test_split3.txt, line 2: expected 'name flag'"):
        split(dataset, "official-3", 0, hmdb)


def test_official_split_without_lists(ucf, hmdb):
    with pytest.raises(DatasetError, match=r"or UCF.* such as trainlist01.txt in"):
        split(find_clips("ucf101", ucf), "official-1", 0, ucf)
    with pytest.raises(DatasetError, match=r"no folder test.* as CLASS_test_split1.txt in"):
        split(find_clips("hmdb51", hmdb), "official-1", 0, hmdb)


def test_a_split_with_an_empty_part(tmp_path):
    touch(tmp_path, ["A/v_A_g01_c01.avi"])
    with pytest.raises(DatasetError, match="has 1 clips for training and 0 for the test"):
        split(find_clips("ucf101", tmp_path), "random", 0, tmp_path)
    assert Split(np.array([1]), np.array([2])).missing == 0


def test_names_that_tell_no_group(ucf):
    """Names of one set under the name of the other."""
    hmdb = ucf / "other"
    touch(hmdb, HMDB)
    first = [("hmdb51", ucf / "UCF-101", UCF[0]), ("ucf101", hmdb, sorted(HMDB)[0])]
    for name, root, example in first:
        found = find_clips(name, root)
        total = len(found.clips)
        told = f"the names of {total} of {total} clips in .* do not tell which video .* one is "
        with pytest.raises(DatasetError, match=told + re.escape(example) + "; a split by groups"):
            split(found, "group", 0, root)
        assert unknown_groups(found).endswith(example)
        part = split(found, "random", 0, root)
        assert group_overlap(found, part.train, part.test) is None
    assert unknown_groups(find_clips("ucf101", ucf)) is None


def test_one_odd_name_is_enough_to_know_no_groups(ucf):
    touch(ucf / "UCF-101", ["YoYo/mine.avi"])
    found = find_clips("ucf101", ucf)
    with pytest.raises(DatasetError, match=r"the names of 1 of 91 clips .* one is YoYo/mine.avi"):
        split(found, "group", 0, ucf)
    assert group_overlap(found, np.array([0]), np.array([1])) == 1.0
    odd = [clip.name for clip in found.clips].index("YoYo/mine.avi")
    assert group_overlap(found, np.array([0]), np.array([1, odd])) is None


def lists_of_ucf101(root, train, test):
    (root / "ucfTrainTestlist").mkdir(exist_ok=True)
    for kind, names in [("train", train), ("test", test)]:
        (root / "ucfTrainTestlist" / f"{kind}list01.txt").write_text("\n".join(names))


def test_lists_that_leak_are_refused(ucf):
    found = find_clips("ucf101", ucf)
    lists_of_ucf101(ucf, [UCF[0], UCF[3], UCF[33]], [UCF[1], UCF[34], UCF[60]])
    both = "ApplyEyeMakeup/01, HandstandPushups/02"
    with pytest.raises(DatasetError, match=f"official-1 of .* of 2 videos in both parts: {both}; "):
        split(found, "official-1", 0, ucf)
    part = split(found, "official-1", 0, ucf, allow_leak=True)
    assert group_overlap(found, part.train, part.test) == pytest.approx(2 / 3)


def test_lists_that_name_a_clip_for_both_parts_are_refused(ucf):
    found = find_clips("ucf101", ucf)
    lists_of_ucf101(ucf, [UCF[0], UCF[3]], [UCF[60], UCF[3].replace(".avi", ".mp4")])
    with pytest.raises(DatasetError, match=f"{UCF[3]} both for training and for the test"):
        split(found, "official-1", 0, ucf, allow_leak=True)


def test_lists_of_other_clips(ucf):
    lists_of_ucf101(ucf, ["Z/a.avi 1"], ["Z/b.avi"])
    with pytest.raises(DatasetError, match=r"none of the 2 clips .* the first is Z/a.avi"):
        split(find_clips("ucf101", ucf), "official-1", 0, ucf)


def test_names_that_differ_in_case_alone_are_two_clips(ucf):
    touch(ucf / "UCF-101", ["YoYo/V_YOYO_G01_C01.avi"])
    lists_of_ucf101(ucf, [UCF[60], UCF[0]], ["YoYo/V_YOYO_G01_C01.avi"])
    found = find_clips("ucf101", ucf)
    part = split(found, "official-1", 0, ucf)
    assert [found.clips[i].name for i in part.test] == ["YoYo/V_YOYO_G01_C01.avi"]
    assert [found.clips[i].name for i in part.train] == [UCF[0], UCF[60]]


def test_names_are_text_that_any_file_can_hold(ucf):
    name = os.fsdecode(b"v_YoYo_\xff(\xe9)_g11_c01.avi")
    touch(ucf / "UCF-101", [f"YoYo/{name}"])
    clip = find_clips("ucf101", ucf).clips[-1]
    assert clip.name == r"YoYo/v_YoYo_\xff(\xe9)_g11_c01.avi"
    assert (clip.group, clip.path.name) == ("11", name)
    assert clip.path.is_file()
    assert printable("caf\xe9 \\x") == "caf\xe9 \\x"
