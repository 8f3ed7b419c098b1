"""Small videos: two in the root and a folder of two cameras."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from adapter_case import GREEN, RED


def two_tone(width: int, height: int) -> np.ndarray:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, GREEN
    return pixels


def grey(k: int, width: int, height: int) -> np.ndarray:
    """A frame that says its number: brightness 6 k."""
    return np.full((height, width, 3), 6 * k, np.uint8)


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    ticks: Sequence[int] | None = None,
    group: int = 6,
    b_frames: int = 2,
    created: str | None = None,
) -> None:
    """Frames at ``ticks`` of 1/30 s (each one by default), a keyframe every ``group``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        if created is not None:
            container.metadata["creation_time"] = created
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = group
        stream.bit_rate = 4_000_000
        if codec in ("libx264", "mpeg4"):
            stream.max_b_frames = b_frames
        stream.codec_context.time_base = Fraction(1, 30)
        for k, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (k if ticks is None else ticks[k]), Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def make_video_tree(folder: Path) -> Path:
    root = folder / "videos"
    for name, codec in (("dawn.mp4", "libx264"), ("dusk.mkv", "libx264")):
        write_video(root / name, [two_tone(64, 36)] * 12, codec=codec)
    for camera in ("front", "rear"):
        write_video(root / "tour" / f"{camera}.mov", [two_tone(64, 36)] * 8, codec="mjpeg")
    return root
