"""Coordinate frames of a recording: a tree of transforms, some of which move.

Source of the conventions (map, odom, base_link; optical frames): ROS REP 103 and REP 105.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.data.adapters.mcap_messages import Transform
from sceneminer.data.errors import Issue
from sceneminer.geometry.pose import interpolate_poses, invert, pose_from_quat

EGO_FRAMES = ("base_link", "base_footprint", "ego_vehicle", "ego", "vehicle", "base")
WORLD_FRAMES = ("map", "odom", "world", "earth")
_LARGEST_M = 1e7


@dataclass(frozen=True, eq=False)
class Edge:
    """Where a frame is in its parent."""

    parent: str
    times_us: Int[ndarray, "n"]
    parent_from_child: Float[ndarray, "n 4 4"]
    still: bool
    """Whether all poses are the same."""

    def at(self, times_us: Int[ndarray, "m"]) -> Float[ndarray, "m 4 4"]:
        if self.still:
            return np.broadcast_to(self.parent_from_child[:1], (len(times_us), 4, 4))
        return interpolate_poses(self.times_us, self.parent_from_child, times_us)[0]


Tree = Mapping[str, Edge]


def build_tree(transforms: Iterable[tuple[Transform, int]]) -> tuple[dict[str, Edge], list[Issue]]:
    """Frames by name, from transforms with their times (µs); those that are no rigid transform are left out."""
    rows: dict[tuple[str, str], dict[int, tuple[float, ...]]] = {}
    broken = 0
    for transform, time_us in transforms:
        values = (*transform.translation_m, *transform.quat_wxyz)
        sane = np.all(np.isfinite(values)) and max(map(abs, values[:3])) < _LARGEST_M
        if not sane or abs(sum(v * v for v in values[3:]) - 1) > 0.02 or transform.parent == transform.child:
            broken += 1
        else:
            rows.setdefault((transform.child, transform.parent), {}).setdefault(time_us, values)
    issues: list[Issue] = []
    if broken:
        reason = "expected finite shifts and unit quaternions between two frames, found others; left out"
        issues.append(Issue("no_pose", "transforms", reason, broken))
    tree: dict[str, Edge] = {}
    # The parent that is said most often is the one; ties go by name.
    for (child, parent), found in sorted(rows.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1])):
        if child in tree:
            reason = f"expected one parent, found {tree[child].parent} and {parent}; the first is kept"
            issues.append(Issue("no_pose", child or "(no name)", reason, len(found)))
        else:
            tree[child] = _edge(parent, found)
    return tree, issues


def _edge(parent: str, found: Mapping[int, tuple[float, ...]]) -> Edge:
    times = np.array(sorted(found), np.int64)
    values = np.array([found[t] for t in times.tolist()])
    still = bool(np.ptp(values, axis=0).max() < 1e-9)
    return Edge(parent, times, pose_from_quat(values[:, :3], values[:, 3:]), still)


def chain(tree: Tree, frame: str) -> list[str]:
    """The frame and those above it, up to the root or to where a circle closes."""
    found = [frame]
    while found[-1] in tree and tree[found[-1]].parent not in found:
        found.append(tree[found[-1]].parent)
    return found


def moves(tree: Tree, a: str, b: str) -> bool:
    """Whether anything between two frames moves."""
    return any(not tree[frame].still for frame in _between(tree, a, b) or ())


def a_from_b(tree: Tree, a: str, b: str, times_us: Int[ndarray, "m"]) -> Float[ndarray, "m 4 4"] | None:
    """The pose of frame ``b`` in frame ``a`` at these times, ends held; None where nothing connects them."""
    up_a, up_b = chain(tree, a), chain(tree, b)
    top = next((frame for frame in up_b if frame in up_a), None)
    if top is None:
        return None
    return invert(_top_from(tree, up_a, top, times_us)) @ _top_from(tree, up_b, top, times_us)


def _between(tree: Tree, a: str, b: str) -> list[str] | None:
    up_a, up_b = chain(tree, a), chain(tree, b)
    top = next((frame for frame in up_b if frame in up_a), None)
    if top is None:
        return None
    return [*up_a[: up_a.index(top)], *up_b[: up_b.index(top)]]


def _top_from(tree: Tree, up: list[str], top: str, times_us: Int[ndarray, "m"]) -> Float[ndarray, "m 4 4"]:
    pose = np.broadcast_to(np.eye(4), (len(times_us), 4, 4))
    for frame in up[: up.index(top)]:
        pose = tree[frame].at(times_us) @ pose
    return pose


def poses_between(tree: Tree, world: str, ego: str) -> tuple[Int[ndarray, "p"], Float[ndarray, "p 4 4"]] | None:
    """Ego's poses at the times of what is sent most often between the frames; None where they are not connected.

    A car that stands still has poses, but only in a frame of the world: elsewhere a frame that never moves is a part.
    """
    sent = [tree[f] for f in _between(tree, world, ego) or () if len(tree[f].times_us) > 1]
    if not sent or (world not in WORLD_FRAMES and all(edge.still for edge in sent)):
        return None
    times = max(sent, key=lambda edge: len(edge.times_us)).times_us
    poses = a_from_b(tree, world, ego, times)
    return None if poses is None else (times, poses)
