"""The inner loops of the traffic, compiled: poses on paths, car following, and what lies in a vehicle's way."""

from typing import no_type_check

import numpy as np
from numba import njit
from numpy import ndarray


@njit(cache=True)
@no_type_check
def idm_interaction(v: float, lead_v: float, gap: float, headway: float, accel: float, brake: float, s0: float):
    """The braking term of the Intelligent Driver Model (Treiber et al. 2000, eq. 3), in m/s², at most 0."""
    wanted = s0 + max(0.0, v * headway + v * (v - lead_v) / (2.0 * np.sqrt(accel * brake)))
    return -accel * (wanted / max(gap, 0.1)) ** 2


@njit(cache=True)
@no_type_check
def idm_free(v: float, v0: float, accel: float):
    """The free term of the IDM; above the wanted speed it brakes gently instead of with the fourth power."""
    if v <= v0:
        return accel * (1.0 - (v / max(v0, 0.1)) ** 4)
    return -min(2.6, (v - v0) / 0.5)


@njit(cache=True)
@no_type_check
def cap_backward(cap: ndarray, step: float, brake: float):
    """Lower speeds so that braking at ``brake`` meets every later cap."""
    out = cap.copy()
    for i in range(len(cap) - 2, -1, -1):
        out[i] = min(out[i], np.sqrt(out[i + 1] ** 2 + 2.0 * brake * step))
    return out


@njit(cache=True)
@no_type_check
def point_at(xy: ndarray, count: int, s: float, step: float):
    """A point of a path; it goes on straight past both ends."""
    u = s / step
    i = min(max(int(np.floor(u)), 0), count - 2)
    f = u - i
    return xy[i, 0] + f * (xy[i + 1, 0] - xy[i, 0]), xy[i, 1] + f * (xy[i + 1, 1] - xy[i, 1])


@njit(cache=True)
@no_type_check
def poses(paths: ndarray, counts: ndarray, s: ndarray, half_base: ndarray, step: float):
    """x, y and yaw of bodies whose two axles both lie on their path."""
    out = np.empty((len(s), 3))
    for k in range(len(s)):
        rx, ry = point_at(paths[k], counts[k], s[k] - half_base[k], step)
        fx, fy = point_at(paths[k], counts[k], s[k] + half_base[k], step)
        out[k, 0], out[k, 1], out[k, 2] = (rx + fx) / 2, (ry + fy) / 2, np.arctan2(fy - ry, fx - rx)
    return out


@njit(cache=True)
@no_type_check
def _outline(x: float, y: float, yaw: float, length: float, width: float, points: ndarray):
    """Points on a box's outline, at most 2 m apart along its sides; returns how many."""
    n = min(max(int(np.ceil(length / 2.0)), 1), 8)
    c, s = np.cos(yaw), np.sin(yaw)
    k = 0
    for i in range(n + 1):
        a = length * (i / n - 0.5)
        for side in (-0.5, 0.5):
            b = width * side
            points[k, 0], points[k, 1] = x + c * a - s * b, y + s * a + c * b
            k += 1
    for a in (-0.5 * length, 0.5 * length):
        points[k, 0], points[k, 1] = x + c * a, y + s * a
        k += 1
    return k


@njit(cache=True)
@no_type_check
def _in_way(path: ndarray, count: int, first: int, last: int, points: ndarray, n: int, reach: float, step: float):
    """The nearest path sample among ``first`` to ``last`` from which a point lies less than ``reach`` to the side."""
    best = -1.0
    stride = 2
    for p in range(n):
        near, at = 1e18, first
        for i in range(first, last, stride):
            d = (path[i, 0] - points[p, 0]) ** 2 + (path[i, 1] - points[p, 1]) ** 2
            if d < near:
                near, at = d, i
        if near > (reach + 1.5) ** 2:
            continue
        j = min(at + 2, count - 1)
        k = max(at - 2, 0)
        tx, ty = path[j, 0] - path[k, 0], path[j, 1] - path[k, 1]
        norm = np.sqrt(tx * tx + ty * ty) + 1e-9
        dx, dy = points[p, 0] - path[at, 0], points[p, 1] - path[at, 1]
        along, aside = (dx * tx + dy * ty) / norm, abs(-dx * ty + dy * tx) / norm
        station = at * step + along
        if aside < reach and station > first * step and (best < 0.0 or station < best):
            best = station
    return best


