"""Frames are those that really decode, whatever the container says."""

import os
import subprocess
import sys

import numpy as np
import pytest
from clips import ramp, write_clip, write_pictures, zero_packet

from tefast.experiment.video import ClipError, sample_frames


def reds(sampled):
    return sampled.frames[..., 0].mean(axis=(1, 2))


@pytest.mark.parametrize("frames", [2, 5, 12, 25])
def test_frames_are_evenly_spaced_from_first_to_last(tmp_path, frames):
    sampled = sample_frames(write_clip(tmp_path / "a.avi"), frames, (24, 32))
    assert sampled.frames.shape == (frames, 24, 32, 3)
    assert sampled.frames.dtype == np.uint8
    assert (sampled.decoded, sampled.damaged) == (12, None)
    wanted = np.floor(np.linspace(0, 11, frames) + 0.5) * 255 / 11
    np.testing.assert_allclose(reds(sampled), wanted, atol=8)  # the codec is lossy


def test_every_frame_is_the_one_a_plain_decoder_gives(tmp_path):
    import av

    path = write_clip(tmp_path / "a.avi")
    with av.open(str(path)) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    sampled = sample_frames(path, 4, (24, 32))
    np.testing.assert_array_equal(sampled.frames, np.stack([every[i] for i in (0, 4, 7, 11)]))


def test_frames_are_scaled(tmp_path):
    sampled = sample_frames(write_clip(tmp_path / "a.avi", width=64, height=48), 3, (20, 30))
    assert sampled.frames.shape == (3, 20, 30, 3)
    np.testing.assert_allclose(reds(sampled), [0, 139, 255], atol=8)


def test_a_declared_count_that_is_slightly_wrong_is_no_damage(tmp_path):
    path = write_clip(tmp_path / "a.avi", frames=40, height=96, width=128)
    content = path.read_bytes()
    count = (40).to_bytes(4, "little")
    at = content.index(b"strh") + 8 + 32  # dwLength of the stream's header
    assert content[at : at + 4] == count
    for declared, damaged in [(42, None), (100, "40 of 100 declared frames can be read")]:
        path.write_bytes(content[:at] + declared.to_bytes(4, "little") + content[at + 4 :])
        sampled = sample_frames(path, 3, (24, 32))
        assert (sampled.decoded, sampled.damaged) == (40, damaged)


def test_a_single_frame_is_repeated(tmp_path):
    sampled = sample_frames(write_clip(tmp_path / "a.avi", frames=1), 4, (24, 32))
    assert sampled.decoded == 1
    np.testing.assert_array_equal(sampled.frames, sampled.frames[[0]].repeat(4, axis=0))


def test_of_a_clip_cut_in_half_the_readable_frames_are_used(tmp_path):
    path = write_clip(tmp_path / "a.avi", frames=120, height=96, width=128)
    whole = sample_frames(path, 120, (24, 32))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sampled = sample_frames(path, 10, (24, 32))
    assert 10 < sampled.decoded < 120
    assert sampled.damaged
    wanted = np.floor(np.linspace(0, sampled.decoded - 1, 10) + 0.5).astype(int)
    # All but the last, of which a part may be gone.
    np.testing.assert_array_equal(sampled.frames[:-1], whole.frames[wanted[:-1]])


@pytest.mark.parametrize(
    "content", [b"", b"this is text, not a clip", bytes(5000)], ids=["empty", "text", "zeros"]
)
def test_what_is_no_clip_is_named(tmp_path, content):
    path = tmp_path / "v_Odd_g01_c01.avi"
    path.write_bytes(content)
    with pytest.raises(ClipError, match=r"v_Odd_g01_c01.avi: no frame can be read \(.+\)"):
        sample_frames(path)
    with pytest.raises(ClipError, match=r"none.avi: no frame can be read \(No such file"):
        sample_frames(tmp_path / "none.avi")


