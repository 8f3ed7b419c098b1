"""A spinning 32-beam LiDAR in the town (after Velodyne's HDL-32E), with motion during the sweep, noise and labels.

Labels are nuScenes-lidarseg's category indices: 0 is noise, then the categories in alphabetical order within groups
(animal, human, movable_object, static_object, vehicle), then flat, static and ego.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8
from numpy import ndarray

from sceneminer.data.synth.raycast import Grid, build_grid, cast_moving, cast_still
from sceneminer.data.synth.render import Renderer
from sceneminer.data.synth.returns import Cloud, rain_clutter, receive, surface_of
from sceneminer.data.synth.scene import Drive, ego_at
from sceneminer.data.synth.stage import Posed, pose_actors
from sceneminer.geometry.pose import invert, pose_from_yaw, transform

RINGS = 32
COLUMNS = 1084
SWEEP_S = 0.05
LOWEST_DEG, HIGHEST_DEG = -30.67, 10.67
NEAR_M, FAR_M = 1.0, 100.0
MARGIN_M = 80.0


@dataclass(frozen=True)
class LidarSweep:
    """The returns of one turn, in the LiDAR's frame at ``end_time_s``."""

    points: Float32[ndarray, "n 3"]
    intensity: Float32[ndarray, "n"]
    """0 to 255."""
    ring: UInt8[ndarray, "n"]
    """0 is the lowest beam."""
    actor_id: Int32[ndarray, "n"]
    """-1: no actor."""
    material_id: UInt8[ndarray, "n"]
    """Index into MATERIALS; 255 for rain clutter."""
    label: UInt8[ndarray, "n"]
    """nuScenes-lidarseg category index."""
    time_s: Float32[ndarray, "n"]
    """When each return was measured, relative to the end of the sweep (at most 0)."""
    range_m: Float32[ndarray, "n"]
    """Measured range, from where the sensor was at that time."""


@dataclass(frozen=True)
class Beams:
    """The rays of one sweep in the town, column by column, lowest ring first."""

    origins: Float[ndarray, "r 3"]
    ways: Float[ndarray, "r 3"]
    ring: UInt8[ndarray, "r"]
    share: Float[ndarray, "r"]
    """0 at the start of the sweep, 1 at its end."""


@dataclass(frozen=True)
class Hits:
    distance_m: Float[ndarray, "r"]
    triangle: Int32[ndarray, "r"]
    """Into the renderer's static triangles, or into ``actors``'s own."""
    owner: Int32[ndarray, "r"]
    """Index into ``posed``, -1 for what stands."""
    incidence: Float[ndarray, "r"]
    """Cosine between ray and surface normal."""


def make_beams(drive: Drive, end_time_s: float, *, ego_from_lidar: Float[ndarray, "4 4"]) -> Beams:
    """Rays of a sweep that ends at a time: clockwise from the sensor's left (-x), as nuScenes's LIDAR_TOP turns."""
    share = (np.arange(COLUMNS) + 0.5) / COLUMNS
    azimuth = np.pi - 2 * np.pi * share
    high = np.deg2rad(np.linspace(LOWEST_DEG, HIGHEST_DEG, RINGS))
    local = np.stack(
        [
            np.cos(azimuth)[:, None] * np.cos(high),
            np.sin(azimuth)[:, None] * np.cos(high),
            np.broadcast_to(np.sin(high), (COLUMNS, RINGS)),
        ],
        -1,
    )
    states = np.array([ego_at(drive, end_time_s - SWEEP_S * (1 - s)) for s in share])
    town_from_lidar = pose_from_yaw(states[:, 0], states[:, 1], states[:, 3], z_m=states[:, 2]) @ ego_from_lidar
    ways = np.einsum("cij,crj->cri", town_from_lidar[:, :3, :3], local)
    origins = np.repeat(town_from_lidar[:, None, :3, 3], RINGS, 1)
    ring = np.broadcast_to(np.arange(RINGS, dtype=np.uint8), (COLUMNS, RINGS))
    return Beams(origins.reshape(-1, 3), ways.reshape(-1, 3), ring.reshape(-1).copy(), np.repeat(share, RINGS))


