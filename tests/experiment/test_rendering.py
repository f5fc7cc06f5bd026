"""The rendered set: its files, and that only the order of the frames tells its classes apart."""

import dataclasses
import shutil

import av
import numpy as np
import pytest

from tefast.experiment.rendering import RenderSettings, clip_name, draw, render
from tefast.experiment.scenes import MOTIONS

SMALL = RenderSettings(
    classes=("MoveLeft", "MoveRight"),
    groups=4,
    clips_per_group=2,
    frames=(5, 9),
    height=24,
    width=32,
)
LARGE = RenderSettings(height=48, width=64)


def contents(root):
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered")
    render(root, SMALL)
    return root


def decode(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def brightness(frames):
    """Pixels (T, H, W) above the background, which stands still and is dark."""
    light = np.stack(list(frames)).astype(float).sum(axis=3)
    return np.where(light > 320, light, 0)


def centres(frames):
    """Centre of the bright pixels in every frame: x and y in pixels, and how many there are."""
    light = brightness(frames) > 0
    area = light.sum(axis=(1, 2))
    y, x = np.mgrid[: light.shape[1], : light.shape[2]]
    return (light * x).sum((1, 2)) / area, (light * y).sum((1, 2)) / area, area


def test_files_are_laid_out_like_ucf101(rendered):
    expected = {
        f"UCF-101/{name}/v_{name}_g{group:02d}_c{clip:02d}.avi"
        for name in SMALL.classes
        for group in (1, 2, 3, 4)
        for clip in (1, 2)
    }
    lists = {f"{kind}list0{n}.txt" for kind in ("train", "test") for n in (1, 2, 3)}
    expected |= {f"ucfTrainTestlist/{name}" for name in lists | {"classInd.txt"}}
    assert contents(rendered).keys() == expected | {"rendering.json"}


def test_clips_are_mpeg4_in_avi(rendered):
    lengths = set()
    for path in rendered.glob("UCF-101/*/*.avi"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert container.format.name == "avi"
            assert stream.codec_context.name == "mpeg4"
            assert (stream.codec_context.width, stream.codec_context.height) == (32, 24)
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert stream.average_rate == 25
            lengths.add(sum(1 for _ in container.decode(video=0)))
    assert lengths <= set(range(5, 10))
    assert len(lengths) > 1


def test_what_is_stored_is_what_was_drawn(rendered):
    drawn = list(draw(SMALL, "MoveLeft", 2, 1))
    stored = decode(rendered / "UCF-101" / clip_name("MoveLeft", 2, 1))
    assert len(stored) == len(drawn)
    # Colour is stored at half the resolution, and compressed.
    assert np.abs(np.stack(stored).astype(int) - np.stack(drawn)).mean() < 10


def test_lists_hold_groups_out(rendered):
    folder = rendered / "ucfTrainTestlist"
    assert (folder / "classInd.txt").read_text() == "1 MoveLeft\n2 MoveRight\n"
    everything = {clip_name(n, g, c) for n in SMALL.classes for g in (1, 2, 3, 4) for c in (1, 2)}
    held = []
    for number in (1, 2, 3):
        lines = (folder / f"trainlist0{number}.txt").read_text().splitlines()
        train = [line.split(" ") for line in lines]
        test = (folder / f"testlist0{number}.txt").read_text().splitlines()
        labels = {"MoveLeft": "1", "MoveRight": "2"}
        assert all(label == labels[name.split("/")[0]] for name, label in train)
        assert {name for name, _ in train} | set(test) == everything
        groups = [{name[-11:-8] for name in names} for names in ((n for n, _ in train), test)]
        assert not groups[0] & groups[1]
        held.append(groups[1])
    assert held == [{"g01"}, {"g02"}, {"g03"}]


def test_an_interrupted_set_is_completed_to_the_same_bytes(rendered, tmp_path):
    whole = contents(rendered)
    root = tmp_path / "set"

    class StopError(Exception):
        pass

    def stop(done, total):
        assert total == 16
        if done == 5:
            raise StopError

    with pytest.raises(StopError):
        render(root, SMALL, stop)
    assert len(contents(root)) == 1 + 5
    kept = root / "UCF-101" / clip_name("MoveLeft", 1, 1)
    time = kept.stat().st_mtime_ns
    calls = []
    render(root, SMALL, lambda done, total: calls.append((done, total)))
    assert calls == [(done, 16) for done in range(1, 17)]
    assert contents(root) == whole
    assert kept.stat().st_mtime_ns == time


def test_a_clip_that_is_lost_is_rendered_again(rendered, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(rendered, root)
    (root / "UCF-101" / clip_name("MoveRight", 3, 2)).unlink()
    (root / "ucfTrainTestlist" / "testlist02.txt").unlink()
    render(root, SMALL)
    assert contents(root) == contents(rendered)


def test_sets_of_other_settings_are_not_mixed(rendered, tmp_path):
    before = contents(rendered)
    with pytest.raises(ValueError, match="other settings: seed is 0 there, and 1 is wanted"):
        render(rendered, dataclasses.replace(SMALL, seed=1))
    assert contents(rendered) == before
    (tmp_path / "UCF-101").mkdir()
    with pytest.raises(ValueError, match="was not rendered here"):
        render(tmp_path, SMALL)
    assert contents(tmp_path) == {}


def test_settings_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "rendering.json").write_text("{")
    with pytest.raises(ValueError, match=r"rendering\.json cannot be read"):
        render(tmp_path, SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("MoveLeft", "Jump")}, "unknown 'Jump'; known are CircleClockwise"),
        ({"classes": ()}, "expected different names"),
        ({"classes": ("Grow", "Grow")}, "expected different names"),
        ({"groups": 1}, "groups: expected 2 to 99, got 1"),
        ({"clips_per_group": 100}, "clips_per_group: expected 1 to 99, got 100"),
        ({"height": 25}, "height: expected an even number from 16 on, got 25"),
        ({"width": 8}, "width: expected an even number from 16 on, got 8"),
        ({"frames": (9, 5)}, "frames: expected 1 <= shortest <= longest, got"),
        ({"fps": 0}, "fps: expected 1 to 240, got 0"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
    ],
)
def test_settings_that_cannot_be_rendered(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_clips_differ_and_groups_share_their_background():
    def still(group, clip):
        """The background: in the median over time, an object that moves fast is gone."""
        frames = np.stack(list(draw(LARGE, "MoveRight", group, clip))).astype(float)
        return np.median(frames, axis=0)[:6]

    first, second, other = still(1, 1), still(1, 2), still(2, 1)
    assert not np.array_equal(first, second)
    assert np.abs(first - second).mean() < 0.5 * np.abs(first - other).mean()


def test_a_clip_does_not_depend_on_the_other_classes():
    alone = dataclasses.replace(SMALL, classes=("MoveRight",), groups=2)
    for one, two in zip(
        draw(alone, "MoveRight", 1, 1), draw(SMALL, "MoveRight", 1, 1), strict=True
    ):
        assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("MoveRight", 0, 1), ("MoveLeft", 0, -1), ("MoveDown", 1, 1), ("MoveUp", 1, -1),
     ("Grow", 2, 1), ("Shrink", 2, -1)],
)  # fmt: skip
def test_objects_move_as_their_class_says(name, axis, sign):
    for clip in (1, 2, 3, 4):
        track = centres(draw(LARGE, name, 1, clip))
        steps = sign * np.diff(track[axis])
        assert sign * (track[axis][-1] - track[axis][0]) > 8
        assert (steps > 0).mean() > 0.8


