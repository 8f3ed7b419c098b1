"""Deferred shading: one kernel turns triangle ids and depths into light, shading each visible surface of a pixel once.

Sun through a shadow map, sky and ground light, street lamps and headlights by cones, mirror reflections of the sky,
glowing lamps, and fog by distance. Wet ground leaves its mirror share for ``lens.reflect``.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit
from numpy import ndarray

from sceneminer.data.synth.facade import shade_facade
from sceneminer.data.synth.light import Shadows, lamp_light, mirror_light, open_sky_share, sunlit
from sceneminer.data.synth.mesh import PART
from sceneminer.data.synth.scene import MATERIAL_ID, MATERIALS
from sceneminer.data.synth.surface import ROWS, shade_ground, shade_other, shade_sign, shade_vehicle
from sceneminer.data.synth.texture import clamp01, fbm2, ground_sample, smooth
from sceneminer.data.synth.weather import (
    AMBIENT,
    BETA,
    BOUNCE,
    DRIFT,
    FOG_RGB,
    HOUR,
    NIGHT,
    SUN,
    SUN_RGB,
    WET,
    fog_left,
    sky_light,
    skyline,
)

GLOSS = np.array([m.gloss for m in MATERIALS])
_PART_GROUND, _PART_FACADE, _PART_FOLIAGE = PART["ground"], PART["facade"], PART["foliage"]
_HEAD, _TAIL, _LEFT, _RIGHT = PART["head_lamp"], PART["tail_lamp"], PART["indicator_left"], PART["indicator_right"]
_RED, _AMBER, _GREEN, _LAMP = PART["signal_red"], PART["signal_amber"], PART["signal_green"], PART["street_lamp"]
_BEACON, _SIGN, _BILLBOARD = PART["beacon"], PART["sign"], PART["billboard"]
_OTHER = tuple(PART[n] for n in ("foliage", "kerb", "roof", "bricks", "bark", "cloth", "stripes", "mesh_fence"))
_VEHICLE = tuple(
    PART[n] for n in ("body", "body_side", "side_glass", "glass", "wheel", "plate", "grille", "cargo", "bus_side")
)
_RETRO = (MATERIAL_ID["retroreflector"], MATERIAL_ID["sign_face"])
_PANE = (MATERIAL_ID["car_glass"], MATERIAL_ID["window"])
_CLASS_OF_PART = np.zeros(len(PART), np.int64)
_CLASS_OF_PART[list(_OTHER)] = 1
_CLASS_OF_PART[list(_VEHICLE)] = 2


class Triangles(NamedTuple):
    """All triangles, with colours already linear."""

    xyz: ndarray
    normal: ndarray
    uv: ndarray
    rgb: ndarray
    material: ndarray
    part: ndarray
    instance: ndarray


class Instances(NamedTuple):
    seed: ndarray
    height: ndarray
    signal: ndarray


class Ground(NamedTuple):
    texels: ndarray
    levels: ndarray
    x: float
    y: float
    texel_m: float


class Eye(NamedTuple):
    rotation: ndarray
    """town_from_camera"""
    origin: ndarray
    lens: ndarray
    """fx, fy, cx, cy in samples"""


@njit(cache=True, nogil=True)
@no_type_check
def _corners(tri: Triangles, t: int, at: ndarray, w: ndarray) -> None:
    """Barycentric weights of a point on triangle t."""
    ax, ay, az = tri.xyz[t, 0, 0], tri.xyz[t, 0, 1], tri.xyz[t, 0, 2]
    e1x, e1y, e1z = tri.xyz[t, 1, 0] - ax, tri.xyz[t, 1, 1] - ay, tri.xyz[t, 1, 2] - az
    e2x, e2y, e2z = tri.xyz[t, 2, 0] - ax, tri.xyz[t, 2, 1] - ay, tri.xyz[t, 2, 2] - az
    px, py, pz = at[0] - ax, at[1] - ay, at[2] - az
    d11, d12, d22 = (
        e1x * e1x + e1y * e1y + e1z * e1z,
        e1x * e2x + e1y * e2y + e1z * e2z,
        e2x * e2x + e2y * e2y + e2z * e2z,
    )
    dp1, dp2 = px * e1x + py * e1y + pz * e1z, px * e2x + py * e2y + pz * e2z
    det = d11 * d22 - d12 * d12
    if abs(det) < 1e-18:
        w[0], w[1], w[2] = 1.0, 0.0, 0.0
        return
    w[1] = min(max((d22 * dp1 - d12 * dp2) / det, 0.0), 1.0)
    w[2] = min(max((d11 * dp2 - d12 * dp1) / det, 0.0), 1.0 - w[1])
    w[0] = 1.0 - w[1] - w[2]


@njit(cache=True, nogil=True)
@no_type_check
def _glow(m: ndarray, part: int, signal: ndarray, night: float, time_s: float) -> None:
    """Lamps that are on."""
    r, g, b = 0.0, 0.0, 0.0
    if part == _HEAD and signal[3]:
        r, g, b = 6.0, 5.7, 5.1
    elif part == _TAIL:
        if signal[0]:
            r, g, b = 5.5, 0.22, 0.16
        elif signal[3]:
            r, g, b = 0.55, 0.02, 0.015
    elif (part == _LEFT and signal[1]) or (part == _RIGHT and signal[2]):
        r, g, b = 5.0, 2.0, 0.12
    elif part == _RED and signal[0] == 2:
        r, g, b = 5.0, 0.22, 0.12
    elif part == _AMBER and signal[0] == 1:
        r, g, b = 5.0, 2.3, 0.12
    elif part == _GREEN and signal[0] == 0:
        r, g, b = 0.15, 4.0, 2.1
    elif part == _LAMP and night > 0.15:
        r, g, b = 12.0 * night, 9.4 * night, 6.0 * night
    elif part == _BEACON and np.floor(time_s * 4.0) % 2 == 0.0:
        r, g, b = m[0] * 9.0, m[1] * 9.0, m[2] * 9.0
    m[4] += r
    m[5] += g
    m[6] += b


@njit(cache=True, nogil=True)
@no_type_check
def _surface(
    m: ndarray, t: int, at: ndarray, ray: ndarray, w: ndarray, f: float, cosine: float,
    tri: Triangles, inst: Instances, ground: Ground, sky: ndarray,
) -> None:  # fmt: skip
    part, owner = tri.part[t], tri.instance[t]
    for c in range(3):
        m[c], m[4 + c] = tri.rgb[t, c], 0.0
    m[3], m[7], m[8] = GLOSS[tri.material[t]] * 0.12, tri.material[t], 0.0
    seed = inst.seed[owner]
    u = w[0] * tri.uv[t, 0, 0] + w[1] * tri.uv[t, 1, 0] + w[2] * tri.uv[t, 2, 0]
    v = w[0] * tri.uv[t, 0, 1] + w[1] * tri.uv[t, 1, 1] + w[2] * tri.uv[t, 2, 1]
    slant = max(cosine, 0.06)
    if part == _PART_GROUND:
        flat = max(np.sqrt(ray[0] * ray[0] + ray[1] * ray[1]), 1e-6)
        long_axis = f / slant / ground.texel_m / flat
        texture = ground_sample(
            ground.texels, ground.levels, (at[0] - ground.x) / ground.texel_m, (at[1] - ground.y) / ground.texel_m,
            ray[0] * long_axis, ray[1] * long_axis, f / ground.texel_m,
        )  # fmt: skip
        shade_ground(m, at[0], at[1], at[2], texture, inst.seed[0], f / np.sqrt(slant))
    elif part == _PART_FACADE:
        shade_facade(m, u, v, inst.height[owner], seed, f / slant, f, sky[NIGHT], sky[HOUR])
    elif part in (_SIGN, _BILLBOARD):
        shade_sign(m, part, u, v, seed, f, sky[NIGHT])
    elif _CLASS_OF_PART[part] == 1:
        shade_other(m, part, u, v, at, seed, f, inst.seed[0])
    elif _CLASS_OF_PART[part] == 2:
        shade_vehicle(m, part, u, v, seed, f)
    _glow(m, part, inst.signal[owner], sky[NIGHT], sky[DRIFT])


@njit(cache=True, nogil=True)
@no_type_check
def _radiance(
    t: int, at: ndarray, ray: ndarray, distance: float, f: float, tri: Triangles, inst: Instances, ground: Ground,
    shadows: Shadows, sky: ndarray, lamps: ndarray, boxes: ndarray, m: ndarray, w: ndarray, tmp: ndarray, out: ndarray,
) -> float:  # fmt: skip
    """Light from a point towards the eye, into ``out``; returns the share that wet ground mirrors."""
    _corners(tri, t, at, w)
    n = tmp[0]
    for c in range(3):
        n[c] = w[0] * tri.normal[t, 0, c] + w[1] * tri.normal[t, 1, c] + w[2] * tri.normal[t, 2, c]
    size = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + 1e-9
    cosine = -(n[0] * ray[0] + n[1] * ray[1] + n[2] * ray[2]) / size
    leafy = tri.part[t] == _PART_FOLIAGE
    flip = -1.0 if cosine < 0.0 and not leafy else 1.0
    for c in range(3):
        n[c] *= flip / size
    cosine = abs(cosine)
    _surface(m, t, at, ray, w, f, cosine, tri, inst, ground, sky)
    is_ground = tri.part[t] == _PART_GROUND
    wet = sky[WET] * m[8] * (1.0 if n[2] > 0.6 else 0.0)
    mirror = 0.0
    if wet > 0.0:
        pool = smooth(0.66 - 0.2 * wet, 0.74 - 0.14 * wet, fbm2(at[0] * 0.31, at[1] * 0.31, 77, 3)) * wet
        for c in range(3):
            m[c] *= 1.0 - 0.48 * wet - 0.2 * pool
        bounce = (1.0 - cosine) ** 5
        mirror = wet * (0.015 + 0.26 * bounce) + pool * (0.03 + 0.38 * bounce)
    elif sky[WET] > 0.0 and not leafy:
        for c in range(3):
            m[c] *= 1.0 - 0.15 * sky[WET]
    light = tmp[1]
    open_sky = open_sky_share(at, n[2], boxes, is_ground)
    up = 0.5 + 0.5 * n[2]
    for c in range(3):
        light[c] = (sky[AMBIENT + c] * up + sky[BOUNCE + c] * (1.0 - up)) * open_sky
    facing = n[0] * sky[SUN] + n[1] * sky[SUN + 1] + n[2] * sky[SUN + 2]
    if leafy:
        facing = clamp01(0.32 + 0.68 * facing)
    sun = 0.0
    if sky[SUN_RGB] > 1e-3 and facing > 0.0:
        lift = 0.30 if leafy else 0.05 + 0.16 * (1.0 - min(facing, 1.0)) ** 2
        sun = sunlit(shadows, at[0] + n[0] * lift, at[1] + n[1] * lift, at[2] + n[2] * lift)
        for c in range(3):
            light[c] += sky[SUN_RGB + c] * facing * sun
    lamp_light(at, n, ray, lamps, int(m[7]) in _RETRO, light)
    for c in range(3):
        out[c] = m[c] * light[c] + m[4 + c]
    if m[3] > 0.004:
        mirror_light(m[3], n, ray, cosine, sun, sky, int(m[7]) in _PANE, tmp, out)
    left = fog_left(sky, distance)
    for c in range(3):
        out[c] = out[c] * left + sky[FOG_RGB + c] * (1.0 - left)
    return min(mirror, 0.9) * left


@njit(cache=True, nogil=True)
@no_type_check
def _same(tri: Triangles, a: int, b: int) -> bool:
    """Whether two triangles belong to one smooth piece of surface, so that one sample stands for both."""
    if a == b:
        return True
    if a < 0 or b < 0 or tri.instance[a] != tri.instance[b] or tri.part[a] != tri.part[b]:
        return False
    if tri.material[a] != tri.material[b] or abs(tri.rgb[a, 1] - tri.rgb[b, 1]) > 0.04:
        return False
    na, nb = tri.normal[a, 0], tri.normal[b, 0]
    return na[0] * nb[0] + na[1] * nb[1] + na[2] * nb[2] > 0.93


@njit(cache=True, nogil=True)
@no_type_check
def shade(
    keys: ndarray, ids: ndarray, eye: Eye, tri: Triangles, inst: Instances, ground: Ground, shadows: Shadows,
    sky: ndarray, lamps: ndarray, boxes: ndarray, image: ndarray, mirror: ndarray, material: ndarray,
) -> None:  # fmt: skip
    """Light of every pixel: each sample is shaded where its surface differs from the pixel's centre, else shared.

    ``image`` [h w 3] is smoothed over 3×3 half-pixel samples (weights 1 2 1); ``mirror`` and ``material`` are the
    centre's.
    """
    rows, columns = keys.shape
    height, width = image.shape[0], image.shape[1]
    done = np.zeros((rows, columns), np.uint8)
    light = np.zeros((rows, columns, 3), np.float32)
    m, w, tmp = np.zeros(ROWS), np.zeros(3), np.zeros((4, 3))
    at, ray, out = np.zeros(3), np.zeros(3), np.zeros(3)
    for v in range(height):
        for u in range(width):
            j0, i0 = 2 * v + 1, 2 * u + 1
            centre = ids[j0, i0]
            total0, total1, total2 = 0.0, 0.0, 0.0
            for k in range(9):
                s = (4, 0, 1, 2, 3, 5, 6, 7, 8)[k]
                j, i = j0 + s // 3 - 1, i0 + s % 3 - 1
                weight = (0.0625, 0.125, 0.25)[2 - abs(s // 3 - 1) - abs(s % 3 - 1)]
                if k > 0 and _same(tri, ids[j, i], centre):
                    j, i = j0, i0
                if done[j, i] == 0:
                    done[j, i] = 1
                    x = (i - eye.lens[2]) / eye.lens[0]
                    y = (j - eye.lens[3]) / eye.lens[1]
                    long = np.sqrt(1.0 + x * x + y * y)
                    for c in range(3):
                        ray[c] = (eye.rotation[c, 0] * x + eye.rotation[c, 1] * y + eye.rotation[c, 2]) / long
                    t = ids[j, i]
                    if t < 0:
                        sky_light(sky, ray[0], ray[1], ray[2], out, True)
                        skyline(sky, ray[0], ray[1], ray[2], out)
                        left = fog_left(sky, 4000.0) if sky[BETA] > 0.0008 else 1.0
                        for c in range(3):
                            out[c] = out[c] * left + sky[FOG_RGB + c] * (1.0 - left)
                        if k == 0:
                            material[v, u] = 255
                            mirror[v, u] = 0.0
                    else:
                        distance = long / keys[j, i]
                        for c in range(3):
                            at[c] = eye.origin[c] + ray[c] * distance
                        f = 2.0 * distance / eye.lens[0]
                        share = _radiance(
                            t, at, ray, distance, f, tri, inst, ground, shadows, sky, lamps, boxes, m, w, tmp, out
                        )  # fmt: skip
                        if k == 0:
                            mirror[v, u] = share
                            material[v, u] = int(m[7])
                    for c in range(3):
                        light[j, i, c] = out[c]
                total0 += weight * light[j, i, 0]
                total1 += weight * light[j, i, 1]
                total2 += weight * light[j, i, 2]
            image[v, u, 0], image[v, u, 1], image[v, u, 2] = total0, total1, total2
