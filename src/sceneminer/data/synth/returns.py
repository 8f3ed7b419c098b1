"""What comes back to a LiDAR: reflectance, losses in rain and fog, noise, clutter, and what each point is."""

from dataclasses import dataclass, replace
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int, Int32, UInt8
from numba import njit
from numpy import ndarray

from sceneminer.data.synth.facade import facade_glass
from sceneminer.data.synth.ground_paint import GREEN, TEXEL_M, WHITE, YELLOW
from sceneminer.data.synth.mesh import PART
from sceneminer.data.synth.render import Renderer
from sceneminer.data.synth.scene import KERB_M, MATERIAL_ID, MATERIALS, Environment
from sceneminer.data.synth.stage import Posed
from sceneminer.data.synth.texture import noise2, texel

LIDARSEG = (
    "noise",
    "animal",
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.construction_worker",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.stroller",
    "human.pedestrian.wheelchair",
    "movable_object.barrier",
    "movable_object.debris",
    "movable_object.pushable_pullable",
    "movable_object.trafficcone",
    "static_object.bicycle_rack",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.car",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.motorcycle",
    "vehicle.trailer",
    "vehicle.truck",
    "flat.driveable_surface",
    "flat.other",
    "flat.sidewalk",
    "flat.terrain",
    "static.manmade",
    "static.other",
    "static.vegetation",
    "vehicle.ego",
)
"""nuScenes-lidarseg's 32 categories; a point's label is an index into them."""
LIDARSEG_ID = {name: i for i, name in enumerate(LIDARSEG)}
NO_MATERIAL = 255
RANGE_NOISE_M = 0.02
_REFLECTANCE = np.array([m.reflectance_905nm for m in MATERIALS])
_GLOSS = np.array([m.gloss for m in MATERIALS])
_FLAT = tuple(MATERIAL_ID[n] for n in ("asphalt", "road_paint", "pavement", "grass", "soil"))


@dataclass(frozen=True)
class Cloud:
    """Points before they are written as a sweep; ``ray`` says which beam each belongs to."""

    ray: Int[ndarray, "n"]
    range_m: Float[ndarray, "n"]
    intensity: Float[ndarray, "n"]
    incidence: Float[ndarray, "n"]
    actor_id: Int32[ndarray, "n"]
    material_id: UInt8[ndarray, "n"]
    label: UInt8[ndarray, "n"]


@njit(cache=True, nogil=True)
@no_type_check
def _ground_material(
    points: ndarray, texels: ndarray, levels: ndarray, x0: float, y0: float, size: float, material: ndarray
) -> None:
    for k in range(len(points)):
        u, v = (points[k, 0] - x0) / size, (points[k, 1] - y0) / size
        if points[k, 2] < 0.5 * KERB_M:
            paint = texel(texels, levels, 0, u, v, WHITE) + texel(texels, levels, 0, u, v, YELLOW)
            material[k] = 1 if paint > 0.4 else 0
        elif texel(texels, levels, 0, u, v, GREEN) > 0.5:
            bare = noise2(points[k, 0] * 0.22 + 7.0, points[k, 1] * 0.22, 9) > 0.72
            material[k] = 4 if bare else 3
        else:
            material[k] = 2


@njit(cache=True, nogil=True)
@no_type_check
def _panes(uv: ndarray, seed: ndarray, glass: ndarray) -> None:
    for k in range(len(uv)):
        glass[k] = facade_glass(uv[k, 0], uv[k, 1], seed[k], 0.02, 0.02)[0] > 0.5


