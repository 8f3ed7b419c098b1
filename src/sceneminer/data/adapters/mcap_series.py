"""The sensors of a recording: their topics over all files, their times, and where they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import cast, get_args

import numpy as np
from numpy import ndarray
from PIL import Image

from sceneminer.data.adapters.mcap_clock import Clock, Messages, find_clock, in_order, times_us
from sceneminer.data.adapters.mcap_log import camera_names, path_of
from sceneminer.data.adapters.mcap_messages import (
    Intrinsics,
    Kind,
    Picture,
    kind_of,
    read_cloud,
    read_intrinsics,
    read_picture,
    said,
)
from sceneminer.data.adapters.mcap_pixels import is_raw_encoding
from sceneminer.data.adapters.mcap_recording import Recording
from sceneminer.data.adapters.mcap_records import Channel
from sceneminer.data.adapters.mcap_rig import Motion, camera_of, intrinsics_for, place_sensor, read_motion
from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.log import Rig, Sensor, Series
from sceneminer.data.media import MAX_IMAGE_PIXELS

MAX_SMALL_BYTES = 2**20
"""Of a transform, odometry or camera info message."""
MAX_SCENE_BYTES = 16 * 2**20
"""Of a message of boxes."""
MAX_SQUEEZED_BYTES = 256 * 2**20
"""Compressed chunks with no transform in them, a log: more are not decompressed just for stamps of images."""
SAMPLED = 9
"""Stamps a file and topic, where they are only sampled."""
ALL_KINDS: frozenset[Kind] = frozenset(get_args(Kind))
_UNREAD = {
    **dict.fromkeys(("Image", "CompressedImage", "RawImage", "CompressedVideo"), "images of ROS 2 or Foxglove"),
    "SceneUpdate": "boxes in protobuf or JSON",
}
"""What messages are, by the last part of their schema's name, that are said where they are in no form that is read."""


@dataclass(frozen=True, eq=False)
class Sensors:
    series: Mapping[str, Series]
    topics: Mapping[str, str]
    """By series."""
    rig: Rig
    clock: Clock
    motion: Motion
    issues: tuple[Issue, ...]


def read_topics(
    recordings: Sequence[Recording], kinds: frozenset[Kind] = ALL_KINDS
) -> tuple[dict[str, Messages], list[Issue]]:
    """What opening reads of every topic of these kinds, over all files of a log."""
    channels: dict[str, Channel] = {}
    issues = _unread(recordings)
    sampled = _squeezed(recordings) > MAX_SQUEEZED_BYTES
    columns: dict[str, list[tuple[ndarray, ndarray, ndarray]]] = {}
    data: dict[str, dict[int, bytes]] = {}
    for f, recording in enumerate(recordings):
        mine = {}
        for topic, channel in recording.topics().items():
            if kind_of(channel) not in kinds:
                continue
            first = channels.setdefault(topic, channel)
            if (first.schema, first.encoding) != (channel.schema, channel.encoding):
                reason = f"expected {topic} in {first.schema} as before, found {channel.schema}; left out"
                issues.append(Issue("unsupported", recording.name, reason))
            else:
                mine[topic] = channel
        wanted = {t: _wanted(kind_of(c), len(recording.positions(t)), sampled=sampled) for t, c in mine.items()}
        heads = frozenset(t for t, c in mine.items() if kind_of(c) in ("image", "points"))
        limits = {t: MAX_SCENE_BYTES if kind_of(c) == "scene" else MAX_SMALL_BYTES for t, c in mine.items()}
        gathered = recording.gather(wanted, heads=heads, limits=limits)
        issues += gathered.issues
        for topic in mine:
            at = recording.positions(topic)
            before = sum(len(block[0]) for block in columns.get(topic, ()))
            columns.setdefault(topic, []).append((at.log_ns, np.full(len(at), f), np.arange(len(at))))
            rows = zip((before + wanted[topic]).tolist(), gathered.data[topic], strict=True)
            data.setdefault(topic, {}).update({row: found for row, found in rows if found is not None})
    topics = {}
    for topic, blocks in columns.items():
        log_ns, file, number = (np.concatenate(each) for each in zip(*blocks, strict=True))
        topics[topic] = Messages(channels[topic], log_ns, file, number, data[topic])
    return topics, issues


