"""A clip's bird's-eye view and images, read by a few learned queries: the scene tokens."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.geometry.grid import BevGrid

_HEADS = 8
_RAY_BANDS, _CELL_BANDS, _MOTION_BANDS = 4, 6, 3
_MOTION_SCALE = (20.0, 4.0, 0.5)
"""Of metres ahead, metres to the left and radians per frame period: the most that is told apart well."""


def pool_patches(patches: Float[Tensor, "n gh gw d"], token_grid: tuple[int, int]) -> Float[Tensor, "n ty tx d"]:
    """Patch tokens averaged onto a (rows, columns) grid over the whole image; unchanged where that is their grid."""
    if patches.shape[1:3] == torch.Size(token_grid):
        return patches
    return functional.adaptive_avg_pool2d(patches.movedim(-1, 1), token_grid).movedim(1, -1).contiguous()


def fourier(values: Float[Tensor, "*n k"], bands: int) -> Float[Tensor, "*n f"]:
    """Values in [-1, 1] with their sines and cosines at octaves from π (Mildenhall et al., NeRF, eq. 4)."""
    scaled = values[..., None] * (math.pi * 2.0 ** torch.arange(bands, device=values.device))
    return torch.cat([values, scaled.sin().flatten(-2), scaled.cos().flatten(-2)], -1)


def planar_motion(last_from_frame: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 3"]:
    """(x, y, yaw) of earlier ego frames in the last one: metres and radians; NaN where the motion is unknown."""
    yaw = torch.atan2(last_from_frame[..., 1, 0], last_from_frame[..., 0, 0])
    return torch.stack([last_from_frame[..., 0, 3], last_from_frame[..., 1, 3], yaw], -1)


def weighted_mean(normed: Float[Tensor, "c q w"], query: Float[Tensor, "w"]) -> Float[Tensor, "c w"]:
    """Tokens as one, by their attention to one learned query."""
    weight = (normed @ query / normed.shape[-1] ** 0.5).softmax(-1)
    return (weight[:, None] @ normed)[:, 0]


class CrossBlock(nn.Module):
    """Queries read memory, then think: pre-norm cross-attention and a two-layer perceptron."""

    def __init__(self, width: int):
        super().__init__()
        self.query_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self,
        queries: Float[Tensor, "c q w"],
        key: Float[Tensor, "c n w"],
        value: Float[Tensor, "c n w"],
        valid: Bool[Tensor, "c n"],
    ) -> Float[Tensor, "c q w"]:
        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (_HEADS, -1)).transpose(1, 2)

        read = functional.scaled_dot_product_attention(
            heads(self.query(self.query_norm(queries))), heads(key), heads(value), attn_mask=valid[:, None, None, :]
        )
        queries = queries + self.out(read.transpose(1, 2).flatten(2))
        return queries + self.narrow(functional.gelu(self.widen(self.mlp_norm(queries))))


class SceneTokens(nn.Module):
    """Learned queries over BEV cells and image patches of a clip.

    What a camera is called and where it stands in the batch never enters: a patch is known by its ray and its age,
    so that any number of cameras in any order gives the same tokens up to rounding.
    """

    def __init__(
        self,
        *,
        patch_dim: int,
        embed_dim: int,
        bev_width: int,
        count: int,
        width: int,
        layers: int,
        grid: BevGrid,
        bev_token_grid: tuple[int, int],
    ):
        super().__init__()
        self.bev_token_grid = bev_token_grid
        self.queries = nn.Parameter(torch.zeros(count, width))
        # Attention over nothing is undefined; a clip without an image or a map reads this instead.
        self.nothing = nn.Parameter(torch.zeros(1, width))
        self.unknown_ray = nn.Parameter(torch.zeros(1, width))
        self.patch_norm = nn.LayerNorm(patch_dim, elementwise_affine=False)
        self.patch_in = nn.Linear(patch_dim, width)
        # What the tower says of an image as a whole: nothing that its patches add up to says as much.
        self.whole_in = nn.Linear(embed_dim, width)
        self.bev_in = nn.Linear(bev_width, width)
        self.ray_in = nn.Linear(3 * (1 + 2 * _RAY_BANDS), width)
        self.cell_in = nn.Linear(2 * (1 + 2 * _CELL_BANDS), width)
        self.age_in = nn.Linear(1 * (1 + 2 * 2), width)
        self.motion_in = nn.Linear(3 * (1 + 2 * _MOTION_BANDS), width)
        self.memory_norm = nn.LayerNorm(width)
        # One for all layers: this is the largest product in the trunk, and memory is the same for each of them.
        self.key_value = nn.Linear(width, 2 * width)
        self.blocks = nn.ModuleList(CrossBlock(width) for _ in range(layers))
        self.out_norm = nn.LayerNorm(width)
        extent = max(abs(v) for v in (grid.x_min_m, grid.x_max_m, grid.y_min_m, grid.y_max_m))
        centers = torch.from_numpy(grid.centers()).float().movedim(-1, 0)[None] / extent
        pooled = functional.adaptive_avg_pool2d(centers, bev_token_grid)[0].flatten(1).T
        self.register_buffer("cells", fourier(pooled, _CELL_BANDS), persistent=False)

    def forward(
        self,
        *,
        embeddings: Float[Tensor, "c t v e"],
        patches: Float[Tensor, "c t v ty tx d"],
        valid: Bool[Tensor, "c t v"],
        rays: Float[Tensor, "c t v ty tx 3"],
        age_s: Float[Tensor, "t"],
        bev: Float[Tensor, "c ch y x"],
        last_from_frame: Float[Tensor, "c t 4 4"],
        keep: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "c q w"]:
        """Tokens in fp32. ``rays`` are NaN where unknown; ``age_s`` counts back from the last frame; the last
        channel of ``bev`` is its observed mask; ``last_from_frame`` is ego's motion, NaN where unknown. In training a
        random share ``keep`` of the image tokens is enough, the same for all clips of a call."""
        chosen, count = None, patches[0, ..., 0].numel()
        if keep < 1.0:
            chosen = torch.randperm(count, generator=generator)[: max(1, round(keep * count))]
        image, image_valid = self._image_memory(patches, valid, rays, age_s, chosen)
        whole, whole_valid = self._whole_memory(embeddings, valid, rays, age_s)
        cells, cells_valid = self._bev_memory(bev)
        motion, motion_valid = self._motion_memory(last_from_frame, age_s)
        c = len(patches)
        memory = torch.cat([self.nothing.expand(c, 1, -1), motion, cells, whole, image], 1)
        memory_valid = torch.cat([cells_valid.new_ones(c, 1), motion_valid, cells_valid, whole_valid, image_valid], 1)
        key, value = self.key_value(self.memory_norm(memory)).chunk(2, -1)
        tokens = self.queries.expand(c, -1, -1)
        for block in self.blocks:
            tokens = block(tokens, key, value, memory_valid)
        return self.out_norm(tokens)

    def _image_memory(
        self, patches: Tensor, valid: Tensor, rays: Tensor, age_s: Tensor, chosen: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """A token a patch; only those ``chosen``, by their place among all of a clip's, where it is given."""
        c, t, v, ty, tx = patches.shape[:5]
        shown = valid[..., None, None].expand(c, t, v, ty, tx).flatten(1)
        age = self.age_in(fourier(age_s[:, None] / 4.0, 2)).repeat_interleave(v * ty * tx, 0)
        patches, rays = patches.flatten(1, 4), rays.flatten(1, 4)
        if chosen is not None:
            shown, age, patches, rays = shown[:, chosen], age[chosen], patches[:, chosen], rays[:, chosen]
        # Not a product: whatever stands in a missing image's place, NaN included, must not get through.
        feature = self.patch_in(self.patch_norm(torch.where(shown[..., None], patches, 0.0)))
        return feature + self._directions(rays) + age, shown

    def _whole_memory(self, embeddings: Tensor, valid: Tensor, rays: Tensor, age_s: Tensor) -> tuple[Tensor, Tensor]:
        """A token an image, known by the mean of its rays."""
        v, shown = valid.shape[2], valid.flatten(1)
        seen = torch.where(shown[..., None], embeddings.flatten(1, 2).float(), 0.0)
        feature = self.whole_in(functional.normalize(seen, dim=-1) * seen.shape[-1] ** 0.5)
        age = self.age_in(fourier(age_s[:, None] / 4.0, 2)).repeat_interleave(v, 0)
        return feature + self._directions(rays.mean((3, 4)).flatten(1, 2)) + age, shown

    def _directions(self, rays: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b w"]:
        known = torch.isfinite(rays).all(-1, keepdim=True)
        direction = self.ray_in(fourier(torch.where(known, rays, 0.0), _RAY_BANDS))
        return torch.where(known, direction, self.unknown_ray)

    def _bev_memory(self, bev: Tensor) -> tuple[Tensor, Tensor]:
        observed = bev[:, -1:]
        share = functional.adaptive_avg_pool2d(observed, self.bev_token_grid)
        mean = functional.adaptive_avg_pool2d(bev[:, :-1] * observed, self.bev_token_grid) / share.clamp(min=1e-6)
        token = self.bev_in(mean.flatten(2).transpose(1, 2)) + self.cell_in(self.get_buffer("cells"))
        return token, share.flatten(1) > 0

    def _motion_memory(self, last_from_frame: Tensor, age_s: Tensor) -> tuple[Tensor, Tensor]:
        """One entry for each earlier frame, in units of what a frame period's drive can be at most."""
        moved = planar_motion(last_from_frame[:, :-1])
        known = torch.isfinite(moved).all(-1)
        periods = torch.arange(moved.shape[1], 0, -1, device=moved.device)[:, None]
        scaled = torch.where(known[..., None], moved, 0.0) / (moved.new_tensor(_MOTION_SCALE) * periods)
        age = self.age_in(fourier(age_s[:-1, None] / 4.0, 2))
        return self.motion_in(fourier(scaled.clamp(-1.0, 1.0), _MOTION_BANDS)) + age, known
