"""Where the vision side starts."""

import torch

from sceneminer.recipes.tiny_model import Shape, config_of
from sceneminer.recipes.tiny_start import place_codes, start_vision


def make_clip():
    from transformers import CLIPConfig, CLIPModel

    shape = Shape(image_px=32, vision_width=64, vision_layers=2, text_width=32, text_layers=1, text_heads=2)
    torch.manual_seed(0)
    return CLIPModel(CLIPConfig(**config_of(shape, vocabulary=100)))


def test_attention_starts_near_the_identity_and_its_output_near_the_negative():
    clip = make_clip()
    start_vision(clip, torch.Generator().manual_seed(1))
    for layer in clip.vision_model.encoder.layers:
        attention = layer.self_attn
        with torch.no_grad():
            x = torch.eye(64)
            passed = attention.out_proj(attention.v_proj(x))
            query, key = attention.q_proj(x), attention.k_proj(x)
        noise = passed + 0.4 * torch.eye(64)
        assert abs(float(noise.std()) - 0.4 / 8) < 0.01
        assert abs(float(passed.diagonal().mean()) + 0.4) < 0.05
        heads = torch.einsum("ihd,jhd->hij", query.reshape(64, 4, 16), key.reshape(64, 4, 16))
        own = heads.diagonal(dim1=1, dim2=2).mean()
        others = (heads.sum() - heads.diagonal(dim1=1, dim2=2).sum()) / (4 * 64 * 63)
        assert own > 0.2
        assert abs(others) < 0.05 * own


def test_the_same_generator_gives_the_same_start():
    one, two = make_clip(), make_clip()
    for clip in (one, two):
        start_vision(clip, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_neighbours_have_the_most_similar_places():
    codes = place_codes(8, 64).reshape(8, 8, 64)
    like = (codes[4, 4] * codes).sum(-1)
    order = like.flatten().argsort(descending=True)[:5].tolist()
    assert order[0] == 4 * 8 + 4
    assert set(order[1:]) == {3 * 8 + 4, 5 * 8 + 4, 4 * 8 + 3, 4 * 8 + 5}
    assert torch.allclose(codes[2, :, 32:], codes[2, :1, 32:].expand(8, -1))