def _squeezed(recordings: Sequence[Recording]) -> int:
    """Compressed bytes that are read for stamps of images and points alone."""
    total = 0
    for recording in recordings:
        kinds = {topic: kind_of(channel) for topic, channel in recording.topics().items()}
        heads = frozenset(t for t, kind in kinds.items() if kind in ("image", "points"))
        others = frozenset(t for t, kind in kinds.items() if kind in ("transform", "pose", "scene"))
        total += recording.squeezed_bytes(heads, besides=others)
    return total


def _wanted(kind: Kind | None, count: int, *, sampled: bool) -> ndarray:
    if kind == "calibration":
        return np.unique([0, count - 1])
    if kind in ("image", "points") and sampled:
        return np.unique(np.linspace(0, count - 1, SAMPLED).astype(np.int64))
    return np.arange(count)


def _unread(recordings: Sequence[Recording]) -> list[Issue]:
    """Topics that look like images or boxes and are in no form that is read."""
    found = {c.topic: c for recording in recordings for c in recording.index.channels.values() if kind_of(c) is None}
    return [
        Issue(
            "unsupported",
            topic,
            f"expected {_UNREAD[name]}, found {channel.schema} in {channel.encoding}; left out",
        )
        for topic, channel in sorted(found.items())
        if (name := channel.schema.replace("/", ".").rpartition(".")[2]) in _UNREAD
    ]


def open_sensors(recordings: Sequence[Recording], topics: Mapping[str, Messages]) -> Sensors:
    """Series and rig out of what was read on opening."""
    pictures, issues = _first_pictures(recordings, topics)
    names, found = camera_names({topic: len(topics[topic].log_ns) for topic in pictures})
    issues += found
    clouds, found = _first_clouds(recordings, topics, taken=set(names.values()))
    issues += found
    taken = {topic: topics[topic] for topic in (*names, *clouds)}
    clock = find_clock(taken)
    motion, found = read_motion(recordings, topics, clock)
    issues += found
    infos = _intrinsics(recordings, topics, issues)
    series: dict[str, Series] = {}
    for topic, messages in taken.items():
        at, found = times_us(clock, topic, messages)
        kept, repeats = in_order(topic, at)
        issues += [*found, *repeats]
        if topic in names:
            sensor = _camera(topic, names[topic], pictures[topic], infos, motion, int(at[kept[0]]), issues)
        else:
            name, frame = clouds[topic]
            sensor, _, found = place_sensor(name, "lidar", frame, motion, int(at[kept[0]]))
            issues += found
        series[sensor.name] = _series(sensor, messages, at, kept, recordings)
    sensors = {name: s.calibrations[0] for name, s in series.items()}
    calibrated = any(sensor.camera is not None for sensor in sensors.values())
    return Sensors(
        series,
        {**{name: topic for topic, name in names.items()}, **{name: topic for topic, (name, _) in clouds.items()}},
        Rig(sensors, "calibrated" if calibrated else "none"),
        clock,
        motion,
        (*clock.issues, *motion.issues, *issues),
    )


def _series(sensor: Sensor, messages: Messages, at: ndarray, kept: ndarray, recordings: Sequence[Recording]) -> Series:
    return Series(
        name=sensor.name,
        modality=sensor.modality,
        times_us=at[kept],
        files=tuple(recordings[f].name for f in messages.file[kept].tolist()),
        keyframe=np.ones(len(kept), bool),
        calibrations=(sensor,),
        calibration_index=np.zeros(len(kept), np.int16),
        video_index=messages.number[kept].astype(np.int64),
    )


def _first(recordings: Sequence[Recording], topic: str, messages: Messages, read):
    """The first message of a topic, whole."""
    recording = recordings[int(messages.file[0])]
    channel, data = recording.read(topic, int(messages.number[0]))
    return said(recording.name, read, channel, data)


