"""From patch tokens to bird's-eye view: each BEV point pulls features from the images that see it.

Every patch says how far away what it shows probably is (a distribution over distances, as in Philion & Fidler, "Lift,
Splat, Shoot", ECCV 2020); a point takes a patch's feature in proportion to that probability at its own distance.
Pulling at the points costs only what is seen and needs no scatter, which keeps it deterministic on every device. What a
patch says is read differently at each height: what touches the ground and what stands above it are not the same.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sceneminer.geometry.grid import BevGrid
from sceneminer.model.geometry import LiftPoints, lift_points

_NEAREST_M, _FARTHEST_M = 1.0, 60.0


class Lift(nn.Module):
    """Patch tokens of one Frame's cameras onto a BEV grid."""

    def __init__(self, *, patch_dim: int, width: int, distance_bins: int, grid: BevGrid, heights_m: tuple[float, ...]):
        super().__init__()
        self.width, self.bins, self.shape, self.levels = width, distance_bins, grid.shape, len(heights_m)
        # Towers leave hidden states with a few huge channels; without this they would be all that the lift sees.
        self.norm = nn.LayerNorm(patch_dim, elementwise_affine=False)
        self.reduce = nn.Linear(patch_dim, self.levels * width)
        self.distance = nn.Linear(patch_dim, distance_bins)
        points = lift_points(grid, tuple(heights_m))
        self.runs = points.runs
        self.register_buffer("cell", torch.from_numpy(points.cell), persistent=False)
        self.register_buffer("level", torch.from_numpy(points.level), persistent=False)

    def forward(
        self,
        patches: Sequence[Float[Tensor, "_ _ d"]] | Float[Tensor, "v _ _ d"],
        valid: Bool[Tensor, "v"],
        points: LiftPoints,
    ) -> Float[Tensor, "c y x"]:
        """One BEV: ``width`` channels and, last, 1 where any camera saw the cell, else 0 throughout.

        A feature is the mean over a cell's points and the cameras that see them; patch grids may differ by camera.
        """
        total = next(self.parameters()).new_zeros(len(self.get_buffer("cell")), self.width)
        count = total.new_zeros(total.shape[0], 1)
        for view, grid in enumerate(patches):
            if not bool(valid[view]):
                continue
            seen = torch.from_numpy(points.visible[view].nonzero()[0]).to(total.device)
            if len(seen) == 0:
                continue
            uv = torch.from_numpy(points.uv[view]).to(total)[seen]
            distance_m = torch.from_numpy(points.distance_m[view]).to(total)[seen]
            # Each point is there once, so that adding is a copy and the same on every device.
            level = self.get_buffer("level")[seen]
            total = total.index_add(0, seen, self.sample(grid, uv, distance_m, level).to(total))
            count = count.index_add(0, seen, count.new_ones(len(seen), 1))
        total, count = self._by_cell(total), self._by_cell(count)
        bev = torch.cat([total / count.clamp(min=1.0), (count > 0).to(total)], -1)
        return bev.T.reshape(self.width + 1, *self.shape)

    def _by_cell(self, values: Float[Tensor, "p c"]) -> Float[Tensor, "n c"]:
        """Sums over each cell's points, run by run, so that adding is a copy here, too."""
        out = values.new_zeros(math.prod(self.shape), values.shape[1])
        for cell, some in zip(self.get_buffer("cell").split(self.runs), values.split(self.runs), strict=True):
            out = out.index_add(0, cell, some)
        return out

    def sample(
        self,
        patches: Float[Tensor, "gh gw d"],
        uv: Float[Tensor, "p 2"],
        distance_m: Float[Tensor, "p"],
        level: Int[Tensor, "p"],
    ) -> Float[Tensor, "p c"]:
        """Features at image positions, weighted by how probable the distance is there (1: as a uniform guess).

        The same as interpolating the volume feature × probability linearly in u, v and log distance.
        """
        rows, columns, _ = patches.shape
        normed = self.norm(patches.reshape(rows * columns, -1))
        features = self.reduce(normed).unflatten(-1, (self.levels, -1)).transpose(0, 1)
        probability = self.distance(normed).softmax(-1) * self.bins
        corner, weight, low, fraction = self.places(uv, distance_m, (rows, columns))
        at_distance = probability[corner, low] * (1 - fraction) + probability[corner, low + 1] * fraction
        return torch.einsum("pk,pkc->pc", weight * at_distance, features[level[:, None], corner])

    def places(
        self, uv: Float[Tensor, "p 2"], distance_m: Float[Tensor, "p"], patch_grid: tuple[int, int]
    ) -> tuple[Int[Tensor, "p 4"], Float[Tensor, "p 4"], Int[Tensor, "p 1"], Float[Tensor, "p 1"]]:
        """Which patches each point reads and how much of each, its lower distance bin and the fraction to the next."""
        corner, weight = _corners(uv, *patch_grid)
        low, fraction = self.distance_bin(distance_m)
        return corner, weight, low[:, None], fraction[:, None]

    def distance_bin(self, distance_m: Float[Tensor, "p"]) -> tuple[Int[Tensor, "p"], Float[Tensor, "p"]]:
        """Lower bin and fraction towards the next; bins are even in log distance from 1 to 60 m, ends held."""
        log = (distance_m.clamp(_NEAREST_M, _FARTHEST_M) / _NEAREST_M).log() / math.log(_FARTHEST_M / _NEAREST_M)
        position = log * (self.bins - 1)
        low = position.floor().clamp(max=self.bins - 2)
        return low.long(), position - low


def _corners(uv: Tensor, rows: int, columns: int) -> tuple[Int[Tensor, "p 4"], Float[Tensor, "p 4"]]:
    """The four patches around each position, as flat indices, and their bilinear weights; edges are held."""
    x = ((uv[:, 0] + 1) / 2 * columns - 0.5).clamp(0, columns - 1)
    y = ((uv[:, 1] + 1) / 2 * rows - 0.5).clamp(0, rows - 1)
    left, top = x.floor(), y.floor()
    fx, fy = x - left, y - top
    left, top = left.long(), top.long()
    right, bottom = (left + 1).clamp(max=columns - 1), (top + 1).clamp(max=rows - 1)
    index = [top * columns + left, top * columns + right, bottom * columns + left, bottom * columns + right]
    weight = [(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx]
    return torch.stack(index, -1), torch.stack(weight, -1)
