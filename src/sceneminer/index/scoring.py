"""Scores of clips for a query that has more than one part, from their embeddings.

Each part's cosine similarity is put on a common scale first: how many standard deviations it lies above the mean
over a fixed sample of the index, since a text's similarities and an image's differ in both. Then ``and`` is the least
of its parts, ``or`` the greatest, ``not`` the negative; and texts, image, clips to be like and to be unlike add up
with the weights here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.index.vectors import unit_rows
from sceneminer.index.where_text import Any, Both, Node, Part, TextQuery, Without, wanted

UNLIKE_WEIGHT = 0.5
"""Of clips to be unlike, beside 1 for each of text, image and clips to be like: a dislike says less than a like."""
SAMPLE = 4096


@dataclass(frozen=True, eq=False)
class Scorer:
    """``names`` and ``vectors`` of the parts: texts first, by their number in ``tree``; then the others."""

    names: tuple[str, ...]
    vectors: Float[ndarray, "k e"]
    """Of length 1."""
    tree: Node | None
    weights: Float[ndarray, "k"]
    """Of parts outside the tree; 0 for texts."""
    mean: Float[ndarray, "k"]
    spread: Float[ndarray, "k"]

    @property
    def is_cosine(self) -> bool:
        """One part alone: its plain cosine similarity."""
        return len(self.names) == 1

    def parts(self, unit: Float[ndarray, "n e"]) -> Float[ndarray, "n k"]:
        """Standardised similarities, or cosines where there is one part alone."""
        cosine = unit @ self.vectors.T
        return cosine if self.is_cosine else (cosine - self.mean) / self.spread

    def score(self, unit: Float[ndarray, "n e"]) -> Float[ndarray, "n"]:
        parts = self.parts(unit)
        if self.is_cosine:
            return parts[:, 0]
        total = parts @ self.weights
        return total if self.tree is None else total + _evaluate(self.tree, parts)

    def probes(self) -> tuple[Float[ndarray, "e"], ...]:
        """Vectors near which the best clips lie: each wanted part alone, and all together less what is not wanted.

        Where the score is a sum of parts, the last one alone orders clips exactly as the score does.
        """
        if self.is_cosine:
            return (self.vectors[0],)
        numbers = set() if self.tree is None else set(wanted(self.tree))
        signs = self.weights.copy()
        if self.tree is not None:
            for k in range(_count(self.tree)):
                signs[k] = 1.0 if k in numbers else -1.0
        together = (signs / self.spread) @ self.vectors
        linear = self.tree is None or isinstance(self.tree, Part)
        alone = () if linear else tuple(self.vectors[k] for k in sorted(numbers))
        return (*alone, together)


def make_scorer(
    text: TextQuery | None,
    text_vectors: Float[ndarray, "k e"] | None,
    others: Sequence[tuple[str, float, Float[ndarray, "e"]]],
    sample: Float[ndarray, "s e"],
) -> Scorer:
    """``others``: name, weight and vector of the image, of clips to be like, of clips to be unlike.

    ``sample``: unit embeddings of some clips of the index, by which parts are put on one scale.
    """
    names = [*(text.texts if text else ()), *(name for name, _, _ in others)]
    rows = [*(text_vectors if text_vectors is not None else ()), *(vector for _, _, vector in others)]
    vectors = unit_rows(np.stack(rows))
    cosine = sample @ vectors.T
    spread = cosine.std(0) if len(sample) > 1 else np.ones(len(names))
    return Scorer(
        tuple(names),
        vectors,
        text.tree if text else None,
        np.array([*(0.0 for _ in (text.texts if text else ())), *(weight for _, weight, _ in others)]),
        cosine.mean(0) if len(sample) else np.zeros(len(names)),
        np.maximum(spread, 1e-6),
    )


def _evaluate(tree: Node, parts: Float[ndarray, "n k"]) -> Float[ndarray, "n"]:
    match tree:
        case Part(number):
            return parts[:, number]
        case Without(part):
            return -_evaluate(part, parts)
        case Both(nodes):
            return np.min([_evaluate(node, parts) for node in nodes], axis=0)
        case Any(nodes):
            return np.max([_evaluate(node, parts) for node in nodes], axis=0)


def _count(tree: Node) -> int:
    match tree:
        case Part():
            return 1
        case Without(part):
            return _count(part)
        case Both(nodes) | Any(nodes):
            return sum(map(_count, nodes))
