"""Texts that look for clips of a split: sentences in a grammar, each true of few clips and known of which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.data.errors import DataError
from sceneminer.data.synth.grammar import Grammar
from sceneminer.evals.mining_set import eval_clips
from sceneminer.evals.zero_shot import MOST_TRUE
from sceneminer.model.tower import Tower
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_text import make_bank

MOST_QUERIES = 300
_EACH = 12


@dataclass(frozen=True, eq=False)
class Queries:
    """Distinct texts (without regard to case) with the tower's embedding of each."""

    texts: tuple[str, ...]
    embedding: Float[ndarray, "q e"]
    clip: Int[ndarray, "q"]
    """That each was written for."""
    true: Bool[ndarray, "q n"]
    """Of which clips each is true: all of them count as right."""


def make_queries(windows: Sequence[Window], tower: Tower, *, grammar: Grammar = "held_out", seed: int = 0) -> Queries:
    """A text for each of at most ``MOST_QUERIES`` of the clips that are judged, true of at most ``MOST_TRUE`` of them.

    Clips take turns in a random order; one of which nothing so particular is found among a dozen sentences has none.
    A text that another clip has already is not asked twice.
    """
    clips = eval_clips(windows)
    bank = make_bank(windows, clips, tower, each=_EACH, grammar=grammar, seed=seed)
    told: set[str] = set()
    found: list[tuple[int, int]] = []
    for c in np.random.default_rng([seed, 5]).permutation(len(clips)).tolist():
        for k, said in enumerate(bank.captions[c]):
            text = said.text.lower()
            if text not in told and sum(said.facts <= facts for facts in bank.facts) <= MOST_TRUE:
                told.add(text)
                found.append((c, k))
                break
        if len(found) == MOST_QUERIES:
            break
    if not found:
        raise DataError(f"expected texts that are true of at most {MOST_TRUE} of {len(clips)} clips, found none")
    return Queries(
        texts=tuple(bank.captions[c][k].text for c, k in found),
        embedding=np.stack([bank.embeddings[c, k].float().numpy() for c, k in found]),
        clip=np.array([c for c, _ in found]),
        true=bank.truth(found, range(len(clips))).numpy(),
    )
