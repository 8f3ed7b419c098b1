"""Dense auxiliaries: what lies around ego, asked of the BEV and of the scene tokens, and discarded before they freeze.

They teach the trunk geometry (drivable area, occupancy, agents' centres) and motion (velocities, occupancy in one and
two seconds), since tags and captions alone say little of where things are and how they move. Near ego the tokens are
asked about cells as fine as the BEV's: what they tell apart by coarse cells alone, physics cannot use.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.geometry.grid import BevGrid
from sceneminer.model.forecast import EgoReader
from sceneminer.model.tokens import CrossBlock, fourier
from sceneminer.recipes.mining_set import CLASSES, Agents

LATER_S = (1.0, 2.0)
CHANNELS = 2 * len(CLASSES) + 1 + len(LATER_S)
"""Occupancy and centres of each class, drivable area, occupancy later."""
_POSITIVE_WEIGHT = (4.0, 12.0, 6.0, 8.0, 25.0, 12.0, 1.0, 5.0, 5.0)
"""What a cell that is on weighs against one that is off, channel by channel: about the root of how rare it is."""
_SPEED_MPS = 5.0
_LEAST_SIDE_M = 2.0
"""Boxes count as at least this wide, so that a pedestrian covers a cell's centre."""
_BANDS = 6
_NEAR_M = (-10.0, 30.0, -16.0, 16.0)
"""x from and to, y from and to: where the tokens are asked about fine cells."""


@dataclass(frozen=True, eq=False)
class DenseTruth:
    """Of the cells around ego at the clip's last Frame."""

    on: Float[Tensor, "c ch *n"]
    """0 or 1 in the order of ``CHANNELS``; cells as rows and columns, or as those chosen (``cells_of``)."""
    velocity: Float[Tensor, "c 2 *n"]
    """m/s in ego's axes, of the agent that covers a cell; 0 elsewhere."""
    moving: Bool[Tensor, "c *n"]
    """Cells whose velocity counts: those that an agent covers."""


def dense_truth(agents: Agents, drivable: Bool[Tensor, "c y x"], grid: BevGrid) -> DenseTruth:
    """What the auxiliaries are to say."""
    x, y, yaw, vx, vy, _, length, width = torch.where(agents.there[..., None], agents.state, torch.inf).unbind(-1)
    yaw = torch.where(agents.there, yaw, 0.0)
    centers = torch.from_numpy(grid.centers()).float()
    covered = _covers(x, y, yaw, length, width, centers)
    on, occupied = [], []
    for k in range(len(CLASSES)):
        occupied.append((covered & (agents.kind == k)[..., None, None]).any(1))
    on += [o.float() for o in occupied]
    near = torch.hypot(centers[..., 0] - x[..., None, None], centers[..., 1] - y[..., None, None])
    middle = near <= 0.75 * grid.cell_m
    on += [(middle & (agents.kind == k)[..., None, None]).any(1).float() for k in range(len(CLASSES))]
    on.append(drivable.float())
    for later in LATER_S:
        at = agents.future[:, :, round(later * 2) - 1]
        fx, fy = torch.where(torch.isfinite(at), at, torch.inf).unbind(-1)
        on.append(_covers(fx, fy, yaw, length, width, centers).any(1).float())
    first = covered.float().cumsum(1).eq(1) & covered
    speed = torch.stack([torch.where(agents.there, v, 0.0) for v in (vx, vy)], -1)
    velocity = torch.einsum("cayx,cas->csyx", first.float(), speed)
    return DenseTruth(torch.stack(on, 1), velocity, covered.any(1))