def _first_pictures(
    recordings: Sequence[Recording], topics: Mapping[str, Messages]
) -> tuple[dict[str, Picture], list[Issue]]:
    """The first image of each topic whose images are read; a topic whose first is unreadable has an empty one."""
    found: dict[str, Picture] = {}
    issues: list[Issue] = []
    for topic, messages in topics.items():
        if kind_of(messages.channel) != "image":
            continue
        try:
            picture = cast(Picture, _first(recordings, topic, messages, read_picture))
        except MediaError as error:
            issues.append(error.issue)
            picture = Picture("", b"")
        if picture.encoding and not is_raw_encoding(picture.encoding):
            reason = f"expected images of colour, grey, Bayer or YUV 4:2:2, found {picture.encoding!r:.40}; left out"
            issues.append(Issue("unsupported", topic, reason, len(messages.log_ns)))
        elif (
            not picture.encoding and picture.data and not bytes(picture.data[:4]).startswith((b"\xff\xd8", b"\x89PNG"))
        ):
            reason = "expected JPEG or PNG images, found others; left out"
            issues.append(Issue("unsupported", topic, reason, len(messages.log_ns)))
        else:
            found[topic] = picture
    return found, issues


def _first_clouds(
    recordings: Sequence[Recording], topics: Mapping[str, Messages], *, taken: set[str]
) -> tuple[dict[str, tuple[str, str]], list[Issue]]:
    """(name, frame) of each topic of points."""
    found: dict[str, tuple[str, str]] = {}
    issues: list[Issue] = []
    for topic, messages in topics.items():
        if kind_of(messages.channel) != "points":
            continue
        try:
            cloud = _first(recordings, topic, messages, read_cloud)
        except MediaError as error:
            issues.append(error.issue)
            continue
        base = "_".join(path_of(topic)) or "lidar"
        name = next(n for n in (base, *(f"{base}_{k}" for k in range(2, 10_000))) if n not in taken)
        taken.add(name)
        found[topic] = name, cloud.frame
    return found, issues


def _intrinsics(
    recordings: Sequence[Recording], topics: Mapping[str, Messages], issues: list[Issue]
) -> dict[str, Intrinsics]:
    found: dict[str, Intrinsics] = {}
    for topic, messages in topics.items():
        if kind_of(messages.channel) != "calibration":
            continue
        for row, data in sorted(messages.data.items()):
            try:
                info = said(recordings[int(messages.file[row])].name, read_intrinsics, messages.channel, data)
            except MediaError as error:
                issues.append(error.issue)
                continue
            first = found.setdefault(topic, info)
            if not (np.array_equal(first.k, info.k) and first.d == info.d):
                reason = "expected one calibration, found another later; the first is kept"
                issues.append(Issue("no_calibration", topic, reason))
    return found


def _camera(
    topic: str,
    name: str,
    picture: Picture,
    infos: Mapping[str, Intrinsics],
    motion: Motion,
    start_us: int,
    issues: list[Issue],
) -> Sensor:
    matched = intrinsics_for(topic, picture.frame, infos)
    if matched is None:
        reason = "expected a camera info of its namespace or frame, found none; not calibrated"
        issues.append(Issue("no_calibration", name, reason))
        return Sensor(name, "camera", np.eye(4))
    info = matched[1]
    sensor, placed, found = place_sensor(name, "camera", info.frame or picture.frame, motion, start_us)
    issues += found
    if not placed:
        return sensor
    rectified = "/image_rect" in topic
    camera, turn, found = camera_of(name, info, rectified=rectified, size=_size_of(picture))
    issues += found
    return replace(sensor, camera=camera, ego_from_sensor=sensor.ego_from_sensor @ turn)


def _size_of(picture: Picture) -> tuple[int, int] | None:
    """By the message or the image file's header; None where it cannot be read, which reading the image will say."""
    if picture.encoding:
        return (picture.width, picture.height) if picture.width and picture.height else None
    try:
        with Image.open(BytesIO(bytes(picture.data)), formats=("JPEG", "PNG")) as image:
            return image.size if image.width * image.height <= MAX_IMAGE_PIXELS else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
