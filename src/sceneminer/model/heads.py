"""Heads read the stream and emit one signal each; they are private, small, and start as the frozen tower alone."""

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.model.added import build_added
from sceneminer.model.errors import CheckpointError
from sceneminer.model.forecast import ForecastHead
from sceneminer.model.stream import HEAD_BUDGET, Stream
from sceneminer.model.tokens import weighted_mean
from sceneminer.model.tower import Tower

Signal = Tensor | Mapping[str, Tensor]
"""What a head emits: one tensor or several by name, the first dimension always the clip's."""


@runtime_checkable
class Head(Protocol):
    """Stream to one signal. Implementations are nn.Modules whose parameters no other head shares."""

    name: str
    """The signal it emits: a key of ``SceneModel.signals``."""
    version: int
    """Raised when the same weights would give another signal."""
    reads: tuple[str, ...]
    """Parts of the Stream; a head that reads anything else cannot be back-filled and is refused."""

    def __call__(self, stream: Stream) -> Signal:
        """The signal of each clip, first dimension ``c``."""
        ...

    def document(self) -> dict[str, Any]:
        """What ``build_head`` needs to make it again, as JSON values."""
        ...


class TokenResidual(nn.Module):
    """Tokens, weighted by one learned query, and where asked the direction of the mean embedding, through one
    bottleneck; exactly zero until trained.

    Only the last layer starts at zero, so that it alone receives a gradient at the first step and the rest from
    the second on (as ControlNet's zero convolutions, Zhang et al., ICCV 2023).
    """

    def __init__(self, *, token_width: int, out: int, embed_dim: int = 0):
        """``embed_dim``: of the mean embedding; 0 where only tokens are read."""
        super().__init__()
        fixed, read = 3 * token_width + out, token_width + embed_dim
        rank = max(1, min(64, (HEAD_BUDGET - fixed) // (read + out + 1)))
        self.norm = nn.LayerNorm(token_width)
        self.query = nn.Parameter(torch.zeros(token_width))
        self.down, self.up = nn.Linear(read, rank), nn.Linear(rank, out)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(
        self, tokens: Float[Tensor, "c q w"], embedding: Float[Tensor, "c e"] | None = None
    ) -> Float[Tensor, "c out"]:
        pooled = weighted_mean(self.norm(tokens.float()), self.query)
        if embedding is not None:
            # Scaled to the size of what a norm leaves, so that both are heard from the first step.
            mean = functional.normalize(embedding.float(), dim=-1) * embedding.shape[-1] ** 0.5
            pooled = torch.cat([pooled, mean], -1)
        return self.up(functional.gelu(self.down(pooled)))


class EmbedHead(nn.Module):
    """The clip in the tower's text space: mean image embedding plus a residual from the tokens, unit length.

    Untrained it is the direction of the mean image embedding. A clip without an image gives zero.
    """

    name, version, reads = "embedding", 1, ("tokens", "embedding")

    def __init__(self, *, embed_dim: int, token_width: int):
        super().__init__()
        self.residual = TokenResidual(token_width=token_width, embed_dim=embed_dim, out=embed_dim)

    def forward(self, stream: Stream) -> Float[Tensor, "c e"]:
        # The residual is cut off where there is no image: it would be scaled up to a unit vector from nothing.
        base = stream.embedding.float()
        there = (base != 0).any(-1, keepdim=True)
        moved = functional.normalize(base, dim=-1) + self.residual(stream.tokens, stream.embedding)
        return functional.normalize(moved, dim=-1) * there

    def document(self) -> dict[str, Any]:
        return {"kind": "embed"}


class TagsHead(nn.Module):
    """Probabilities of the scene tags: zero-shot prompts against contrasting ones, plus a residual from the tokens.

    With s the tower's logit scale, x the direction of the mean image embedding, p_j the tag's prompts and q_j what it
    is confused with, P = sigmoid(log mean_j exp(s x·p_j) - log mean_j exp(s x·q_j) + residual): the softmax of "this
    tag" against "something else" at even odds, one tag at a time, since tags do not exclude each other. Temperature
    and prompt sets as in Radford et al., CLIP, ICML 2021, section 3.1.4.
    """

    version, reads = 1, ("tokens", "embedding")

    def __init__(
        self,
        *,
        prompts: Mapping[str, tuple[str, ...]],
        contrasts: Mapping[str, tuple[str, ...]],
        embed_dim: int,
        token_width: int,
        logit_scale: float,
        name: str = "tags",
    ):
        """``prompts`` and ``contrasts`` by tag, in the order of the signal; ValueError where one has none.

        ``name`` is the signal's: another one for a set of tags beside the 20.
        """
        super().__init__()
        self.name = name
        if not prompts or list(prompts) != list(contrasts) or not all((*prompts.values(), *contrasts.values())):
            raise ValueError("expected prompts and contrasts for the same tags, at least one of each")
        self.prompts, self.contrasts, self.tags = dict(prompts), dict(contrasts), tuple(prompts)
        self.texts = tuple(
            dict.fromkeys(t for group in (prompts, contrasts) for texts in group.values() for t in texts)
        )
        self.residual = TokenResidual(token_width=token_width, embed_dim=embed_dim, out=len(self.tags))
        self.register_buffer("text", torch.zeros(len(self.texts), embed_dim))
        self.register_buffer("logit_scale", torch.tensor(float(logit_scale)))
        self.register_buffer("prompt_share", self._log_share(prompts), persistent=False)
        self.register_buffer("contrast_share", self._log_share(contrasts), persistent=False)

    def embed_prompts(self, tower: Tower) -> "TagsHead":
        """Fill the prompt embeddings from the tower's text side; returns itself."""
        self.text = tower.encode_texts(list(self.texts))
        return self

    def logits(self, stream: Stream) -> Float[Tensor, "c tags"]:
        """Before the sigmoid: what a loss wants. A clip without an image has only its residual."""
        direction = functional.normalize(stream.embedding.float(), dim=-1)
        similarity = (self.get_buffer("logit_scale") * direction @ self.get_buffer("text").T)[:, None]
        tag = torch.logsumexp(similarity + self.get_buffer("prompt_share"), -1)
        other = torch.logsumexp(similarity + self.get_buffer("contrast_share"), -1)
        return tag - other + self.residual(stream.tokens, stream.embedding)

    def forward(self, stream: Stream) -> Float[Tensor, "c tags"]:
        return self.logits(stream).sigmoid()

    def document(self) -> dict[str, Any]:
        groups = {"prompts": self.prompts, "contrasts": self.contrasts}
        named = {} if self.name == "tags" else {"name": self.name}
        return {"kind": "tags"} | named | {k: {tag: list(t) for tag, t in group.items()} for k, group in groups.items()}

    def _log_share(self, group: Mapping[str, tuple[str, ...]]) -> Float[Tensor, "tags n"]:
        """log(1 / count) at a tag's own texts, -inf elsewhere."""
        share = torch.full((len(group), len(self.texts)), -torch.inf)
        for row, texts in enumerate(group.values()):
            for text in set(texts):
                share[row, self.texts.index(text)] = -math.log(len(set(texts)))
        return share


def build_head(document: Mapping[str, Any], *, embed_dim: int, token_width: int) -> nn.Module:
    """The head that a checkpoint describes, with weights yet to be loaded; CheckpointError for one not known."""
    kind = document.get("kind")
    if kind == "embed":
        return EmbedHead(embed_dim=embed_dim, token_width=token_width)
    if kind == "tags":
        groups = {}
        for name in ("prompts", "contrasts"):
            group = document.get(name)
            if not isinstance(group, Mapping) or not all(_texts(v) for v in group.values()):
                raise CheckpointError(f"expected head tags to list {name} for each tag")
            groups[name] = {str(tag): tuple(texts) for tag, texts in group.items()}
        try:
            name = str(document.get("name", "tags"))
            return TagsHead(**groups, embed_dim=embed_dim, token_width=token_width, logit_scale=1.0, name=name)
        except ValueError as error:
            raise CheckpointError(str(error)) from None
    if kind == "forecast":
        sizes = {name: document.get(name) for name in ("width", "inner", "doubt")}
        if not all(isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= 1024 for v in sizes.values()):
            raise CheckpointError(f"expected sizes width, inner and doubt of head forecast, found {sizes}")
        return ForecastHead(token_width=token_width, **sizes)  # type: ignore[arg-type]
    if kind == "added":
        return build_added(document, embed_dim=embed_dim, token_width=token_width)
    raise CheckpointError(f"expected heads of kind embed, tags, forecast or added, found {kind!r}")


def _texts(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(text, str) for text in value)