@pytest.mark.parametrize(("name", "sign"), [("CircleClockwise", 1), ("CircleCounterclockwise", -1)])
def test_circles_turn_as_their_class_says(name, sign):
    for clip in (1, 2, 3, 4):
        x, y, _ = centres(draw(LARGE, name, 1, clip))
        angle = np.unwrap(np.arctan2(y - y.mean(), x - x.mean()))
        # y points down, so the angle of what goes clockwise rises.
        assert sign * (angle[-1] - angle[0]) > 1.5 * np.pi


@pytest.mark.parametrize(("name", "axis"), [("SwingHorizontal", 0), ("SwingVertical", 1)])
def test_swings_come_back(name, axis):
    for clip in (1, 2, 3, 4):
        track = centres(draw(LARGE, name, 1, clip))
        assert np.ptp(track[axis]) > 2 * np.ptp(track[1 - axis])
        steps = np.diff(track[axis])
        assert min((steps > 0).mean(), (steps < 0).mean()) > 0.2


def test_an_object_changes_its_colour_with_its_place():
    """What survives the average over the picture, and so what a network can know of a move."""
    frames = np.stack(list(draw(LARGE, "MoveRight", 1, 1))).astype(float)
    light = np.where((brightness(frames) > 0)[..., None], frames, 0)
    red, _, blue = (light.sum(axis=(1, 2)) / (light > 0).sum(axis=(1, 2))).T
    assert red[0] > blue[0] + 20
    assert blue[-1] > red[-1] + 20


def test_half_of_the_classes_are_the_others_backwards():
    """With its frames in no order, such a clip could be of either class."""
    forward = {motion.path for motion in MOTIONS.values() if not motion.backwards}
    backward = [motion.path for motion in MOTIONS.values() if motion.backwards]
    assert len(MOTIONS) >= 10
    assert set(backward) <= forward
    assert len(set(backward)) == len(backward) == 4
