"""Labelled clips: what a head is fitted to."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Float16, Int
from numpy import ndarray
from torch import Tensor

WEAK_WEIGHT = 0.1
"""Of a clip that nobody marked, beside one that was marked as not relevant."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Clips with what is known of them."""

    pooled: Float[Tensor, "n d"]
    """``pool_stream`` of each."""
    tokens: Float16[Tensor, "n q w"]
    log: Int[ndarray, "n"]
    targets: Float[ndarray, "n o"]
    """1 or 0, or the value; NaN where it is not known."""
    weak: Bool[ndarray, "n"]
    """Taken for negative because nobody marked it."""
    scored: Bool[ndarray, "n"]
    """May be held out: in a log that the head which this one continues has not seen."""

    def __len__(self) -> int:
        return len(self.log)
