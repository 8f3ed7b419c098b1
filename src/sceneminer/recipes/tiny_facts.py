"""Anchors that pictures and texts share: one direction of the joint space for each common fact, thrown away afterwards.

A contrast says only which text goes with which picture; an anchor says why. Both sides learn to tell each fact by the
same direction, so that they meet long before a contrast alone would bring them together.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.data.synth.facts import Fact, SceneFacts, wider

GROUPS = ("view", "clip", "object", "text", "patch")
_SCALE = 10.0
_MOST_WEIGHT = 6.0


def count_facts(scenes: Iterable[SceneFacts], *, least_share: float) -> dict[Fact, float]:
    """Facts that at least this share of the scenes has, with that share, in a fixed order."""
    counts: Counter[Fact] = Counter()
    total = 0
    for scene in scenes:
        counts.update(scene.facts)
        total += 1
    return {fact: n / total for fact, n in sorted(counts.items()) if n >= least_share * total}


def open_facts(path: Path, scenes: Iterable[SceneFacts], *, least_share: float) -> dict[Fact, float]:
    """The facts that a run has anchors for: counted and written down the first time, then read."""
    if not path.exists():
        rows = [[list(fact), share] for fact, share in count_facts(scenes, least_share=least_share).items()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    return {tuple(fact): share for fact, share in json.loads(path.read_text())}


def implied(facts: Iterable[Fact]) -> frozenset[Fact]:
    """The facts of a text and all that they imply: a red car is a car and a red vehicle."""
    found: set[Fact] = set(facts)
    for fact in tuple(found):
        if fact[0] == "object":
            _, kind, look, state, side = fact
            parts = product((kind, *wider(kind)), {look, ""}, {state, ""}, {side, ""})
            found |= {("object", *part) for part in parts}
    return frozenset(found)


def fact_table(truths: Sequence[frozenset[Fact]], facts: Iterable[Fact]) -> Bool[ndarray, "n f"]:
    """Which of the facts each truth holds."""
    place = {fact: k for k, fact in enumerate(facts)}
    table = np.zeros((len(truths), len(place)), bool)
    for row, truth in zip(table, truths, strict=True):
        row[[place[fact] for fact in truth if fact in place]] = True
    return table


def local_facts(facts: Iterable[Fact]) -> list[int]:
    """Which of the facts a patch can show: what an object is, looks like and does, not its side of the picture."""
    return [k for k, fact in enumerate(facts) if fact[0] == "object" and not fact[4]]


class Anchors(nn.Module):
    """A direction for each fact, and how common it is among views, clips, objects and texts."""

    share: Tensor

    def __init__(self, shares: Sequence[float], *, embed_dim: int):
        super().__init__()
        prior = torch.tensor(list(shares)).clamp(1e-4, 0.98)
        self.directions = nn.Parameter(torch.randn(len(prior), embed_dim) / embed_dim**0.5)
        # Small numbers times _SCALE: the optimiser moves every parameter by like steps, and these must move far.
        start = {"view": prior, "clip": (3 * prior).clamp(max=0.9), "object": 0.5 * prior}
        start |= {"text": 0.3 * prior, "patch": 0.1 * prior}
        self.bias = nn.ParameterDict({name: nn.Parameter(torch.logit(p) / _SCALE) for name, p in start.items()})
        self.register_buffer("share", prior)

    def loss(
        self,
        group: str,
        embeddings: Float[Tensor, "*n e"],
        true: Bool[Tensor, "*n f"],
        *,
        only: Sequence[int] | None = None,
    ) -> Float[Tensor, ""]:
        """Binary cross entropy of each fact, per true fact; true ones of rare facts count more.

        ``only``: which facts ``true`` is about; by default all.
        """
        chosen = slice(None) if only is None else torch.tensor(only, device=self.directions.device)
        logits = _SCALE * (embeddings @ self.directions[chosen].T + self.bias[group][chosen])
        share = self.share[chosen]
        weight = ((1 - share) / share).sqrt().clamp(1.0, _MOST_WEIGHT)
        target = true.float()
        each = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="sum")
        return each / (target * weight).sum().clamp(min=1.0)
