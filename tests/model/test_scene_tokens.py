"""What the learned queries read, and what cannot reach them."""

import torch

from sceneminer.geometry.grid import BevGrid
from sceneminer.model.initial import initialise
from sceneminer.model.stream import mean_embedding
from sceneminer.model.tokens import SceneTokens, pool_patches

GRID = BevGrid(-8.0, 8.0, -8.0, 8.0, 2.0)


def make_tokens() -> SceneTokens:
    tokens = SceneTokens(
        patch_dim=6, embed_dim=7, bev_width=4, count=5, width=16, layers=2, grid=GRID, bev_token_grid=(4, 4)
    )
    initialise(tokens, seed=2)
    return tokens.requires_grad_(False)


def inputs(*, views: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    bev = torch.randn(1, 5, 8, 8, generator=generator)
    bev[:, -1] = 1.0
    rays = torch.randn(1, 4, views, 2, 3, 3, generator=generator)
    return {
        "embeddings": torch.randn(1, 4, views, 7, generator=torch.Generator().manual_seed(1)),
        "patches": torch.randn(1, 4, views, 2, 3, 6, generator=generator),
        "valid": torch.ones(1, 4, views, dtype=torch.bool),
        "rays": rays / rays.norm(dim=-1, keepdim=True),
        "age_s": torch.tensor([1.5, 1.0, 0.5, 0.0]),
        "bev": bev,
        "last_from_frame": torch.eye(4).expand(1, 4, 4, 4).clone(),
    }


def test_the_order_of_cameras_does_not_matter():
    tokens, given = make_tokens(), inputs()
    order = [2, 0, 1]
    turned = given | {name: given[name][:, :, order] for name in ("embeddings", "patches", "valid", "rays")}
    assert torch.allclose(tokens(**given), tokens(**turned), atol=1e-5)


def test_what_the_tower_says_of_a_whole_image_is_read():
    tokens, given = make_tokens(), inputs()
    other = given["embeddings"].clone()
    other[:, 2, 1] = -other[:, 2, 1]
    assert (tokens(**given | {"embeddings": other}) - tokens(**given)).abs().max() > 1e-3
    longer = tokens(**given | {"embeddings": 3.0 * given["embeddings"]})
    assert torch.allclose(longer, tokens(**given), atol=1e-5)


def test_rays_and_ages_do_matter():
    tokens, given = make_tokens(), inputs()
    base = tokens(**given)
    assert (tokens(**given | {"rays": -given["rays"]}) - base).abs().max() > 1e-3
    assert (tokens(**given | {"rays": given["rays"] * torch.nan}) - base).abs().max() > 1e-3
    assert (tokens(**given | {"age_s": given["age_s"].flip(0)}) - base).abs().max() > 1e-3


def test_ego_motion_is_read_and_an_unknown_one_is_as_none():
    tokens, given = make_tokens(), inputs()
    base = tokens(**given)
    ahead = {"last_from_frame": given["last_from_frame"].clone()}
    ahead["last_from_frame"][:, :-1, 0, 3] = -6.0
    assert (tokens(**given | ahead) - base).abs().max() > 1e-3
    lost = {"last_from_frame": torch.full_like(given["last_from_frame"], torch.nan)}
    unknown = tokens(**given | lost)
    assert torch.isfinite(unknown).all()
    assert (unknown - base).abs().max() > 1e-3


def test_a_missing_image_is_as_a_camera_that_is_not_there():
    tokens, given = make_tokens(), inputs()
    masked = {name: value.clone() for name, value in given.items()}
    masked["valid"][:, :, 1] = False
    masked["embeddings"][:, :, 1] = torch.nan
    masked["patches"][:, :, 1] = torch.nan
    masked["rays"][:, :, 1] = torch.nan
    without = given | {name: given[name][:, :, [0, 2]] for name in ("embeddings", "patches", "valid", "rays")}
    assert torch.allclose(tokens(**masked), tokens(**without), atol=1e-5)


def test_a_clip_of_nothing_has_finite_tokens():
    tokens, given = make_tokens(), inputs()
    given["valid"][:] = False
    given["bev"][:] = 0.0
    given["embeddings"][:] = torch.inf
    given["patches"][:] = torch.inf
    assert torch.isfinite(tokens(**given)).all()


def test_unseen_cells_are_not_read():
    tokens, given = make_tokens(), inputs()
    given["bev"][:, -1, :, 4:] = 0.0
    other = given | {"bev": given["bev"].clone()}
    other["bev"][:, :-1, :, 4:] = 100.0
    assert torch.equal(tokens(**given), tokens(**other))
    other["bev"][:, :-1, :, :4] += 1.0
    assert not torch.equal(tokens(**given), tokens(**other))


def test_images_of_any_aspect_become_one_grid_by_area():
    patches = torch.arange(4 * 6).float().reshape(1, 4, 6, 1)
    pooled = pool_patches(patches, (2, 3))
    assert pooled[0, 0, 0, 0] == torch.tensor([0.0, 1, 6, 7]).mean()
    assert pool_patches(torch.randn(2, 9, 4, 5), (2, 3)).shape == (2, 2, 3, 5)
    assert torch.equal(pool_patches(pooled, (2, 3)), pooled)


def test_the_mean_embedding_counts_valid_images_only():
    embeddings = torch.nn.functional.normalize(torch.randn(2, 4, 3, 8), dim=-1)
    valid = torch.zeros(2, 4, 3, dtype=torch.bool)
    valid[0, 1, 2] = valid[0, 3, 0] = True
    embeddings[~valid] = torch.nan
    mean = mean_embedding(embeddings, valid)
    assert torch.allclose(mean[0], (embeddings[0, 1, 2] + embeddings[0, 3, 0]) / 2)
    assert mean[0].norm() < 1 and not mean[1].any()
