"""Heads that users add: what an upgrade starts from, how they are chosen, and their figures against scikit-learn's."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from sceneminer.model.added import AddedHead, build_added, pool_stream, with_token_reader
from sceneminer.model.errors import CheckpointError
from sceneminer.model.examples import Examples
from sceneminer.model.fingerprint import head_fingerprint
from sceneminer.model.fit import fit_head
from sceneminer.model.fit_linear import problem_of, solve
from sceneminer.model.heads import HEAD_BUDGET, Head, build_head
from sceneminer.model.held_out import average_precision, deal_logs, roc_auc, spearman
from sceneminer.model.stream import Stream, round_stream

EMBED, WIDTH, QUERIES = 8, 16, 4


def make_head(task="labels", outputs=("fog",), reader="pooled", embed_dim=EMBED, token_width=WIDTH) -> AddedHead:
    return AddedHead(
        "x", task=task, outputs=outputs, stream_fingerprint="0" * 64, embed_dim=embed_dim, token_width=token_width,
        reader=reader,
    )  # fmt: skip


def make_stream(count: int, seed: int = 0) -> Stream:
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=(count, QUERIES, WIDTH)).astype(np.float32)
    return round_stream(torch.from_numpy(tokens), torch.from_numpy(rng.normal(size=(count, EMBED)).astype(np.float32)))


def make_examples(stream: Stream, targets: np.ndarray, *, per_log: int = 4) -> Examples:
    count = len(stream)
    return Examples(
        pooled=pool_stream(stream),
        tokens=stream.tokens,
        log=np.arange(count) // per_log,
        targets=targets.reshape(count, -1).astype(np.float64),
        weak=np.zeros(count, bool),
        scored=np.ones(count, bool),
    )


def of_embedding(stream: Stream) -> np.ndarray:
    return stream.embedding[:, 0].float().numpy()


def test_a_head_is_a_head_and_its_document_makes_it_again():
    head = make_head(outputs=("fog", "ice"), reader="tokens")
    torch.nn.init.normal_(head.weight)
    assert isinstance(head, Head) and head.columns == ("head_x_fog", "head_x_ice")
    again = build_head(head.document(), embed_dim=EMBED, token_width=WIDTH)
    again.load_state_dict(head.state_dict())
    assert head_fingerprint(again) == head_fingerprint(head)
    assert torch.equal(again(make_stream(3)), head(make_stream(3)))


@pytest.mark.parametrize("embed_dim", [256, 512, 1152])
def test_as_many_labels_as_are_allowed_stay_within_the_budget_and_one_more_is_refused(embed_dim):
    labels = tuple(f"l{i}" for i in range(200))
    with pytest.raises(ValueError, match=r"expected at most (\d+) labels") as refused:
        make_head(outputs=labels, embed_dim=embed_dim, token_width=256)
    most = int(str(refused.value).split()[3])
    head = make_head(outputs=labels[:most], reader="tokens", embed_dim=embed_dim, token_width=256)
    assert most >= 20
    assert sum(p.numel() for p in head.parameters()) <= HEAD_BUDGET


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"}, {"name": 3}, {"task": "anything"}, {"outputs": ["fog", "fog"]}, {"outputs": "fog"},
        {"outputs": []}, {"reader": "bev"}, {"stream_fingerprint": "0" * 63}, {"stream_fingerprint": 1}, {"more": 1},
    ],
)  # fmt: skip
def test_a_document_that_is_unsound_is_refused(change):
    with pytest.raises(CheckpointError, match="expected"):
        build_added(make_head().document() | change, embed_dim=EMBED, token_width=WIDTH)


def test_a_reader_of_tokens_adds_exactly_nothing_until_it_is_trained():
    head, stream = make_head(), make_stream(50)
    torch.nn.init.normal_(head.weight)
    assert torch.equal(with_token_reader(head)(stream), head(stream))


def test_an_upgrade_starts_from_the_old_head_and_leaves_it_alone():
    stream = make_stream(60)
    head = make_head()
    torch.nn.init.normal_(head.weight)
    old = head(stream)
    problem = problem_of(head, make_examples(stream, of_embedding(stream) > 0), pool_stream(stream), torch.zeros(60), 0)
    weight, _ = next(solve(problem, np.ones(60, bool), [1e12]))
    assert torch.allclose(weight, head.weight[0], atol=1e-6)
    fitted = fit_head(head, make_examples(stream, of_embedding(stream) > 0), background=None, seed=0)
    assert torch.equal(head(stream), old), "what it starts from is left alone"
    assert fitted.held_out["fog"].ap > fitted.before["fog"].ap


def test_labels_values_and_missing_labels_are_learnt():
    stream = make_stream(160)
    truth = of_embedding(stream)
    targets = np.stack([truth > 0.3, stream.embedding[:, 1].float().numpy() > 0], 1).astype(float)
    targets[::3, 1] = np.nan
    examples = make_examples(stream, targets)
    fitted = fit_head(make_head(outputs=("a", "b")), examples, background=examples.pooled, seed=0)
    assert fitted.held_out["a"].ap > 0.9 and fitted.held_out["b"].auc > 0.9
    assert fitted.held_out["b"].clips == int((~np.isnan(targets[:, 1])).sum())
    probability = fitted.head(stream)[:, 0].numpy()
    assert np.mean((probability > 0.5) == (truth > 0.3)) > 0.9
    value = fit_head(
        make_head("value", ()), make_examples(stream, 40.0 + 3.0 * truth), background=examples.pooled, seed=0
    )
    assert value.held_out["x"].rmse < 0.5
    assert np.abs(value.head(stream)[:, 0].numpy() - (40.0 + 3.0 * truth)).mean() < 0.5


def test_what_only_attention_can_tell_is_learnt_where_labels_are_enough_and_figures_say_by_whom():
    """One token of the four is marked by its first number; the label is the sign of its second."""
    rng = np.random.default_rng(0)
    count = 900
    tokens = rng.normal(size=(count, QUERIES, WIDTH)).astype(np.float32)
    tokens[..., 0] = -3.0
    place = rng.integers(0, QUERIES, count)
    tokens[np.arange(count), place, 0] = 3.0
    tokens[..., 1] *= 2.0
    label = tokens[np.arange(count), place, 1] > 0
    stream = round_stream(torch.from_numpy(tokens), torch.zeros(count, EMBED))
    examples = make_examples(stream, label)
    fitted = fit_head(make_head(), examples, background=examples.pooled, seed=0)
    assert fitted.head.reader == "tokens"
    again = fit_head(make_head(), examples, background=examples.pooled, seed=0)
    assert head_fingerprint(again.head) == head_fingerprint(fitted.head)
    fresh = make_examples(make_stream(1), np.zeros(1))
    assert len(fresh) == 1 and fitted.held_out["fog"].ap > 0.8


def test_one_log_alone_gives_a_head_without_figures():
    stream = make_stream(20)
    examples = make_examples(stream, of_embedding(stream) > 0, per_log=20)
    fitted = fit_head(make_head(), examples, background=examples.pooled, seed=0)
    assert fitted.held_out["fog"].ap is None and fitted.held_out["fog"].clips == 0
    assert average_precision(fitted.head(stream)[:, 0].numpy(), of_embedding(stream) > 0) > 0.9


def test_logs_are_never_split_and_positives_are_spread():
    rng = np.random.default_rng(0)
    log = rng.integers(0, 23, 400)
    rare = np.isin(log, [1, 4, 9, 16, 20]) & (rng.random(400) < 0.5)
    fold = deal_logs(log, rare, folds=5, seed=0)
    assert all(len(set(fold[log == one])) == 1 for one in range(23))
    assert all(rare[fold == k].any() for k in range(5))


def test_figures_agree_with_scikit_learn_and_scipy_ties_included():
    rng = np.random.default_rng(0)
    for digits in (0, 1, 6):
        score, positive = np.round(rng.normal(size=200), digits), rng.random(200) < 0.2
        assert average_precision(score, positive) == pytest.approx(average_precision_score(positive, score))
        assert roc_auc(score, positive) == pytest.approx(roc_auc_score(positive, score))
        other = np.round(score + rng.normal(size=200), digits)
        assert spearman(score, other) == pytest.approx(spearmanr(score, other).statistic)
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))
