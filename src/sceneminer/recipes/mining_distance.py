"""How far away what a patch shows is: an auxiliary that teaches the lift its distances directly.

Agents' boxes stand for what is seen: a patch that a box covers shows the nearest such agent. Where no box lies nothing
is asked. Explicit depth is what lift methods gain most from (Li et al., BEVDepth, AAAI 2023).
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from sceneminer.geometry.camera import Camera, project
from sceneminer.geometry.pose import transform
from sceneminer.model.lift import Lift
from sceneminer.recipes.mining_set import Agents

_HEIGHT_M = (1.7, 1.7, 1.0)
"""Of vehicles, vulnerable road users and things that stand."""
_NEAREST_M = 0.3
_INSIDE = 0.3
"""Of a patch: what a box must cover of the ones at its edge."""


def patch_distances(
    agents: Agents, clip: int, cameras: Sequence[tuple[Float[ndarray, "4 4"], Camera]], patch_grid: tuple[int, int]
) -> Float[ndarray, "v gh gw"]:
    """Metres from each camera to the nearest agent that a patch shows at a clip's last Frame; infinity for none.

    ``cameras``: each one's camera_from_ego and lens.
    """
    rows, columns = patch_grid
    found = np.full((len(cameras), rows, columns), np.inf)
    there = agents.there[clip].numpy()
    state, kind = agents.state[clip].numpy()[there].astype(np.float64), agents.kind[clip].numpy()[there]
    if len(state) == 0:
        return found
    height = np.array(_HEIGHT_M)[kind]
    middle = np.column_stack([state[:, :2], height / 2])
    corners = _corners(state, height)
    for view, (camera_from_ego, camera) in enumerate(cameras):
        seen = transform(camera_from_ego, corners.reshape(-1, 3)).reshape(corners.shape)
        pixels = project(camera, seen.reshape(-1, 3))[0].reshape(*corners.shape[:2], 2)
        at = (pixels + 0.5) / (camera.width_px, camera.height_px) * (columns, rows)
        distance = np.linalg.norm(transform(camera_from_ego, middle), axis=-1)
        ahead = (seen[..., 2] > _NEAREST_M).all(1) & np.isfinite(at).all((1, 2))
        low = np.floor(at[ahead].min(1) + _INSIDE).clip(0, (columns, rows)).astype(np.int64)
        high = np.ceil(at[ahead].max(1) - _INSIDE).clip(0, (columns, rows)).astype(np.int64)
        for (left, top), (right, bottom), metres in zip(low, high, distance[ahead], strict=True):
            part = found[view, top:bottom, left:right]
            np.minimum(part, metres, out=part)
    return found


def distance_loss(
    lift: Lift, patches: Float[Tensor, "n v gh gw d"], metres: Float[Tensor, "n v gh gw"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the lift's distances where they are known, the target shared by the two bins around it."""
    known = torch.isfinite(metres)
    if not bool(known.any()):
        return patches.new_zeros(())
    low, share = lift.distance_bin(metres[known])
    said = lift.distance(lift.norm(patches[known].float())).float().log_softmax(-1)
    at = torch.stack([low, low + 1], -1)
    return -(said.gather(-1, at) * torch.stack([1.0 - share, share], -1)).sum(-1).mean()


def _corners(state: Float[ndarray, "a 8"], height: Float[ndarray, "a"]) -> Float[ndarray, "a 8 3"]:
    """Of boxes that stand on the ground, in the ego frame."""
    cos, sin = np.cos(state[:, 2]), np.sin(state[:, 2])
    half = state[:, 6:8] / 2
    found = []
    for along in (-1.0, 1.0):
        for across in (-1.0, 1.0):
            dx, dy = along * half[:, 0], across * half[:, 1]
            x, y = state[:, 0] + dx * cos - dy * sin, state[:, 1] + dx * sin + dy * cos
            found += [np.column_stack([x, y, 0 * x]), np.column_stack([x, y, height])]
    return np.stack(found, 1)
