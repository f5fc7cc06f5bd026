"""Small trees in the layouts of UCF101 and HMDB-51, with the odd things that people have."""

from __future__ import annotations

import os

from clips import write_clip, write_pictures, zero_packet

UCF_CLASSES = {"ApplyEyeMakeup": "ApplyEyeMakeup", "HandstandPushups": "HandStandPushups"}
UCF_GROUPS = range(1, 6)
HMDB_SOURCES = ("#20_Rhythm", "(HQ)_Rock_[live]!_&_more", "three", "four_u_cm", "1.2_five")
HMDB_CLASSES = ("brush_hair", "smile")


def touch(root, names):
    """Files that no test decodes."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"RIFF")


def ucf_names(suffix=".avi", clips=2):
    """Names of clips: folder, file; HandstandPushups is written in two ways, as there."""
    return [
        f"{folder}/v_{name}_g{group:02d}_c{clip:02d}{suffix}"
        for folder, name in UCF_CLASSES.items()
        for group in UCF_GROUPS
        for clip in range(1, clips + 1)
    ]


def hmdb_names(suffix=".avi", clips=2):
    """Names of clips with the characters that real ones hold."""
    return [
        f"{name}/{source}_{name}_u_nm_np1_fr_goo_{clip}{suffix}"
        for name in HMDB_CLASSES
        for source in HMDB_SOURCES
        for clip in range(clips)
    ]


def ucf_lists(folder, encode=str.encode):
    """Three splits; list N has group N and no other for the test. Returns these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for_test = {}
    for number in (1, 2, 3):
        # The real lists write HandStandPushups in the name of the folder too.
        names = [name.replace("HandstandP", "HandStandP") for name in ucf_names()]
        test = [name for name in names if f"_g{number:02d}_" in name]
        train = [f"{name} {1 + name.startswith('Hand')}" for name in names if name not in test]
        (folder / f"trainlist{number:02d}.txt").write_bytes(encode("\r\n".join(train) + "\r\n"))
        (folder / f"testlist{number:02d}.txt").write_bytes(encode("\r\n".join(test)))
        for_test[number] = [name for name in ucf_names() if f"_g{number:02d}_" in name]
    return for_test


def hmdb_lists(folder, encode=str.encode, more=()):
    """Three splits: source N for the test, and the one after it in neither part."""
    folder.mkdir(parents=True, exist_ok=True)
    for_test = {}
    for number in (1, 2, 3):
        flags = {HMDB_SOURCES[number - 1]: 2, HMDB_SOURCES[number]: 0}
        of = {
            name: next((f for source, f in flags.items() if f"/{source}_" in name), 1)
            for name in (*hmdb_names(), *more)
        }
        for kind in {name.split("/")[0] for name in of}:
            lines = [f"{n.split('/')[1]} {flag} " for n, flag in of.items() if n.startswith(kind)]
            (folder / f"{kind}_test_split{number}.txt").write_bytes(encode("\n".join(lines)))
        for_test[number] = [name for name, flag in of.items() if flag == 2]
    return for_test


def with_oddities(folder, names):
    """Write clips of these names, of which some are as no clip should be.

    Returns
    -------
    dict
        Kinds of problem, by the names of clips that have one.
    """
    for number, name in enumerate(names):
        write_clip(folder / name, frames=30 + number, seed=number)
    path = [folder / name for name in names]
    write_clip(path[0], frames=3)
    write_clip(path[1], width=31, height=23)
    path[2].unlink()
    write_clip(path[2].with_suffix(".mp4"), width=24, height=32, rotation=90)
    path[3].unlink()
    write_pictures(path[3].parent / "more" / path[3].stem)  # beside films: no clip
    write_clip(path[3].with_suffix(".webm"), metadata={"title": "odd"})
    zero_packet(path[4], 0)
    path[5].write_bytes(b"")
    path[6].write_bytes(path[6].read_bytes()[:300] + b"cut off in the header")
    write_clip(path[7], metadata={"title": "QQQQ"})
    path[7].write_bytes(path[7].read_bytes().replace(b"QQQQ", b"\xff\xfe\x80Q"))
    kinds = {0: "short", 4: "damaged", 5: "unreadable", 6: "unreadable"}
    return {names[number]: kind for number, kind in kinds.items()}


def ucf_tree(root):
    """UCF101 as some unpack it. Returns names for the test, by split, and the problems."""
    problems = with_oddities(root / "UCF101" / "UCF-101", ucf_names())
    odd = os.fsdecode(b"YoYo/v_YoYo_\xff_g%02d_c01.avi")
    for group in UCF_GROUPS:
        write_clip(root / "UCF101" / "UCF-101" / (odd % group), seed=group)
    for_test = ucf_lists(root / "UCF101" / "ucfTrainTestlist")
    (root / "UCF101.rar").write_bytes(b"Rar!")
    return for_test, problems


def hmdb_tree(root):
    """HMDB-51 as some unpack it. Returns names for the test, by split, and the problems."""
    names = hmdb_names()
    problems = with_oddities(root / "hmdb51_org" / "made", names)
    for name in HMDB_CLASSES:  # class/class/clip.avi
        (root / "hmdb51_org" / name).mkdir()
        (root / "hmdb51_org" / "made" / name).rename(root / "hmdb51_org" / name / name)
        (root / "hmdb51_org" / f"{name}.rar").write_bytes(b"Rar!")
    (root / "hmdb51_org" / "made").rmdir()
    waving = [f"wave/{source}_wave_f_cm_np2_le_bad_0.avi" for source in HMDB_SOURCES]
    for name in waving:
        write_pictures(root / "hmdb51_org" / name.removesuffix(".avi"))
    lists = root / "test_train_splits" / "testTrainMulti_7030_splits"
    return hmdb_lists(lists, more=waving), problems