def town_grid(renderer: Renderer) -> Grid:
    """The ray grid of a town, built once per renderer."""
    if renderer.grid is None:
        x0, y0, x1, y1 = renderer.town.bounds
        bounds = (x0 - MARGIN_M, y0 - MARGIN_M, x1 + MARGIN_M, y1 + MARGIN_M)
        renderer.grid = build_grid(renderer.scenery.soup.xyz, bounds)
    return renderer.grid


def cast_beams(renderer: Renderer, drive: Drive, beams: Beams, end_time_s: float) -> tuple[Hits, list[Posed]]:
    """What each ray meets first within FAR_M; walkers hold the pose of the sweep's end."""
    grid, xyz = town_grid(renderer), renderer.scenery.soup.xyz
    n = len(beams.origins)
    distance, triangle = np.empty(n), np.empty(n, np.int32)
    corner = np.array([grid.x_m, grid.y_m])
    cast_still(
        xyz, grid.start, grid.entries, grid.low, grid.high, grid.columns, grid.rows,
        corner, beams.origins, beams.ways, FAR_M, distance, triangle,
    )  # fmt: skip
    normal = np.cross(xyz[triangle, 1] - xyz[triangle, 0], xyz[triangle, 2] - xyz[triangle, 0]).astype(np.float64)
    incidence = np.abs(np.einsum("ri,ri->r", normal, beams.ways)) / (np.linalg.norm(normal, axis=1) + 1e-12)
    owner = np.full(n, -1, np.int32)
    meshes = renderer.drive_cache(drive).meshes
    here = beams.origins[-1]
    posed = pose_actors(drive, end_time_s, meshes, near=here, reach_m=FAR_M + 2.0)
    for k, p in enumerate(posed):
        earlier, was_there = p.actor.at(end_time_s - SWEEP_S)
        begin = earlier[:4] if was_there else p.state[:4]
        cast_moving(
            p.mesh.xyz, 0, len(p.mesh), k, np.array(p.actor.size_lwh_m), begin, p.state[:4], beams.share,
            beams.origins, beams.ways, distance, triangle, owner, incidence,
        )  # fmt: skip
    return Hits(distance, triangle, owner, incidence), posed


def lidar_sweep(
    renderer: Renderer, drive: Drive, end_time_s: float, *, ego_from_lidar: Float[ndarray, "4 4"], noise: bool = True
) -> LidarSweep:
    """One turn of the LiDAR that ends at a time (s).

    Points are where the sensor measured them at each column's own time, brought into its frame at ``end_time_s``
    (ego motion is undone, that of others is not, as in nuScenes). ``noise=False`` leaves out range noise, dropout and
    clutter. The same drive and time give the same bytes.
    """
    beams = make_beams(drive, end_time_s, ego_from_lidar=ego_from_lidar)
    hits, posed = cast_beams(renderer, drive, beams, end_time_s)
    seen = (hits.distance_m < FAR_M) & (hits.distance_m > NEAR_M)
    pick = np.flatnonzero(seen)
    cloud = surface_of(
        renderer,
        posed,
        beams.origins[pick] + beams.ways[pick] * hits.distance_m[pick, None],
        distance_m=hits.distance_m[pick],
        triangle=hits.triangle[pick],
        owner=hits.owner[pick],
        incidence=hits.incidence[pick],
        ray=pick,
    )
    if noise:
        rng = np.random.default_rng((drive.seed, 32, round((end_time_s + 100.0) * 1e6)))
        cloud = receive(cloud, drive.environment, rng)
        cloud = rain_clutter(cloud, drive.environment, len(beams.ring), hits.distance_m, rng)
    x, y, z, yaw, _ = ego_at(drive, end_time_s)
    lidar_from_town = invert(pose_from_yaw(x, y, yaw, z_m=z) @ ego_from_lidar)
    town = beams.origins[cloud.ray] + beams.ways[cloud.ray] * cloud.range_m[:, None]
    return _sweep(cloud, beams, transform(lidar_from_town, town))


def _sweep(cloud: Cloud, beams: Beams, points: Float[ndarray, "n 3"]) -> LidarSweep:
    return LidarSweep(
        points.astype(np.float32),
        cloud.intensity.astype(np.float32),
        beams.ring[cloud.ray],
        cloud.actor_id,
        cloud.material_id,
        cloud.label,
        ((beams.share[cloud.ray] - 1.0) * SWEEP_S).astype(np.float32),
        cloud.range_m.astype(np.float32),
    )
