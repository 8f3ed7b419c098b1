"""Windows of many towns' drives, rendered once with everything that is true of them: the data of ``mining``.

A window is five seconds of one drive: ten Frames at 2 Hz of six cameras, straight at the tower's input size, with ego
and agents at 10 Hz until four seconds after it, so that every clip in it has its future. Half of the training windows
are drawn by chance, all others lie where rare tags or staged events are (``choose_start``): shares of tags in these
sets are not those of the town. A file is written whole or not at all; making them is resumable.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from safetensors.numpy import save_file

from sceneminer.data.clip import Clip
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.data.synth.as_log import hdmap_of, log_of
from sceneminer.data.synth.drive import record_drive
from sceneminer.data.synth.facts_clip import clip_facts
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.render import Renderer, camera_image
from sceneminer.data.synth.rig import rig_sensors
from sceneminer.data.synth.scene import Drive, Split
from sceneminer.data.track import AgentStates, states_at
from sceneminer.geometry.grid import BevGrid
from sceneminer.labels.ego import EgoStates, ego_states
from sceneminer.labels.maps import rasterise
from sceneminer.labels.prompts import TAGS
from sceneminer.labels.risk import clip_risk, measure
from sceneminer.labels.tags import label_tags
from sceneminer.recipes.tiny_data import CAMERAS

WINDOW_FORMAT = "1"
FRAME_US, CLIP_US, STATE_US, FUTURE_US = 500_000, 2_000_000, 100_000, 4_000_000
DRIVABLE_GRID = BevGrid(cell_m=2.0)
STATE_NAMES = ("x_m", "y_m", "yaw_rad", "vx_mps", "vy_mps", "yaw_rate_rps", "length_m", "width_m")
EGO_NAMES = ("x_m", "y_m", "yaw_rad", "speed_mps", "yaw_rate_rps")
_RARITY: Mapping[str, float] = {
    "high_speed": 12.0,
    "lane_change": 9.0,
    "parked_obstruction": 16.0,
    "parking_lot": 10.0,
    "many_pedestrians": 9.0,
    "construction_zone": 6.0,
    "bus": 7.0,
    "dense_traffic": 6.0,
    "large_truck": 5.0,
    "jaywalker": 5.0,
    "ego_wait": 9.0,
    "following_lead": 4.0,
    "ego_turn_right": 3.0,
    "ego_turn_left": 2.0,
    "pedestrian_crossing": 2.0,
    "two_wheeler": 2.0,
    "cyclist": 2.0,
}
"""What a window is worth that has a tag: one over its share of 14 s logs; night and rain hold for whole drives."""
_EVENT_WORTH = 14.0


@dataclass(frozen=True)
class WindowPlan:
    """What is recorded of each town."""

    split: Split
    drives: int = 8
    frames: int = 10
    duration_s: float = 20.0
    size_hw: tuple[int, int] = (128, 224)
    by_chance: float = 0.0
    """Share of windows that are drawn by chance."""

    @property
    def window_us(self) -> int:
        return self.frames * FRAME_US


def window_path(folder: Path, plan: WindowPlan, town_seed: int, drive_seed: int) -> Path:
    return folder / plan.split / f"town-{town_seed:04d}-{drive_seed:02d}.safetensors"


def write_town(folder: Path, plan: WindowPlan, town_seed: int) -> list[Path]:
    """The windows of one town, those that are there left as they are; the same arguments write the same bits."""
    paths = [window_path(folder, plan, town_seed, seed) for seed in range(plan.drives)]
    if all(path.exists() for path in paths):
        return paths
    town = build_town(plan.split, town_seed)
    renderer, hdmap = Renderer(town), hdmap_of(town)
    for seed, path in enumerate(paths):
        if not path.exists():
            drive = record_drive(town, seed, duration_s=plan.duration_s)
            rng = np.random.default_rng([town_seed, seed, 11])
            tensors, truth = record_window(drive, hdmap, plan, rng)
            save_window(path, {"images": render(renderer, drive, truth["frame_times_us"], plan), **tensors}, truth)
    return paths


def write_towns(folder: Path, plan: WindowPlan, seeds: Sequence[int], *, workers: int) -> Iterator[list[Path]]:
    """The windows of these towns, town by town as they get done."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for job in as_completed([pool.submit(write_town, folder, plan, seed) for seed in seeds]):
            yield job.result()


