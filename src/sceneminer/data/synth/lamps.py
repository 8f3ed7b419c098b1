"""Lamps that light their surroundings at night, and the state of every traffic light."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.scene import Drive, Town
from sceneminer.data.synth.stage import Posed, Scenery
from sceneminer.data.synth.weather import NIGHT

STATES = {"green": 0, "amber": 1, "red": 2}
STREET_RGB = np.array([1.0, 0.80, 0.55])
BEAM_RGB = np.array([1.0, 0.96, 0.88])
MOST = 34


def signal_states(town: Town, time_s: float) -> tuple[ndarray, ndarray]:
    """Instance (1 + index of the prop) and state of each traffic light on a pole."""
    if not town.signals:
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    place = np.array([s.position[:2] for s in town.signals])
    yaw = np.array([s.facing_yaw_rad for s in town.signals])
    index, state = [], []
    for k, prop in enumerate(town.props, start=1):
        if prop.kind != "traffic_light":
            continue
        turn = np.abs((yaw - prop.pose[3] + np.pi) % (2 * np.pi) - np.pi)
        nearest = int(np.argmin(np.hypot(*(place - prop.pose[:2]).T) + 0.5 * turn))
        index.append(k)
        state.append(STATES[town.signals[nearest].state(time_s)])
    return np.array(index, np.int64), np.array(state, np.uint8)


def collect_lamps(
    scenery: Scenery,
    drive: Drive,
    posed: list[Posed],
    sky: ndarray,
    eye: Float[ndarray, "3"],
    *,
    ego: tuple[float, float, float, float],
) -> Float[ndarray, "l 14"]:
    """The lamps near a viewer.

    Columns: place, way, colour times power, cosines of the cone's rim and core, range, ego's own, dipped beam.
    """
    night = float(sky[NIGHT])
    if night < 0.05:
        return np.zeros((0, 14))
    rows: list[tuple[float, list[float]]] = []
    down = [0.0, 0.0, -1.0]
    for lamp in scenery.lamps:
        gap = float(np.hypot(*(lamp[:2] - eye[:2])))
        if gap < 130.0:
            power = 15.0 * night * (lamp[2] / 6.0) ** 1.6
            rows.append((gap, [*lamp, *down, *(power * STREET_RGB), 0.05, 0.75, 5.0 * lamp[2], 0.0, 0.0]))
    rows += [(0.0, row) for row in _beams(ego, 4.0, 1.75, 0.66, night, own=True)]
    for p in posed:
        if not p.signals[3] or not p.actor.category.startswith("vehicle"):
            continue
        gap = float(np.hypot(*(p.state[:2] - eye[:2])))
        if gap < 90.0:
            l, w, h = p.actor.size_lwh_m
            at = (p.state[0], p.state[1], p.state[2], p.state[3])
            rows += [(gap, row) for row in _beams(at, l / 2 + 0.1, w, min(0.9, 0.45 * h), night, own=False)]
    rows.sort(key=lambda row: row[0])
    return np.array([row for _, row in rows[:MOST]], np.float64).reshape(-1, 14)


def _beams(
    pose: tuple[float, float, float, float], ahead_m: float, width_m: float, height_m: float, night: float, *, own: bool
) -> list[list[float]]:
    x, y, z, yaw = pose
    c, s = np.cos(yaw), np.sin(yaw)
    out = []
    for side in (0.38 * width_m, -0.38 * width_m) if own else (0.0,):
        way = np.array([c, s, -0.055])
        way /= np.linalg.norm(way)
        power = night * (26.0 if own else 60.0)
        place = [x + c * ahead_m - s * side, y + s * ahead_m + c * side, z + height_m]
        out.append([*place, *way, *(power * BEAM_RGB), 0.82, 0.985, 65.0, float(own), 1.0])
    return out
