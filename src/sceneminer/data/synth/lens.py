"""From light to picture: reflections on wet ground, bloom, rain, drops on the lens, exposure, noise, tone curve."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit
from numpy import ndarray

from sceneminer.data.synth.scene import Environment
from sceneminer.data.synth.shade import Eye
from sceneminer.data.synth.texture import hash2, noise2, smooth
from sceneminer.data.synth.weather import FOG_RGB, RAIN, fog_left, sky_light

RAYS = 4
"""Mirrored rays per wet pixel."""


@njit(cache=True, nogil=True)
@no_type_check
def _march(
    px: float, py: float, pz: float, dx: float, dy: float, dz: float, image: ndarray, depth: ndarray, eye: Eye,
    sky: ndarray, seen: ndarray,
) -> None:  # fmt: skip
    """What a ray from a point on the ground meets on the screen, else the sky, into ``seen``."""
    height, width = depth.shape
    r, o, lens = eye.rotation, eye.origin, eye.lens
    step = 0.35
    for _ in range(20):
        qx, qy, qz = px + dx * step - o[0], py + dy * step - o[1], pz + dz * step - o[2]
        cz = r[0, 2] * qx + r[1, 2] * qy + r[2, 2] * qz
        if cz < 0.3:
            break
        i = int(lens[0] * (r[0, 0] * qx + r[1, 0] * qy + r[2, 0] * qz) / cz + lens[2] + 0.5)
        j = int(lens[1] * (r[0, 1] * qx + r[1, 1] * qy + r[2, 1] * qz) / cz + lens[3] + 0.5)
        if i < 0 or j < 0 or i >= width or j >= height:
            break
        gap = cz - depth[j, i]
        if gap > 0.02 and gap < 0.6 + 0.3 * step:
            for c in range(3):
                seen[c] = image[j, i, c]
            return
        step *= 1.32
    sky_light(sky, dx, dy, max(dz, 0.03), seen, False)
    left = fog_left(sky, 600.0)
    for c in range(3):
        seen[c] = seen[c] * left + sky[FOG_RGB + c] * (1.0 - left)


@njit(cache=True, nogil=True)
@no_type_check
def reflect(image: ndarray, depth: ndarray, mirror: ndarray, eye: Eye, sky: ndarray, out: ndarray) -> None:
    """Add what wet, level ground mirrors: found on the screen by marching the mirrored ray, else the sky.

    ``eye.lens`` is in pixels here; ``depth`` is the z of each pixel (inf for sky). Ripples stretch reflections.
    """
    height, width = depth.shape
    r, o, lens = eye.rotation, eye.origin, eye.lens
    seen, ray, total = np.zeros(3), np.zeros(3), np.zeros(3)
    for v in range(height):
        for u in range(width):
            share = mirror[v, u]
            if share < 0.004:
                continue
            x, y, z = (u - lens[2]) / lens[0], (v - lens[3]) / lens[1], depth[v, u]
            for c in range(3):
                ray[c] = r[c, 0] * x + r[c, 1] * y + r[c, 2]
            px, py, pz = o[0] + ray[0] * z, o[1] + ray[1] * z, o[2] + ray[2] * z
            long = np.sqrt(1.0 + x * x + y * y)
            base_x, base_y, base_z = ray[0] / long, ray[1] / long, -ray[2] / long
            rough = 0.05 + (0.03 if sky[RAIN] > 0.3 else 0.0)
            wave = noise2(px * 5.0, py * 5.0, 3) - 0.5
            for c in range(3):
                total[c] = 0.0
            # Rough water smears a reflection upwards much more than sideways.
            for k in range(RAYS):
                dx = base_x + 0.008 * wave
                dy = base_y - 0.008 * wave
                dz = max(base_z + rough * ((k + hash2(u, v, 11)) / RAYS - 0.35 + 0.2 * wave), 0.008)
                _march(px, py, pz, dx, dy, dz, image, depth, eye, sky, seen)
                for c in range(3):
                    total[c] += seen[c] / RAYS
            for c in range(3):
                out[v, u, c] = image[v, u, c] + share * (total[c] - 0.25 * image[v, u, c])


@njit(cache=True, nogil=True)
@no_type_check
def _blur(plane: ndarray, radius: int, tmp: ndarray) -> None:
    """Two passes of a box filter along both axes, in place."""
    rows, columns, _ = plane.shape
    for _ in range(2):
        for j in range(rows):
            for c in range(3):
                total = np.float32(0.0)
                for i in range(-radius, columns):
                    if i + radius < columns:
                        total += plane[j, i + radius, c]
                    if i - radius - 1 >= 0:
                        total -= plane[j, i - radius - 1, c]
                    if i >= 0:
                        tmp[j, i, c] = total / (2 * radius + 1)
        for i in range(columns):
            for c in range(3):
                total = np.float32(0.0)
                for j in range(-radius, rows):
                    if j + radius < rows:
                        total += tmp[j + radius, i, c]
                    if j - radius - 1 >= 0:
                        total -= tmp[j - radius - 1, i, c]
                    if j >= 0:
                        plane[j, i, c] = total / (2 * radius + 1)


@njit(cache=True, nogil=True)
@no_type_check
def _bloom(image: ndarray, gain: float, tight: ndarray, wide: ndarray, tmp: ndarray) -> None:
    """Spread light beyond what the sensor holds over its surroundings, at two scales on a half-size image."""
    rows, columns, _ = tight.shape
    for j in range(rows):
        for i in range(columns):
            for c in range(3):
                total = np.float32(0.0)
                for k in range(4):
                    over = image[2 * j + (k >> 1), 2 * i + (k & 1), c] * gain - np.float32(1.5)
                    total += min(max(over, np.float32(0.0)), np.float32(12.0))
                tight[j, i, c] = wide[j, i, c] = total * np.float32(0.25)
    _blur(tight, 1, tmp)
    _blur(wide, max(3, columns // 36), tmp)
    for j in range(rows * 2):
        for i in range(columns * 2):
            for c in range(3):
                glow = 0.22 * tight[j // 2, i // 2, c] + 0.30 * wide[j // 2, i // 2, c]
                image[j, i, c] += glow / gain


@njit(cache=True, nogil=True)
@no_type_check
def _streaks(image: ndarray, rain: ndarray, light: ndarray) -> None:
    """Falling drops as short bright lines: rows of x, y, length, slope, strength, width."""
    height, width, _ = image.shape
    for k in range(len(rain)):
        n = int(rain[k, 2])
        for s in range(n):
            x = int(rain[k, 0] + rain[k, 3] * s)
            y = int(rain[k, 1]) + s
            if x < 0 or y < 0 or x >= width or y >= height:
                continue
            fade = rain[k, 4] * (1.0 - abs(2.0 * s / n - 1.0))
            for c in range(3):
                image[y, x, c] += fade * (light[c] + 0.25 * image[y, x, c])


@njit(cache=True, nogil=True)
@no_type_check
def _drops(image: ndarray, before: ndarray, drops: ndarray) -> None:
    """Drops and smears on the lens: each shows the scene upside down and out of focus (x, y, radius, strength)."""
    height, width, _ = image.shape
    for k in range(len(drops)):
        cx, cy, radius, strength = drops[k, 0], drops[k, 1], drops[k, 2], drops[k, 3]
        for v in range(max(0, int(cy - radius)), min(height, int(cy + radius) + 1)):
            for u in range(max(0, int(cx - radius)), min(width, int(cx + radius) + 1)):
                a, b = (u - cx) / radius, (v - cy) / radius
                r2 = a * a + b * b
                if r2 >= 1.0:
                    continue
                share = strength * smooth(1.0, 0.45, r2)
                for c in range(3):
                    total = 0.0
                    for s in range(4):
                        x = int(cx - a * radius * 3.0 + (s & 1) * 3 - 1)
                        y = int(cy - b * radius * 3.0 + (s >> 1) * 3 - 1)
                        total += before[min(max(y, 0), height - 1), min(max(x, 0), width - 1), c]
                    rim = 1.0 - 0.35 * smooth(0.5, 1.0, r2)
                    image[v, u, c] += share * (0.25 * total * rim - image[v, u, c])


@njit(cache=True, nogil=True)
@no_type_check
def _develop(image: ndarray, noise: ndarray, gain: float, grain: float, out: ndarray) -> None:
    """Vignette, sensor noise, a filmic curve and display gamma."""
    height, width, _ = image.shape
    for v in range(height):
        for u in range(width):
            a, b = (u + 0.5) / width - 0.5, (v + 0.5) / height - 0.5
            fall = gain * (1.0 - 0.38 * (a * a + b * b))
            grey = 0.0
            for c in range(3):
                x = max(image[v, u, c] * fall, 0.0)
                x = max(x + noise[v, u, c] * (grain * np.sqrt(x + 0.002) + 0.25 * grain * grain), 0.0)
                x = x * (2.2 * x + 0.06) / (x * (2.15 * x + 0.85) + 0.16)
                image[v, u, c] = min(x, 1.0)
                grey += (0.3, 0.59, 0.11)[c] * image[v, u, c]
            for c in range(3):
                x = grey + 0.84 * (image[v, u, c] - grey)
                x = max(x, 0.0) ** (1 / 2.2) * 0.97 + 0.012
                out[v, u, c] = np.uint8(min(max(x * 255.0 + 0.5, 0.0), 255.0))


def exposure_of(image: Float32[ndarray, "h w 3"], environment: Environment) -> float:
    """Auto exposure: the log mean of the lower two thirds towards mid grey, less so in the dark."""
    part = image[image.shape[0] // 3 :: 2, ::2]
    grey = part @ np.array([0.3, 0.59, 0.11], np.float32)
    mean = float(np.exp(np.mean(np.log(grey + 0.002))))
    return 0.20 / (max(mean, 0.004) ** 0.78 * 0.5**0.22) * environment.exposure


def develop(
    light: Float32[ndarray, "h w 3"],
    environment: Environment,
    rain_light: ndarray,
    *,
    drop_rng: np.random.Generator,
    rng: np.random.Generator,
) -> UInt8[ndarray, "h w 3"]:
    """The picture a camera takes of the light: ``rng`` draws noise and rain, ``drop_rng`` what sits on the lens."""
    height, width = light.shape[:2]
    image = np.ascontiguousarray(light)
    if environment.rain_mm_h > 0.1:
        n = int(90 * environment.rain_mm_h**0.6 * width * height / 114688)
        fall = rng.uniform(0.02, 0.09, n) * height
        slope = rng.normal(0.0, 0.03) + rng.normal(0.0, 0.03, n)
        strength = rng.uniform(0.04, 0.16, n) * np.clip(fall / height / 0.05, 0.5, 1.2)
        place = (rng.uniform(0, width, n), rng.uniform(-0.1, 1.0, n) * height)
        _streaks(image, np.stack([*place, fall, slope, strength], -1), rain_light)
    if environment.lens_dirt > 0.03:
        n = int(drop_rng.poisson(46 * environment.lens_dirt))
        radius = drop_rng.gamma(3.0, 0.0075, n) * height + 1.5
        strength = drop_rng.uniform(0.25, 0.85, n)
        place = (drop_rng.uniform(0, width, n), drop_rng.uniform(0, height, n))
        _drops(image, image.copy(), np.stack([*place, radius, strength], -1))
    gain = exposure_of(image, environment)
    half = (height // 2, width // 2, 3)
    _bloom(image, gain, np.zeros(half, np.float32), np.zeros(half, np.float32), np.zeros(half, np.float32))
    grain = 0.016 * min(max(gain, 0.6), 5.0) ** 0.75
    noise = rng.standard_normal((height, width, 3), np.float32)
    out = np.empty((height, width, 3), np.uint8)
    _develop(image, noise, gain, grain, out)
    return out
