"""Windows of annotated logs of any data set: the same files as those of towns, with each Frame's own calibration.

A window is five seconds of a log at 2 Hz; what a clip shows in words is the log's description, so that clips of one
log, and of logs that are described alike, count as right for each other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.frame import Frame, iter_frames
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.data.open import open_logs
from sceneminer.data.options import OpenOptions
from sceneminer.data.track import states_at
from sceneminer.geometry.pose import invert
from sceneminer.labels.ego import ego_states
from sceneminer.labels.maps import rasterise
from sceneminer.model.tower import Tower
from sceneminer.recipes.mining_data import (
    CLIP_US,
    DRIVABLE_GRID,
    FRAME_US,
    FUTURE_US,
    STATE_US,
    motion_truth,
    save_window,
    tags_at,
)

WINDOW_FRAMES = 10
_TOLERANCE_US = 150_000

NUSCENES_VAL = frozenset(
    f"scene-{number:04d}"
    for first, last in (
        *((3, 3), (12, 18), (35, 36), (38, 39), (92, 110), (221, 221), (268, 278), (329, 332), (344, 346), (519, 524)),
        *((552, 565), (625, 627), (629, 630), (632, 638), (770, 771), (775, 775), (777, 778), (780, 784), (794, 800)),
        *((802, 802), (904, 917), (919, 931), (962, 963), (966, 969), (971, 972), (1059, 1073)),
    )
    for number in range(first, last + 1)
)
"""The official validation scenes (nuscenes-devkit 1.2.0, nuscenes/utils/splits.py)."""


@dataclass(frozen=True)
class LogPlan:
    """Which logs are taken, and how often a window begins."""

    logs: tuple[str, ...] | None = None
    """Names; None: all."""
    stride_us: int = 2_500_000


def write_log_windows(
    root: Path, folder: Path, plan: LogPlan, tower: Tower, *, say: Callable[[str], None] = print
) -> list[Path]:
    """Windows of the logs under ``root``, those that are there left as they are.

    A log without cameras, poses or tracks, one shorter than a window with its future, or with a broken image is named
    and left out; DataError where none is left.
    """
    found = open_logs(root, OpenOptions(logs=plan.logs))
    paths, refused = [], [f"{name}: {issue.reason}" for name, issue in found.refused]
    for log in found.logs:
        try:
            paths += list(_windows(log, folder, plan, tower))
        except (DataError, MediaError) as error:
            refused.append(f"{log.name}: {error}")
    for line in refused:
        say(f"left out {line}")
    if not paths:
        raise DataError(f"expected a log to learn from under {root}, found none ({'; '.join(refused[:5])})")
    return paths


def _windows(log: Log, folder: Path, plan: LogPlan, tower: Tower) -> Iterator[Path]:
    missing = [
        w for w, there in (("poses", log.has_poses), ("tracks", log.has_tracks), ("images", log.cameras())) if not there
    ]
    if missing:
        raise DataError(f"expected a log with {' and '.join(missing)}")
    starts = range(log.start_us, log.end_us - WINDOW_FRAMES * FRAME_US - FUTURE_US + 1, plan.stride_us)
    if not starts:
        raise DataError(f"expected at least {(WINDOW_FRAMES * FRAME_US + FUTURE_US) / 1e6:g} s, found less")
    hdmap = log.store.read_map() if log.has_map else None
    for start in starts:
        path = folder / f"{log.log_id}-{(start - log.start_us) // 1000:07d}.safetensors"
        if not path.exists():
            _write(log, start, path, tower, hdmap)
        yield path


def _write(log: Log, start_us: int, path: Path, tower: Tower, hdmap: HdMap | None) -> None:
    times = start_us + np.arange((WINDOW_FRAMES * FRAME_US + FUTURE_US) // STATE_US + 1, dtype=np.int64) * STATE_US
    frame_times = start_us + np.arange(WINDOW_FRAMES, dtype=np.int64) * FRAME_US
    agents, ego = states_at(log.store.read_tracks(), times), ego_states(log, times)
    starts = [int(t) for t in frame_times if t + CLIP_US <= start_us + WINDOW_FRAMES * FRAME_US]
    tags, poses = tags_at(log, starts), log.poses_at(frame_times)[0]
    frames = list(iter_frames(log, frame_times, sensors=log.cameras(), tolerance_us=_TOLERANCE_US))
    tensors, known = motion_truth(agents, ego, starts)
    tensors |= {
        "images": _images(log, frames, tower),
        "world_from_ego": poses,
        "drivable": np.stack([_drivable(hdmap, pose) for pose in poses]),
        "tags": np.array([tags[t] for t in starts], np.int8),
        **_cameras(log, frames),
    }
    truth = {
        "log": log.name,
        "town": log.location or "",
        "start_us": start_us,
        "frame_times_us": frame_times.tolist(),
        "clip_starts_us": starts,
        "description": log.description,
        "events": [],
        **known,
    }
    save_window(path, tensors, truth)


def _images(log: Log, frames: list[Frame], tower: Tower) -> ndarray:
    """Every camera at the tower's input size. MediaError for a broken image, DataError for one that is not there."""

    def read(frame: Frame, name: str) -> ndarray:
        measurement = frame.measurements[name]
        if not measurement.valid or measurement.sensor is None or measurement.sensor.camera is None:
            raise DataError(f"expected an image of {name} with calibration at {frame.time_us} µs, {measurement.reason}")
        camera = measurement.sensor.camera
        height, width = tower.input_size(camera.width_px, camera.height_px)
        return log.store.read_image(log.series[name], measurement.index, size=(width, height))

    return np.stack([np.stack([read(frame, name) for name in log.cameras()]) for frame in frames])


def _cameras(log: Log, frames: list[Frame]) -> dict[str, ndarray]:
    """Intrinsics, image size and pose of each image: from the Frame's ego to the camera at its own time."""
    intrinsics, size, pose = [], [], []
    for frame in frames:
        for name in log.cameras():
            m = frame.measurements[name]
            assert m.sensor is not None and m.sensor.camera is not None
            assert m.world_from_ego is not None and frame.world_from_ego is not None
            intrinsics.append(m.sensor.camera.matrix)
            size.append((m.sensor.camera.width_px, m.sensor.camera.height_px))
            pose.append(invert(m.sensor.ego_from_sensor) @ invert(m.world_from_ego) @ frame.world_from_ego)
    shape = (len(frames), len(log.cameras()))
    return {
        "intrinsics": np.reshape(intrinsics, (*shape, 3, 3)).astype(np.float64),
        "size_px": np.reshape(size, (*shape, 2)).astype(np.int32),
        "camera_from_ego": np.reshape(pose, (*shape, 4, 4)).astype(np.float64),
    }


def _drivable(hdmap: HdMap | None, pose: ndarray) -> ndarray:
    if hdmap is None:
        return np.zeros(DRIVABLE_GRID.shape, bool)
    return rasterise(hdmap, DRIVABLE_GRID, pose, ("drivable",))[0]
