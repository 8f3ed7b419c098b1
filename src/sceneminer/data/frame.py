"""A Frame is a view of a Log at a reference time: each sensor's nearest measurement, with its own time and pose."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.data.log import HELD_US, Log, Sensor


@dataclass(frozen=True, eq=False)
class Measurement:
    """One sensor in a Frame. ``valid`` is False, with a reason, where it has nothing within the tolerance."""

    sensor: Sensor | None
    time_us: int
    index: int
    """Row of the Series; -1 where not valid."""
    world_from_ego: Float[ndarray, "4 4"] | None
    """Ego's pose at this measurement's own time; None where it is unknown (``Log.pose_known``)."""
    valid: bool
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Frame:
    log_id: str
    time_us: int
    world_from_ego: Float[ndarray, "4 4"] | None
    """Ego's pose at the reference time; None where it is unknown."""
    measurements: Mapping[str, Measurement]


def frame_at(log: Log, time_us: int, *, sensors: tuple[str, ...] | None = None, tolerance_us: int = 60_000) -> Frame:
    """The Frame at one time; every asked sensor is in it, valid or not."""
    return next(iter_frames(log, np.array([time_us]), sensors=sensors, tolerance_us=tolerance_us))


def iter_frames(
    log: Log,
    times_us: Int[ndarray, "k"],
    *,
    sensors: tuple[str, ...] | None = None,
    tolerance_us: int = 60_000,
) -> Iterator[Frame]:
    """Frames at reference times, without reading media."""
    names = tuple(log.series) if sensors is None else sensors
    times = np.asarray(times_us, np.int64)
    ego = _poses(log, times)
    picked = {name: _nearest(log, name, times, tolerance_us) for name in names}
    for k, time_us in enumerate(times):
        yield Frame(
            log_id=log.log_id,
            time_us=int(time_us),
            world_from_ego=ego[k],
            measurements={name: picked[name][k] for name in names},
        )


def _nearest(log: Log, name: str, times: ndarray, tolerance_us: int) -> list[Measurement]:
    series = log.series.get(name)
    if series is None or len(series) == 0:
        return [Measurement(None, int(t), -1, None, False, f"{name} has no measurements") for t in times]
    right = np.clip(np.searchsorted(series.times_us, times), 0, len(series) - 1)
    left = np.maximum(right - 1, 0)
    nearer_left = np.abs(times - series.times_us[left]) <= np.abs(series.times_us[right] - times)
    index = np.where(nearer_left, left, right)
    own = series.times_us[index]
    poses = _poses(log, own)
    result = []
    for k, i in enumerate(index):
        off = abs(int(own[k]) - int(times[k]))
        if off <= tolerance_us:
            result.append(Measurement(series.sensor(int(i)), int(own[k]), int(i), poses[k], True))
        else:
            why = f"nearest {name} measurement is {off / 1000:.0f} ms away, tolerance {tolerance_us / 1000:.0f} ms"
            result.append(Measurement(series.sensor(int(i)), int(times[k]), -1, None, False, why))
    return result


def _poses(log: Log, times_us: ndarray) -> list[ndarray | None]:
    if not log.has_poses:
        return [None] * len(times_us)
    poses, held_us = log.poses_at(times_us)
    return [pose if held <= HELD_US else None for pose, held in zip(poses, held_us, strict=True)]
