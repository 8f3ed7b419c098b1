"""A scene model in feature space for the interference benchmark: a small trunk, two siblings and a risk head."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float16
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.evals.identity_data import BenchClips, BenchData
from sceneminer.geometry.grid import BevGrid
from sceneminer.model.heads import EmbedHead, TagsHead, TokenResidual
from sceneminer.model.identity import isolate, zero_last
from sceneminer.model.initial import initialise, initialise_head
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream
from sceneminer.model.tokens import SceneTokens

_EVAL_BATCH = 50


@dataclass(frozen=True)
class Plan:
    """How long and how fast; the same for every arm."""

    base_steps: int = 150
    """Of training trunk and siblings, where no checkpoint brings them."""
    steps: int = 60
    batch: int = 24
    rate: float = 2e-3
    weight_decay: float = 0.05


class Trunk(nn.Module):
    """The model's own scene tokens, then a batch norm and dropout that do nothing in eval mode (``calibrate``).

    The product has neither; they are here because they are what most models leak by.
    """

    def __init__(self, tokens: SceneTokens, width: int):
        super().__init__()
        self.tokens, self.norm, self.drop = tokens, nn.BatchNorm1d(width), nn.Dropout(0.1)

    def forward(self, clips: BenchClips, age_s: Float[Tensor, "t"]) -> Float[Tensor, "c q w"]:
        inputs = {k: v.float() if v.is_floating_point() else v for k, v in clips.inputs.items()}
        tokens = self.tokens(**inputs, age_s=age_s)
        return self.drop(self.norm(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2]))

    @torch.no_grad()
    def calibrate(self, tokens: Float[Tensor, "n q w"]) -> None:
        """Statistics of these tokens, and the affine that undoes them."""
        flat = tokens.flatten(0, 1).double()
        mean, var = flat.mean(0), flat.var(0, unbiased=False)
        self.norm.running_mean, self.norm.running_var = mean.float(), var.float()
        self.norm.weight.copy_((var.float() + self.norm.eps).sqrt())
        self.norm.bias.copy_(mean)


class Adapter(nn.Module):
    """The new sub-module g: reads tokens, writes something to add to them."""

    def __init__(self, width: int, rank: int = 96):
        super().__init__()
        self.norm, self.down, self.up = nn.LayerNorm(width), nn.Linear(width, rank), nn.Linear(rank, width)

    def forward(self, tokens: Float[Tensor, "c q w"]) -> Float[Tensor, "c q w"]:
        return self.up(functional.gelu(self.down(self.norm(tokens.float()))))


class System(nn.Module):
    """Trunk, siblings ``embedding`` and ``tags``, and a risk head that is about to be upgraded by an adapter."""

    def __init__(self, trunk: Trunk, embedding: EmbedHead, tags: TagsHead, reader: TokenResidual):
        super().__init__()
        self.trunk, self.embedding, self.tags, self.reader = trunk, embedding, tags, reader
        self.adapter: Adapter | None = None
        self.into_stream = False
        """Whether the adapter writes into what siblings read, or on a branch of its own."""
        self.log_gain: nn.Parameter | None = None
        """Of the risk logit, relative to its start; only where an arm has one."""
        self.count = trunk.tokens.queries.shape[0]

    def stream(self, tokens: Tensor, embedding: Float16[Tensor, "c e"]) -> Stream:
        """What siblings read, rounded as the product's."""
        if self.into_stream and self.adapter is not None:
            tokens = tokens.half().float() + self.adapter(tokens.half())
        return Stream(tokens[:, : self.count].half(), embedding)

    def siblings(self, tokens: Tensor, embedding: Float16[Tensor, "c e"]) -> dict[str, Tensor]:
        stream = self.stream(tokens, embedding)
        return {"embedding": self.embedding(stream), "tags": self.tags(stream)}

    def risk(self, tokens: Tensor) -> Float[Tensor, "c"]:
        """Logits."""
        read = tokens.half().float()
        if self.adapter is not None:
            read = read + self.adapter(read)
        logit = self.reader(read.half() if self.into_stream else read)[:, 0]
        return logit if self.log_gain is None else logit * self.log_gain.exp()


def over_clips(function: Callable[[BenchClips], Tensor], clips: BenchClips, *, batch: int = _EVAL_BATCH) -> Tensor:
    """A function of clips over all of them, in batches of one size (the last may be smaller)."""
    with torch.no_grad():
        return torch.cat([function(clips[i : i + batch]) for i in range(0, len(clips), batch)])


def batch_at(seed: int, step: int, count: int, size: int) -> Tensor:
    """The clips of a step: the same for every arm of a seed."""
    return torch.randint(count, (size,), generator=torch.Generator().manual_seed(1_000_003 * seed + step))


