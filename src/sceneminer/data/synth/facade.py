"""Walls with windows, shop fronts and brick courses, by day and with lit rooms at night (numba kernels)."""

from typing import no_type_check

import numpy as np
from numba import njit

from sceneminer.data.synth.scene import MATERIAL_ID
from sceneminer.data.synth.texture import band, fbm2, hash2, mix3, noise2, pulse, scale3, smooth

_WINDOW, _BRICK, _PLASTER = MATERIAL_ID["window"], MATERIAL_ID["brick"], MATERIAL_ID["plaster"]


@njit(cache=True, nogil=True)
@no_type_check
def facade_glass(u: float, v: float, seed: int, fu: float, fv: float) -> tuple[float, int, int, float]:
    """Share of window at (u, v) of a facade, the window's column and floor, and its frame's share."""
    floor_m = 3.1
    shop = hash2(seed, 1, 5) < 0.55
    pitch = 2.1 + 2.2 * hash2(seed, 2, 5)
    side = int(np.floor(u / 1000.0))
    a = u - 1000.0 * side
    if v < 3.5:
        if not shop or side != 0:
            pitch = max(pitch, 3.0)
            start, end, low, high = 0.30, 0.70, 1.1, 2.4
        else:
            pitch = 4.0
            start, end, low, high = 0.06, 0.94, 0.45, 2.75
        glass = pulse(a, pitch, start * pitch, end * pitch, fu) * band(v, low, high, fv)
        frame = pulse(a, pitch, start * pitch - 0.1, end * pitch + 0.1, fu) * band(v, low - 0.12, high + 0.1, fv)
        return glass, int(np.floor(a / pitch)) + 64 * side, 0, frame - glass
    w = v - 3.5 - 0.35
    share = 0.34 + 0.3 * hash2(seed, 3, 5)
    tall = 1.25 + 0.75 * hash2(seed, 4, 5)
    if hash2(seed, 5, 5) < 0.18:  # a curtain wall or ribbon windows
        share, tall = 0.93, 2.2
    start, end = 0.5 - share / 2, 0.5 + share / 2
    glass = pulse(a, pitch, start * pitch, end * pitch, fu) * pulse(w, floor_m, 0.45, 0.45 + tall, fv)
    frame = pulse(a, pitch, start * pitch - 0.09, end * pitch + 0.09, fu)
    frame *= pulse(w, floor_m, 0.45 - 0.14, 0.45 + tall + 0.07, fv)
    return glass, int(np.floor(a / pitch)) + 64 * side, 1 + int(np.floor(w / floor_m)), frame - glass


@njit(cache=True, nogil=True)
@no_type_check
def brick_tone(u: float, v: float, seed: int, f: float) -> float:
    """Brightness of a brick wall: courses, joints, and bricks of different kilns."""
    row = np.floor(v / 0.075)
    shift = 0.125 * (int(row) & 1)
    near = smooth(0.12, 0.02, f)
    joint = max(pulse(v, 0.075, 0.0, 0.012, f), pulse(u + shift, 0.25, 0.0, 0.012, f))
    brick = hash2(int(np.floor((u + shift) / 0.25)), int(row), seed) - 0.5
    return 1.0 + near * (0.34 * brick - 0.28 * joint)


@njit(cache=True, nogil=True)
@no_type_check
def shade_facade(
    m: np.ndarray, u: float, v: float, height: float, seed: int, fu: float, fv: float, night: float, hour: float
) -> None:
    """A wall with windows by day and night."""
    base0, base1, base2 = m[0], m[1], m[2]
    side = np.floor(u / 1000.0)
    a = u - 1000.0 * side
    if m[7] == _BRICK:
        scale3(m, brick_tone(a, v, seed, max(fu, fv)))
    else:
        scale3(m, 0.93 + 0.14 * fbm2(a * 0.7, v * 0.7, seed, 3))
        panel = max(pulse(a, 3.4, 0.0, 0.03, fu), pulse(v, 3.1, 0.0, 0.03, fv)) if m[7] != _PLASTER else 0.0
        scale3(m, 1.0 - 0.35 * panel)
    streak = fbm2(a * 1.9, v * 0.12 + 3.0, seed + 2, 3)
    scale3(m, 1.0 - 0.28 * smooth(0.52, 0.8, streak) - 0.22 * smooth(1.2, 0.0, v))
    if v > height - 0.9:
        return
    glass, column, floor, frame = facade_glass(u, v, seed, fu, fv)
    if frame > 0.004:
        light = 0.75 if hash2(seed, 8, 5) < 0.6 else 0.08
        mix3(m, light * 0.9, light * 0.88, light * 0.84, min(1.0, frame))
    if glass < 0.004:
        return
    pick, blind = hash2(column, floor, seed), hash2(column, floor, seed + 31)
    # Blinds, curtains and dark rooms behind the pane.
    inside = 0.02 + (0.28 * blind if blind > 0.62 else 0.03 * blind)
    if floor == 0:
        shelf = hash2(int(np.floor(a * 2.1)), int(np.floor(v * 1.7)), seed + 12)
        goods = hash2(int(np.floor(a * 7.0)), int(np.floor(v * 4.0)), seed + 13) * smooth(0.4, 0.08, max(fu, fv))
        inside = 0.03 + (0.11 * shelf + 0.10 * goods) * smooth(2.5, 0.9, v)
        if v > 2.35:
            mix3(m, base0 * 0.4 + 0.2 * pick, base1 * 0.4 + 0.2 * blind, base2 * 0.4 + 0.18 * hash2(seed, 9, 5), glass)
    mix3(m, inside, inside, inside * 1.04, glass)
    m[3] = m[3] + glass * 0.10
    if glass > 0.5:
        m[7] = _WINDOW
    late = 0.42 if hour > 16.0 and hour < 23.0 else 0.14
    if floor == 0:
        late = 0.8 if hour > 6.0 and hour < 22.5 else 0.3
    if night > 0.02 and pick < late:
        warm = hash2(column, floor, seed + 77)
        glow = night * glass * (0.025 + 0.075 * blind * blind) * (1.3 if floor == 0 else 1.0)
        glow *= 0.45 + 0.9 * noise2(a * 1.4, v * 1.1, seed + 5) + (3.0 * inside if floor == 0 else 0.0)
        m[4] += glow * 1.0
        m[5] += glow * (0.62 + 0.3 * warm)
        m[6] += glow * (0.22 + 0.5 * warm)
