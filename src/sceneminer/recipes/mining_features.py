"""What the frozen tower makes of a window's images, computed once and kept beside it.

The tower never moves in ``mining``, so its embeddings and patch tokens are a function of the window and of the tower;
a feature file names the tower that made it, and another tower's are made anew.
"""

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, Int8, UInt8
from numpy import ndarray
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sceneminer.data.errors import DataError
from sceneminer.data.synth.write_log import JPEG_QUALITY
from sceneminer.labels.prompts import TAGS
from sceneminer.model.fingerprint import fingerprint_of
from sceneminer.model.tower import Tower
from sceneminer.recipes.mining_data import WINDOW_FORMAT

BATCH = 8


@dataclass(frozen=True, eq=False)
class Window:
    """One window: its truth in memory, its patch tokens on disk until they are asked for."""

    features: Path
    tensors: Mapping[str, ndarray]
    truth: Mapping[str, Any]
    embeddings: Float16[Tensor, "t v e"]
    size_hw: tuple[int, int]
    """Of the images, as the tower read them."""

    @property
    def clips(self) -> int:
        return len(self.truth["clip_starts_us"])

    def patches(self, first: int, count: int) -> Float16[Tensor, "t v gh gw d"]:
        """Patch tokens of some Frames, read from the file."""
        with safe_open(self.features, framework="pt") as file:
            return file.get_slice("patches")[first : first + count]


def tower_key(tower: Tower) -> str:
    """Names what decides the features: the tower's image side, preprocessing and numeric mode."""
    return fingerprint_of(dict(tower.fingerprint_state()))[:16]


def features_path(window: Path, key: str) -> Path:
    return window.parent.parent / f"features-{key}" / window.parent.name / window.name


def encode_window(window: Path, tower: Tower, key: str) -> Path:
    """Run a window's images through the tower, as mining would: as JPEG leaves them, in batches of a fixed shape."""
    path = features_path(window, key)
    if path.exists():
        return path
    with safe_open(window, framework="np") as file:
        images, recorded = file.get_tensor("images"), "intrinsics" in file.keys()  # noqa: SIM118
    t, v = images.shape[:2]
    flat = images.reshape(-1, *images.shape[2:])
    if not recorded:
        # Rendered pictures have not been through a file yet; recorded ones have.
        flat = np.stack([through_jpeg(image) for image in flat])
    parts = [_encode(tower, flat[i : i + BATCH]) for i in range(0, len(flat), BATCH)]
    embeddings, patches = (torch.cat([part[k] for part in parts]).unflatten(0, (t, v)) for k in (0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    save_file({"embeddings": embeddings, "patches": patches.contiguous()}, part, {"tower": key})
    part.replace(path)
    return path


def encode_windows(windows: Sequence[Path], tower: Tower) -> Iterator[Path]:
    """Feature files of windows as they get done, those that are there already left as they are."""
    key = tower_key(tower)
    for window in windows:
        yield encode_window(window, tower, key)


def read_window(window: Path, key: str) -> Window:
    """A window whose features are there; DataError where they are not, or the window is of another format."""
    features = features_path(window, key)
    if not features.exists():
        raise DataError(f"expected features of tower {key} for {window.name}, found none; encode the windows first")
    with safe_open(window, framework="np") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != WINDOW_FORMAT:
            raise DataError(f"{window.name}: expected window format {WINDOW_FORMAT}, found {metadata.get('format')!r}")
        _, _, height, width, _ = file.get_slice("images").get_shape()
        size_hw = (int(height), int(width))
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "images"}  # noqa: SIM118
    with safe_open(features, framework="pt") as file:
        embeddings = file.get_tensor("embeddings")
    truth = json.loads(metadata["truth"])
    return Window(features, tensors | {"tags": with_sky(tensors["tags"], truth)}, truth, embeddings, size_hw)


def with_sky(tags: Int8[ndarray, "c tags"], truth: Mapping[str, Any]) -> Int8[ndarray, "c tags"]:
    """Night and rain by the town's own sky: the rules go by descriptions, which leave out what annotators would."""
    fixed = tags.copy()
    for clip, facts in enumerate(truth.get("facts", ())):
        for tag in ("night", "rain"):
            fixed[clip, TAGS.index(tag)] = tag in facts["sky"]
    return fixed


def through_jpeg(image: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "h w 3"]:
    """As a written town stores it."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(data).convert("RGB"))


def _encode(tower: Tower, images: UInt8[ndarray, "b h w 3"]) -> tuple[Tensor, Tensor]:
    batch = np.zeros((BATCH, *images.shape[1:]), np.uint8)
    batch[: len(images)] = images
    out = tower.encode_images(torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous())
    return out.embeddings[: len(images)].half(), out.patches[: len(images)].half()
