"""When each sensor of the town's car fires, as in nuScenes: LiDAR at 20 Hz, cameras at 12 Hz within its sweeps.

A camera fires in 12 of every 20 sweeps, so its frames lie 50 or 100 ms apart; LiDAR stamps wander by a fraction of a
millisecond, cameras by microseconds; keyframes are sweep ends about 500 ms apart, now and then one early or late.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy import ndarray

from sceneminer.data.synth.rig import MOUNT_OF, SWEEP_US

Rate = Literal["keyframes", "full"]

SWEEPS_PER_KEYFRAME = 10
LIDAR_JITTER_US = 350.0
CAMERA_JITTER_US = 2.0
# Sweeps by which a keyframe may come early or late; both have a camera frame, as 8 in 10 or more do in nuScenes.
_SHIFTS, _SHIFT_SHARES = (0, -1, 2), (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Capture:
    """One measurement of one sensor."""

    channel: str
    timestamp_us: int
    time_s: float
    """The same instant on the Drive's clock."""
    sample: int
    """Index of the keyframe it belongs to: its own, or the next one (the last one at the end of the log)."""
    is_keyframe: bool


@dataclass(frozen=True)
class Schedule:
    """All captures of one log, each channel in time order, and its keyframes' times."""

    start_us: int
    """The Drive's second 0."""
    keyframes_us: tuple[int, ...]
    """Ends of the keyframes' LiDAR sweeps."""
    captures: tuple[Capture, ...]


def schedule(
    duration_s: float, *, start_us: int, channels: tuple[str, ...], rate: Rate, rng: np.random.Generator
) -> Schedule:
    """Draw the captures of a log; which channels are written, and at which rate, moves none of the others' times."""
    sweeps = int(duration_s * 1e6) // SWEEP_US
    keys = _keyframe_sweeps(sweeps, rng)
    lidar_jitter = np.clip(rng.normal(0.0, LIDAR_JITTER_US, sweeps), -900.0, 900.0)
    camera_jitter = {channel: rng.normal(0.0, CAMERA_JITTER_US, sweeps) for channel in sorted(MOUNT_OF)}
    ends = start_us + SWEEP_US * (1 + np.arange(sweeps))
    captures: list[Capture] = []
    for channel in channels:
        mount = MOUNT_OF[channel]
        camera = mount.modality == "camera"
        jitter = camera_jitter[channel] if camera else lidar_jitter
        stamps = ends + mount.offset_us + np.rint(jitter).astype(np.int64)
        fires = _camera_fires(sweeps) if camera else np.ones(sweeps, bool)
        if rate == "keyframes":
            fires = fires & np.isin(np.arange(sweeps), keys)
        for sweep in np.flatnonzero(fires):
            stamp = int(stamps[sweep])
            sample = min(int(np.searchsorted(keys, sweep)), len(keys) - 1)
            captures.append(Capture(channel, stamp, (stamp - start_us) / 1e6, sample, bool(keys[sample] == sweep)))
    keyframes = ends[keys] + np.rint(lidar_jitter[keys]).astype(np.int64)
    return Schedule(start_us, tuple(int(t) for t in keyframes), tuple(captures))


def _camera_fires(sweeps: int) -> ndarray:
    """12 of every 20 sweeps, spread evenly; those at multiples of SWEEPS_PER_KEYFRAME are among them."""
    return (np.arange(sweeps) * 12) % 20 < 12


def _keyframe_sweeps(sweeps: int, rng: np.random.Generator) -> ndarray:
    nominal = np.arange(0, sweeps, SWEEPS_PER_KEYFRAME)
    shift = rng.choice(_SHIFTS, size=len(nominal), p=_SHIFT_SHARES)
    shift[0] = 0
    shift[1:][shift[1:] * shift[:-1] < 0] = 0
    late = nominal + shift >= sweeps
    return nominal + np.where(late, 0, shift)
