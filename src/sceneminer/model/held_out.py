"""Measuring a head on logs that it was not fitted to: how logs are dealt into folds, and the figures."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.model.added import AddedHead
from sceneminer.model.examples import Examples


@dataclass(frozen=True)
class HeldOut:
    """What one output gives on logs it was not fitted to; None where there were too few logs to leave any out.

    The penalty was chosen on the same clips from a short list, which flatters the figures a little.
    """

    clips: int
    positives: int | None
    logs: int
    ap: float | None = None
    auc: float | None = None
    spearman: float | None = None
    rmse: float | None = None


def deal_logs(log: Int[ndarray, "n"], rare: Bool[ndarray, "n"], *, folds: int, seed: int) -> Int[ndarray, "n"]:
    """A fold for each clip, whole logs at a time, the clips of the rarer class spread as evenly as logs allow."""
    rng = np.random.default_rng([seed, 1])
    logs = rng.permutation(np.unique(log))
    counts = np.array([np.sum(rare[log == one]) for one in logs])
    sizes = np.array([np.sum(log == one) for one in logs])
    filled, total, fold_of = np.zeros(folds), np.zeros(folds), {}
    for k in np.lexsort((-sizes, -counts)):
        fold = int(np.lexsort((total, filled))[0]) if counts[k] else int(np.argmin(total))
        filled[fold], total[fold] = filled[fold] + counts[k], total[fold] + sizes[k]
        fold_of[int(logs[k])] = fold
    return np.array([fold_of[int(one)] for one in log], np.int64)


def average_precision(score: Float[ndarray, "n"], positive: Bool[ndarray, "n"]) -> float:
    """Mean precision over the positives; clips of equal score count as one step. NaN without a positive."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order])[last]
    gained = np.diff(hits, prepend=0)
    return float(np.sum(gained * hits / (last + 1)) / hits[-1])


def roc_auc(score: Float[ndarray, "n"], positive: Bool[ndarray, "n"]) -> float:
    """The share of (positive, negative) pairs in the right order, ties counted as half; NaN without both."""
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return float("nan")
    return float((_ranks(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def spearman(a: Float[ndarray, "n"], b: Float[ndarray, "n"]) -> float:
    """Correlation of ranks, ties given their mean rank; NaN where one of them is constant."""
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    length = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / length if length > 0 else float("nan")


def figures_of(head: AddedHead, examples: Examples, raw: Float[ndarray, "n o"]) -> dict[str, HeldOut]:
    """Of each output, on the clips where ``raw`` (logit or standardised value) is known."""
    figures = {}
    for o, name in enumerate(head.outputs or (head.user_name,)):
        known = ~np.isnan(raw[:, o])
        target, score = examples.targets[known, o], raw[known, o]
        logs = len(np.unique(examples.log[known]))
        if head.task != "value":
            positive = target > 0.5
            both = positive.any() and not positive.all()
            ap, auc = (average_precision(score, positive), roc_auc(score, positive)) if both else (None, None)
            figures[name] = HeldOut(int(known.sum()), int(positive.sum()), logs, ap=ap, auc=auc)
            continue
        spread, mean = float(head.get_buffer("target_spread")[o]), float(head.get_buffer("target_mean")[o])
        if not known.any():
            figures[name] = HeldOut(0, None, 0)
            continue
        rank, error = spearman(score, target), float(np.sqrt(np.mean((score * spread + mean - target) ** 2)))
        figures[name] = HeldOut(int(known.sum()), None, logs, spearman=None if np.isnan(rank) else rank, rmse=error)
    return figures


def _ranks(values: ndarray) -> ndarray:
    """From 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
