"""Figures of merit over clips, each at once for many resamples of the logs.

``weights`` [r n] says how often each of n clips is drawn in each of r resamples, as whole numbers; every figure is what
a list with each clip repeated that often would give, [r]. ``each_once(n)`` is the set itself. Equal scores count as
they would in expectation over random orders of them, so that no figure depends on the order of clips; NaN where a
figure is not defined.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

TOP_SHARE = 0.05
"""Of clips, in "precision@5 %": the number of clips is rounded up."""
MISS_M = 2.0


@dataclass(frozen=True, eq=False)
class Ranking:
    """Clips from the highest score down; equal scores share a group."""

    order: Int[ndarray, "n"]
    starts: Int[ndarray, "g"]
    """Where each group begins in ``order``."""

    def per_group(self, values: Float[ndarray, "r n"]) -> Float[ndarray, "r g"]:
        """Sums over the clips of each group."""
        return np.add.reduceat(values[:, self.order], self.starts, axis=1)

    def spread(self, values: Float[ndarray, "r g"]) -> Float[ndarray, "r n"]:
        """Each group's value at all of its clips, in the clips' own order."""
        sizes = np.diff(np.append(self.starts, len(self.order)))
        out = np.empty((len(values), len(self.order)))
        out[:, self.order] = np.repeat(values, sizes, axis=1)
        return out


def each_once(clips: int) -> Float[ndarray, "1 n"]:
    """The weights of the set as it is."""
    return np.ones((1, clips))


def rank(scores: ndarray) -> Ranking:
    """ValueError where a score is not a finite number or there is none."""
    scores = np.asarray(scores, np.float64)
    if len(scores) == 0 or not np.isfinite(scores).all():
        raise ValueError(
            f"expected finite scores, found {int((~np.isfinite(scores)).sum())} of {len(scores)} that are not"
        )
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    return Ranking(order, np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])))


def average_precision(scores: ndarray, true: Bool[ndarray, "n"], weights: Float[ndarray, "r n"]) -> Float[ndarray, "r"]:
    """Σ precision · Δrecall over distinct scores, as scikit-learn; NaN unless there are right and wrong ones."""
    ranking = rank(scores)
    right, drawn = ranking.per_group(weights * true), ranking.per_group(weights)
    all_right, all_drawn = right.sum(1), drawn.sum(1)
    precision = _over(right.cumsum(1), drawn.cumsum(1))
    value = _over((right * np.nan_to_num(precision)).sum(1), all_right)
    return np.where((all_right > 0) & (all_right < all_drawn), value, np.nan)


def tag_precisions(
    scores: Float[ndarray, "n t"], truth: Int[ndarray, "n t"], weights: Float[ndarray, "r n"]
) -> Float[ndarray, "r t"]:
    """Average precision of each tag over the clips where it is known (truth 0 or 1, not -1)."""
    known = truth >= 0
    columns = [average_precision(scores[:, k], truth[:, k] == 1, weights * known[:, k]) for k in range(truth.shape[1])]
    return np.stack(columns, 1)


def mean_precision(
    scores: Float[ndarray, "n t"], truth: Int[ndarray, "n t"], weights: Float[ndarray, "r n"]
) -> Float[ndarray, "r"]:
    """mAP: the mean over tags that have positives and negatives."""
    each = tag_precisions(scores, truth, weights)
    return _over(np.nansum(each, 1), np.isfinite(each).sum(1))


def micro_f1(said: Bool[ndarray, "n t"], truth: Int[ndarray, "n t"], weights: Float[ndarray, "r n"]) -> ndarray:
    """2 TP / (2 TP + FP + FN) over all clips and tags where the truth is known."""
    hit = ((truth == 1) & said).sum(1)
    wrong = ((truth == 0) & said).sum(1) + ((truth == 1) & ~said).sum(1)
    return _over(2.0 * weights @ hit, weights @ (2 * hit + wrong))


def choose_thresholds(scores: Float[ndarray, "n t"], truth: Int[ndarray, "n t"]) -> Float[ndarray, "t"]:
    """For each tag the threshold (score ≥ it) of the best F1 on these clips; infinite for a tag without positives."""
    found = np.full(truth.shape[1], np.inf)
    for k in range(truth.shape[1]):
        known = truth[:, k] >= 0
        value, right = scores[known, k], truth[known, k] == 1
        if not right.any():
            continue
        ranking = rank(value)
        once = each_once(len(value))
        hits, drawn = (ranking.per_group(w).cumsum(1)[0] for w in (once * right, once))
        best = int(np.argmax(2 * hits / (drawn + right.sum())))
        ordered = value[ranking.order][ranking.starts]
        # Halfway to the next lower score: as far as may be from what was seen.
        found[k] = ordered[best] if best + 1 == len(ordered) else (ordered[best] + ordered[best + 1]) / 2
    return found


def query_recall(scores: Float[ndarray, "q c"], true: Bool[ndarray, "q c"], k: int) -> Float[ndarray, "q"]:
    """1 where a right clip is among a query's first k."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.asarray(np.take_along_axis(true, first, 1).any(1), np.float64)


def query_precision(scores: Float[ndarray, "q c"], true: Bool[ndarray, "q c"]) -> Float[ndarray, "q"]:
    """Average precision of each query over all clips, every right one counted."""
    once = each_once(scores.shape[1])
    return np.array([average_precision(s, t, once)[0] for s, t in zip(scores, true, strict=True)])


