"""The stream: all that is stored of a clip, and all that heads read."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float16
from torch import Tensor

STREAM_PARTS = ("tokens", "embedding")
HEAD_BUDGET = 102_000
"""Learned parameters that a head of the stream may have."""


@dataclass(frozen=True, eq=False)
class Stream:
    """Of ``c`` clips. Rounded to fp16 before any head reads, so that a signal computed while mining and one computed
    later from the stored stream are the same bits."""

    tokens: Float16[Tensor, "c q w"]
    embedding: Float16[Tensor, "c e"]
    """Mean of the clip's image embeddings (``mean_embedding``); zero where it has no image."""

    def __len__(self) -> int:
        return len(self.embedding)

    def __getitem__(self, part: slice | Tensor) -> "Stream":
        return Stream(self.tokens[part], self.embedding[part])


def mean_embedding(embeddings: Float[Tensor, "c t v e"], valid: Bool[Tensor, "c t v"]) -> Float[Tensor, "c e"]:
    """The mean over valid images of unit-length embeddings; zero where there is none.

    It is not scaled back to unit length: its length (at most 1) says how much the images agree, which a later
    head may want, and readers that need a direction normalise.
    """
    kept = torch.where(valid[..., None], embeddings, 0.0).sum((1, 2))
    return kept / valid.sum((1, 2)).clamp(min=1)[:, None]


def round_stream(tokens: Float[Tensor, "c q w"], embedding: Float[Tensor, "c e"]) -> Stream:
    """Rounded to fp16; gradients pass through the rounding."""
    return Stream(tokens.half(), embedding.half())