def surface_of(
    renderer: Renderer,
    posed: list[Posed],
    points: Float[ndarray, "n 3"],
    *,
    distance_m: Float[ndarray, "n"],
    triangle: Int32[ndarray, "n"],
    owner: Int32[ndarray, "n"],
    incidence: Float[ndarray, "n"],
    ray: Int[ndarray, "n"],
) -> Cloud:
    """Material, label and clean intensity of each hit: paint and panes are looked up in the textures."""
    soup, still = renderer.scenery.soup, owner < 0
    material = np.empty(len(points), np.uint8)
    label = np.empty(len(points), np.uint8)
    actor = np.full(len(points), -1, np.int32)
    own = triangle[still]
    part = soup.part[own]
    found = soup.material[own].copy()
    ground = part == PART["ground"]
    on_ground = np.zeros(int(ground.sum()), np.uint8)
    texture = renderer.ground
    _ground_material(points[still][ground], texture.texels, texture.levels, texture.x, texture.y, TEXEL_M, on_ground)
    found[ground] = on_ground
    wall = part == PART["facade"]
    glass = np.zeros(int(wall.sum()), np.bool_)
    instance = renderer.scenery.instance[own[wall]]
    _panes(_uv_at(soup.xyz, soup.uv, own[wall], points[still][wall]), renderer.scenery.seeds[instance], glass)
    found[wall] = np.where(glass, MATERIAL_ID["window"], found[wall])
    material[still], label[still] = found, _still_label(found, part)
    for k in np.unique(owner[~still]):
        mine = owner == k
        material[mine] = posed[k].mesh.material[triangle[mine]]
        label[mine] = LIDARSEG_ID[posed[k].actor.category]
        actor[mine] = posed[k].actor.actor_id
    intensity = _intensity(material, incidence, distance_m)
    return Cloud(ray, distance_m, intensity, incidence, actor, material, label)


def _still_label(material: UInt8[ndarray, "n"], part: UInt8[ndarray, "n"]) -> UInt8[ndarray, "n"]:
    label = np.full(len(material), LIDARSEG_ID["static.manmade"], np.uint8)
    ground = part == PART["ground"]
    for name, category in (
        ("asphalt", "flat.driveable_surface"),
        ("road_paint", "flat.driveable_surface"),
        ("pavement", "flat.sidewalk"),
        ("grass", "flat.terrain"),
        ("soil", "flat.terrain"),
    ):
        label[ground & (material == MATERIAL_ID[name])] = LIDARSEG_ID[category]
    label[part == PART["kerb"]] = LIDARSEG_ID["flat.sidewalk"]
    green = (material == MATERIAL_ID["foliage"]) | (material == MATERIAL_ID["bark"])
    label[green & ~ground] = LIDARSEG_ID["static.vegetation"]
    return label


def _uv_at(xyz: ndarray, uv: ndarray, triangle: ndarray, points: ndarray) -> ndarray:
    a = xyz[triangle, 0].astype(np.float64)
    e1, e2, p = xyz[triangle, 1] - a, xyz[triangle, 2] - a, points - a
    d11, d12, d22 = (np.einsum("ni,ni->n", s, t) for s, t in ((e1, e1), (e1, e2), (e2, e2)))
    dp1, dp2 = np.einsum("ni,ni->n", p, e1), np.einsum("ni,ni->n", p, e2)
    det = np.maximum(d11 * d22 - d12 * d12, 1e-18)
    b, c = (d22 * dp1 - d12 * dp2) / det, (d11 * dp2 - d12 * dp1) / det
    w = np.stack([1 - b - c, b, c], -1)
    return np.einsum("nk,nkd->nd", w, uv[triangle].astype(np.float64))


def _intensity(
    material: UInt8[ndarray, "n"], incidence: Float[ndarray, "n"], distance_m: Float[ndarray, "n"]
) -> Float[ndarray, "n"]:
    """Clean intensity 0 to 255: Lambert, a glint near the normal on gloss, and a mild fall with range.

    The HDL-32E calibrates range out, so that 100 % diffuse reads about 100 and retroreflectors reach beyond.
    """
    diffuse = _REFLECTANCE[material] * (0.25 + 0.75 * incidence)
    glint = _GLOSS[material] * np.clip((incidence - 0.97) / 0.03, 0, 1) ** 2
    return np.clip(95.0 * (diffuse + glint) * np.exp(-distance_m / 160.0), 0.0, 255.0)


