"""A pinhole camera in the town: colour, depth, actor and material of every pixel, from one set of triangles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8
from numpy import ndarray

from sceneminer.data.errors import DataError
from sceneminer.data.synth.ground_paint import TEXEL_M
from sceneminer.data.synth.lamps import collect_lamps, signal_states
from sceneminer.data.synth.lens import develop, reflect
from sceneminer.data.synth.light import Shadows
from sceneminer.data.synth.raster import rasterise, visible_boxes
from sceneminer.data.synth.raycast import Grid
from sceneminer.data.synth.scene import Drive, Environment, Town, ego_at
from sceneminer.data.synth.shade import Eye, Ground, Instances, Triangles, shade
from sceneminer.data.synth.shadow import SunMaps, make_sun_maps, moving_shadow
from sceneminer.data.synth.stage import Meshes, Posed, Scenery, build_scenery, pose_actors, town_from_actor
from sceneminer.data.synth.weather import AMBIENT, SUN_RGB, make_sky
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import invert, pose_from_yaw

GAMMA = 2.2
SHADOW_REACH_M = 56.0
SIGHT_M = 250.0
"""Actors further away are not drawn."""


@dataclass(frozen=True)
class CameraView:
    """One picture and its truth."""

    rgb: UInt8[ndarray, "h w 3"]
    depth_m: Float32[ndarray, "h w"]
    """Along the optical axis; inf for sky."""
    actor_id: Int32[ndarray, "h w"]
    """-1 where no actor is seen."""
    material_id: UInt8[ndarray, "h w"]
    """Index into MATERIALS; 255 for sky."""


@dataclass
class _DriveCache:
    drive: Drive
    meshes: Meshes
    sun: SunMaps | None


class Renderer:
    """The triangles of a town, ready to be sensed; keeps what it learns about the drive it saw last.

    Pickles as its town: another process builds its own triangles.
    """

    def __init__(self, town: Town):
        self.town = town
        self.scenery: Scenery = build_scenery(town)
        soup = self.scenery.soup
        self._static = len(soup)
        self._room = self._static
        # Static triangles, then those of the actors of the picture at hand.
        self.triangles = Triangles(
            soup.xyz,
            soup.normal,
            soup.uv,
            (soup.rgb**GAMMA).astype(np.float32),
            soup.material,
            soup.part,
            self.scenery.instance,
        )
        texture = self.scenery.ground
        self.ground = Ground(texture.texels, texture.levels, texture.origin[0], texture.origin[1], TEXEL_M)
        self.grid: Grid | None = None
        self._drive: _DriveCache | None = None

    def __reduce__(self):
        return (Renderer, (self.town,))

    def drive_cache(self, drive: Drive) -> _DriveCache:
        """Meshes and sun shadows of a drive; those of the drive before are forgotten."""
        if self._drive is None or self._drive.drive is not drive:
            if drive.town is not self.town and drive.town.name != self.town.name:
                raise DataError(f"expected a drive through {self.town.name}, found one through {drive.town.name}")
            self._drive = _DriveCache(drive, Meshes(), make_sun_maps(self.scenery, drive))
        return self._drive

    def place(self, posed: list[Posed]) -> list[tuple[int, int]]:
        """Write actors behind the static triangles; returns each one's first triangle and end."""
        total = self._static + sum(len(p.mesh) for p in posed)
        if total > self._room:
            self._room = total + 20000
            grown = []
            for old in self.triangles:
                new = np.zeros((self._room, *old.shape[1:]), old.dtype)
                new[: self._static] = old[: self._static]
                grown.append(new)
            self.triangles = Triangles(*grown)
        at, spans, first = self._static, [], len(self.scenery.seeds)
        for k, p in enumerate(posed):
            end = at + len(p.mesh)
            xyz, normal = town_from_actor(p.mesh, p.state)
            rgb = (p.mesh.rgb**GAMMA).astype(np.float32)
            new = (xyz, normal, p.mesh.uv, rgb, p.mesh.material, p.mesh.part, first + k)
            for table, value in zip(self.triangles, new, strict=True):
                table[at:end] = value
            spans.append((at, end))
            at = end
        return spans

    def instances(self, drive: Drive, posed: list[Posed], time_s: float) -> Instances:
        """Seed, height and lamp states of every prop and of the actors placed."""
        seeds = np.concatenate([self.scenery.seeds, [p.actor.variant & 0xFFFFF for p in posed]]).astype(np.int64)
        height = np.concatenate([self.scenery.heights, [p.actor.size_lwh_m[2] for p in posed]])
        signal = np.zeros((len(seeds), 4), np.uint8)
        index, state = signal_states(self.town, time_s)
        signal[index, 0] = state
        for k, p in enumerate(posed):
            signal[len(self.scenery.seeds) + k] = p.signals
        return Instances(seeds, height, signal)


