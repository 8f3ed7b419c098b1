"""Light on a point: the sun through shadow maps, lamps by cones, how much sky is open, what mirrors show."""

from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit
from numpy import ndarray

from sceneminer.data.synth.texture import fbm2, smooth
from sceneminer.data.synth.weather import AMBIENT, BOUNCE, SUN, SUN_RGB, sky_light

_SHADOW_BIAS_M = 0.07


class Shadows(NamedTuple):
    """Orthographic depth seen from the sun: of what stands, and of what moves."""

    still: ndarray
    still_view: ndarray
    moving: ndarray
    moving_view: ndarray


@njit(cache=True, nogil=True)
@no_type_check
def _shadow_tap(depth: ndarray, view: ndarray, x: float, y: float, z: float, spread: float) -> float:
    u = view[0, 0] * x + view[0, 1] * y + view[0, 2] * z + view[0, 3]
    v = view[1, 0] * x + view[1, 1] * y + view[1, 2] * z + view[1, 3]
    key = -(view[2, 0] * x + view[2, 1] * y + view[2, 2] * z + view[2, 3])
    rows, columns = depth.shape
    lit = 0.0
    for k in range(4):
        a = u + (spread if k & 1 else -spread)
        b = v + (spread if k & 2 else -spread)
        i, j = int(np.floor(a)), int(np.floor(b))
        if i < 0 or j < 0 or i >= columns - 1 or j >= rows - 1:
            lit += 1.0
            continue
        fu, fv = a - i, b - j
        s = (1 - fu) * (1 - fv) * (depth[j, i] < key + _SHADOW_BIAS_M)
        s += fu * (1 - fv) * (depth[j, i + 1] < key + _SHADOW_BIAS_M)
        s += (1 - fu) * fv * (depth[j + 1, i] < key + _SHADOW_BIAS_M)
        s += fu * fv * (depth[j + 1, i + 1] < key + _SHADOW_BIAS_M)
        lit += s
    return lit * 0.25


@njit(cache=True, nogil=True)
@no_type_check
def sunlit(shadows: Shadows, x: float, y: float, z: float) -> float:
    """Share of the sun's disc that a point sees."""
    lit = _shadow_tap(shadows.still, shadows.still_view, x, y, z, 0.4)
    if lit > 0.0:
        lit = min(lit, _shadow_tap(shadows.moving, shadows.moving_view, x, y, z, 0.7))
    return lit


@njit(cache=True, nogil=True)
@no_type_check
def open_sky_share(at: ndarray, nz: float, boxes: ndarray, ground: bool) -> float:
    """How much of the sky a point sees: vehicles and people darken the ground at their feet."""
    free = 1.0
    if not ground:
        return 0.72 + 0.28 * smooth(0.0, 1.6, at[2]) if nz < 0.7 else 1.0
    for k in range(len(boxes)):
        dx, dy = at[0] - boxes[k, 0], at[1] - boxes[k, 1]
        reach = boxes[k, 6]
        if dx * dx + dy * dy > reach * reach:
            continue
        a = abs(boxes[k, 2] * dx + boxes[k, 3] * dy) - boxes[k, 4]
        b = abs(-boxes[k, 3] * dx + boxes[k, 2] * dy) - boxes[k, 5]
        out = np.sqrt(max(a, 0.0) ** 2 + max(b, 0.0) ** 2)
        deep = min(-max(a, b), 0.6)
        if out > 0.0:
            free *= 1.0 - 0.55 * boxes[k, 7] * np.exp(-out / 0.35)
        else:
            free *= 1.0 - boxes[k, 7] * (0.55 + 0.5 * deep)
    return free


@njit(cache=True, nogil=True)
@no_type_check
def lamp_light(at: ndarray, n: ndarray, ray: ndarray, lamps: ndarray, retro: bool, out: ndarray) -> None:
    """Irradiance from street lamps and headlights (the rows of ``lamps.collect_lamps``)."""
    for k in range(len(lamps)):
        dx, dy, dz = lamps[k, 0] - at[0], lamps[k, 1] - at[1], lamps[k, 2] - at[2]
        d2 = dx * dx + dy * dy + dz * dz
        if d2 > lamps[k, 11] * lamps[k, 11]:
            continue
        d = np.sqrt(d2) + 1e-6
        dx, dy, dz = dx / d, dy / d, dz / d
        facing = n[0] * dx + n[1] * dy + n[2] * dz
        back = lamps[k, 12] > 0.0 and retro
        if facing <= 0.0:
            continue
        along = -(dx * lamps[k, 3] + dy * lamps[k, 4] + dz * lamps[k, 5])
        cone = smooth(lamps[k, 9], lamps[k, 10], along)
        if cone <= 0.0:
            continue
        power = cone * facing / (d2 + 0.6 + 30.0 * lamps[k, 13]) * (1.0 - d / lamps[k, 11])
        if back:
            power *= 14.0
        if lamps[k, 13] > 0.0:  # dipped headlights keep below the horizon
            power *= 1.0 - 0.9 * smooth(-0.02, 0.03, -dz)
        for c in range(3):
            out[c] += power * lamps[k, 6 + c]


@njit(cache=True, nogil=True)
@no_type_check
def mirror_light(
    base: float, n: ndarray, ray: ndarray, cosine: float, sun: float, sky: ndarray, pane: bool,
    tmp: ndarray, out: ndarray,
) -> None:  # fmt: skip
    """A mirror on top: the sky, or what stands around below it, and the sun's highlight."""
    share = base + (1.0 - base) * (1.0 - cosine) ** 5 * (0.85 if pane else 0.6)
    d = 2.0 * cosine
    rx, ry, rz = ray[0] + d * n[0], ray[1] + d * n[1], ray[2] + d * n[2]
    seen = tmp[2]
    sky_light(sky, rx, ry, max(rz, 0.01), seen, False)
    # Houses and trees hide the low sky in a mirror.
    hidden = 1.0 - smooth(0.06, 0.34, rz + 0.16 * (fbm2(np.arctan2(ry, rx) * 5.0, 1.0, 5, 2) - 0.5))
    near = max(0.0, rx * sky[SUN] + ry * sky[SUN + 1] + rz * sky[SUN + 2])
    spark = sun * (near**220 * 9.0 + near**40 * 0.5) * (1.0 if base > 0.03 else 0.3)
    for c in range(3):
        around = 0.20 * sky[AMBIENT + c] + (1.3 if rz < 0.0 else 0.6) * sky[BOUNCE + c]
        seen[c] += (around - seen[c]) * hidden
        out[c] += share * seen[c] + share * spark * sky[SUN_RGB + c]
