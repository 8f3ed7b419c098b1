"""Where and when an OpenLABEL scene is: coordinate systems, streams with their lenses, frames with poses and files."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.data.frame import Measurement, iter_frames
from sceneminer.data.log import Sensor, Series
from sceneminer.export.interval import Interval
from sceneminer.export.origin import clean
from sceneminer.geometry.camera import Camera

WORLD, EGO = "odom", "vehicle-iso8855"
"""OpenLABEL's own names for a fixed frame and for ego: x forward, y left, z up, on the ground below the rear axle."""


def coordinate_systems(interval: Interval) -> dict[str, Any]:
    """The world (where ego's place in it is known), ego, and each calibrated sensor as it is mounted."""
    mounted = {
        _name(name): _first(series)
        for name, series in interval.log.series.items()
        if len(series) and _is_placed(_first(series))
    }
    placed = interval.log.has_poses
    systems: dict[str, Any] = {}
    if placed:
        systems[WORLD] = {"type": "scene_cs", "parent": "", "children": [EGO]}
    systems[EGO] = {"type": "local_cs", "parent": WORLD if placed else "", "children": list(mounted)}
    for name, sensor in mounted.items():
        pose = {"matrix4x4": sensor.ego_from_sensor.ravel().tolist()}
        systems[name] = {"type": "sensor_cs", "parent": EGO, "children": [], "pose_wrt_parent": pose}
    return systems


def streams_of(interval: Interval) -> dict[str, Any]:
    """Each sensor, with the intrinsics that its first image in the interval has."""
    streams: dict[str, Any] = {}
    for name, series in interval.log.series.items():
        if len(series) == 0:
            continue
        stream: dict[str, Any] = {"type": series.modality, "uri": ""}
        camera = _first(series).camera
        if camera is not None:
            stream["stream_properties"] = intrinsics(camera)
        streams[_name(name)] = stream
    return streams


def frame_properties(interval: Interval, times_us: Int[ndarray, "t"]) -> Iterator[dict[str, Any]]:
    """Of each frame: its time, ego's pose, and each sensor's file nearest to it with its own time.

    Files are named as the data set names them, relative to its media.
    """
    for frame in iter_frames(interval.log, times_us):
        properties: dict[str, Any] = {"timestamp": frame.time_us}
        if frame.world_from_ego is not None:
            properties["transforms"] = {f"{EGO}_to_{WORLD}": _transform(frame.world_from_ego)}
        streams = {
            _name(name): _measured(interval.log.series[name], found)
            for name, found in frame.measurements.items()
            if found.valid
        }
        if streams:
            properties["streams"] = streams
        yield properties


def intrinsics(camera: Camera) -> dict[str, Any]:
    """A lens in OpenLABEL's words, which are OpenCV's."""
    size = {"width_px": camera.width_px, "height_px": camera.height_px}
    if camera.model == "fisheye":
        lens = {"center_x_px": camera.cx, "center_y_px": camera.cy, "focal_length_x": camera.fx}
        coefficients = [*camera.distortion, *[0.0] * (4 - len(camera.distortion))]
        lens |= {"focal_length_y": camera.fy, "lens_coeffs": coefficients}
        return {"intrinsics_fisheye": {**size, **lens}}
    matrix = np.column_stack([camera.matrix, np.zeros(3)]).ravel().tolist()
    found: dict[str, Any] = {**size, "camera_matrix": matrix}
    if camera.distortion:
        # The schema wants five and more.
        found["distortion_coeffs"] = [*camera.distortion, *[0.0] * (5 - len(camera.distortion))]
    return {"intrinsics_pinhole": found}


def _measured(series: Series, found: Measurement) -> dict[str, Any]:
    sync: dict[str, Any] = {"timestamp": found.time_us}
    if series.video_index is not None:
        sync["frame_stream"] = int(series.video_index[found.index])
    properties: dict[str, Any] = {"sync": sync}
    camera = found.sensor.camera if found.sensor is not None else None
    if camera is not None and camera != _first(series).camera:
        properties |= intrinsics(camera)
    return {"uri": clean(series.files[found.index]), "stream_properties": properties}


def _first(series: Series) -> Sensor:
    return series.sensor(0)


def _is_placed(sensor: Sensor) -> bool:
    """A camera without intrinsics has a mount that means nothing."""
    return sensor.modality != "camera" or sensor.camera is not None


def _name(sensor: str) -> str:
    """A sensor's name; one that is called like the world or ego gives way."""
    return f"sensor {sensor}" if sensor in (WORLD, EGO) else clean(sensor)


def _transform(world_from_ego: Float[ndarray, "4 4"]) -> dict[str, Any]:
    return {"src": EGO, "dst": WORLD, "transform_src_to_dst": {"matrix4x4": world_from_ego.ravel().tolist()}}
