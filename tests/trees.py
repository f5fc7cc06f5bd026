"""Small trees in the layouts of UCF101 and HMDB-51, with the odd things that people have."""

from __future__ import annotations

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


def hmdb_lists(folder, encode=str.encode):
    """Three splits: source N for the test, and the one after it in neither part."""
    folder.mkdir(parents=True, exist_ok=True)
    for_test = {}
    for number in (1, 2, 3):
        flags = {HMDB_SOURCES[number - 1]: 2, HMDB_SOURCES[number]: 0}
        of = {
            name: next((f for source, f in flags.items() if f"/{source}_" in name), 1)
            for name in hmdb_names()
        }
        for kind in HMDB_CLASSES:
            lines = [f"{n.split('/')[1]} {flag} " for n, flag in of.items() if n.startswith(kind)]
            (folder / f"{kind}_test_split{number}.txt").write_bytes(encode("\n".join(lines)))
        for_test[number] = [name for name, flag in of.items() if flag == 2]
    return for_test