def stage_one_loss(system: System, data: BenchData, picked: Tensor) -> Tensor:
    """What trunk and siblings were trained by: captions against clips, and tags."""
    clips = data.train[picked]
    stream = Stream(system.trunk(clips, data.age_s).half(), clips.embedding)
    logits = 14.0 * system.embedding(stream) @ clips.captions.T
    same = (clips.captions @ clips.captions.T) > 0.999
    # Clips told by the same words are all right answers.
    target = same.float() / same.sum(-1, keepdim=True)
    known = (clips.tags >= 0).float()
    tags = functional.binary_cross_entropy_with_logits(
        system.tags.logits(stream), clips.tags.clamp(min=0).float(), weight=known
    )
    pairs = functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target.T)
    return 0.5 * pairs + 4.0 * tags


def make_system(data: BenchData, model: SceneModel | None, *, seed: int) -> System:
    """From a checkpoint's scene tokens and heads, or from nothing in the product's own sizes."""
    if model is not None:
        tokens, heads = (
            copy.deepcopy(model.scene_tokens),
            [copy.deepcopy(model.heads[k]) for k in ("embedding", "tags")],
        )
        embedding, tags = heads
        assert isinstance(embedding, EmbedHead) and isinstance(tags, TagsHead)
        width = model.config.token_width
    else:
        width, tokens = 256, _new_tokens(data, seed)
        embedding = EmbedHead(embed_dim=data.prompts.shape[1], token_width=width)
        tags = _new_tags(data, width)
        for head in (embedding, tags):
            initialise_head(head, seed=seed)
    reader = TokenResidual(token_width=width, out=1)
    initialise_head(reader, seed=seed)
    return System(Trunk(tokens, width), embedding, tags, reader)


def _new_tokens(data: BenchData, seed: int, *, width: int = 256) -> SceneTokens:
    bev = data.train.inputs["bev"]
    tokens = SceneTokens(
        patch_dim=data.train.inputs["patches"].shape[-1],
        embed_dim=data.train.inputs["embeddings"].shape[-1],
        bev_width=bev.shape[1] - 1,
        count=32,
        width=width,
        layers=2,
        grid=BevGrid(),
        bev_token_grid=(bev.shape[2], bev.shape[3]),
    )
    initialise(tokens, seed=seed)
    return tokens


def _new_tags(data: BenchData, width: int) -> TagsHead:
    """A text each, against one that stands for all else."""
    names = [f"tag {i}" for i in range(len(data.prompts))]
    head = TagsHead(
        prompts={name: (name,) for name in names},
        contrasts=dict.fromkeys(names, ("something",)),
        embed_dim=data.prompts.shape[1],
        token_width=width,
        logit_scale=10.0,
    )
    head.text = torch.cat([data.prompts, functional.normalize(data.prompts.mean(0, keepdim=True), dim=-1)])
    return head


def train_base(system: System, data: BenchData, plan: Plan, *, seed: int, trained: bool) -> Tensor:
    """Trunk and siblings (unless ``trained`` already), then a first risk head on the frozen stream.

    Leaves everything frozen and calibrated; returns the stream's tokens of the training clips.
    """
    if not trained:
        learned = [*system.trunk.tokens.parameters(), *system.embedding.parameters(), *system.tags.parameters()]
        system.eval()
        optimiser = torch.optim.AdamW(learned, lr=plan.rate, weight_decay=plan.weight_decay)
        for step in range(plan.base_steps):
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * min(1.0, (step + 1) / 20, (plan.base_steps - step) / 40)
            optimiser.zero_grad()
            stage_one_loss(system, data, batch_at(seed, step, len(data.train), 32)).backward()
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimiser.step()
    system.eval().requires_grad_(False)
    inputs = {k: v.float() if v.is_floating_point() else v for k, v in data.train[:256].inputs.items()}
    with torch.no_grad():
        system.trunk.calibrate(system.trunk.tokens(**inputs, age_s=data.age_s))
    tokens = over_clips(lambda clips: system.trunk(clips, data.age_s).half(), data.train)
    private = isolate(system, [system.reader])
    optimiser = torch.optim.AdamW(private, lr=plan.rate, weight_decay=plan.weight_decay)
    for step in range(plan.steps):
        optimiser.zero_grad()
        picked = batch_at(seed, 10_000 + step, len(data.train), plan.batch)
        functional.binary_cross_entropy_with_logits(system.risk(tokens[picked]), data.train.risk[picked]).backward()
        optimiser.step()
    system.requires_grad_(False)
    return tokens


def upgraded(base: System, *, zero: bool, into_stream: bool, seed: int) -> System:
    """A copy of the base with an adapter, from zero or not, on a branch of its own or in the stream."""
    system = copy.deepcopy(base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        system.adapter = Adapter(system.reader.query.shape[0])
    if zero:
        zero_last(system.adapter)
    system.into_stream = into_stream
    return system.eval()
