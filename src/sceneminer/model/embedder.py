"""Bring your own embedder: anything with two methods becomes a tower whose single patch is the image embedding."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.model.fingerprint import FingerprintValue, module_state
from sceneminer.model.preprocess import Preprocessing, Resample
from sceneminer.model.tower import ImageFeatures


@runtime_checkable
class Embedder(Protocol):
    """The least a model must do to be searched by text."""

    def embed_images(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b e"]:
        """Embeddings of RGB images; their length does not matter."""
        ...

    def embed_texts(self, texts: list[str]) -> Float[Tensor, "n e"]:
        """Embeddings of texts in the same space."""
        ...


class EmbedderTower(nn.Module):
    """A tower around an Embedder: a 1×1 patch grid that holds the image embedding."""

    def __init__(
        self,
        embedder: Embedder,
        *,
        name: str,
        space: str,
        embed_dim: int,
        image_size_px: int = 224,
        logit_scale: float = 100.0,
    ):
        """``name`` and ``space`` are the caller's word for which weights these are; fingerprints repeat them."""
        super().__init__()
        self.name, self.space, self.embed_dim, self.patch_dim = name, space, embed_dim, embed_dim
        self.embedder, self.logit_scale, self.patch_px = embedder, logit_scale, 16
        self.resample: Resample = "bicubic"
        self.image_size_px = image_size_px
        if isinstance(embedder, nn.Module):
            embedder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "EmbedderTower":
        """Stays in eval mode."""
        return super().train(False)

    def input_size(self, width_px: int, height_px: int) -> tuple[int, int]:
        """The shorter side at ``image_size_px``, the longer near the aspect, in multiples of 16."""
        plain = Preprocessing(self.image_size_px, self.patch_px, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        return plain.input_size(width_px, height_px)

    @torch.no_grad()
    def encode_images(self, images: UInt8[Tensor, "b 3 h w"]) -> ImageFeatures:
        embeddings = functional.normalize(self.embedder.embed_images(images).float(), dim=-1)
        if embeddings.shape[-1] != self.embed_dim:
            raise ValueError(f"expected embeddings of width {self.embed_dim}, found {embeddings.shape[-1]}")
        return ImageFeatures(embeddings=embeddings, patches=embeddings[:, None, None, :])

    @torch.no_grad()
    def encode_texts(self, texts: list[str]) -> Float[Tensor, "n e"]:
        return functional.normalize(self.embedder.embed_texts(texts).float(), dim=-1)

    def fingerprint_state(self) -> Mapping[str, FingerprintValue]:
        state: dict[str, FingerprintValue] = {}
        if isinstance(self.embedder, nn.Module):
            state |= module_state(self.embedder)
        return state | {"name": self.name, "space": self.space, "image_size_px": self.image_size_px}
