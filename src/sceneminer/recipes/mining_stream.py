"""Stage 1: lift, temporal BEV and scene tokens with the embedding and tags heads, under dense auxiliaries.

The tower never moves: what it makes of images is read from disk. What is trained here is frozen afterwards for good.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.model.heads import EmbedHead, TagsHead
from sceneminer.model.initial import initialise
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream, mean_embedding
from sceneminer.model.tokens import pool_patches
from sceneminer.recipes.mining_aux import DenseAuxiliaries, coarser, dense_loss, dense_truth
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_set import FRAMES, NOW, Batch, ClipRef, agents_of, lift_batch, read_batch, rig_geometry
from sceneminer.recipes.mining_text import CaptionBank
from sceneminer.recipes.tiny_loss import contrast_with_memory


@dataclass(frozen=True)
class StreamPlan:
    """What a step of stage 1 draws, and what its losses weigh."""

    clips: int = 16
    texts: int = 3
    """Captions of each clip that look for it."""
    other_texts: int = 256
    """Captions of other clips that each clip is told from."""
    memory: int = 384
    """Clips of earlier steps that texts choose from, too."""
    keep: float = 0.5
    """Share of image tokens that the queries read in a step."""
    embed_weight: float = 1.0
    tags_weight: float = 2.0
    dense_weight: float = 1.0
    """0 leaves the dense auxiliaries out."""
    text_scale: float = 20.0
    """Of cosines in the contrast: between the tower's own and a softer one, since residuals start at nothing."""


class StreamTraining(nn.Module):
    """Everything that stage 1 trains, under the names that its state is saved by."""

    def __init__(self, model: SceneModel, plan: StreamPlan, *, size_hw: tuple[int, int], seed: int):
        super().__init__()
        self.plan, self.config = plan, model.config
        self.lift, self.temporal, self.scene_tokens = model.lift, model.temporal, model.scene_tokens
        self.embed, self.tags = model.heads["embedding"], model.heads["tags"]
        c = model.config
        self.dense = DenseAuxiliaries(
            bev_width=c.bev_width, token_width=c.token_width, grid=c.grid, token_grid=c.bev_token_grid
        )
        initialise(self.dense, seed=seed + 1)
        self.points, rays = rig_geometry(c, size_hw)
        self.register_buffer("rays", torch.from_numpy(rays), persistent=False)
        self.register_buffer("memory", torch.zeros(plan.memory, model.tower.embed_dim))
        self.register_buffer("memory_clip", torch.full((plan.memory,), -1))
        self.register_buffer("memory_next", torch.zeros((), dtype=torch.long))
        for module in (self.lift, self.temporal, self.scene_tokens, self.embed, self.tags, self.dense):
            module.requires_grad_(True)

    def streams(
        self, batch: Batch, *, keep: float = 1.0, generator: torch.Generator | None = None
    ) -> tuple[Stream, Float[Tensor, "c ch y x"]]:
        """Streams (tokens not yet rounded) and fused BEVs; ``keep`` is the share of image tokens that is read."""
        c, t, v = batch.embeddings.shape[:3]
        bev = lift_batch(self.lift, batch.patches.flatten(0, 1), self.points).unflatten(0, (c, t))
        fused = self.temporal(bev, batch.last_from_frame)
        ty, tx = self.config.image_token_grid
        pooled = pool_patches(batch.patches.flatten(0, 2).float(), (ty, tx))
        valid = torch.ones(c, t, v, dtype=torch.bool)
        age_s = torch.arange(FRAMES - 1, -1, -1) * (self.config.frame_period_us / 1e6)
        tokens = self.scene_tokens(
            patches=pooled.unflatten(0, (c, t, v)),
            valid=valid,
            rays=self.get_buffer("rays").expand(c, t, v, ty, tx, 3),
            age_s=age_s,
            bev=fused,
            last_from_frame=batch.last_from_frame,
            keep=keep,
            generator=generator,
        )
        return Stream(tokens, mean_embedding(batch.embeddings, valid)), fused

    def remember(self, clips: Float[Tensor, "c e"], which: Sequence[int]) -> None:
        """Keep clips for later steps' texts to choose from."""
        size = len(self.get_buffer("memory"))
        at = (int(self.get_buffer("memory_next")) + torch.arange(len(which))) % size
        self.get_buffer("memory")[at] = clips.detach()
        self.get_buffer("memory_clip")[at] = torch.tensor(which)
        self.get_buffer("memory_next").copy_((at[-1] + 1) % size)


