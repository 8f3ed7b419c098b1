"""Numba kernels for noise and for the painted ground: hashes, value noise, filtered pulses, mip-mapped lookups."""

from typing import no_type_check

import numpy as np
from numba import njit

MASK = 0xFFFFFFFF


@njit(cache=True, nogil=True)
@no_type_check
def hash2(x: int, y: int, seed: int) -> float:
    """A number in [0, 1) from three integers."""
    h = (x * 374761393 + y * 668265263 + seed * 362437) & MASK
    h = ((h ^ (h >> 13)) * 1274126177) & MASK
    h = ((h ^ (h >> 15)) * 2246822519) & MASK
    return (h ^ (h >> 16)) / 4294967296.0


@njit(cache=True, nogil=True)
@no_type_check
def noise2(x: float, y: float, seed: int) -> float:
    """Value noise in [0, 1] with cells of size 1."""
    xf, yf = np.floor(x), np.floor(y)
    i, j = int(xf), int(yf)
    u, v = x - xf, y - yf
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    a = hash2(i, j, seed) * (1 - u) + hash2(i + 1, j, seed) * u
    b = hash2(i, j + 1, seed) * (1 - u) + hash2(i + 1, j + 1, seed) * u
    return a * (1 - v) + b * v


@njit(cache=True, nogil=True)
@no_type_check
def fbm2(x: float, y: float, seed: int, octaves: int) -> float:
    """Value noise summed over octaves, in [0, 1]."""
    total, scale, weight = 0.0, 0.0, 1.0
    for k in range(octaves):
        total += weight * noise2(x, y, seed + k)
        scale += weight
        weight *= 0.5
        x, y = 2.03 * x + 17.3, 2.03 * y - 9.1
    return total / scale


@njit(cache=True, nogil=True)
@no_type_check
def clamp01(x: float) -> float:
    return min(max(x, 0.0), 1.0)


@njit(cache=True, nogil=True)
@no_type_check
def smooth(low: float, high: float, x: float) -> float:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@njit(cache=True, nogil=True)
@no_type_check
def _pulse_integral(x: float, period: float, start: float, end: float) -> float:
    k = np.floor(x / period)
    return k * (end - start) + min(max(x - k * period - start, 0.0), end - start)


@njit(cache=True, nogil=True)
@no_type_check
def pulse(x: float, period: float, start: float, end: float, width: float) -> float:
    """Share of [x - width/2, x + width/2] that lies in [start, end) modulo ``period``: a filtered stripe."""
    w = max(width, 1e-4)
    return (_pulse_integral(x + w / 2, period, start, end) - _pulse_integral(x - w / 2, period, start, end)) / w


@njit(cache=True, nogil=True)
@no_type_check
def band(x: float, start: float, end: float, width: float) -> float:
    """Share of [x - width/2, x + width/2] that lies in [start, end]."""
    w = max(width, 1e-4)
    return max(0.0, min(x + w / 2, end) - max(x - w / 2, start)) / w


@njit(cache=True, nogil=True)
@no_type_check
def texel(texels: np.ndarray, levels: np.ndarray, level: int, x: float, y: float, channel: int) -> float:
    """One channel (0 to 1) of one mip level, bilinear; x and y in texels of level 0, clamped to the edge."""
    offset, rows, columns = levels[level, 0], levels[level, 1], levels[level, 2]
    scale = 1.0 / (1 << level)
    u = min(max(x * scale - 0.5, 0.0), columns - 1.001)
    v = min(max(y * scale - 0.5, 0.0), rows - 1.001)
    i, j = int(u), int(v)
    fu, fv = u - i, v - j
    at = offset + j * columns + i
    low = texels[at, channel] * (1 - fu) + texels[at + 1, channel] * fu
    high = texels[at + columns, channel] * (1 - fu) + texels[at + columns + 1, channel] * fu
    return (low * (1 - fv) + high * fv) / 255.0


@njit(cache=True, nogil=True)
@no_type_check
def ground_sample(
    texels: np.ndarray, levels: np.ndarray, x: float, y: float, ax: float, ay: float, minor: float
) -> tuple[float, float, float, float]:
    """The four channels over a stretched footprint: x, y, the long axis (ax, ay) and the short one, all in texels."""
    major = np.sqrt(ax * ax + ay * ay)
    minor = max(minor, major / 12.0, 0.5)
    taps = int(min(max(np.ceil(major / minor), 1.0), 12.0))
    level = int(min(max(np.floor(np.log2(minor) + 0.5), 0.0), len(levels) - 1.0))
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for k in range(taps):
        f = (k + 0.5) / taps - 0.5
        px, py = x + f * ax, y + f * ay
        a += texel(texels, levels, level, px, py, 0)
        b += texel(texels, levels, level, px, py, 1)
        c += texel(texels, levels, level, px, py, 2)
        d += texel(texels, levels, level, px, py, 3)
    return a / taps, b / taps, c / taps, d / taps


@njit(cache=True, nogil=True)
@no_type_check
def paint_convex(plane: np.ndarray, corners: np.ndarray, value: float, wear: float, seed: int) -> None:
    """Lay a convex, counter-clockwise polygon (texels) on a uint8 plane, antialiased and worn by noise.

    ``value`` above 0 paints up to it; a negative one darkens (tone 128 is neutral) by its size.
    """
    rows, columns = plane.shape
    n = len(corners)
    x0 = max(int(corners[:, 0].min()) - 1, 0)
    x1 = min(int(corners[:, 0].max()) + 2, columns)
    y0 = max(int(corners[:, 1].min()) - 1, 0)
    y1 = min(int(corners[:, 1].max()) + 2, rows)
    for j in range(y0, y1):
        for i in range(x0, x1):
            inside = 1.0
            for k in range(n):
                ax, ay = corners[k, 0], corners[k, 1]
                ex, ey = corners[(k + 1) % n, 0] - ax, corners[(k + 1) % n, 1] - ay
                length = np.sqrt(ex * ex + ey * ey)
                if length > 1e-9:
                    gap = (ex * (j + 0.5 - ay) - ey * (i + 0.5 - ax)) / length
                    inside = min(inside, gap + 0.5)
            if inside <= 0.0:
                continue
            if wear > 0.0:
                rough = 0.55 * noise2(i * 0.45, j * 0.45, seed) + 0.45 * fbm2(i * 0.05, j * 0.05, seed + 7, 3)
                inside *= 1.0 - smooth(1.02 - 0.75 * wear, 1.22 - 0.62 * wear, rough + 0.28) * min(1.0, 0.5 + wear)
                inside *= 1.0 - 0.3 * wear
            if value < 0.0:
                plane[j, i] = max(0.0, plane[j, i] + inside * value)
            else:
                plane[j, i] = max(plane[j, i], inside * value)


@njit(cache=True, nogil=True)
@no_type_check
def scale3(m: np.ndarray, k: float) -> None:
    m[0] *= k
    m[1] *= k
    m[2] *= k


@njit(cache=True, nogil=True)
@no_type_check
def mix3(m: np.ndarray, r: float, g: float, b: float, share: float) -> None:
    m[0] += (r - m[0]) * share
    m[1] += (g - m[1]) * share
    m[2] += (b - m[2]) * share