@dataclass(frozen=True)
class Exposed:
    """What a camera sees, before its electronics: linear light and the truth behind it."""

    light: Float32[ndarray, "h w 3"]
    depth_m: Float32[ndarray, "h w"]
    actor_id: Int32[ndarray, "h w"]
    material_id: UInt8[ndarray, "h w"]
    rain_light: ndarray


def camera_light(
    renderer: Renderer, drive: Drive, time_s: float, *, ego_from_camera: Float[ndarray, "4 4"], camera: Camera
) -> Exposed:
    """Linear light of every pixel before exposure, with depth, actor and material (see ``camera_image``)."""
    if camera.model != "pinhole" or any(camera.distortion):
        raise DataError(f"expected a pinhole camera without distortion, found {camera.model} {camera.distortion}")
    cache = renderer.drive_cache(drive)
    x, y, z, yaw, _ = ego_at(drive, time_s)
    town_from_camera = pose_from_yaw(x, y, yaw, z_m=z) @ ego_from_camera
    view = invert(town_from_camera)[:3]
    width, height = camera.width_px, camera.height_px
    lens = np.array([2 * camera.fx, 2 * camera.fy, 2 * camera.cx + 1, 2 * camera.cy + 1])
    size = (2 * width + 1, 2 * height + 1)
    origin = town_from_camera[:3, 3]
    everyone = pose_actors(drive, time_s, cache.meshes, near=origin, reach_m=SIGHT_M)
    posed = [p for p in everyone if _may_matter(p, view, origin)]
    spans = renderer.place(posed)
    tri = renderer.triangles
    keys, ids = np.zeros(size[::-1], np.float32), np.full(size[::-1], -1, np.int32)
    scenery = renderer.scenery
    seen = scenery.spans[visible_boxes(scenery.low, scenery.high, view, lens, size)]
    rasterise(tri.xyz, _near_first(seen, scenery, origin), view, lens, True, keys, ids)
    rasterise(tri.xyz, np.array(spans, np.int32).reshape(-1, 2), view, lens, True, keys, ids)
    sky = make_sky(drive, time_s)
    shadows = _shadows(cache.sun, tri.xyz, spans, posed, sky, origin)
    lamps = collect_lamps(renderer.scenery, drive, everyone, sky, origin, ego=(x, y, z, yaw))
    eye = Eye(np.ascontiguousarray(town_from_camera[:3, :3]), np.ascontiguousarray(origin), lens)
    light = np.empty((height, width, 3), np.float32)
    mirror, material = np.zeros((height, width), np.float32), np.empty((height, width), np.uint8)
    instances = renderer.instances(drive, posed, time_s)
    shade(
        keys, ids, eye, tri, instances, renderer.ground, shadows, sky, lamps, _boxes(posed), light, mirror, material
    )  # fmt: skip
    centre_keys, centre_ids = keys[1::2, 1::2], ids[1::2, 1::2]
    with np.errstate(divide="ignore"):
        depth = np.where(centre_keys > 0, 1.0 / centre_keys, np.inf).astype(np.float32)
    if drive.environment.wetness > 0:
        dry = light.copy()
        pixel_lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        reflect(dry, depth, mirror, eye._replace(lens=pixel_lens), sky, light)
    numbers = np.array([*(-1 for _ in range(len(scenery.seeds))), *(p.actor.actor_id for p in posed)], np.int32)
    actor = np.where(centre_ids >= 0, numbers[tri.instance[np.maximum(centre_ids, 0)]], -1).astype(np.int32)
    rain_light = 0.5 * sky[AMBIENT : AMBIENT + 3] + 0.02
    return Exposed(light, depth, actor, material, rain_light)


