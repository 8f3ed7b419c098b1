"""The geometry a model needs of a Frame, worked out in NumPy: where bird's-eye-view points land in each image.

Everything is in the ego frame at the Frame's reference time; each camera is projected into where it was at its own
time, since at 20 m/s and 50 ms a car has moved a metre.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.data.frame import Frame, Measurement
from sceneminer.geometry.camera import Camera, project, unproject
from sceneminer.geometry.grid import BevGrid
from sceneminer.geometry.pose import invert, transform


@dataclass(frozen=True, eq=False)
class LiftPoints:
    """Where the points of a BEV grid are seen in the cameras of one Frame.

    In the order of ``lift_points``.
    """

    uv: Float[ndarray, "v p 2"]
    """Across the whole image, -1 to 1 from its left (top) edge to its right (bottom) edge."""
    distance_m: Float[ndarray, "v p"]
    """From the camera centre along the ray."""
    visible: Bool[ndarray, "v p"]
    """False throughout for cameras without measurement or calibration; other values mean nothing there."""


NEAR_M = (-12.0, 32.0, -14.0, 14.0)
"""x from and to, y from and to: here a cell is wider than many patches, so that more than its middle is looked at."""
_COARSE_M = 1.5
"""Cells narrower than this are looked at in their middle alone."""


@dataclass(frozen=True, eq=False)
class PointSet:
    """The points of a BEV grid that are looked up in images."""

    xyz_m: Float[ndarray, "p 3"]
    """In the ego frame."""
    cell: Int[ndarray, "p"]
    """Which cell each belongs to, counted row by row."""
    level: Int[ndarray, "p"]
    """Which of the heights it has."""
    runs: tuple[int, ...]
    """Lengths of the runs that they come in: within one no cell is there twice."""


@lru_cache(maxsize=8)
def lift_points(grid: BevGrid, heights_m: tuple[float, ...]) -> PointSet:
    """The middle of each cell at each height (heights outermost, then rows, then columns), then, of cells near ego, the
    middles of their quarters."""
    centers = grid.centers().reshape(-1, 2)
    x, y = centers.T
    near = np.flatnonzero((x > NEAR_M[0]) & (x < NEAR_M[1]) & (y > NEAR_M[2]) & (y < NEAR_M[3]))
    quarters = grid.cell_m / 4 * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    parts = [(centers, np.arange(len(centers)))]
    if grid.cell_m > _COARSE_M:
        parts += [(centers[near] + quarter, near) for quarter in quarters]
    placed = [(xy, cell, level) for xy, cell in parts for level in range(len(heights_m))]
    return PointSet(
        np.concatenate([np.concatenate([xy, np.full((len(xy), 1), heights_m[k])], 1) for xy, _, k in placed]),
        np.concatenate([cell for _, cell, _ in placed]),
        np.concatenate([np.full(len(cell), k) for _, cell, k in placed]),
        tuple(len(cell) for _, cell, _ in placed),
    )


def sample_points(frame: Frame, cameras: Sequence[str], *, grid: BevGrid, heights_m: Sequence[float]) -> LiftPoints:
    """Where each BEV point lies in each named camera of the Frame, and whether it is seen.

    Cameras keep the order given; an unknown, invalid or uncalibrated one sees nothing. Without poses the ego is
    taken to stand between the reference time and the camera's.
    """
    points = lift_points(grid, tuple(heights_m)).xyz_m
    v, p = len(cameras), len(points)
    uv = np.zeros((v, p, 2), np.float32)
    distance_m = np.zeros((v, p), np.float32)
    visible = np.zeros((v, p), bool)
    for i, name in enumerate(cameras):
        seen = _calibrated(frame, name)
        if seen is None:
            continue
        measurement, camera = seen
        in_camera = transform(_camera_from_ego(frame, measurement), points)
        pixels, visible[i] = project(camera, in_camera)
        uv[i] = (pixels + 0.5) / (camera.width_px, camera.height_px) * 2 - 1
        distance_m[i] = np.linalg.norm(in_camera, axis=-1)
    return LiftPoints(uv, distance_m, visible)


def token_rays(frame: Frame, cameras: Sequence[str], *, token_grid: tuple[int, int]) -> Float[ndarray, "v gh gw 3"]:
    """Unit rays through the centres of an even (rows, columns) grid over each image, in the ego frame.

    NaN for a camera without measurement or calibration, and where the lens model has no inverse.
    """
    rays = np.full((len(cameras), *token_grid, 3), np.nan, np.float32)
    for i, name in enumerate(cameras):
        seen = _calibrated(frame, name)
        if seen is None:
            continue
        measurement, camera = seen
        ego_from_camera = invert(_camera_from_ego(frame, measurement))[:3, :3]
        rays[i] = _camera_rays(camera, token_grid) @ ego_from_camera.T
    return rays


def ego_motion(frames: Sequence[Frame | None]) -> Float[ndarray, "t 4 4"]:
    """``last_from_frame``: points of each Frame's ego in the last one's; NaN where either pose is unknown."""
    motion = np.full((len(frames), 4, 4), np.nan, np.float32)
    last = frames[-1]
    if last is None or last.world_from_ego is None:
        return motion
    last_from_world = invert(last.world_from_ego)
    for i, frame in enumerate(frames):
        if frame is not None and frame.world_from_ego is not None:
            motion[i] = last_from_world @ frame.world_from_ego
    return motion


def _calibrated(frame: Frame, name: str) -> tuple[Measurement, Camera] | None:
    measurement = frame.measurements.get(name)
    if measurement is None or not measurement.valid or measurement.sensor is None:
        return None
    camera = measurement.sensor.camera
    return None if camera is None else (measurement, camera)


def _camera_from_ego(frame: Frame, measurement: Measurement) -> Float[ndarray, "4 4"]:
    """From the ego frame at the reference time to the camera at its own."""
    assert measurement.sensor is not None
    camera_from_ego_then = invert(measurement.sensor.ego_from_sensor)
    if frame.world_from_ego is None or measurement.world_from_ego is None:
        return camera_from_ego_then
    return camera_from_ego_then @ invert(measurement.world_from_ego) @ frame.world_from_ego


@lru_cache(maxsize=256)
def _camera_rays(camera: Camera, token_grid: tuple[int, int]) -> Float[ndarray, "gh gw 3"]:
    rows, columns = token_grid
    u = (np.arange(columns) + 0.5) / columns * camera.width_px - 0.5
    v = (np.arange(rows) + 0.5) / rows * camera.height_px - 0.5
    with np.errstate(all="ignore"):
        rays = unproject(camera, np.stack(np.meshgrid(u, v), -1))
    return np.where(np.isfinite(rays).all(-1, keepdims=True), rays, np.nan)
