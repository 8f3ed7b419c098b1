"""Boxes and rays: hand-computed cases, and Shapely as oracle for gaps."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sceneminer.geometry.box import box_corners, footprint, footprint_gap, points_in_box
from sceneminer.geometry.pose import pose_from_rotation, pose_from_yaw, transform
from sceneminer.geometry.rays import ray_box, ray_plane


def car(x: float, y: float, yaw: float = 0.0, length: float = 4.0, width: float = 2.0) -> np.ndarray:
    return footprint(np.array([x, y], float), float(yaw), np.array([length, width], float))


def test_corners_are_in_their_order():
    corners = box_corners(pose_from_yaw(10.0, 20.0, np.pi / 2, z_m=1.0), np.array([4.0, 2.0, 2.0]))
    bottom = [[9, 22, 0], [9, 18, 0], [11, 18, 0], [11, 22, 0]]
    np.testing.assert_allclose(corners[:4], bottom, atol=1e-12)
    np.testing.assert_allclose(corners[4:], np.add(bottom, [0, 0, 2]), atol=1e-12)


def test_footprints_are_the_bottom_of_boxes():
    pose = pose_from_yaw(np.array([1.0, -3.0]), np.array([2.0, 0.5]), np.array([0.3, -2.0]))
    size = np.array([[4.0, 2.0, 1.5], [0.7, 0.6, 1.8]])
    seen = footprint(pose[:, :2, 3], np.array([0.3, -2.0]), size[:, :2])
    np.testing.assert_allclose(seen, box_corners(pose, size)[:, :4, :2], atol=1e-12)
    area = shapely.area(shapely.polygons(seen))
    np.testing.assert_allclose(area, size[:, 0] * size[:, 1])
    assert all(shapely.is_ccw(shapely.linearrings(ring)) for ring in seen)


@pytest.mark.parametrize(
    ("other", "gap"),
    [
        (car(10, 0), 6.0),
        (car(4, 0), 0.0),
        (car(0, 2), 0.0),
        (car(4, 2), 0.0),
        (car(7, 6), 5.0),
        (car(1, 0.5), 0.0),
        (car(0, 0, np.pi / 2), 0.0),
        (car(0, 0, 0, 1.0, 0.5), 0.0),
        (car(0, 0, 0, 40.0, 20.0), 0.0),
        (car(5, 0, np.pi / 4, 2 * np.sqrt(2), 2 * np.sqrt(2)), 1.0),
        (car(0, 3 + np.sqrt(0.5), np.pi / 4, 1.0, 1.0), 2.0),
    ],
    ids=["ahead", "bumpers touch", "sides touch", "corners touch", "corner to corner", "overlap", "crossing",
         "inside", "around", "corner to edge", "corner to side"],
)  # fmt: skip
def test_gaps_by_hand(other, gap):
    assert footprint_gap(car(0, 0), other) == pytest.approx(gap, abs=1e-9)
    assert footprint_gap(other, car(0, 0)) == pytest.approx(gap, abs=1e-9)


BOX = st.builds(
    car, st.floats(-12, 12), st.floats(-12, 12), st.floats(-3.2, 3.2), st.floats(0.2, 15), st.floats(0.2, 4)
)


@given(a=BOX, b=BOX)
def test_gaps_are_shapelys(a, b):
    expected = shapely.distance(shapely.polygons(a), shapely.polygons(b))
    assert footprint_gap(a, b) == pytest.approx(expected, abs=1e-7)


def test_gaps_broadcast_and_keep_nan():
    ones = np.stack([car(0, 0), car(100, 0)])
    others = np.stack([car(10, 0), car(0, 7), np.full((4, 2), np.nan)])
    gaps = footprint_gap(ones[:, None], others[None])
    assert gaps.shape == (2, 3)
    np.testing.assert_allclose(gaps[0], [6, 5, np.nan])
    np.testing.assert_allclose(gaps[1], [86, np.hypot(96, 5), np.nan])


@given(
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
    local=st.lists(st.tuples(*[st.floats(-3, 3)] * 3), min_size=1, max_size=8),
)
def test_membership_is_that_of_the_box_frame(turn, local):
    pose = pose_from_rotation(np.array([5.0, -3, 1]), Rotation.from_rotvec(turn).as_matrix())
    size = np.array([4.0, 2.0, 1.5])
    points = np.array(local)
    clear = np.min(np.abs(np.abs(points) - size / 2), axis=1) > 1e-6
    inside = points_in_box(pose, size, transform(pose, points))
    np.testing.assert_array_equal(inside[clear], np.all(np.abs(points) < size / 2, axis=1)[clear])
    assert points_in_box(pose, size, transform(pose, points), margin_m=3.0).all()


def test_rays_meet_the_ground_or_not():
    origin = np.array([[0.0, 0, 2]] * 4)
    direction = np.array([[1.0, 0, -1], [1, 0, 1], [1, 0, 0], [0, 0, -4]])
    np.testing.assert_allclose(ray_plane(origin, direction), [2, np.inf, np.inf, 0.5])
    np.testing.assert_allclose(ray_plane(origin, direction, height_m=3.0), [np.inf, 1, np.inf, np.inf])


BOX_POSE = pose_from_yaw(10.0, 0.0, np.pi / 2, z_m=1.0)  # 4 m along y, 2 m along x


@pytest.mark.parametrize(
    ("origin", "direction", "distance"),
    [
        ([0, 0, 1], [1, 0, 0], 9.0),
        ([0, 0, 1], [2, 0, 0], 4.5),
        ([0, 0, 1], [-1, 0, 0], np.inf),
        ([0, 1.9, 1], [1, 0, 0], 9.0),
        ([0, 2.1, 1], [1, 0, 0], np.inf),
        ([10, 0, 1], [0, 1, 0], 0.0),
        ([10, 9, 1], [0, -1, 0], 7.0),
        ([10, 0, 9], [0, 0, -1], 7.0),
        ([20, 0, 1], [1, 0, 0], np.inf),
        ([9, -9, 1], [0, 1, 0], 7.0),
        ([0, 0, 1], [1, 0.1, 0], 9.0),
        ([0, 0, 1], [1, 0.3, 0], np.inf),
    ],
)
def test_rays_meet_a_box_or_not(origin, direction, distance):
    found = ray_box(np.array(origin, float), np.array(direction, float), BOX_POSE, np.array([4.0, 2.0, 2.0]))
    assert found == pytest.approx(distance)


@given(
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
    origin=st.tuples(*[st.floats(-8, 8)] * 3),
    target=st.tuples(*[st.floats(-0.95, 0.95)] * 3),
)
def test_a_ray_into_a_box_enters_at_its_surface(turn, origin, target):
    pose = pose_from_rotation(np.array([1.0, 2, 3]), Rotation.from_rotvec(turn).as_matrix())
    size = np.array([4.0, 2.0, 1.0])
    start = transform(pose, np.array(origin)[None])[0]
    end = transform(pose, (np.array(target) * size / 2)[None])[0]
    distance = float(ray_box(start, end - start, pose, size))
    assert 0 <= distance <= 1
    entry = (start + distance * (end - start) - pose[:3, 3]) @ pose[:3, :3]
    assert np.all(np.abs(entry) <= size / 2 + 1e-7)
    if distance > 0:
        assert np.min(np.abs(np.abs(entry) - size / 2)) < 1e-6


def test_many_rays_meet_many_boxes_at_once():
    boxes = pose_from_yaw(np.array([10.0, 20.0, 30.0]), 0.0, 0.0)
    size = np.array([[2.0, 2, 2]] * 3)
    origin, direction = np.zeros((5, 1, 3)), np.array([1.0, 0, 0]).reshape(1, 1, 3).repeat(5, 0)
    np.testing.assert_allclose(ray_box(origin, direction, boxes[None], size[None]), [[9, 19, 29]] * 5)
