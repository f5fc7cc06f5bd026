"""Clips and lists are found wherever people keep them, or one line says what to do."""

import os

import pytest
from clips import write_pictures
from trees import hmdb_lists, hmdb_names, touch, ucf_lists, ucf_names

from tefast.experiment.datasets import DatasetError, find_clips
from tefast.experiment.splits import split


@pytest.mark.parametrize(
    ("dataset", "below"),
    [
        ("ucf101", "."),
        ("ucf101", "UCF-101"),
        ("ucf101", "UCF101/UCF-101"),
        ("ucf101", "any"),
        ("hmdb51", "."),
        ("hmdb51", "hmdb51"),
        ("hmdb51", "hmdb51_org"),
        ("hmdb51", "hmdb51/hmdb51_org"),
        ("hmdb51", "hmdb51/videos"),
    ],
)
def test_the_folder_of_the_classes_is_found(tmp_path, dataset, below):
    names = ucf_names() if dataset == "ucf101" else hmdb_names()
    touch(tmp_path / below, [*names, ".git/a.avi", "empty/readme.txt"])
    touch(tmp_path, ["__MACOSX/A/a.avi", "lost+found/A/a.avi"])
    found = find_clips(dataset, tmp_path)
    assert [clip.name for clip in found.clips] == sorted(names)
    assert found.root == tmp_path / below
    assert all(clip.path.is_file() for clip in found.clips)


def test_the_usual_name_goes_before_others(tmp_path):
    touch(tmp_path / "UCF-101", ucf_names())
    touch(tmp_path, ["mine/a.avi", "other/A/a.avi"])
    assert find_clips("ucf101", tmp_path).root == tmp_path / "UCF-101"
    touch(tmp_path / "two", ["b/A/a.avi", "c/A/a.avi"])
    with pytest.raises(DatasetError, match=r"holds 2 folders with a folder for every class: .*/b"):
        find_clips("ucf101", tmp_path / "two")


def test_a_class_unpacked_into_a_folder_of_its_name(tmp_path):
    names = hmdb_names()
    touch(tmp_path, [f"{name.split('/')[0]}/{name}" for name in names])
    found = find_clips("hmdb51", tmp_path)
    assert [clip.name for clip in found.clips] == sorted(names)
    assert found.clips[0].path.is_file()


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv", ".mov", ".mpg", ".MP4", ""])
@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
def test_clips_of_other_formats_match_the_lists(tmp_path, dataset, suffix):
    names, lists = (ucf_names, ucf_lists) if dataset == "ucf101" else (hmdb_names, hmdb_lists)
    for name in names(suffix):
        if suffix:
            touch(tmp_path, [name])
        else:
            touch(tmp_path / name, ["img_1.jpg"])
    for_test = lists(tmp_path / "splits")
    found = find_clips(dataset, tmp_path)
    assert [clip.name for clip in found.clips] == sorted(names(suffix))
    part = split(found, "official-2", 0, tmp_path)
    assert part.missing == 0
    tested = [found.clips[i].name.removesuffix(suffix) for i in part.test]
    assert tested == sorted(name.removesuffix(".avi") for name in for_test[2])
    assert None not in {clip.group for clip in found.clips}


def test_folders_of_pictures_are_clips_where_there_is_no_video(tmp_path):
    write_pictures(tmp_path / "A" / "v_A_g01_c01", frames=2)
    write_pictures(tmp_path / "B" / "thumbnails", frames=2)
    touch(tmp_path, ["B/v_B_g01_c01.avi"])
    found = find_clips("ucf101", tmp_path)
    assert [clip.name for clip in found.clips] == ["A/v_A_g01_c01", "B/v_B_g01_c01.avi"]
    assert [clip.group for clip in found.clips] == ["01", "01"]


def test_a_clip_that_is_there_twice(tmp_path):
    touch(tmp_path, ["A/v_A_g01_c01.avi", "A/v_A_g01_c01.mp4"])
    with pytest.raises(DatasetError, match=r"A holds one clip twice, as v_A_g01_c01.avi and as v_"):
        find_clips("ucf101", tmp_path)


def test_archives_are_named_with_what_unpacks_them(tmp_path):
    packed = tmp_path / "my sets"
    touch(packed, ["smile.rar", "wave.rar"])
    command = r"holds smile.rar and no clips; unpack with: cd '.*my sets' && for f in \*.rar; do "
    command += r'unrar x "\$f"; done \(or 7z x, or unar\)'
    for root in (packed, tmp_path):
        with pytest.raises(DatasetError, match=command):
            find_clips("hmdb51", root)
    touch(packed, ["test_train_splits.rar", "hmdb51_org.rar"])
    touch(packed, ["smile/a_smile_u_nm_np1_fr_goo_0.avi"])
    with pytest.raises(DatasetError, match=r"wave.rar is not unpacked: there is no class wave; un"):
        find_clips("hmdb51", packed)
    touch(packed, ["wave/a_wave_u_nm_np1_fr_goo_0.avi"])
    assert find_clips("hmdb51", packed).classes == ("smile", "wave")
    touch(tmp_path / "zipped", ["UCF101.zip"])
    with pytest.raises(DatasetError, match=r'for f in \*.zip; do unzip "\$f"; done$'):
        find_clips("ucf101", tmp_path / "zipped")


