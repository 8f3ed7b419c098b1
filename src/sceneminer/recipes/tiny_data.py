"""Pictures of many towns and what each shows, as one shard a town: what ``tiny_clip`` is trained and judged on.

Towns, drives and skies matter more than times, so a shard holds a few moments of each of several short drives: six
cameras at one instant, rendered straight to the tower's input size. A shard is written whole or not at all, and one
that is there is not made again: making them is resumable and may go on while a training reads them.
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from safetensors import safe_open
from safetensors.numpy import save_file

from sceneminer.data.errors import DataError
from sceneminer.data.synth.drive import record_drive
from sceneminer.data.synth.facts import SceneFacts, Sight, view_facts
from sceneminer.data.synth.facts_clip import clip_facts
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.render import Renderer, camera_image
from sceneminer.data.synth.rig import CHANNELS, rig_sensors
from sceneminer.data.synth.scene import Drive, Split

CAMERAS = tuple(channel for channel in CHANNELS if channel.startswith("CAM_"))
SHARD_FORMAT = "1"


@dataclass(frozen=True)
class ShardPlan:
    """What is recorded of each town."""

    split: Split
    drives: int = 4
    times_s: tuple[float, ...] = (0.4, 2.7, 5.0, 7.3)
    duration_s: float = 8.0
    size_hw: tuple[int, int] = (128, 224)


@dataclass(frozen=True, eq=False)
class Moment:
    """Six cameras at one instant."""

    drive: str
    time_s: float
    images: UInt8[ndarray, "v h w 3"]
    views: tuple[SceneFacts, ...]
    """What each image shows."""
    around: SceneFacts
    """What can be said of the two seconds around it, ego's motion and events included."""


def shard_path(folder: Path, plan: ShardPlan, town_seed: int) -> Path:
    return folder / plan.split / f"town-{town_seed:04d}.safetensors"


def write_shard(folder: Path, plan: ShardPlan, town_seed: int) -> Path:
    """Render one town's moments into its shard, unless it is there; the same arguments write the same pictures."""
    path = shard_path(folder, plan, town_seed)
    if path.exists():
        return path
    town = build_town(plan.split, town_seed)
    renderer = Renderer(town)
    moments = []
    for seed in range(plan.drives):
        drive = record_drive(town, seed, duration_s=plan.duration_s)
        moments += [record_moment(renderer, drive, time_s, size_hw=plan.size_hw) for time_s in plan.times_s]
    save_shard(path, moments)
    return path


def save_shard(path: Path, moments: Sequence[Moment]) -> None:
    """Write a shard as a whole; a reader sees it complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    truth = [
        {"drive": m.drive, "time_s": m.time_s, "views": [asdict(v) for v in m.views], "around": asdict(m.around)}
        for m in moments
    ]
    images = np.ascontiguousarray(np.stack([m.images for m in moments]))
    save_file({"images": images}, part, metadata={"format": SHARD_FORMAT, "moments": json.dumps(truth)})
    part.replace(path)


def record_moment(renderer: Renderer, drive: Drive, time_s: float, *, size_hw: tuple[int, int]) -> Moment:
    """All six cameras at one time, and the facts that each image shows."""
    sensors = rig_sensors(size_hw, CAMERAS).sensors
    images, views = [], []
    for channel in CAMERAS:
        camera, mount = sensors[channel].camera, sensors[channel].ego_from_sensor
        assert camera is not None
        view = camera_image(renderer, drive, time_s, ego_from_camera=mount, camera=camera)
        images.append(view.rgb)
        views.append(view_facts(drive, time_s, view, ego_from_camera=mount, camera=camera))
    around = clip_facts(drive, max(time_s - 1.0, 0.0), min(time_s + 1.0, drive.duration_s))
    return Moment(drive.name, time_s, np.stack(images), tuple(views), around)


def write_shards(folder: Path, plan: ShardPlan, seeds: Sequence[int], *, workers: int) -> Iterator[Path]:
    """Shards of these towns as they get done, those that are there already left out."""
    missing = [seed for seed in seeds if not shard_path(folder, plan, seed).exists()]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(write_shard, folder, plan, seed) for seed in missing]
        for job in as_completed(jobs):
            yield job.result()


def read_shard(path: Path) -> list[Moment]:
    """The moments of one shard; DataError where it is of another format."""
    with safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != SHARD_FORMAT:
            raise DataError(f"{path.name}: expected shard format {SHARD_FORMAT}, found {metadata.get('format')!r}")
        images = file.get_tensor("images")
    truth = json.loads(metadata["moments"])
    return [
        Moment(m["drive"], m["time_s"], pictures, tuple(map(parse_facts, m["views"])), parse_facts(m["around"]))
        for m, pictures in zip(truth, images, strict=True)
    ]


def parse_facts(value: dict[str, Any]) -> SceneFacts:
    """SceneFacts from the JSON of a shard."""
    sights: list[dict[str, Any]] = [
        {k: tuple(v) if isinstance(v, list) else v for k, v in sight.items()} for sight in value["sights"]
    ]
    return SceneFacts(
        sights=tuple(Sight(**sight) for sight in sights),
        counts=tuple((kind, count) for kind, count in value["counts"]),
        sky=tuple(value["sky"]),
        places=tuple(value["places"]),
        ego=tuple(value["ego"]),
        events=tuple((kind, actor) for kind, actor in value["events"]),
    )