def receive(cloud: Cloud, environment: Environment, rng: np.random.Generator) -> Cloud:
    """Range and intensity noise, and which returns are too weak: dark, glossy, wet, slanted, far or in fog."""
    n = len(cloud.ray)
    flat = np.isin(cloud.material_id, _FLAT)
    wet = environment.wetness * flat
    gloss = np.clip(_GLOSS[cloud.material_id] + 0.75 * wet, 0.0, 0.95)
    # Water on the ground mirrors the beam away and darkens what is left.
    signal = _REFLECTANCE[cloud.material_id] * (1 - 0.45 * wet) * (1 - gloss) * (0.1 + 0.9 * cloud.incidence)
    signal += gloss * np.clip((cloud.incidence - 0.96) / 0.04, 0, 1)
    # Two ways through fog and rain (extinction of the near infrared is close to the visible one).
    beta = np.log(20.0) / environment.fog_m + 0.01 * environment.rain_mm_h**0.6 / 10.0
    power = signal * np.exp(-2.0 * beta * cloud.range_m) / (1.0 + (cloud.range_m / 32.0) ** 2)
    kept = rng.random(n) < 1.0 / (1.0 + (0.0042 / np.maximum(power, 1e-9)) ** 2)
    kept &= rng.random(n) > 0.004
    spread = RANGE_NOISE_M * (1.0 + 0.6 * (cloud.range_m / 60.0))
    # Pulses that brush leaves come back from a little deeper or nearer.
    spread = spread * np.where(cloud.material_id == MATERIAL_ID["foliage"], 2.5, 1.0)
    measured = cloud.range_m + spread * rng.standard_normal(n)
    strength = cloud.intensity * (1 - 0.4 * wet) * np.exp(-2.0 * beta * cloud.range_m)
    strength = np.clip(np.round(strength * rng.lognormal(0.0, 0.18, n) + rng.normal(0, 0.7, n)), 0, 255)
    noisy = replace(cloud, range_m=measured, intensity=strength)
    return _picked(noisy, np.flatnonzero(kept & (measured > 1.0)))


def _picked(cloud: Cloud, index: Int[ndarray, "m"]) -> Cloud:
    fields = ("ray", "range_m", "intensity", "incidence", "actor_id", "material_id", "label")
    return Cloud(*(getattr(cloud, f)[index] for f in fields))


def rain_clutter(
    cloud: Cloud, environment: Environment, rays: int, distance_m: Float[ndarray, "r"], rng: np.random.Generator
) -> Cloud:
    """Echoes of raindrops and dense fog near the sensor; they are labelled noise."""
    share = 0.0007 * environment.rain_mm_h + 1.2 / environment.fog_m * (environment.fog_m < 400.0)
    count = rng.poisson(rays * share)
    if count == 0:
        return cloud
    ray = rng.integers(0, rays, count)
    at = 1.0 + rng.exponential(4.5, count)
    open_way = at < np.minimum(distance_m[ray], 40.0)
    ray, at = ray[open_way], at[open_way]
    n = len(ray)
    index = np.concatenate([np.flatnonzero(~np.isin(cloud.ray, ray))])
    rest = _picked(cloud, index)
    ray, first = np.unique(ray, return_index=True)
    at, n = at[first], len(ray)
    order = np.argsort(np.concatenate([rest.ray, ray]), kind="stable")
    extra = Cloud(
        ray,
        at,
        np.round(rng.uniform(0, 4, n)),
        np.ones(n),
        np.full(n, -1, np.int32),
        np.full(n, NO_MATERIAL, np.uint8),
        np.zeros(n, np.uint8),
    )
    fields = ("ray", "range_m", "intensity", "incidence", "actor_id", "material_id", "label")
    return Cloud(*(np.concatenate([getattr(rest, f), getattr(extra, f)])[order] for f in fields))