@njit(cache=True)
@no_type_check
def look_ahead(
    paths: ndarray,
    counts: ndarray,
    s: ndarray,
    v: ndarray,
    size: ndarray,
    manner: ndarray,
    active: ndarray,
    owner: ndarray,
    box: ndarray,
    speed: ndarray,
    seen_by: ndarray,
    step: float,
):
    """For each vehicle the strongest braking that anything in its swept way asks for, and what asks for it.

    ``box`` [m, 5] holds x, y, yaw, length, width of every body, ``speed`` [m, 2] its velocity, ``owner`` [m] the
    vehicle it belongs to (-1 none), ``seen_by`` [m] who notices it (-1 everyone, -2 nobody, -3 all but ego).
    ``manner`` [n, 4] is headway, acceleration, braking, standstill gap. Returns acceleration (0 or less), body index or
    -1, gap and speed along the way.
    """
    n = len(s)
    accel = np.zeros(n)
    who = np.full(n, -1, np.int64)
    gaps = np.full(n, 1e9)
    speeds = np.zeros(n)
    points = np.empty((24, 2))
    for i in range(n):
        if not active[i]:
            continue
        front = s[i] + size[i, 0] / 2
        horizon = min(90.0, max(22.0, 4.0 * v[i] + 18.0))
        first = min(max(int((front - 0.4) / step), 1), counts[i] - 2)
        last = min(int((front + horizon) / step) + 2, counts[i])
        ex, ey = point_at(paths[i], counts[i], front, step)
        for m in range(len(box)):
            if owner[m] == i or seen_by[m] == -2 or (seen_by[m] == -3 and i == 0):
                continue
            if abs(box[m, 0] - ex) > horizon + 8.0 or abs(box[m, 1] - ey) > horizon + 8.0:
                continue
            reach = size[i, 1] / 2 + 0.22
            if box[m, 3] < 1.5 and owner[m] < 0:
                reach += 0.25
            close = 1e18
            for j in range(first, last, 6):
                d = (paths[i, j, 0] - box[m, 0]) ** 2 + (paths[i, j, 1] - box[m, 1]) ** 2
                close = min(close, d)
            if close > (reach + box[m, 3] / 2 + box[m, 4] / 2 + 2.0) ** 2:
                continue
            k = _outline(box[m, 0], box[m, 1], box[m, 2], box[m, 3], box[m, 4], points)
            at = _in_way(paths[i], counts[i], first, last, points, k, reach, step)
            if at < 0.0:
                continue
            q = min(int(at / step), counts[i] - 2)
            tx, ty = paths[i, q + 1, 0] - paths[i, q, 0], paths[i, q + 1, 1] - paths[i, q, 1]
            norm = np.sqrt(tx * tx + ty * ty) + 1e-9
            lead_v = max(0.0, (speed[m, 0] * tx + speed[m, 1] * ty) / norm)
            gap = max(at - front, 0.05)
            a = idm_interaction(v[i], lead_v, gap, manner[i, 0], manner[i, 1], manner[i, 2], manner[i, 3])
            if a < accel[i]:
                accel[i], who[i], gaps[i], speeds[i] = a, m, gap, lead_v
    return accel, who, gaps, speeds


@njit(cache=True)
@no_type_check
def step_walkers(
    paths: ndarray,
    counts: ndarray,
    s: ndarray,
    v: ndarray,
    aside: ndarray,
    home: ndarray,
    size: ndarray,
    wish: ndarray,
    still: ndarray,
    dt: float,
    step: float,
):
    """Advance people in place by ``dt`` and return x, y and yaw: they slow behind others and step aside to the right.

    ``still`` [m, 5] holds x, y, yaw, length, width of things on the pavements.
    """
    n = len(s)
    out = np.empty((n, 3))
    for k in range(n):
        out[k] = _walker_pose(paths[k], counts[k], s[k], aside[k], step)
    if dt <= 0.0:
        return out
    for k in range(n):
        goal, shift = wish[k], home[k]
        c, q = np.cos(out[k, 2]), np.sin(out[k, 2])
        for j in range(n + len(still)):
            if j < n:
                x, y, yaw, length, width, pace = out[j, 0], out[j, 1], out[j, 2], size[j, 0], size[j, 1], v[j]
            else:
                x, y, yaw, length, width = still[j - n]
                pace = 0.0
            dx, dy = x - out[k, 0], y - out[k, 1]
            if j == k or abs(dx) > 6.0 or abs(dy) > 6.0:
                continue
            ahead, left = c * dx + q * dy, -q * dx + c * dy
            turn_c, turn_s = abs(np.cos(yaw - out[k, 2])), abs(np.sin(yaw - out[k, 2]))
            need = (size[k, 1] + length * turn_s + width * turn_c) / 2 + 0.12
            room = ahead - (size[k, 0] + length * turn_c + width * turn_s) / 2
            if ahead <= 0.05 or abs(left) > need:
                continue
            meeting = pace > 0.1 and np.cos(yaw - out[k, 2]) < 0.0
            if room < 3.5 and (meeting or pace < wish[k] - 0.2):
                away = left - need if left >= 0.0 or meeting else left + need
                if abs(aside[k] + away) > 1.25:
                    away = left + need if away < 0.0 else left - need
                shift = min(max(aside[k] + away, -1.25), 1.25)
            if room < 0.9:
                # shoulder to shoulder past who comes the other way, or crowds would lock
                slowest = 0.3 * wish[k] if meeting else max(0.0, pace + (room - 0.3) * 1.2)
                goal = min(goal, slowest)
        v[k] += min(max(goal - v[k], -2.5 * dt), 1.5 * dt)
        v[k] = max(v[k], 0.0)
        s[k] = min(s[k] + v[k] * dt, (counts[k] - 1) * step)
        if s[k] >= (counts[k] - 1) * step - 1e-6:
            v[k] = 0.0
        rate = 0.75 * min(1.0, 0.25 + v[k])
        aside[k] += min(max(shift - aside[k], -rate * dt), rate * dt)
        out[k] = _walker_pose(paths[k], counts[k], s[k], aside[k], step)
    return out


@njit(cache=True)
@no_type_check
def _walker_pose(path: ndarray, count: int, s: float, aside: float, step: float):
    ax, ay = point_at(path, count, max(s - 0.6, 0.0), step)
    bx, by = point_at(path, count, min(s + 0.6, (count - 1) * step), step)
    yaw = np.arctan2(by - ay, bx - ax)
    x, y = point_at(path, count, s, step)
    pose = np.empty(3)
    pose[0], pose[1], pose[2] = x - aside * np.sin(yaw), y + aside * np.cos(yaw), yaw
    return pose
