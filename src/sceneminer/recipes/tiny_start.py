"""Where a small vision transformer starts, so that it learns from thousands of images and not from millions.

Trained ones have query-key products near a multiple of the identity and value-output products near a negative one
(Trockman & Kolter, "Mimetic Initialization of Self-Attention Layers", ICML 2023); places begin as sines and cosines
of row and column (after Vaswani et al., 2017), so that a patch knows its neighbours from the first step.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_QUERY_KEY = (0.7, 0.7)
"""Of the paper: how much noise, how much identity."""
_VALUE_OUT = (0.4, -0.4)
_PLACE_SCALE = 0.5
_LONGEST = 100.0


@torch.no_grad()
def start_vision(clip: nn.Module, generator: torch.Generator) -> None:
    """Set attention and places of a CLIPModel's vision side; all else stays as transformers draws it."""
    model: Any = clip
    vision = model.vision_model
    places = vision.embeddings.position_embedding.weight
    side = math.isqrt(len(places) - 1)
    places[0] = 0.0
    places[1:] = _PLACE_SCALE * place_codes(side, places.shape[1])
    heads = model.config.vision_config.num_attention_heads
    for layer in vision.encoder.layers:
        _start_attention(layer.self_attn, heads, generator)


def place_codes(side: int, width: int) -> Float[Tensor, "n d"]:
    """Sines and cosines of each cell's column and row, row by row; a quarter of the width each."""
    steps = torch.arange(side, dtype=torch.float32)
    row, column = (x.flatten()[:, None] for x in torch.meshgrid(steps, steps, indexing="ij"))
    frequency = _LONGEST ** (-torch.arange(width // 4) / (width // 4))
    return torch.cat([f(x * frequency) for x in (column, row) for f in (torch.sin, torch.cos)], 1)


def _start_attention(attention: Any, heads: int, generator: torch.Generator) -> None:
    width = attention.q_proj.weight.shape[1]
    size = width // heads
    queries, keys = [], []
    for _ in range(heads):
        left, right = _factors(width, _QUERY_KEY, generator)
        queries.append(left[:, :size].T)
        keys.append(right[:size])
    value, out = _factors(width, _VALUE_OUT, generator)
    attention.q_proj.weight.copy_(torch.cat(queries))
    attention.k_proj.weight.copy_(torch.cat(keys))
    attention.v_proj.weight.copy_(value.T)
    attention.out_proj.weight.copy_(out.T)
    for layer in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
        layer.bias.zero_()


def _factors(
    width: int, mix: tuple[float, float], generator: torch.Generator
) -> tuple[Float[Tensor, "d d"], Float[Tensor, "d d"]]:
    """Two matrices whose product is noise and identity mixed, the strongest directions first."""
    noise = torch.randn(width, width, generator=generator) / math.sqrt(width)
    left, strength, right = torch.linalg.svd(mix[0] * noise + mix[1] * torch.eye(width))
    root = strength.sqrt()
    return left * root, root[:, None] * right
