"""How sure a figure is: percentile intervals over resamples of whole logs, since clips of one log are no independent
draws (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.evals.mining_metrics import each_once

Statistic = Callable[[ndarray], ndarray]
"""Weights of clips [r n] to figures [r]; a difference of two gives a paired interval."""
RESAMPLES = 1000
_AT_ONCE = 100
"""Resamples that are in memory together."""


@dataclass(frozen=True)
class Estimate:
    """A figure of the set itself, and where the middle 95 % of resamples lie; NaN where not defined."""

    value: float
    low: float
    high: float


def resample_logs(log: Int[ndarray, "n"], *, n: int = RESAMPLES, seed: int = 0) -> Float[ndarray, "r n"]:
    """How often each clip is drawn when logs are drawn with replacement, as many as there are."""
    names, place = np.unique(log, return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=n)
    return drawn[:, place].astype(np.float64)


def bootstrap(log: Int[ndarray, "n"], statistic: Statistic, *, n: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The statistic of the set and its 95 % interval; the same ``log`` and seed give the same resamples."""
    weights = resample_logs(log, n=n, seed=seed)
    values = np.concatenate([statistic(weights[at : at + _AT_ONCE]) for at in range(0, n, _AT_ONCE)])
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return Estimate(float(statistic(each_once(len(log)))[0]), float(low), float(high))
