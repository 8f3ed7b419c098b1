"""Captions that overlap a clip in time, and of which clips each of them is true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sceneminer.data.synth.captions import Caption, caption
from sceneminer.data.synth.facts import Fact
from sceneminer.data.synth.grammar import Grammar
from sceneminer.model.tower import Tower
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_set import ClipRef
from sceneminer.recipes.tiny_data import parse_facts


def clip_facts_of(windows: Sequence[Window], clips: Sequence[ClipRef]) -> list[frozenset[Fact]]:
    """All that may be said of each clip: what the town knows of it, or else the description of its log."""
    return [_facts(windows[c.window], c.first) for c in clips]


def _facts(window: Window, first: int) -> frozenset[Fact]:
    if "facts" not in window.truth:
        return frozenset({("description", window.truth["description"])})
    return parse_facts(window.truth["facts"][first]).facts


def _captions(
    window: Window, first: int, *, each: int, grammar: Grammar, rng: np.random.Generator
) -> tuple[Caption, ...]:
    if "facts" not in window.truth:
        return (Caption(window.truth["description"], _facts(window, first), "description"),) * each
    scene = parse_facts(window.truth["facts"][first])
    return tuple(caption(scene, rng, grammar=grammar) for _ in range(each))


@dataclass(frozen=True, eq=False)
class CaptionBank:
    """Some captions of each of many clips, with the tower's embedding of each: texts are frozen, too."""

    captions: tuple[tuple[Caption, ...], ...]
    """Of each clip; texts may repeat between clips."""
    embeddings: Float[Tensor, "c k e"]
    facts: tuple[frozenset[Fact], ...]
    """Of each clip."""

    def truth(self, told: Sequence[tuple[int, int]], clips: Sequence[int]) -> Bool[Tensor, "t c"]:
        """Whether each caption (clip, which) is true of each clip: duplicates and near ones count as right."""
        said = [self.captions[c][k].facts for c, k in told]
        return torch.tensor([[facts <= self.facts[c] for c in clips] for facts in said]).reshape(len(said), len(clips))


def make_bank(
    windows: Sequence[Window], clips: Sequence[ClipRef], tower: Tower, *, each: int, grammar: Grammar, seed: int
) -> CaptionBank:
    """``each`` captions of every clip, drawn from its facts; the same arguments give the same texts. Logs that are
    not towns' have one: their description."""
    found = []
    for ref in clips:
        rng = np.random.default_rng([seed, ref.window, ref.first])
        found.append(_captions(windows[ref.window], ref.first, each=each, grammar=grammar, rng=rng))
    texts = sorted({c.text for own in found for c in own})
    place = {text: i for i, text in enumerate(texts)}
    embedded = tower.encode_texts(texts)
    rows = torch.tensor([[place[c.text] for c in own] for own in found])
    return CaptionBank(tuple(found), embedded[rows], tuple(clip_facts_of(windows, clips)))
