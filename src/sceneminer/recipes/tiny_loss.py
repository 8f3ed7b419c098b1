"""Contrast with several right answers, between texts and pictures, clips and objects.

Supervised contrast (Khosla et al., NeurIPS 2020, L_out) in both directions of CLIP's loss (Radford et al., ICML 2021).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

_LEAST_COVER = 1 / 3


def contrast(
    logits: Float[Tensor, "t n"], true: Bool[Tensor, "t n"], unknown: Bool[Tensor, "t n"] | None = None
) -> Float[Tensor, ""]:
    """Mean of both directions: each row's and each column's true entries against all of its known ones.

    A row or column counts by what it tells, log(known / true): "a street" fits most clips and tells little of any.
    Without a true entry, or without a false one, it tells nothing. Zero where none tells anything.
    """
    known = torch.ones_like(true) if unknown is None else ~unknown
    return 0.5 * (_one_way(logits, true & known, known) + _one_way(logits.T, (true & known).T, known.T))


def _one_way(logits: Float[Tensor, "a b"], true: Bool[Tensor, "a b"], known: Bool[Tensor, "a b"]) -> Float[Tensor, ""]:
    tells = true.any(1) & (known & ~true).any(1)
    scores = logits.masked_fill(~known, -torch.inf)[tells]
    right = true[tells]
    log_share = scores - torch.logsumexp(scores, 1, keepdim=True)
    per_row = -log_share.masked_fill(~right, 0.0).sum(1) / right.sum(1)
    told = torch.log(known[tells].sum(1) / right.sum(1))
    return (told * per_row).sum() / told.sum().clamp(min=1e-6)


def contrast_with_memory(
    logits: Float[Tensor, "t n"],
    true: Bool[Tensor, "t n"],
    of_memory: Float[Tensor, "t q"],
    true_of_memory: Bool[Tensor, "t q"],
    known: Bool[Tensor, "q"],
) -> Float[Tensor, ""]:
    """``contrast`` in which texts also have earlier steps' clips to choose from (Wang et al., XBM, CVPR 2020)."""
    everything = torch.cat([torch.ones_like(true), known.expand(len(true), -1)], 1)
    right = torch.cat([true, true_of_memory], 1) & everything
    forth = _one_way(torch.cat([logits, of_memory], 1), right, everything)
    return 0.5 * (forth + _one_way(logits.T, true.T, torch.ones_like(true.T)))


def box_weights(boxes: Float[Tensor, "o 4"], grid: tuple[int, int]) -> Float[Tensor, "o p"]:
    """How much of each patch of a grid (rows, columns) a box covers (u0 v0 u1 v1 in shares of the image)."""
    rows, columns = grid
    u = torch.arange(columns, device=boxes.device)
    v = torch.arange(rows, device=boxes.device)

    def cover(low: Tensor, high: Tensor, at: Tensor) -> Tensor:
        return (torch.minimum(high[:, None], at + 1) - torch.maximum(low[:, None], at)).clamp(min=0)

    wide = cover(boxes[:, 0] * columns, boxes[:, 2] * columns, u)
    high = cover(boxes[:, 1] * rows, boxes[:, 3] * rows, v)
    return (high[:, :, None] * wide[:, None, :]).flatten(1)


def patch_truth(
    weights: Float[Tensor, "s p"], view: Int[Tensor, "s"], facts: Bool[Tensor, "s f"], *, views: int
) -> Bool[Tensor, "n p f"]:
    """What is true of each patch of each image: the facts of objects that cover a third of it, or cover it most."""
    found = torch.zeros(views, weights.shape[1], facts.shape[1], dtype=torch.bool, device=weights.device)
    most = weights.amax(1, keepdim=True)
    covered = (weights >= _LEAST_COVER) | ((weights == most) & (most > 0))
    for here, image, truth in zip(covered, view.tolist(), facts, strict=True):
        found[image] |= here[:, None] & truth
    return found


def pooled(embeddings: Float[Tensor, "m v e"]) -> Float[Tensor, "m e"]:
    """The direction of the mean of unit embeddings: what search keeps of a clip."""
    return functional.normalize(embeddings.mean(1), dim=-1)
