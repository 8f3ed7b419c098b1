"""The signals of ``mining`` against their baselines on one split: tags, text search and risk."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy import ndarray

from sceneminer.evals import mining_metrics as metrics
from sceneminer.evals.mining_bootstrap import Statistic
from sceneminer.evals.mining_compare import OURS, Resampling, Section, Verdict, at_least, compare, must_beat
from sceneminer.evals.mining_predict import Predictions
from sceneminer.evals.mining_queries import Queries
from sceneminer.evals.mining_set import EvalSet

BySeed = tuple[ndarray, ...]
"""What a method says of the clips, one entry a seed."""
FOR_INFORMATION = ("regression of tower and ego motion (for information)",)
RISKY = 0.6


@dataclass(frozen=True, eq=False)
class Said:
    """One split, and what every method says of it; ``ours`` has an entry a seed, as baselines that are trained have."""

    truth: EvalSet
    queries: Queries
    ours: tuple[Predictions, ...]
    tags: Mapping[str, BySeed]
    """Scores [n t] by baseline."""
    embeddings: Mapping[str, BySeed]
    """Unit vectors [n e] in the text space by baseline."""
    risk: Mapping[str, BySeed]
    """Scores [n] by baseline."""


def not_measured(name: str, defines: str) -> Section:
    return Section(name, defines, verdicts=(Verdict(name, None, "not measured"),))


def judge_tags(said: Said, on_val: Said, over: Resampling) -> Section:
    """mAP and micro-F1; every method's thresholds are chosen on val."""
    defines = (
        "mAP: mean over tags that have positives and negatives of the average precision. Micro-F1: over all clips and "
        "tags, with the threshold of each tag that has the best F1 on val, for every method alike."
    )
    truth = said.truth.tags
    here, there = ({OURS: tuple(p.tags for p in part.ours)} | dict(part.tags) for part in (said, on_val))

    def precision(scores: ndarray, weights: ndarray) -> ndarray:
        return metrics.mean_precision(scores, truth, weights)

    mean = {method: [partial(precision, scores) for scores in by_seed] for method, by_seed in here.items()}
    f1: dict[str, list[Statistic]] = {}
    for method, by_seed in here.items():
        chosen = [metrics.choose_thresholds(scores, on_val.truth.tags) for scores in there[method]]
        f1[method] = [
            _column(metrics.micro_f1, scores >= at, truth) for scores, at in zip(by_seed, chosen, strict=True)
        ]
    section = Section("tags", defines, compare("mAP", mean, over) + compare("micro-F1", f1, over))
    return _with(section, must_beat(section, "mAP", by=0.05), must_beat(section, "micro-F1"))


def judge_search(said: Said, over: Resampling) -> Section:
    """Recall and mAP of texts that look for clips among all of them."""
    defines = (
        "R@k: share of texts with a right clip among the first k; mAP: average precision over all clips. Right is "
        "every clip of which the text is true; equal texts are one. A resample of logs draws the texts that were "
        "written for their clips; all of them search the whole set."
    )
    queries = said.queries
    vectors = {OURS: tuple(p.embedding for p in said.ours)} | dict(said.embeddings)
    scores = {method: [queries.embedding @ v.T for v in by_seed] for method, by_seed in vectors.items()}
    recalls = {f"R@{k}": partial(_recall, queries=queries, k=k) for k in (1, 5, 10)}
    pieces: dict[str, Callable[[ndarray], ndarray]] = {
        **recalls,
        "mAP": lambda s: metrics.query_precision(s, queries.true),
    }
    figures = ()
    for measure, piece in pieces.items():
        by_method = {m: [_of_queries(piece(s), queries.clip) for s in by_seed] for m, by_seed in scores.items()}
        figures += compare(measure, by_method, over)
    section = Section("text to clip, held-out grammar", defines, figures)
    return _with(section, *(must_beat(section, measure) for measure in pieces))


def judge_risk(said: Said, over: Resampling) -> Section:
    """How well clips are ranked by risk; not measured where a model has no risk."""
    truth, any_risk = said.truth.risk, said.truth.risk > 0
    ceiling, among = (metrics.spearman_ceiling(values) for values in (truth, truth[any_risk]))
    defines = (
        "Truth: physics on the tracks (labels/risk). precision@5 %: of the 5 % of clips with the highest scores, the "
        "share that is among the truly riskiest 5 % (ties with the last of them included); chance is about 0.05. NDCG: "
        "gain is the risk itself, over the whole list and over its first 5 %. "
        f"{np.mean(~any_risk):.1%} of clips have exactly no risk, {np.mean(truth > RISKY):.1%} more than {RISKY}. "
        f"Spearman of a score without ties is at most {ceiling:.3f}, and {among:.3f} among clips with any risk."
    )
    if any(p.risk is None for p in said.ours):
        return not_measured("risk, cameras only", defines)
    scores = {OURS: tuple(p.risk for p in said.ours if p.risk is not None)} | dict(said.risk)
    top = metrics.truly_top(truth)
    pieces: dict[str, Callable[[ndarray, ndarray], ndarray]] = {
        "NDCG": lambda s, w: metrics.ndcg(s, truth, w),
        "NDCG@5 %": lambda s, w: metrics.ndcg(s, truth, w, top_share=metrics.TOP_SHARE),
        "precision@5 %": lambda s, w: metrics.precision_at(s, top, w),
        "share above 0.6 @5 %": lambda s, w: metrics.precision_at(s, truth > RISKY, w),
        "Spearman": lambda s, w: metrics.spearman(s, truth, w),
        "Spearman, any risk": lambda s, w: metrics.spearman(s, truth, w * any_risk),
    }
    figures = ()
    for measure, piece in pieces.items():
        figures += compare(measure, {m: [partial(piece, s) for s in by_seed] for m, by_seed in scores.items()}, over)
    section = Section("risk, cameras only", defines, figures)
    beats = (must_beat(section, m, but=FOR_INFORMATION) for m in ("NDCG", "precision@5 %", "Spearman"))
    values = [section.figure(OURS, m).estimate.value for m in ("Spearman", "Spearman, any risk")]
    return _with(
        section,
        *beats,
        at_least("Spearman at least 0.6 of its ceiling", values[0], 0.6 * ceiling),
        at_least("Spearman among clips with any risk at least 0.6 of its ceiling", values[1], 0.6 * among),
    )


def per_tag(said: Said) -> dict[str, ndarray]:
    """Average precision of each tag by method, mean over seeds; prevalence is that of the split."""
    once = metrics.each_once(len(said.truth))
    methods = {OURS: tuple(p.tags for p in said.ours)} | dict(said.tags)
    return {
        method: np.mean([metrics.tag_precisions(s, said.truth.tags, once)[0] for s in by_seed], 0)
        for method, by_seed in methods.items()
    }


def _with(section: Section, *verdicts: Verdict) -> Section:
    return Section(section.name, section.defines, section.figures, verdicts)


def _column(measure: Callable[..., ndarray], *columns: ndarray) -> Statistic:
    return lambda weights: measure(*columns, weights)


def _recall(scores: ndarray, *, queries: Queries, k: int) -> ndarray:
    return metrics.query_recall(scores, queries.true, k)


def _of_queries(values: ndarray, clip: Sequence[int] | ndarray) -> Statistic:
    return lambda weights: metrics.weighted_mean(values, weights[:, np.asarray(clip)])
