"""Every figure against a list with clips repeated, scikit-learn or scipy, or numbers worked out by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from sceneminer.evals import mining_metrics as m
from sceneminer.evals.mining_bootstrap import bootstrap, resample_logs


def drawn(seed: int, n: int = 60, resamples: int = 5):
    """Scores with ties, a truth with zeros, and weights."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=n), 1)
    truth = np.where(rng.random(n) < 0.4, 0.0, np.round(rng.random(n), 2))
    weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    return scores, truth, np.vstack([weights, m.each_once(n)])


def repeated(weights, *columns):
    index = np.repeat(np.arange(len(weights)), weights.astype(int))
    return [column[index] for column in columns]


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_scikit_learns_for_each_resample(seed):
    scores, truth, weights = drawn(seed)
    right = truth > 0.6
    expected = [oracle.average_precision_score(*repeated(w, right, scores)) for w in weights]
    np.testing.assert_allclose(m.average_precision(scores, right, weights), expected, atol=1e-12)


def test_average_precision_needs_right_and_wrong_ones():
    once = m.each_once(3)
    assert np.isnan(m.average_precision(np.arange(3.0), np.zeros(3, bool), once))[0]
    assert np.isnan(m.average_precision(np.arange(3.0), np.ones(3, bool), once))[0]


def test_mean_precision_leaves_out_tags_and_clips_that_are_not_known():
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.4, 0.5], [0.1, 0.9, 0.5]])
    truth = np.array([[1, 1, 0], [0, -1, 0], [0, 0, 0]])
    assert m.mean_precision(scores, truth, m.each_once(3))[0] == pytest.approx((1.0 + 0.5) / 2)


