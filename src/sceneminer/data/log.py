"""A Log is one continuous drive: a set of time series, one a sensor, each with its own times.

Everything here is a small, immutable, picklable handle; images, points, tracks and maps are read when asked for,
through the ``LogStore`` of the adapter that opened the Log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from sceneminer.data.errors import Issue
from sceneminer.data.hdmap import HdMap
from sceneminer.data.track import Track
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import interpolate_poses

MAX_POSE_GAP_US = 2_000_000
"""Poses further apart than this are not interpolated between."""
HELD_US = 500_000
"""Where poses end, or in a gap, the nearest one is good for this long; beyond it ego's place is unknown."""
Modality = Literal["camera", "lidar", "radar"]


@dataclass(frozen=True, eq=False)
class Sensor:
    """One calibrated sensor. ``camera`` is None for other modalities and for cameras without calibration."""

    name: str
    modality: Modality
    ego_from_sensor: Float[ndarray, "4 4"]
    camera: Camera | None = None


@dataclass(frozen=True, eq=False)
class Rig:
    """Calibrated sensors by name, in the data set's order.

    ``source`` says where calibration comes from: ``calibrated`` (the data set's own), ``assumed`` (a default that
    the user asked for) or ``none``. Metric signals are null unless it is calibrated, or assumed on request.
    """

    sensors: Mapping[str, Sensor]
    source: Literal["calibrated", "assumed", "none"] = "calibrated"

    def cameras(self) -> tuple[str, ...]:
        return tuple(name for name, sensor in self.sensors.items() if sensor.modality == "camera")


@dataclass(frozen=True, eq=False)
class Series:
    """The measurements of one sensor, in time order."""

    name: str
    modality: Modality
    times_us: Int[ndarray, "n"]
    """Strictly ascending."""
    files: tuple[str, ...]
    """One media name a measurement, relative to the media root."""
    keyframe: ndarray
    """bool [n]"""
    calibrations: tuple[Sensor, ...]
    """Calibrations in use: image size and intrinsics may change within a Log."""
    calibration_index: ndarray
    """int16 [n], into ``calibrations``."""
    video_index: ndarray | None = None
    """int64 [n]: frame number within ``files[i]`` where that is a video."""

    def __len__(self) -> int:
        return len(self.times_us)

    def sensor(self, i: int) -> Sensor:
        return self.calibrations[int(self.calibration_index[i])]

    def between(self, start_us: int, end_us: int) -> "Series":
        """The measurements with start_us ≤ time < end_us."""
        low, high = np.searchsorted(self.times_us, [start_us, end_us])
        part = slice(int(low), int(high))
        return replace(
            self,
            times_us=self.times_us[part],
            files=self.files[part],
            keyframe=self.keyframe[part],
            calibration_index=self.calibration_index[part],
            video_index=None if self.video_index is None else self.video_index[part],
        )


@dataclass(frozen=True, eq=False)
class Points:
    """One LiDAR sweep in the sensor's own frame."""

    xyz_m: Float[ndarray, "n 3"]
    intensity: Float[ndarray, "n"]
    """As the data set has it (nuScenes: 0 to 255)."""
    ring: Int[ndarray, "n"] | None = None
    labels: Int[ndarray, "n"] | None = None


@runtime_checkable
class LogStore(Protocol):
    """The lazy side of a Log. Implementations are small, picklable and hold no open files."""

    def read_image(self, series: Series, i: int, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
        """One RGB image, resized as a whole to ``size`` (width, height) if given; MediaError if unusable."""
        ...

    def read_points(self, series: Series, i: int) -> Points:
        """One LiDAR sweep; MediaError if unusable."""
        ...

    def read_tracks(self) -> tuple[Track, ...]:
        """All annotated agents, in world coordinates; empty where the Log has none."""
        ...

    def read_map(self) -> HdMap | None:
        """The map around the drive, in world coordinates; None where there is none."""
        ...


@dataclass(frozen=True, eq=False)
class Log:
    """One continuous drive. Opening it decodes no image."""

    log_id: str
    """Unique and stable: a readable name and 8 hex digits of the data set's own token, or of how the drive begins."""
    name: str
    """What the data set calls it."""
    dataset: str
    split: str | None
    location: str | None
    description: str
    licence: str | None
    start_us: int
    end_us: int
    """Of the whole drive, even when this handle is a part of it."""
    rig: Rig
    series: Mapping[str, Series]
    reference_times_us: Int[ndarray, "k"]
    """Keyframe times, where the data set has them; else those of the densest camera."""
    pose_times_us: Int[ndarray, "p"]
    world_from_ego: Float[ndarray, "p 4 4"]
    """Ego poses at ``pose_times_us``; both empty where the Log has none."""
    store: LogStore
    has_tracks: bool
    has_map: bool
    issues: tuple[Issue, ...] = ()
    """What was found unusable on opening."""
    utc_offset_s: int | None = None
    """Local time where the drive was, less UTC; None where the data set does not tell or its times are no clock's."""

    @property
    def has_poses(self) -> bool:
        return len(self.pose_times_us) > 0

    def cameras(self) -> tuple[str, ...]:
        return tuple(name for name, series in self.series.items() if series.modality == "camera")

    def poses_at(self, times_us: Int[ndarray, "m"]) -> tuple[Float[ndarray, "m 4 4"], Float[ndarray, "m"]]:
        """``world_from_ego`` at other times, and how far in µs each had to be held (0: interpolated).

        A pose held for longer than ``HELD_US`` says nothing of where ego was.
        """
        return interpolate_poses(self.pose_times_us, self.world_from_ego, times_us, max_gap_us=MAX_POSE_GAP_US)

    def pose_known(self, times_us: Int[ndarray, "m"]) -> Bool[ndarray, "m"]:
        """At which times ego's pose is known: interpolated, or held for ``HELD_US`` at most."""
        if not self.has_poses:
            return np.zeros(len(times_us), bool)
        return self.poses_at(times_us)[1] <= HELD_US

    def only(self, cameras: tuple[str, ...]) -> "Log":
        """The same Log with just these cameras (other modalities stay). ValueError names an unknown one."""
        unknown = [name for name in cameras if name not in self.cameras()]
        if unknown:
            raise ValueError(f"expected cameras among {', '.join(self.cameras())}; found {', '.join(unknown)}")
        keep = {n: s for n, s in self.series.items() if s.modality != "camera" or n in cameras}
        sensors = {n: s for n, s in self.rig.sensors.items() if s.modality != "camera" or n in cameras}
        return replace(self, series=keep, rig=replace(self.rig, sensors=sensors))

    def between(self, start_us: int, end_us: int) -> "Log":
        """A light handle on part of the drive: measurements with start_us ≤ time < end_us; ids and span stay."""
        reference = self.reference_times_us
        return replace(
            self,
            series={name: series.between(start_us, end_us) for name, series in self.series.items()},
            reference_times_us=reference[(reference >= start_us) & (reference < end_us)],
        )