@pytest.mark.parametrize(
    ("lists", "root"),
    [
        ("ucfTrainTestlist", "."),
        ("ucfTrainTestlist", "UCF-101"),
        ("UCF-101/ucfTrainTestlist", "."),
        ("UCF-101/ucfTrainTestlist", "UCF-101"),
        ("ucfTrainTestlist/inner", "UCF-101"),
        ("more/ucfTrainTestlist", "."),
        ("UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist", "UCF-101"),
    ],
)
def test_lists_of_ucf101_are_found(tmp_path, monkeypatch, lists, root):
    touch(tmp_path / "UCF-101", ucf_names())
    for_test = ucf_lists(tmp_path / lists)[1]
    (tmp_path / "link").symlink_to(tmp_path / root)
    monkeypatch.chdir(tmp_path / root)
    for given in (tmp_path / root, type(tmp_path)("."), tmp_path / "link"):
        found = find_clips("ucf101", given)
        part = split(found, "official-1", 0, given)
        assert [found.clips[i].name for i in part.test] == for_test
        assert (len(part.train), part.missing) == (16, 0)


@pytest.mark.parametrize(
    "lists",
    [
        "testTrainMulti_7030_splits",
        "test_train_splits",
        "test_train_splits/testTrainMulti_7030_splits",
        "splits",
        "hmdb51_org/splits",
        "annotations",
    ],
)
@pytest.mark.parametrize("root", [".", "hmdb51_org"])
def test_lists_of_hmdb51_are_found(tmp_path, lists, root):
    touch(tmp_path / "hmdb51_org", hmdb_names())
    for_test = hmdb_lists(tmp_path / lists)[3]
    found = find_clips("hmdb51", tmp_path / root)
    part = split(found, "official-3", 0, tmp_path / root)
    assert [found.clips[i].name for i in part.test] == sorted(for_test)
    assert (len(part.train), part.missing) == (12, 0)


def test_a_folder_of_the_right_name_without_lists_is_passed_over(tmp_path):
    touch(tmp_path / "a", hmdb_names())
    touch(tmp_path / "a" / "splits", ["notes.txt", "._smile_test_split1.txt"])
    hmdb_lists(tmp_path / "a" / "annotations")
    touch(tmp_path / "a" / "annotations", ["._smile_test_split1.txt"])
    found = find_clips("hmdb51", tmp_path / "a")
    assert split(found, "official-1", 0, tmp_path / "a").missing == 0


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("windows", [False, True])
def test_lists_in_any_encoding(tmp_path, encoding, windows):
    def encode(text):
        return (text.replace("/", "\\") if windows else text).encode(encoding)

    touch(tmp_path, ucf_names())
    ucf_lists(tmp_path / "ucfTrainTestlist", encode)
    part = split(find_clips("ucf101", tmp_path), "official-1", 0, tmp_path)
    assert (len(part.train), len(part.test), part.missing) == (16, 4, 0)


@pytest.mark.parametrize("on_disk", ["utf-8", "latin-1"])
@pytest.mark.parametrize("in_list", ["utf-8", "latin-1"])
def test_letters_that_are_not_ascii(tmp_path, on_disk, in_list):
    (tmp_path / "A").mkdir()
    for name in ("caf\xe9.avi", "no\xebl.avi"):
        (tmp_path / "A" / os.fsdecode(name.encode(on_disk))).write_bytes(b"")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "trainlist01.txt").write_bytes("A/caf\xe9.avi 1\n".encode(in_list))
    (lists / "testlist01.txt").write_bytes("A/no\xebl.avi\n".encode(in_list))
    found = find_clips("ucf101", tmp_path)
    part = split(found, "official-1", 0, tmp_path)
    assert (part.train.tolist(), part.test.tolist(), part.missing) == ([0], [1], 0)
    shown = "A/caf\\xe9.avi" if on_disk == "latin-1" else "A/caf\xe9.avi"
    assert found.clips[0].name == shown
    assert found.clips[0].group is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A/a.avi 1\n\x00\x01\x02", "trainlist01.txt, line 2: expected text, got a zero byte"),
        (b"a.avi 1\n", "trainlist01.txt, line 1: expected 'Class/file.avi', got 'a.avi 1'"),
        (b"\xff\xfeA\x00\n\x00B", "trainlist01.txt, line 2: it is not whole as UTF-16"),
    ],
)
def test_a_list_that_is_none_is_named_with_the_line(tmp_path, content, message):
    touch(tmp_path, ["A/a.avi"])
    touch(tmp_path / "ucfTrainTestlist", ["testlist01.txt"])
    (tmp_path / "ucfTrainTestlist" / "trainlist01.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        split(find_clips("ucf101", tmp_path), "official-1", 0, tmp_path)
