"""The rig of nuScenes: six cameras and LIDAR_TOP at their published poses, fields of view and places in the sweep.

Source: calibration and time stamps of one nuScenes recording (Caesar et al., CVPR 2020), rounded to 0.1 mm, 5 digits
and 0.1 pixel. The LiDAR turns clockwise at 20 Hz and each camera fires when it sweeps past the camera's view centre,
so a camera's stamp lies before the sweep's end by the angle that is still to be swept.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sceneminer.data.log import Modality, Rig, Sensor
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import pose_from_quat

NATIVE_HW = (900, 1600)
SWEEP_US = 50_000


@dataclass(frozen=True)
class Mount:
    """Where one sensor sits on the car, what it sees, and when in the sweep it fires."""

    channel: str
    modality: Modality
    translation_m: tuple[float, float, float]
    quat_wxyz: tuple[float, float, float, float]
    """ego_from_sensor; a camera looks along its z axis."""
    focal_px: float
    center_px: tuple[float, float]
    """Principal point, at 1600×900."""
    offset_us: int
    """Capture time relative to the end of the LiDAR sweep."""


MOUNTS: tuple[Mount, ...] = (
    Mount(
        channel="CAM_FRONT",
        modality="camera",
        translation_m=(1.7008, 0.0159, 1.5110),
        quat_wxyz=(0.49980, -0.50303, 0.49978, -0.49737),
        focal_px=1266.4,
        center_px=(816.3, 491.5),
        offset_us=-35_491,
    ),
    Mount(
        channel="CAM_FRONT_RIGHT",
        modality="camera",
        translation_m=(1.5508, -0.4934, 1.4957),
        quat_wxyz=(0.20603, -0.20269, 0.68245, -0.67136),
        focal_px=1260.8,
        center_px=(808.0, 495.3),
        offset_us=-27_612,
    ),
    Mount(
        channel="CAM_BACK_RIGHT",
        modality="camera",
        translation_m=(1.0149, -0.4806, 1.5624),
        quat_wxyz=(0.12281, -0.13240, -0.70043, 0.69050),
        focal_px=1259.5,
        center_px=(807.3, 501.2),
        offset_us=-20_058,
    ),
    Mount(
        channel="CAM_BACK",
        modality="camera",
        translation_m=(0.0283, 0.0035, 1.5791),
        quat_wxyz=(0.50379, -0.49740, -0.49419, 0.50455),
        focal_px=809.2,
        center_px=(829.2, 481.8),
        offset_us=-10_426,
    ),
    Mount(
        channel="CAM_BACK_LEFT",
        modality="camera",
        translation_m=(1.0357, 0.4848, 1.5910),
        quat_wxyz=(0.69242, -0.70316, -0.11648, 0.11203),
        focal_px=1256.7,
        center_px=(792.1, 492.8),
        offset_us=-528,
    ),
    Mount(
        channel="CAM_FRONT_LEFT",
        modality="camera",
        translation_m=(1.5239, 0.4946, 1.5093),
        quat_wxyz=(0.67573, -0.67363, 0.21214, -0.21123),
        focal_px=1272.6,
        center_px=(826.6, 479.8),
        offset_us=-43_107,
    ),
    Mount(
        channel="LIDAR_TOP",
        modality="lidar",
        translation_m=(0.9437, 0.0, 1.8402),
        quat_wxyz=(0.70780, -0.00649, 0.01065, -0.70631),
        focal_px=0.0,
        center_px=(0.0, 0.0),
        offset_us=0,
    ),
)
CHANNELS = tuple(mount.channel for mount in MOUNTS)
MOUNT_OF: Mapping[str, Mount] = {mount.channel: mount for mount in MOUNTS}


def rig_sensors(size_hw: tuple[int, int], channels: tuple[str, ...] = CHANNELS) -> Rig:
    """The rig with cameras at an image size in pixels (the whole field of view resized, nothing cropped)."""
    return Rig({channel: _sensor(MOUNT_OF[channel], size_hw) for channel in channels})


def _sensor(mount: Mount, size_hw: tuple[int, int]) -> Sensor:
    ego_from_sensor = pose_from_quat(np.array(mount.translation_m), np.array(mount.quat_wxyz))
    if mount.modality != "camera":
        return Sensor(mount.channel, mount.modality, ego_from_sensor)
    (cx, cy), (height, width) = mount.center_px, NATIVE_HW
    native = Camera(width_px=width, height_px=height, fx=mount.focal_px, fy=mount.focal_px, cx=cx, cy=cy)
    return Sensor(mount.channel, "camera", ego_from_sensor, native.resized(size_hw[1], size_hw[0]))
