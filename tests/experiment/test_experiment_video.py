"""Frames are those that really decode, whatever the container says."""

import subprocess
import sys

import numpy as np
import pytest
from clips import write_clip

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
