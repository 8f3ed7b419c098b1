"""What the contract needs to know of one small raw tree, or of one real folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from sceneminer.data.options import OpenOptions

RED, GREEN = (210, 40, 30), (30, 160, 60)


@dataclass(frozen=True)
class AdapterCase:
    """One tree, and what opening it should give. A new adapter is one more of these in ``test_adapters.CASES``."""

    name: str
    make: Callable[[Path], Path]
    """``make_*_tree``: writes a small tree below a folder and returns the root to open."""
    adapter: str
    logs: int
    cameras: tuple[str, ...]
    """Of the first log."""
    image_size: tuple[int, int] | None
    """(width, height) of its first camera's first image, drawn by ``write_two_tone``; None: no images."""
    has_poses: bool
    has_tracks: bool
    has_map: bool
    has_points: bool
    is_video: bool = False
    options: OpenOptions = field(default_factory=OpenOptions)


def write_two_tone(path: Path, width: int, height: int) -> None:
    """An image red on its left half and green on its right: tells RGB from BGR, and left from right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, GREEN
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95) if path.suffix != ".png" else Image.fromarray(pixels).save(path)