def save_window(path: Path, tensors: Mapping[str, ndarray], truth: Mapping[str, Any]) -> None:
    """Write a window as a whole; a reader sees it complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    kept = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(kept, part, metadata={"format": WINDOW_FORMAT, "truth": json.dumps(truth)})
    part.replace(path)


def record_window(
    drive: Drive, hdmap: HdMap, plan: WindowPlan, rng: np.random.Generator
) -> tuple[dict[str, ndarray], dict[str, Any]]:
    """All that is true of the window chosen in a drive, without pictures: tensors by name, and the rest as JSON.

    Arrays over agents are [agents, times] at ``STATE_US`` from the window's start until ``FUTURE_US`` after its end, in
    the town's frame, NaN where an agent is absent.
    """
    log = log_of(drive, hdmap=hdmap)
    starts = _starts(log, plan)
    tags = tags_at(log, _clip_starts(starts, plan))
    start = choose_start(drive, starts, tags, plan, rng)
    times = start + np.arange((plan.window_us + FUTURE_US) // STATE_US + 1, dtype=np.int64) * STATE_US
    agents, ego = states_at(log.store.read_tracks(), times), ego_states(log, times)
    frame_times = start + np.arange(plan.frames, dtype=np.int64) * FRAME_US
    clip_starts = [int(t) for t in frame_times if t + CLIP_US <= start + plan.window_us]
    poses = log.poses_at(frame_times)[0]
    tensors, known = motion_truth(agents, ego, clip_starts)
    tensors |= {
        "world_from_ego": poses,
        "drivable": np.stack([rasterise(hdmap, DRIVABLE_GRID, pose, ("drivable",))[0] for pose in poses]),
        "tags": np.array([tags[t] for t in clip_starts], np.int8),
    }
    truth = {
        "log": drive.name,
        "town": drive.town.name,
        "start_us": start,
        "frame_times_us": frame_times.tolist(),
        "clip_starts_us": clip_starts,
        "description": log.description,
        "facts": [asdict(clip_facts(drive, t / 1e6, (t + CLIP_US) / 1e6)) for t in clip_starts],
        "events": [asdict(event) for event in drive.events],
        **known,
    }
    return tensors, truth


def render(
    renderer: Renderer, drive: Drive, frame_times_us: Sequence[int], plan: WindowPlan
) -> UInt8[ndarray, "t v h w 3"]:
    """All cameras at each Frame's own time."""
    sensors = rig_sensors(plan.size_hw, CAMERAS).sensors

    def view(time_us: int, channel: str) -> ndarray:
        camera, mount = sensors[channel].camera, sensors[channel].ego_from_sensor
        assert camera is not None
        return camera_image(renderer, drive, time_us / 1e6, ego_from_camera=mount, camera=camera).rgb

    return np.stack([np.stack([view(time_us, channel) for channel in CAMERAS]) for time_us in frame_times_us])


def tags_at(log: Log, starts_us: Sequence[int]) -> dict[int, list[int]]:
    """1, 0 or -1 (unknown) for each tag of the clips that begin at these times."""
    clips = tuple(Clip(f"{log.log_id}@{start}", log.log_id, start, start + CLIP_US) for start in starts_us)
    found = label_tags(log, clips)
    return {
        clip.start_us: [-1 if labels[tag] is None else int(bool(labels[tag])) for tag in TAGS]
        for clip, labels in zip(clips, found, strict=True)
    }


def choose_start(
    drive: Drive, starts: Sequence[int], tags: Mapping[int, list[int]], plan: WindowPlan, rng: np.random.Generator
) -> int:
    """Where the window begins: by chance, or where most is to be seen that is rare."""
    by_chance, pick = rng.random() < plan.by_chance, int(rng.integers(len(starts)))
    if by_chance:
        return starts[pick]
    worth = [_worth(drive, start, tags, plan) + float(rng.random()) for start in starts]
    return starts[int(np.argmax(worth))]


def _worth(drive: Drive, start: int, tags: Mapping[int, list[int]], plan: WindowPlan) -> float:
    seen = np.array([tags[t] for t in _clip_starts([start], plan)]) == 1
    worth = sum(_RARITY.get(tag, 0.0) for tag, there in zip(TAGS, seen.any(0), strict=True) if there)
    end_s, start_s = (start + plan.window_us) / 1e6, start / 1e6
    staged = any(e.scripted and e.end_s <= end_s + 0.5 and e.end_s >= start_s + 1.0 for e in drive.events)
    return worth + _EVENT_WORTH * staged


def _starts(log: Log, plan: WindowPlan) -> list[int]:
    """Half seconds from 1 s on at which a window may begin, so that its future is still in the drive."""
    last = log.end_us - FUTURE_US - plan.window_us
    return list(range(1_000_000, last + 1, FRAME_US))


def _clip_starts(starts: Sequence[int], plan: WindowPlan) -> list[int]:
    within = range(0, plan.window_us - CLIP_US + 1, FRAME_US)
    return sorted({start + offset for start in starts for offset in within})


def motion_truth(
    agents: AgentStates, ego: EgoStates, clip_starts_us: Sequence[int]
) -> tuple[dict[str, ndarray], dict[str, Any]]:
    """States and risk of everybody who is ever there, as tensors, and who they are and each clip's risk, as JSON."""
    risk, kept = measure(agents, ego), np.flatnonzero(agents.present.any(1))
    tensors = {
        "agents": np.stack([getattr(agents, name)[kept] for name in STATE_NAMES], -1).astype(np.float32),
        "ego": np.stack([getattr(ego, name) for name in EGO_NAMES], -1),
        "agent_risk": risk.risk[kept].astype(np.float32),
        "frame_risk": risk.frame_risk.astype(np.float32),
    }
    known = {
        "track_ids": [agents.track_ids[k] for k in kept],
        "categories": [agents.categories[k] for k in kept],
        "risk": [asdict(clip_risk(risk, start, start + CLIP_US)) for start in clip_starts_us],
    }
    return tensors, known


def agent_states(
    states: Float[ndarray, "a t s"], track_ids: Sequence[str], categories: Sequence[Any], times_us: ndarray
) -> AgentStates:
    """The agents of a window as the labels know them."""
    columns = dict(zip(STATE_NAMES, np.moveaxis(states.astype(np.float64), -1, 0), strict=True))
    present = np.asarray(np.isfinite(states).all(-1))
    return AgentStates(
        tuple(track_ids), tuple(categories), times_us, **columns, z_m=np.zeros(states.shape[:2]), present=present
    )


def own_states(states: Float[ndarray, "t s"], times_us: ndarray) -> EgoStates:
    """Ego of a window as the labels know it."""
    return EgoStates(times_us=times_us, **dict(zip(EGO_NAMES, states.T, strict=True)))
