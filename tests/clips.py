"""Small AVI files for tests."""

import av
import numpy as np


def write_clip(path, frames=12, height=24, width=32, seed=0, metadata=None):
    """Write a clip in which frame i of n has red 255 i / (n - 1) and noise in blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w", format="avi") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"qscale": "2"}
        stream.codec_context.gop_size = 4
        for i in range(frames):
            picture = np.zeros((height, width, 3), np.uint8)
            picture[..., 0] = round(255 * i / max(frames - 1, 1))
            picture[..., 2] = rng.integers(0, 60, (height, width))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
