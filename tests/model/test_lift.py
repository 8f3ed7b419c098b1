"""Where BEV points land in images, and what the lift makes of it."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sceneminer.data.frame import Frame, Measurement
from sceneminer.data.log import Sensor
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.grid import BevGrid
from sceneminer.geometry.pose import pose_from_rotation, pose_from_yaw
from sceneminer.model.geometry import LiftPoints, ego_motion, lift_points, sample_points, token_rays
from sceneminer.model.initial import initialise
from sceneminer.model.lift import Lift

GRID = BevGrid(-10.0, 10.0, -10.0, 10.0, 2.0)
# Camera axes (x right, y down, z ahead) in the ego's (x ahead, y left, z up).
AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
PINHOLE = Camera(200, 100, 100.0, 100.0, 99.5, 49.5)
FISHEYE = replace(PINHOLE, model="fisheye", fx=60.0, fy=60.0, distortion=(0.02, -0.01, 0.0, 0.0))


def sensor(name: str, *, yaw_rad: float = 0.0, camera: Camera | None = PINHOLE, height_m: float = 1.5) -> Sensor:
    turn = pose_from_yaw(0.0, 0.0, yaw_rad)
    return Sensor(name, "camera", turn @ pose_from_rotation(np.array([0.0, 0, height_m]), AHEAD), camera)


def frame(*sensors: Sensor, ego=None, ego_then=None, invalid: tuple[str, ...] = ()) -> Frame:
    ego_then = ego if ego_then is None else ego_then
    measurements = {s.name: Measurement(s, 0, 0, ego_then, s.name not in invalid) for s in sensors}
    return Frame("log", 0, ego, measurements)


def index_of(x_m: float, y_m: float, level: int = 0) -> int:
    ((row, column),), inside = GRID.cells(np.array([[x_m, y_m]], float))
    assert inside.all()
    return level * 100 + int(row) * 10 + int(column)


def test_points_run_over_heights_rows_columns():
    points = lift_points(GRID, (0.0, 2.5))
    i = index_of(5, -3, level=1)
    assert points.xyz_m[i].tolist() == [5.0, -3.0, 2.5]
    assert (points.cell[i], points.level[i]) == (index_of(5, -3), 1)


def test_cells_near_ego_are_looked_at_in_five_places_where_they_are_coarse():
    points = lift_points(GRID, (0.0, 2.5))
    assert len(points.cell) == 200 * 5
    mine = points.xyz_m[(points.cell == index_of(5, -3)) & (points.level == 1)]
    assert sorted(map(tuple, mine)) == sorted(
        (5 + dx, -3 + dy, 2.5) for dx, dy in [(0, 0), (-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)]
    )
    assert len(lift_points(BevGrid(-10.0, 10.0, -10.0, 10.0, 1.0), (0.0,)).cell) == 400
    wide = lift_points(BevGrid(-50.0, 50.0, -50.0, 50.0, 2.0), (0.0,))
    far = np.hypot(*wide.xyz_m[:, :2].T) > 40
    assert len(np.unique(wide.cell[far])) == far.sum()
    starts = np.cumsum([0, *points.runs])
    assert starts[-1] == len(points.cell)
    assert all(len(np.unique(points.cell[a:b])) == b - a for a, b in itertools.pairwise(starts))


def test_a_point_ahead_lands_where_the_pinhole_says():
    seen = sample_points(frame(sensor("front")), ["front"], grid=GRID, heights_m=(0.0,))
    i = index_of(5, 1)
    assert seen.visible[0, i]
    # Pixels (u, v) = (99.5 - 100 · 1/5, 49.5 + 100 · 1.5/5); uv counts from image edge to image edge.
    assert seen.uv[0, i] == pytest.approx([(79.5 + 0.5) / 100 - 1, (79.5 + 0.5) / 50 - 1])
    assert seen.distance_m[0, i] == pytest.approx(math.sqrt(25 + 1 + 1.5**2))
    assert not seen.visible[0, index_of(-5, 1)]


def test_each_camera_sees_its_own_side():
    cameras = [sensor("front"), sensor("left", yaw_rad=math.pi / 2), sensor("back", yaw_rad=math.pi)]
    seen = sample_points(frame(*cameras), ["back", "left", "front"], grid=GRID, heights_m=(0.0,))
    for view, (x_m, y_m) in enumerate([(-7, 1), (1, 7), (7, 1)]):
        assert [bool(v) for v in seen.visible[:, index_of(x_m, y_m)]] == [v == view for v in range(3)]


def test_distortion_bends_and_a_fisheye_sees_wider():
    barrel = replace(PINHOLE, distortion=(-0.2, 0.02, 0.0, 0.0))
    names = ["plain", "barrel", "fisheye"]
    frame_ = frame(sensor("plain"), sensor("barrel", camera=barrel), sensor("fisheye", camera=FISHEYE))
    seen = sample_points(frame_, names, grid=GRID, heights_m=(1.5,))
    i = index_of(5, 3)
    r2 = 0.6**2
    bent = 0.6 * (1 - 0.2 * r2 + 0.02 * r2 * r2)
    assert seen.uv[1, i, 0] == pytest.approx((99.5 - 100 * bent + 0.5) / 100 - 1, abs=1e-5)
    theta = math.atan(0.6)
    radius = theta * (1 + 0.02 * theta**2 - 0.01 * theta**4)
    assert seen.uv[2, i, 0] == pytest.approx((99.5 - 60 * radius + 0.5) / 100 - 1, abs=1e-5)
    assert not seen.visible[0, index_of(1, 7)] and seen.visible[2, index_of(1, 7)]


def test_a_camera_that_fired_later_sees_from_further_on():
    """The ego drove 2 m ahead before the camera fired: the point is 2 m nearer to it."""
    start = pose_from_yaw(100.0, -40.0, 0.7)
    later = start @ pose_from_yaw(2.0, 0.0, 0.0)
    moved = sample_points(frame(sensor("front"), ego=start, ego_then=later), ["front"], grid=GRID, heights_m=(0.0,))
    still = sample_points(frame(sensor("front"), ego=start), ["front"], grid=GRID, heights_m=(0.0,))
    assert moved.uv[0, index_of(7, 1)] == pytest.approx(still.uv[0, index_of(5, 1)], abs=1e-5)
    assert moved.distance_m[0, index_of(7, 1)] == pytest.approx(still.distance_m[0, index_of(5, 1)], abs=1e-5)


def test_missing_and_uncalibrated_cameras_see_nothing():
    frame_ = frame(sensor("bare", camera=None), sensor("late"), invalid=("late",))
    seen = sample_points(frame_, ["bare", "late", "unheard of"], grid=GRID, heights_m=(0.0, 1.0))
    assert not seen.visible.any()
    assert np.isnan(token_rays(frame_, ["bare", "late", "unheard of"], token_grid=(2, 3))).all()


def test_rays_point_where_the_camera_looks():
    frame_ = frame(sensor("front"), sensor("left", yaw_rad=math.pi / 2), sensor("eye", camera=FISHEYE))
    rays = token_rays(frame_, ["front", "left", "eye"], token_grid=(3, 5))
    assert rays[0, 1, 2] == pytest.approx([1, 0, 0], abs=1e-6)
    assert rays[1, 1, 2] == pytest.approx([0, 1, 0], abs=1e-6)
    assert rays[0, 1, 0, 1] > 0.5 and rays[0, 1, 4, 1] < -0.5 and rays[0, 0, 2, 2] > 0.2
    assert np.linalg.norm(rays, axis=-1) == pytest.approx(1.0)


def test_ego_motion_takes_past_points_to_the_last_frame():
    first, last = frame(ego=pose_from_yaw(10.0, 5.0, 0.3)), frame(ego=pose_from_yaw(10.0, 5.0, 0.3 + math.pi / 2))
    motion = ego_motion([None, frame(), first, last])
    assert np.isnan(motion[:2]).all()
    assert motion[2] @ [1, 0, 0, 1] == pytest.approx([0, -1, 0, 1], abs=1e-6)
    assert motion[3] == pytest.approx(np.eye(4), abs=1e-6)


def make_lift(*, patch_dim: int = 6, heights_m: tuple[float, ...] = (0.0, 1.5)) -> Lift:
    lift = Lift(patch_dim=patch_dim, width=5, distance_bins=8, grid=GRID, heights_m=heights_m)
    initialise(lift, seed=3)
    return lift.requires_grad_(False)


def slow_lift(lift: Lift, patches, valid, points: LiftPoints):
    """One point of one camera at a time, interpolating the volume feature × probability."""
    where = lift_points(GRID, (0.0, 1.5))
    total, count = torch.zeros(100, lift.width, dtype=torch.float64), torch.zeros(100)
    for view, grid in enumerate(patches):
        normed = torch.nn.functional.layer_norm(grid, grid.shape[-1:])
        feature = (normed @ lift.reduce.weight.T + lift.reduce.bias).unflatten(-1, (2, lift.width))
        weight = (normed @ lift.distance.weight.T + lift.distance.bias).softmax(-1) * 8
        volume = (feature[..., None, :, :] * weight[..., None, None]).double()
        rows, columns = grid.shape[:2]
        for p in np.flatnonzero(points.visible[view]) if valid[view] else []:
            x = min(max((points.uv[view, p, 0] + 1) / 2 * columns - 0.5, 0), columns - 1)
            y = min(max((points.uv[view, p, 1] + 1) / 2 * rows - 0.5, 0), rows - 1)
            d = min(max(math.log(points.distance_m[view, p]) / math.log(60), 0), 1) * 7
            for i, wi in ((int(y), 1 - y % 1), (int(y) + 1, y % 1)):
                for j, wj in ((int(x), 1 - x % 1), (int(x) + 1, x % 1)):
                    for k, wk in ((int(d), 1 - d % 1), (int(d) + 1, d % 1)):
                        if wi * wj * wk > 0:
                            total[where.cell[p]] += wi * wj * wk * volume[i, j, k, where.level[p]]
            count[where.cell[p]] += 1
    return (total / count.clamp(min=1)[:, None]).T.reshape(lift.width, 10, 10), (count > 0).reshape(10, 10)


def scene():
    cameras = [sensor("front"), sensor("eye", yaw_rad=0.4, camera=FISHEYE), sensor("left", yaw_rad=math.pi / 2)]
    points = sample_points(frame(*cameras), [c.name for c in cameras], grid=GRID, heights_m=(0.0, 1.5))
    generator = torch.Generator().manual_seed(0)
    patches = [torch.randn(*grid, 6, generator=generator) for grid in ((4, 7), (3, 3), (7, 4))]
    return patches, points


@pytest.mark.parametrize("valid", [(True, True, True), (True, False, True), (False, True, False)])
def test_lift_is_the_slow_reference(valid):
    lift = make_lift()
    patches, points = scene()
    bev = lift(patches, torch.tensor(valid), points)
    expected, observed = slow_lift(lift, patches, valid, points)
    assert torch.allclose(bev[:-1], expected.float(), atol=1e-4)
    assert torch.equal(bev[-1], observed.float())
    assert 0 < observed.sum() < 100


def test_missing_images_contribute_nothing_whatever_they_hold():
    lift = make_lift()
    patches, points = scene()
    poisoned = [patches[0], torch.full_like(patches[1], torch.nan), patches[2]]
    alone = LiftPoints(points.uv[[0, 2]], points.distance_m[[0, 2]], points.visible[[0, 2]])
    bev = lift(poisoned, torch.tensor([True, False, True]), points)
    assert torch.equal(bev, lift([patches[0], patches[2]], torch.ones(2, dtype=torch.bool), alone))


def test_nothing_calibrated_gives_an_unobserved_zero():
    lift = make_lift()
    frame_ = frame(sensor("bare", camera=None))
    points = sample_points(frame_, ["bare"], grid=GRID, heights_m=(0.0, 1.5))
    assert not lift(torch.randn(1, 4, 7, 6), torch.tensor([True]), points).any()


def test_features_go_to_the_distance_that_the_patches_name():
    """With all patches certain of about 7 m, cells there get the feature and near and far ones next to none."""
    lift = make_lift(heights_m=(1.5,))
    lift.reduce.weight.zero_()
    lift.reduce.bias.fill_(1.0)
    lift.distance.weight.zero_()
    lift.distance.bias.copy_(torch.tensor([0.0, 0, 0, 40, 0, 0, 0, 0]))  # bin 3 of 8: 60^(3/7) = 5.8 m
    points = sample_points(frame(sensor("front")), ["front"], grid=GRID, heights_m=(1.5,))
    bev = lift(torch.randn(1, 4, 7, 6), torch.tensor([True]), points)
    ahead = bev[0, 5]  # y = 1
    assert ahead[7] > 4 and ahead[7] > 2 * ahead[9] and ahead[5] < 0.01
