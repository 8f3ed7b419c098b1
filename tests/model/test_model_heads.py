"""Heads: what they say untrained, that training moves them, and how large they are."""

import pytest
import torch

from sceneminer.model.embedder import EmbedderTower
from sceneminer.model.fingerprint import head_fingerprint
from sceneminer.model.heads import HEAD_BUDGET, EmbedHead, Head, TagsHead, TokenResidual, build_head
from sceneminer.model.initial import initialise_head
from sceneminer.model.stream import Stream, round_stream


class Colours:
    """Texts and images share a space of three colours and a constant."""

    def embed_images(self, images):
        mean = images.float().mean((2, 3)) / 255
        return torch.cat([mean, torch.full((len(images), 1), 0.5)], 1)

    def embed_texts(self, texts):
        return torch.tensor([[*(float(c in t) for c in ("red", "green", "blue")), 0.5] for t in texts])


TOWER = EmbedderTower(Colours(), name="colours", space="colours", embed_dim=4, logit_scale=20.0)
PROMPTS = {"red": ("a red light", "something red"), "blue": ("blue sky",)}
CONTRASTS = {"red": ("a road", "green leaves"), "blue": ("a road", "green leaves", "a red light")}


def make_stream(count: int = 3) -> Stream:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(count, 32, 256, generator=generator)
    return round_stream(tokens, torch.rand(count, 4, generator=generator) * 0.9)


def make_tags() -> TagsHead:
    head = TagsHead(prompts=PROMPTS, contrasts=CONTRASTS, embed_dim=4, token_width=256, logit_scale=20.0)
    initialise_head(head, seed=0)
    return head.embed_prompts(TOWER)


def make_embed() -> EmbedHead:
    head = EmbedHead(embed_dim=4, token_width=256)
    initialise_head(head, seed=0)
    return head


def test_an_untrained_embedding_is_the_towers_own():
    stream = make_stream()
    expected = torch.nn.functional.normalize(stream.embedding.float(), dim=-1)
    assert torch.allclose(make_embed()(stream), expected, atol=1e-6)


def test_untrained_tags_are_a_softmax_of_prompts_against_contrasts():
    images = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    images[0, 0], images[1, 1], images[2, 2] = 255, 255, 255
    embedding = TOWER.encode_images(images).embeddings
    stream = round_stream(torch.randn(3, 32, 256), embedding)
    tags = make_tags()(stream)
    assert tags[0, 0] > 0.9 and tags[2, 1] > 0.9
    assert tags[1].max() < 0.1 and tags[0, 1] < 0.1
    for row, x in enumerate(torch.nn.functional.normalize(stream.embedding.float(), dim=-1)):
        for column, tag in enumerate(PROMPTS):
            tag_share, other = (
                (20.0 * TOWER.encode_texts(list(group[tag])) @ x).exp().mean() for group in (PROMPTS, CONTRASTS)
            )
            assert torch.allclose(tags[row, column], tag_share / (tag_share + other), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [make_tags, make_embed])
def test_a_residual_learns_from_its_zero(make):
    head, stream = make(), make_stream()
    before = head(stream).detach()
    optimiser = torch.optim.SGD([p for p in head.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        head(stream)[:, 0].sum().neg().backward()
        optimiser.step()
    after = head(stream).detach()
    assert (after[:, 0] > before[:, 0]).all()
    assert all(p.grad is not None and p.grad.any() for p in head.residual.parameters())


@pytest.mark.parametrize(("token_width", "out"), [(256, 20), (256, 512), (256, 768), (256, 1152), (256, 2048)])
def test_a_head_stays_within_its_budget(token_width, out):
    for embed_dim in (0, 512, 1152):
        residual = TokenResidual(token_width=token_width, out=out, embed_dim=embed_dim)
        assert sum(p.numel() for p in residual.parameters()) <= HEAD_BUDGET


def test_a_clip_without_an_image_has_no_direction():
    stream = round_stream(torch.randn(1, 32, 256), torch.zeros(1, 4))
    embed = make_embed()
    embed.residual.up.bias.data.fill_(1.0)
    assert not embed(stream).any()


@pytest.mark.parametrize("make", [make_tags, make_embed])
def test_a_head_is_rebuilt_from_its_document(make):
    head = make()
    assert isinstance(head, Head)
    again = build_head(head.document(), embed_dim=4, token_width=256)
    again.load_state_dict(head.state_dict())
    assert torch.equal(again(make_stream()), head(make_stream()))
    assert head_fingerprint(again) == head_fingerprint(head)
    other = {**head.document(), "prompts": {**PROMPTS, "red": ("a red light",)}}
    if head.name == "tags":
        fewer = build_head(other, embed_dim=4, token_width=256)
        fewer.load_state_dict({**head.state_dict(), "text": torch.zeros(len(fewer.texts), 4)})
        assert head_fingerprint(fewer) != head_fingerprint(head)
    next(again.residual.parameters()).data[0] += 1e-3
    assert head_fingerprint(again) != head_fingerprint(head)


def test_tags_without_prompts_are_refused():
    with pytest.raises(ValueError, match="same tags"):
        TagsHead(prompts={"a": ("x",)}, contrasts={"b": ("y",)}, embed_dim=4, token_width=256, logit_scale=1.0)