def stream_loss(
    training: StreamTraining,
    windows: Sequence[Window],
    clips: Sequence[ClipRef],
    chosen: Sequence[int],
    bank: CaptionBank,
    *,
    rng: np.random.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of the chosen clips and its parts."""
    plan, refs = training.plan, [clips[k] for k in chosen]
    batch = read_batch(windows, refs)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    with torch.autocast("cpu", torch.bfloat16):
        stream, fused = training.streams(batch, keep=plan.keep, generator=generator)
        said = (training.dense.of_bev(fused), training.dense.of_tokens(stream.tokens)) if plan.dense_weight else ()
    stream = Stream(stream.tokens.float(), stream.embedding.float())
    embedded = training.embed(stream)
    embed_loss = _text_loss(training, embedded, list(chosen), bank, rng)
    training.remember(embedded, list(chosen))
    assert isinstance(training.tags, TagsHead) and isinstance(training.embed, EmbedHead)
    tags_loss = tag_loss(training.tags.logits(stream), tag_truth(windows, refs))
    loss = plan.embed_weight * embed_loss + plan.tags_weight * tags_loss
    figures = {"embed": float(embed_loss.detach()), "tags": float(tags_loss.detach())}
    if plan.dense_weight:
        dense, parts = _dense(training, windows, refs, said)
        loss, figures = loss + plan.dense_weight * dense, figures | parts
    return loss, figures


def tag_truth(windows: Sequence[Window], refs: Sequence[ClipRef]) -> Tensor:
    """1, 0 or -1 (unknown) for each clip and tag."""
    return torch.from_numpy(np.stack([windows[r.window].tensors["tags"][r.first] for r in refs]))


def tag_loss(logits: Float[Tensor, "c tags"], truth: Tensor) -> Float[Tensor, ""]:
    """Binary cross-entropy over what is known."""
    known = truth >= 0
    each = functional.binary_cross_entropy_with_logits(logits, truth.clamp(min=0).float(), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def _text_loss(
    training: StreamTraining, embedded: Tensor, chosen: list[int], bank: CaptionBank, rng: np.random.Generator
) -> Tensor:
    """Texts look for their clips among this step's and earlier ones'; clips for their texts among many others'."""
    plan = training.plan
    own = [(c, int(k)) for c in chosen for k in rng.integers(len(bank.captions[c]), size=plan.texts)]
    others = [(int(c), 0) for c in rng.integers(len(bank.captions), size=plan.other_texts)]
    told = own + others
    texts = torch.stack([bank.embeddings[c, k] for c, k in told])
    scores = plan.text_scale * texts @ embedded.T
    # A copy: this step's clips are written into the memory before the backward pass.
    memory, kept = training.get_buffer("memory").clone(), training.get_buffer("memory_clip").tolist()
    known: Bool[Tensor, "q"] = torch.tensor([k >= 0 and k not in set(chosen) for k in kept])
    of_memory = plan.text_scale * texts[: len(own)] @ memory.T
    true = bank.truth(told, chosen)
    true_of_memory = bank.truth(own, [max(k, 0) for k in kept])
    forth = contrast_with_memory(scores[: len(own)], true[: len(own)], of_memory, true_of_memory, known)
    back = contrast_with_memory(
        scores.T, true.T, scores.new_zeros(len(chosen), 0), true.new_zeros(len(chosen), 0), known[:0]
    )
    return 0.5 * (forth + back)


def _dense(
    training: StreamTraining, windows: Sequence[Window], refs: Sequence[ClipRef], said: Sequence[Tensor]
) -> tuple[Tensor, dict[str, float]]:
    drivable = torch.from_numpy(np.stack([windows[r.window].tensors["drivable"][r.first + NOW] for r in refs]))
    truth = dense_truth(agents_of(windows, refs), drivable, training.config.grid)
    parts, total = {}, said[0].new_zeros(())
    for name, values, target in zip(
        ("bev", "tokens"), said, (truth, coarser(truth, training.dense.token_grid)), strict=True
    ):
        on, velocity = dense_loss(values.float(), target)
        total = total + on + velocity
        parts |= {f"{name}_on": float(on.detach()), f"{name}_velocity": float(velocity.detach())}
    return total, parts
