"""Where a lane is: poses by arc length, and the area it covers."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.scene import Lane


def lane_stations(lane: Lane) -> Float[ndarray, "n"]:
    """Arc length of each point of the centerline, in metres from its start."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(lane.centerline[:, :2], axis=0).T))])


def lane_at(lane: Lane, s_m: ndarray | float) -> tuple[ndarray, ndarray, ndarray]:
    """x, y and yaw at arc lengths along the centerline, in the shape of ``s_m``.

    Beyond either end the lane goes on straight, so that a vehicle's overhang has a place; yaw lies in (-pi, pi].
    """
    station = np.asarray(s_m, float)
    stations = lane_stations(lane)
    yaws = np.unwrap(lane.centerline[:, 2])
    x = np.interp(station, stations, lane.centerline[:, 0])
    y = np.interp(station, stations, lane.centerline[:, 1])
    yaw = np.interp(station, stations, yaws)
    over = station - np.clip(station, 0.0, stations[-1])
    x, y = x + over * np.cos(yaw), y + over * np.sin(yaw)
    return x, y, np.pi - (np.pi - yaw) % (2 * np.pi)


def lane_polygon(lane: Lane) -> Float[ndarray, "n 2"]:
    """The area of a lane, as an open counter-clockwise ring: right edge forwards, left edge backwards."""
    xy, yaw = lane.centerline[:, :2], lane.centerline[:, 2]
    to_left = np.stack([-np.sin(yaw), np.cos(yaw)], axis=1) * (lane.width_m / 2)
    return np.concatenate([xy - to_left, (xy + to_left)[::-1]])