@pytest.mark.parametrize("seed", range(2))
def test_micro_f1_and_its_thresholds(seed):
    rng = np.random.default_rng(seed)
    truth = (rng.random((80, 3)) < 0.3).astype(int)
    scores = np.round(truth + rng.normal(size=truth.shape), 1)
    thresholds = m.choose_thresholds(scores, truth)
    said = scores >= thresholds
    weights = resample_logs(np.arange(80) // 4, n=3)
    for w, value in zip(weights, m.micro_f1(said, truth, weights), strict=True):
        assert value == pytest.approx(oracle.f1_score(*repeated(w, truth, said), average="micro"))
    for k in range(3):  # no other threshold does better on the same clips
        best = max(oracle.f1_score(truth[:, k], scores[:, k] >= t) for t in np.unique(scores[:, k]))
        assert oracle.f1_score(truth[:, k], said[:, k]) == pytest.approx(best)


def test_a_tag_that_val_never_has_is_never_said():
    thresholds = m.choose_thresholds(np.array([[0.3], [0.9]]), np.array([[0], [0]]))
    assert not (np.array([[1e9]]) >= thresholds).any()


@pytest.mark.parametrize("seed", range(4))
def test_spearman_is_scipys_for_each_resample(seed):
    scores, truth, weights = drawn(seed)
    expected = [stats.spearmanr(*repeated(w, scores, truth)).statistic for w in weights]
    np.testing.assert_allclose(m.spearman(scores, truth, weights), expected, atol=1e-12)
    assert np.isnan(m.spearman(scores, np.ones(len(scores)), weights)).all()


@pytest.mark.parametrize("seed", range(3))
def test_no_score_without_ties_beats_the_ceiling_and_breaking_ties_reaches_it(seed):
    rng = np.random.default_rng(seed)
    truth = drawn(seed)[1]
    once, ceiling = m.each_once(len(truth)), m.spearman_ceiling(truth)
    reached = [m.spearman(truth + 1e-6 * rng.random(len(truth)), truth, once)[0] for _ in range(20)]
    np.testing.assert_allclose(reached, ceiling, atol=1e-12)
    others = [m.spearman(truth + s * rng.random(len(truth)), truth, once)[0] for s in (0.05, 0.3, 1.0)]
    assert max(others) < ceiling


def test_the_ceiling_tends_to_the_rule_for_a_share_of_zeros():
    truth = np.append(np.zeros(6000), np.arange(1.0, 4001.0))
    assert m.spearman_ceiling(truth) == pytest.approx(np.sqrt(1 - 0.6**3), abs=1e-6)
    assert np.isnan(m.spearman_ceiling(np.zeros(5)))


@pytest.mark.parametrize("share", [1.0, 0.25])
@pytest.mark.parametrize("seed", range(3))
def test_ndcg_is_scikit_learns_for_each_resample(seed, share):
    scores, truth, weights = drawn(seed)
    expected = []
    for w in weights:
        gain, score = repeated(w, truth, scores)
        expected.append(oracle.ndcg_score(gain[None], score[None], k=int(np.ceil(len(gain) * share))))
    np.testing.assert_allclose(m.ndcg(scores, truth, weights, top_share=share), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_precision_on_top_is_the_mean_over_random_orders_of_ties(seed):
    scores, truth, weights = drawn(seed)
    right, rng = truth > 0.6, np.random.default_rng(0)
    for w, value, found in zip(
        weights,
        m.precision_at(scores, right, weights, top_share=0.2),
        m.recall_at_share(scores, right, weights, top_share=0.2),
        strict=True,
    ):
        score, hit = repeated(w, scores, right)
        takes = [np.lexsort((rng.random(len(score)), -score))[:12] for _ in range(4000)]
        assert value == pytest.approx(np.mean([hit[t].mean() for t in takes]), abs=0.01)
        assert found == pytest.approx(value * 12 / hit.sum())


def test_what_is_truly_on_top():
    truth = np.array([0.0] * 36 + [0.2, 0.9, 0.9, 0.9])
    np.testing.assert_array_equal(np.flatnonzero(m.truly_top(truth)), [37, 38, 39])  # 2 places, a third ties
    assert not m.truly_top(np.zeros(40)).any()


def test_retrieval_counts_every_right_clip():
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.4]])
    true = np.array([[False, True, True, False], [True, False, False, False]])
    np.testing.assert_array_equal(m.query_recall(scores, true, 1), [0, 0])
    np.testing.assert_array_equal(m.query_recall(scores, true, 2), [1, 0])
    np.testing.assert_allclose(m.query_precision(scores, true), [(1 / 2 + 2 / 3) / 2, 1 / 4])


def test_forecasts_are_judged_by_their_best_future():
    truth = np.stack([np.arange(1.0, 9.0), np.zeros(8)], -1)[None]
    early = truth + np.array([0.0, 3.0])
    early[:, -1] = truth[:, -1] + np.array([0.0, 1.0])
    futures = np.stack([truth + np.array([0.0, 2.5]), early], 1)
    errors = m.forecast_errors(futures, truth)
    np.testing.assert_allclose([errors.ade_m[0], errors.fde_m[0]], [2.5, 1.0])
    assert not errors.missed[0] and m.forecast_errors(futures[:, :1], truth).missed[0]


def test_resamples_draw_whole_logs():
    log = np.array([3, 3, 5, 9, 9, 9])
    weights = resample_logs(log, n=50, seed=1)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()


def test_the_interval_is_as_wide_as_the_logs_differ_not_the_clips():
    rng = np.random.default_rng(0)
    log = np.repeat(np.arange(100), 4)
    of_log = rng.normal(size=100)
    values = of_log[log]

    def mean(w):
        return m.weighted_mean(values, w)

    found = bootstrap(log, mean)
    width = 1.96 * of_log.std() / 10
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(width, rel=0.15)
    assert bootstrap(log, lambda w: mean(w) - mean(w)) == type(found)(0.0, 0.0, 0.0)


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="expected finite scores, found 1 of 2"):
        m.spearman(np.array([0.1, np.nan]), np.array([0.0, 1.0]), m.each_once(2))
