"""Light, air and water: the sun and sky of an hour, clouds, fog by Koschmieder's law, and their numba kernels.

The contrast of a dark object against its surroundings falls as exp(-βd); meteorological visibility is where 5 % is
left, so β = ln(20) / visibility (Koschmieder 1924; WMO No. 8).
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float64
from numba import njit
from numpy import ndarray

from sceneminer.data.synth.scene import Drive, Environment
from sceneminer.data.synth.texture import clamp01, fbm2, hash2, smooth

SUN, SUN_RGB, ZENITH, HORIZON, AMBIENT, BOUNCE, FOG_RGB = 0, 3, 6, 9, 12, 15, 18
CLOUD, BETA, WET, NIGHT, HOUR, RAIN, SEED, DRIFT, GLOW = 21, 22, 23, 24, 25, 26, 27, 28, 29
SKY_ROWS = 32


def _ramp(low: float, high: float, x: float) -> float:
    t = float(np.clip((x - low) / (high - low), 0.0, 1.0))
    return t * t * (3 - 2 * t)


def make_sky(drive: Drive, time_s: float) -> Float64[ndarray, "32"]:
    """The numbers that light a scene, in the order of this module's index constants (linear, sunlit white about 3)."""
    sky: Environment = drive.environment
    high = sky.sun_elevation_rad
    degrees = float(np.rad2deg(high))
    row = np.zeros(SKY_ROWS)
    azimuth = sky.sun_azimuth_rad
    row[SUN : SUN + 3] = np.cos(high) * np.cos(azimuth), np.cos(high) * np.sin(azimuth), np.sin(high)
    air = 1.0 / max(np.sin(high) + 0.05 * np.exp(-max(high, 0.0) * 12), 0.04)
    through = np.exp(-np.array([0.06, 0.115, 0.22]) * air)
    veil = 1.0 - 0.985 * _ramp(0.45, 0.92, sky.cloud)
    veil *= float(np.exp(-300.0 / sky.fog_m)) if sky.fog_m < 3000 else 1.0
    row[SUN_RGB : SUN_RGB + 3] = 3.6 * through * veil * _ramp(-1.0, 3.0, degrees)
    day, dusk = _ramp(-7.0, 18.0, degrees), _ramp(-9.0, 1.0, degrees) * _ramp(16.0, 1.0, degrees)
    grey = _ramp(0.35, 0.95, sky.cloud)
    clear_zenith, clear_horizon = np.array([0.17, 0.33, 0.68]), np.array([0.62, 0.76, 0.92])
    warm = np.array([0.85, 0.50, 0.30])
    zenith = day * (clear_zenith * (1 - grey) + np.array([0.52, 0.55, 0.60]) * grey)
    horizon = day * (clear_horizon * (1 - grey) + np.array([0.66, 0.69, 0.73]) * grey)
    horizon = horizon + 0.30 * dusk * (1 - 0.8 * grey) * warm
    zenith = zenith + 0.05 * dusk * np.array([0.6, 0.5, 0.9])
    night = _ramp(2.0, -8.0, degrees)
    zenith = zenith + night * np.array([0.0035, 0.0042, 0.0075])
    horizon = horizon + night * np.array([0.0105, 0.0086, 0.0072]) * (1 + 0.3 * grey)
    row[ZENITH : ZENITH + 3], row[HORIZON : HORIZON + 3] = zenith, horizon
    ambient = 0.55 * zenith + 0.45 * horizon
    ambient += 0.45 * (ambient.mean() - ambient)  # walls and ground around take the blue out
    row[AMBIENT : AMBIENT + 3] = ambient + 0.12 * row[SUN_RGB : SUN_RGB + 3] * (grey * 0.5)
    ground_light = row[AMBIENT : AMBIENT + 3] + row[SUN_RGB : SUN_RGB + 3] * max(np.sin(high), 0.0)
    row[BOUNCE : BOUNCE + 3] = 0.16 * ground_light * np.array([1.0, 0.97, 0.9])
    row[FOG_RGB : FOG_RGB + 3] = 0.85 * horizon + 0.15 * zenith + 0.05 * row[SUN_RGB : SUN_RGB + 3]
    row[FOG_RGB : FOG_RGB + 3] += night * np.array([0.012, 0.0105, 0.009]) * _ramp(3000.0, 100.0, sky.fog_m)
    row[CLOUD], row[BETA], row[WET] = sky.cloud, np.log(20.0) / sky.fog_m, sky.wetness
    row[NIGHT], row[HOUR], row[RAIN], row[SEED] = _ramp(4.0, -5.0, degrees), sky.hour, sky.rain_mm_h, drive.seed % 9973
    row[DRIFT] = time_s
    return row


