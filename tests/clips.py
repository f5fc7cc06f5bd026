"""Small video files, and folders of pictures, for tests."""

import av
import numpy as np

CODECS = {
    ".avi": ("mpeg4", "avi"),
    ".mp4": ("mpeg4", "mp4"),
    ".mov": ("mpeg4", "mov"),
    ".mkv": ("mpeg4", "matroska"),
    ".mpg": ("mpeg1video", "mpeg"),
    ".webm": ("libvpx", "webm"),
}


def ramp(frames, height, width, seed=0):
    """Pictures of which number i of n has red 255 i / (n - 1) and noise in blue."""
    rng = np.random.default_rng(seed)
    for i in range(frames):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[..., 0] = round(255 * i / max(frames - 1, 1))
        picture[..., 2] = rng.integers(0, 60, (height, width))
        yield picture


def write_clip(
    path, frames=12, height=24, width=32, seed=0, metadata=None, rotation=None, pictures=None
):
    """Write a clip of a `ramp`, or of `pictures`; the suffix says in which container and codec."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec, container_format = CODECS[path.suffix.lower()]
    with av.open(str(path), "w", format=container_format) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec != "libvpx":
            stream.options = {"qscale": "2"}
        stream.codec_context.gop_size = 4
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for picture in pictures or ramp(frames, height, width, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_pictures(folder, frames=12, height=24, width=32, pattern="img_{}.png"):
    """Write the pictures of a `ramp` as files, numbered from 1 on."""
    folder.mkdir(parents=True, exist_ok=True)
    codec = "png" if pattern.endswith(".png") else "mjpeg"
    kept = "rgb24" if codec == "png" else "yuvj420p"
    for number, picture in enumerate(ramp(frames, height, width), start=1):
        with av.open(str(folder / "part"), "w", format="image2pipe") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, kept
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        (folder / "part").rename(folder / pattern.format(number))
    return folder


def zero_packet(path, number):
    """Overwrite a packet of the video stream by zeros."""
    with av.open(str(path)) as container:
        packet = [each for each in container.demux(video=0) if each.size][number]
        start, size = packet.pos, packet.size
    content = bytearray(path.read_bytes())
    content[start : start + size] = bytes(size)
    path.write_bytes(bytes(content))
