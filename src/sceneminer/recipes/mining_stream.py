"""Stage 1: lift, temporal BEV and scene tokens with the embedding and tags heads, under dense auxiliaries.

The tower never moves: what it makes of images is read from disk. What is trained here is frozen afterwards for good.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.model.heads import EmbedHead, TagsHead
from sceneminer.model.initial import initialise
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream, mean_embedding, round_stream
from sceneminer.model.tokens import pool_patches
from sceneminer.recipes.mining_aux import DenseAuxiliaries, cells_of, coarser, dense_loss, dense_truth
from sceneminer.recipes.mining_distance import distance_loss, patch_distances
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_forecast import ego_loss, ego_truth
from sceneminer.recipes.mining_set import (
    FRAMES,
    NOW,
    Agents,
    Batch,
    ClipRef,
    agents_of,
    batch_of,
    cameras_of,
    lift_views,
    motion_of,
    read_batch,
    window_views,
)
from sceneminer.recipes.mining_text import CaptionBank
from sceneminer.recipes.tiny_loss import contrast, contrast_with_memory


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
    keep: float = 0.35
    """Share of image tokens that the queries read in a step."""
    drop: float = 0.2
    """Share of what a head reads of the tokens that is left out in a step, lest it learns clips by heart."""
    embed_weight: float = 1.0
    tags_weight: float = 1.5
    cells: int = 240
    """Coarse cells that the tokens are asked about in a step, and as many fine ones near ego."""
    dense_weight: float = 1.0
    """0 leaves the dense auxiliaries out."""
    distance_weight: float = 0.3
    """Of patches' distances among the dense auxiliaries."""
    ego_weight: float = 0.3
    """Of ego's drive among the dense auxiliaries: it has more to lose than all others together at first."""
    text_scale: float = 20.0
    """Of cosines in the contrast: between the tower's own and a softer one, since residuals start at nothing."""


class StreamTraining(nn.Module):
    """Everything that stage 1 trains, under the names that its state is saved by."""

    def __init__(self, model: SceneModel, plan: StreamPlan, *, seed: int):
        super().__init__()
        self.plan, self.config = plan, model.config
        self.lift, self.temporal, self.scene_tokens = model.lift, model.temporal, model.scene_tokens
        self.embed, self.tags = model.heads["embedding"], model.heads["tags"]
        c = model.config
        self.dense = DenseAuxiliaries(
            bev_width=c.bev_width, token_width=c.token_width, grid=c.grid, token_grid=c.bev_token_grid
        )
        initialise(self.dense, seed=seed + 1)
        self.register_buffer("memory", torch.zeros(plan.memory, model.tower.embed_dim))
        self.register_buffer("memory_clip", torch.full((plan.memory,), -1))
        self.register_buffer("memory_next", torch.zeros((), dtype=torch.long))
        for module in (self.lift, self.temporal, self.scene_tokens, self.embed, self.tags, self.dense):
            module.requires_grad_(True)

    def fuse(self, batch: Batch) -> Float[Tensor, "c ch y x"]:
        """The fused BEV of each clip."""
        c, t = batch.embeddings.shape[:2]
        bev = lift_views(self.lift, batch.patches.flatten(0, 1), batch.views).unflatten(0, (c, t))
        return self.temporal(bev, batch.last_from_frame)

    def streams(
        self, batch: Batch, fused: Float[Tensor, "c ch y x"], *, generator: torch.Generator | None = None
    ) -> Stream:
        """Streams, rounded as they are stored; with a generator, of a share ``plan.keep`` of the image tokens."""
        c, t, v = batch.embeddings.shape[:3]
        ty, tx = self.config.image_token_grid
        pooled = pool_patches(batch.patches.flatten(0, 2).float(), (ty, tx))
        valid = torch.ones(c, t, v, dtype=torch.bool)
        age_s = torch.arange(FRAMES - 1, -1, -1) * (self.config.frame_period_us / 1e6)
        tokens = self.scene_tokens(
            embeddings=batch.embeddings,
            patches=pooled.unflatten(0, (c, t, v)),
            valid=valid,
            rays=batch.views.rays.expand(c, t, v, ty, tx, 3),
            age_s=age_s,
            bev=fused,
            last_from_frame=batch.last_from_frame,
            keep=1.0 if generator is None else self.plan.keep,
            generator=generator,
        )
        return round_stream(tokens, mean_embedding(batch.embeddings, valid))

    def hold_trunk(self) -> None:
        """Lift and temporal BEV learn no more."""
        self.lift.requires_grad_(False)
        self.temporal.requires_grad_(False)

    def remember(self, clips: Float[Tensor, "c e"], which: Sequence[int]) -> None:
        """Keep clips for later steps' texts to choose from."""
        size = len(self.get_buffer("memory"))
        at = (int(self.get_buffer("memory_next")) + torch.arange(len(which))) % size
        self.get_buffer("memory")[at] = clips.detach()
        self.get_buffer("memory_clip")[at] = torch.tensor(which)
        self.get_buffer("memory_next").copy_((at[-1] + 1) % size)