def test_a_clip_of_sound_alone_is_named(tmp_path):
    import av

    path = tmp_path / "sound.avi"
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ClipError, match="it has no video stream"):
        sample_frames(path)


def test_metadata_that_is_no_utf8_does_not_matter(tmp_path):
    path = write_clip(tmp_path / "a.avi", metadata={"title": "QQQQQQQQ"})
    content = path.read_bytes()
    assert b"QQQQQQQQ" in content
    path.write_bytes(content.replace(b"QQQQQQQQ", b"\xff\xfe\x80QQQQQ"))
    assert sample_frames(path, 3, (24, 32)).decoded == 12


@pytest.mark.parametrize("seed", range(3))
def test_a_broken_clip_leaves_stderr_alone(tmp_path, seed):
    path = write_clip(tmp_path / "a.avi", frames=40, height=96, width=128)
    content = bytearray(path.read_bytes())
    noise = np.random.default_rng(seed).bytes(len(content) // 4)
    content[len(content) // 2 : len(content) // 2 + len(noise)] = noise
    path.write_bytes(bytes(content))
    code = f"""
from contextlib import suppress
from pathlib import Path
from tefast.experiment.video import ClipError, sample_frames
with suppress(ClipError):
    sample_frames(Path({str(path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def plain(path):
    """Every frame that FFmpeg gives, packet by packet, and how many packets it refuses."""
    import av

    frames, refused = [], 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            try:
                frames += [frame.to_ndarray(format="rgb24") for frame in packet.decode()]
            except av.FFmpegError:
                refused += 1
    return frames, refused


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mov"])
@pytest.mark.parametrize("number", [0, 20, 21, 99])
def test_decoding_goes_on_past_a_bad_packet(tmp_path, suffix, number):
    path = write_clip(tmp_path / f"a{suffix}", frames=100)
    zero_packet(path, number)
    frames, refused = plain(path)
    assert refused == 1
    sampled = sample_frames(path, len(frames), (24, 32))
    assert sampled.decoded == len(frames) >= 91
    np.testing.assert_array_equal(sampled.frames, np.stack(frames))
    assert sampled.damaged.startswith("1 of 100 packets cannot be decoded (Invalid data found")


def test_many_bad_packets_are_counted(tmp_path):
    path = write_clip(tmp_path / "a.avi", frames=100)
    for number in range(10, 30):
        zero_packet(path, number)
    sampled = sample_frames(path, 5, (24, 32))
    assert sampled.decoded == 80
    assert sampled.damaged.startswith("20 of 100 packets cannot be decoded (")
    assert sampled.damaged.endswith("; 80 of 100 declared frames can be read")
    np.testing.assert_allclose(reds(sampled)[[0, -1]], [0, 255], atol=8)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".webm", ".mkv", ".mov", ".mpg", ".AVI"])
def test_containers(tmp_path, suffix):
    sampled = sample_frames(write_clip(tmp_path / f"a{suffix}"), 12, (24, 32))
    assert (sampled.decoded, sampled.damaged) == (12, None)
    np.testing.assert_allclose(reds(sampled), np.arange(12) * 255 / 11, atol=16)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_clips_of_phones_are_turned_as_players_do(tmp_path, rotation):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 255, 0, 0
    upright[:16, 24:] = 0, 255, 0
    upright[16:, :24] = 0, 0, 255
    stored = np.rot90(upright, -rotation // 90)  # turned anticlockwise by `rotation`, it is upright
    height, width = stored.shape[:2]
    path = write_clip(
        tmp_path / "a.mp4", height=height, width=width, rotation=rotation, pictures=[stored] * 3
    )
    sampled = sample_frames(path, 3, (32, 48))
    assert sampled.frames.shape == (3, 32, 48, 3)
    for row, column in [(8, 12), (8, 36), (24, 12), (24, 36)]:
        np.testing.assert_allclose(sampled.frames[1, row, column], upright[row, column], atol=30)


def test_a_clip_stored_as_in_a_mirror_is_turned_back(tmp_path):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 255
    path = write_clip(
        tmp_path / "a.mp4", height=32, width=48, rotation=180, pictures=[upright[:, ::-1]] * 3
    )
    # The matrix of a half turn, of which only the first sign stays: left and right change places.
    half = (-65536).to_bytes(4, "big", signed=True)
    content = path.read_bytes()
    at = content.index(half + bytes(12) + half) + 16
    path.write_bytes(content[:at] + (65536).to_bytes(4, "big") + content[at + 4 :])
    frame = sample_frames(path, 2, (32, 48)).frames[0]
    np.testing.assert_allclose(frame[[8, 8, 24, 24], [12, 36, 12, 36], 0], [255, 0, 0, 0], atol=30)


@pytest.mark.parametrize(("height", "width"), [(23, 31), (17, 45)])
def test_odd_sizes(tmp_path, height, width):
    sampled = sample_frames(write_clip(tmp_path / "a.avi", height=height, width=width), 4, (24, 32))
    assert (sampled.frames.shape, sampled.damaged) == ((4, 24, 32, 3), None)
    np.testing.assert_allclose(reds(sampled), np.array([0, 4, 7, 11]) * 255 / 11, atol=8)


@pytest.mark.parametrize("name", [b"caf\xe9.avi", b"#(HQ)_[a]!_&_%03d.avi", b"a:b.avi"])
def test_any_name_of_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.rename(write_clip(tmp_path / "a.avi"), name)
    path = type(tmp_path)(os.fsdecode(name))
    assert sample_frames(path, 3, (24, 32)).decoded == 12
    path.write_bytes(b"")
    with pytest.raises(ClipError, match=r"^[ -~]+: no frame can be read"):
        sample_frames(path)


def test_a_colon_in_a_relative_folder(tmp_path, monkeypatch):
    write_clip(tmp_path / "set:1" / "a.avi")
    monkeypatch.chdir(tmp_path)
    assert sample_frames(type(tmp_path)("set:1/a.avi"), 3, (24, 32)).decoded == 12


@pytest.mark.parametrize("pattern", ["img_{}.png", "{:05d}.jpg", "a%03d_{}.JPG"])
def test_pictures_in_a_folder_are_a_clip(tmp_path, pattern):
    folder = write_pictures(tmp_path / "v_A_g01_c01", pattern=pattern)
    (folder / "notes.txt").write_text("no picture")
    sampled = sample_frames(folder, 12, (24, 32))
    assert (sampled.decoded, sampled.damaged) == (12, None)
    np.testing.assert_allclose(reds(sampled), np.arange(12) * 255 / 11, atol=8)
    if pattern.endswith("png"):
        np.testing.assert_array_equal(sampled.frames, np.stack(list(ramp(12, 24, 32))))


def test_pictures_that_cannot_be_read(tmp_path):
    folder = write_pictures(tmp_path / "a")
    (folder / "img_3.png").write_bytes(b"")
    (folder / "img_7.png").write_bytes(b"no picture")
    sampled = sample_frames(folder, 10, (24, 32))
    assert sampled.decoded == 10
    assert sampled.damaged.startswith("2 of 12 pictures cannot be decoded (")
    (folder / "flow_x_1.png").write_bytes(b"")
    with pytest.raises(ClipError, match=r"it holds pictures of 2 kinds \(flow_x_N, img_N\)"):
        sample_frames(folder)
    (folder / "cover.png").write_bytes(b"")
    with pytest.raises(ClipError, match=r"its picture cover.png has no number"):
        sample_frames(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClipError, match=r"empty: no frame can be read \(it holds none\)"):
        sample_frames(tmp_path / "empty")


def test_a_path_that_cannot_be_followed_is_an_unreadable_clip(tmp_path):
    path = tmp_path / ("a" * 300 + ".avi")  # longer than a name may be
    with pytest.raises(ClipError, match=r"no frame can be read \(File name too long"):
        sample_frames(path)