def coarser(truth: DenseTruth, shape: tuple[int, int]) -> DenseTruth:
    """The same on fewer cells: on where any is, velocity as the mean of those that move."""
    rows, columns = truth.on.shape[-2:]
    size = (rows // shape[0], columns // shape[1])
    on = functional.max_pool2d(truth.on, size)
    share = functional.avg_pool2d(truth.moving.float()[:, None], size)
    velocity = functional.avg_pool2d(truth.velocity, size) / share.clamp(min=1e-6)
    return DenseTruth(on, velocity, share[:, 0] > 0)


def cells_of(truth: DenseTruth, cells: Int[Tensor, "n"] | None) -> DenseTruth:
    """Some cells, or all, counted row by row."""
    at = slice(None) if cells is None else cells
    return DenseTruth(
        truth.on.flatten(2)[..., at], truth.velocity.flatten(2)[..., at], truth.moving.flatten(1)[..., at]
    )


class DenseAuxiliaries(nn.Module):
    """Three readers: one of the fused BEV, cell by cell; one that asks the scene tokens about coarse cells and, near
    ego, about fine ones; one that asks them how ego drives."""

    def __init__(self, *, bev_width: int, token_width: int, grid: BevGrid, token_grid: tuple[int, int]):
        super().__init__()
        self.token_grid = token_grid
        out = CHANNELS + 2
        self.bev = nn.Sequential(nn.Linear(bev_width, 96), nn.GELU(), nn.Linear(96, out))
        width = 128
        self.ask = nn.Linear(2 * (1 + 2 * _BANDS), width)
        self.fine = nn.Parameter(torch.zeros(width))
        self.norm, self.key_value = nn.LayerNorm(token_width), nn.Linear(token_width, 2 * width)
        self.blocks = nn.ModuleList(CrossBlock(width) for _ in range(2))
        self.say = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out))
        self.ego = EgoReader(token_width=token_width)
        extent = max(abs(v) for v in (grid.x_min_m, grid.x_max_m, grid.y_min_m, grid.y_max_m))
        centers = torch.from_numpy(grid.centers()).float().movedim(-1, 0)[None] / extent
        cells = functional.adaptive_avg_pool2d(centers, token_grid)[0].flatten(1).T
        self.register_buffer("cells", fourier(cells, _BANDS), persistent=False)
        x, y = torch.from_numpy(grid.centers()).float().flatten(0, 1).T
        near = (x >= _NEAR_M[0]) & (x <= _NEAR_M[1]) & (y >= _NEAR_M[2]) & (y <= _NEAR_M[3])
        self.register_buffer("near", near.nonzero()[:, 0], persistent=False)
        self.register_buffer(
            "near_cells", fourier(centers[0].flatten(1).T[self.get_buffer("near")], _BANDS), persistent=False
        )

    def of_bev(self, bev: Float[Tensor, "c ch y x"]) -> Float[Tensor, "c out n"]:
        """What the fused BEV says; its last channel is the observed mask."""
        return self.bev(bev[:, :-1].movedim(1, -1)).movedim(-1, 1).flatten(2)

    def of_ego(self, tokens: Float[Tensor, "c q w"]) -> Float[Tensor, "c s 2"]:
        """Ego's speed and turn rate, as ``EgoReader`` has them."""
        return self.ego(self.norm(tokens))

    def of_tokens(
        self, tokens: Float[Tensor, "c q w"], cells: Int[Tensor, "n"], near: Int[Tensor, "m"]
    ) -> tuple[Float[Tensor, "c out n"], Float[Tensor, "c out m"]]:
        """What the tokens say of some cells of ``token_grid``, counted row by row, and of some of those ``near``."""
        key, value = self.key_value(self.norm(tokens)).chunk(2, -1)
        coarse, fine = self.ask(self.get_buffer("cells")[cells]), self.ask(self.get_buffer("near_cells")[near])
        asked = torch.cat([coarse, fine + self.fine]).expand(len(tokens), -1, -1)
        valid = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        for block in self.blocks:
            asked = block(asked, key, value, valid)
        said = self.say(asked).transpose(1, 2)
        return said[..., : len(cells)], said[..., len(cells) :]


def dense_loss(said: Float[Tensor, "c out n"], truth: DenseTruth) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Binary cross-entropy of what is on, and a smooth L1 of velocities where agents are."""
    weight = said.new_tensor(_POSITIVE_WEIGHT)[:, None]
    on = functional.binary_cross_entropy_with_logits(said[:, :CHANNELS], truth.on, pos_weight=weight)
    counts = truth.moving[:, None].expand(-1, 2, -1)
    off = functional.smooth_l1_loss(said[:, CHANNELS:], truth.velocity / _SPEED_MPS, reduction="none", beta=0.2)
    return on, (off * counts).sum() / counts.sum().clamp(min=1)


def _covers(
    x: Tensor, y: Tensor, yaw: Tensor, length: Tensor, width: Tensor, centers: Float[Tensor, "y x 2"]
) -> Bool[Tensor, "c a y x"]:
    """Which cells' centres lie in each rectangle; none for one at infinity."""
    dx, dy = (centers[..., i] - v[..., None, None] for i, v in enumerate((x, y)))
    cos, sin = yaw.cos()[..., None, None], yaw.sin()[..., None, None]
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    half_l, half_w = (v.clamp(min=_LEAST_SIDE_M)[..., None, None] / 2 for v in (length, width))
    return (along.abs() <= half_l) & (across.abs() <= half_w) & torch.isfinite(dx)


assert len(_POSITIVE_WEIGHT) == CHANNELS
