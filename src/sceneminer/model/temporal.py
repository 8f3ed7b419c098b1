"""Past bird's-eye views moved to where the ego is now, in metres, and fused."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.geometry.grid import BevGrid


def warp_bev(
    bev: Float[Tensor, "b c y x"], last_from_frame: Float[Tensor, "b 4 4"], grid: BevGrid
) -> Float[Tensor, "b c y x"]:
    """BEVs of earlier ego frames in the last one's: each cell takes what lay there, bilinearly; zero outside.

    Only the planar part of the motion is used. The last channel is the observed mask; features are divided by
    its warped value so that a half-seen cell keeps its magnitude. An unknown motion (NaN) gives zeros.
    """
    known = torch.isfinite(last_from_frame).flatten(1).all(1)
    motion = torch.where(known[:, None, None], last_from_frame, torch.eye(4).to(last_from_frame))
    yaw = torch.atan2(motion[:, 1, 0], motion[:, 0, 0])
    cos, sin = yaw.cos()[:, None, None], yaw.sin()[:, None, None]
    centers = torch.from_numpy(grid.centers()).to(bev)
    dx = centers[..., 0] - motion[:, 0, 3, None, None]
    dy = centers[..., 1] - motion[:, 1, 3, None, None]
    x, y = cos * dx + sin * dy, cos * dy - sin * dx
    u = (x - grid.x_min_m) / (grid.x_max_m - grid.x_min_m) * 2 - 1
    v = (y - grid.y_min_m) / (grid.y_max_m - grid.y_min_m) * 2 - 1
    observed = bev[:, -1:] * known[:, None, None, None]
    moved = functional.grid_sample(
        torch.cat([bev[:, :-1] * observed, observed], 1), torch.stack([u, v], -1), align_corners=False
    )
    features, mask = moved[:, :-1], moved[:, -1:]
    # Below this a cell has only the rim of a neighbour; dividing by it would blow up rounding.
    seen = mask > 1e-3
    return torch.cat([torch.where(seen, features / mask.clamp(min=1e-3), 0.0), torch.where(seen, mask, 0.0)], 1)


class TemporalBev(nn.Module):
    """A fixed number of BEVs, oldest first, into one; frames that are missing come as zeros with a zero mask."""

    def __init__(self, *, frames: int, width: int, grid: BevGrid):
        super().__init__()
        self.frames, self.grid = frames, grid
        # Product and norm cell by cell: the bits of a 1×1 convolution and of a group norm change with the CPU threads.
        self.mix = nn.Linear(frames * (width + 1), width)
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Conv2d(width, width // 2, 3, padding=1)
        self.outer = nn.Conv2d(width // 2, width, 3, padding=1)

    def forward(
        self, bev: Float[Tensor, "c t ch y x"], last_from_frame: Float[Tensor, "c t 4 4"]
    ) -> Float[Tensor, "c ch y x"]:
        """The fused BEV in the last frame's ego; its last channel is 1 where any frame saw the cell.

        The last frame needs no motion: it counts even where poses are unknown.
        """
        c, t, ch, rows, columns = bev.shape
        if t != self.frames:
            raise ValueError(f"expected {self.frames} frames a clip, found {t}")
        past = warp_bev(bev[:, :-1].flatten(0, 1), last_from_frame[:, :-1].flatten(0, 1), self.grid)
        aligned = torch.cat([past.reshape(c, t - 1, ch, rows, columns), bev[:, -1:]], 1)
        mixed = self.mix(aligned.flatten(1, 2).movedim(1, -1))
        normed = functional.gelu(self.norm(mixed)).movedim(-1, 1).contiguous()
        fused = mixed.movedim(-1, 1) + self.outer(functional.gelu(self.inner(normed)))
        observed = (aligned[:, :, -1].amax(1) > 0).to(bev)[:, None]
        return torch.cat([fused * observed, observed], 1)