@njit(cache=True, nogil=True)
@no_type_check
def fog_left(sky: np.ndarray, distance: float) -> float:
    """Share of an object's contrast that is left at a distance."""
    return np.exp(-sky[BETA] * distance)


@njit(cache=True, nogil=True)
@no_type_check
def sky_light(sky: np.ndarray, dx: float, dy: float, dz: float, out: np.ndarray, sharp: bool) -> None:
    """Radiance from a direction above the horizon: gradient, clouds, sun and its glow, a hazy skyline, stars."""
    up = max(dz, 0.0)
    lift = 1.0 - np.exp(-4.2 * up)
    for c in range(3):
        out[c] = sky[HORIZON + c] + (sky[ZENITH + c] - sky[HORIZON + c]) * lift
    near = dx * sky[SUN] + dy * sky[SUN + 1] + dz * sky[SUN + 2]
    if sky[SUN + 2] > -0.15:
        halo = 0.05 * clamp01(near) ** 6 + 0.16 * clamp01(near) ** 64
        thick = 1.0 + 2.0 * clamp01(1.0 - 3.0 * abs(sky[SUN + 2]))
        for c in range(3):
            out[c] += halo * thick * (sky[SUN_RGB + c] + 0.25 * sky[HORIZON + c])
    if sky[CLOUD] > 0.03 and dz > 0.004:
        flat = 1.0 / (dz + 0.11)
        x, y = dx * flat * 1.7 + 0.004 * sky[DRIFT], dy * flat * 1.7
        puff = fbm2(x, y, int(sky[SEED]), 5 if sharp else 3)
        cut = 0.74 - 0.46 * sky[CLOUD]
        cover = smooth(cut, cut + 0.17, puff) * smooth(0.0, 0.08, dz) * min(1.0, 2.0 * sky[CLOUD] + 0.2)
        body = smooth(cut, cut + 0.4, puff)
        glare = 1.0 + 0.9 * clamp01(near) ** 8
        for c in range(3):
            top = 0.75 * sky[HORIZON + c] + 0.30 * sky[SUN_RGB + c] * glare * (1.0 - 0.55 * body)
            top += 0.35 * sky[AMBIENT + c] * (1.0 - 0.75 * body)
            out[c] += (top - out[c]) * cover
    if sharp and near > 0.9994 and sky[SUN + 2] > -0.01:
        for c in range(3):
            out[c] += 9.0 * sky[SUN_RGB + c] * smooth(0.9994, 0.9998, near)
    if sharp and sky[NIGHT] > 0.5 and dz > 0.05:
        k, j = int(np.floor(dx / (dz + 0.3) * 220.0)), int(np.floor(dy / (dz + 0.3) * 220.0))
        if hash2(k, j, 3) > 0.9985:
            for c in range(3):
                out[c] += 0.02 * (1.0 - sky[CLOUD])


@njit(cache=True, nogil=True)
@no_type_check
def skyline(sky: np.ndarray, dx: float, dy: float, dz: float, out: np.ndarray) -> None:
    """Far trees and roofs in the haze below a few degrees; the radiance is blended in place."""
    turn = np.arctan2(dy, dx) * 40.0
    cell = int(np.floor(turn * 0.7))
    roof = 0.012 + 0.05 * hash2(cell, 4, int(sky[SEED])) ** 2
    trees = 0.010 + 0.028 * fbm2(turn * 0.5, 1.0, int(sky[SEED]) + 2, 4)
    top = max(roof, trees)
    if dz >= top:
        return
    haze = 0.62 * np.exp(-sky[BETA] * 700.0)
    green = 1.0 if trees > roof else 0.0
    for c in range(3):
        tone = 0.20 if c != 1 else 0.20 + 0.03 * green
        dark = tone * (sky[AMBIENT + c] + 0.35 * sky[SUN_RGB + c])
        out[c] += (dark - out[c]) * haze
    if sky[NIGHT] > 0.3 and green < 0.5:
        w = hash2(int(np.floor(turn * 9.0)), int(np.floor(dz * 420.0)), 17)
        if w > 0.86:
            for c in range(3):
                out[c] += sky[NIGHT] * 0.05 * haze * (1.0 - 0.22 * c)