def camera_image(
    renderer: Renderer, drive: Drive, time_s: float, *, ego_from_camera: Float[ndarray, "4 4"], camera: Camera
) -> CameraView:
    """The picture a pinhole camera on ego takes at a time (s), with depth, actor and material of each pixel.

    The same drive, time and camera give the same bytes. Raises DataError for a camera with distortion, for a drive
    through another town.
    """
    seen = camera_light(renderer, drive, time_s, ego_from_camera=ego_from_camera, camera=camera)
    mount = int(np.round(np.abs(ego_from_camera[:3, :3].sum() * 1e4 + ego_from_camera[:3, 3].sum() * 1e3)))
    size = camera.width_px * 10000 + camera.height_px
    noise = np.random.default_rng((drive.seed, mount, size, round((time_s + 100.0) * 1e6)))
    drops = np.random.default_rng((drive.seed, mount, 5))
    environment: Environment = drive.environment
    rgb = develop(seen.light, environment, seen.rain_light, drop_rng=drops, rng=noise)
    return CameraView(rgb, seen.depth_m, seen.actor_id, seen.material_id)


def _may_matter(p: Posed, view: Float[ndarray, "3 4"], origin: Float[ndarray, "3"]) -> bool:
    """In view, or near enough to cast a shadow into it."""
    l, w, h = p.actor.size_lwh_m
    radius = 0.5 * float(np.hypot(l, w)) + h
    gap = float(np.hypot(*(p.state[:2] - origin[:2])))
    if gap < 35.0 + radius:
        return True
    centre = p.state[:3] + np.array([0, 0, h / 2])
    x, _, z = view[:, :3] @ centre + view[:, 3]
    return bool(z > -radius and abs(x) < 2.0 * z + 3 * radius)


def _near_first(spans: ndarray, scenery: Scenery, origin: ndarray) -> ndarray:
    """Spans sorted by distance, so that what is hidden is seldom drawn."""
    first = scenery.soup.xyz[spans[:, 0], 0]
    return np.ascontiguousarray(spans[np.argsort(np.sum((first - origin) ** 2, -1), kind="stable")])


def _boxes(posed: list[Posed]) -> Float[ndarray, "b 8"]:
    """Footprints that darken the ground: x, y, cos, sin, half length, half width, reach, strength."""
    rows = []
    for p in posed:
        l, w, _ = p.actor.size_lwh_m
        x, y, _, yaw, _ = p.state
        people = p.actor.category.startswith(("human", "animal"))
        shrink = 0.6 if people else 0.94
        strength = 0.55 if people else 0.85 if p.actor.category.startswith("vehicle") else 0.6
        rows.append(
            [x, y, np.cos(yaw), np.sin(yaw), l / 2 * shrink, w / 2 * shrink, np.hypot(l, w) / 2 + 1.4, strength]
        )
    return np.array(rows, np.float64).reshape(-1, 8)


def _shadows(
    sun: SunMaps | None, xyz: ndarray, spans: list[tuple[int, int]], posed: list[Posed], sky: ndarray, origin: ndarray
) -> Shadows:
    empty = np.full((2, 2), -1e9, np.float32)
    away = np.zeros((3, 4))
    if sun is None or sky[SUN_RGB] <= 1e-3:
        return Shadows(empty, away, empty, away)
    near = [s for s, p in zip(spans, posed, strict=True) if np.hypot(*(p.state[:2] - origin[:2])) < SHADOW_REACH_M + 20]
    moving, view = moving_shadow(xyz, near, sun, origin, SHADOW_REACH_M)
    return Shadows(sun.depth, sun.view, moving, view)
