"""Rigid transforms as batched 4×4 matrices in float64."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray


def quat_to_rotation(quat_wxyz: Float[ndarray, "*b 4"]) -> Float[ndarray, "*b 3 3"]:
    """Rotation matrices of quaternions (w, x, y, z); they need not be normalised, zero is refused."""
    quat = np.asarray(quat_wxyz, np.float64)
    norm = np.linalg.norm(quat, axis=-1, keepdims=True)
    if not np.all(norm > 1e-12):
        raise ValueError("expected non-zero, finite quaternions, found one of norm 0 or NaN")
    w, x, y, z = np.moveaxis(quat / norm, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def rotation_to_quat(rotation: Float[ndarray, "*b 3 3"]) -> Float[ndarray, "*b 4"]:
    """Unit quaternions (w, x, y, z), w ≥ 0, of rotation matrices (Bar-Itzhack: largest eigenvector)."""
    m = np.asarray(rotation, np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    k = np.zeros((*m.shape[:-2], 4, 4))
    k[..., 0, 0], k[..., 1, 1] = xx - yy - zz, yy - xx - zz
    k[..., 2, 2], k[..., 3, 3] = zz - xx - yy, xx + yy + zz
    k[..., 1, 0], k[..., 2, 0] = m[..., 1, 0] + m[..., 0, 1], m[..., 2, 0] + m[..., 0, 2]
    k[..., 2, 1], k[..., 3, 0] = m[..., 2, 1] + m[..., 1, 2], m[..., 2, 1] - m[..., 1, 2]
    k[..., 3, 1], k[..., 3, 2] = m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    _, vectors = np.linalg.eigh(k)  # reads the lower triangle
    quat = vectors[..., [3, 0, 1, 2], -1]
    return np.where(quat[..., :1] < 0, -quat, quat)


def pose_from_quat(
    translation_m: Float[ndarray, "*b 3"], quat_wxyz: Float[ndarray, "*b 4"]
) -> Float[ndarray, "*b 4 4"]:
    """The pose that turns by ``quat_wxyz`` and then shifts by ``translation_m``."""
    return pose_from_rotation(np.asarray(translation_m, np.float64), quat_to_rotation(np.asarray(quat_wxyz)))


def pose_from_rotation(
    translation_m: Float[ndarray, "*b 3"], rotation: Float[ndarray, "*b 3 3"]
) -> Float[ndarray, "*b 4 4"]:
    """The pose that turns by ``rotation`` and then shifts by ``translation_m``."""
    pose = np.zeros((*rotation.shape[:-2], 4, 4))
    pose[..., :3, :3], pose[..., :3, 3], pose[..., 3, 3] = rotation, translation_m, 1.0
    return pose


def pose_from_yaw(
    x_m: Float[ndarray, "*b"] | float,
    y_m: Float[ndarray, "*b"] | float,
    yaw_rad: Float[ndarray, "*b"] | float,
    *,
    z_m: Float[ndarray, "*b"] | float = 0.0,
) -> Float[ndarray, "*b 4 4"]:
    """The pose of something upright at (x, y, z) that faces ``yaw_rad`` (counter-clockwise from +x)."""
    x, y, yaw, z = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (x_m, y_m, yaw_rad, z_m)))
    pose = np.zeros((*x.shape, 4, 4))
    pose[..., 0, 0], pose[..., 0, 1] = np.cos(yaw), -np.sin(yaw)
    pose[..., 1, 0], pose[..., 1, 1] = np.sin(yaw), np.cos(yaw)
    pose[..., 0, 3], pose[..., 1, 3], pose[..., 2, 3] = x, y, z
    pose[..., 2, 2] = pose[..., 3, 3] = 1.0
    return pose


def invert(a_from_b: Float[ndarray, "*b 4 4"]) -> Float[ndarray, "*b 4 4"]:
    """``b_from_a`` (the transpose, not a general inverse: exact for rigid transforms)."""
    rotation = np.swapaxes(a_from_b[..., :3, :3], -1, -2)
    shift = -(rotation @ a_from_b[..., :3, 3:])[..., 0]
    return pose_from_rotation(shift, rotation)


def transform(a_from_b: Float[ndarray, "*#b 4 4"], points_b: Float[ndarray, "*#b n 3"]) -> Float[ndarray, "... n 3"]:
    """Points of b, in a; batch dimensions broadcast."""
    return points_b @ np.swapaxes(a_from_b[..., :3, :3], -1, -2) + a_from_b[..., None, :3, 3]


def yaw_of(pose: Float[ndarray, "*b 4 4"]) -> Float[ndarray, "*b"]:
    """Heading of the x axis in the xy plane, radians in (-π, π]."""
    return np.asarray(np.arctan2(pose[..., 1, 0], pose[..., 0, 0]))


def wrap_angle(angle_rad: Float[ndarray, "*b"] | float) -> Float[ndarray, "*b"]:
    """The same angle in [-π, π)."""
    return np.asarray((np.asarray(angle_rad) + np.pi) % (2 * np.pi) - np.pi)


def interpolate_poses(
    times_us: Int[ndarray, "n"],
    poses: Float[ndarray, "n 4 4"],
    at_us: Int[ndarray, "m"],
    *,
    max_gap_us: int | None = None,
) -> tuple[Float[ndarray, "m 4 4"], Float[ndarray, "m"]]:
    """Poses at other times: linear in position, along the shortest arc in rotation.

    ``times_us`` ascends strictly. Returns the poses and, for each, the distance in µs to the nearest given
    pose when ``at_us`` lies outside the span or in a gap wider than ``max_gap_us``, else 0; outside the span
    the end pose is held. Raises ValueError where there is no pose at all or times do not ascend.
    """
    times = np.asarray(times_us, np.int64)
    at = np.asarray(at_us, np.int64)
    if len(times) == 0:
        raise ValueError("expected at least one pose, found none")
    if np.any(np.diff(times) <= 0):
        raise ValueError("expected strictly ascending pose times, found a repeat or a step back")
    right = np.clip(np.searchsorted(times, at, "left"), 1 if len(times) > 1 else 0, len(times) - 1)
    left = np.maximum(right - 1, 0)
    span = np.maximum(times[right] - times[left], 1)
    fraction = np.clip((at - times[left]) / span, 0.0, 1.0) if len(times) > 1 else np.zeros(len(at))
    position = poses[left, :3, 3] + fraction[:, None] * (poses[right, :3, 3] - poses[left, :3, 3])
    quat = _slerp(rotation_to_quat(poses[left, :3, :3]), rotation_to_quat(poses[right, :3, :3]), fraction)
    distance = np.minimum(np.abs(at - times[left]), np.abs(at - times[right])).astype(np.float64)
    inside = (at >= times[0]) & (at <= times[-1])
    if max_gap_us is not None:
        inside &= (span <= max_gap_us) | (distance == 0)
    return pose_from_quat(position, quat), np.where(inside, 0.0, distance)


def _slerp(a: Float[ndarray, "m 4"], b: Float[ndarray, "m 4"], fraction: Float[ndarray, "m"]) -> Float[ndarray, "m 4"]:
    dot = np.sum(a * b, -1)
    b = np.where(dot[:, None] < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    near = angle < 1e-6
    sine = np.where(near, 1.0, np.sin(angle))
    weight_a = np.where(near, 1 - fraction, np.sin((1 - fraction) * angle) / sine)
    weight_b = np.where(near, fraction, np.sin(fraction * angle) / sine)
    return weight_a[:, None] * a + weight_b[:, None] * b