class TrunkCache:
    """What lift and temporal BEV make of all clips once these two are held: pooled patches and fused BEVs in memory."""

    @torch.no_grad()
    def __init__(self, training: StreamTraining, windows: Sequence[Window], *, say: Callable[[str], None] = print):
        self.pooled: list[Float16[Tensor, "t v ty tx d"]] = []
        self.fused: list[Float16[Tensor, "c ch y x"]] = []
        self.config, grid = training.config, training.config.image_token_grid
        for k, window in enumerate(windows):
            patches = window.patches(0, len(window.embeddings)).float()
            bev = lift_views(training.lift, patches, window_views(window, training.config))
            clips = torch.stack([bev[i : i + FRAMES] for i in range(window.clips)])
            motion = torch.stack([motion_of(window, i) for i in range(window.clips)])
            self.fused.append(training.temporal(clips, motion).half())
            self.pooled.append(pool_patches(patches.flatten(0, 1), grid).unflatten(0, patches.shape[:2]).half())
            if (k + 1) % 50 == 0:
                say(f"trunk of {k + 1} of {len(windows)} windows")

    def read(self, windows: Sequence[Window], clips: Sequence[ClipRef]) -> tuple[Batch, Float[Tensor, "c ch y x"]]:
        """The clips' inputs, with pooled patches in place of whole ones, and their fused BEVs."""
        pooled = torch.stack([self.pooled[c.window][c.first : c.first + FRAMES] for c in clips])
        return batch_of(windows, clips, self.config, pooled), torch.stack(
            [self.fused[c.window][c.first] for c in clips]
        ).float()


def stream_loss(
    training: StreamTraining,
    windows: Sequence[Window],
    clips: Sequence[ClipRef],
    chosen: Sequence[int],
    bank: CaptionBank,
    *,
    rng: np.random.Generator,
    cache: TrunkCache | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of the chosen clips and its parts; with a cache, of what comes after lift and temporal BEV alone."""
    plan, refs = training.plan, [clips[k] for k in chosen]
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    batch, held = (read_batch(windows, refs, training.config), None) if cache is None else cache.read(windows, refs)
    with torch.autocast("cpu", torch.bfloat16):
        fused = training.fuse(batch) if held is None else held
        stream = training.streams(batch, fused, generator=generator)
        total = training.dense.token_grid[0] * training.dense.token_grid[1]
        cells = torch.randperm(total, generator=generator)[: plan.cells]
        near = torch.randperm(len(training.dense.get_buffer("near")), generator=generator)[: plan.cells]
        said = dict[str, Tensor]()
        if plan.dense_weight:
            said["ego"] = training.dense.of_ego(stream.tokens.float())
            said["tokens"], said["near"] = training.dense.of_tokens(stream.tokens.float(), cells, near)
            said |= {"bev": training.dense.of_bev(fused)} if cache is None else {}
    stream = Stream(*(left_out(x, plan.drop, generator) for x in (stream.tokens, stream.embedding)))
    embedded = training.embed(stream)
    embed_loss = _text_loss(training, embedded, list(chosen), bank, rng)
    training.remember(embedded, list(chosen))
    assert isinstance(training.tags, TagsHead) and isinstance(training.embed, EmbedHead)
    tags_loss = tag_loss(training.tags.logits(stream), tag_truth(windows, refs))
    loss = plan.embed_weight * embed_loss + plan.tags_weight * tags_loss
    figures = {"embed": float(embed_loss.detach()), "tags": float(tags_loss.detach())}
    if plan.dense_weight:
        agents = agents_of(windows, refs)
        parts = _dense(training, windows, refs, agents, said, cells, near)
        if cache is None:
            # Of the last Frame alone: its agents are at hand, and distances are no matter of time.
            shown = batch.patches[:, NOW]
            far = distance_loss(
                training.lift, shown, _distances(windows, refs, agents, (shown.shape[2], shown.shape[3]))
            )
            parts["distance"] = plan.distance_weight * far
        loss = loss + plan.dense_weight * torch.stack(list(parts.values())).sum()
        figures |= {name: float(part.detach()) for name, part in parts.items()}
    return loss, figures


def left_out(values: Float16[Tensor, "*b"], share: float, generator: torch.Generator) -> Float16[Tensor, "*b"]:
    """Some values set to zero and the others scaled up, as dropout has it, by a generator of one's own."""
    kept = torch.rand(values.shape, generator=generator) >= share
    return values * kept / (1.0 - share)


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
    known = torch.tensor([k >= 0 and k not in set(chosen) for k in kept])
    of_memory = plan.text_scale * texts[: len(own)] @ memory.T
    true = bank.truth(told, chosen)
    true_of_memory = bank.truth(own, [max(k, 0) for k in kept])
    forth = contrast_with_memory(scores[: len(own)], true[: len(own)], of_memory, true_of_memory, known)
    return 0.5 * (forth + contrast(scores, true))


def _dense(
    training: StreamTraining,
    windows: Sequence[Window],
    refs: Sequence[ClipRef],
    agents: Agents,
    said: Mapping[str, Tensor],
    cells: Tensor,
    near: Tensor,
) -> dict[str, Tensor]:
    """What the auxiliaries lose, by what they are about."""
    drivable = torch.from_numpy(np.stack([windows[r.window].tensors["drivable"][r.first + NOW] for r in refs]))
    truth = dense_truth(agents, drivable, training.config.grid)
    asked = {
        "tokens": cells_of(coarser(truth, training.dense.token_grid), cells),
        "near": cells_of(truth, training.dense.get_buffer("near")[near]),
        "bev": cells_of(truth, None),
    }
    parts = {"ego": training.plan.ego_weight * ego_loss(said["ego"].float(), ego_truth(windows, refs))}
    for name in (key for key in asked if key in said):
        parts[f"{name}_on"], parts[f"{name}_velocity"] = dense_loss(said[name].float(), asked[name])
    return parts


def _distances(
    windows: Sequence[Window], refs: Sequence[ClipRef], agents: Agents, patch_grid: tuple[int, int]
) -> Float[Tensor, "c v gh gw"]:
    found = [
        patch_distances(agents, k, cameras_of(windows[r.window], r.first + NOW), patch_grid) for k, r in enumerate(refs)
    ]
    return torch.from_numpy(np.stack(found)).float()