def weighted_mean(values: Float[ndarray, "n"], weights: Float[ndarray, "r n"]) -> Float[ndarray, "r"]:
    """Over the values that are not NaN."""
    known = np.isfinite(values)
    return _over(weights @ np.where(known, values, 0.0), weights @ known.astype(np.float64))


def spearman(scores: ndarray, truth: ndarray, weights: Float[ndarray, "r n"]) -> Float[ndarray, "r"]:
    """Correlation of average ranks; NaN where either is constant."""
    total = weights.sum(1, keepdims=True)
    centred = []
    for values in (scores, truth):
        ranking = rank(values)
        size = ranking.per_group(weights)
        middle = ranking.spread(size.cumsum(1) - (size - 1) / 2)
        centred.append(middle - _over((weights * middle).sum(1, keepdims=True), total))
    a, b = centred
    spread = np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
    return _over((weights * a * b).sum(1), spread)


def spearman_ceiling(truth: ndarray) -> float:
    """The largest Spearman that a score without ties can reach against this truth: sqrt(1 - Σ(t³ - t) / (n³ - n)).

    A group of t equal values shares one average rank. Whatever order a tie-free score gives them, their ranks sum to t
    times that average, so a score that only breaks the truth's ties has a covariance with it of the averaged ranks'
    variance (n³ - n - Σ(t³ - t)) / 12n, by the rearrangement inequality none has more, and the correlation is the root
    of the ratio of that to (n³ - n) / 12n. With a share z of zeros and nothing else tied it tends to sqrt(1 - z³). NaN
    where all are equal.
    """
    counts = np.unique(np.asarray(truth), return_counts=True)[1].astype(np.float64)
    n = counts.sum()
    if len(counts) < 2:
        return float("nan")
    return float(np.sqrt(1.0 - (counts**3 - counts).sum() / (n**3 - n)))


def ndcg(
    scores: ndarray, gain: ndarray, weights: Float[ndarray, "r n"], *, top_share: float = 1.0
) -> Float[ndarray, "r"]:
    """Discounted gain Σ gain / log2(1 + place) over the best order's; over the first ``top_share`` of places.

    Equal scores share the mean of their gains (McSherry and Najork, ECIR 2008). NaN where nothing has any gain.
    """
    until = _places(weights, top_share)
    discount = np.append(0.0, np.cumsum(1.0 / np.log2(np.arange(2, int(weights.sum(1).max()) + 2))))
    sums = []
    for values in (scores, gain):
        ranking = rank(values)
        size = ranking.per_group(weights)
        end = size.cumsum(1)
        mean = np.nan_to_num(_over(ranking.per_group(weights * gain), size))
        after, before = (discount[np.minimum(at, until[:, None]).astype(int)] for at in (end, end - size))
        sums.append((mean * (after - before)).sum(1))
    return _over(*sums)


def precision_at(
    scores: ndarray, right: Bool[ndarray, "n"], weights: Float[ndarray, "r n"], *, top_share: float = TOP_SHARE
) -> Float[ndarray, "r"]:
    """Share of right ones among the ``top_share`` of clips with the highest scores."""
    return _over(_right_on_top(scores, right, weights, top_share), _places(weights, top_share))


def recall_at_share(
    scores: ndarray, right: Bool[ndarray, "n"], weights: Float[ndarray, "r n"], *, top_share: float = TOP_SHARE
) -> Float[ndarray, "r"]:
    """Share of all right ones that are among the ``top_share`` of clips with the highest scores."""
    return _over(_right_on_top(scores, right, weights, top_share), weights @ right.astype(np.float64))


def truly_top(truth: ndarray, *, top_share: float = TOP_SHARE) -> Bool[ndarray, "n"]:
    """The ``top_share`` of clips that are highest in truth, and all that tie with the last of them; none that is 0."""
    truth = np.asarray(truth)
    last = np.sort(truth)[::-1][int(_places(each_once(len(truth)), top_share)[0]) - 1]
    return (truth >= last) & (truth > 0)


@dataclass(frozen=True, eq=False)
class ForecastErrors:
    """Of some agents, each under the best of its futures."""

    ade_m: Float[ndarray, "a"]
    """Mean distance over the future's instants."""
    fde_m: Float[ndarray, "a"]
    """Distance at the last instant; the best future may be another one."""

    @property
    def missed(self) -> Bool[ndarray, "a"]:
        return self.fde_m > MISS_M


def forecast_errors(futures: Float[ndarray, "a k f 2"], truth: Float[ndarray, "a f 2"]) -> ForecastErrors:
    """minADE and minFDE over the k futures of each agent, metres; the truth is known at all instants."""
    distance = np.linalg.norm(futures - truth[:, None], axis=-1)
    return ForecastErrors(distance.mean(-1).min(-1, initial=np.inf), distance[..., -1].min(-1, initial=np.inf))


def _right_on_top(scores: ndarray, right: ndarray, weights: ndarray, top_share: float) -> ndarray:
    ranking = rank(scores)
    size = ranking.per_group(weights)
    taken = np.clip(_places(weights, top_share)[:, None] - (size.cumsum(1) - size), 0.0, size)
    return (taken * np.nan_to_num(_over(ranking.per_group(weights * right), size))).sum(1)


def _places(weights: ndarray, share: float) -> ndarray:
    # The tolerance keeps 0.05 · 180 from being rounded up to 10.
    return np.ceil(weights.sum(1) * share - 1e-9)


def _over(above: ndarray, below: ndarray) -> ndarray:
    """Quotient; NaN where the divisor is 0."""
    below = np.asarray(below, np.float64)
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
