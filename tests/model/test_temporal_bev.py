"""Past BEVs moved into the present, against patterns moved by hand."""

import math

import pytest
import torch

from sceneminer.geometry.grid import BevGrid
from sceneminer.geometry.pose import pose_from_yaw
from sceneminer.model.initial import initialise
from sceneminer.model.temporal import TemporalBev, warp_bev

GRID = BevGrid(-8.0, 8.0, -8.0, 8.0, 2.0)


def motion(x_m: float = 0.0, y_m: float = 0.0, yaw_rad: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(pose_from_yaw(x_m, y_m, yaw_rad)).float()[None]


def pattern(*, observed: bool = True) -> torch.Tensor:
    bev = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    bev[:, -1] = float(observed)
    return bev


def test_standing_still_changes_nothing():
    assert torch.allclose(warp_bev(pattern(), motion(), GRID), pattern(), atol=1e-4)


def test_driving_two_cells_ahead_moves_the_past_two_cells_back():
    """The ego drove 4 m along x: what was at x is now at x - 4 m; the last frame sees new cells ahead as unknown."""
    before = pattern()
    after = warp_bev(before, motion(x_m=-4.0), GRID)
    assert torch.allclose(after[..., :6], before[..., 2:], atol=1e-4)
    assert not after[..., 6:].any()


def test_shifting_left_moves_the_past_right():
    before = pattern()
    after = warp_bev(before, motion(y_m=-2.0), GRID)
    assert torch.allclose(after[..., :7, :], before[..., 1:, :], atol=1e-4)
    assert not after[..., 7:, :].any()


def test_a_left_turn_moves_what_was_ahead_to_the_right():
    before = torch.zeros(1, 2, 8, 8)
    before[:, 1] = 1.0
    before[0, 0, 4, 7] = 5.0  # ahead: x = 7, y = 1
    after = warp_bev(before, motion(yaw_rad=-math.pi / 2), GRID)
    assert after[0, 0, 0, 4] == pytest.approx(5.0, abs=1e-3)  # right: x = 1, y = -7
    assert after[0, 0].sum() == pytest.approx(5.0, abs=1e-2)
    whole = pattern()
    # What was at (x, y) is at (y, -x): row r, column c goes to row 7 - c, column r.
    turned = torch.rot90(whole, 1, dims=(-2, -1))
    assert torch.allclose(warp_bev(whole, motion(yaw_rad=-math.pi / 2), GRID), turned, atol=1e-3)


def test_turn_and_drive_agree_with_moving_each_point():
    grid = BevGrid(-20.0, 20.0, -10.0, 10.0, 1.0)
    before = torch.zeros(1, 2, *grid.shape)
    before[:, 1] = 1.0
    point = torch.tensor([6.5, -2.5, 0.0, 1.0])
    row, column = grid.cells(point[None, :2].numpy())[0][0]
    before[0, 0, row, column] = 1.0
    m = motion(-5.0, 2.0, 0.6)
    after = warp_bev(before, m, grid)[0, 0]
    centers = torch.from_numpy(grid.centers()).float()
    found = (after[..., None] * centers).sum((0, 1)) / after.sum()
    assert torch.allclose(found, (m[0] @ point)[:2], atol=0.3)


def test_half_seen_cells_keep_their_magnitude_and_unseen_ones_stay_out():
    before = torch.ones(1, 2, 8, 8) * 3.0
    before[:, 1] = 0.0
    before[:, 1, :, :4] = 1.0
    after = warp_bev(before, motion(x_m=1.0), GRID)
    assert after[0, 0, 4, 4] == pytest.approx(3.0, abs=1e-4)
    assert after[0, 1, 4, 4] == pytest.approx(0.5, abs=1e-4)
    assert not after[0, :, :, 6:].any()


def test_unknown_motion_masks_the_past():
    assert not warp_bev(pattern(), torch.full((1, 4, 4), torch.nan), GRID).any()


def make_temporal() -> TemporalBev:
    temporal = TemporalBev(frames=4, width=2, grid=GRID)
    initialise(temporal, seed=1)
    return temporal.requires_grad_(False)


def test_a_missing_frame_is_as_one_that_saw_nothing():
    temporal = make_temporal()
    bev = pattern().repeat(4, 1, 1, 1)[None]
    known = motion().repeat(4, 1, 1)[None].clone()
    unknown = known.clone()
    unknown[0, 1] = torch.nan
    zeroed = bev.clone()
    zeroed[0, 1] = 0.0
    assert torch.equal(temporal(bev, unknown), temporal(zeroed, known))
    assert not torch.equal(temporal(bev, unknown), temporal(bev, known))


def test_without_poses_the_last_frame_still_counts():
    temporal = make_temporal()
    bev = pattern().repeat(4, 1, 1, 1)[None]
    alone = bev.clone()
    alone[0, :3] = 0.0
    unknown = torch.full((1, 4, 4, 4), torch.nan)
    assert torch.equal(temporal(bev, unknown), temporal(alone, motion().repeat(4, 1, 1)[None]))
    assert temporal(bev, unknown)[0, -1].all()


def test_cells_nobody_saw_are_zero():
    temporal = make_temporal()
    fused = temporal(torch.zeros(1, 4, 3, 8, 8), motion().repeat(4, 1, 1)[None])
    assert not fused.any()
    with pytest.raises(ValueError, match="expected 4 frames a clip, found 3"):
        temporal(torch.zeros(1, 3, 3, 8, 8), motion().repeat(3, 1, 1)[None])
