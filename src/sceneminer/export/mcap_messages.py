"""What an interval holds as Foxglove messages, each stream in order of time."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.errors import MediaError
from sceneminer.data.log import Points, Sensor, Series
from sceneminer.data.track import Track
from sceneminer.export.foxglove import DELETE_BY_ID, FLOAT32, INFO, foxglove_messages
from sceneminer.export.images import encoded_image
from sceneminer.export.interval import EGO, WORLD, Interval, boxes_over
from sceneminer.export.origin import clean
from sceneminer.export.panel import LIGHT, Colour, colour_of
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import rotation_to_quat

_POINT_FIELDS = ("x", "y", "z", "intensity")


class Stamped(NamedTuple):
    """A message on its topic; a dict is JSON, all else protobuf."""

    time_us: int
    topic: str
    message: Any


def iter_poses(interval: Interval) -> Iterator[Stamped]:
    """Ego in the world, as a transform and as a pose."""
    messages = foxglove_messages()
    times = interval.pose_times_us()
    for time_us, pose in zip(times.tolist(), interval.log.poses_at(times)[0] if len(times) else (), strict=True):
        yield Stamped(time_us, "/tf", _transforms(time_us, WORLD, EGO, pose))
        told = messages["PoseInFrame"](timestamp=_stamp(time_us), frame_id=WORLD, pose=_pose(pose))
        yield Stamped(time_us, "/ego/pose", told)


def iter_sensor(interval: Interval, name: str, topic: str, left_out: list[tuple[str, str]]) -> Iterator[Stamped]:
    """A camera's images or a LiDAR's points, each calibration before the first that it holds for."""
    series = interval.log.series[name]
    told = -1
    for i, time_us in enumerate(series.times_us.tolist()):
        sensor = series.sensor(i)
        try:
            message = _measured(interval, series, i, topic)
        except MediaError as error:
            left_out.append((f"{interval.name} {clean(series.files[i])}", error.issue.reason))
            continue
        if message is None:
            return
        if series.calibration_index[i] != told:
            told = int(series.calibration_index[i])
            yield from _calibration(time_us, topic, sensor)
        yield Stamped(time_us, f"/{topic}/image" if series.modality == "camera" else f"/{topic}", message)


def iter_agents(interval: Interval) -> Iterator[Stamped]:
    """A cube an agent at each time at which any is annotated; an agent that is gone is deleted then.

    Where an agent's own annotation has a gap its cube is interpolated, for looking at, and says so.
    """
    messages = foxglove_messages()
    times = interval.box_times_us()
    over = [(track, *boxes_over(track, times)) for track in interval.tracks]
    before: set[str] = set()
    for k, time_us in enumerate(times.tolist()):
        there = [(track, poses[k], sizes[k]) for track, poses, sizes, present in over if present[k]]
        ids = {track.track_id for track, *_ in there}
        update = messages["SceneUpdate"]()
        for track_id in sorted(before - ids):
            update.deletions.add(timestamp=_stamp(time_us), type=DELETE_BY_ID, id=clean(track_id))
        for track, pose, size in there:
            _add_agent(update, time_us, track, pose, size, focus=track.track_id == interval.focus)
        before = ids
        yield Stamped(time_us, "/agents", update)


def iter_map(interval: Interval) -> Iterator[Stamped]:
    """The map around ego's way once, at the start: an entity a layer, on the ground under ego."""
    hdmap, start_us = interval.hdmap, interval.item.start_us
    if hdmap is None:
        return
    layers = {name: [shapely.get_coordinates(line) for line in lines] for name, lines in hdmap.lines.items()}
    for name, areas in hdmap.areas.items():
        rings = [ring for area in areas for ring in (area.exterior, *area.interiors)]
        layers[name] = [shapely.get_coordinates(ring) for ring in rings]
    layers["lane"] = [lane.centerline for lane in hdmap.lanes]
    update = foxglove_messages()["SceneUpdate"]()
    ground_m = interval.ground_m()
    for name, lines in ((name, lines) for name, lines in layers.items() if lines):
        entity = update.entities.add(timestamp=_stamp(start_us), frame_id=WORLD, id=f"map {name}")
        for xy in lines:
            line = entity.lines.add(thickness=1.5, scale_invariant=True, color=_color(LIGHT.faint))
            line.pose.orientation.w = 1.0
            for x, y in xy.tolist():
                line.points.add(x=x, y=y, z=ground_m)
    yield Stamped(start_us, "/map", update)


