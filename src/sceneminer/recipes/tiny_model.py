"""sceneminer-tiny's model: a CLIP in transformers' own format, and what its training needs besides its weights."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.recipes.tiny_facts import Anchors

_LENGTH_GROUPS = 4
MEAN, STD = (0.43, 0.43, 0.43), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Shape:
    """Sizes of both towers."""

    image_px: int = 128
    patch_px: int = 8
    vision_width: int = 256
    vision_layers: int = 5
    vision_heads: int = 4
    vision_mlp: int = 768
    text_width: int = 192
    text_layers: int = 3
    text_heads: int = 3
    text_mlp: int = 768
    text_length: int = 40
    vocabulary: int = 2048
    embed_dim: int = 256


@dataclass(frozen=True, eq=False)
class Seen:
    """Of a batch of images."""

    embeddings: Float[Tensor, "n e"]
    """Unit length."""
    patches: Float[Tensor, "n kept d"]
    """After the last layer norm, for those patches that were kept."""
    kept: Int[Tensor, "n kept"]
    """Their places on the grid, row by row."""


class TinyClip(nn.Module):
    """A CLIPModel; and, not shipped, the temperatures of the clip and object contrasts, the anchors of facts, and the
    embeddings of the last steps' clips with their keys (-1: none)."""

    memory: Tensor
    memory_key: Tensor

    def __init__(
        self, clip: nn.Module, anchors: Anchors, local_facts: tuple[int, ...] = (), *, embed_dim: int, memory: int = 0
    ):
        super().__init__()
        self.clip, self.anchors, self.local_facts = clip, anchors, local_facts
        self.register_buffer("memory", torch.zeros(memory, embed_dim))
        self.register_buffer("memory_key", torch.full((memory,), -1, dtype=torch.int64))
        self.clip_scale = nn.Parameter(torch.tensor(math.log(12.0)))
        self.object_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    @property
    def view_scale(self) -> Tensor:
        return self.clip.logit_scale  # type: ignore[return-value]

    def see(
        self, images: UInt8[Tensor, "n 3 h w"], *, keep: float = 1.0, generator: torch.Generator | None = None
    ) -> Seen:
        """Embeddings and patch tokens; with ``keep`` below 1 only so many randomly kept patches are computed
        (Li et al., FLIP, CVPR 2023)."""
        mean, std = (torch.tensor(x, device=images.device)[:, None, None] for x in (MEAN, STD))
        pixels = images.float().mul_(1.0 / (255.0 * std)).sub_(mean / std)
        model: Any = self.clip
        vision = model.vision_model
        hidden = vision.embeddings(pixels, interpolate_pos_encoding=True)
        n, total = len(images), hidden.shape[1] - 1
        kept = torch.arange(total, device=images.device).expand(n, total)
        if keep < 1.0:
            order = torch.rand(n, total, generator=generator).argsort(1)[:, : max(1, round(keep * total))]
            kept = order.sort(1).values.to(images.device)
            chosen = hidden[:, 1:].gather(1, kept[..., None].expand(-1, -1, hidden.shape[-1]))
            hidden = torch.cat([hidden[:, :1], chosen], 1)
        hidden = vision.encoder(inputs_embeds=vision.pre_layrnorm(hidden)).last_hidden_state
        normed = vision.post_layernorm(hidden)
        embeddings = functional.normalize(model.visual_projection(normed[:, 0]).float(), dim=-1)
        return Seen(embeddings, normed[:, 1:], kept)

    def remember(self, clips: Float[Tensor, "m e"], keys: Int[Tensor, "m"]) -> None:
        """Put clips in front of the memory; as many fall out behind."""
        size = len(self.memory)
        self.memory.copy_(torch.cat([clips.detach(), self.memory])[:size])
        self.memory_key.copy_(torch.cat([keys.to(self.memory_key.device), self.memory_key])[:size])

    def read(self, ids: Int[Tensor, "t length"]) -> Float[Tensor, "t e"]:
        """Unit embeddings of texts; texts of like length go together and lose the padding behind the longest, which
        the causal text side never looks at."""
        model: Any = self.clip
        used = (ids == int(model.config.text_config.eos_token_id)).int().argmax(-1) + 1
        order = used.argsort(stable=True)
        parts = [
            model.get_text_features(ids[rows, : int(used[rows].max())]).pooler_output.float()
            for rows in order.chunk(_LENGTH_GROUPS)
        ]
        return functional.normalize(torch.cat(parts)[order.argsort(stable=True)], dim=-1)

    def project_objects(
        self, seen: Seen, view: Int[Tensor, "o"], weights: Float[Tensor, "o p"]
    ) -> Float[Tensor, "o e"]:
        """Unit embeddings of the mean patch token in each box, zero where none of its patches was kept."""
        share = weights.gather(1, seen.kept[view])
        share = share / share.sum(1, keepdim=True).clamp(min=1e-6)
        return self.project((share[:, None].to(seen.patches.dtype) @ seen.patches[view])[:, 0])

    def project(self, tokens: Float[Tensor, "*n d"]) -> Float[Tensor, "*n e"]:
        """Unit embeddings of patch tokens."""
        model: Any = self.clip
        return functional.normalize(model.visual_projection(tokens).float(), dim=-1, eps=1e-6)


def config_of(shape: Shape, *, vocabulary: int) -> dict[str, Any]:
    """``config.json`` of the model."""
    ids = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    text = {
        "hidden_size": shape.text_width,
        "intermediate_size": shape.text_mlp,
        "num_hidden_layers": shape.text_layers,
        "num_attention_heads": shape.text_heads,
        "max_position_embeddings": shape.text_length,
        "vocab_size": vocabulary,
    }
    vision = {
        "hidden_size": shape.vision_width,
        "intermediate_size": shape.vision_mlp,
        "num_hidden_layers": shape.vision_layers,
        "num_attention_heads": shape.vision_heads,
        "image_size": shape.image_px,
        "patch_size": shape.patch_px,
    }
    common = {"projection_dim": shape.embed_dim, "hidden_act": "quick_gelu"}
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": shape.embed_dim,
        "logit_scale_init_value": math.log(10.0),
        "text_config": common | ids | text,
        "vision_config": common | vision,
    }


def write_processor(folder: Path, shape: Shape) -> None:
    """``preprocessor_config.json``: how whoever loads the model prepares its images."""
    steps = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255, "resample": 3}
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": shape.image_px},
        "crop_size": {"height": shape.image_px, "width": shape.image_px},
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor | steps, indent=1))
