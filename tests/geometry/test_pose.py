"""Poses against SciPy's rotations, and round trips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation, Slerp

from sceneminer.geometry.pose import (
    interpolate_poses,
    invert,
    pose_from_quat,
    pose_from_yaw,
    quat_to_rotation,
    rotation_to_quat,
    transform,
    wrap_angle,
    yaw_of,
)

METRES = st.floats(-1e4, 1e4)
VECTOR = st.tuples(METRES, METRES, METRES).map(np.array)
QUAT = hnp.arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1)
POSE = st.builds(pose_from_quat, VECTOR, QUAT)
HALF_TURNS = [[0.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 1, 0], [0, -1, 2, 0.5], [1, 0, 0, 0], [-1, 0, 0, 0]]


def scipy_rotation(quat_wxyz) -> Rotation:
    return Rotation.from_quat(np.asarray(quat_wxyz), scalar_first=True)


@given(quat=QUAT)
def test_rotations_are_scipys(quat):
    np.testing.assert_allclose(quat_to_rotation(quat), scipy_rotation(quat).as_matrix(), atol=1e-12)


@given(quat=QUAT)
def test_quaternions_come_back(quat):
    back = rotation_to_quat(quat_to_rotation(quat))
    assert back[0] >= 0 and np.linalg.norm(back) == pytest.approx(1)
    assert abs(back @ quat) / np.linalg.norm(quat) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("quat", HALF_TURNS)
def test_half_turns_come_back(quat):
    rotation = quat_to_rotation(np.array(quat, float))
    np.testing.assert_allclose(rotation, scipy_rotation(quat).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(quat_to_rotation(rotation_to_quat(rotation)), rotation, atol=1e-12)


@pytest.mark.parametrize("quat", [[0.0, 0, 0, 0], [np.nan, 0, 0, 1]])
def test_what_is_no_rotation_is_refused(quat):
    with pytest.raises(ValueError, match="non-zero, finite quaternions"):
        quat_to_rotation(np.array([[1.0, 0, 0, 0], quat]))


@given(a_from_b=POSE)
def test_inverse_undoes(a_from_b):
    np.testing.assert_allclose(invert(a_from_b) @ a_from_b, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(invert(invert(a_from_b)), a_from_b, atol=1e-8)


@given(a_from_b=POSE, b_from_c=POSE, point=VECTOR)
def test_composition_reads_by_cancellation(a_from_b, b_from_c, point):
    through = transform(a_from_b, transform(b_from_c, point[None]))
    np.testing.assert_allclose(transform(a_from_b @ b_from_c, point[None]), through, atol=1e-6)


def test_batches_of_poses_take_batches_of_points():
    poses = pose_from_yaw(np.array([1.0, 2.0]), 0.0, np.array([0.0, np.pi / 2]))
    points = np.array([[[1.0, 0, 0], [0, 1, 0]]] * 2)
    expected = [[[2, 0, 0], [1, 1, 0]], [[2, 1, 0], [1, 0, 0]]]
    np.testing.assert_allclose(transform(poses, points), expected, atol=1e-12)
    np.testing.assert_allclose(transform(poses, points[0]), expected, atol=1e-12)
    np.testing.assert_allclose(transform(poses[0], points), [expected[0]] * 2, atol=1e-12)
    np.testing.assert_allclose(transform(invert(poses), np.array(expected, float)), points, atol=1e-12)


@given(x=METRES, y=METRES, yaw=st.floats(-3.14, 3.14))
def test_upright_poses_keep_their_yaw(x, y, yaw):
    pose = pose_from_yaw(x, y, yaw, z_m=2.0)
    assert float(yaw_of(pose)) == pytest.approx(yaw, abs=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [x, y, 2.0])


@given(angle=st.floats(-1e3, 1e3))
def test_wrapped_angles_are_the_same_angle(angle):
    wrapped = float(wrap_angle(np.float64(angle)[None])[0])
    assert -np.pi <= wrapped < np.pi
    assert np.cos(wrapped) == pytest.approx(np.cos(angle), abs=1e-9)
    assert np.sin(wrapped) == pytest.approx(np.sin(angle), abs=1e-9)


TIMES = st.lists(st.integers(0, 10**15), min_size=2, max_size=6, unique=True).map(sorted)


@given(data=st.data(), times=TIMES)
def test_interpolation_is_scipys(data, times):
    quats = np.array([data.draw(QUAT) for _ in times])
    positions = np.array([data.draw(VECTOR) for _ in times])
    at = np.array(data.draw(st.lists(st.integers(times[0], times[-1]), min_size=1, max_size=5)))
    poses, held = interpolate_poses(np.array(times), pose_from_quat(positions, quats), at)
    seconds = (np.array(times) - times[0]) / 1e6
    oracle = Slerp(seconds, scipy_rotation(quats))((at - times[0]) / 1e6)
    # Near half turns the shortest arc is a matter of rounding.
    steps = (scipy_rotation(quats[:-1]).inv() * scipy_rotation(quats[1:])).magnitude()
    if np.all(steps < np.pi - 1e-3):
        np.testing.assert_allclose(poses[:, :3, :3], oracle.as_matrix(), atol=1e-6)
    for axis in range(3):
        expected = np.interp((at - times[0]) / 1e6, seconds, positions[:, axis])
        np.testing.assert_allclose(poses[:, axis, 3], expected, atol=1e-5)
    assert np.all(held == 0)


@given(data=st.data(), times=TIMES)
def test_interpolation_at_given_times_is_exact(data, times):
    poses = np.stack([data.draw(POSE) for _ in times])
    again, held = interpolate_poses(np.array(times), poses, np.array(times), max_gap_us=1)
    np.testing.assert_allclose(again, poses, atol=1e-7)
    assert np.all(held == 0)


def test_outside_the_span_the_end_is_held_and_said():
    poses = pose_from_yaw(np.array([0.0, 10.0]), 0.0, 0.0)
    at = np.array([-5, 0, 250, 1000, 1007])
    result, held = interpolate_poses(np.array([0, 1000]), poses, at)
    np.testing.assert_allclose(result[:, 0, 3], [0, 0, 2.5, 10, 10])
    assert held.tolist() == [5, 0, 0, 0, 7]


def test_gaps_that_are_too_wide_are_said():
    poses = pose_from_yaw(np.array([0.0, 1.0, 9.0]), 0.0, 0.0)
    result, held = interpolate_poses(np.array([0, 100, 900]), poses, np.array([50, 100, 300, 700, 900]), max_gap_us=100)
    np.testing.assert_allclose(result[:, 0, 3], [0.5, 1, 3, 7, 9])
    assert held.tolist() == [0, 0, 200, 200, 0]


def test_one_pose_is_held_everywhere():
    result, held = interpolate_poses(np.array([100]), pose_from_yaw(3.0, 0.0, 1.0)[None], np.array([90, 100, 130]))
    np.testing.assert_allclose(result, np.broadcast_to(pose_from_yaw(3.0, 0.0, 1.0), (3, 4, 4)), atol=1e-12)
    assert held.tolist() == [10, 0, 30]


@pytest.mark.parametrize(("times", "word"), [([], "none"), ([5, 5], "ascending"), ([7, 5], "ascending")])
def test_times_that_do_not_ascend_are_refused(times, word):
    poses = np.broadcast_to(np.eye(4), (len(times), 4, 4)).copy()
    with pytest.raises(ValueError, match=word):
        interpolate_poses(np.array(times, np.int64), poses, np.array([5]))


def test_turns_go_the_short_way_across_south():
    poses = pose_from_yaw(0.0, 0.0, np.radians([170.0, -170.0]))
    middle, _ = interpolate_poses(np.array([0, 10]), poses, np.array([5]))
    assert abs(float(yaw_of(middle)[0])) == pytest.approx(np.pi, abs=1e-9)
