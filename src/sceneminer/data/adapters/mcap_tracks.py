"""Tracks of a recording: the agents of its SceneUpdates in the world's frame, by the transforms around them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from sceneminer.data.adapters.mcap_clock import Clock, Messages
from sceneminer.data.adapters.mcap_messages import kind_of, said
from sceneminer.data.adapters.mcap_recording import Recording
from sceneminer.data.adapters.mcap_rig import Motion, world_from_frame
from sceneminer.data.adapters.mcap_scene import BROKEN, Cube, category_of, read_scene
from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.track import Track
from sceneminer.geometry.pose import pose_from_quat

Boxes = list[tuple[int, Cube]]
"""(time in µs, box) in the order of the files."""


def find_tracks(
    recordings: Sequence[Recording], topics: Mapping[str, Messages], clock: Clock, motion: Motion
) -> tuple[tuple[Track, ...], tuple[Issue, ...]]:
    """The agents of the topic that has most boxes, in the world's frame, and all that is left out.

    None without ego's poses: there is no world then. Topics number their agents each in their own way, and would show
    one agent twice.
    """
    found: dict[str, Boxes] = {}
    issues: list[Issue] = []
    for topic in sorted(topic for topic, messages in topics.items() if kind_of(messages.channel) == "scene"):
        found[topic], others = _boxes(recordings, topics[topic], clock)
        issues += others
    ranked = sorted((t for t in found if found[t]), key=lambda t: (-len(found[t]), t))
    if not ranked:
        return (), tuple(issues)
    for other in ranked[1:]:
        reason = f"expected one topic of boxes, found {len(ranked)}; {ranked[0]} is taken"
        issues.append(Issue("unsupported", other, reason, len(found[other])))
    if not len(motion.times_us):
        reason = "expected ego's poses beside boxes, found none; no tracks without them"
        return (), (*issues, Issue("no_pose", ranked[0], reason, len(found[ranked[0]])))
    tracks, lost = _tracks(ranked[0], found[ranked[0]], motion)
    return tracks, (*issues, *lost)


def _boxes(recordings: Sequence[Recording], messages: Messages, clock: Clock) -> tuple[Boxes, list[Issue]]:
    boxes: Boxes = []
    others: Counter[str] = Counter()
    broken: list[Issue] = []
    for row, data in messages.data.items():
        name, log_ns = recordings[int(messages.file[row])].name, int(messages.log_ns[row])
        try:
            cubes, rest = said(name, read_scene, messages.channel, data)
        except MediaError as error:
            broken.append(error.issue)
            continue
        boxes += [(clock.moment_us(cube.stamp_ns, log_ns), cube) for cube in cubes]
        others += rest
    topic = messages.channel.topic
    issues = [replace(broken[0], count=len(broken))] if broken else []
    for what, count in sorted(others.items()):
        if what == BROKEN:
            issues.append(Issue("bad_row", topic, f"expected boxes with {what}, found others; left out", count))
        else:
            reason = f"expected entities with an id and one cube each, found {what}; left out"
            issues.append(Issue("unsupported", topic, reason, count))
    return boxes, issues


def _tracks(topic: str, boxes: Boxes, motion: Motion) -> tuple[tuple[Track, ...], list[Issue]]:
    world_from_box, known = _in_world(boxes, motion)
    issues = []
    for frame, count in sorted(Counter(boxes[k][1].frame for k in np.flatnonzero(~known).tolist()).items()):
        reason = f"expected transforms from {motion.world} to {frame or '(no frame)'} then, found none; left out"
        issues.append(Issue("no_pose", topic, reason, count))
    rows: dict[str, dict[int, int]] = defaultdict(dict)
    repeats = 0
    for k in np.flatnonzero(known).tolist():
        time_us, cube = boxes[k]
        repeats += rows[cube.agent].setdefault(time_us, k) != k
    if repeats:
        reason = "expected an agent once at each time, found repeats; the first is kept"
        issues.append(Issue("odd_time", topic, reason, repeats))
    tracks = []
    unknown: Counter[str] = Counter()
    for _, at in sorted(rows.items()):
        times = sorted(at)
        cubes = [boxes[at[time_us]][1] for time_us in times]
        name = Counter(cube.category for cube in cubes).most_common(1)[0][0]
        unknown[name] += category_of(name) is None
        tracks.append(_track(cubes, name, np.array(times, np.int64), world_from_box[[at[t] for t in times]]))
    names = ", ".join(name or "(none)" for name, count in unknown.most_common(5) if count)
    if names:
        reason = f"expected classes of agents that are known, found {names}; taken as other"
        issues.append(Issue("unsupported", topic, reason, unknown.total()))
    return tuple(tracks), issues


def _track(cubes: list[Cube], name: str, times_us: ndarray, world_from_box: Float[ndarray, "t 4 4"]) -> Track:
    """``name``: the class that it has most often."""
    attributes = tuple(cube.attributes for cube in cubes)
    return Track(
        track_id=cubes[0].agent,
        category=category_of(name) or "other",
        source_category=next(cube.source_category for cube in cubes if cube.category == name),
        times_us=times_us,
        world_from_box=world_from_box,
        size_lwh_m=np.array([cube.size_lwh_m for cube in cubes]),
        attributes=attributes if any(attributes) else (),
    )


def _in_world(boxes: Boxes, motion: Motion) -> tuple[Float[ndarray, "n 4 4"], Bool[ndarray, "n"]]:
    """Poses of boxes in the world, and which of them are known."""
    poses = pose_from_quat(
        np.array([cube.position_m for _, cube in boxes]), np.array([cube.quat_wxyz for _, cube in boxes])
    )
    times = np.array([time_us for time_us, _ in boxes], np.int64)
    known = np.zeros(len(boxes), bool)
    frames = np.array([cube.frame for _, cube in boxes], object)
    for frame in sorted(set(frames.tolist())):
        rows = np.flatnonzero(frames == frame)
        world_from, sure = world_from_frame(motion, frame, times[rows])
        poses[rows] = world_from @ poses[rows]
        known[rows] = sure
    return poses, known
