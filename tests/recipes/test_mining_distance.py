"""What patches are taken to show, and how far away."""

import math

import numpy as np
import pytest
import torch

from sceneminer.geometry.camera import Camera
from sceneminer.geometry.grid import BevGrid
from sceneminer.geometry.pose import invert, pose_from_rotation
from sceneminer.model.initial import initialise
from sceneminer.model.lift import Lift
from sceneminer.recipes.mining_distance import distance_loss, patch_distances
from sceneminer.recipes.mining_set import Agents

AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
FRONT = (invert(pose_from_rotation(np.array([0.0, 0.0, 1.0]), AHEAD)), Camera(200, 100, 100.0, 100.0, 99.5, 49.5))


def agents_at(*places: tuple[float, float]) -> Agents:
    """Cars 4 m long and 2 m wide, along ego's own direction."""
    state = torch.tensor([[[x, y, 0.0, 0.0, 0.0, 0.0, 4.0, 2.0] for x, y in places]])
    n = len(places)
    nowhere = torch.full((1, n, 8, 2), torch.nan)
    return Agents(
        state=state,
        future=nowhere,
        past=nowhere[:, :, :3],
        kind=torch.zeros(1, n, dtype=torch.long),
        risk=torch.zeros(1, n),
        there=torch.ones(1, n, dtype=torch.bool),
        row=torch.arange(n)[None],
    )


def test_a_car_ahead_covers_the_patches_that_the_pinhole_says():
    found = patch_distances(agents_at((12.0, 0.0)), 0, [FRONT], (10, 20))[0]
    # Its near face is 10 m away, 2 m wide and 1.7 m high from 1 m below the camera on: 20 by 17 pixels.
    rows, columns = np.nonzero(np.isfinite(found))
    assert (columns.min(), columns.max()) == (9, 10)
    assert (rows.min(), rows.max()) == (4, 5)
    assert found[5, 10] == pytest.approx(math.hypot(12.0, 1.0 - 0.85))


def test_the_nearer_of_two_is_seen_and_one_behind_is_not():
    found = patch_distances(agents_at((30.0, 0.0), (12.0, 0.0), (-12.0, 0.0)), 0, [FRONT], (10, 20))[0]
    assert np.nanmax(found[np.isfinite(found)]) == pytest.approx(math.hypot(12.0, 0.15))
    assert not np.isfinite(patch_distances(agents_at((-12.0, 0.0)), 0, [FRONT], (10, 20))).any()


def test_the_loss_is_least_where_the_distances_are_right_and_nothing_where_none_is_known():
    lift = Lift(patch_dim=4, width=3, distance_bins=8, grid=BevGrid(-8.0, 8.0, -8.0, 8.0, 2.0), heights_m=(0.0,))
    initialise(lift, seed=0)
    lift.requires_grad_(False).distance.weight.zero_()
    patches = torch.randn(1, 1, 2, 2, 4)
    metres = torch.full((1, 1, 2, 2), 60.0 ** (3 / 7))

    def loss(best: int) -> float:
        lift.distance.bias.copy_(8.0 * torch.nn.functional.one_hot(torch.tensor(best), 8))
        return float(distance_loss(lift, patches, metres))

    assert loss(3) < 0.01 < loss(2)
    assert float(distance_loss(lift, patches, torch.full_like(metres, torch.inf))) == 0.0
