"""What a point of a surface looks like: numba kernels from PART and uv to colour, mirror share and glow.

They write into a row ``m``: 0–2 albedo (linear), 3 clear-coat or glass mirror at normal incidence, 4–6 emission,
7 material id, 8 wetness that the surface can hold. ``f`` is the size of a pixel on the surface in metres: patterns
finer than it fade to their mean.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from sceneminer.data.synth.facade import brick_tone
from sceneminer.data.synth.mesh import PART
from sceneminer.data.synth.scene import KERB_M, MATERIAL_ID
from sceneminer.data.synth.texture import band, clamp01, fbm2, hash2, mix3, noise2, pulse, scale3, smooth

ROWS = 9
_ASPHALT, _PAINT, _PAVEMENT = MATERIAL_ID["asphalt"], MATERIAL_ID["road_paint"], MATERIAL_ID["pavement"]
_GRASS, _SOIL = MATERIAL_ID["grass"], MATERIAL_ID["soil"]
_GLASS, _CHROME, _TYRE = MATERIAL_ID["car_glass"], MATERIAL_ID["chrome"], MATERIAL_ID["tyre"]
_CAR, _HOOD = MATERIAL_ID["car_paint"], MATERIAL_ID["engine_hood"]
_BODY, _BODY_SIDE, _SIDE_GLASS, _GLASS_PART = PART["body"], PART["body_side"], PART["side_glass"], PART["glass"]
_PLATE, _STRIPES, _SIGN, _BILLBOARD = PART["plate"], PART["stripes"], PART["sign"], PART["billboard"]
_BUS, _GRILLE, _BARK, _BRICKS, _WHEEL = PART["bus_side"], PART["grille"], PART["bark"], PART["bricks"], PART["wheel"]
_CARGO, _CLOTH, _FENCE, _ROOF, _KERB = PART["cargo"], PART["cloth"], PART["mesh_fence"], PART["roof"], PART["kerb"]
_FOLIAGE = PART["foliage"]


@njit(cache=True, nogil=True)
@no_type_check
def letters(u: float, v: float, rows: int, seed: int, f: float) -> float:
    """How much of a row of made-up letters covers (u, v); cells of 1, strokes of a third."""
    if v < 0.0 or v > 1.0:
        return 0.0
    cell = int(np.floor(u))
    if hash2(cell, rows, seed) < 0.15 or f > 0.8:
        return 0.25 if f > 0.8 else 0.0
    x, y = (u - cell) * 4.0, v * 5.0
    if x > 3.2:
        return 0.0
    return 1.0 if hash2(cell * 8 + int(x), int(y), seed) < 0.58 else 0.0


@njit(cache=True, nogil=True)
@no_type_check
def shade_ground(
    m: np.ndarray, x: float, y: float, z: float, texture: tuple[float, float, float, float], seed: int, f: float
) -> None:
    """Asphalt or pavement with paint, grass and dirt; ``texture`` is the sampled ground texture."""
    white, yellow, green, tone = texture
    broad = fbm2(x * 0.13, y * 0.13, seed, 3) - 0.5
    fine = (noise2(x * 31.0, y * 31.0, seed + 3) - 0.5) * smooth(0.06, 0.01, f)
    fine += (noise2(x * 6.0, y * 6.0, seed + 4) - 0.5) * smooth(0.35, 0.05, f)
    raised = z > 0.5 * KERB_M
    m[8] = 1.0
    if raised:
        scale3(m, 1.0 + 0.35 * broad + 0.16 * fine)
        joint = max(pulse(x + 0.02 * y, 1.2, 0.0, 0.02, f), pulse(y - 0.02 * x, 1.2, 0.0, 0.02, f))
        scale3(m, (1.0 - 0.4 * joint) * (0.90 + 0.16 * hash2(int(np.floor(x / 1.2)), int(np.floor(y / 1.2)), seed)))
        m[7] = _PAVEMENT
        if green > 0.01:
            bare = smooth(0.60, 0.72, fbm2(x * 0.22 + 7.0, y * 0.22, seed + 9, 4))
            blade = 1.0 + 0.55 * fine + 0.5 * broad + 0.35 * (noise2(x * 1.7, y * 1.7, seed + 5) - 0.5)
            mix3(m, 0.085 * blade, 0.118 * blade, 0.035 * blade, green * (1.0 - bare))
            mix3(m, 0.19 * blade, 0.14 * blade, 0.09 * blade, green * bare)
            m[8] = 1.0 - 0.9 * green
            if green > 0.5:
                m[7] = _SOIL if bare > 0.5 else _GRASS
    else:
        m[7] = _ASPHALT
        speck = smooth(0.72, 0.95, noise2(x * 47.0, y * 47.0, seed + 6)) * smooth(0.03, 0.008, f)
        scale3(m, 1.0 + 0.5 * broad + 0.34 * fine + 0.6 * speck)
    scale3(m, max(0.25, tone / 0.502))
    paint = 0.0 if raised else clamp01(white + yellow)
    if paint > 0.003:
        rub = 0.92 + 0.16 * broad + 0.1 * fine
        mix3(
            m,
            0.62 * rub,
            (0.62 * white + 0.43 * yellow) / (white + yellow) * rub,
            (0.58 * white + 0.07 * yellow) / (white + yellow) * rub,
            paint,
        )
        if paint > 0.4:
            m[7] = _PAINT


@njit(cache=True, nogil=True)
@no_type_check
def shade_vehicle(m: np.ndarray, part: int, u: float, v: float, seed: int, f: float) -> None:
    """Panels, panes, wheels, plates and cargo walls of vehicles."""
    if part in (_BODY, _BODY_SIDE):
        m[3] = 0.045
        if part == _BODY_SIDE:
            seam = (
                band(abs(u - 0.1), 0.0, 0.012, f)
                + band(abs(u + 0.95), 0.0, 0.012, f)
                + band(abs(u - 1.15), 0.0, 0.012, f)
            )
            scale3(m, 1.0 - 0.75 * min(1.0, seam))
            grip = (band(u, -0.16, 0.04, f) + band(u, -1.2, -1.0, f)) * band(v, 0.80, 0.835, f)
            scale3(m, 1.0 - 0.7 * min(1.0, grip))
            scale3(m, 1.0 - 0.35 * smooth(0.55, 0.2, v))
        else:
            scale3(m, 0.97 + 0.06 * noise2(u * 0.8, v * 0.8, seed))
    elif part in (_SIDE_GLASS, _GLASS_PART):
        edge = min(u, 1.0 - u)
        if part == _SIDE_GLASS:
            pillar = edge < 0.055 or v < 0.05 or v > 0.9
            dark = abs(u - 0.5) < 0.022 or abs(u - 0.2) < 0.012
        else:
            pillar = edge < 0.05 or v > 0.94 or v < 0.02
            dark = False
        if pillar:
            m[3], m[7] = 0.045, _CAR
        else:
            cabin = 0.012 + 0.03 * smooth(0.5, 0.1, v) * noise2(u * 7.0, v * 3.0, seed)
            m[0], m[1], m[2] = cabin, cabin * 1.05, cabin * 1.08
            m[3], m[7] = (0.02 if dark else 0.08), _GLASS
    elif part == _WHEEL:
        r = np.sqrt(u * u + v * v)
        if r < 0.66:
            angle = np.arctan2(v, u) * (5 + seed % 3) / (2 * np.pi)
            spoke = abs(angle - np.floor(angle) - 0.5) < 0.24 or r < 0.2 or r > 0.57
            tone = 0.38 if spoke else 0.035
            if f > 0.12:
                tone = 0.24
            m[0], m[1], m[2], m[3], m[7] = tone, tone, tone * 1.02, 0.05, _CHROME
        else:
            m[0], m[1], m[2], m[7] = 0.018, 0.018, 0.019, _TYRE
    elif part == _PLATE:
        ink = letters(u * 7.6 - 0.3, (v - 0.2) / 0.6, 1, seed, f * 8.0)
        scale3(m, 1.0 - 0.85 * ink)
    elif part == _GRILLE:
        scale3(m, 1.0 + 1.4 * pulse(v, 0.22, 0.0, 0.07, f * 5))
        m[3] = 0.04
    elif part == _CARGO:
        rib = pulse(u, 0.62, 0.0, 0.03, f) + pulse(v, 2.6, 0.0, 0.05, f)
        scale3(m, (0.96 + 0.08 * fbm2(u * 0.8, v * 2.0, seed, 2)) * (1.0 - 0.35 * min(1.0, rib)))
        if u > 1.1 and u < 4.1 and seed % 3 > 0:
            ink = letters((u - 1.1) / 0.42, (v - 1.0) / 0.5, 2, seed, f / 0.42)
            mix3(m, 0.5 * hash2(seed, 1, 1), 0.4 * hash2(seed, 2, 1), 0.5 * hash2(seed, 3, 1), ink)
    elif part == _BUS:
        pane = pulse(u, 1.55, 0.06, 1.49, f) * band(v, 1.0, 2.15, f)
        cell = int(np.floor(u / 1.55))
        door = cell % 4 == 1 and seed % 2 == 0
        if door:
            pane = max(pane, pulse(u, 1.55, 0.12, 0.74, f) * band(v, 0.15, 2.15, f))
            pane = max(pane, pulse(u, 1.55, 0.80, 1.42, f) * band(v, 0.15, 2.15, f))
        seat = 0.02 + 0.05 * noise2(u * 2.4, v * 2.0, seed)
        scale3(m, 1.0 - 0.4 * pulse(u, 3.1, 0.0, 0.02, f))
        mix3(m, seat, seat, seat * 1.05, pane)
        m[3] = 0.045 + 0.05 * pane
        if pane > 0.5:
            m[7] = _GLASS


@njit(cache=True, nogil=True)
@no_type_check
def shade_sign(m: np.ndarray, part: int, u: float, v: float, seed: int, f: float, night: float) -> None:
    """Traffic signs, destination signs and posters."""
    if part == _BILLBOARD:
        k = int(seed % 977)
        hue = hash2(k, 1, 2)
        slope = smooth(0.0, 1.0, v * 0.7 + u * 0.3)
        m[0] = 0.08 + 0.5 * abs(np.sin(3.1 * hue + 1.3 * slope))
        m[1] = 0.08 + 0.5 * abs(np.sin(3.1 * hue + 2.1 + 0.9 * slope))
        m[2] = 0.08 + 0.5 * abs(np.sin(3.1 * hue + 4.2 + 1.1 * slope))
        grey = (m[0] + m[1] + m[2]) / 3.0
        mix3(m, grey, grey, grey, 0.5)
        d = np.sqrt((u - 0.3 - 0.4 * hash2(k, 2, 2)) ** 2 + (v - 0.55) ** 2)
        mix3(m, 0.7 * hash2(k, 3, 2), 0.6 * hash2(k, 4, 2), 0.6 * hash2(k, 5, 2), smooth(0.27, 0.24, d))
        ink = letters(u * 9.0 - 0.5, (v - 0.1) / 0.14, 1, k, f * 2.0) + letters(
            u * 6.0, (v - 0.78) / 0.15, 2, k, f * 2.0
        )
        mix3(m, 0.75, 0.75, 0.72, min(1.0, ink))
        for c in range(3):
            m[4 + c] = 0.09 * night * m[c]
        return
    code = int(np.floor(u / 10.0))
    if code == 0:
        ink = letters(u * 9.0, (v - 0.2) / 0.6, 3, seed, f * 6.0) if v <= 1.0 else 0.0
        if m[0] + m[1] + m[2] < 0.03:  # a bus's destination in light dots
            m[4], m[5], m[6] = 1.1 * ink, 0.55 * ink, 0.05 * ink
        else:
            mix3(m, 0.75, 0.75, 0.75, ink)
        return
    x, y = u - 10.0 * code - 0.5, v - 0.5
    r = np.sqrt(x * x + y * y)
    if code == 1:
        ink = letters((x + 0.36) * 5.6, (y + 0.12) / 0.24, 1, 7, f * 3.0)
        m[0], m[1], m[2] = 0.42, 0.015, 0.02
        mix3(m, 0.8, 0.8, 0.8, ink if r < 0.42 else (1.0 if r < 0.47 else 0.0))
    elif code == 2:
        inner = y > -0.30 + 0.0 * x and y < 0.14 and abs(x) < 0.30 * (y + 0.34) / 0.48
        m[0], m[1], m[2] = (0.75, 0.75, 0.73) if inner else (0.45, 0.02, 0.02)
    else:
        m[0], m[1], m[2] = (0.45, 0.02, 0.02) if r > 0.37 else (0.8, 0.8, 0.78)
        ink = letters((x + 0.22) * 4.6, (y + 0.18) / 0.36, 1, seed, f * 3.0) if abs(x) < 0.22 else 0.0
        mix3(m, 0.02, 0.02, 0.02, ink)


@njit(cache=True, nogil=True)
@no_type_check
def shade_other(m: np.ndarray, part: int, u: float, v: float, at: np.ndarray, seed: int, f: float, town: int) -> None:
    """Leaves, kerbs, roofs, bricks, cloth, stripes, rails."""
    if part == _FOLIAGE:
        x, y, z = at[0], at[1], at[2]
        clump = noise2(x * 3.1, y * 3.1, seed) + noise2(y * 3.1, z * 3.1, seed + 1) + noise2(z * 3.1, x * 3.1, seed + 2)
        tone = 0.80 + 0.85 * (clump / 1.5 - 1.0)
        near = smooth(0.14, 0.02, f)
        if near > 0.0:
            leaf = noise2(x * 13.0, z * 13.0, seed + 3) + noise2(y * 13.0, z * 13.0 + x * 5.0, seed + 4)
            tone *= 1.0 + near * 1.1 * (leaf - 1.0)
        scale3(m, max(tone, 0.12))
    elif part == _KERB:
        joint = pulse(u, 1.0, 0.0, 0.02, f)
        scale3(m, (1.0 - 0.4 * joint) * (0.8 + 0.4 * noise2(u * 3.0, v * 9.0, 5)))
        if town % 4 == 0:
            dark = pulse(u, 2.0, 0.0, 1.0, f)
            scale3(m, 1.15 - 1.02 * dark)
        m[8] = 0.6
    elif part == _ROOF:
        row = pulse(v, 0.34, 0.0, 0.05, f) + 0.5 * pulse(u, 0.3, 0.0, 0.03, f)
        scale3(m, (1.0 - 0.35 * min(1.0, row)) * (0.8 + 0.4 * fbm2(u * 1.3, v * 1.3, seed, 3)))
    elif part == _BRICKS:
        scale3(m, brick_tone(u, v, seed, f))
    elif part == _BARK:
        scale3(m, 0.7 + 0.6 * noise2(u * 22.0, v * 3.0, seed))
    elif part == _CLOTH:
        scale3(m, 0.84 + 0.32 * noise2(at[2] * 9.0 + 0.3 * seed, (at[0] + at[1]) * 4.0, seed))
    elif part == _STRIPES:
        s = pulse(u + v, 0.5, 0.0, 0.25, f)
        mix3(m, 0.72, 0.72, 0.70, s)
    elif part == _FENCE:
        bar = min(1.0, pulse(u, 0.13, 0.0, 0.03, f) + band(v, 0.0, 0.04, f) + pulse(v, 1.0, 0.93, 1.0, f))
        scale3(m, 0.35 + 0.65 * bar)