def iter_risk(interval: Interval) -> Iterator[Stamped]:
    """Risk and ego's speed as JSON; what is unknown is left out of a message."""
    for row in interval.frames.to_pylist():
        told = {
            "timestamp": {"sec": row["time_us"] // 1_000_000, "nsec": row["time_us"] % 1_000_000 * 1000},
            "risk": row["risk_tracks"],
            "agent": row["risk_tracks_agent"],
            "measure": row["risk_tracks_measure"],
            "value": row["risk_tracks_value"],
            "ego_speed_mps": row["speed_mps"],
        }
        yield Stamped(
            row["time_us"], "/risk", {name: value for name, value in clean(told).items() if value is not None}
        )


def iter_about(interval: Interval, lines: list[str]) -> Iterator[Stamped]:
    start_us = interval.item.start_us
    told = foxglove_messages()["Log"](timestamp=_stamp(start_us), level=INFO, name="sceneminer")
    told.message = "\n".join(lines)
    yield Stamped(start_us, "/about", told)


def _measured(interval: Interval, series: Series, i: int, frame: str) -> Any:
    time_us = int(series.times_us[i])
    match series.modality:
        case "camera":
            image = encoded_image(interval.log, series, i)
            kind = foxglove_messages()["CompressedImage"]
            return kind(timestamp=_stamp(time_us), frame_id=frame, data=image.data, format=image.kind)
        case "lidar":
            return _cloud(time_us, frame, interval.log.store.read_points(series, i))
        case _:
            return None


def _cloud(time_us: int, frame: str, points: Points) -> Any:
    told = foxglove_messages()["PointCloud"](timestamp=_stamp(time_us), frame_id=frame, point_stride=16)
    told.pose.orientation.w = 1.0
    for k, name in enumerate(_POINT_FIELDS):
        told.fields.add(name=name, offset=4 * k, type=FLOAT32)
    told.data = np.column_stack([points.xyz_m, points.intensity]).astype("<f4").tobytes()
    return told


def _calibration(time_us: int, frame: str, sensor: Sensor) -> Iterator[Stamped]:
    """Where a sensor is, and a camera's lens; nothing of a camera that is not calibrated."""
    if sensor.modality == "camera" and sensor.camera is None:
        return
    yield Stamped(time_us, "/tf", _transforms(time_us, EGO, frame, sensor.ego_from_sensor))
    if sensor.camera is not None:
        yield Stamped(time_us, f"/{frame}/calibration", _lens(time_us, frame, sensor.camera))


def _lens(time_us: int, frame: str, camera: Camera) -> Any:
    told = foxglove_messages()["CameraCalibration"](timestamp=_stamp(time_us), frame_id=frame)
    told.width, told.height = camera.width_px, camera.height_px
    given = list(camera.distortion)
    if camera.model == "fisheye":
        told.distortion_model, given = "kannala_brandt", given or [0.0] * 4
    else:
        told.distortion_model = "rational_polynomial" if len(given) == 8 else "plumb_bob"
        given += [0.0] * (5 - len(given))
    told.D.extend(given)
    told.K.extend(camera.matrix.ravel().tolist())
    told.R.extend(np.eye(3).ravel().tolist())
    told.P.extend(np.column_stack([camera.matrix, np.zeros(3)]).ravel().tolist())
    return told


def _add_agent(
    update: Any, time_us: int, track: Track, pose: Float[ndarray, "4 4"], size: Float[ndarray, "3"], *, focus: bool
) -> None:
    entity = update.entities.add(timestamp=_stamp(time_us), frame_id=WORLD, id=clean(track.track_id))
    facts = [("category", track.category), ("source_category", clean(track.source_category))]
    nearest = int(np.argmin(np.abs(track.times_us - time_us)))
    if track.times_us[nearest] != time_us:
        facts.append(("interpolated", "true"))
    if track.attributes:
        facts += [("attribute", clean(name)) for name in sorted(track.attributes[nearest])]
    for key, value in facts:
        entity.metadata.add(key=key, value=value)
    cube = entity.cubes.add(
        pose=_pose(pose), color=_color(LIGHT.highlight if focus else colour_of(track.category, LIGHT))
    )
    cube.size.x, cube.size.y, cube.size.z = size.tolist()


def _transforms(time_us: int, parent: str, child: str, parent_from_child: Float[ndarray, "4 4"]) -> Any:
    told = foxglove_messages()["FrameTransforms"]()
    pose = _pose(parent_from_child)
    one = told.transforms.add(timestamp=_stamp(time_us), parent_frame_id=parent, child_frame_id=child)
    one.rotation.CopyFrom(pose.orientation)
    one.translation.CopyFrom(pose.position)
    return told


def _pose(pose: Float[ndarray, "4 4"]) -> Any:
    messages = foxglove_messages()
    w, x, y, z = rotation_to_quat(pose[:3, :3]).tolist()
    at = dict(zip("xyz", pose[:3, 3].tolist(), strict=True))
    return messages["Pose"](position=messages["Vector3"](**at), orientation=messages["Quaternion"](w=w, x=x, y=y, z=z))


def _color(colour: Colour) -> Any:
    r, g, b = (c / 255 for c in colour[:3])
    return foxglove_messages()["Color"](r=r, g=g, b=b, a=0.6)


def _stamp(time_us: int) -> Mapping[str, int]:
    return {"seconds": time_us // 1_000_000, "nanos": time_us % 1_000_000 * 1000}
