"""Fabricated logs of tiny images, a small random model, and the whole content of an index, for tests of mining."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sceneminer.geometry.grid import BevGrid
from sceneminer.index.schema import TABLES
from sceneminer.index.store import Store
from sceneminer.model.config import ModelConfig
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.tower import load_tower

START_US = 1_700_000_000_000_000
KEYS = {
    "clips": ("clip_id",),
    "tokens": ("clip_id",),
    "thumbs": ("clip_id",),
    "frames": ("log_id", "time_us"),
    "agents": ("log_id", "time_us", "track_id"),
    "logs": ("log_id",),
    "empty_units": ("unit_id",),
    "manifest": ("key",),
}


def times_us(seconds: float, rate_hz: float, *, first_us: int = 0) -> list[int]:
    """Times from the start of a log, at a rate, up to and with ``seconds``."""
    return [START_US + first_us + round(k * 1e6 / rate_hz) for k in range(int(seconds * rate_hz + 1e-9) + 1)]


def write_noise(path: Path, *, seed: int, size: tuple[int, int] = (40, 24)) -> None:
    """An image that no other seed has."""
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 5, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def make_log(
    root: Path, name: str, cameras: Mapping[str, Iterable[int]], *, size: tuple[int, int] = (40, 24), poses: bool = True
) -> Path:
    """``ROOT/name/camera/time.jpg``, with a pose every half second along a straight road; returns the log's folder."""
    folder = root / name
    taken = [(camera, time) for camera, at in cameras.items() for time in at]
    for seed, (camera, time) in enumerate(taken):
        write_noise(folder / camera / f"{time}.jpg", seed=seed + 1000 * len(name), size=size)
    if poses:
        at = range(min(t for _, t in taken), max(t for _, t in taken) + 500_000, 500_000)
        rows = [f"{t},{(t - START_US) / 1e6 * 8.0},0,0,1,0,0,0" for t in at]
        (folder / "poses.csv").write_text("\n".join(["time_us,x,y,z,qw,qx,qy,qz", *rows]) + "\n")
    return folder


def write_rig(root: Path, cameras: Iterable[str], *, size: tuple[int, int] = (40, 24)) -> None:
    """Cameras that look ahead, at this size."""
    sensor = {
        "width": size[0],
        "height": size[1],
        "fx": 30.0,
        "fy": 30.0,
        "cx": size[0] / 2 - 0.5,
        "cy": size[1] / 2 - 0.5,
        "ego_from_sensor": {"translation": [1.5, 0.0, 1.6], "quaternion_wxyz": [0.5, -0.5, 0.5, -0.5]},
    }
    (root / "rig.json").write_text(json.dumps({"sensors": dict.fromkeys(cameras, sensor)}))


def make_model(tower: Path) -> SceneModel:
    """An untrained trunk, small except in what the index stores, around a tower folder."""
    config = ModelConfig(
        grid=BevGrid(cell_m=10.0), bev_width=8, distance_bins=4, heights_m=(0.0,), bev_token_grid=(3, 3),
        image_token_grid=(2, 3), token_layers=1,
    )  # fmt: skip
    return SceneModel(load_tower(tower), config)


def content(index: Path, *, leave_out: tuple[str, ...] = ("root",)) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, ordered by its key; floats as their bits."""
    store = Store.open(index)
    found = {}
    for name in TABLES:
        table = store.read(name)
        table = table.select([c for c in table.column_names if c not in leave_out])
        rows = sorted(table.to_pylist(), key=lambda row: tuple(row[k] for k in KEYS[name]))
        found[name] = [{k: _bits(v) for k, v in row.items()} for row in rows]
    return found


def _bits(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex()
    return (
        np.asarray(value).tobytes().hex()
        if isinstance(value, list) and value and isinstance(value[0], float)
        else value
    )


def quarantine_text(index: Path) -> str:
    path = index / "quarantine.jsonl"
    return path.read_text(encoding="utf-8") if path.exists() else ""
